#include "platform/crypto/ssh_signature.h"

#include "platform/crypto/base64.h"
#include "platform/crypto/hash.h"

namespace sallyport::crypto {
namespace {

constexpr std::string_view k_magic = "SSHSIG";
constexpr std::size_t k_max_armoured = 16 * 1024;
constexpr std::string_view k_white = " \t\r\n";

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(k_white);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(k_white) - first + 1);
}

}  // namespace

Result<SshFileSignature> SshFileSignature::parse(std::string_view armoured) {
  std::string_view text = trimmed(armoured);
  if (text.size() > k_max_armoured) return fail(Errc::invalid, "an SSH signature of more than 16 KiB");
  if (!text.starts_with(k_ssh_signature_begin) || !text.ends_with(k_ssh_signature_end) || text.size() < k_ssh_signature_begin.size() + k_ssh_signature_end.size())
    return fail(Errc::invalid, "not an SSH signature: it begins with " + std::string(k_ssh_signature_begin));
  text.remove_prefix(k_ssh_signature_begin.size());
  text.remove_suffix(k_ssh_signature_end.size());
  std::string base64;
  for (const char c : text)
    if (k_white.find(c) == std::string_view::npos) base64 += c;
  const auto blob = from_base64(base64);
  if (!blob) return fail(Errc::invalid, "the SSH signature is not base64");

  SshReader reader(*blob);
  const std::string_view magic = text_of(reader.raw(k_magic.size()));
  const std::uint32_t version = reader.u32();
  const auto key_blob = reader.string();
  const std::string_view name_space = reader.text();
  static_cast<void>(reader.string());  // reserved
  const std::string_view hash = reader.text();
  const auto signature = reader.string();
  if (!reader.finished() || magic != k_magic || version != 1) return fail(Errc::invalid, "not an SSH signature of version 1");
  if (hash != "sha256" && hash != "sha512") return fail(Errc::invalid, "an SSH signature over a hash that is neither sha256 nor sha512");
  auto key = SshPublicKey::parse_blob(key_blob);
  if (!key) return fail(Errc::invalid, "the key of the SSH signature: " + key.error().detail);
  SshFileSignature parsed(std::move(*key));
  parsed.name_space_ = name_space;
  parsed.hash_ = hash;
  parsed.signature_.assign(signature.begin(), signature.end());
  return parsed;
}

Result<SshSignatureFacts> SshFileSignature::verify(std::string_view name_space, std::string_view message) const {
  if (name_space_ != name_space) return fail(Errc::denied, "the signature is of another namespace than " + std::string(name_space));
  SshWriter signed_data;
  signed_data.raw(bytes_of(k_magic)).string(name_space).string("").string(hash_);
  if (hash_ == "sha512") signed_data.string(sha512(bytes_of(message)));
  else signed_data.string(sha256(message));
  // A file may be signed with rsa-sha2-512 or -256 only; modern_signature_algorithms() says no to SHA-1 as well.
  auto facts = key_.verify(signature_, signed_data.view());
  if (!facts) return facts;
  if (facts->security_key && !facts->user_present) return fail(Errc::denied, "nobody touched the security key");
  return facts;
}

}  // namespace sallyport::crypto
