#include <catch2/catch.hpp>

#include "admin/web/assets.h"
#include "admin/web/serve.h"

using namespace sallyport;

namespace {

net::HttpRequest get(std::string path) {
  net::HttpRequest request;
  request.method = "GET";
  request.path = std::move(path);
  return request;
}

}  // namespace

TEST_CASE("the page answers for its own places and leaves the API alone", "[web]") {
  CHECK_FALSE(admin::web::serve(get("/v1/status")));
  CHECK_FALSE(admin::web::serve(get("/v1")));
  net::HttpRequest post = get("/");
  post.method = "POST";
  CHECK_FALSE(admin::web::serve(post));
  if (admin::web::assets().empty()) {
    WARN("this build has no page (SALLYPORT_WEB=OFF)");
    CHECK(admin::web::serve(get("/"))->status == 404);
    return;
  }
  const auto index = admin::web::serve(get("/"));
  REQUIRE(index);
  CHECK(index->status == 200);
  CHECK(index->content_type == "text/html; charset=utf-8");
  CHECK(index->body.find("<div id=\"root\">") != std::string::npos);
  const auto view = admin::web::serve(get("/sessions/01M82BHXTJACY657DBKTN3YPKF"));
  REQUIRE(view);
  CHECK(view->body == index->body);
  CHECK(admin::web::serve(get("/assets/none.js"))->status == 404);
  CHECK(admin::web::serve(get("/../etc/passwd.txt"))->status == 404);
}

TEST_CASE("the page loads nothing from elsewhere and cannot be framed", "[web]") {
  const auto index = admin::web::serve(get("/"));
  REQUIRE(index);
  const std::string policy = index->headers.at("Content-Security-Policy");
  CHECK(policy.find("default-src 'none'") != std::string::npos);
  CHECK(policy.find("frame-ancestors 'none'") != std::string::npos);
  CHECK(policy.find("unsafe") == std::string::npos);
  CHECK(policy.find("script-src 'self';") != std::string::npos);
  for (const auto& asset : admin::web::assets()) {
    if (!asset.content_type.starts_with("text/html")) continue;
    CHECK(asset.plain.find("http://") == std::string_view::npos);
    CHECK(asset.plain.find("https://") == std::string_view::npos);
  }
}

TEST_CASE("what has not changed is not sent again, and gzip goes to who accepts it", "[web]") {
  for (const auto& asset : admin::web::assets()) {
    net::HttpRequest request = get(std::string(asset.path));
    const auto plain = admin::web::serve(request);
    REQUIRE(plain);
    CHECK(plain->body == asset.plain);
    CHECK(plain->headers.count("Content-Encoding") == 0);
    CHECK(plain->headers.at("Cache-Control") == (asset.fixed ? "public, max-age=31536000, immutable" : "no-cache"));
    request.headers["accept-encoding"] = "gzip, br";
    const auto packed = admin::web::serve(request);
    CHECK(packed->headers.at("Content-Encoding") == "gzip");
    CHECK(packed->body == asset.gzip);
    request.headers["if-none-match"] = std::string(asset.etag);
    CHECK(admin::web::serve(request)->status == 304);
  }
}
