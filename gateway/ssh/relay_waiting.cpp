// A person is asked first: what the one who waits sees, and what may happen meanwhile.
//
// Before the target is dialled the client is served as far as that changes nothing: its session channels are open here and
// their requests are kept (parked), its keepalives are answered. All else that it says keeps its order and waits.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "gateway/ssh/messages.h"
#include "gateway/ssh/refusal.h"
#include "gateway/ssh/relay.h"

namespace sallyport::gateway {
namespace {

constexpr std::size_t k_most_kept_bytes = 256 * 1024;
constexpr char k_ctrl_c = 3;

[[nodiscard]] bool is_program(std::string_view request) { return request == "shell" || request == "exec" || request == "subsystem"; }

[[nodiscard]] std::string elapsed_text(std::chrono::steady_clock::duration time) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time).count();
  return fmt::format("{}:{:02}", seconds / 60, seconds % 60);
}

}  // namespace

void Relay::show_waiting(std::uint32_t id, std::string_view text, bool over) {
  if (over) {
    if (waiting_.erase(id) == 0) return;
    for (auto& [number, channel] : channels_)
      if ((number == id || (id == k_every_channel && (channel->parked || channel->local))) && channel->wait_shown && channel->pty) write_local(*channel, "\r\x1b[K");
    return turn();
  }
  Waiting& waiting = waiting_[id];
  if (waiting.text.empty()) waiting.since = std::chrono::steady_clock::now();
  waiting.text = printable(text, 500);
  if (id == k_every_channel && mode_ == Mode::connecting) {
    mode_ = Mode::waiting;
    auto early = std::exchange(early_, {});
    early_bytes_ = 0;
    client_->hold_reading(false);
    for (auto& message : early) on_message(Side::client, message.type, message.payload);
  }
  for (auto& [number, channel] : channels_)
    if (number == id || (id == k_every_channel && (channel->parked || (channel->local && channel->pty)))) tell_waiting(*channel, waiting);
  turn();
}

void Relay::show_message(std::string_view text) {
  const std::string line = printable(text, 1000);
  for (auto& [id, channel] : channels_) {
    const bool shows = channel->kind == ChannelKind::session && channel->client.open && !channel->client.sent_close && (channel->decided || channel->local || (channel->parked && channel->wait_shown));
    if (!shows) continue;
    if (channel->pty)
      write_local(*channel, "\r\n\x1b[7m sallyport: " + line + " \x1b[27m\r\n");
    else
      write_local(*channel, "sallyport: " + line + "\n", true);
  }
  turn();
}

void Relay::hold_client(bool held) {
  client_held_ = held;
  turn();
}

void Relay::tell_waiting(Channel& channel, const Waiting& waiting) {
  if (channel.kind != ChannelKind::session || !channel.client.open) return;
  if (channel.parked && std::none_of(channel.to_target.begin(), channel.to_target.end(), [](const Item& item) { return is_program(item.request); })) return;
  channel.wait_shown = true;
  if (channel.pty)
    write_local(channel, "\r\x1b[Ksallyport: " + waiting.text + "\r\n");
  else
    write_local(channel, "sallyport: " + waiting.text + "\n", true);
}

void Relay::tick_waiting() {
  for (const auto& [id, waiting] : waiting_) {
    const std::string line = "\r\x1b[Ksallyport: waiting " + elapsed_text(std::chrono::steady_clock::now() - waiting.since);
    for (auto& [number, channel] : channels_) {
      if (number != id && (id != k_every_channel || !(channel->parked || channel->local))) continue;
      if (channel->pty && channel->wait_shown && channel->to_client.empty()) write_local(*channel, line);
    }
  }
  if (!waiting_.empty()) turn();
}

bool Relay::keeps_for_later(std::uint8_t type, std::span<const std::byte> payload) {
  bool keep = false;
  crypto::SshReader reader(payload);
  if (type == message::k_global_request) {
    const std::string_view name = reader.text();
    keep = kept_global_ || name.find("forward") != std::string_view::npos;
    kept_global_ = keep;  // replies go out in the order of the requests: what comes behind it waits too
  } else if (type == message::k_channel_open) {
    keep = reader.text() != "session";
  }
  if (!keep) return false;
  early_bytes_ += payload.size() + 64;
  early_.push_back({type, copy_of(payload)});
  if (early_bytes_ > k_most_kept_bytes) break_protocol(Side::client, "too much was sent while an approval is waited for");
  return true;
}

void Relay::park(Channel& channel) {
  channel.parked = true;
  channel.held = true;
  confirm_open(channel, Side::client);
}

void Relay::note_parked(Channel& channel, const Item& item) {
  if (item.request == "pty-req") {
    crypto::SshReader reader(item.bytes);
    static_cast<void>(reader.text());
    channel.columns = reader.u32();
    channel.rows = reader.u32();
    channel.pty = reader.ok();
  }
  const auto waiting = waiting_.find(k_every_channel);
  if (is_program(item.request) && waiting != waiting_.end()) tell_waiting(channel, waiting->second);
}

void Relay::unpark_all() {
  std::vector<std::uint32_t> ids;
  for (const auto& [id, channel] : channels_)
    if (channel->parked) ids.push_back(id);
  for (const std::uint32_t id : ids) {
    Channel* channel = find(id);
    if (channel == nullptr) continue;
    channel->parked = false;
    channel->held = false;
    channel->pty = false;  // its pty-req is still to be judged
    if (mode_ == Mode::relaying) {
      forward_open(*channel, Side::target, "session", {});
      continue;
    }
    // RFC 4254 has no text for a refused request: the program "starts", says why not, and ends.
    const bool had_pty = std::any_of(channel->to_target.begin(), channel->to_target.end(), [](const Item& item) { return item.request == "pty-req"; });
    for (const Item& item : channel->to_target)
      if (item.kind == Item::Kind::request && item.want_reply) reply_request(*channel, Side::client, true);
    drop_queue(*channel, Side::target);
    channel->local = true;
    channel->pty = had_pty;
    tell_person(*channel, refusal_);
    close_local(*channel, 255);
  }
}

bool Relay::gives_up(Channel& channel, std::span<const std::byte> data) {
  if (waiting_.empty() || !channel.pty) return false;
  const std::uint32_t id = channel.parked || channel.local ? k_every_channel : channel.id;
  if (!waiting_.contains(id)) return false;
  if (std::find(data.begin(), data.end(), std::byte{k_ctrl_c}) == data.end()) return false;
  control::Envelope told;
  told.mutable_approval_cancel()->set_channel(id);
  authority_.tell(std::move(told));
  return true;
}

}  // namespace sallyport::gateway
