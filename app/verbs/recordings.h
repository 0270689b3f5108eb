// app/verbs/recordings.h -- sessions, play, export, index, search, verify: what they do, without the command line's parser.
//
// Each function prints and gives the exit status (exit_codes.h). All of them read the journal's files themselves and work
// without a running gateway; only the session key may come from it.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "app/verbs/console.h"
#include "platform/crypto/note.h"
#include "platform/model/ids.h"
#include "platform/model/result.h"
#include "platform/model/settings.h"
#include "recorder/replay/far_journal.h"
#include "recorder/replay/store_copy.h"

namespace sallyport::app {

/// Where the recordings are.
struct RecordingPlace {
  replay::JournalPlace journal;    ///< folder of NNNNNNNN.journal
  std::filesystem::path ring_dir;  ///< tells live sessions from truncated ones; empty: they are "open"
  /// Files or vkey lines of who may sign checkpoints. Empty: the key that was used for this journal before, else `default_key`.
  std::vector<std::string> checkpoint_keys;
  std::filesystem::path default_key;  ///< the gateway's own copy, trusted on first use; may be missing
  std::filesystem::path kept;         ///< folder of kept checkpoints; empty: KeptCheckpoints::usual_folder()
  std::filesystem::path index;        ///< folder of seek and search indexes; empty or not writable: as `kept`
  Settings search;  ///< search_*: where the search index is, when it is not below `index`
  bool keep = true;
  std::vector<crypto::Note> store_notes;    ///< checkpoints that stand in the object store
  std::vector<std::string> store_missing;   ///< what is not in the object store and should be
  std::vector<replay::StoreHole> holes;
  std::string stamp_ca;  ///< PEM file: who signs time stamps of checkpoints
};

/// How seals are opened.
struct KeySource {
  std::string recipient_key;   ///< PEM file of a recording recipient; with it nothing is asked of the gateway
  std::string recipient_cert;  ///< PEM file
  std::string wrapped_key;     ///< file of `sallyport recording wrapped-key`, where the recording itself does not hold it
  std::string reason;          ///< why she looks; goes into the audit log
  bool input = false;           ///< what was typed is wanted, too: a right of its own
  /// POST /v1/recordings/{session}/key {"reason": ..., "input": ...} on the admin socket; gives the key as hexadecimal digits.
  std::function<Result<std::string>(const std::string& session, const std::string& reason, bool input)> ask_gateway;
};

struct SessionsOptions {
  Common common;
  RecordingPlace place;
  std::string session;    ///< only this one (its beginning is enough), with its channels
  std::string principal;  ///< only hers
  std::string target;     ///< only there
  std::string state;      ///< complete, live, truncated, open
  std::string since, until;  ///< only what was going on then; as parse_since takes it
  std::size_t limit = 0;  ///< the newest so many; 0: all
};
int run_sessions(const SessionsOptions& options);

struct PlayVerbOptions {
  Common common;
  RecordingPlace place;
  KeySource keys;
  std::string session;  ///< its beginning is enough
  std::optional<std::uint32_t> channel;
  double speed = 1.0;
  double idle_limit = 0;  ///< seconds; 0: none
  std::string at;         ///< [[h:]m:]s from the session's beginning
  std::string find;       ///< begins where this text was first seen (at or after `at`)
  bool follow = false;
  bool raw = false;       ///< do not take away what could drive the terminal
  bool damaged = false;   ///< play although verification failed
};
int run_play(const PlayVerbOptions& options);

struct ExportVerbOptions {
  Common common;
  RecordingPlace place;
  KeySource keys;
  std::string session;
  std::string format = "asciicast";  ///< asciicast, text, json, stdout, stderr, files, ledger, pcapng
  std::string output = "-";          ///< file; "-": standard output
  std::optional<std::uint32_t> channel;
  bool with_input = false;
  double idle_limit = 0;
  bool damaged = false;
  bool bundle = false;                ///< a slice with its proof
  std::optional<double> from, to;     ///< of the bundle, seconds since the session's beginning
  std::vector<std::string> redact;    ///< entries that stay out: "12", "20-25"
};
int run_export(const ExportVerbOptions& options);
/// The part of it that makes bundles.
int export_bundle(const ExportVerbOptions& options);

struct IndexVerbOptions {
  Common common;
  RecordingPlace place;
  KeySource keys;
  /// POST /v1/search/key: the key of the search index as hexadecimal digits.
  std::function<Result<std::string>(const std::string& reason)> ask_search_key;
  bool follow = false;   ///< go on as sessions end
  bool rebuild = false;  ///< forget the index first
  bool drop = false;     ///< forget the index and stop
  std::string database;  ///< file of the search index, or postgresql://...; empty: as configured, below place.index
};
/// Makes key frames and the search index of every session that has none.
int run_index(const IndexVerbOptions& options);

struct SearchVerbOptions {
  Common common;
  RecordingPlace place;
  std::string reason;
  std::function<Result<std::string>(const std::string& reason)> ask_search_key;
  std::string text;
  std::string target, principal, since, until;
  bool regex = false;
  bool commands = false;  ///< only command lines
  std::size_t limit = 100;
  std::string database;
};
int run_search(const SearchVerbOptions& options);
/// Takes a session out of the search index below `place`, when there is one.
Result<void> forget_in_search(const RecordingPlace& place, const std::function<Result<std::string>(const std::string&)>& ask_search_key, const std::string& reason,
                              const SessionId& session);

struct VerifyVerbOptions {
  Common common;
  RecordingPlace place;
  KeySource keys;
  bool seals = false;                     ///< open every seal, too
  std::vector<std::string> sessions;      ///< empty: everything
  std::vector<std::string> checkpoints;   ///< files with checkpoints from elsewhere
  std::vector<std::string> witness_keys;  ///< files or vkey lines of who co-signs checkpoints
  std::size_t witnesses = 0;              ///< so many of them must have signed; 0: all
};
int run_verify(const VerifyVerbOptions& options);

/// A bundle proves itself: with the log's checkpoint key nothing else is needed.
int run_verify_bundle(const Common& common, const std::string& file, const std::vector<std::string>& checkpoint_keys);

}  // namespace sallyport::app
