// Opening channels (RFC 4254 sections 5.1, 6.1, 7.2; PROTOCOL of OpenSSH sections 2.4 and 2.5 for unix sockets).
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "gateway/ssh/agent_gate.h"
#include "gateway/ssh/jump_stream.h"
#include "gateway/ssh/messages.h"
#include "gateway/ssh/refusal.h"
#include "gateway/ssh/relay.h"
#include "platform/model/utf8.h"

namespace sallyport::gateway {
namespace {

constexpr std::chrono::milliseconds k_decision_deadline{40'000};

}  // namespace

void Relay::refuse_open(Side to, std::uint32_t peer_id, std::uint32_t reason, std::string_view text) {
  crypto::SshWriter writer;
  writer.u8(message::k_channel_open_failure).u32(peer_id).u32(reason).string(text).string("");
  send(to, writer.view());
}

void Relay::on_open(Side from, std::span<const std::byte> payload) {
  crypto::SshReader reader(payload);
  const std::string_view type = reader.text();
  const std::uint32_t peer_id = reader.u32();
  const std::uint32_t window = reader.u32();
  const std::uint32_t max_packet = reader.u32();
  if (!reader.ok() || type.size() > 128) return break_protocol(from, "malformed CHANNEL_OPEN");
  if (ending_ || draining_) return refuse_open(from, peer_id, message::k_administratively_prohibited, "the session is ending");
  if (channels_.size() >= k_most_channels) {
    if (!std::exchange(shortage_told_, true)) tell_refused(UINT32_MAX, type, "SP-5008", from);  // once, until there is room again
    return refuse_open(from, peer_id, message::k_resource_shortage, render(make_notice("SP-5008")));
  }
  shortage_told_ = false;
  if (max_packet < 64) {
    tell_refused(UINT32_MAX, type, "SP-5006", from);
    return refuse_open(from, peer_id, message::k_resource_shortage, "maximum packet size too small");
  }
  auto owned = std::make_unique<Channel>();
  Channel& channel = *owned;
  do {
    channel.id = next_id_++;
  } while (channels_.contains(channel.id));
  channel.opener = from;
  Half& half = channel.half(from);
  half.peer_id = peer_id;
  half.peer_window = window;
  half.peer_max_packet = max_packet;
  half.pending = true;
  const std::uint32_t id = channel.id;
  channels_.emplace(id, std::move(owned));
  if (from == Side::client)
    open_from_client(type, channel, reader.rest());
  else
    open_from_target(type, channel, reader.rest());
}

void Relay::open_from_client(std::string_view type, Channel& channel, std::span<const std::byte> specific) {
  const std::uint32_t id = channel.id;
  const auto refuse = [&](std::uint32_t reason, std::string_view text) {
    refuse_open(Side::client, channel.client.peer_id, reason, text);
    channels_.erase(id);
  };
  if (type == "session") {
    if (no_more_sessions_) {
      tell_refused(id, "session", "SP-5006");
      return refuse(message::k_administratively_prohibited, "no more sessions were asked for");
    }
    if (mode_ == Mode::relaying) return forward_open(channel, Side::target, type, {});
    if (mode_ == Mode::waiting) return park(channel);
    channel.local = true;
    return confirm_open(channel, Side::client);
  }
  if (mode_ == Mode::refusing) {
    tell_refused(id, type, refusal_.code);
    return refuse(message::k_connect_failed, render(refusal_));
  }
  // What no resolver and no file system of ours knows is not asked for: one program would end the name at its NUL, another not.
  const auto refuse_name = [&] {
    tell_refused(id, type, "SP-2011");
    refuse(message::k_administratively_prohibited, render(make_notice("SP-2011", "its name is not plain text")));
  };
  crypto::SshReader reader(specific);
  if (type == "direct-tcpip") {
    const std::string host(reader.text());
    const std::uint32_t port = reader.u32();
    const std::string origin(reader.text());
    const std::uint32_t origin_port = reader.u32();
    if (!reader.finished() || host.size() > 255 || port > 65535) return break_protocol(Side::client, "malformed direct-tcpip");
    if (identity_.forbid_forwarding()) tell_refused(id, type, "SP-2022");
    if (identity_.forbid_forwarding()) return refuse(message::k_administratively_prohibited, render(make_notice("SP-2022")));
    if (!is_plain_text(host)) return refuse_name();
    if (mode_ == Mode::bare) return open_jump(channel, host, port);
    control::ChannelAsk ask;
    ask.set_kind("tunnel-local");
    ask.set_host(host);
    ask.set_port(port);
    ask.set_origin_host(escape_not_utf8(origin.substr(0, 255)));
    ask.set_origin_port(origin_port);
    return ask_tunnel(channel, std::move(ask), std::string(type), copy_of(specific));
  }
  if (type == "direct-streamlocal@openssh.com" && mode_ == Mode::relaying) {
    const std::string path(reader.text());
    if (!reader.ok() || path.size() > 4096) return break_protocol(Side::client, "malformed direct-streamlocal");
    if (identity_.forbid_forwarding()) tell_refused(id, type, "SP-2022");
    if (identity_.forbid_forwarding()) return refuse(message::k_administratively_prohibited, render(make_notice("SP-2022")));
    if (!is_plain_text(path)) return refuse_name();
    control::ChannelAsk ask;
    ask.set_kind("tunnel-unix");
    ask.set_path(path);
    return ask_tunnel(channel, std::move(ask), std::string(type), copy_of(specific));
  }
  const bool needs_target = type == "direct-streamlocal@openssh.com";
  tell_refused(id, type, needs_target ? "SP-2023" : "SP-2009");
  refuse(needs_target ? message::k_administratively_prohibited : message::k_unknown_channel_type, render(make_notice(needs_target ? "SP-2023" : "SP-2009")));
}

void Relay::open_from_target(std::string_view type, Channel& channel, std::span<const std::byte> specific) {
  const std::uint32_t id = channel.id;
  const auto refuse = [&](std::uint32_t reason, std::string_view text) {
    refuse_open(Side::target, channel.target.peer_id, reason, text);
    channels_.erase(id);
  };
  crypto::SshReader reader(specific);
  if (type == "forwarded-tcpip" || type == "forwarded-streamlocal@openssh.com") {
    // Only what the client asked for and was granted may come back.
    const bool is_tcp = type == "forwarded-tcpip";
    const std::string where(reader.text());
    const std::uint32_t port = is_tcp ? reader.u32() : 0;
    if (!reader.ok()) return break_protocol(Side::target, "malformed forwarded channel");
    const std::string wanted = is_tcp ? fmt::format("tcp {} {}", where, port) : fmt::format("unix {}", where);
    const bool granted = std::find(remote_forwards_.begin(), remote_forwards_.end(), wanted) != remote_forwards_.end() ||
                         (is_tcp && std::find(remote_forwards_.begin(), remote_forwards_.end(), fmt::format("tcp * {}", port)) != remote_forwards_.end());
    if (!granted) {
      tell_refused(id, type, "SP-2011", Side::target);
      return refuse(message::k_administratively_prohibited, "not asked for");
    }
    channel.kind = ChannelKind::tunnel_in;
    channel.program = "tunnel-remote";
    channel.sniff_first_bytes = true;
    control::Envelope told;
    told.mutable_session_event()->set_name("tunnel.opened");
    told.mutable_session_event()->set_json(fmt::format(R"({{"channel":{},"direction":"remote","port":{}}})", id, port));
    authority_.tell(std::move(told));
    return forward_open(channel, Side::client, type, specific);
  }
  if (type == "auth-agent@openssh.com" && agent_granted_) {
    channel.kind = ChannelKind::agent;
    channel.program = "agent";
    channel.filter = std::make_unique<AgentGate>([this](std::string_view name, const std::string& json) {
      control::Envelope told;
      told.mutable_session_event()->set_name(std::string(name));
      told.mutable_session_event()->set_json(json);
      authority_.tell(std::move(told));
    });
    return forward_open(channel, Side::client, type, specific);
  }
  if (type == "x11" && x11_granted_) {
    channel.kind = ChannelKind::x11;
    channel.program = "x11";
    return forward_open(channel, Side::client, type, specific);
  }
  tell_refused(id, type, type == "auth-agent@openssh.com" ? "SP-2018" : type == "x11" ? "SP-2019" : "SP-2009", Side::target);
  refuse(message::k_administratively_prohibited, "not permitted");
}

void Relay::forward_open(Channel& channel, Side to, std::string_view type, std::span<const std::byte> specific) {
  Half& half = channel.half(to);
  half.pending = true;
  half.our_window = k_window;
  crypto::SshWriter writer;
  writer.u8(message::k_channel_open).string(type).u32(channel.id).u32(k_window).u32(k_max_packet).raw(specific);
  send(to, writer.view());
  leg(to)->flush();
}

void Relay::go_on_at_target(std::uint32_t id) {
  Channel* channel = find(id);
  if (channel == nullptr || !channel->local || channel->client.sent_close) return;
  if (mode_ != Mode::relaying) {
    tell_person(*channel, refusal_);
    close_local(*channel, 255);
    return turn();
  }
  channel->local = false;
  channel->decided = false;
  channel->pty = false;
  Item pty;
  pty.kind = Item::Kind::request;
  pty.request = "pty-req";
  pty.bytes = channel->pty_request;
  Item shell;
  shell.kind = Item::Kind::request;
  shell.request = "shell";
  channel->to_target.clear();
  channel->to_target.push_back(std::move(pty));
  channel->to_target.push_back(std::move(shell));
  forward_open(*channel, Side::target, "session", {});
  turn();
}

void Relay::confirm_open(Channel& channel, Side to) {
  Half& half = channel.half(to);
  half.pending = false;
  half.open = true;
  half.our_window = k_window;
  crypto::SshWriter writer;
  writer.u8(message::k_channel_open_confirmation).u32(half.peer_id).u32(channel.id).u32(k_window).u32(k_max_packet);
  send(to, writer.view());
}

void Relay::on_open_confirmation(Side from, std::span<const std::byte> payload) {
  crypto::SshReader reader(payload);
  const std::uint32_t id = reader.u32();
  const std::uint32_t peer_id = reader.u32();
  const std::uint32_t window = reader.u32();
  const std::uint32_t max_packet = reader.u32();
  Channel* channel = find(id);
  if (!reader.ok() || channel == nullptr || !channel->half(from).pending || channel->opener == from)
    return break_protocol(from, "unexpected CHANNEL_OPEN_CONFIRMATION");
  Half& half = channel->half(from);
  half.pending = false;
  half.open = true;
  half.peer_id = peer_id;
  half.peer_window = window;
  half.peer_max_packet = std::max<std::uint32_t>(max_packet, 1);
  if (!channel->half(other(from)).open) confirm_open(*channel, other(from));
  move(*channel, from);
  if (find(id) != nullptr) move(*channel, other(from));
}

void Relay::on_open_failure(Side from, std::span<const std::byte> payload) {
  crypto::SshReader reader(payload);
  const std::uint32_t id = reader.u32();
  const std::uint32_t reason = reader.u32();
  const std::string text(reader.text());
  Channel* channel = find(id);
  if (!reader.ok() || channel == nullptr || !channel->half(from).pending || channel->opener == from)
    return break_protocol(from, "unexpected CHANNEL_OPEN_FAILURE");
  if (channel->half(other(from)).open) {
    channel->half(from).pending = false;
    return end_channel(id, make_notice("SP-3009", printable(text, 200)));
  }
  refuse_open(other(from), channel->half(other(from)).peer_id, reason, printable(text, 200));
  if (channel->kind != ChannelKind::session) report_closed(*channel);
  channels_.erase(id);
}

void Relay::ask_tunnel(Channel& channel, control::ChannelAsk ask, std::string type, Bytes specific) {
  const std::uint32_t id = channel.id;
  channel.kind = ChannelKind::tunnel_out;
  channel.program = ask.kind();
  channel.record_content = false;
  std::string started = fmt::format(
      R"({{"event":"channel.started","channel":{},"kind":{},"host":{},"port":{},"origin_host":{},"origin_port":{},"path":{},"pty":false}})", id,
      json_string(ask.kind()), json_string(ask.host()), ask.port(), json_string(ask.origin_host()), ask.origin_port(), json_string(ask.path()));
  control::Envelope question;
  ask.set_channel(id);
  *question.mutable_channel_ask() = std::move(ask);
  authority_.ask(std::move(question), k_patient_deadline,
                 [this, id, type = std::move(type), specific = std::move(specific), started = std::move(started)](Result<control::Received> answer) {
                   Channel* asked = find(id);
                   if (asked == nullptr || over_) return;
                   const Notice notice = notice_of_answer(answer);
                   if (!notice.code.empty()) {
                     refuse_open(Side::client, asked->client.peer_id, message::k_administratively_prohibited, render(notice));
                     channels_.erase(id);
                   } else if (mode_ != Mode::relaying) {
                     refuse_open(Side::client, asked->client.peer_id, message::k_connect_failed, render(refusal_));
                     channels_.erase(id);
                   } else {
                     asked->sniff_first_bytes = answer->envelope.channel_answer().sniff_onward_hop();
                     asked->onward_alert = answer->envelope.channel_answer().onward_alert();
                     asked->onward_approve = answer->envelope.channel_answer().onward_approve();
                     asked->decided = true;
                     asked->record_content = answer->envelope.channel_answer().record_content();
                     if (!untaped_events_.empty() || tape_.event(started) == Tape::Put::no_room) untaped_events_.push_back(started);
                     forward_open(*asked, Side::target, type, specific);
                   }
                   client_->flush();
                 });
}

void Relay::open_jump(Channel& channel, std::string host, std::uint32_t port) {
  const std::uint32_t id = channel.id;
  channel.kind = ChannelKind::jump;
  channel.program = "jump";
  channel.local = true;
  control::Envelope question;
  question.mutable_open_jump()->set_host(std::move(host));
  question.mutable_open_jump()->set_port(port);
  question.mutable_open_jump()->set_channel(id);
  authority_.ask(std::move(question), k_decision_deadline, [this, id](Result<control::Received> answer) {
    Channel* asked = find(id);
    if (asked == nullptr || over_) return;
    Notice notice;
    if (!answer)
      notice = notice_of_error(answer.error());
    else if (!answer->envelope.jump_grant().allowed())
      notice = notice_of(answer->envelope.jump_grant().refusal());
    else if (answer->descriptors.size() != 1)
      notice = make_notice("SP-5000", "the jump came without its socket");
    if (!notice.code.empty()) {
      refuse_open(Side::client, asked->client.peer_id, message::k_administratively_prohibited, render(notice));
      channels_.erase(id);
    } else {
      asked->decided = true;
      confirm_open(*asked, Side::client);
      jumps_.emplace(id, std::make_unique<JumpStream>(io_, *this, id, std::move(answer->descriptors.front())));
    }
    client_->flush();
  });
}

}  // namespace sallyport::gateway
