// Data, windows, end of file and close (RFC 4254 sections 5.2 and 5.3).
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>
#include <cstring>
#include <utility>

#include "gateway/ssh/guard_gate.h"
#include "gateway/ssh/jump_stream.h"
#include "gateway/ssh/messages.h"
#include "gateway/ssh/refusal.h"
#include "gateway/ssh/relay.h"

namespace sallyport::gateway {
namespace {

constexpr std::size_t k_output_high = 384 * 1024;    // bytes towards one leg; above it channels wait
constexpr std::uint32_t k_credit_step = k_window / 4;
constexpr std::size_t k_most_untaped = 4096;         // events of file gates that wait for room in the ring

void put_u32(std::byte* to, std::uint32_t value) {
  to[0] = static_cast<std::byte>(value >> 24);
  to[1] = static_cast<std::byte>(value >> 16);
  to[2] = static_cast<std::byte>(value >> 8);
  to[3] = static_cast<std::byte>(value);
}

}  // namespace

void Relay::on_data(Side from, std::span<const std::byte> payload, bool extended) {
  crypto::SshReader reader(payload);
  const std::uint32_t id = reader.u32();
  const std::uint32_t code = extended ? reader.u32() : 0;
  const auto data = reader.string();
  if (!reader.finished()) return break_protocol(from, "malformed CHANNEL_DATA");
  Channel* channel = channel_for(from, id, "CHANNEL_DATA");
  if (channel == nullptr) return;
  Half& source = channel->half(from);
  if (source.got_eof || source.got_close) return break_protocol(from, "data after end of file");
  if (data.size() > source.our_window) return break_protocol(from, "more data than the window allows");
  source.our_window -= static_cast<std::uint32_t>(data.size());
  (from == Side::client ? channel->bytes_in : channel->bytes_out) += data.size();
  if (from == Side::client) last_input_us_ = system_clock().boot().count();
  if (data.empty()) return;
  if (from == Side::client && !keyboard_of_.empty() && channel->pty && !channel->local) return credit(*channel, from, static_cast<std::uint32_t>(data.size()));
  if (!channel->guard) return accept_data(*channel, from, code, data);
  if (from == Side::client && code == 0 && channel->decided && guards_->from_client(*channel, data)) return;
  accept_data(*channel, from, code, data);
  if (from == Side::target && find(id) != nullptr) guards_->from_target(*find(id), data);
}

bool Relay::ends_onward(Channel& channel, Side from, std::span<const std::byte> data) {
  const Onward protocol = channel.first_bytes.look(from == channel.opener, data);
  if (protocol == Onward::none) return false;
  const bool ends = !channel.onward_alert && !channel.onward_approve;
  const char* code = protocol == Onward::ssh ? "SP-6005" : "SP-9110";
  control::Envelope told;
  told.mutable_session_event()->set_name(ends ? "tunnel.onward_hop_refused" : "tunnel.onward_hop_seen");
  told.mutable_session_event()->set_json(fmt::format(R"({{"channel":{},"protocol":"{}","decision":"{}","code":"{}"}})", channel.id,
                                                     name_of(protocol), ends ? "deny" : channel.onward_approve ? "ask" : "allow", ends ? code : ""));
  authority_.tell(std::move(told));
  channel.sniff_first_bytes = false;
  if (ends) end_channel(channel.id, make_notice(code));
  else if (channel.onward_approve) hold_onward(channel, name_of(protocol));
  return ends;
}

void Relay::accept_data(Channel& channel, Side from, std::uint32_t extended, std::span<const std::byte> data) {
  const Side to = other(from);
  const auto size = static_cast<std::uint32_t>(data.size());
  if (from == Side::client && channel.kind == ChannelKind::jump) {
    const auto jump = jumps_.find(channel.id);
    if (jump == jumps_.end()) return credit(channel, from, size);
    jump->second->write(data);
    return;
  }
  if (from == Side::client && gives_up(channel, data)) return credit(channel, from, size);
  if (channel.local) {
    credit(channel, from, size);
    if (from == Side::client && bare_ != nullptr && channel.decided) bare_->input(channel, data);
    return;
  }
  if (channel.sniff_first_bytes && ends_onward(channel, from, data)) return;
  if (channel.filter && extended == 0) {
    Bytes forward;
    Bytes back;
    const bool sound = from == Side::client ? channel.filter->from_client(data, forward, back)
                                            : channel.filter->from_target(data, forward, back);
    const std::uint32_t id = channel.id;
    if (!back.empty()) push_data(channel, from, 0, std::move(back), 0);
    if (forward.empty())
      credit(channel, from, size);
    else
      push_data(channel, to, 0, std::move(forward), size);
    if (!sound) return end_channel(id, notice_of_filter(channel.filter->error()));
    // Refusals cost the sender no window: one that asks on and reads nothing must not fill our memory.
    if (channel.queued_bytes_to(from) > 4 * k_window || untaped_events_.size() > k_most_untaped)
      return end_channel(id, make_notice("SP-5006", "answers are not read"));
    move(channel, to);
    if (find(id) != nullptr) move(channel, from);
    return;
  }
  auto& queue = channel.queue_to(to);
  Item item;
  item.extended = extended;
  item.credit = size;
  const bool may_pass = queue.empty() && channel.half(to).open && !(to == Side::target && (channel.held || client_held_)) && !leg_is_full(to);
  if (may_pass) {
    // The common case: nothing waits, so nothing is copied.
    switch (record(channel, to, extended, data, item.taped)) {
      case Recorded::failed: return;
      case Recorded::wait: break;
      case Recorded::yes:
        item.recorded = true;
        item.sequence = tape_.sequence();
        if (!tape_.is_durable(item.sequence)) break;
        const std::size_t sent = send_data(channel, to, extended, data);
        if (sent == data.size()) return credit(channel, from, size);
        data = data.subspan(sent);
        break;
    }
  }
  item.bytes = copy_of(data);
  channel.queued_bytes_to(to) += item.bytes.size();
  queue.push_back(std::move(item));
  if (may_pass && !tape_.is_durable(queue.back().sequence)) tape_.want_sync();
}

void Relay::push_data(Channel& channel, Side to, std::uint32_t extended, Bytes data, std::uint32_t credit_bytes) {
  Item item;
  item.extended = extended;
  item.bytes = std::move(data);
  item.credit = credit_bytes;
  channel.queued_bytes_to(to) += item.bytes.size();
  channel.queue_to(to).push_back(std::move(item));
}

Relay::Recorded Relay::tape_waiting_events() {
  while (!untaped_events_.empty()) {
    switch (tape_.event(untaped_events_.front())) {
      case Tape::Put::stored: break;
      case Tape::Put::no_room: return Recorded::wait;
      case Tape::Put::too_bulky:
      case Tape::Put::failed: return Recorded::failed;
    }
    untaped_events_.pop_front();
  }
  return Recorded::yes;
}

Relay::Recorded Relay::record(Channel& channel, Side to, std::uint32_t extended, std::span<const std::byte> data, std::size_t& done) {
#ifdef SALLYPORT_PLANTED_EXEC_UNRECORDED
  if (channel.program == "exec") {
    done = data.size();
    return Recorded::yes;
  }
#endif
  if (const Recorded events = tape_waiting_events(); events != Recorded::yes) return events;
  const bool is_tunnel = channel.kind == ChannelKind::tunnel_out;  // its content only where policy asks for it (ask_tunnel)
  if ((channel.kind != ChannelKind::session && !is_tunnel) || channel.local || !channel.record_content) {
    done = data.size();
    return Recorded::yes;
  }
  const Tape::Put put = to == Side::target ? tape_.input(channel, data, done) : tape_.output(channel, extended != 0, data, done);
  switch (put) {
    case Tape::Put::stored: break;
    case Tape::Put::no_room: return Recorded::wait;
    case Tape::Put::failed: return Recorded::failed;
    case Tape::Put::too_bulky:
      if (!std::exchange(channel.too_bulky, true)) {
        tell_refused(channel.id, "bulk output", "SP-4006");
        boost::asio::post(io_, [this, id = channel.id] {
          end_channel(id, make_notice("SP-4006"));
          turn();
        });
      }
      return Recorded::wait;
  }
  if (to == Side::client && channel.pty && tape_.settle_lines(channel) == Tape::Put::failed) return Recorded::failed;
  return Recorded::yes;
}

bool Relay::leg_is_full(Side side) {
  net::SshPump* pump = leg(side);
  if (pump == nullptr || pump->is_closed()) return true;
  if (pump->queued_output() <= k_output_high) return false;
  pump->flush();
  return pump->queued_output() > k_output_high;
}

std::size_t Relay::send_data(Channel& channel, Side to, std::uint32_t extended, std::span<const std::byte> data) {
  Half& sink = channel.half(to);
  net::SshPump* pump = leg(to);
  if (pump == nullptr) return 0;
  std::size_t sent = 0;
  while (sent < data.size() && !leg_is_full(to)) {
    const std::size_t size = std::min<std::size_t>({data.size() - sent, sink.peer_window, sink.peer_max_packet, k_max_packet});
    if (size == 0) break;
    std::array<std::byte, 13> header;
    std::size_t at = 0;
    header[at++] = static_cast<std::byte>(extended != 0 ? message::k_channel_extended_data : message::k_channel_data);
    put_u32(header.data() + at, sink.peer_id);
    at += 4;
    if (extended != 0) {
      put_u32(header.data() + at, extended);
      at += 4;
    }
    put_u32(header.data() + at, static_cast<std::uint32_t>(size));
    at += 4;
    const std::array<iovec, 2> parts{iovec{header.data(), at}, iovec{const_cast<std::byte*>(data.data() + sent), size}};
    if (ssh_session_send_payload(pump->raw(), parts.data(), 2) != SSH_OK) break;
    sink.peer_window -= static_cast<std::uint32_t>(size);
    sent += size;
  }
  return sent;
}

void Relay::credit(Channel& channel, Side side, std::uint32_t bytes) {
  Half& half = channel.half(side);
  const std::uint32_t foreign = std::min(bytes, half.foreign);
  half.foreign -= foreign;
  half.to_credit += bytes - foreign;
  if (!half.open || half.got_eof || half.got_close || half.sent_close || half.to_credit < k_credit_step) return;
  crypto::SshWriter adjust(16);
  adjust.u8(message::k_channel_window_adjust).u32(half.peer_id).u32(half.to_credit);
  half.our_window += half.to_credit;
  half.to_credit = 0;
  send(side, adjust.view());
}

void Relay::drop_queue(Channel& channel, Side to) {
  auto& queue = channel.queue_to(to);
  std::uint32_t credited = 0;
  for (const Item& item : queue) credited += item.credit;
  queue.clear();
  channel.queued_bytes_to(to) = 0;
  if (credited > 0) credit(channel, other(to), credited);
}

bool Relay::move_data(Channel& channel, Side to, Item& item) {
  Half& sink = channel.half(to);
  if (sink.sent_eof || sink.sent_close || sink.got_close) {
    item.done = item.bytes.size();  // nobody will read it
  } else {
    if (!item.recorded) {
      switch (record(channel, to, item.extended, item.bytes, item.taped)) {
        case Recorded::failed:
        case Recorded::wait: return false;
        case Recorded::yes: break;
      }
      item.recorded = true;
      item.sequence = tape_.sequence();
    }
    if (!tape_.is_durable(item.sequence)) {
      tape_.want_sync();
      return false;
    }
    const std::size_t sent = send_data(channel, to, item.extended, std::span(item.bytes).subspan(item.done));
    item.done += sent;
    channel.queued_bytes_to(to) -= sent;
    if (item.done < item.bytes.size()) return false;
  }
  if (item.credit > 0) credit(channel, other(to), item.credit);
  return true;
}

void Relay::move(Channel& channel, Side to) {
  const std::uint32_t id = channel.id;
  auto& queue = channel.queue_to(to);
  Half& sink = channel.half(to);
  while (!queue.empty()) {
    if (to == Side::target && (channel.held || client_held_)) break;
    if (!sink.open && !(to == Side::target && channel.local)) break;
    Item& item = queue.front();
    bool taken = true;
    switch (item.kind) {
      case Item::Kind::data: taken = move_data(channel, to, item); break;
      case Item::Kind::request:
        if (to == Side::client) taken = take_target_request(channel, item);
        else if (channel.local) take_local_request(channel, item);
        else taken = take_client_request(channel, item);
        break;
      case Item::Kind::eof:
        if (!sink.sent_eof && !sink.sent_close && sink.open) {
          sink.sent_eof = true;
          send(to, message::channel(message::k_channel_eof, sink.peer_id));
        }
        break;
      case Item::Kind::close:
        if (!sink.sent_close && sink.open) {
          sink.sent_close = true;
          send(to, message::channel(message::k_channel_close, sink.peer_id));
        }
        break;
    }
    if (over_ || find(id) == nullptr) return;
    if (!taken || queue.empty()) break;
    queue.pop_front();
  }
  reap(id);
}

void Relay::on_window_adjust(Side from, std::span<const std::byte> payload) {
  crypto::SshReader reader(payload);
  const std::uint32_t id = reader.u32();
  const std::uint32_t bytes = reader.u32();
  if (!reader.finished()) return break_protocol(from, "malformed CHANNEL_WINDOW_ADJUST");
  Channel* channel = find(id);
  if (channel == nullptr || !channel->half(from).open) return;  // late, after the close
  Half& half = channel->half(from);
  if (half.peer_window > UINT32_MAX - bytes) return break_protocol(from, "window above 2^32 - 1");
  half.peer_window += bytes;
  if (channel->kind == ChannelKind::jump) {
    const auto jump = jumps_.find(id);
    if (jump != jumps_.end()) jump->second->continue_reading();
  }
  move(*channel, from);
}

void Relay::on_eof(Side from, std::span<const std::byte> payload) {
  crypto::SshReader reader(payload);
  const std::uint32_t id = reader.u32();
  if (!reader.finished()) return break_protocol(from, "malformed CHANNEL_EOF");
  Channel* channel = find(id);
  if (channel == nullptr || !channel->half(from).open || channel->half(from).got_eof) return;
  channel->half(from).got_eof = true;
  if (channel->kind == ChannelKind::jump) {
    const auto jump = jumps_.find(id);
    if (jump != jumps_.end()) jump->second->client_eof();
    return;
  }
  if (channel->local) {
    if (bare_ != nullptr && channel->decided) bare_->input(*channel, {});
    return;
  }
  if (channel->guard && from == Side::client) guards_->client_eof(*channel);
  if (find(id) == nullptr) return;
  channel->queue_to(other(from)).push_back(Item{.kind = Item::Kind::eof, .bytes = {}, .request = {}});
  move(*channel, other(from));
}

void Relay::on_close(Side from, std::span<const std::byte> payload) {
  crypto::SshReader reader(payload);
  const std::uint32_t id = reader.u32();
  if (!reader.finished()) return break_protocol(from, "malformed CHANNEL_CLOSE");
  Channel* channel = find(id);
  if (channel == nullptr || !channel->half(from).open || channel->half(from).got_close) return;
  Half& half = channel->half(from);
  half.got_close = true;
  half.got_eof = true;
  const Side to = other(from);
  if (from == Side::target || !channel->target.open || channel->local) {
    // Nobody reads what still waits for the closing side.
    drop_queue(*channel, from);
    if (!half.sent_close) {
      half.sent_close = true;
      send(from, message::channel(message::k_channel_close, half.peer_id));
    }
  }
  // A client may close as soon as it has seen end of file both ways; the exit status still comes, and our CLOSE after it.
  if (from == Side::client) {
    jumps_.erase(id);
    if (std::exchange(channel->onward_asked, false)) drop_queue(*channel, Side::target);  // nobody agreed to it
    channel->held = false;
    const bool gave_up = channel->kind == ChannelKind::session && channel->decided && !half.sent_eof;
    if (gave_up && channel->target.open && !channel->target.got_close && channel->exit_status < 0 && channel->exit_signal.empty())
      signal_target(*channel, "HUP");
  }
  channel->queue_to(to).push_back(Item{.kind = Item::Kind::close, .bytes = {}, .request = {}});
  move(*channel, to);
  if (find(id) != nullptr) reap(id);
}

}  // namespace sallyport::gateway
