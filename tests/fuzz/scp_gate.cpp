// Any bytes as an scp or rsync command, and as both sides of an rcp stream. The first byte chooses the rules, the second the
// length of the command, then pieces as in sftp_gate.cpp.
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

#include "gateway/ssh/program.h"
#include "gateway/ssh/transfer_gate.h"
#include "platform/model/bytes.h"

using namespace sallyport;
using namespace sallyport::gateway;

namespace {

FileRules rules_of(std::uint8_t choice) {
  FileRules rules;
  rules.apply = (choice & 1) != 0;
  if ((choice & 2) != 0) rules.max_file_bytes = 1000;
  rules.list.push_back({"/srv/closed", false, false, false});
  rules.list.push_back({"/srv", true, true, true});
  return rules;
}

void run(StreamFilter& gate, std::span<const std::uint8_t> rest) {
  const auto bytes = std::as_bytes(rest);
  Bytes forward;
  Bytes back;
  std::size_t in = 0;
  for (std::size_t at = 0; at + 3 <= rest.size();) {
    const std::size_t length = std::min<std::size_t>(rest.size() - at - 3, static_cast<std::size_t>(rest[at + 1]) << 8 | rest[at + 2]);
    const auto piece = bytes.subspan(at + 3, length);
    in += length;
    forward.clear();
    back.clear();
    if ((rest[at] & 0xf0) == 0xf0) gate.replace_rules(rules_of(rest[at]));
    const bool sound = (rest[at] & 1) != 0 ? gate.from_client(piece, forward, back) : gate.from_target(piece, forward, back);
    at += 3 + length;
    if (!sound && gate.error().empty()) std::abort();
    if (!sound) break;
    if (forward.size() > in * 64 + 4096 || back.size() > in * 64 + 4096) std::abort();
  }
  gate.finish();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const auto sink = [](std::string_view, const std::string& json) {
    if (json.size() < 3 || json.front() != '{' || json.back() != '}') std::abort();
  };
  const std::size_t length = std::min<std::size_t>(data[1], size - 2);
  const std::string_view command(reinterpret_cast<const char*>(data + 2), length);
  const std::span rest(data + 2 + length, size - 2 - length);
  for (const std::string& word : plain_words(command))
    if (word.find('\0') != std::string::npos || word.size() > command.size()) std::abort();
  static_cast<void>(classify_program("exec", command));
  if (const auto gate = make_scp_gate(command, rules_of(data[0]), sink)) run(*gate, rest);
  if (const auto gate = make_rsync_gate(command, rules_of(data[0]), sink)) run(*gate, rest);
  for (const std::string_view known : {"scp -r -p -t /srv/x/", "scp -t /srv/x", "scp -r -f /srv /srv/y", "scp -f /etc/x"})
    run(*make_scp_gate(known, rules_of(data[0]), sink), rest);
  return 0;
}
