// Global requests and channel requests (RFC 4254 sections 4, 6 and 7; RFC 4335 for break; PROTOCOL of OpenSSH).
#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "gateway/ssh/guard_gate.h"
#include "gateway/ssh/messages.h"
#include "gateway/ssh/program.h"
#include "gateway/ssh/refusal.h"
#include "gateway/ssh/relay.h"
#include "gateway/ssh/sftp_gate.h"
#include "gateway/ssh/transfer_gate.h"
#include "platform/model/utf8.h"

namespace sallyport::gateway {
namespace {

constexpr std::chrono::milliseconds k_patient_deadline{660'000};
constexpr std::size_t k_most_global_requests = 1024;  // a keepalive each second, while a forward waits ten minutes for a person
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
[[nodiscard]] bool passes_unasked(std::string_view name) {
  return name == "signal" || name == "break" || name == "xon-xoff" || name == "eow@openssh.com";
}

/// Requests by which clients only find out whether or how quickly we answer: "no" is the answer, and nothing was refused.
[[nodiscard]] bool is_small_talk(std::string_view name) {
  return name.starts_with("keepalive@") || name == "winadj@putty.projects.tartarus.org" || name == "simple@putty.projects.tartarus.org" ||
         name == "hostkeys-prove-00@openssh.com";
}

}  // namespace

void Relay::on_global_request(Side from, std::span<const std::byte> payload) {
  crypto::SshReader reader(payload);
  const std::string name(reader.text());
  const bool want_reply = reader.boolean();
  if (!reader.ok() || name.size() > 256) return break_protocol(from, "malformed GLOBAL_REQUEST");
  if (from == Side::target) {
    // hostkeys-00@openssh.com and the like are between the gateway and the target; a keepalive gets its answer.
    if (want_reply) send(Side::target, Bytes{std::byte{message::k_request_failure}});
    return;
  }
  if (name == "no-more-sessions@openssh.com") no_more_sessions_ = true;
  if (replies_to_client_.size() >= k_most_global_requests) return break_protocol(from, "too many global requests at once");
  GlobalReply* reply = nullptr;
  if (want_reply) reply = &replies_to_client_.emplace_back();
  const auto answer = [&](bool success) {
    if (reply == nullptr) return;
    reply->ready = true;
    reply->success = success;
    flush_global_replies();
  };
  const bool is_tcp = name == "tcpip-forward";
  const bool is_unix = name == "streamlocal-forward@openssh.com";
  const bool cancels = name == "cancel-tcpip-forward" || name == "cancel-streamlocal-forward@openssh.com";
  if (!is_tcp && !is_unix && !cancels) {
    if (!is_small_talk(name) && name != "no-more-sessions@openssh.com") tell_refused(UINT32_MAX, name, "SP-2009");
    return answer(false);
  }
  if (mode_ != Mode::relaying) {
    if (!cancels) {
      const Notice notice = mode_ == Mode::bare ? make_notice("SP-2023") : refusal_;
      tell_refused(UINT32_MAX, name, notice.code);
      tell_aside(notice);
    }
    return answer(false);
  }
  const Bytes specific = copy_of(reader.rest());
  const std::string where(reader.text());
  const std::uint32_t port = is_unix || name == "cancel-streamlocal-forward@openssh.com" ? 0 : reader.u32();
  if (!reader.finished() || where.size() > 4096 || port > 65535) return break_protocol(from, "malformed forward request");
  const auto forward = [this, name, specific](GlobalReply* to) {
    crypto::SshWriter writer;
    writer.u8(message::k_global_request).string(name).boolean(true).raw(specific);
    send(Side::target, writer.view());
    target_->flush();
    asked_of_target_.push_back(to);
  };
  if (cancels) {
    const std::string listed = name == "cancel-tcpip-forward" ? fmt::format("tcp {} {}", where, port) : fmt::format("unix {}", where);
    std::erase(remote_forwards_, listed);
    return forward(reply);
  }
  if (!is_plain_text(where)) {
    tell_refused(UINT32_MAX, name, "SP-2011");
    tell_aside(make_notice("SP-2011", "its name is not plain text"));
    return answer(false);
  }
  control::Envelope question;
  auto* ask = question.mutable_channel_ask();
  ask->set_channel(UINT32_MAX);
  ask->set_kind(is_tcp ? "tunnel-remote" : "tunnel-unix-remote");
  if (is_tcp) {
    ask->set_host(where);
    ask->set_port(port);
  } else {
    ask->set_path(where);
  }
  if (identity_.forbid_forwarding()) {
    tell_refused(UINT32_MAX, name, "SP-2022");
    tell_aside(make_notice("SP-2022"));
    return answer(false);
  }
  authority_.ask(std::move(question), k_patient_deadline, [this, reply, forward, where, port, is_tcp](Result<control::Received> decision) {
    const Notice notice = notice_of_answer(decision);
    if (!notice.code.empty() || mode_ != Mode::relaying) {
      // RFC 4254 has no text in this refusal.
      tell_aside(notice.code.empty() ? refusal_ : notice);
      if (reply != nullptr) {
        reply->ready = true;
        reply->success = false;
        flush_global_replies();
      }
      return turn();
    }
    if (is_tcp && port != 0) remote_forwards_.push_back(fmt::format("tcp {} {}", where, port));
    if (!is_tcp) remote_forwards_.push_back(fmt::format("unix {}", where));
    if (is_tcp && port == 0) remote_forwards_.push_back(fmt::format("pending {}", where));
    forward(reply);
  });
}

void Relay::ask_target_alive() {
  crypto::SshWriter writer;
  writer.u8(message::k_global_request).string("keepalive@openssh.com").boolean(true);
  send(Side::target, writer.view());
  target_->flush();
  asked_of_target_.push_back(nullptr);
}

void Relay::on_global_reply(Side from, bool success, std::span<const std::byte> payload) {
  if (from == Side::client) {
    unanswered_keepalives_ = 0;
    return;
  }
  if (asked_of_target_.empty()) return;  // an answer to our own keepalive
  GlobalReply* reply = asked_of_target_.front();
  asked_of_target_.pop_front();
  if (success && payload.size() >= 4) {
    // Port 0 was asked for: the target says which one it took.
    const auto pending = std::find_if(remote_forwards_.begin(), remote_forwards_.end(),
                                      [](const std::string& entry) { return entry.starts_with("pending "); });
    if (pending != remote_forwards_.end()) {
      crypto::SshReader reader(payload);
      *pending = fmt::format("tcp {} {}", pending->substr(8), reader.u32());
    }
  }
  if (reply == nullptr) return;
  reply->ready = true;
  reply->success = success;
  reply->payload = copy_of(payload);
  flush_global_replies();
}

void Relay::flush_global_replies() {
  while (!replies_to_client_.empty() && replies_to_client_.front().ready) {
    const GlobalReply& reply = replies_to_client_.front();
    crypto::SshWriter writer;
    writer.u8(reply.success ? message::k_request_success : message::k_request_failure);
    if (reply.success) writer.raw(reply.payload);
    send(Side::client, writer.view());
    replies_to_client_.pop_front();
  }
  // A keepalive behind a forward that waits for a person gets no answer yet, as the order is kept: a sign of life instead.
  if (!replies_to_client_.empty() && replies_to_client_.back().ready) {
    crypto::SshWriter ignore;
    ignore.u8(message::k_ignore).string("");
    send(Side::client, ignore.view());
  }
  client_->flush();
}

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
    authority_.ask(std::move(question), k_patient_deadline, [this, id = channel.id, is_agent](Result<control::Received> answer) {
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

void Relay::ask_program(Channel& channel, Item& item) {
  crypto::SshReader reader(item.bytes);
  const std::string command = item.request == "shell" ? std::string() : std::string(reader.text());
  const Program program = classify_program(item.request, command);
  channel.program = program.kind;
  channel.held = true;
  control::Envelope question;
  auto* ask = question.mutable_channel_ask();
  ask->set_channel(channel.id);
  ask->set_kind(program.kind);
  ask->set_direction(program.direction);
  ask->set_command(command);
  ask->set_pty(channel.pty);
  ask->set_term(channel.term);
  authority_.ask(std::move(question), k_patient_deadline,
                 [this, id = channel.id](Result<control::Received> answer) { program_answered(id, std::move(answer)); });
}

void Relay::program_answered(std::uint32_t id, Result<control::Received> answer) {
  Channel* channel = find(id);
  if (channel == nullptr || over_) return;
  channel->held = false;
  if (channel->to_target.empty() || mode_ != Mode::relaying) return;
  Notice notice = notice_of_answer(answer);
  if (notice.code.empty()) {
    const auto& decision = answer->envelope.channel_answer();
    channel->bulk = decision.bulk();
    channel->full_recording_bytes = decision.full_recording_bytes();
    install_filter(*channel, decision);
    if (channel->program == "rsync" && channel->filter == nullptr) notice = make_notice("SP-6004");
    if (channel->program == "scp" && channel->filter == nullptr) {
      notice = make_notice("SP-6003");
      tell_refused(id, "scp", notice.code);
    }
  }
  if (notice.code.empty()) {
    Item& asked = channel->to_target.front();
    crypto::SshReader words(asked.bytes);
    const std::string forced = answer->envelope.channel_answer().replaced_command();
    const std::string text = !forced.empty() ? forced : asked.request == "shell" ? std::string() : std::string(words.text());
    auto kept = std::make_shared<Result<control::Received>>(std::move(answer));
    const auto again = [this, id, kept] { program_answered(id, std::move(*kept)); };
    const auto admitted = guards_->admit(*channel, (*kept)->envelope.channel_answer(), forced.empty() ? asked.request : "exec", text, notice, again);
    if (admitted == GuardGate::Admission::wait) {
      channel->held = true;
      return;
    }
    answer = std::move(*kept);
  }
  Item item = std::move(channel->to_target.front());
  channel->to_target.pop_front();
  if (!notice.code.empty()) {
    if (item.want_reply) reply_request(*channel, Side::client, true);
    refuse_program(*channel, notice);
    return turn();
  }
  const auto& decision = answer->envelope.channel_answer();
  std::string replaced = decision.replaced_command();
  if (replaced.empty() && channel->filter) replaced = channel->filter->replaced_command();
  if (!replaced.empty()) {
    item.request = "exec";
    crypto::SshWriter writer;
    writer.string(replaced);
    item.bytes = copy_of(writer.view());
  }
  crypto::SshReader reader(item.bytes);
  const std::string command = item.request == "shell" ? std::string() : std::string(reader.text());
  const Tape::Put put = tape_.event(fmt::format(
      R"({{"event":"channel.started","channel":{},"kind":{},"command":{},"pty":{},"term":{},"columns":{},"rows":{},"decision":{}}})", id,
      json_string(channel->program), json_string(command), channel->pty, json_string(channel->term), channel->columns,
      channel->rows, json_string(decision.decision())));
  if (put != Tape::Put::stored) {
    // A full ring with nothing running: the recorder is stuck. No recording, no program.
    tell_refused(id, item.request, "SP-4001");
    if (item.want_reply) reply_request(*channel, Side::client, true);
    refuse_program(*channel, make_notice("SP-4001"));
    return turn();
  }
  channel->decided = true;
  forward_request(*channel, Side::target, item);
  write_asides(*channel);
  if (channel->filter) filter_what_waited(*channel);
  else guards_->started(*channel);
  turn();
}

void Relay::filter_what_waited(Channel& channel) {
  // Clients do not wait for the answer to their request: what they sent ahead meets the gate like everything after it.
  auto waiting = std::exchange(channel.to_target, {});
  channel.to_target_bytes = 0;
  for (Item& item : waiting) {
    if (item.kind != Item::Kind::data || item.extended != 0) {
      channel.to_target.push_back(std::move(item));
      continue;
    }
    Bytes forward;
    Bytes back;
    const bool sound = channel.filter->from_client(item.bytes, forward, back);
    if (!back.empty()) push_data(channel, Side::client, 0, std::move(back), 0);
    if (forward.empty())
      credit(channel, Side::client, item.credit);
    else
      push_data(channel, Side::target, 0, std::move(forward), item.credit);
    if (!sound) return end_channel(channel.id, notice_of_filter(channel.filter->error()));
  }
}

void Relay::refuse_program(Channel& channel, const Notice& notice) {
  channel.decided = true;
  drop_queue(channel, Side::target);
  tell_person(channel, notice);
  close_local(channel, 255);
  if (channel.target.open && !channel.target.sent_close)
    channel.to_target.push_back(Item{.kind = Item::Kind::close, .bytes = {}, .request = {}});
}

void Relay::install_filter(Channel& channel, const control::ChannelAnswer& answer) {
  FileRules rules;
  rules.apply = answer.file_rules_apply();
  rules.max_file_bytes = answer.max_file_bytes();
  for (const auto& rule : answer.file_rules()) rules.list.push_back({rule.prefix(), rule.up(), rule.down(), rule.change(), rule.hold_up(), rule.hold_change()});
  const StreamFilter::EventSink sink = [this, id = channel.id](std::string_view name, const std::string& json) {
    // The fact stands in the recording before what it tells of goes on; the authority keeps it for the audit log.
    std::string fact = fmt::format(R"({{"event":"{}","channel":{},{})", name, id, std::string_view(json).substr(1));
    if (!untaped_events_.empty() || tape_.event(fact) == Tape::Put::no_room) untaped_events_.push_back(std::move(fact));
    control::Envelope told;
    told.mutable_session_event()->set_name(std::string(name));
    told.mutable_session_event()->set_json(json);
    authority_.tell(std::move(told));
  };
  const std::string command(channel.to_target.empty() ? std::string() : [&] {
    crypto::SshReader reader(channel.to_target.front().bytes);
    return std::string(reader.text());
  }());
  if (channel.program == "sftp") {
    channel.filter = make_sftp_gate(std::move(rules), sink);
  } else if (channel.program == "scp") {
    channel.filter = make_scp_gate(command, std::move(rules), sink);
  } else if (channel.program == "rsync") {
    channel.filter = make_rsync_gate(command, std::move(rules), sink);
  }
  if (channel.filter) channel.filter->on_written = [this](const WrittenFile& file) { tell_written(authority_, file); };
  if (channel.filter) {
    channel.filter->on_refused = [this, id = channel.id](std::string_view code, std::string_view text) { show_refused_file(id, code, text); };
    channel.filter->on_hold = [this, id = channel.id](std::uint32_t act, const std::string& text) { hold_file(id, act, text); };
    channel.filter->on_unheld = [this, id = channel.id] {
      control::Envelope told;
      told.mutable_approval_cancel()->set_channel(id);
      authority_.tell(std::move(told));
    };
  }
  channel.record_content = channel.filter == nullptr || answer.record_content();
}

void Relay::signal_target(Channel& channel, std::string_view name) {
  if (target_ == nullptr || !channel.target.open || channel.target.sent_close) return;
  crypto::SshWriter writer;
  writer.u8(message::k_channel_request).u32(channel.target.peer_id).string("signal").boolean(false).string(name);
  send(Side::target, writer.view());
}

}  // namespace sallyport::gateway
