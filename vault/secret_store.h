// vault/secret_store.h -- vault.db: sealed values, their versions, leases, and what must not be forgotten.
//
// SQLite (WAL, synchronous=FULL, secure_delete). Names, kinds, labels, times and public keys stand in the clear; values only as
// the barrier sealed them. Reading names works while the vault is sealed.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "platform/crypto/hash.h"
#include "platform/model/clock.h"
#include "platform/sql/database.h"
#include "vault/barrier.h"

namespace sallyport::vault {

using Labels = std::map<std::string, std::string>;

struct SecretInfo {
  std::string name;
  std::string kind;
  std::uint32_t version = 0;  ///< newest
  std::int64_t changed_us = 0;
  Labels labels;
  Bytes public_key;  ///< of a private key: its SSH blob; otherwise empty
};

struct StoredSecret {
  std::string kind;
  std::uint32_t version = 0;
  Secret value;
};

/// A loan of a secret to one session.
struct Lease {
  std::string id;
  std::string session;
  std::string secret;
  std::string purpose;  ///< "password" or "signature"
  std::uint32_t version = 0;
  std::int64_t started_us = 0;
};

/// The wrapped key of one recording, where it is kept here and not, or not only, in the recording itself.
struct RecordingKeyRow {
  Bytes wrapped;                ///< CMS; empty: erased
  std::int64_t changed_us = 0;
};

struct CheckpointSeen {
  std::uint64_t size = 0;
  crypto::Hash256 root{};
};

/// One thread. `barrier` must outlive the store.
class SecretStore {
 public:
  [[nodiscard]] static Result<SecretStore> open(const std::string& path, Barrier& barrier);

  /// Stores the next version under a fresh data key; versions of a name are never used twice, not even after remove().
  /// Errc::conflict: the name exists with another kind. Errc::sealed.
  [[nodiscard]] Result<std::uint32_t> put(std::string_view name, std::string_view kind, const Secret& value, const Labels& labels,
                                          ByteView public_key, WallTime now);
  /// The newest version, or that one. Errc::not_found, Errc::sealed, Errc::corrupt.
  [[nodiscard]] Result<StoredSecret> read(std::string_view name, std::optional<std::uint32_t> version = {});
  [[nodiscard]] Result<SecretInfo> describe(std::string_view name);
  [[nodiscard]] Result<std::vector<SecretInfo>> list(std::string_view prefix);
  /// version 0: all of them. Errc::not_found.
  [[nodiscard]] Result<void> remove(std::string_view name, std::uint32_t version);

  /// Remembers that `step` of a TOTP secret was used; false when it, or a later one, was used before. Durable on return.
  [[nodiscard]] Result<bool> use_totp_step(std::string_view name, std::int64_t step);
  [[nodiscard]] Result<std::int64_t> last_totp_step(std::string_view name);

  [[nodiscard]] Result<std::optional<CheckpointSeen>> newest_checkpoint(std::string_view origin);
  [[nodiscard]] Result<void> note_checkpoint(std::string_view origin, const CheckpointSeen& seen);

  [[nodiscard]] Result<std::optional<RecordingKeyRow>> recording_key(std::string_view session);
  /// Durable on return. Errc::conflict: it was erased.
  [[nodiscard]] Result<void> put_recording_key(std::string_view session, ByteView wrapped, WallTime now);
  /// Nothing of the key is in the database, nor in its log, when this returns.
  [[nodiscard]] Result<void> erase_recording_key(std::string_view session, WallTime now);

  [[nodiscard]] Result<void> add_lease(const Lease& lease);
  [[nodiscard]] Result<void> remove_lease(std::string_view id);
  [[nodiscard]] Result<std::vector<Lease>> leases();

 private:
  SecretStore(sql::Database database, Barrier& barrier) : database_(std::move(database)), barrier_(&barrier) {}
  sql::Database database_;
  Barrier* barrier_;
};

}  // namespace sallyport::vault
