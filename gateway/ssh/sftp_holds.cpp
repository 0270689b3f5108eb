// Requests of a client that wait until a person agrees. Nothing of them has gone to the target; others go on meanwhile.
#include <fmt/format.h>

#include <utility>

#include "gateway/ssh/refusal.h"
#include "gateway/ssh/sftp_session.h"

namespace sallyport::gateway::sftp {
namespace {

constexpr std::size_t k_most_waiting_acts = 64;
constexpr std::size_t k_most_shown = std::size_t{8} * 1024 + 256;  // two paths as long as a system takes them, and the words between

[[nodiscard]] std::string fact_of(std::string_view operation, std::string_view path, std::string_view other, std::string_view more) {
  const std::string second = other.empty() ? std::string() : fmt::format(R"(,"other":{})", json_string(other));
  return fmt::format(R"({{"operation":{},"path":{}{}{}}})", json_string(operation), json_string(path), second, more);
}

}  // namespace

bool Session::must_wait(std::string_view path, policy::FileOperation operation) const {
  return !is_agreed_ && rules_.holds(path, operation);
}

Session::Flow Session::hold(const Request& request, std::string_view operation, std::string path, std::string other) {
  if (!on_hold) return refuse(request.id, k_permission_denied, "SP-9804", operation, path, other);
  if (held_.size() >= k_most_waiting_acts) return refuse(request.id, k_failure, "SP-9208", operation, path, other);
  const std::string text = fmt::format("{} {}{}{}", operation, path, other.empty() ? "" : " to ", other);
  // Nobody can agree to what she is not shown.
  if (text.size() > k_most_shown) return refuse(request.id, k_permission_denied, "SP-6001", operation, path, other);
  sink_("file.held", fact_of(operation, path, other, ""));
  const std::uint32_t id = request.id;
  held_.emplace(id, Held{Bytes(request.packet.begin(), request.packet.end()), std::string(operation), std::move(path), std::move(other)});
  on_hold(id, printable(text, k_most_shown));
  return Flow::goes_on;
}

void Session::decided(std::uint32_t act, bool granted, std::string_view said, Bytes& to_target, Bytes& to_client) {
  auto found = held_.extract(act);
  if (found.empty() || !error_.empty()) return;
  to_target_ = &to_target;
  to_client_ = &to_client;
  const Held& held = found.mapped();
  if (!granted) {
    sink_("file.refused", fact_of(held.operation, held.path, held.other, R"(,"decision":"deny","code":"SP-9202")"));
    tell_person("SP-9202", said);
    status_to_client(act, k_permission_denied, said);
    return;
  }
  sink_("file.agreed", fact_of(held.operation, held.path, held.other, fmt::format(R"(,"by":{})", json_string(said))));
  agreed_.insert(std::move(found));
  static_cast<void>(go_on_with_agreed());
}

// Between two packets of the client only: what passes must not be torn apart.
bool Session::go_on_with_agreed() {
  if (client_.body_left() > 0) return true;
  while (!agreed_.empty()) {
    auto one = agreed_.extract(agreed_.begin());
    if (pending_.is_full()) return broken("too many SFTP requests without an answer");
    const Bytes& packet = one.mapped().packet;
    Request request{.id = 0, .type = 0, .packet = packet, .fields = crypto::SshReader(std::span(packet).subspan(4))};
    request.type = request.fields.u8();
    request.id = request.fields.u32();
    is_agreed_ = true;  // the rules are asked again: they may have changed meanwhile
    const Flow flow = on_known_request(request);
    is_agreed_ = false;
    if (flow == Flow::broken) return false;
  }
  return true;
}

}  // namespace sallyport::gateway::sftp
