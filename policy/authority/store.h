// policy/authority/store.h -- the authority's database, on a thread of its own.
//
// Two kinds of writes. Session and channel rows go in groups in the background: they survive the death of every process
// of ours, but need no fsync, since after a power failure no session lives and the journal tells the story. Policy, locks,
// used one-time codes and intents are committed with fsync before `done` is called. A failed background write is
// reported once through `trouble`.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "platform/model/result.h"
#include "policy/authority/rows.h"

namespace boost::asio {
class io_context;
}

namespace sallyport::authority {

class Store {
 public:
  using Done = std::function<void(Result<void>)>;

  /// Opens or makes the database and reads what is needed at start (blocking). `":memory:"` in tests.
  [[nodiscard]] static Result<std::unique_ptr<Store>> open(boost::asio::io_context& io, const std::string& path,
                                                           Remembered& remembered);
  ~Store();  ///< writes what waits
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  void on_trouble(std::function<void(const Error&)> trouble);

  // In the background.
  void put_session(SessionRow row);
  void put_channel(ChannelRow row);
  void remove_channel(const std::string& session, std::uint32_t channel);
  void end_session(SessionRow row);  ///< the row and the end of all its channels
  void set_recorded(const std::string& session, bool complete);
  void remember_source(KnownSource source);
  void set_wall_high(std::int64_t wall_us);
  /// Forgets sessions that ended before, and sources that were quiet since; the journal keeps them.
  void forget_before(std::int64_t wall_us);

  // Durable before `done`.
  void open_intent(Intent intent, Done done);
  void close_intent(const std::string& id, Done done);
  /// The journal's newest outcome is of a later database; an operator has said that this one shall do.
  void accept_outcome(const std::string& intent, Done done);
  /// One transaction: the version with its files and intent sequence, the intent marked as done.
  void apply_policy(PolicyVersion version, const std::string& intent, Done done);
  void set_policy_outcome(std::int64_t version, std::uint64_t sequence, Done done);
  void put_lock(policy::Lock lock, const std::string& intent, Done done);
  void remove_lock(const std::string& id, const std::string& intent, Done done);
  /// `intent` may be empty: a fact that no operator ordered.
  void put_request(RequestRow row, const std::string& intent, Done done);
  void put_token(TokenRow row, const std::string& intent, Done done);
  void remove_token(const std::string& id, const std::string& intent, Done done);
  /// One transaction. `intent` may be empty.
  void change_enrolments(std::vector<EnrolmentRow> put, std::vector<EnrolmentRow> remove, const std::string& intent, Done done);
  /// What is enrolled was used. Errc::denied: it is enrolled no more, whatever is kept in memory.
  void use_enrolment(EnrolmentRow row, Done done);
  /// Keys, one-time codes, passkeys and recovery codes of one person: also what was enrolled or used a moment ago and is not stored yet.
  void remove_enrolments_of(const std::string& principal, const std::string& intent, Done done);
  void use_totp_step(const std::string& principal, std::int64_t step, Done done);

  // Reading.
  void list_sessions(SessionQuery query, std::function<void(Result<std::vector<SessionRow>>)> done);
  void list_uses(std::function<void(Result<std::vector<UseRow>>)> done);
  void list_requests(bool open_only, const std::string& before, std::uint32_t limit, std::function<void(Result<std::vector<RequestRow>>)> done);
  void find_session(const std::string& label, std::function<void(Result<SessionRow>)> done);
  /// With its files. `version` 0: the one that was in force at `at_us`.
  void find_policy(std::int64_t version, std::int64_t at_us, std::function<void(Result<PolicyVersion>)> done);
  void list_policy_versions(std::uint32_t limit, std::function<void(Result<std::vector<PolicyVersion>>)> done);

 private:
  struct State;
  explicit Store(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sallyport::authority
