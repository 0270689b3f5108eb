#include "policy/identity/password.h"

#include <argon2.h>

#include <charconv>
#include <cstdio>

#include "policy/identity/login.h"

namespace sallyport::policy {
namespace {

constexpr std::uint32_t k_memory_kib = 19'456;  ///< OWASP's second choice for Argon2id
constexpr std::uint32_t k_passes = 2;
constexpr std::uint32_t k_lanes = 1;
constexpr std::size_t k_hash_bytes = 32;
constexpr std::size_t k_max_hash_text = 512;

bool read_number(std::string_view& rest, std::string_view name, std::uint32_t& value) {
  if (!rest.starts_with(name)) return false;
  rest.remove_prefix(name.size());
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  if (error != std::errc()) return false;
  rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
  return true;
}

}  // namespace

Result<void> check_password_hash(std::string_view hash) {
  if (hash.size() > k_max_hash_text) return fail(Errc::invalid, "the password hash is too long");
  if (hash.find('\0') != std::string_view::npos) return fail(Errc::invalid, "the password hash holds a NUL byte");
  constexpr std::string_view k_head = "$argon2id$v=19$";
  if (!hash.starts_with(k_head)) return fail(Errc::invalid, "a password is an Argon2id hash, \"$argon2id$v=19$m=19456,t=2,p=1$...\"");
  std::string_view rest = hash.substr(k_head.size());
  std::uint32_t memory = 0;
  std::uint32_t passes = 0;
  std::uint32_t lanes = 0;
  if (!read_number(rest, "m=", memory) || !read_number(rest, ",t=", passes) || !read_number(rest, ",p=", lanes) ||
      !rest.starts_with("$")) {
    return fail(Errc::invalid, "the password hash does not name m, t and p");
  }
  if (memory < 8 * 1024 || memory > 1024 * 1024 || passes < 1 || passes > 10 || lanes < 1 || lanes > 4) {
    return fail(Errc::invalid, "the password hash's cost is outside m=8192..1048576, t=1..10, p=1..4");
  }
  rest.remove_prefix(1);
  const std::size_t dollar = rest.find('$');
  const auto is_base64 = [](std::string_view text) {
    return text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") == std::string_view::npos;
  };
  if (dollar == std::string_view::npos || dollar < 11 || rest.size() - dollar < 22 || !is_base64(rest.substr(0, dollar)) ||
      !is_base64(rest.substr(dollar + 1))) {
    return fail(Errc::invalid, "the password hash's salt or digest is not whole");
  }
  return {};
}

bool verify_password(std::string_view hash, const Secret& password) {
  if (password.size() > k_max_password_bytes || !check_password_hash(hash)) return false;
  const std::string terminated(hash);
  const auto bytes = password.reveal();
  return argon2_verify(terminated.c_str(), bytes.data(), bytes.size(), Argon2_id) == ARGON2_OK;
}

Result<std::string> make_password_hash(const Secret& password, std::string_view salt) {
  if (password.empty()) return fail(Errc::invalid, "an empty password");
  if (password.size() > k_max_password_bytes) return fail(Errc::invalid, "the password is longer than 1024 bytes");
  if (salt.size() < 16 || salt.size() > 64) return fail(Errc::invalid, "the salt has 16 to 64 bytes");
  const std::size_t length = argon2_encodedlen(k_passes, k_memory_kib, k_lanes, static_cast<std::uint32_t>(salt.size()),
                                               k_hash_bytes, Argon2_id);
  std::string text(length, '\0');
  const auto bytes = password.reveal();
  const int status = argon2id_hash_encoded(k_passes, k_memory_kib, k_lanes, bytes.data(), bytes.size(), salt.data(),
                                           salt.size(), k_hash_bytes, text.data(), text.size());
  if (status != ARGON2_OK) return fail(Errc::unavailable, std::string("argon2: ") + argon2_error_message(status));
  text.resize(text.find('\0'));
  return text;
}

std::string_view password_cost(std::string_view hash) {
  constexpr std::string_view k_head = "$argon2id$v=19$";
  if (!hash.starts_with(k_head)) return {};
  hash.remove_prefix(k_head.size());
  return hash.substr(0, hash.find('$'));
}

std::string make_dummy_password_hash(std::string_view cost) {
  // A digest that was never computed from anything: finding a password for it means breaking Argon2id.
  return "$argon2id$v=19$" + (cost.empty() ? std::string("m=19456,t=2,p=1") : std::string(cost)) +
         "$c2FsbHlwb3J0LWR1bW15$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
}

}  // namespace sallyport::policy
