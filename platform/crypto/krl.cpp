#include "platform/crypto/krl.h"

#include <openssl/evp.h>

#include <array>

#include "platform/crypto/hash.h"

namespace sallyport::crypto {
namespace {

constexpr std::uint64_t k_magic = 0x5353484b524c0a00;  // "SSHKRL\n\0"
constexpr std::size_t k_max_size = 16 * 1024 * 1024;

enum Section : std::uint8_t { certificates = 1, explicit_key = 2, fingerprint_sha1 = 3, signature = 4, fingerprint_sha256 = 5 };
enum CertificateSection : std::uint8_t { serial_list = 0x20, serial_range = 0x21, serial_bitmap = 0x22, key_id = 0x23 };

std::array<std::byte, 20> sha1_of(std::span<const std::byte> data) {
  std::array<std::byte, 20> digest{};
  EVP_Digest(data.data(), data.size(), reinterpret_cast<unsigned char*>(digest.data()), nullptr, EVP_sha1(), nullptr);
  return digest;
}

bool read_set(std::span<const std::byte> section, std::size_t size, std::set<std::string, std::less<>>& into) {
  SshReader reader(section);
  while (reader.ok() && !reader.at_end()) {
    const auto entry = reader.text();
    if (!reader.ok() || entry.empty() || (size != 0 && entry.size() != size)) return false;
    into.emplace(entry);
  }
  return reader.ok();
}

}  // namespace

void Krl::Certificates::add(std::uint64_t first, std::uint64_t last) {
  auto& end = serials.try_emplace(first, last).first->second;
  if (end < last) end = last;
}

bool Krl::Certificates::covers(std::uint64_t serial) const {
  // Ranges may overlap; merging in parse() keeps them apart, so the nearest one from below decides.
  auto after = serials.upper_bound(serial);
  return after != serials.begin() && (--after)->second >= serial;
}

Result<void> Krl::read_certificates(std::span<const std::byte> section) {
  const auto broken = [] { return fail(Errc::invalid, "revocation list: a certificate section is broken"); };
  SshReader reader(section);
  Certificates found;
  found.ca_blob = std::string(reader.text());
  reader.string();  // reserved
  while (reader.ok() && !reader.at_end()) {
    const std::uint8_t kind = reader.u8();
    SshReader inner(reader.string());
    if (!reader.ok()) return broken();
    switch (kind) {
      case serial_list:
        while (inner.ok() && !inner.at_end()) {
          const std::uint64_t serial = inner.u64();
          if (inner.ok()) found.add(serial, serial);
        }
        break;
      case serial_range: {
        const std::uint64_t first = inner.u64(), last = inner.u64();
        if (!inner.finished() || first > last) return broken();
        found.add(first, last);
        break;
      }
      case serial_bitmap: {
        const std::uint64_t offset = inner.u64();
        const auto bits = inner.mpint();
        if (!inner.finished() || bits.size() > 0x20000 || offset + bits.size() * 8 < offset) return broken();
        for (std::size_t i = 0; i < bits.size() * 8; ++i) {
          const std::byte byte = bits[bits.size() - 1 - i / 8];
          if ((byte >> (i % 8) & std::byte{1}) != std::byte{0}) found.add(offset + i, offset + i);
        }
        break;
      }
      case key_id:
        while (inner.ok() && !inner.at_end()) {
          const auto id = inner.text();
          if (inner.ok()) found.key_ids.emplace(id);
        }
        break;
      default: return fail(Errc::invalid, "revocation list: unknown certificate section");
    }
    if (!inner.ok()) return broken();
  }
  if (!reader.ok()) return broken();
  std::map<std::uint64_t, std::uint64_t> merged;
  for (const auto& [first, last] : found.serials) {
    if (!merged.empty() && merged.rbegin()->second >= first) {
      if (merged.rbegin()->second < last) merged.rbegin()->second = last;
    } else {
      merged.emplace_hint(merged.end(), first, last);
    }
  }
  found.serials = std::move(merged);
  certificates_.push_back(std::move(found));
  return {};
}

Result<Krl> Krl::parse_text(std::string_view text) {
  Krl list;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    auto key = parse_authorized_key(line);
    if (!key && key.error().code == Errc::not_found) continue;
    if (!key) return fail_in("revocation list", key.error());
    if (!key->options.empty()) return fail(Errc::invalid, "revocation list: options in front of a key");
    if (key->key) {
      list.keys_.emplace(text_of(key->blob));
    } else {
      auto certificate = SshCertificate::parse_blob(key->blob);
      if (!certificate) return fail_in("revocation list", certificate.error());
      list.keys_.emplace(text_of(certificate->key().blob()));
    }
  }
  return list;
}

