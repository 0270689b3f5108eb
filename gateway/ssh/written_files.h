// gateway/ssh/written_files.h -- a file that reached the target, as the command guard of later channels wants to know it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace sallyport::gateway {

class AuthorityClient;

struct WrittenFile {
  static constexpr std::size_t k_most_text = 16 * 1024;

  std::string path;                 ///< absolute, or below the account's home directory
  std::string sha256;               ///< may be empty
  std::uint64_t size = 0;
  std::optional<std::string> text;  ///< small ones only
};
using WrittenFileSink = std::function<void(WrittenFile)>;

/// Tells the authority, which keeps it for a day. Names and contents that are no text are left out.
void tell_written(AuthorityClient& authority, const WrittenFile& file);

}  // namespace sallyport::gateway
