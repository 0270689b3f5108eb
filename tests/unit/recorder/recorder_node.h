// tests/unit/recorder/recorder_node.h -- a recorder process with a keeper, a vault and an authority played by the test.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "platform/control/link.h"
#include "platform/crypto/ed25519.h"
#include "platform/crypto/note.h"
#include "platform/model/settings.h"
#include "platform/seal/session_log.h"
#include "recorder/journal/frame.h"

namespace sallyport::recorder::test {

/// A session's side: its link and its ring, and the key to open its recording with.
struct PlayedSession {
  SessionId id;
  control::Link link;        ///< the session's end
  Fd service_end;            ///< the keeper's duplicate of the recorder's end
  Fd ring_file;              ///< the keeper's
  seal::RingMapping mapping;
  Bytes key;
  std::optional<seal::SessionLog> log;
};

class RecorderNode {
 public:
  explicit RecorderNode(std::string ring_root = {});
  ~RecorderNode();

  Settings settings;                     ///< change before start()
  std::function<void()> in_child;        ///< run in the recorder's process before it serves
  bool signs = true;                     ///< the vault answers

  void start(bool with_sessions = true);  ///< again, after a kill: hands everything over anew
  void kill9();
  int stop();                            ///< Shutdown; the exit code
  [[nodiscard]] pid_t pid() const { return pid_; }

  /// A kit: ring and link made, handed to the recorder, log ready (no header yet).
  std::unique_ptr<PlayedSession> make_session(bool with_log = true, std::size_t ring_bytes = seal::k_ring_default_capacity);
  /// What start() does for each session that is there, later.
  void attach_sessions();
  /// The keeper drops what it holds of a session: its process is gone, or never was.
  void session_gone(PlayedSession& session);

  /// Serves the vault's side and keeps what the authority and keeper hear, until `done` or the deadline.
  bool pump_until(const std::function<bool()>& done, int milliseconds = 5000);
  /// AppendEvent over the authority's link; the answer.
  control::Envelope append(const std::string& name, const std::string& json, bool durable);
  control::RecorderStatus status();
  /// The keeper's own event, over its own link, without an answer.
  void append_as_keeper(const std::string& name);

  std::string folder;
  std::string ring_dir;
  std::string journal_dir;
  crypto::NoteKey checkpoint_key;
  std::vector<control::SessionRecorded> recorded;
  std::vector<std::string> notices;
  std::vector<control::RecorderStatus> told_status;
  int checkpoints_signed = 0;

 private:
  void attach_service(control::Peer peer, const Fd& service_end, bool again);
  void take(control::Link& link, const char* who);

  std::optional<crypto::Ed25519PrivateKey> signer_;
  pid_t pid_ = -1;
  control::Link keeper_;
  control::Link vault_;
  control::Link authority_;
  control::Link keeper_events_;
  Fd vault_service_end_;
  Fd authority_service_end_;
  Fd keeper_service_end_;
  std::map<std::string, PlayedSession*> sessions_;
  std::vector<control::Envelope> answers_;
  bool ready_ = false;
  bool started_before_ = false;
};

/// All of a journal's files, read by the format page alone.
struct ReadJournal {
  std::map<std::string, std::vector<Bytes>> entries;  ///< by session
  std::map<std::string, std::vector<SessionHead>> heads;
  std::vector<AuditEvent> events;
  std::vector<std::string> checkpoints;
  std::uint64_t leaves = 0;
  std::vector<std::string> wrong;  ///< what does not fit together
  std::string tail;                ///< "", "incomplete" or "damaged"
  [[nodiscard]] std::size_t count_events(std::string_view name) const;
};
ReadJournal read_journal(const std::string& directory);

/// The opened bodies of a session's entries by kind, in order; fails the test when a seal does not hold.
struct ReadSession {
  std::vector<seal::EntryHeader> headers;
  std::string in, out, err;
};
ReadSession open_session(const std::string& label, const Bytes& key, const std::vector<Bytes>& entries);

}  // namespace sallyport::recorder::test
