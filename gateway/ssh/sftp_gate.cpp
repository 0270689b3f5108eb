#include "gateway/ssh/sftp_gate.h"

#include <fmt/format.h>

#include <algorithm>

#include "gateway/ssh/refusal.h"
#include "gateway/ssh/sftp_session.h"

namespace sallyport::gateway {
namespace sftp {
namespace {

constexpr std::size_t k_most_waiting = 256 * 1024;

}  // namespace

bool Session::from_client(std::span<const std::byte> data, Bytes& forward, Bytes& back) {
  to_target_ = &forward;
  to_client_ = &back;
  return error_.empty() && read_client(data);
}

bool Session::from_target(std::span<const std::byte> data, Bytes& forward, Bytes& back) {
  to_client_ = &forward;
  to_target_ = &back;
  if (!error_.empty() || !read_target(data)) return false;
  if (is_paused_ || paused_.empty()) return true;
  const Bytes paused = std::exchange(paused_, {});
  return read_client(paused);
}

bool Session::broken(std::string_view how) {
  if (error_.empty()) {
    error_ = how;
    sink_("file.protocol_broken", fmt::format(R"({{"protocol":"sftp","detail":{}}})", json_string(how)));
  }
  return false;
}

Session::Flow Session::broken_flow(std::string_view how) {
  broken(how);
  return Flow::broken;
}

void Session::status_to_client(std::uint32_t id, std::uint32_t status, std::string_view text) {
  const auto size = static_cast<std::uint32_t>(1 + 4 + 4 + 4 + text.size() + 4);
  crypto::SshWriter packet(size + 4);
  packet.u32(size).u8(k_status).u32(id).u32(status).string(text).string("");
  const bool between_packets = target_.body_left() == 0 || !data_body_.forwards;
  Bytes& out = between_packets && waiting_.empty() ? *to_client_ : waiting_;
  out.insert(out.end(), packet.view().begin(), packet.view().end());
  if (waiting_.size() > k_most_waiting) broken("too many refused requests while the target is silent");
}

void Session::remember_size(std::string_view path, std::uint64_t size) {
  auto found = std::find_if(sizes_.begin(), sizes_.end(), [&](const auto& entry) { return entry.first == path; });
  if (found == sizes_.end()) {
    found = sizes_.begin() + static_cast<std::ptrdiff_t>(next_size_);
    next_size_ = (next_size_ + 1) % sizes_.size();
  }
  found->first = path;
  found->second = size;
}

void Session::forget_size(std::string_view path) {
  for (auto& entry : sizes_)
    if (entry.first == path) entry = {};
}

std::optional<std::uint64_t> Session::remembered_size(std::string_view path) const {
  const auto found = std::find_if(sizes_.begin(), sizes_.end(), [&](const auto& entry) { return entry.first == path; });
  return found == sizes_.end() || path.empty() ? std::nullopt : std::optional(found->second);
}

void Session::replace_rules(const FileRules& rules) {
  rules_ = PathRules(rules);
  for (const std::uint32_t slot : files_.all()) {
    OpenFile& file = files_.at(slot);
    if (file.is_directory) continue;
    file.may_up = rules_.allows(file.path, policy::FileOperation::up);
    file.may_down = rules_.allows(file.path, policy::FileOperation::down);
  }
}

void Session::finish() {
  if ((!held_.empty() || !agreed_.empty()) && on_unheld) on_unheld();
  for (const Pending& pending : pending_.take_all()) {
    if (!pending.own) tell_result(pending, "unanswered");
  }
  for (const std::uint32_t slot : files_.all()) {
    OpenFile& file = files_.at(slot);
    if (file.close_result.empty()) file.close_result = "channel_ended";
    tell_file(file);
    files_.release(slot);
  }
}

}  // namespace sftp

std::unique_ptr<StreamFilter> make_sftp_gate(FileRules rules, StreamFilter::EventSink sink) {
  return std::make_unique<sftp::Session>(std::move(rules), std::move(sink));
}

}  // namespace sallyport::gateway
