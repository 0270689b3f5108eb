// admin/web/assets.h -- the files of the web page, embedded in the program.
#pragma once

#include <span>
#include <string_view>

namespace sallyport::admin::web {

struct Asset {
  std::string_view path;          ///< "/index.html"
  std::string_view content_type;
  std::string_view etag;          ///< quoted, strong
  std::string_view plain;
  std::string_view gzip;          ///< the same, for a browser that accepts gzip
  bool fixed;                     ///< its name carries a hash: may be kept for ever
};

/// Every file; empty in a build without the page (SALLYPORT_WEB=OFF).
[[nodiscard]] std::span<const Asset> assets();

}  // namespace sallyport::admin::web
