// recorder/replay/seek_index_state.h -- what the two halves of the seek index share: its database and what grows while the journal is read.
// Growing: seek_index_growth.cpp. Questions: seek_index.cpp.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "platform/crypto/merkle.h"
#include "platform/os/fd.h"
#include "platform/sql/database.h"
#include "recorder/replay/seek_index.h"
#include "recorder/replay/session_growth.h"

namespace sallyport::replay {

/// Hashes as a blob of the database, and back.
[[nodiscard]] Bytes packed(std::span<const crypto::Hash256> hashes);
[[nodiscard]] std::vector<crypto::Hash256> unpacked(ByteView bytes);

/// A session as it grows while the journal is read.
struct Growing {
  std::int64_t id = 0;
  SessionGrowth growth;
  std::vector<crypto::Hash256> rest;
  std::uint64_t blocks = 0;
  bool whole = true;
};

struct SeekIndex::State {
  std::string file;
  JournalPlace where;
  sql::Database database;
  std::map<std::uint64_t, Fd> open_files;
  std::string file_trouble;

  // While catching up.
  std::map<seal::Label, Growing> growing;
  std::vector<crypto::Hash256> log_rest;
  std::uint64_t log_blocks = 0;

  Result<std::optional<Growing>> load(std::string_view label);
  Result<Growing*> session_for(const seal::Label& label);
  Result<void> store_session(Growing& session);
  Result<void> take_frame(const Frame& frame);
  Result<void> take_entries(const Frame& frame);
  Result<void> take_leaf(const Frame& frame);
  Result<std::int64_t> id_of(const SessionId& session);
  Result<std::optional<JournalFiles>> resume();
};

}  // namespace sallyport::replay
