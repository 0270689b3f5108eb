// gateway/ssh/rsync_call.h -- what an `rsync --server` command asks for.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace sallyport::gateway {

/// The options follow rsync(1) and its server_options(); the table in rsync_call.cpp says what each means to us.
struct RsyncCall {
  bool is_server_call = false;       ///< begins with `rsync --server`
  bool sender = false;               ///< the target sends: a download
  bool deletes = false;              ///< removes or renames what is there
  bool paths_are_hidden = false;     ///< -s, --files-from: names that the command does not show
  bool relative = false;             ///< -R
  bool daemon = false;
  bool makes_links = false;          ///< -l without --safe-links: an upload may create any symbolic link
  bool makes_devices = false;        ///< -D
  std::string unknown;               ///< the first option we do not know
  std::string forbidden;             ///< the first one that never passes while file rules apply
  std::vector<std::string> paths;        ///< after the "." that ends the options
  std::vector<std::string> read_paths;   ///< --link-dest and its like
  std::vector<std::string> write_paths;  ///< --backup-dir and its like
};

[[nodiscard]] RsyncCall parse_rsync_call(std::span<const std::string> words);

}  // namespace sallyport::gateway
