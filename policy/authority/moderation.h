// policy/authority/moderation.h -- a second person in a session: who is present, who must be, what she may do there.
//
// A role with `moderation` gives what it gives only while one of its moderators is present: the engine is asked with
// AccessRequest::moderated, so a session that waits and one that is cut when she leaves follow from the same decision. Waiting is a
// request of the kind `presence` (requests.h) that nobody approves but by joining. What she sees is the recording as it grows, opened
// by a process of its own (Watch); her keys reach the session only while she has its keyboard.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "policy/authority/acts.h"
#include "policy/authority/join_keys.h"
#include "policy/authority/requests.h"

namespace sallyport::authority {

/// Somebody looks at a live session; destroying it ends that.
class Watching {
 public:
  virtual ~Watching() = default;
};
using WatchOut = std::function<void(std::string_view bytes)>;
using WatchOver = std::function<void(const std::string& why)>;

class Moderation {
 public:
  explicit Moderation(Authority& authority) : authority_(authority) {}
  ~Moderation();

  /// Plugged in by the admin side; without it one is present, but sees nothing.
  std::function<std::shared_ptr<Watching>(const Operator& who, const std::string& session, const std::string& reason, WatchOut out, WatchOver over)> watch;

  // ---- sessions
  /// `asked`: a decision that asks for presence.
  void wait_for(Session& session, std::uint32_t channel, const policy::Decision& asked, Requests::Decided decided);
  /// Roles of which a moderator is present: for AccessRequest::moderated.
  [[nodiscard]] std::vector<std::string> standing(const std::string& session) const;
  /// The moderated one, or hers.
  void on_session_gone(const std::string& label);
  /// The policy, a lock or the time has changed: who may no longer be there leaves.
  void judge_all();

  /// Somebody holds it, or lets it go on: nothing of its client reaches the target meanwhile.
  void note_hold(const std::string& session, bool held);
  [[nodiscard]] bool is_held(const std::string& session) const { return held_.contains(session); }

  // ---- people
  struct Seat {
    std::string id;
    std::string session;    ///< that she has joined
    Operator who;
    std::vector<std::string> roles;  ///< that she moderates here; empty: she only watches
    std::chrono::seconds grace{0};
    bool may_act = false;        ///< message, hold, end
    bool may_take_over = false;
    bool has_keyboard = false;
    bool has_left = false;       ///< the grace is running
    std::string own_session;     ///< she came by ssh
    std::uint32_t channel = 0;
    JoinKeys keys;
    Deadlines::Handle lease = 0;  ///< of who comes over the API, or the grace
    std::shared_ptr<Watching> watching;
  };
  using SeatDone = std::function<void(Result<std::string>)>;  ///< the seat's id

  /// Errc::not_found, Errc::denied. `label` may be the end of one, at least six characters.
  [[nodiscard]] Result<Session*> find_to_join(const std::string& label) const;
  [[nodiscard]] Result<void> may_join(const Operator& who, const std::string& label) const;
  /// `own`: her ssh session and channel; nullptr: over the API, and she has to say that she is still there.
  void join(const Operator& who, const std::string& label, const std::string& reason, const Session* own, std::uint32_t channel, SeatDone done);
  /// False: there is no such seat of hers.
  [[nodiscard]] bool still_here(const Operator& who, const std::string& seat);
  /// She is present in it, and as more than a watcher.
  [[nodiscard]] bool may_act(const Operator& who, const std::string& session) const;
  [[nodiscard]] bool may_take_over(const Operator& who, const std::string& session) const;
  [[nodiscard]] bool leave(const Operator& who, const std::string& seat);
  [[nodiscard]] bool is_seated(const Operator& who, const std::string& session, const std::string& seat) const { return seat_of(who, session, seat) != nullptr; }
  /// Who came over the API takes the session's keyboard, or returns it. Errc::not_found: no seat of hers there; Errc::denied, "SP-9805 why".
  void use_keyboard(const Operator& who, const std::string& session, const std::string& seat, bool taken, std::function<void(Result<void>)> done);
  /// Keys of who has it. Errc::not_found, Errc::denied.
  [[nodiscard]] Result<void> type(const Operator& who, const std::string& session, const std::string& seat, std::string_view keys);
  void on_keys(Session& own, const control::JoinedKeys& keys);
  [[nodiscard]] std::vector<const Seat*> seats_of(const std::string& session) const;

 private:
  [[nodiscard]] Result<Seat> rights_of(const Operator& who, const Session& session) const;
  void sit_down(std::shared_ptr<Seat> seat, const std::string& reason);
  void stand_up(const std::string& seat, const std::string& why);
  void remove(const std::string& seat);
  void look_after(const std::string& session, const std::string& who_left);
  void act(Seat& seat, const JoinKey& key);
  void take(Seat& seat, bool taken, std::function<void(Result<void>)> done = [](const Result<void>&) {});
  void send_keys(const Seat& seat, std::string_view keys) const;
  [[nodiscard]] Seat* seat_of(const Operator& who, const std::string& session, const std::string& seat) const;
  void show(const Seat& seat, std::string_view text, bool over = false) const;
  void tell_session(const std::string& session, const std::string& line, const std::string& fact, control::SessionMessage::Hold hold = control::SessionMessage::AS_IT_IS) const;
  void renew(Seat& seat);

  Authority& authority_;
  std::set<std::string> held_;  ///< sessions; this process's knowledge only, as the holding is the session's
  std::map<std::string, std::shared_ptr<Seat>> seats_;
};

}  // namespace sallyport::authority
