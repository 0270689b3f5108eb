#include "gateway/ssh/relay.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "gateway/ssh/guard_gate.h"
#include "gateway/ssh/jump_stream.h"
#include "gateway/ssh/messages.h"
#include "gateway/ssh/refusal.h"
#include "platform/crypto/ssh_wire.h"

namespace sallyport::gateway {
namespace {

constexpr std::size_t k_most_early_bytes = 256 * 1024;
constexpr std::size_t k_most_asides = 8;
constexpr std::size_t k_most_refusals_shown = 8;  // lines on standard error of one sftp channel
constexpr std::size_t k_most_refusals = 1024;  // told one by one; then the session ends
constexpr std::size_t k_most_locale_told = 32;
constexpr std::size_t k_flooded_output = 4 * 1024 * 1024;  // answers a peer does not read; then it is not read either

}  // namespace

Relay::Relay(boost::asio::io_context& io, net::SshPump& client, AuthorityClient& authority, Tape& tape, control::Identity identity)
    : io_(io), client_(&client), authority_(authority), tape_(tape), guards_(std::make_unique<GuardGate>(io, *this, authority)), identity_(std::move(identity)) {}

Relay::~Relay() = default;

void Relay::new_guard_rules(std::uint32_t channel, const std::string& rules) { guards_->new_rules(channel, rules); }

void Relay::serve_target(net::SshPump& target, const control::TargetGrant& grant) {
  target_ = &target;
  grant_ = grant;
  mode_ = Mode::relaying;
  tape_.set_synced(grant.durability() == control::SYNCED);
  unpark_all();
  auto early = std::exchange(early_, {});
  for (auto& message : early) on_message(Side::client, message.type, message.payload);
  client_->hold_reading(false);
  turn();
}

void Relay::refuse_all(const Notice& notice) {
  refusal_ = notice;
  mode_ = Mode::refusing;
  unpark_all();
  auto early = std::exchange(early_, {});
  for (auto& message : early) on_message(Side::client, message.type, message.payload);
  client_->hold_reading(false);
  turn();
}

void Relay::serve_bare(BareService& service) {
  bare_ = &service;
  mode_ = Mode::bare;
  auto early = std::exchange(early_, {});
  for (auto& message : early) on_message(Side::client, message.type, message.payload);
  client_->hold_reading(false);
  turn();
}

void Relay::send(Side to, std::span<const std::byte> message) {
  net::SshPump* pump = leg(to);
  if (pump == nullptr || pump->is_closed()) return;
  const iovec part{const_cast<std::byte*>(message.data()), message.size()};
  ssh_session_send_payload(pump->raw(), &part, 1);
}

void Relay::break_protocol(Side side, std::string why) {
  if (over_) return;
  over_ = true;
  if (on_over) on_over(fmt::format("the {} broke the protocol: {}", side == Side::client ? "client" : "target", why));
}

Channel* Relay::find(std::uint32_t id) {
  const auto found = channels_.find(id);
  return found == channels_.end() ? nullptr : found->second.get();
}

Channel* Relay::channel_for(Side from, std::uint32_t id, const char* message) {
  Channel* channel = find(id);
  if (channel == nullptr || !channel->half(from).open) {
    break_protocol(from, fmt::format("{} for channel {} that is not open", message, id));
    return nullptr;
  }
  return channel;
}

void Relay::on_message(Side from, std::uint8_t type, std::span<const std::byte> payload) {
  if (over_) return;
  if (mode_ == Mode::connecting && from == Side::client) {
    // The target is not reached yet: the client may talk ahead, within bounds.
    early_bytes_ += payload.size() + 64;
    early_.push_back({type, copy_of(payload)});
    if (early_bytes_ > k_most_early_bytes) client_->hold_reading(true);
    return;
  }
  if (mode_ == Mode::waiting && from == Side::client && keeps_for_later(type, payload)) return;
  switch (type) {
    case message::k_global_request: on_global_request(from, payload); break;
    case message::k_request_success: on_global_reply(from, true, payload); break;
    case message::k_request_failure: on_global_reply(from, false, payload); break;
    case message::k_channel_open: on_open(from, payload); break;
    case message::k_channel_open_confirmation: on_open_confirmation(from, payload); break;
    case message::k_channel_open_failure: on_open_failure(from, payload); break;
    case message::k_channel_window_adjust: on_window_adjust(from, payload); break;
    case message::k_channel_data: on_data(from, payload, false); break;
    case message::k_channel_extended_data: on_data(from, payload, true); break;
    case message::k_channel_eof: on_eof(from, payload); break;
    case message::k_channel_close: on_close(from, payload); break;
    case message::k_channel_request: on_channel_request(from, payload); break;
    case message::k_channel_success: on_channel_reply(from, true, payload); break;
    case message::k_channel_failure: on_channel_reply(from, false, payload); break;
    default: break_protocol(from, fmt::format("message number {}", type)); break;
  }
}

void Relay::turn() {
  if (over_) return;
  // Start behind the channel that came first last time, so that one bulk stream cannot starve the others.
  std::vector<std::uint32_t> ids;
  ids.reserve(channels_.size());
  for (auto at = channels_.upper_bound(rotate_); at != channels_.end(); ++at) ids.push_back(at->first);
  for (auto at = channels_.begin(); at != channels_.end() && at->first <= rotate_; ++at) ids.push_back(at->first);
  if (!ids.empty()) rotate_ = ids.front();
  for (const std::uint32_t id : ids) {
    if (Channel* channel = find(id)) {
      move(*channel, Side::client);
      if (find(id) != nullptr) move(*channel, Side::target);
    }
    if (over_) return;
  }
  for (auto& [id, jump] : jumps_) jump->continue_reading();
  if (target_ != nullptr) target_->flush();
  client_->flush();
  if (mode_ != Mode::connecting) client_->hold_reading(client_->queued_output() > k_flooded_output);
  if (target_ != nullptr && !target_->is_closed()) target_->hold_reading(target_->queued_output() > k_flooded_output);
}

void Relay::report_closed(Channel& channel) {
  if (channel.closed_reported) return;
  channel.closed_reported = true;
  if (channel.filter) channel.filter->finish();
  tape_.finish_streams(channel);
  tape_.forget(channel);
  if (channel.local && !channel.decided) return;
  control::Envelope told;
  auto* closed = told.mutable_channel_closed();
  closed->set_channel(channel.id);
  closed->set_bytes_in(channel.bytes_in);
  closed->set_bytes_out(channel.bytes_out);
  closed->set_exit_status(channel.exit_status);
  closed->set_exit_signal(channel.exit_signal);
  closed->set_recorded_full(channel.in.full + channel.out.full + channel.err.full);
  closed->set_recorded_hashed((channel.in.total - channel.in.full) + (channel.out.total - channel.out.full) +
                              (channel.err.total - channel.err.full));
  authority_.tell_soon(std::move(told));
}

void Relay::reap(std::uint32_t id) {
  const auto found = channels_.find(id);
  if (found == channels_.end()) return;
  Channel& channel = *found->second;
  if (!channel.client.is_done() || !channel.target.is_done()) return;
  report_closed(channel);
  if (channel.local && bare_ != nullptr) bare_->closed(channel);
  jumps_.erase(id);
  channels_.erase(found);
}

bool Relay::has_target_channels() const {
  return std::any_of(channels_.begin(), channels_.end(), [](const auto& entry) { return !entry.second->target.is_done(); });
}

void Relay::write_local(Channel& channel, std::string_view text, bool to_stderr) {
  if (channel.client.sent_close || text.empty()) return;
  const auto bytes = bytes_of(text);
  for (std::size_t at = 0; at < bytes.size(); at += k_max_packet) {
    Item item;
    item.extended = to_stderr ? 1 : 0;
    item.bytes = copy_of(bytes.subspan(at, std::min<std::size_t>(k_max_packet, bytes.size() - at)));
    item.recorded = true;
    channel.to_client_bytes += item.bytes.size();
    channel.to_client.push_back(std::move(item));
  }
}

void Relay::close_local(Channel& channel, std::int32_t exit_status) {
  if (channel.exit_status < 0 && channel.exit_signal.empty()) {
    channel.exit_status = exit_status;
    Item item;
    item.kind = Item::Kind::request;
    item.request = "exit-status";
    crypto::SshWriter status;
    status.u32(static_cast<std::uint32_t>(exit_status));
    item.bytes = copy_of(status.view());
    item.recorded = true;
    channel.to_client.push_back(std::move(item));
  }
  channel.to_client.push_back(Item{.kind = Item::Kind::eof, .bytes = {}, .request = {}});
  channel.to_client.push_back(Item{.kind = Item::Kind::close, .bytes = {}, .request = {}});
}

void Relay::tell_person(Channel& channel, const Notice& notice) {
  const std::string line = render(notice);
  if (channel.pty)
    write_local(channel, "\r\n" + line + "\r\n");
  else
    write_local(channel, line + "\n", true);
}

void Relay::show_refused_file(std::uint32_t id, std::string_view code, std::string_view text) {
  Channel* channel = find(id);
  if (channel == nullptr) return;
  auto& shown = channel->refusals_shown;
  // Once each: a whole folder may be refused, and programs that take the files never read this.
  if (shown.size() >= k_most_refusals_shown || std::find(shown.begin(), shown.end(), code) != shown.end()) return;
  shown.emplace_back(code);
  write_local(*channel, std::string(text) + "\n", true);
}

void Relay::tell_aside(const Notice& notice) {
  crypto::SshWriter debug;
  debug.u8(message::k_debug).boolean(true).string(render(notice)).string("");
  send(Side::client, debug.view());
  if (asides_.size() < k_most_asides) asides_.push_back(notice);
  for (auto& [id, channel] : channels_) {
    const bool shows = channel->kind == ChannelKind::session && !channel->local && channel->decided && channel->client.open;
    if (shows && !channel->client.sent_close && channel->exit_status < 0) return write_asides(*channel);
  }
}

void Relay::write_asides(Channel& channel) {
  for (const Notice& notice : std::exchange(asides_, {})) tell_person(channel, notice);
}

void Relay::tell_refused(std::uint32_t channel, std::string_view what, std::string_view code, Side by) {
  // Clients send their locale with every channel: a long-lived connection must not end for that.
  if (!what.starts_with("env ") && ++refusals_told_[by == Side::client ? 0 : 1] > k_most_refusals)
    return break_protocol(by, "more than 1024 refused requests");
  control::Envelope told;
  told.mutable_session_event()->set_name("relay.refused");
  told.mutable_session_event()->set_json(
      fmt::format(R"({{"channel":{},"request":{},"decision":"deny","code":"{}"}})", channel, json_string(printable(what, 64)), code));
  authority_.tell(std::move(told));
}

void Relay::tell_not_passed(std::uint32_t channel, std::string_view variable) {
  if (std::find(locale_told_.begin(), locale_told_.end(), variable) != locale_told_.end()) return;
  if (locale_told_.size() >= k_most_locale_told) return tell_refused(channel, "env " + std::string(variable), "SP-2027");  // no client has so many
  locale_told_.emplace_back(variable);
  control::Envelope told;
  told.mutable_session_event()->set_name("relay.refused");
  told.mutable_session_event()->set_json(fmt::format(R"({{"channel":{},"request":{},"decision":"ignore","code":"SP-2027"}})", channel,
                                                     json_string(printable("env " + std::string(variable), 64))));
  authority_.tell(std::move(told));
}

void Relay::end_channel(std::uint32_t id, const Notice& notice) {
  Channel* channel = find(id);
  if (channel == nullptr || channel->client.sent_close) return;
  drop_queue(*channel, Side::target);
  drop_queue(*channel, Side::client);
  if (channel->kind == ChannelKind::session) {
    if (channel->target.open && !channel->target.sent_close && channel->decided) {
      signal_target(*channel, "HUP");
      signal_target(*channel, "TERM");
    }
    tell_person(*channel, notice);
    channel->exit_status = -1;
    channel->exit_signal.clear();
    close_local(*channel, 255);
  } else {
    channel->to_client.push_back(Item{.kind = Item::Kind::close, .bytes = {}, .request = {}});
  }
  if (channel->target.open && !channel->target.sent_close)
    channel->to_target.push_back(Item{.kind = Item::Kind::close, .bytes = {}, .request = {}});
  channel->held = false;
  jumps_.erase(id);
  move(*channel, Side::target);
  if (find(id) != nullptr) move(*channel, Side::client);
}

void Relay::replace_rules(std::uint32_t id, const FileRules& rules) {
  Channel* channel = find(id);
  if (channel != nullptr && channel->filter) channel->filter->replace_rules(rules);
}

void Relay::end_all(const Notice& notice) {
  if (over_ || ending_) return;
  ending_ = true;
  std::vector<std::uint32_t> ids;
  for (const auto& [id, channel] : channels_) ids.push_back(id);
  for (const std::uint32_t id : ids) end_channel(id, notice);
  refusal_ = notice;
  if (mode_ != Mode::bare) mode_ = Mode::refusing;
  turn();
}

void Relay::client_gone() {
  if (target_ == nullptr || target_->is_closed()) return;
  // What the person ran must not outlive her connection: sshd does that for a pty only.
  for (auto& [id, channel] : channels_) {
    drop_queue(*channel, Side::client);
    drop_queue(*channel, Side::target);
    if (!channel->target.open || channel->target.sent_close) continue;
    if (channel->kind == ChannelKind::session && channel->decided) {
      signal_target(*channel, "HUP");
      signal_target(*channel, "TERM");
    }
    send(Side::target, message::channel(message::k_channel_close, channel->target.peer_id));
    channel->target.sent_close = true;
  }
  for (auto& [id, channel] : channels_) report_closed(*channel);
  target_->flush();
  draining_ = true;
}

void Relay::target_gone(const std::string& why) {
  if (mode_ != Mode::relaying) return;
  mode_ = Mode::refusing;
  refusal_ = make_notice("SP-3009", why);
  for (auto& [id, channel] : channels_) {
    channel->target.open = false;
    channel->target.pending = false;
    drop_queue(*channel, Side::target);
    if (channel->client.sent_close || channel->local) continue;
    const bool ends_by_itself = std::any_of(channel->to_client.begin(), channel->to_client.end(),
                                            [](const Item& item) { return item.kind == Item::Kind::close; });
    if (ends_by_itself) continue;
    if (channel->kind == ChannelKind::session) {
      tell_person(*channel, refusal_);
      close_local(*channel, 255);
    } else if (channel->client.open) {
      channel->to_client.push_back(Item{.kind = Item::Kind::close, .bytes = {}, .request = {}});
    } else {
      refuse_open(Side::client, channel->client.peer_id, message::k_connect_failed, "the target is gone");
    }
  }
  turn();
}

void Relay::tick() {
  tick_waiting();
  for (auto& [id, channel] : channels_) {
    if (!channel->pty || channel->local) continue;
    channel->typed.tick();
    if (tape_.settle_lines(*channel) == Tape::Put::failed) return;
  }
}

}  // namespace sallyport::gateway
