#include "admin/api/idempotency.h"

#include <catch2/catch.hpp>

using namespace sallyport;

namespace {

/// Sends a POST and says whether it was done (and not answered from memory).
class Poster {
 public:
  bool is_done(const std::string& who, const std::string& key, const std::string& body = "{}") {
    auto call = std::make_shared<admin::Call>(admin::Call{{}, {}, {}, {}, no_administration()});
    call->request.method = "POST";
    call->request.path = "/v1/locks";
    call->request.headers["idempotency-key"] = key;
    call->request.body = body;
    call->parts = {"v1", "locks"};
    call->who.name = who;
    bool replayed = false;
    call->answer = [&replayed](const net::HttpResponse& response) { replayed = response.headers.count("Idempotency-Replayed") != 0; };
    if (!memory_.admit(call)) {
      CHECK(replayed);
      return false;
    }
    net::HttpResponse response;
    response.status = 201;
    call->answer(std::move(response));
    return true;
  }

 private:
  /// A Call holds one; what is tested here never looks at it.
  static authority::Administration& no_administration() {
    alignas(authority::Administration) static std::byte room[sizeof(authority::Administration)];
    return reinterpret_cast<authority::Administration&>(room);
  }

  admin::Idempotency memory_;
};

}  // namespace

TEST_CASE("what is sent twice with one key is done once, for each caller alone", "[idempotency]") {
  Poster post;
  CHECK(post.is_done("anna", "k1"));
  CHECK_FALSE(post.is_done("anna", "k1"));
  CHECK(post.is_done("bert", "k1"));
  CHECK_FALSE(post.is_done("bert", "k1"));
}

TEST_CASE("many keys of one caller make nobody else's request be done twice", "[idempotency]") {
  Poster post;
  CHECK(post.is_done("anna", "k1"));
  for (int i = 0; i < 5000; ++i) REQUIRE(post.is_done("mallory", "m" + std::to_string(i)));
  CHECK_FALSE(post.is_done("anna", "k1"));
  CHECK(post.is_done("mallory", "m0"));  // her oldest are forgotten
  CHECK_FALSE(post.is_done("mallory", "m4999"));
}

TEST_CASE("who has not signed in has no memory", "[idempotency]") {
  Poster post;
  CHECK(post.is_done("", "k1"));
  CHECK(post.is_done("", "k1"));
}
