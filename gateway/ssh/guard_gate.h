// gateway/ssh/guard_gate.h -- the command guard on a session's channels: programs before they start, terminal lines and
// standard input of interpreters as they pass.
//
// A channel whose role has no guard rules has no guard at all and costs nothing. The rules come from the authority with
// the decision about the channel, and again whenever the policy changes them; they are read at the next line.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "gateway/ssh/authority_client.h"
#include "gateway/ssh/channel.h"
#include "platform/model/messages.h"
#include "policy/guard/guard.h"

namespace sallyport::gateway {

class Relay;

class GuardGate {
 public:
  GuardGate(boost::asio::io_context& io, Relay& relay, AuthorityClient& authority);

  enum class Admission { go, refuse, wait };
  /// Judges what a shell, exec or subsystem request would start, before the target hears of it. `refuse`: the person
  /// reads `notice`. `wait`: somebody has to agree; `again` is called when she has, and admit() then lets it go.
  Admission admit(Channel& channel, const control::ChannelAnswer& decision, std::string_view request, const std::string& command, Notice& notice,
                  std::function<void()> again);
  /// The program was started: what the client sent ahead meets the guard like everything after it.
  void started(Channel& channel);
  /// True: the guard has taken the data.
  bool from_client(Channel& channel, std::span<const std::byte> data);
  void client_eof(Channel& channel);
  /// After the data went on towards the client.
  void from_target(Channel& channel, std::span<const std::byte> data);
  void probe_answered(Channel& channel);
  void resized(Channel& channel);
  void signalled(Channel& channel);
  void new_rules(std::uint32_t channel, const std::string& rules);

 private:
  void make_line_guard(Channel& channel);
  /// The shell was given this; the files that it wrote are told to the authority.
  void remember(Channel& channel, std::string_view text, guard::Dialect dialect);
  void act(Channel& channel, struct GuardActions& actions);
  void schedule(Channel& channel);
  void on_timer(std::uint32_t channel);
  void tell(Channel& channel, const std::string& json);
  void ask_person(Channel& channel, std::string text, std::string rule, std::string why, std::function<void(bool, std::string)> answered);
  bool judge_input(Channel& channel, std::string_view line, Bytes& forward, Notice& notice);

  boost::asio::io_context& io_;
  Relay& relay_;
  AuthorityClient& authority_;
};

}  // namespace sallyport::gateway
