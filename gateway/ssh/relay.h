// gateway/ssh/relay.h -- carries the connection protocol (RFC 4254) between the client and the target.
//
// libssh does the transport and the authentication of both legs; every message from 80 on comes here as it was sent. The
// relay gives each channel the same number on both legs, asks the authority before anything takes effect, lets the tape
// record before it releases, and keeps the windows of the two legs apart so that at most k_window bytes of a direction
// wait here. Order within a channel is never changed; a channel that must wait does not hold the others.
//
// Also serves channels that end here: refusals, the menu and self service of a bare session, jumps.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "gateway/ssh/authority_client.h"
#include "gateway/ssh/channel.h"
#include "gateway/ssh/tape.h"
#include "platform/model/messages.h"
#include "platform/net/ssh_pump.h"

namespace sallyport::gateway {

class JumpStream;
class GuardGate;

/// What a bare session (no target) does with its channels.
class BareService {
 public:
  virtual ~BareService() = default;
  /// A shell (command empty) or an exec on a local channel that the client opened.
  virtual void start(Channel& channel, const std::string& command) = 0;
  virtual void input(Channel& channel, std::span<const std::byte> data) = 0;
  virtual void resized(Channel& channel) = 0;
  virtual void closed(Channel& channel) = 0;
};

/// One session. Single-threaded; all entry points are called from the loop.
class Relay {
 public:
  enum class Mode { connecting, waiting, relaying, refusing, bare };
  static constexpr std::uint32_t k_every_channel = UINT32_MAX;  ///< control::ApprovalNotice: the session as such

  Relay(boost::asio::io_context& io, net::SshPump& client, AuthorityClient& authority, Tape& tape, control::Identity identity);
  ~Relay();

  /// Ends of the session that the relay itself decides: the reason is for the log and the record.
  std::function<void(std::string reason)> on_over;
  /// The same, with something for the person to read.
  std::function<void(const Notice&)> on_end;

  void serve_target(net::SshPump& target, const control::TargetGrant& grant);
  void refuse_all(const Notice& notice);   ///< the target was not reached: channels are answered with this
  void serve_bare(BareService& service);
  /// A local terminal of a bare session goes on as a shell on the target that serve_target() gave; after refuse_all() it is told why.
  void go_on_at_target(std::uint32_t channel);

  /// An approval is waited for, by one channel or (k_every_channel) before the target is dialled.
  void show_waiting(std::uint32_t channel, std::string_view text, bool over);
  /// Somebody who watches says something: a line on every terminal, on the error output of what runs without one.
  void show_message(std::string_view text);
  /// A fact of the authority's for the recording.
  void tell_fact(const std::string& json);
  /// Another person has the keyboard of the terminal: what the client types is dropped, what she types goes its way.
  void taken_keys(const control::TakenKeys& keys);
  /// While held nothing that the client sends reaches the target; keepalives are answered all the same.
  void hold_client(bool held);
  [[nodiscard]] bool is_waiting() const noexcept { return !waiting_.empty(); }

  /// From the payload handler of a leg.
  void on_message(Side from, std::uint8_t type, std::span<const std::byte> payload);
  /// After a leg was fed or drained, after room in the ring: everything that can move moves.
  void turn();

  /// A change of policy or a lock: tells the person on every channel, then closes. Idempotent.
  void end_all(const Notice& notice);
  void end_channel(std::uint32_t id, const Notice& notice);
  /// The policy changed: what a transfer may do from here on.
  void replace_rules(std::uint32_t id, const FileRules& rules);
  void client_gone();    ///< signals what runs on the target and closes it
  void target_gone(const std::string& why);
  void tick();           ///< once a second
  void new_guard_rules(std::uint32_t channel, const std::string& rules);
  void ask_target_alive();

  // For local services.
  void write_local(Channel& channel, std::string_view text, bool to_stderr = false);
  void close_local(Channel& channel, std::int32_t exit_status);
  [[nodiscard]] Channel* find(std::uint32_t id);

