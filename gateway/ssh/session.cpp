#include "gateway/ssh/session.h"

#include <fmt/format.h>
#include <malloc.h>

#include <boost/asio/co_spawn.hpp>
#include <algorithm>
#include <exception>
#include <utility>

#include "gateway/sandbox/sandbox.h"
#include "gateway/ssh/messages.h"
#include "gateway/ssh/refusal.h"
#include "gateway/ssh/serve_session.h"
#include "platform/os/wiped_memory.h"
#include "platform/seal/session_log.h"

namespace sallyport::gateway {
namespace {

constexpr std::int64_t k_second_us = 1'000'000;
constexpr std::int64_t k_quiet_us = k_second_us;  // without a byte of the client: then the session rests
constexpr std::chrono::milliseconds k_vault_deadline{10'000};
constexpr std::int64_t k_waiting_keepalive_us = 5 * k_second_us;
constexpr int k_most_unanswered_keepalives = 3;
constexpr std::uint64_t k_default_keepalive_ms = 30'000;
constexpr std::uint64_t k_default_hold_ms = 30'000;

}  // namespace

Session::Session(SessionHandover handover)
    : handover_(std::move(handover)),
      vault_(std::move(handover_.vault)),
      authority_(io_, std::move(handover_.authority)),
      tape_(io_, std::move(handover_.recorder), system_clock()),
      wake_(io_),
      second_(io_) {
  started_us_ = last_client_bytes_us_ = system_clock().boot().count();
}

Session::~Session() {
  if (ephemeral_ != nullptr) ssh_key_free(ephemeral_);
}

int Session::run() {
  authority_.start([this](const control::Received& message) { on_authority(message); }, [this] { finish("the authority is gone"); });
  tape_.start(
      [this] {
        if (relay_) relay_->turn();
      },
      [this](const std::string& why) {
        if (over_.empty()) end(make_notice("SP-4003", why));
        finish("recording failed: " + why);
      });
  boost::asio::co_spawn(io_, serve(), [this](const std::exception_ptr& failure) {
    if (failure) exit_code_ = 2;
    io_.stop();
  });
  io_.run();
  authority_.flush();
  return exit_code_;
}

boost::asio::awaitable<void> Session::serve() {
  auto session = make_server_session();
  if (!session) {
    exit_code_ = 2;
    co_return;
  }
  first_exchange_ = Fd(::dup(handover_.client.get()));
  client_ = std::make_unique<net::SshPump>(io_, std::move(*session), std::move(handover_.client));
  client_->forget_packets(true);
  client_->bound_input({});
  watch();
  if (!co_await exchange_keys()) co_return;
  auto identity = co_await log_in();
  if (!identity) {
    client_->close();
    co_return;
  }
  identity_ = std::move(*identity);
  relay_ = std::make_unique<Relay>(io_, *client_, authority_, tape_, identity_);
  relay_->on_over = [this](std::string reason) { finish(std::move(reason)); };
  relay_->on_end = [this](const Notice& notice) { end(notice); };
  const auto to_relay = [](ssh_session, std::uint8_t type, const void* payload, size_t size, void* user) -> int {
    auto* self = static_cast<Session*>(user);
    self->relay_->on_message(Side::client, type, std::span(static_cast<const std::byte*>(payload), size));
    return SSH_PACKET_USED;
  };
  ssh_session_set_payload_handler(client_->raw(), 80, 100, to_relay, this);

  if (identity_.bare()) {
    bare_ = std::make_unique<BareSession>(*relay_, authority_, identity_.principal());
    bare_->on_chosen = [this](Channel& channel, const std::string& account, const std::string& target) {
      identity_.set_account(account);
      identity_.set_target(target);
      chosen_channel_ = channel.id;
      wake_.notify();
    };
    relay_->serve_bare(*bare_);
  } else if (!co_await reach_target()) {
    // reach_target() has told the relay what to say to the person.
  }
  const auto target_ended = [this] { return target_ && target_->is_closed(); };
  bool told_target_gone = false;
  while (over_.empty() && !client_->is_closed()) {
    if (chosen_channel_ && !target_) {
      const std::uint32_t channel = *std::exchange(chosen_channel_, std::nullopt);
      co_await reach_target();
      relay_->go_on_at_target(channel);
      continue;
    }
    if (target_ended() && !told_target_gone) {
      told_target_gone = true;
      const std::string why = target_silent_ ? "it no longer answers" : printable(target_->close_reason(), 200);
      tell_outcome(control::TargetOutcome::LOST, why);
      relay_->target_gone(why);
    }
    if (ending_) {
      // Where nothing can be recorded no text can stand in a channel before it is shown: the disconnect says it.
      const bool can_tell = tape_.full_since_us() == 0 && ending_->code != "SP-4003";
      if (can_tell) relay_->end_all(*ending_);
      const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(2);
      while (can_tell && relay_->has_open_channels() && !client_->is_closed()) {
        const bool woken = co_await wake_.wait(until);
        if (!woken) break;
        relay_->turn();
      }
      if (over_.empty()) over_ = ending_->code + " " + ending_->what + ": " + ending_->why;
      break;
    }
    co_await wake_.wait();
    if (relay_) relay_->turn();
    if (rested_ && tape_.full_since_us() > 0) {  // output filled the ring while the person rested: the hold has an end
      rested_ = false;
      watch();
    }
  }
  if (over_.empty()) over_ = client_->close_reason();

  // Whatever was started on the target ends with the session; nothing more of the client counts.
  if (!client_->is_closed()) client_->hold_reading(true);
  if (target_ && !target_->is_closed()) {
    relay_->client_gone();
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(2);
    while (relay_->has_target_channels() && !target_->is_closed()) {
      const bool woken = co_await wake_.wait(until);
      if (!woken) break;
    }
    ssh_disconnect(target_->raw());
    target_->close();
  }
  if (!client_->is_closed()) {
    disconnect_client(over_);
    // The reason stands behind output that the client has not taken yet. And a close on what it sent and we did not read resets the
    // connection: a client that still writes would then not read to the end.
    const bool behind = client_->queued_output() > 0;
    auto until = std::chrono::steady_clock::now() + std::chrono::seconds(2);
    while (client_->queued_output() > 0 && !client_->is_closed()) {
      const bool woken = co_await wake_.wait(until);
      if (!woken) break;
    }
    until = std::chrono::steady_clock::now() + std::chrono::milliseconds(behind || ending_ ? 200 : 0);
    while (std::chrono::steady_clock::now() < until && !client_->is_closed()) co_await wake_.wait(until);
    client_->close();
  }
  if (tape_.is_open()) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (relay_->tape_waiting_events() == Relay::Recorded::wait || tape_.end(printable(over_, 300)) == Tape::Put::no_room) {
      const bool woken = co_await wake_.wait(until);
      if (!woken) break;
    }
  }
}

bool Session::open_recording() {
  control::Envelope question;
  question.mutable_recording_key_request();
  auto answer = vault_.call_blocking(std::move(question), k_vault_deadline);
  if (!answer || answer->envelope.recording_key().key().size() != 32) {
    relay_->refuse_all(make_notice("SP-4005", answer ? "" : answer.error().detail));
    return false;
  }
  auto* key = answer->envelope.mutable_recording_key();
  auto ring = seal::RingProducer::adopt(handover_.ring);
  if (!ring) {
    relay_->refuse_all(make_notice("SP-4001", ring.error().detail));
    return false;
  }
  Secret session_key(std::string_view(key->key()));
  OPENSSL_cleanse(key->mutable_key()->data(), key->key().size());
  tape_.open(std::make_unique<seal::SessionLog>(*ring, handover_.session, std::move(session_key), system_clock()));
  std::string factors;
  for (const std::string& factor : identity_.factors()) factors += (factors.empty() ? "" : ",") + json_string(factor);
  const std::string header = fmt::format(
      R"({{"session":"{}","principal":{},"account":{},"target":{},"source":"{}","source_port":{},"gateway_address":"{}","gateway_port":{},"outer_session":"{}","factors":[{}],"client_version":{},"client_algorithms":{},"recipients":{}}})",
      handover_.session.view(), json_string(identity_.principal()), json_string(identity_.account()), json_string(identity_.target()),
      handover_.peer_address, handover_.peer_port, handover_.local_address, handover_.local_port, handover_.outer_session, factors,
      json_string(printable(ssh_session_negotiated(client_->raw(), 6), 255)), json_string(algorithms_of(client_->raw())),
      json_string(key->recipients()));
  const Tape::Put put = tape_.header(header, bytes_of(key->wrapped()));
  if (put != Tape::Put::stored) {
    relay_->refuse_all(make_notice("SP-4001", "the recording could not be opened"));
    return false;
  }
  return true;
}

std::string Session::algorithms_of(ssh_session session) const {
  const auto fact = [&](int what) { return std::string(ssh_session_negotiated(session, what)); };
  return fmt::format("kex={} hostkey={} c2s={}{}{} s2c={}{}{} {}", fact(0), fact(1), fact(2), fact(4).empty() ? "" : "+", fact(4), fact(3),
                     fact(5).empty() ? "" : "+", fact(5), fact(7));
}

void Session::on_authority(const control::Received& message) {
  const control::Envelope& envelope = message.envelope;
  if (envelope.has_mask_values()) {
    std::vector<seal::MaskValue> values;
    for (const auto& row : envelope.mask_values().values()) {
      seal::MaskValue value{row.length(), row.window(), {}};
      if (row.digest().size() != value.digest.size()) continue;
      std::copy_n(bytes_of(row.digest()).begin(), value.digest.size(), value.digest.begin());
      values.push_back(value);
    }
    tape_.recognise(Secret(std::string_view(envelope.mask_values().key())), std::move(values));
    return;
  }
  if (envelope.has_end_session()) {
    end(notice_of(envelope.end_session().reason()));
  } else if (envelope.has_approval_notice() && relay_) {
    const control::ApprovalNotice& notice = envelope.approval_notice();
    if (!notice.over()) authority_.be_patient();
    relay_->show_waiting(notice.channel(), notice.text(), notice.over());
    rested_ = false;
    watch();
  } else if (envelope.has_session_message() && relay_) {
    const control::SessionMessage& said = envelope.session_message();
    if (said.hold() != control::SessionMessage::AS_IT_IS) relay_->hold_client(said.hold() == control::SessionMessage::HOLD);
    if (!said.fact().empty()) relay_->tell_fact(said.fact());
    if (!said.text().empty()) relay_->show_message(said.text());
  } else if (envelope.has_joined_output()) {
    if (bare_) bare_->joined_output(envelope.joined_output());
  } else if (envelope.has_taken_keys() && relay_) {
    relay_->taken_keys(envelope.taken_keys());
  } else if (envelope.has_guard_rules() && relay_) {
    relay_->new_guard_rules(envelope.guard_rules().channel(), envelope.guard_rules().rules());
  } else if (envelope.has_end_channel() && relay_) {
    relay_->end_channel(envelope.end_channel().channel(), notice_of(envelope.end_channel().reason()));
    relay_->turn();
  } else if (envelope.has_rules_changed() && relay_) {
    const auto& changed = envelope.rules_changed();
    FileRules rules;
    rules.apply = changed.file_rules_apply();
    rules.max_file_bytes = changed.max_file_bytes();
    for (const auto& rule : changed.file_rules()) rules.list.push_back({rule.prefix(), rule.up(), rule.down(), rule.change(), rule.hold_up(), rule.hold_change()});
    relay_->replace_rules(changed.channel(), rules);
    relay_->turn();
  } else if (envelope.has_limits_changed()) {
    grant_.set_idle_ms(envelope.limits_changed().idle_ms());
    grant_.set_max_ms(envelope.limits_changed().max_ms());
    rested_ = false;  // the next deadline may be nearer now
    watch();
  }
}

void Session::end(const Notice& notice) {
  if (!ending_) ending_ = notice;
  if (!relay_) finish(render(notice));
  wake_.notify();
}

void Session::finish(std::string reason) {
  if (over_.empty()) over_ = reason.empty() ? "ended" : std::move(reason);
  wake_.notify();
}

void Session::watch() {
  // An idle session wakes only for its next deadline: a thousand of them must cost nothing.
  const std::int64_t now = system_clock().boot().count();
  std::int64_t next = now + k_second_us;
  if (const std::int64_t quiet = last_client_bytes_us_ + k_quiet_us + 1000; quiet > now) next = std::min(next, quiet);
  if (rested_ && relay_) {
    next = last_client_bytes_us_ + keepalive_us();
    if (last_keepalive_us_ >= last_client_bytes_us_) next = last_keepalive_us_ + keepalive_us();
    if (relay_->mode() == Relay::Mode::relaying) next = std::min(next, std::max(target_heard_us_, last_target_keepalive_us_) + keepalive_us());
    if (grant_.max_ms() > 0) next = std::min(next, started_us_ + static_cast<std::int64_t>(grant_.max_ms()) * 1000);
    if (grant_.idle_ms() > 0) next = std::min(next, idle_since() + static_cast<std::int64_t>(grant_.idle_ms()) * 1000);
    next = std::max(next, now) + 1000;
  }
  second_.expires_after(std::chrono::microseconds(next - now));
  second_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    on_time();
    if (over_.empty()) watch();
  });
}

