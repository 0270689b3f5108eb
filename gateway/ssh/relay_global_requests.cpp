// Global requests (RFC 4254 sections 4 and 7): remote forwards, keepalives.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "gateway/ssh/messages.h"
#include "gateway/ssh/refusal.h"
#include "gateway/ssh/relay.h"
#include "gateway/ssh/small_talk.h"
#include "platform/model/utf8.h"

namespace sallyport::gateway {
namespace {

constexpr std::size_t k_most_global_requests = 1024;  // a keepalive each second, while a forward waits ten minutes for a person

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
    const auto pending = std::find_if(remote_forwards_.begin(), remote_forwards_.end(), [](const std::string& entry) { return entry.starts_with("pending "); });
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

}  // namespace sallyport::gateway
