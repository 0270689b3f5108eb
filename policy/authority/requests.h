// policy/authority/requests.h -- asking and approving: one mechanism for access on request, held commands, files and tunnels.
//
// A request waits for N different approvers, never the one who asks, until it is decided or its time is over. Every step is
// in the journal before it has an effect. Who waits in a session gets the answer through `Decided`; access that was approved
// stands in the engine's AccessRequest::approvals until it ends, and live sessions that rest on it end with it.
//
// How a session waits (gateway side): a channel or target whose role wants an approval is answered late (ChannelAnswer,
// TargetGrant); an act that the session itself holds is asked for with ApprovalAsk. Meanwhile ApprovalNotice carries the line to show.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "policy/authority/acts.h"

namespace sallyport::authority {

/// How a wait ended.
struct Verdict {
  control::ApprovalAnswer::Outcome outcome = control::ApprovalAnswer::DENIED;
  Notice notice;  ///< what the person reads, unless granted
  RequestRow request;
  [[nodiscard]] bool granted() const noexcept { return outcome == control::ApprovalAnswer::GRANTED; }
};

/// Access that somebody asks for in advance.
struct Wanted {
  std::string principal;
  std::string target;
  std::string account;  ///< empty: the only one that is given on request
  std::string reason;
  std::chrono::seconds lasts{0};  ///< 0: what the role says, or an hour
  IpAddress source;
};

class Requests {
 public:
  using Decided = std::function<void(const Verdict&)>;
  template <class T>
  using Done = std::function<void(Result<T>)>;

  explicit Requests(Authority& authority) : authority_(authority) {}

  void remember(std::vector<RequestRow> rows);

  /// Roles that an approval gives now: for AccessRequest::approvals. Nearly always empty, and then at no cost.
  [[nodiscard]] std::vector<std::string> standing(const std::string& principal, const std::string& target, const std::string& account,
                                                  const std::string& session) const;

  // ---- sessions
  /// `asked`: a decision with the outcome `ask`. `channel`: UINT32_MAX for the session as such. `decided` is called once,
  /// unless the session ends before.
  void wait_for_access(Session& session, std::uint32_t channel, const policy::Decision& asked, Decided decided);
  /// One act that the policy gives only after `who` agreed: a tunnel, a transfer. `kind`: file, tunnel.
  void wait_for_act(Session& session, std::uint32_t channel, const std::string& kind, std::string text, const policy::Approval& who, Decided decided);
  /// A request of the kind `presence`: nobody approves it but by joining; a moderator may deny it.
  void wait_for_presence(Session& session, std::uint32_t channel, const std::string& role, const policy::Moderation& needed, Decided decided);
  /// She is there now, as a moderator of these roles.
  void joined(const Operator& who, const std::string& session, const std::vector<std::string>& roles);
  void on_ask(Session& session, const control::Envelope& question);
  void on_cancel(Session& session, std::uint32_t channel);
  void on_session_gone(const std::string& label);

  // ---- people
  /// Errc::not_found: nothing to ask for. Errc::conflict: too many are open.
  void create(const Operator& who, const Wanted& wanted, Done<RequestRow> done);
  /// Four eyes for a policy: asks for the plan with that hash to be approved, or gives what was asked before by the same person.
  void ask_for_policy(const Operator& who, const std::string& hash, const std::string& plan, const std::string& reason, Done<RequestRow> done);
  /// The approved request for that plan of this person; empty: there is none.
  [[nodiscard]] std::string approved_policy(const Operator& who, const std::string& hash) const;
  /// It was applied.
  void use_policy(const std::string& id) { close(id, "ended", "it was applied"); }
  /// Errc::denied: not this person's to decide. Errc::conflict: decided already. The last yes grants, one no denies.
  void vote(const Operator& who, const std::string& id, bool approve, const std::string& reason, Done<RequestRow> done);
  void cancel(const Operator& who, const std::string& id, Done<RequestRow> done);
  [[nodiscard]] Result<void> may_decide(const Operator& who, const RequestRow& row) const;
  /// Pending and approved ones, newest first. By id, or the end of an id (at least 6 characters).
  [[nodiscard]] std::vector<RequestRow> list_open() const;
  [[nodiscard]] Result<RequestRow> find(std::string_view id) const;
  /// Sessions in which something waits for people, with the kind of the request: access, command, file, tunnel, presence.
  [[nodiscard]] std::map<std::string, std::string> waiting() const;

  /// Called after every change of a request, with the event's name.
  std::function<void(const RequestRow& row, const std::string& event)> on_change;

 private:
  struct Waiter {
    std::string session;
    std::uint32_t channel = 0;
    Decided decided;
    Deadlines::Handle deadline = 0;
  };
  struct Open {
    RequestRow row;
    std::vector<std::shared_ptr<Waiter>> waiters;
    Deadlines::Handle deadline = 0;  ///< of the decision, then of the grant
    bool stored = true;              ///< nobody is told of one that a restart would forget
  };
  void cast(const Operator& who, const std::string& id, bool approve, const std::string& reason, Done<RequestRow> done);
  /// Intent, row, outcome; then it waits for its deciders.
  void write(const Operator& who, const RequestRow& row, Done<RequestRow> done);

  /// The person who asks is the session's; what is the same question joins what is open.
  void open_for(Session& session, RequestRow row, std::uint32_t channel, Decided decided);
  void add_waiter(Open& open, const Session& session, std::uint32_t channel, Decided decided);
  /// All of them, or one.
  void tell_waiters(const Open& open, const Waiter* only = nullptr);
  void tell_others_of(const std::string& session, std::uint32_t channel);
  void watch(Open& open);
  void on_time(const std::string& id);
  /// A pending request ends without its approval.
  void close(const std::string& id, const std::string& state, const std::string& why);
  void decide(Open& open);
  void release(Open& open, control::ApprovalAnswer::Outcome outcome, const Notice& notice);
  [[nodiscard]] EventJson event_of(const RequestRow& row) const;
  [[nodiscard]] Open* find_open(std::string_view id) const;
  [[nodiscard]] std::size_t count_pending(const std::string& principal) const;
  void changed(const RequestRow& row, const std::string& event) const;

  Authority& authority_;
  std::map<std::string, std::unique_ptr<Open>, std::less<>> open_;
  std::unordered_map<std::string, std::size_t> granted_;  ///< principal -> approved requests
};

/// "2026-11-22 20:15:00 UTC"
[[nodiscard]] std::string utc_line(std::int64_t us);
/// What a person wrote, whole, for another one to read: each further line is marked as hers, so that none looks like ours.
[[nodiscard]] std::string in_her_words(std::string_view text);

}  // namespace sallyport::authority