std::int64_t Session::keepalive_us() const {
  if (relay_ && relay_->is_waiting()) return k_waiting_keepalive_us;  // clients with a short ServerAliveInterval stay
  return static_cast<std::int64_t>(grant_.keepalive_ms() > 0 ? grant_.keepalive_ms() : k_default_keepalive_ms) * 1000;
}

std::int64_t Session::idle_since() const { return std::max(relay_ ? relay_->last_input_us() : 0, started_us_); }

void Session::on_client_bytes() {
  // The answer to a keepalive wakes nobody: a resting session goes on resting, its timer stands for the next one already.
  const bool only_answered = unanswered_keepalives_ > 0 && relay_ && relay_->last_input_us() < last_keepalive_us_;
  last_client_bytes_us_ = rested_ && only_answered ? last_keepalive_us_ : system_clock().boot().count();
  unanswered_keepalives_ = 0;
  if (rested_ && !only_answered) {
    rested_ = false;
    watch();
  }
}

void Session::keep_target_alive(std::int64_t now) {
  if (!target_ || target_->is_closed() || relay_->mode() != Relay::Mode::relaying) return;
  if (target_->bytes_received() != target_bytes_heard_) {
    target_bytes_heard_ = target_->bytes_received();
    target_heard_us_ = now;
    unanswered_target_keepalives_ = 0;
  }
  if (now - std::max(target_heard_us_, last_target_keepalive_us_) < keepalive_us()) return;
  last_target_keepalive_us_ = now;
  if (++unanswered_target_keepalives_ > k_most_unanswered_keepalives) {
    target_silent_ = true;
    target_->close();
    wake_.notify();
    return;
  }
  relay_->ask_target_alive();
}

