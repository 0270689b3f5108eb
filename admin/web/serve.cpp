#include "admin/web/serve.h"

#include <algorithm>

#include "admin/web/assets.h"

namespace sallyport::admin::web {
namespace {

constexpr std::string_view k_content_policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const Asset* find(std::string_view path) {
  const auto all = assets();
  const auto found = std::find_if(all.begin(), all.end(), [&](const Asset& asset) { return asset.path == path; });
  return found == all.end() ? nullptr : &*found;
}

void protect(net::HttpResponse& answer) {
  answer.headers["Content-Security-Policy"] = k_content_policy;
  answer.headers["Cross-Origin-Opener-Policy"] = "same-origin";
  answer.headers["Cross-Origin-Resource-Policy"] = "same-origin";
  answer.headers["X-Content-Type-Options"] = "nosniff";
  answer.headers["Referrer-Policy"] = "no-referrer";
}

/// The last part of a path has a dot: it was meant to be a file.
bool names_file(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return path.find('.', slash == std::string_view::npos ? 0 : slash) != std::string_view::npos;
}

}  // namespace

std::optional<net::HttpResponse> serve(const net::HttpRequest& request) {
  if ((request.method != "GET" && request.method != "HEAD") || request.path == "/v1" || request.path.starts_with("/v1/")) return std::nullopt;
  net::HttpResponse answer;
  protect(answer);
  const Asset* asset = find(request.path);
  if (asset == nullptr && !names_file(request.path)) asset = find("/index.html");
  if (asset == nullptr) {
    answer.status = 404;
    answer.content_type = "text/plain; charset=utf-8";
    answer.body = assets().empty() ? "This build has no web page (SALLYPORT_WEB=OFF). The REST API is at /v1.\n" : "There is no such file.\n";
    return answer;
  }
  answer.headers["ETag"] = asset->etag;
  answer.headers["Vary"] = "Accept-Encoding";
  answer.headers["Cache-Control"] = asset->fixed ? "public, max-age=31536000, immutable" : "no-cache";
  if (request.header("if-none-match") == asset->etag) {
    answer.status = 304;
    return answer;
  }
  answer.content_type = asset->content_type;
  if (request.header("accept-encoding").find("gzip") != std::string::npos) {
    answer.headers["Content-Encoding"] = "gzip";
    answer.body = asset->gzip;
  } else {
    answer.body = asset->plain;
  }
  return answer;
}

}  // namespace sallyport::admin::web