  [[nodiscard]] bool has_open_channels() const noexcept { return !channels_.empty(); }
  [[nodiscard]] bool has_target_channels() const;
  [[nodiscard]] std::int64_t last_input_us() const noexcept { return last_input_us_; }
  [[nodiscard]] Mode mode() const noexcept { return mode_; }

  enum class Recorded { yes, wait, failed };
  /// Events of the file gates that found no room in the ring. Until they stand there, no data passes.
  Recorded tape_waiting_events();

 private:
  friend class JumpStream;
  friend class GuardGate;
  struct GlobalReply {
    bool ready = false;
    bool success = false;
    Bytes payload;
  };
  struct EarlyMessage {
    std::uint8_t type;
    Bytes payload;
  };

  struct Waiting {
    std::string text;
    std::chrono::steady_clock::time_point since;
  };

  // relay_waiting.cpp
  void tell_waiting(Channel& channel, const Waiting& waiting);
  void tick_waiting();
  [[nodiscard]] bool keeps_for_later(std::uint8_t type, std::span<const std::byte> payload);
  void park(Channel& channel);
  void note_parked(Channel& channel, const Item& item);
  void unpark_all();
  /// Ctrl-C of somebody who waits.
  [[nodiscard]] bool gives_up(Channel& channel, std::span<const std::byte> data);

  // relay.cpp
  [[nodiscard]] net::SshPump* leg(Side side) noexcept { return side == Side::client ? client_ : target_; }
  void send(Side to, std::span<const std::byte> message);
  void break_protocol(Side side, std::string why);
  Channel* channel_for(Side from, std::uint32_t id, const char* message);
  void reap(std::uint32_t id);
  void report_closed(Channel& channel);
  void show_refused_file(std::uint32_t id, std::string_view code, std::string_view text);
  void tell_person(Channel& channel, const Notice& notice);
  /// The audit event of a refusal that this process makes by itself; the authority tells of its own. A session that is
  /// refused too often ends: the journal is not a place to write to at will.
  void tell_refused(std::uint32_t channel, std::string_view what, std::string_view code, Side by = Side::client);
  void tell_not_passed(std::uint32_t channel, std::string_view variable);
  /// A refusal for which the protocol has no text: a debug message now, and a line where the person reads one: on the error
  /// output of a program that runs, or of the next one that begins.
  void tell_aside(const Notice& notice);
  void write_asides(Channel& channel);

  // relay_open.cpp
  void on_open(Side from, std::span<const std::byte> payload);
  void open_from_client(std::string_view type, Channel& channel, std::span<const std::byte> specific);
  void open_from_target(std::string_view type, Channel& channel, std::span<const std::byte> specific);
  void forward_open(Channel& channel, Side to, std::string_view type, std::span<const std::byte> specific);
  void confirm_open(Channel& channel, Side to);
  void refuse_open(Side to, std::uint32_t peer_id, std::uint32_t reason, std::string_view text);
  void on_open_confirmation(Side from, std::span<const std::byte> payload);
  void on_open_failure(Side from, std::span<const std::byte> payload);
  void ask_tunnel(Channel& channel, control::ChannelAsk ask, std::string type, Bytes specific);
  void open_jump(Channel& channel, std::string host, std::uint32_t port);

  // relay_global_requests.cpp
  void on_global_request(Side from, std::span<const std::byte> payload);
  void on_global_reply(Side from, bool success, std::span<const std::byte> payload);
  void flush_global_replies();

  // relay_requests.cpp
  void on_channel_request(Side from, std::span<const std::byte> payload);
  void on_channel_reply(Side from, bool success, std::span<const std::byte> payload);
  /// False: the item waits (the authority was asked, or there is no room to record it).
  bool take_client_request(Channel& channel, Item& item);
  bool take_target_request(Channel& channel, Item& item);
  void take_local_request(Channel& channel, Item& item);
  void forward_request(Channel& channel, Side to, const Item& item);
  void reply_request(Channel& channel, Side to, bool success);
  [[nodiscard]] bool env_allowed(std::string_view name) const;
  void signal_target(Channel& channel, std::string_view name);

