// A client and a target that say anything: the gate must stay bounded and never let through what the rules refuse. The
// input is a list of pieces: one byte for the speaker and special turns, two for the length, then the bytes.
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

#include "gateway/ssh/sftp_gate.h"
#include "platform/crypto/ssh_wire.h"
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

/// What came out towards the target must be whole packets, and those that change something must stay below /srv.
void check_paths(ByteView passed) {
  while (!passed.empty()) {
    crypto::SshReader reader(passed);
    crypto::SshReader body(reader.string());
    if (!reader.ok()) return;  // a WRITE that is still passing
    passed = reader.rest();
    const std::uint8_t type = body.u8();
    static_cast<void>(body.u32());
    const std::string_view path = body.text();
    // OPEN SETSTAT REMOVE MKDIR RMDIR RENAME; relative ones depend on the home directory that the target named.
    if ((type != 3 && type != 9 && type != 13 && type != 14 && type != 15 && type != 18) || !path.starts_with('/')) continue;
    const std::string clean = policy::normalise_path(path);
    if (!policy::path_is_under(clean, "/srv") || policy::path_is_under(clean, "/srv/closed")) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto bytes = std::as_bytes(std::span(data, size));
  const std::uint8_t choice = data[0];
  std::size_t told = 0;
  const auto gate = make_sftp_gate(rules_of(choice), [&](std::string_view, const std::string& json) {
    if (json.size() < 3 || json.front() != '{' || json.back() != '}') std::abort();
    ++told;
  });
  // The handshake is given, so that mutations come past it.
  static constexpr std::string_view k_init("\0\0\0\5\1\0\0\0\3", 9);
  static constexpr std::string_view k_version("\0\0\0\5\2\0\0\0\3", 9);
  Bytes forward;
  Bytes back;
  if (!gate->from_client(bytes_of(k_init), forward, back) || !gate->from_target(bytes_of(k_version), forward, back)) std::abort();
  Bytes passed;
  bool always_ruled = (choice & 1) != 0;
  std::size_t in = 0;
  bool sound = true;
  for (std::size_t at = 1; at + 3 <= size && sound;) {
    const std::uint8_t turn = data[at];
    const std::size_t length = std::min<std::size_t>(size - at - 3, static_cast<std::size_t>(data[at + 1]) << 8 | data[at + 2]);
    const auto piece = bytes.subspan(at + 3, length);
    at += 3 + length;
    in += length;
    forward.clear();
    back.clear();
    if ((turn & 0xf0) == 0xf0) {
      gate->replace_rules(rules_of(turn));
      always_ruled = always_ruled && (turn & 1) != 0;
    } else if ((turn & 1) != 0) {
      sound = gate->from_client(piece, forward, back);
    } else {
      sound = gate->from_target(piece, forward, back);
    }
    if (forward.size() > in + 64 * 1024 || back.size() > StreamFilter::k_most_held + in * 64) std::abort();
    if (!sound && gate->error().empty()) std::abort();
    const Bytes& to_target = (turn & 1) != 0 ? forward : back;
    passed.insert(passed.end(), to_target.begin(), to_target.end());
  }
  gate->finish();
  if (always_ruled) check_paths(passed);
  if (told > size * 4 + 16) std::abort();
  return 0;
}
