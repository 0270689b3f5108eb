// recorder/replay/seek_index.h -- where each session's entries stand in the journal, and the inner hashes of both trees.
//
// A cache beside the journal (one SQLite file, made and brought up to date by whoever reads): what it says is never believed.
// With it a reader goes straight to any entry and proves what it read against a signed checkpoint without the rest of the
// journal (shown_proof.h); a wrong cache makes a proof fail, never succeed, and is then made anew. Holds no plaintext of a
// recording: key frames (the screen at a moment) are sealed under a key derived from the session key.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "platform/crypto/hash.h"
#include "platform/model/bytes.h"
#include "platform/model/ids.h"
#include "platform/model/result.h"
#include "recorder/replay/frames.h"
#include "recorder/replay/journal_files.h"
#include "recorder/replay/session_list.h"

namespace sallyport::replay {

constexpr std::uint64_t k_block_leaves = 256;  ///< leaves under one inner hash that is kept

/// One entries frame of a session.
struct Spot {
  std::uint64_t first = 0, last = 0;  ///< sequences
  std::uint64_t file = 0, offset = 0;
  std::uint32_t size = 0;  ///< of the payload
  std::int64_t boot_us = 0, last_boot_us = 0;
  std::uint32_t segment = 0;  ///< of its first entry
};

/// Where a head of a session stands.
struct HeadSpot {
  std::uint64_t leaf = 0, entries = 0;
  std::uint64_t file = 0, offset = 0;
  std::uint32_t size = 0;
};

/// The screen of a channel behind entry `sequence`.
struct KeyFrame {
  std::uint32_t channel = 0;
  std::uint64_t sequence = 0;
  std::int64_t boot_us = 0;
  std::uint32_t segment = 0;
  Bytes sealed;
};

class SeekIndex {
 public:
  /// `file` ":memory:" keeps nothing. A file that is damaged, foreign or of a newer program is put aside and begun anew.
  /// Errc::unavailable: it cannot be written.
  [[nodiscard]] static Result<SeekIndex> open(const std::string& file, const JournalPlace& journal);
  SeekIndex(SeekIndex&&) noexcept;
  SeekIndex& operator=(SeekIndex&&) noexcept;
  ~SeekIndex();

  /// Takes in what was appended to the journal since. Errc::not_found: no journal there.
  Result<void> catch_up();
  /// What catch_up() found of files that are damaged, foreign or of a newer program; empty: nothing.
  [[nodiscard]] const std::string& file_trouble() const noexcept;
  /// Forgets everything; the next catch_up() reads the whole journal.
  Result<void> begin_anew();

  /// Oldest first.
  [[nodiscard]] Result<std::vector<SessionSummary>> sessions(const std::function<bool(const SessionId&)>& is_live);
  [[nodiscard]] Result<std::optional<SessionId>> newest_session();
  /// As replay::find_session, without reading the journal.
  [[nodiscard]] Result<SessionSummary> find_session(std::string_view prefix, const std::function<bool(const SessionId&)>& is_live);

  /// The frames from the one that holds entry `from` on, in order.
  [[nodiscard]] Result<std::vector<Spot>> spots(const SessionId& session, std::uint64_t from);
  /// The last entry at or before that moment of the boot clock; 0 when there is none.
  [[nodiscard]] Result<std::uint64_t> entry_before(const SessionId& session, std::int64_t boot_us);
  /// The boot clock at its first entry; a hint like all the rest. Errc::not_found.
  [[nodiscard]] Result<std::int64_t> first_boot(const SessionId& session);
  /// Whether entries are missing: then nothing of it can be proven from here.
  [[nodiscard]] Result<bool> is_whole(const SessionId& session);

  /// Inner hashes over complete blocks, then the leaf hashes behind them. "" is the node log.
  struct Tree {
    std::vector<crypto::Hash256> blocks;
    std::vector<crypto::Hash256> rest;
    [[nodiscard]] std::uint64_t size() const noexcept { return blocks.size() * k_block_leaves + rest.size(); }
  };
  [[nodiscard]] Result<Tree> tree(std::string_view session);
  /// The leaf hashes of a complete block of the node log.
  [[nodiscard]] Result<std::vector<crypto::Hash256>> log_block(std::uint64_t number);
  /// The newest head of the session whose leaf is at most `leaf`.
  [[nodiscard]] Result<std::optional<HeadSpot>> head_before(const SessionId& session, std::uint64_t leaf);
  /// The checkpoints of the journal, newest first, at most `most`.
  [[nodiscard]] Result<std::vector<std::string>> checkpoints(std::size_t most);

  /// Replaces the session's key frames; `reach` is the entry up to which they were made.
  Result<void> keep_key_frames(const SessionId& session, std::span<const KeyFrame> frames, std::uint64_t reach);
  /// The newest at or before `sequence`.
  [[nodiscard]] Result<std::optional<KeyFrame>> key_frame_before(const SessionId& session, std::uint32_t channel, std::uint64_t sequence);
  /// How far the key frames of the session reach: the entry up to which they were made; 0: none yet.
  [[nodiscard]] Result<std::uint64_t> key_frames_reach(const SessionId& session);

  /// The payload of a frame that the index names; checks its header and checksum. Errc::corrupt, Errc::not_found.
  [[nodiscard]] Result<Bytes> read_frame(std::uint64_t file, std::uint64_t offset, std::uint32_t size);
  /// Where the index ends: whoever follows reads on from there.
  [[nodiscard]] Result<JournalFiles> files_from_here();
  [[nodiscard]] const JournalPlace& journal() const noexcept;

 private:
  struct State;
  explicit SeekIndex(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// The root over complete blocks and the leaf hashes behind them.
[[nodiscard]] crypto::Hash256 root_of_blocks(std::span<const crypto::Hash256> blocks, std::span<const crypto::Hash256> rest);

/// Where the index of that journal belongs below `folder`: one file for each journal.
[[nodiscard]] std::filesystem::path seek_index_file(const std::filesystem::path& folder, const std::filesystem::path& journal);

}  // namespace sallyport::replay
