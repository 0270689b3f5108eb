// platform/crypto/krl.h -- OpenSSH key revocation lists (PROTOCOL.krl), or a plain list of public keys.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "platform/crypto/ssh_certificate.h"

namespace sallyport::crypto {

class Krl {
 public:
  /// The binary format that `ssh-keygen -k` writes, or a text file of public keys, one a line.
  /// Errc::invalid: broken, an unknown section (a list that is not fully understood would let somebody in), above 16 MiB,
  /// or signed with a signature that does not verify.
  [[nodiscard]] static Result<Krl> parse(std::span<const std::byte> bytes);

  /// By key or fingerprint.
  [[nodiscard]] bool is_revoked(const SshPublicKey& key) const;
  /// By its key, its CA's key, its serial (0 never counts) or its key id, under that CA or under any.
  [[nodiscard]] bool is_revoked(const SshCertificate& certificate) const;

  [[nodiscard]] std::uint64_t version() const noexcept { return version_; }
  [[nodiscard]] std::uint64_t generated() const noexcept { return generated_; }  ///< seconds since the epoch
  [[nodiscard]] const std::string& comment() const noexcept { return comment_; }

 private:
  struct Certificates {
    std::string ca_blob;  ///< empty: of any CA
    std::map<std::uint64_t, std::uint64_t> serials;  ///< first to last
    std::set<std::string, std::less<>> key_ids;

    [[nodiscard]] bool covers(std::uint64_t serial) const;
    void add(std::uint64_t first, std::uint64_t last);
  };

  [[nodiscard]] static Result<Krl> parse_text(std::string_view text);
  [[nodiscard]] Result<void> read_certificates(std::span<const std::byte> section);

  std::uint64_t version_ = 0;
  std::uint64_t generated_ = 0;
  std::string comment_;
  std::set<std::string, std::less<>> keys_;
  std::set<std::string, std::less<>> sha1_;
  std::set<std::string, std::less<>> sha256_;
  std::vector<Certificates> certificates_;
};

}  // namespace sallyport::crypto
