// policy/authority/rows.h -- what the authority's database holds, as values.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "platform/model/clock.h"
#include "policy/access/locks.h"

namespace sallyport::authority {

/// One session. Written when it starts, when its state changes and when it ends. `state` is one of control::SessionState's
/// names, or "ended".
struct SessionRow {
  std::string label;
  std::string state;
  std::int64_t started_us = 0;       ///< wall clock
  std::int64_t started_boot_us = 0;  ///< boot clock; only with the same boot id
  std::string boot_id;
  std::string source;
  std::uint32_t source_port = 0;
  std::string local;
  std::uint32_t local_port = 0;
  std::string outer;
  std::string inner_target;
  std::string principal;
  std::string display;
  std::string target;
  std::string account;
  bool bare = false;
  std::string factors;      ///< see encode_factors()
  std::string certificate;  ///< see encode_certificate(); empty: none
  std::string key_fingerprint;
  std::string problem_code;
  std::string problem;
  std::int64_t opened_us = 0;  ///< when the target was granted, wall clock
  std::string address;         ///< dialled
  std::string credential;
  std::int64_t serial = 0;     ///< of the certificate for the target
  std::string client_algorithms;
  std::string target_algorithms;
  std::string outcome;         ///< when ended: closed, cut, killed, lost, refused
  std::string code;            ///< SP-... when it was cut or refused
  std::int64_t ended_us = 0;
  int exit_code = 0;
  int signal = 0;
  std::int64_t cpu_us = 0;
  std::uint64_t channels = 0;
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
  std::optional<bool> recorded_complete;  ///< the recorder's word
};

/// An open channel of a live session, as it was asked for: enough to judge it again.
struct ChannelRow {
  std::string session;
  std::uint32_t channel = 0;
  std::string kind;
  bool up = false;
  bool down = false;
  std::string command;
  std::string host;
  std::uint32_t port = 0;
  std::string path;
  std::int64_t opened_us = 0;
};

struct PolicyFile {
  std::string name;
  std::string content;
};

struct PolicyVersion {
  std::int64_t version = 0;
  std::int64_t applied_us = 0;
  std::string by;
  std::string reason;
  std::string digest;
  std::uint64_t intent_sequence = 0;
  std::uint64_t outcome_sequence = 0;  ///< 0: the outcome is not in the journal yet
  std::vector<PolicyFile> files;
};

/// Who said yes or no to a request.
struct Vote {
  std::string by;
  bool approve = false;
  std::string reason;
  std::int64_t at_us = 0;
};

/// Somebody asks for something that others have to agree to.
struct RequestRow {
  std::string id;
  std::string state;      ///< pending, approved, denied, expired, cancelled, ended (it was approved and is over)
  std::string kind;       ///< access: a role on request; command, file, tunnel: one held act of a session
  std::string principal;  ///< who asks
  std::string session;    ///< that waits, or for which alone it is good; empty: asked for in advance
  std::string role;
  std::string target;
  std::string account;
  std::string text;       ///< what is held, for a person to read
  std::string reason;
  std::string approvers;  ///< group; empty: whoever has the right to approve
  std::uint32_t needed = 1;
  std::int64_t created_us = 0;
  std::int64_t decide_by_us = 0;
  std::int64_t lasts_s = 0;  ///< 0: for the session, or for the one act
  std::int64_t until_us = 0; ///< approved: its end; 0: with the session
  std::vector<Vote> votes;
};

/// A bearer token of the admin API, without the token.
struct TokenRow {
  std::string id;
  std::string hash;        ///< SHA-256 of its secret part, hexadecimal
  std::string principal;
  std::string name;
  std::string scopes;      ///< with spaces between; empty: no limit of its own
  std::string networks;    ///< with spaces between; empty: from anywhere
  std::string created_by;
  std::int64_t created_us = 0;
  std::int64_t expires_us = 0;
  std::int64_t used_us = 0;  ///< newest use since the start; not stored
};

/// Something that a person enrolled, or that was made for her to enrol with.
///   invite       id: its own,           value: SHA-256 of the code " " end in microseconds " " who made it
///   key          id: fingerprint,       value: public key line
///   totp         id: "",                value: name of the vault secret
///   recovery     id: SHA-256 of a code, value: ""
///   groups       id: the directory,     value: end in microseconds " " groups of the policy with blanks between
///   certificate  id: serial number,     value: fingerprint " " end in microseconds " " revoked (0 or 1) " " factors
struct EnrolmentRow {
  std::string kind;
  std::string principal;
  std::string id;
  std::string value;
  std::int64_t at_us = 0;
};

/// A privileged act of the admin side, from before its intent is journalled until its outcome is.
struct Intent {
  std::string id;
  std::string kind;  ///< "policy.apply", "lock.set" ...
  std::string json;
  std::int64_t opened_us = 0;
  bool done = false;  ///< the effect stands in the database
};

struct KnownSource {
  std::string principal;
  std::string source;
  std::int64_t last_us = 0;
};

struct SessionQuery {
  bool live = true;
  bool ended = true;
  std::string principal;
  std::string target;
  std::string before;  ///< label; for the next page
  std::int64_t since_us = 0;  ///< began then or later
  std::int64_t until_us = INT64_MAX;
  std::uint32_t limit = 100;
};

/// How an account was used so far: sessions that reached it.
struct UseRow {
  std::string principal, target, account;
  std::int64_t last_us = 0;
  std::uint64_t sessions = 0;
};

/// Everything that is needed at start.
struct Remembered {
  std::vector<SessionRow> live;
  std::vector<ChannelRow> channels;
  std::vector<policy::Lock> locks;
  std::optional<PolicyVersion> policy;
  std::map<std::string, std::int64_t> totp_steps;  ///< by principal: the last step that was used
  std::vector<KnownSource> sources;
  std::vector<Intent> intents;
  std::vector<std::string> outcomes;  ///< intents whose outcomes were journalled, the newest of them
  std::vector<TokenRow> tokens;
  std::vector<EnrolmentRow> enrolments;
  std::vector<RequestRow> requests;  ///< pending and approved ones
  std::int64_t last_serial = 0;
  std::int64_t wall_high_us = 0;  ///< the latest moment this authority has seen
};

}  // namespace sallyport::authority
