#include "policy/identity/enrolments.h"

#include <catch2/catch.hpp>

#include "policy/identity/factor_memory.h"

using namespace sallyport;
using namespace sallyport::policy;

namespace {

std::shared_ptr<const Snapshot> people(std::vector<Principal> principals, std::vector<Group> groups = {}) {
  Documents documents;
  documents.principals = std::move(principals);
  documents.groups = std::move(groups);
  std::vector<Diagnostic> problems;
  auto snapshot = Snapshot::compile(std::move(documents), problems);
  REQUIRE(problems.empty());
  return snapshot;
}

LoginKey key(std::string blob) {
  LoginKey one;
  one.fingerprint = "SHA256:" + blob;
  one.blob = std::move(blob);
  return one;
}

Principal person(std::string name, std::vector<std::string> enrol, std::vector<LoginKey> keys = {}) {
  Principal one;
  one.name = PrincipalId(std::move(name));
  one.enrol = std::move(enrol);
  one.keys = std::move(keys);
  return one;
}

constexpr WallTime k_now{std::chrono::hours(500'000)};

}  // namespace

TEST_CASE("an enrolled key counts only while the policy lets her enrol keys and lists it for nobody else", "[policy][enrolment]") {
  Enrolments enrolled;
  enrolled.add_key("ann", key("k1"));
  SECTION("she may") {
    const auto snapshot = people({person("ann", {"keys"})});
    const Principal& ann = *snapshot->find_principal("ann");
    CHECK(enrolled.find_key(*snapshot, ann, "k1") != nullptr);
    CHECK(enrolled.find_owner(*snapshot, "k1") == &ann);
    CHECK(enrolled.find_key(*snapshot, ann, "k2") == nullptr);
  }
  SECTION("she may not") {
    const auto snapshot = people({person("ann", {"totp"})});
    CHECK(enrolled.find_key(*snapshot, *snapshot->find_principal("ann"), "k1") == nullptr);
    CHECK(enrolled.find_owner(*snapshot, "k1") == nullptr);
    CHECK_FALSE(enrolled.has_keys(*snapshot->find_principal("ann")));
  }
  SECTION("the policy gives the key to another") {
    const auto snapshot = people({person("ann", {"keys"}), person("bob", {}, {key("k1")})});
    CHECK(enrolled.find_key(*snapshot, *snapshot->find_principal("ann"), "k1") == nullptr);
    CHECK(enrolled.find_owner(*snapshot, "k1") == snapshot->find_principal("bob"));
  }
  SECTION("nobody else takes it, and a removed one is free again") {
    enrolled.add_key("bob", key("k1"));
    CHECK(enrolled.keys_of("bob").empty());
    CHECK(enrolled.remove_key("ann", "SHA256:k1"));
    CHECK_FALSE(enrolled.remove_key("ann", "SHA256:k1"));
    enrolled.add_key("bob", key("k1"));
    CHECK(enrolled.keys_of("bob").size() == 1);
  }
}

TEST_CASE("the policy's one-time code takes the place of an enrolled one", "[policy][enrolment]") {
  Enrolments enrolled;
  enrolled.set_totp("ann", "enrolled/totp/ann/1");
  Principal ann = person("ann", {"totp"});
  CHECK(enrolled.totp_secret(ann) == "enrolled/totp/ann/1");
  ann.totp_secret = "totp/ann";
  CHECK(enrolled.totp_secret(ann) == "totp/ann");
  ann.totp_secret.clear();
  ann.enrol.clear();
  CHECK(enrolled.totp_secret(ann).empty());
}

TEST_CASE("a lock revokes every certificate of one person and of nobody else", "[policy][enrolment]") {
  Enrolments enrolled;
  for (const auto& [serial, name] : {std::pair{1, "ann"}, std::pair{2, "bob"}}) {
    IssuedCertificate one;
    one.serial = static_cast<std::uint64_t>(serial);
    one.principal = name;
    one.expires = k_now + std::chrono::hours(1);
    enrolled.add_certificate(one);
  }
  enrolled.revoke_certificates("ann");
  CHECK(enrolled.find_certificate(1)->revoked);
  CHECK_FALSE(enrolled.find_certificate(2)->revoked);
  enrolled.forget_certificates_before(k_now + std::chrono::hours(2));
  CHECK(enrolled.find_certificate(2) == nullptr);
}

TEST_CASE("a second factor is remembered for one principal, source and key, with its true age", "[policy][enrolment]") {
  FactorMemory memory;
  const IpAddress here = *IpAddress::parse("10.1.2.3");
  const std::vector<ProvenFactor> given{{FactorKind::key, k_now, false}, {FactorKind::totp, k_now, false}};
  memory.remember("ann", here, "SHA256:k1", given);
  CHECK(memory.recall("ann", here, "SHA256:k1", k_now).empty());  // nothing is remembered unless it is said
  memory.set_lasts(std::chrono::minutes(10));
  memory.remember("ann", here, "SHA256:k1", given);
  const auto recalled = memory.recall("ann", here, "SHA256:k1", k_now + std::chrono::minutes(5));
  REQUIRE(recalled.size() == 1);
  CHECK(recalled.front().kind == FactorKind::totp);
  CHECK(recalled.front().proven == k_now);
  CHECK(memory.recall("bob", here, "SHA256:k1", k_now).empty());
  CHECK(memory.recall("ann", *IpAddress::parse("10.1.2.4"), "SHA256:k1", k_now).empty());
  CHECK(memory.recall("ann", here, "SHA256:k2", k_now).empty());
  CHECK(memory.recall("ann", here, "SHA256:k1", k_now + std::chrono::minutes(11)).empty());
  // What was recalled is remembered again at its old moment: it does not live for ever.
  memory.remember("ann", here, "SHA256:k1", recalled);
  CHECK(memory.recall("ann", here, "SHA256:k1", k_now + std::chrono::minutes(11)).empty());
  memory.forget("ann");
  CHECK(memory.recall("ann", here, "SHA256:k1", k_now).empty());
}
