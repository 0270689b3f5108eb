// bench/history_bench.cpp -- how fast past decisions are made again: events as text in, verdicts out; their commands are sealed, as the
// authority seals them.
//
//   history_bench [DECISIONS]      default 1000000
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "platform/model/bytes.h"
#include "platform/model/secret.h"
#include "platform/seal/sealed_text.h"
#include "policy/access/history.h"
#include "policy/access/request_text.h"

namespace {

using namespace sallyport;
using namespace sallyport::policy;

constexpr WallTime k_now{std::chrono::microseconds(1'795'003'200'000'000)};

std::shared_ptr<const Snapshot> make_policy() {
  Documents d;
  for (int i = 0; i < 10'000; ++i) {
    Target target;
    target.name = TargetId("target-" + std::to_string(i));
    target.address = "192.0.2.1";
    target.labels = {{"part", "part-" + std::to_string(i % 20)}};
    target.host_keys.push_back(HostKey{"blob", "ssh-ed25519", "SHA256:x"});
    Account account;
    account.name = AccountName("deploy");
    account.credentials.push_back({});
    target.accounts.push_back(account);
    d.targets.push_back(std::move(target));
    Principal principal;
    principal.name = PrincipalId("person-" + std::to_string(i));
    d.principals.push_back(std::move(principal));
  }
  for (int i = 0; i < 1'000; ++i) {
    Role role;
    role.name = "role-" + std::to_string(i);
    Rule rule;
    for (const ChannelKind kind : {ChannelKind::shell, ChannelKind::exec}) rule.channels.add(kind);
    rule.every_target = false;
    rule.target_labels = {{"part", {"part-" + std::to_string(i % 20)}}};
    role.allow.push_back(std::move(rule));
    d.roles.push_back(std::move(role));
    Binding binding;
    binding.role = "role-" + std::to_string(i);
    for (int p = 0; p < 100; ++p) binding.principals.emplace_back("person-" + std::to_string((i * 10 + p) % 10'000));
    d.bindings.push_back(std::move(binding));
  }
  std::vector<Diagnostic> problems;
  auto snapshot = Snapshot::compile(std::move(d), problems);
  if (!snapshot) std::fprintf(stderr, "%s\n", problems.front().str().c_str());
  return snapshot;
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t count = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 1'000'000;
  const auto policy = make_policy();
  if (!policy) return 1;
  const Bytes key_bytes(32, std::byte{7});
  const std::string wrapped = "wrapped";
  const std::string id = seal::text_key_id(bytes_of(wrapped));
  seal::TextKey key(Secret(ByteView(key_bytes)), id);
  std::vector<std::string> events;
  for (int i = 0; i < 10'000; ++i) {
    AccessRequest request;
    request.principal = PrincipalId("person-" + std::to_string(i));
    request.target = TargetId("target-" + std::to_string(i * 7 % 10'000));
    request.account = AccountName("deploy");
    request.kind = i % 3 == 0 ? ChannelKind::shell : i % 3 == 1 ? ChannelKind::exec : ChannelKind::sftp;
    request.source = *IpAddress::parse("10.1.2.3");
    request.now = k_now;
    request.factors = {{FactorKind::key, k_now, false}};
    const Decision decision = decide(*policy, {}, request);
    events.push_back("{\"session\":\"01JC3W9M6T5X1Q8Z7R4N2K0HFA\",\"source\":\"10.1.2.3\",\"principal\":\"" + request.principal.str() +
                     "\",\"channel\":0,\"kind\":\"exec\",\"sealed\":\"" + key.seal("channel.decided", "S", R"({"command":"systemctl status recommender"})") +
                     "\",\"decision\":\"" + std::string(verdict_of(decision)) + "\",\"rule\":\"" + decision.rule.role + "\",\"code\":\"" + decision.code +
                     "\",\"policy_version\":1,\"input\":" + encode_request(request) + "}");
  }
  History history([&](std::string_view) { return std::optional<Secret>(Secret(ByteView(key_bytes))); });
  history.feed(seal::k_text_key_event, R"({"key":")" + id + R"(","wrapped":")" + wrapped + R"("})", "E", "", 1, {});
  Comparison comparison(policy);
  const auto take = [&](const PastDecision& past, const Locks& locks) { comparison.judge(past, locks); };
  const auto begin = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < count; ++i) history.feed("channel.decided", events[i % events.size()], "E", "S", 1, take);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::printf("%zu decisions in %.2f s, %.1f us each, %llu differ\n", count, seconds, seconds / static_cast<double>(count) * 1e6,
              static_cast<unsigned long long>(comparison.differ_in_all()));
  if (history.sealed() > 0) std::printf("%llu stayed sealed\n", static_cast<unsigned long long>(history.sealed()));
  return comparison.differ_in_all() == 0 && history.sealed() == 0 && seconds < 20 ? 0 : 1;
}
