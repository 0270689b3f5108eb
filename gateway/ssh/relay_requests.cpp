// Channel requests (RFC 4254 section 6; RFC 4335 for break; PROTOCOL of OpenSSH). Global ones: relay_global_requests.cpp; shell, exec and
// subsystem once they are taken: relay_programs.cpp.
#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "gateway/ssh/guard_gate.h"
#include "gateway/ssh/messages.h"
#include "gateway/ssh/refusal.h"
#include "gateway/ssh/relay.h"
#include "gateway/ssh/small_talk.h"

namespace sallyport::gateway {
namespace {

constexpr std::size_t k_longest_command = 256 * 1024;

[[nodiscard]] bool matches(std::string_view pattern, std::string_view name) {
  if (pattern.ends_with('*')) return name.starts_with(pattern.substr(0, pattern.size() - 1));
  return pattern == name;
}

/// Variables that stock clients send with every channel (SendEnv of the distributions) without their person's asking: that they
/// are not passed on is noted, but nobody was denied anything.
[[nodiscard]] bool is_sent_unasked(std::string_view variable) {
  return variable == "LANG" || variable == "LANGUAGE" || variable.starts_with("LC_") || variable == "COLORTERM" || variable == "NO_COLOR" ||
         variable == "XMODIFIERS";
}

/// Requests on a session channel that a client may make and that change nothing but the running program's terminal or
/// state: passed on as they are.
[[nodiscard]] bool passes_unasked(std::string_view name) { return name == "signal" || name == "break" || name == "xon-xoff" || name == "eow@openssh.com"; }
}  // namespace

void Relay::on_channel_request(Side from, std::span<const std::byte> payload) {
  crypto::SshReader reader(payload);
  const std::uint32_t id = reader.u32();
  const std::string name(reader.text());
  const bool want_reply = reader.boolean();
  if (!reader.ok() || name.size() > 256) return break_protocol(from, "malformed CHANNEL_REQUEST");
  if (reader.rest().size() > k_longest_command) return break_protocol(from, "channel request above 256 KiB");
  Channel* channel = find(id);
  if (channel == nullptr || !channel->half(from).open || channel->half(from).got_close) return;  // late, after the close
  if (is_small_talk(name) || channel->kind != ChannelKind::session) {
    if (!is_small_talk(name)) tell_refused(id, name, "SP-2009", from);
    if (want_reply) reply_request(*channel, from, false);
    return;
  }
  Item item;
  item.kind = Item::Kind::request;
  item.request = name;
  item.want_reply = want_reply;
  item.bytes = copy_of(reader.rest());
  auto& queue = channel->queue_to(other(from));
  const auto requests = std::count_if(queue.begin(), queue.end(), [](const Item& waiting) { return waiting.kind == Item::Kind::request; });
  if (static_cast<std::size_t>(requests) >= k_most_queued_requests) return break_protocol(from, "too many channel requests at once");
  queue.push_back(std::move(item));
  if (channel->parked && from == Side::client) return note_parked(*channel, queue.back());
  move(*channel, other(from));
}

void Relay::reply_request(Channel& channel, Side to, bool success) {
  const Half& half = channel.half(to);
  if (!half.open || half.sent_close) return;
  send(to, message::channel(success ? message::k_channel_success : message::k_channel_failure, half.peer_id));
}

void Relay::forward_request(Channel& channel, Side to, const Item& item) {
  const Half& half = channel.half(to);
  if (!half.open || half.sent_close) return;
  crypto::SshWriter writer;
  writer.u8(message::k_channel_request).u32(half.peer_id).string(item.request).boolean(item.want_reply).raw(item.bytes);
  if (item.want_reply) (to == Side::target ? channel.replies_from_target : channel.replies_from_client).push_back(true);
  send(to, writer.view());
}

void Relay::on_channel_reply(Side from, bool success, std::span<const std::byte> payload) {
  crypto::SshReader reader(payload);
  const std::uint32_t id = reader.u32();
  if (!reader.finished()) return break_protocol(from, "malformed channel reply");
  Channel* channel = find(id);
  if (channel == nullptr) return;
  auto& expected = from == Side::target ? channel->replies_from_target : channel->replies_from_client;
  if (expected.empty()) return break_protocol(from, "a reply to nothing");
  const bool passes = expected.front();
  expected.pop_front();
  if (passes) reply_request(*channel, other(from), success);
  else if (from == Side::target) guards_->probe_answered(*channel);
}

bool Relay::env_allowed(std::string_view name) const {
  return std::any_of(grant_.env_allowed().begin(), grant_.env_allowed().end(),
                     [&](const std::string& pattern) { return matches(pattern, name); });
}

bool Relay::take_client_request(Channel& channel, Item& item) {
  const std::string& name = item.request;
  const auto refuse = [&](std::string_view code) {
    tell_refused(channel.id, name, code);
    if (item.want_reply) reply_request(channel, Side::client, false);
    return true;
  };
  crypto::SshReader reader(item.bytes);
  if (item.recorded) {  // our own question, whose answer is nobody else's
    crypto::SshWriter probe;
    probe.u8(message::k_channel_request).u32(channel.target.peer_id).string(name).boolean(true);
    channel.replies_from_target.push_back(false);
    send(Side::target, probe.view());
    return true;
  }
  if (name == "shell" || name == "exec" || name == "subsystem") {
    if (channel.decided) return refuse("SP-6007");  // RFC 4254 section 6.5: one program on a channel
    ask_program(channel, item);
    return false;
  }
  if (name == "pty-req") {
    if (identity_.forbid_pty()) return refuse("SP-2022");
    if (channel.decided || channel.pty) return refuse("SP-5006");
    channel.term = printable(reader.text(), 64);
    channel.columns = reader.u32();
    channel.rows = reader.u32();
    channel.x_pixels = reader.u32();
    channel.y_pixels = reader.u32();
    static_cast<void>(reader.string());
    if (!reader.finished()) {
      break_protocol(Side::client, "malformed pty-req");
      return false;
    }
    channel.pty = true;
    channel.typed.size(channel.columns, channel.rows);
    forward_request(channel, Side::target, item);
    return true;
  }
  if (name == "window-change") {
    channel.columns = reader.u32();
    channel.rows = reader.u32();
    channel.x_pixels = reader.u32();
    channel.y_pixels = reader.u32();
    if (!reader.finished()) {
      break_protocol(Side::client, "malformed window-change");
      return false;
    }
    if (tape_.resize(channel) != Tape::Put::stored) return false;
    guards_->resized(channel);
    channel.typed.size(channel.columns, channel.rows);
    forward_request(channel, Side::target, item);
    return true;
  }
  if (name == "env") {
    const auto variable = reader.text();
    if (channel.decided || !env_allowed(variable)) {
      if (!channel.decided && is_sent_unasked(variable)) tell_not_passed(channel.id, variable.substr(0, 60));
      else tell_refused(channel.id, "env " + std::string(variable.substr(0, 60)), channel.decided ? "SP-5006" : "SP-2027");
      if (item.want_reply) reply_request(channel, Side::client, false);
      return true;
    }
    forward_request(channel, Side::target, item);
    return true;
  }
  if (name == "auth-agent-req@openssh.com" || name == "x11-req") {
    const bool is_agent = name != "x11-req";
    if (identity_.forbid_forwarding()) {
      tell_aside(make_notice("SP-2022"));
      return refuse("SP-2022");
    }
    control::Envelope question;
    question.mutable_channel_ask()->set_channel(channel.id);
    question.mutable_channel_ask()->set_kind(is_agent ? "agent" : "x11");
    channel.held = true;
    authority_.ask(std::move(question), k_patient_deadline, [this, id = channel.id, is_agent](const Result<control::Received>& answer) {
      Channel* asked = find(id);
      if (asked == nullptr || over_) return;
      asked->held = false;
      if (asked->to_target.empty()) return;
      const Item waiting = std::move(asked->to_target.front());
      asked->to_target.pop_front();
      if (const Notice notice = notice_of_answer(answer); notice.code.empty()) {
        (is_agent ? agent_granted_ : x11_granted_) = true;
        forward_request(*asked, Side::target, waiting);
      } else {
        tell_aside(notice);
        if (waiting.want_reply) reply_request(*asked, Side::client, false);
      }
      turn();
    });
    return false;
  }
  if (passes_unasked(name)) {
    if (name == "signal" || name == "break") guards_->signalled(channel);
    forward_request(channel, Side::target, item);
    return true;
  }
  return refuse("SP-2009");
}

bool Relay::take_target_request(Channel& channel, Item& item) {
  if (channel.client.sent_close) return true;
  if (item.recorded) {  // our own
    forward_request(channel, Side::client, item);
    return true;
  }
  crypto::SshReader reader(item.bytes);
  if (item.request == "exit-status" || item.request == "exit-signal") {
    if (channel.exit_status < 0 && channel.exit_signal.empty()) {
      if (item.request == "exit-status")
        channel.exit_status = static_cast<std::int32_t>(reader.u32() & 0x7fffffffu);
      else
        channel.exit_signal = printable(reader.text(), 32);
    }
    const Tape::Put streams = tape_.finish_streams(channel);
    if (streams != Tape::Put::stored || tape_.exit(channel) != Tape::Put::stored) return false;
    forward_request(channel, Side::client, item);
    return true;
  }
  if (item.request == "xon-xoff" || item.request == "eow@openssh.com") {
    forward_request(channel, Side::client, item);
    return true;
  }
  if (item.want_reply) reply_request(channel, Side::target, false);
  return true;
}

void Relay::take_local_request(Channel& channel, Item& item) {
  crypto::SshReader reader(item.bytes);
  bool success = false;
  if (item.request == "pty-req" && !channel.decided) {
    channel.term = printable(reader.text(), 64);
    channel.columns = reader.u32();
    channel.rows = reader.u32();
    channel.pty = success = reader.ok();
    channel.pty_request = item.bytes;
  } else if (item.request == "window-change") {
    channel.columns = reader.u32();
    channel.rows = reader.u32();
    if (bare_ != nullptr && channel.decided) bare_->resized(channel);
    success = true;
  } else if (item.request == "env" || item.request == "signal" || item.request == "eow@openssh.com") {
    success = true;
  } else if ((item.request == "shell" || item.request == "exec" || item.request == "subsystem") && !channel.decided) {
    const std::string command = item.request == "shell" ? std::string() : std::string(reader.text());
    channel.decided = true;
    if (item.want_reply) reply_request(channel, Side::client, true);
    if (mode_ == Mode::bare && bare_ != nullptr && !ending_ && item.request != "subsystem") {
      bare_->start(channel, command);
    } else {
      const Notice notice = mode_ == Mode::bare && !ending_ ? make_notice("SP-2023") : refusal_;
      tell_refused(channel.id, item.request, notice.code);
      tell_person(channel, notice);
      close_local(channel, 255);
    }
    boost::asio::post(io_, [this] { turn(); });
    return;
  }
  if (!success && !is_small_talk(item.request)) tell_refused(channel.id, item.request, mode_ == Mode::bare ? "SP-2023" : refusal_.code);
  if (item.want_reply) reply_request(channel, Side::client, success);
}

void Relay::signal_target(Channel& channel, std::string_view name) {
  if (target_ == nullptr || !channel.target.open || channel.target.sent_close) return;
  crypto::SshWriter writer;
  writer.u8(message::k_channel_request).u32(channel.target.peer_id).string("signal").boolean(false).string(name);
  send(Side::target, writer.view());
}

}  // namespace sallyport::gateway
