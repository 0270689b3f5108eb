#include "gateway/ssh/agent_gate.h"

#include <fmt/format.h>

#include "gateway/ssh/refusal.h"
#include "platform/crypto/ssh_public_key.h"
#include "platform/crypto/ssh_wire.h"

namespace sallyport::gateway {
namespace {

constexpr std::uint8_t k_failure = 5;
constexpr std::uint8_t k_request_identities = 11;
constexpr std::uint8_t k_sign_request = 13;
constexpr std::size_t k_longest_request = 256 * 1024;

}  // namespace

bool AgentGate::from_client(std::span<const std::byte> data, std::vector<std::byte>& forward, std::vector<std::byte>&) {
  forward.insert(forward.end(), data.begin(), data.end());  // the agent's answers
  return true;
}

bool AgentGate::from_target(std::span<const std::byte> data, std::vector<std::byte>& forward, std::vector<std::byte>& back) {
  held_.insert(held_.end(), data.begin(), data.end());
  for (;;) {
    crypto::SshReader reader(held_);
    const std::span<const std::byte> body = reader.string();
    if (!reader.ok()) {
      if (held_.size() > k_longest_request) {
        error_ = "agent request above 256 KiB";
        return false;
      }
      return true;
    }
    const std::size_t whole = body.size() + 4;
    crypto::SshReader request(body);
    const std::uint8_t type = request.u8();
    if (type == k_request_identities) {
      forward.insert(forward.end(), held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(whole));
    } else if (type == k_sign_request) {
      const auto key = request.string();
      const auto parsed = crypto::SshPublicKey::parse_blob(key);
      sink_("agent.signed", fmt::format(R"({{"key":{},"bytes":{}}})", json_string(parsed ? parsed->fingerprint() : "unknown"), body.size()));
      forward.insert(forward.end(), held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(whole));
    } else {
      sink_("agent.refused", fmt::format(R"({{"request":{},"decision":"deny","code":"SP-2018"}})", type));
      crypto::SshWriter refusal;
      refusal.u32(1).u8(k_failure);
      back.insert(back.end(), refusal.view().begin(), refusal.view().end());
    }
    held_.erase(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(whole));
  }
}

}  // namespace sallyport::gateway
