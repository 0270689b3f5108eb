// policy/authority/administration.h -- what operators may ask of the authority and have it do. admin/api puts HTTP in front.
//
// Every act that changes something: intent in the database and durable in the journal, then the effect, then the outcome
// in the journal. A crash in between is closed at the next start (close_open_intents).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "policy/access/load.h"
#include "policy/access/plan.h"
#include "policy/authority/acts.h"
#include "policy/authority/authority.h"
#include "policy/authority/recording_holds.h"

namespace sallyport::authority {

struct StatusReport {
  std::string node;
  std::string state;  ///< serving, sealed, not recording, no policy
  std::int64_t policy_version = 0;
  std::string policy_digest;
  std::size_t live_sessions = 0;
  std::size_t unproven = 0;
  std::size_t locks = 0;
  bool older_database = false;  ///< than the journal: nobody is let in
  bool recorder_healthy = false;
  std::string recorder_reason;
  std::uint64_t journal_sequence = 0;
  std::uint64_t journal_free_bytes = 0;
  std::string newest_checkpoint;
  bool sealed = false;
  std::string seal_source;
  std::string vault_problem;
  std::string last_trouble;
  std::uint64_t alarms = 0;           ///< since the authority started
  std::vector<RecentEvent> newest_alarms;
};

struct ExplainQuestion {
  std::string principal;
  std::string target;
  std::string account;
  std::string channel;  ///< empty: the session as such, and one line for each kind
  std::string source;
  std::string session;  ///< judge this live session instead
  std::string destination;  ///< of a tunnel: host:port or unix:PATH
  std::optional<WallTime> at;
};

struct ExplainAnswer {
  policy::Decision decision;
  policy::Explanation trace;
  std::string text;
};

struct PolicyAnswer {
  policy::Plan plan;
  std::vector<policy::Diagnostic> problems;  ///< not empty: the files were refused
  std::int64_t version = 0;                  ///< apply: the one in force now
  bool applied = false;                      ///< false when there was nothing to change
  std::string request;                       ///< apply: another person has to approve first, see Requests::ask_for_policy
  std::string hash;                          ///< of what is in force and what would be: apply takes the plan that was shown
};

/// What is done to a recording as a whole.
struct RecordingOrder {
  enum class Act { erase, rewrap, read, hold, release };
  Act act = Act::read;
  std::string session;
  std::string wrapped;  ///< as it stands in the recording; of the first three
  std::string reason;
  std::uint64_t first_file = 0, last_file = 0;  ///< of the journal: where its entries are; of a hold. 0: not known, or it may still grow
};

class Administration {
 public:
  template <class T>
  using Done = std::function<void(Result<T>)>;

  explicit Administration(Authority& authority) : authority_(authority) {}

  /// Errc::denied when this operator may not.
  [[nodiscard]] Result<void> may(const Operator& who, policy::AdminRight right) const;

  void status(Done<StatusReport> done);
  void list_sessions(SessionQuery query, Done<std::vector<SessionRow>> done);
  void find_session(const std::string& label, Done<SessionRow> done);
  /// Errc::not_found when it does not live.
  void end_session(const Operator& who, const std::string& label, const std::string& reason, Done<void> done);

  /// A line for every terminal of the session, from who watches it. Errc::not_found when it does not live.
  void tell_session(const Operator& who, const std::string& label, const std::string& text, Done<void> done);
  /// While held, nothing of the client reaches the target. Its people are told, both times.
  void hold_session(const Operator& who, const std::string& label, bool held, const std::string& reason, Done<void> done);

  [[nodiscard]] PolicyAnswer plan(std::span<const policy::SourceFile> files) const;
  /// `hash` of the plan that was shown; empty: any. Errc::conflict: it would be another plan now.
  void apply(const Operator& who, std::vector<policy::SourceFile> files, std::string reason, const std::string& hash, Done<PolicyAnswer> done);
  /// A version with its files; Errc::not_found: there is none, or it is older than the last 50.
  void find_policy_version(std::int64_t version, Done<PolicyVersion> done);
  /// The version that was in force at that moment, with its files.
  void find_policy_at(WallTime moment, Done<PolicyVersion> done);
  void list_policy_versions(Done<std::vector<PolicyVersion>> done);
  [[nodiscard]] const policy::Snapshot& snapshot() const { return *authority_.snapshot; }
  [[nodiscard]] const std::vector<policy::Lock>& locks() const { return authority_.locks.list(); }
  void set_lock(const Operator& who, policy::Lock lock, Done<policy::Lock> done);
  void remove_lock(const Operator& who, const std::string& id, const std::string& reason, Done<void> done);
  [[nodiscard]] Result<ExplainAnswer> explain(const ExplainQuestion& question) const;

