// recorder/replay/session_walk.h -- one session's entries, opened, in order.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>

#include "platform/model/ids.h"
#include "recorder/replay/far_journal.h"
#include "recorder/replay/session_opener.h"

namespace sallyport::replay {

/// An entry as far as it can be read.
struct WalkedEntry {
  enum class State {
    open,        ///< body is what was recorded
    locked,      ///< sealed, and no session key was given
    not_echoed,  ///< typed, and its key was destroyed: `dropped_bytes` of the line
    unsettled,   ///< typed, and the session ended before the line was settled
    damaged,     ///< seal, tag or form is wrong
  };
  seal::EntryHeader header;
  State state = State::open;
  ByteView body;  ///< valid during the visit
  std::uint64_t dropped_bytes = 0;
  std::string trouble;  ///< when damaged
};

struct WalkOptions {
  JournalPlace journal;
  SessionId session;
  std::optional<Secret> key;  ///< without it sealed entries come as locked
  bool typed = true;          ///< look for line keys first (one pass more)
  bool follow = false;        ///< wait for more until the session ends
  std::function<bool()> stop; ///< asked while waiting; may be empty
  /// Where entries come from instead of the journal (a viewing): then the fields above are not used.
  std::function<Result<void>(const std::function<bool(const WalkedEntry&)>&)> source;
};

/// Calls `visit` for each entry until it says false. Errc::not_found: no such session. Errc::invalid: not a session key.
[[nodiscard]] Result<void> walk_session(const WalkOptions& options, const std::function<bool(const WalkedEntry&)>& visit);

/// The session's stored entries in order, each with the tag of the one before (nothing behind a hole); false from `visit` ends it.
/// With `follow` waits for more until the session ends or `stop` says so.
using VisitStored = std::function<bool(const StoredEntry&, const std::optional<crypto::Tag>&)>;
[[nodiscard]] Result<void> read_stored(const JournalPlace& journal, const SessionId& session, bool follow, const std::function<bool()>& stop,
                                       const VisitStored& visit);

/// Opens one entry as far as the opener and the lines' keys allow; `opener` null: sealed ones come as locked.
[[nodiscard]] WalkedEntry open_entry(const StoredEntry& entry, const std::optional<crypto::Tag>& previous, SessionOpener* opener, const LineKeys& lines);
/// Pieces that were held back as the possible beginning of a value that must not be stored, until they are settled. take() turns a
/// settling entry into the data that it sets free (or the asterisks that stand instead), so that a viewer sees only data in order.
class HeldPieces {
 public:
  explicit HeldPieces(const seal::Label& label) : label_(label) {}
  /// `walked` is what open_entry made of `stored`; it is changed in place, and its body then lies in this object's memory.
  void take(const StoredEntry& stored, const std::optional<crypto::Tag>& previous, WalkedEntry& walked);

 private:
  struct Piece {
    Bytes whole;
    crypto::Tag previous{};
  };
  seal::Label label_;
  std::map<std::pair<std::uint32_t, std::uint64_t>, Piece> pieces_;
  Bytes plain_;
};

/// Takes in an opened line_key or line_dropped entry.
void keep_line(LineKeys& lines, const seal::EntryHeader& header, ByteView body);

}  // namespace sallyport::replay
