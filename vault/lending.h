// vault/lending.h -- secrets on loan: a lease for each, an audit event for each beginning and end.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "vault/signing_agent.h"
#include "vault/switchboard.h"
#include "vault/vault.h"

namespace sallyport::vault {

/// Facts for the audit log, over whatever link the recorder has today.
class AuditTrail {
 public:
  explicit AuditTrail(Switchboard& board) : board_(&board) {}

  /// A new link, after a restart of either side; what waited is sent now.
  void attach(LineId recorder);
  void detach();
  /// An answer of the recorder.
  void on_reply(const control::Envelope& reply);

  /// Sends when it can; up to 1,024 facts wait for a recorder.
  void tell(std::string name, std::string json, std::string session = {});
  /// Calls `then` when the recorder has it on disk, or with Errc::unavailable after 5 s or when there is no recorder: what
  /// depends on the event must then not happen.
  void tell_durably(std::string name, std::string json, std::string session, std::function<void(Result<void>)> then);

 private:
  Switchboard* board_;
  LineId recorder_ = 0;
  std::uint64_t last_call_ = 0;
  std::map<std::uint64_t, std::function<void(Result<void>)>> asked_;
  std::deque<control::Envelope> waiting_;
};

/// Lends passwords and makes signing agents. A lease is noted in the database before its event, so that a crash leaves no loan without
/// an end; it ends with the session, when the agent has signed or waited too long, or when the authority says so.
class Lending {
 public:
  Lending(Vault& vault, Switchboard& board, AuditTrail& trail, const Clock& clock, crypto::Random& random)
      : vault_(&vault), board_(&board), trail_(&trail), clock_(&clock), random_(&random) {}

  /// Reads the leases that a former process left; those whose session does not come back within `grace` end.
  void recover(std::chrono::milliseconds grace, std::function<bool(const std::string& session)> is_live);

  using GivePassword = std::function<void(Result<std::pair<Secret, Lease>>)>;
  void lend_password(const std::string& session, const std::string& secret, GivePassword give);
  /// A person looks at the value: a lease that has ended when `give` is told. Only passwords can be read.
  void read_password(const std::string& secret, const std::string& reader, const std::string& reason, GivePassword give);

  struct Agent {
    Fd stream;  ///< for the session process
    Bytes public_key;
    std::string lease;
  };
  using GiveAgent = std::function<void(Result<Agent>)>;
  void make_agent(const std::string& session, const std::string& secret, LoginScope scope, std::chrono::milliseconds deadline, GiveAgent give);

  void end_session(const std::string& session, const std::string& reason);
  /// Closes every agent; leases stay with their sessions.
  void close_agents();
  [[nodiscard]] std::uint32_t count_for(const std::string& secret) const;

 private:
  struct LiveAgent {
    SigningAgent agent;
    std::string lease;
  };
  using Begun = std::function<void(Result<Lease>)>;
  void begin(const std::string& session, const std::string& secret, std::string_view kind, std::string purpose, const std::string& more_json, Begun begun);
  void end(const std::string& lease, const std::string& reason);
  void on_agent_bytes(LineId line, ByteView bytes);
  void close_agent(LineId line, const std::string& reason);

  Vault* vault_;
  Switchboard* board_;
  AuditTrail* trail_;
  const Clock* clock_;
  crypto::Random* random_;
  std::map<std::string, Lease> leases_;
  std::unordered_map<LineId, LiveAgent> agents_;
};

}  // namespace sallyport::vault
