// policy/authority/event_json.h -- one flat JSON object, field by field, for the audit log.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "platform/model/json_text.h"

namespace sallyport::authority {

/// Fields come in the order in which they were added; empty texts are left out so that records stay small.
class EventJson {
 public:
  EventJson& text(std::string_view key, std::string_view value) {
    if (value.empty()) return *this;
    begin(key);
    out_ += json_quote(value);
    return *this;
  }
  EventJson& number(std::string_view key, std::int64_t value) {
    begin(key);
    out_ += std::to_string(value);
    return *this;
  }
  /// `value` is JSON already.
  EventJson& raw(std::string_view key, std::string_view value) {
    begin(key);
    out_ += value;
    return *this;
  }
  EventJson& flag(std::string_view key, bool value) {
    begin(key);
    out_ += value ? "true" : "false";
    return *this;
  }
  [[nodiscard]] std::string str() const { return out_ + "}"; }

 private:
  void begin(std::string_view key) {
    if (out_.size() > 1) out_ += ',';
    out_ += '"';
    out_ += key;
    out_ += "\":";
  }
  std::string out_ = "{";
};

}  // namespace sallyport::authority
