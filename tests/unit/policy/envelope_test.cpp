// Break-glass envelopes and the signatures of ssh-keygen -Y sign.
#include "policy/identity/envelope.h"

#include <catch2/catch.hpp>

#include "policy/access/engine.h"
#include "policy/access/request_text.h"

using namespace sallyport;
using namespace sallyport::policy;

namespace {

// Made once by OpenSSH's ssh-keygen -Y sign -n break-glass@sallyport over "signed text\n".
constexpr const char* k_by_ed25519 = R"(-----BEGIN SSH SIGNATURE-----
U1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTkAAAAgobJSiglc0unGx1z1LKR4uMBnPD
9uxL/l7PBR5knUWWcAAAAVYnJlYWstZ2xhc3NAc2FsbHlwb3J0AAAAAAAAAAZzaGE1MTIA
AABTAAAAC3NzaC1lZDI1NTE5AAAAQGSpbaFwxA/OsvSqEy7MRdJcH3HQiMmTvANdvIYFWr
+o41/Da7GSVE5BVLXpNH3+GGQ1HxsZledr5S0+m/rS9Aw=
-----END SSH SIGNATURE-----
)";
constexpr const char* k_by_ecdsa = R"(-----BEGIN SSH SIGNATURE-----
U1NIU0lHAAAAAQAAAGgAAAATZWNkc2Etc2hhMi1uaXN0cDI1NgAAAAhuaXN0cDI1NgAAAE
EE9FASON76fn4pPn7eMv1INFPsuJkzLaxeQ2gZE5oUUvD47C7Yq2wYkTU743sZ8I/d6mcG
cGxsevVSb0CDweSKHAAAABVicmVhay1nbGFzc0BzYWxseXBvcnQAAAAAAAAABnNoYTUxMg
AAAGUAAAATZWNkc2Etc2hhMi1uaXN0cDI1NgAAAEoAAAAhAMfKvlS5ebZUlZQVegtbdhAQ
b+aLnm3xVhP8PJVfmz4gAAAAIQDNAS/IZsMLPkhHaRMHNB1zKouSobUSU4n959GKg1T4bA
==
-----END SSH SIGNATURE-----
)";
constexpr const char* k_by_rsa = R"(-----BEGIN SSH SIGNATURE-----
U1NIU0lHAAAAAQAAAZcAAAAHc3NoLXJzYQAAAAMBAAEAAAGBAMKwu9rlXe4VYt50lEMp8R
ndpbv1zhJTS4VhugKz5DnwLafFizNOGgQre48iXaFL6VUzINp2o5fHyrBJa5iS+l5DoAA6
vwjTrzjZBqTKfcPbV+4W5+qLjLL5KvcvFsopc2tugAij+xz5XgrRW05Be7g9riZR0NdPe6
WQxldbPRWoBQYvz0pIES6Bw00GDfKjc9YuVt/O7VwfdpxwGmw5WUWb+xx42uOk/X9AnhkQ
u6TkZYbakJXUovSHq1nqswJXidqIXmQxdWetM6fc1xLZHS18sav19/V49ihk9OkWGZU84u
Y1jBZ0k/JR9/iRUNzN0VhzNjaDwSajSEQk0psreuccWHexWwW+Oxho+HahnwGcJVfsTAFn
g57Je/IK2eCSRnPpqmKwKkJV7tddBVflDWfaHN7Zi4dpz69zqIyAbMtV70NgDtAiLdqyoF
9LgSc19vyJtgOSpsOO9mb4AgYqeu0nom0bmRnM+m+8xr7uQbv+Sphkyu66S3aL3b1tifN+
TQAAABVicmVhay1nbGFzc0BzYWxseXBvcnQAAAAAAAAABnNoYTUxMgAAAZQAAAAMcnNhLX
NoYTItNTEyAAABgIDKPCkORLmYqqTTHRmPGxQY+tqNMIhodF1Gag8gZrd+4qXCXMFxNhkY
IRMcja4YP8cLssJk5ykfOoQ6YPz81ve247JmhhsEOSLo1OT3GUS1mtSu3vXZvmuSZAUc8+
VAtGK5CMi8Ln5s0DmxiLijUkD/WzprM4gxqV21C6ELI6hKZZlMoKb5+5mFZQAPXYDF5YnG
uPfgjfX5oeqdyA1HUvkjeVOEf4AWrvRodEXhSUqLR1+UkXv2vhGqwy7dBrPr1s1nyiy6Gi
hYXRNtYCb2MFWhVRjlhfUSo9sZvQi7exu3daKfTgz5ROCylKJaj8R1a/j5O1Y5Nlo9A5pG
p8leCNUeSxwpaN+j7P5XJ3+lovA2862umLi2Vun5BEmLoruo5l8h5EUa5B9JisXKyQUuFe
5fZgBEv1e4voWpD3c953npW3n2HYdW5N8P1IVQHAKAVXr/XXQqCq6jOBrxvn5NA9Y+U/ep
S1uJsyWOn5Foh2IzNSaza9JjEJCSq2peAMkZqw==
-----END SSH SIGNATURE-----
)";
constexpr const char* k_signer = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKGyUooJXNLpxsdc9SykeLjAZzw/bsS/5ezwUeZJ1Fln";
constexpr std::string_view k_text = "signed text\n";
constexpr WallTime k_now{std::chrono::hours(500'000)};

Envelope sample() {
  Envelope e;
  e.id = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
  e.principal = "engineer";
  e.keys = {std::string(text_of(crypto::SshPublicKey::parse_line(k_signer)->blob()))};
  e.targets = {"recs-1", "recs-2"};
  e.accounts = {"root"};
  e.not_before = k_now;
  e.not_after = k_now + std::chrono::hours(24);
  e.lasts = std::chrono::hours(1);
  e.approvers = {{"alice", std::string(64, 'a')}, {"bob", std::string(64, 'b')}};
  e.reason = "INC-7";
  return e;
}

}  // namespace

TEST_CASE("signatures of ssh-keygen hold for their text, namespace and key only", "[envelope]") {
  for (const char* armoured : {k_by_ed25519, k_by_ecdsa, k_by_rsa}) {
    const auto signature = crypto::SshFileSignature::parse(armoured);
    REQUIRE(signature);
    CHECK(signature->verify(k_envelope_namespace, k_text));
    CHECK_FALSE(signature->verify("file", k_text));
    CHECK_FALSE(signature->verify(k_envelope_namespace, "signed text"));
    const std::string whole = armoured;
    for (std::size_t at = whole.find('\n') + 1; at < whole.rfind("\n-----END"); ++at) {
      if (whole[at] == '\n' || whole[at] == '=') continue;
      std::string changed = whole;
      changed[at] = changed[at] == 'A' ? 'B' : 'A';
      const auto other = crypto::SshFileSignature::parse(changed);
      if (other && changed != whole) CHECK_FALSE(other->verify(k_envelope_namespace, k_text));
    }
  }
  CHECK(crypto::SshFileSignature::parse(k_by_ed25519)->key() == *crypto::SshPublicKey::parse_line(k_signer));
  CHECK_FALSE(crypto::SshFileSignature::parse(""));
  CHECK_FALSE(crypto::SshFileSignature::parse("-----BEGIN SSH SIGNATURE-----END SSH SIGNATURE-----"));
}

TEST_CASE("an envelope reads back as it was written, and nothing looser", "[envelope]") {
  const std::string text = sample().text();
  const auto sealed = parse_envelope(text);
  REQUIRE(sealed);
  CHECK(sealed->text == text);
  CHECK(sealed->envelope.text() == text);
  CHECK(sealed->signatures.empty());
  CHECK(parse_envelope(text + k_by_ed25519)->signatures.size() == 1);
  CHECK(parse_envelope(text + k_by_ed25519)->text == text);
  for (const std::string& wrong :
       {std::string(), text.substr(0, text.size() - 1), text + "unknown: x\n", text + "needed: 1\n", text + "target: recs-1\n", text + "drill: no\n", text + "id: 01ARZ3NDEKTSV4RRFFQ69G5FAV\n",
        text + "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n", text + std::string(k_by_ed25519) + "target: recs-3\n", std::string("x") + text, text + std::string(70'000, ' ')})
    CHECK_FALSE(parse_envelope(wrong));
  Envelope few = sample();
  few.needed = 3;
  CHECK_FALSE(parse_envelope(few.text()));
  Envelope never = sample();
  never.not_after = never.not_before;
  CHECK_FALSE(parse_envelope(never.text()));
}

TEST_CASE("codes open by approver, each once, never the principal's", "[envelope]") {
  Envelope e = sample();
  std::vector<Secret> codes;
  for (auto& approver : e.approvers) {
    codes.push_back(make_code(crypto::system_random()));
    approver.code_hash = hash_code(e.id, approver.name, codes.back());
  }
  CHECK(codes[0].reveal_text().size() == 24);
  CHECK(codes_of(e, codes) == std::vector<std::string>{"alice", "bob"});
  std::string lower;
  for (const char c : codes[0].reveal_text())
    if (c != '-') lower += static_cast<char>(std::tolower(c));
  std::vector<Secret> twice;
  twice.emplace_back(std::string_view(lower));
  twice.push_back(codes[0].clone());
  CHECK(codes_of(e, twice) == std::vector<std::string>{"alice"});
  e.principal = "alice";
  CHECK(codes_of(e, codes) == std::vector<std::string>{"bob"});
  e.id = "01ARZ3NDEKTSV4RRFFQ69G5FAW";
  CHECK(codes_of(e, codes).empty());
}

TEST_CASE("an open envelope allows what no role does, within its limits", "[envelope][engine]") {
  Documents documents;
  Principal engineer;
  engineer.name = PrincipalId("engineer");
  documents.principals = {engineer};
  for (const char* name : {"recs-1", "recs-3"}) {
    Target target;
    target.name = TargetId(name);
    target.address = "192.0.2.1";
    HostKey key;
    key.blob = std::string(text_of(crypto::SshPublicKey::parse_line(k_signer)->blob()));
    target.host_keys = {key};
    Account root;
    root.name = AccountName("root");
    root.credentials = {TargetCredential{}};
    target.accounts = {root};
    documents.targets.push_back(target);
  }
  std::vector<Diagnostic> problems;
  const auto snapshot = Snapshot::compile(std::move(documents), problems);
  INFO((problems.empty() ? std::string() : problems.front().str()));
  REQUIRE(problems.empty());
  AccessRequest request;
  request.principal = PrincipalId("engineer");
  request.target = TargetId("recs-1");
  request.account = AccountName("root");
  request.source = *IpAddress::parse("127.0.0.1");
  request.now = k_now;
  CHECK_FALSE(decide(*snapshot, Locks(), request).allowed());
  request.glass = std::make_shared<GlassGrant>(GlassGrant{"01ARZ3NDEKTSV4RRFFQ69G5FAV", {"recs-1"}, {"root"}, k_now + std::chrono::minutes(5), false});
  for (const ChannelKind kind : {ChannelKind::connect, ChannelKind::shell, ChannelKind::exec, ChannelKind::sftp, ChannelKind::jump}) {
    request.kind = kind;
    const Decision decision = decide(*snapshot, Locks(), request);
    CHECK(decision.allowed());
    CHECK(decision.rule.str() == "break-glass envelope 01ARZ3NDEKTSV4RRFFQ69G5FAV");
    CHECK(decision.obligations.bulk == Bulk::full);
    CHECK(decision.obligations.max_duration == std::chrono::minutes(5));
    const auto again = decode_request(encode_request(request));
    REQUIRE(again);
    CHECK(decide(*snapshot, Locks(), *again).allowed());
  }
  for (const ChannelKind kind : {ChannelKind::agent, ChannelKind::x11}) {
    request.kind = kind;
    CHECK_FALSE(decide(*snapshot, Locks(), request).allowed());
  }
  request.kind = ChannelKind::shell;
  Lock lock;
  lock.id = "1";
  lock.principal = "engineer";
  CHECK(decide(*snapshot, Locks({lock}), request).code == "SP-2003");
  request.target = TargetId("recs-3");
  CHECK_FALSE(decide(*snapshot, Locks(), request).allowed());
  request.target = TargetId("recs-1");
  request.now += std::chrono::minutes(5);
  CHECK_FALSE(decide(*snapshot, Locks(), request).allowed());
  request.glass = std::make_shared<GlassGrant>(GlassGrant{{}, {}, {}, {}, true});
  CHECK(decide(*snapshot, Locks(), request).code == "SP-9907");
}
