#include "app/keeper/published_keys.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <span>
#include <string>

#include "platform/crypto/base64.h"

namespace sallyport::app {
namespace {

/// "ssh-ed25519 AAAA... NAME" for a public key in SSH wire form (RFC 4253 section 6.6: it begins with its algorithm's name).
std::string public_line(const std::string& blob, const std::string& name) {
  if (blob.size() < 4) return {};
  const auto byte = [&blob](std::size_t i) { return static_cast<std::size_t>(static_cast<unsigned char>(blob[i])); };
  const std::size_t length = (byte(0) << 24) | (byte(1) << 16) | (byte(2) << 8) | byte(3);
  if (length > 64 || blob.size() < 4 + length) return {};
  return blob.substr(4, length) + " " + crypto::to_base64(std::as_bytes(std::span(blob.data(), blob.size()))) + " " + name + "\n";
}

Result<void> write_file(const std::filesystem::path& path, const std::string& text) {
  const auto fresh = path.string() + ".new";
  std::ofstream out(fresh, std::ios::trunc | std::ios::binary);
  out << text;
  out.close();
  if (!out || chmod(fresh.c_str(), 0644) != 0 || rename(fresh.c_str(), path.c_str()) != 0)
    return fail(Errc::unavailable, path.string() + ": " + std::strerror(errno));
  return {};
}

}  // namespace

Result<void> publish_keys(const std::filesystem::path& directory, const control::PublicKeySet& keys) {
  if (mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) return fail(Errc::unavailable, directory.string() + ": " + std::strerror(errno));
  if (chmod(directory.c_str(), 0755) != 0) return fail(Errc::unavailable, directory.string() + ": " + std::strerror(errno));
  std::string host_keys;
  for (const std::string& blob : keys.host_keys()) host_keys += public_line(blob, "sallyport-host");
  const std::string vkey = keys.checkpoint_key().empty() ? "" : keys.checkpoint_key() + "\n";
  for (const auto& [name, text] : {std::pair{"user_ca.pub", public_line(keys.user_ca(), "sallyport-user-ca")},
                                   std::pair{"host_ca.pub", public_line(keys.host_ca(), "sallyport-host-ca")},
                                   std::pair{"host_keys.pub", host_keys}, std::pair{"checkpoint.vkey", vkey}}) {
    auto written = write_file(directory / name, text);
    if (!written) return written;
  }
  return {};
}

ShownHostKeys last_host_keys(const std::filesystem::path& public_folder) {
  ShownHostKeys shown;
  for (const char* name : {"host_ed25519.pub", "host_rsa.pub", "host_ed25519-cert.pub"}) {
    std::ifstream in(public_folder / name);
    std::string type;
    std::string blob;
    if (!(in >> type >> blob) || !crypto::from_base64(blob)) continue;
    std::string& list = std::string_view(name).ends_with("-cert.pub") ? shown.certificates : shown.keys;
    list += (list.empty() ? "" : ",") + blob;
  }
  return shown;
}

}  // namespace sallyport::app