  // relay_programs.cpp
  void ask_program(Channel& channel, Item& item);
  void program_answered(std::uint32_t id, Result<control::Received> answer);
  void filter_what_waited(Channel& channel);
  void refuse_program(Channel& channel, const Notice& notice);
  void install_filter(Channel& channel, const control::ChannelAnswer& answer);

  // relay_data.cpp
  void on_data(Side from, std::span<const std::byte> payload, bool extended);
  void on_window_adjust(Side from, std::span<const std::byte> payload);
  void on_eof(Side from, std::span<const std::byte> payload);
  void on_close(Side from, std::span<const std::byte> payload);
  void accept_data(Channel& channel, Side from, std::uint32_t extended, std::span<const std::byte> data);
  void push_data(Channel& channel, Side to, std::uint32_t extended, Bytes data, std::uint32_t credit_bytes);
  void move(Channel& channel, Side to);
  bool move_data(Channel& channel, Side to, Item& item);
  Recorded record(Channel& channel, Side to, std::uint32_t extended, std::span<const std::byte> data, std::size_t& done);
  std::size_t send_data(Channel& channel, Side to, std::uint32_t extended, std::span<const std::byte> data);
  void credit(Channel& channel, Side side, std::uint32_t bytes);
  void drop_queue(Channel& channel, Side to);
  [[nodiscard]] bool leg_is_full(Side side);
  // relay_holds.cpp
  /// Asks whether something may go on that this process holds.
  void ask_person(std::uint32_t channel, std::string kind, std::string text, std::string why, std::function<void(bool granted, std::string said)> answered);
  void hold_file(std::uint32_t channel, std::uint32_t act, const std::string& text);
  void hold_onward(Channel& channel, std::string_view protocol);
  /// True: the tunnel was ended.
  bool ends_onward(Channel& channel, Side from, std::span<const std::byte> data);

  boost::asio::io_context& io_;
  net::SshPump* client_;
  net::SshPump* target_ = nullptr;
  AuthorityClient& authority_;
  Tape& tape_;
  std::unique_ptr<GuardGate> guards_;
  control::Identity identity_;
  control::TargetGrant grant_;
  Mode mode_ = Mode::connecting;
  Notice refusal_;
  BareService* bare_ = nullptr;
  std::map<std::uint32_t, std::unique_ptr<Channel>> channels_;
  std::map<std::uint32_t, std::unique_ptr<JumpStream>> jumps_;
  std::deque<EarlyMessage> early_;
  std::size_t early_bytes_ = 0;
  std::map<std::uint32_t, Waiting> waiting_;
  bool kept_global_ = false;
  bool client_held_ = false;
  std::string keyboard_of_;  ///< who took it; empty: the client has it
  std::uint32_t next_id_ = 0;
  std::uint32_t rotate_ = 0;
  std::deque<GlobalReply> replies_to_client_;      // in the order of the client's global requests
  std::deque<GlobalReply*> asked_of_target_;       // of those, what the target was asked (null: our own keepalive)
  std::deque<std::string> untaped_events_;
  std::vector<Notice> asides_;                     // not yet shown to the person
  std::size_t refusals_told_[2] = {0, 0};  // of the client, of the target
  std::vector<std::string> locale_told_;   // LANG and its like that were not passed on: an event for each name, not for each channel
  bool shortage_told_ = false;  // of channels
  std::vector<std::string> remote_forwards_;       // "tcp host port" / "unix path" that were granted
  bool agent_granted_ = false;
  bool x11_granted_ = false;
  bool no_more_sessions_ = false;
  bool over_ = false;
  bool ending_ = false;
  bool draining_ = false;
  std::int64_t last_input_us_ = 0;
  int unanswered_keepalives_ = 0;
};

}  // namespace sallyport::gateway