Result<Krl> Krl::parse(std::span<const std::byte> bytes) {
  if (bytes.size() > k_max_size) return fail(Errc::invalid, "revocation list above 16 MiB");
  SshReader reader(bytes);
  if (bytes.size() < 8 || reader.u64() != k_magic) return parse_text(text_of(bytes));
  if (reader.u32() != 1) return fail(Errc::invalid, "revocation list of an unknown format");
  Krl list;
  list.version_ = reader.u64();
  list.generated_ = reader.u64();
  const std::uint64_t flags = reader.u64();
  reader.string();  // reserved
  list.comment_ = std::string(reader.text());
  if (!reader.ok()) return fail(Errc::invalid, "revocation list is cut short");
  if (flags != 0) return fail(Errc::invalid, "revocation list with unknown flags");
  bool is_signed = false;
  while (reader.ok() && !reader.at_end()) {
    const std::uint8_t kind = reader.u8();
    const auto section = reader.string();
    if (!reader.ok()) return fail(Errc::invalid, "revocation list is cut short");
    if (is_signed && kind != signature) return fail(Errc::invalid, "revocation list goes on after its signature");
    bool right = true;
    switch (kind) {
      case certificates:
        if (auto read = list.read_certificates(section); !read) return tl::unexpected(read.error());
        break;
      case explicit_key: right = read_set(section, 0, list.keys_); break;
      case fingerprint_sha1: right = read_set(section, 20, list.sha1_); break;
      case fingerprint_sha256: right = read_set(section, 32, list.sha256_); break;
      case signature: {
        // Covers everything up to and including the signing key.
        is_signed = true;
        const std::size_t covered = bytes.size() - reader.rest().size();
        const auto made = reader.string();
        auto key = SshPublicKey::parse_blob(section);
        if (!reader.ok() || !key || !key->verify(made, bytes.first(covered)))
          return fail(Errc::invalid, "revocation list has a signature that does not verify");
        break;
      }
      default: return fail(Errc::invalid, "revocation list: unknown section");
    }
    if (!right) return fail(Errc::invalid, "revocation list: a section is broken");
  }
  if (!reader.ok()) return fail(Errc::invalid, "revocation list is cut short");
  return list;
}

bool Krl::is_revoked(const SshPublicKey& key) const {
  const auto blob = text_of(key.blob());
  if (keys_.contains(blob)) return true;
  if (!sha256_.empty() && sha256_.contains(text_of(sha256(key.blob())))) return true;
  return !sha1_.empty() && sha1_.contains(text_of(sha1_of(key.blob())));
}

bool Krl::is_revoked(const SshCertificate& certificate) const {
  if (is_revoked(certificate.key()) || is_revoked(certificate.signature_key())) return true;
  for (const Certificates& list : certificates_) {
    if (!list.ca_blob.empty() && list.ca_blob != text_of(certificate.signature_key().blob())) continue;
    if (list.key_ids.contains(certificate.fields().key_id)) return true;
    if (certificate.fields().serial != 0 && list.covers(certificate.fields().serial)) return true;
  }
  return false;
}

}  // namespace sallyport::crypto