  [[nodiscard]] Requests& requests() const { return *authority_.requests; }
  [[nodiscard]] Tokens& tokens() const { return *authority_.tokens; }
  void list_requests(bool open_only, const std::string& before, std::uint32_t limit, Done<std::vector<RequestRow>> done) {
    authority_.store->list_requests(open_only, before, limit, std::move(done));
  }
  [[nodiscard]] Authority& authority() const { return authority_; }

  void list_secrets(const std::string& prefix, Done<std::vector<control::SecretRow>> done);
  /// Takes the value out of `secret` and wipes it.
  void put_secret(const Operator& who, control::SecretPut secret, Done<control::SecretStored> done);
  void delete_secret(const Operator& who, const std::string& name, std::uint32_t version, Done<void> done);
  /// The value of a vaulted password, for a person: a lease of its own with a reason. Private keys and seeds are never read.
  void read_secret(const Operator& who, const std::string& name, const std::string& reason, Done<Secret> done);
  void unseal(const Operator& who, Secret passphrase, Done<control::SealState> done);
  void seal(const Operator& who, Done<control::SealState> done);
  /// The key of one recording; the viewing is an event and needs a reason.
  /// Errc::denied with the catalogue's code before the detail ("SP-4201 ..."): her own session without a second auditor's consent, or
  /// `input` without the right for it.
  void recording_key(const Operator& who, const std::string& session, std::string wrapped, const std::string& reason, bool input, Done<Secret> done);
  /// A second auditor lets `principal` look at a session of hers, for k_consent_lasts.
  void consent(const Operator& who, const std::string& session, const std::string& principal, const std::string& reason, Done<void> done);
  /// Erases the recording's key, wraps it to the present recipients (gives their names), gives the wrapped key, or sets and ends a legal
  /// hold. Errc::denied "SP-4303": what is held is not erased.
  void recording_act(const Operator& who, RecordingOrder order, Done<std::string> done);
  /// Sessions under legal hold. Errc::corrupt.
  [[nodiscard]] Result<RecordingHolds*> holds();
  /// The key of the search index; each loan is an event and needs a reason.
  void search_key(const Operator& who, const std::string& reason, Done<Secret> done);
  /// That key and, behind it, the password of the index's database where the vault has it and `with_password` is set. Errc::unavailable,
  /// with the setting's name first: the vault does not lend it.
  void search_access(const Operator& who, const std::string& reason, bool with_password, Done<Secret> done);
  static constexpr std::chrono::hours k_consent_lasts{1};
  [[nodiscard]] std::vector<RecentEvent> recent_events(std::uint64_t after, std::size_t limit) const { return authority_.journal.recent(after, limit); }
  /// Number of the oldest event that recent_events() still has.
  [[nodiscard]] std::uint64_t oldest_event() const { return authority_.journal.oldest(); }
  /// Lines for a target's sshd_config and files, so that it accepts our certificates.
  void target_setup(const std::string& target, Done<std::string> done);
  void public_keys(Done<control::PublicKeySet> done);

  /// At start, when the journal answers: acts that a crash cut in two are brought to their end.
  void close_open_intents(std::vector<Intent> intents, const std::optional<PolicyVersion>& policy);
  /// Files of a folder on this machine, at start and on reload; nothing when they mean what is in force.
  void apply_folder(const std::string& folder);
  void note_trouble(std::string what) { last_trouble_ = std::move(what); }

 private:
  void unwrap_for(const Operator& who, const std::string& session, std::string wrapped, const std::string& reason, bool input, Done<Secret> done);
  void refuse_look(const Operator& who, const std::string& session, const std::string& reason, std::string_view code, Done<Secret> done);
  std::map<std::pair<std::string, std::string>, WallTime> consents_;  ///< (session, principal): until when; a restart forgets them
  std::optional<RecordingHolds> holds_;  ///< read when they are wanted for the first time
  struct Act;
  void with_intent(const Operator& who, const std::string& kind, const EventJson& details, Effect effect, std::function<void(Result<void>)> done);
  void publish(std::shared_ptr<const policy::Snapshot> snapshot, std::int64_t version);
  void publish_locks(std::vector<policy::Lock> locks);

  Authority& authority_;
  std::string last_trouble_;
};

}  // namespace sallyport::authority
