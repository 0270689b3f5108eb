// tests/unit/gateway/gate_events.h -- what a gate told, and the two outputs of one call, for tests.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/ssh/stream_filter.h"
#include "platform/crypto/hash.h"
#include "platform/model/bytes.h"

namespace sallyport::gateway::test {

struct Told {
  std::string name;
  std::string json;
  [[nodiscard]] bool has(std::string_view text) const { return json.find(text) != std::string::npos; }
};

struct GateEvents {
  std::vector<Told> all;
  [[nodiscard]] StreamFilter::EventSink sink() {
    return [this](std::string_view name, const std::string& json) { all.push_back({std::string(name), json}); };
  }
  [[nodiscard]] std::vector<Told> named(std::string_view name) const {
    std::vector<Told> found;
    std::copy_if(all.begin(), all.end(), std::back_inserter(found), [&](const Told& told) { return told.name == name; });
    return found;
  }
};

struct Passed {
  bool sound = true;
  Bytes to_client;
  Bytes to_target;
};

[[nodiscard]] inline Passed client_sends(StreamFilter& gate, ByteView data) {
  Passed passed;
  passed.sound = gate.from_client(data, passed.to_target, passed.to_client);
  return passed;
}
[[nodiscard]] inline Passed target_sends(StreamFilter& gate, ByteView data) {
  Passed passed;
  passed.sound = gate.from_target(data, passed.to_client, passed.to_target);
  return passed;
}

[[nodiscard]] inline std::string sha256_hex(std::string_view text) {
  std::string hex;
  for (const std::byte byte : crypto::sha256(text)) {
    static constexpr std::string_view k_digits = "0123456789abcdef";
    hex += k_digits[std::to_integer<std::size_t>(byte >> 4)];
    hex += k_digits[std::to_integer<std::size_t>(byte & std::byte{15})];
  }
  return hex;
}

[[nodiscard]] inline FileRules rules_for(std::vector<policy::FileRule> list) {
  FileRules rules;
  rules.apply = true;
  rules.list = std::move(list);
  return rules;
}

}  // namespace sallyport::gateway::test
