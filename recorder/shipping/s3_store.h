// recorder/shipping/s3_store.h -- an ObjectStore over the S3 protocol (AWS, Ceph RGW, MinIO ...).
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "platform/crypto/random.h"
#include "recorder/shipping/object_store.h"
#include "recorder/shipping/s3_transport.h"

namespace sallyport::recorder {

struct S3Options {
  S3Endpoint endpoint;
  std::string bucket;
  std::string prefix;  ///< in front of each key, "" or ends with '/'
  std::string region = "us-east-1";
  bool virtual_host = false;  ///< BUCKET.HOST/KEY; otherwise HOST/BUCKET/KEY
  std::string access_key;
  Secret secret_key;
  std::uint64_t part_bytes = 8 * 1024 * 1024;  ///< larger bodies go in parts
  unsigned attempts = 4;                       ///< of one exchange, when the store is busy or away
  std::chrono::milliseconds first_pause{200};  ///< doubles; each pause is random between half of it and all of it
};

/// What object lock the bucket has.
struct S3Lock {
  bool enabled = false;
  std::string default_mode;  ///< GOVERNANCE, COMPLIANCE or empty
};

/// Puts are conditional (If-None-Match: *), which Ceph RGW honours in buckets without versions only; in one with versions (object lock needs
/// them) a put whose answer was lost is looked for before it is tried again. An answer that says "is there already" is settled by asking for the present object's hash, which
/// every put stores with it; where the credential may not read, by that hash being part of what the caller put into the key.
/// Not thread-safe.
class S3Store final : public ObjectStore {
 public:
  S3Store(S3Options options, Clock& clock, crypto::Random& random);
  S3Store(S3Options options, Clock& clock, crypto::Random& random, std::unique_ptr<S3Transport> transport,
          std::function<void(std::chrono::milliseconds)> sleep);

  using ObjectStore::put;
  Result<void> put(std::string_view key, ByteView body, const ObjectKeep& keep) override;
  [[nodiscard]] Result<Bytes> get(std::string_view key) override;
  [[nodiscard]] Result<Bytes> get_range(std::string_view key, std::uint64_t offset, std::uint64_t length) override;
  [[nodiscard]] Result<ObjectFacts> head(std::string_view key) override;
  [[nodiscard]] Result<std::vector<std::string>> list(std::string_view prefix) override;

  /// Of the bucket. Errc::not_found: no such bucket. Errc::denied: may not be read.
  [[nodiscard]] Result<S3Lock> lock_of_bucket();
  /// Tries to remove the newest version of an object; a locked store answers Errc::denied.
  Result<void> remove_version(std::string_view key);
  Result<void> set_legal_hold(std::string_view key, bool on);

 private:
  [[nodiscard]] std::string path_of(std::string_view key) const;
  /// Again while the store is busy or away. `settled` is asked before a try that follows one whose fate is not known.
  [[nodiscard]] Result<S3Answer> ask(const S3Call& call, std::string_view doing, const std::function<bool()>& settled = {});
  [[nodiscard]] bool stands_there(std::string_view key, std::uint64_t size, const crypto::Hash256& hash);
  [[nodiscard]] Result<S3Answer> ask_once(const S3Call& call);
  [[nodiscard]] tl::unexpected<Error> refused(const S3Answer& answer, std::string_view doing) const;
  Result<void> settle_existing(std::string_view key, ByteView body, const crypto::Hash256& hash);
  Result<void> put_parts(std::string_view key, ByteView body, const crypto::Hash256& hash, const ObjectKeep& keep);
  void abandon(std::string_view key, const std::string& upload);

  S3Options options_;
  Clock& clock_;
  crypto::Random& random_;
  std::unique_ptr<S3Transport> transport_;
  std::function<void(std::chrono::milliseconds)> sleep_;
  std::string host_;
};

/// The text of the first element `name` in a small XML document of a store; empty when there is none. Entities are resolved.
[[nodiscard]] std::string xml_text(std::string_view document, std::string_view name);
/// "2026-11-22T19:00:00Z" for retention headers, and back.
[[nodiscard]] std::string iso_time(WallTime when);
[[nodiscard]] std::optional<WallTime> parse_iso_time(std::string_view text);

}  // namespace sallyport::recorder