void Session::on_time() {
  const std::int64_t now = system_clock().boot().count();
  if (!relay_) return;
  relay_->tick();
  const std::int64_t hold_us = static_cast<std::int64_t>(grant_.hold_ms() > 0 ? grant_.hold_ms() : k_default_hold_ms) * 1000;
  if (tape_.full_since_us() > 0 && now - tape_.full_since_us() > hold_us) end(make_notice("SP-4003", "the recorder has taken nothing for too long"));
  const auto is_after = [&](std::uint64_t ms, std::int64_t since) {
    return ms > 0 && now - since >= static_cast<std::int64_t>(ms) * 1000;
  };
  if (is_after(grant_.max_ms(), started_us_)) end(make_notice("SP-2013"));
  if (is_after(grant_.idle_ms(), idle_since())) end(make_notice("SP-2014"));
  if (now - last_client_bytes_us_ >= keepalive_us() && now - last_keepalive_us_ >= keepalive_us() && client_ && !client_->is_closed()) {
    last_keepalive_us_ = now;
    if (++unanswered_keepalives_ > k_most_unanswered_keepalives) finish("the client does not answer");
    crypto::SshWriter writer;
    writer.u8(message::k_global_request).string("keepalive@openssh.com").boolean(true);
    const iovec part{const_cast<std::byte*>(writer.view().data()), writer.size()};
    ssh_session_send_payload(client_->raw(), &part, 1);
    client_->flush();
  }
  keep_target_alive(now);
  if (!rested_ && !relay_->is_waiting() && tape_.full_since_us() == 0 && now - last_client_bytes_us_ > k_quiet_us) {
    rested_ = true;
    tape_.rest();
    ssh_session_trim(client_->raw());
    if (target_) ssh_session_trim(target_->raw());
    ::malloc_trim(0);
  }
}

int serve_session(SessionHandover&& handover) {
  sandbox::Limits limits;
#if defined(__SANITIZE_ADDRESS__)
  limits.address_space = 0;
#endif
  const auto entered = sandbox::enter(*handover.program, limits);
  if (!entered) return 1;
  os::wipe_freed_memory(true);  // until the last login of this session is over
  try {
    // Never taken apart: the process ends next, and the kernel takes everything back in one go.
    Session* const session = std::make_unique<Session>(std::move(handover)).release();
    return session->run();
  } catch (const std::exception&) {
    return 2;
  }
}

}  // namespace sallyport::gateway
