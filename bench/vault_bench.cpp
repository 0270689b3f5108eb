// bench/vault_bench.cpp -- what one session costs in the vault: `ninja vault_bench && bin/vault_bench`.
//
// CPU time of this thread for each operation by itself; then of a real vault process over its control links, for the three
// questions that every session asks (host key signature, recording key, user certificate).
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <string>
#include <vector>

#include "platform/control/link.h"
#include "vault/service.h"
#include "vault/setup.h"
#include "vault/signing_agent.h"

using namespace sallyport;
using control::Envelope;

namespace {

double cpu_ms() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

template <class T>
T must(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "%s\n", result.error().detail.c_str());
    std::exit(1);
  }
  return std::move(*result);
}

/// Median of nine rounds.
template <class Work>
void measure(const char* what, int times, Work work) {
  std::vector<double> rounds;
  work();
  for (int round = 0; round < 9; ++round) {
    const double before = cpu_ms();
    for (int i = 0; i < times; ++i) work();
    rounds.push_back((cpu_ms() - before) / times);
  }
  std::nth_element(rounds.begin(), rounds.begin() + 4, rounds.end());
  std::printf("%-44s %8.4f ms CPU\n", what, rounds[4]);
}

std::string copy(ByteView bytes) { return std::string(text_of(bytes)); }

control::Link attach(control::Link& keeper, control::Peer peer, const std::string& session = {}) {
  auto pair = must(control::Link::make_pair());
  Envelope envelope;
  envelope.mutable_attach()->set_peer(peer);
  envelope.mutable_attach()->set_session(session);
  const int fd = pair.second.get();
  if (!keeper.send(std::move(envelope), std::span(&fd, 1))) std::exit(1);
  return control::Link(std::move(pair.first));
}

void measure_service(const std::filesystem::path& folder, std::int64_t now, const Bytes& ephemeral) {
  auto pair = must(control::Link::make_pair());
  const pid_t pid = fork();
  if (pid == 0) {
    pair.first.reset();
    _exit(vault::run_service(std::move(pair.second), {}));
  }
  pair.second.reset();
  control::Link keeper(std::move(pair.first));
  Envelope reload;
  reload.mutable_reload()->set_config_yaml("state_dir: " + (folder / "vault").string() + "\nseal_key_file: " + (folder / "seal.key").string() + "\nnode: bench\n");
  if (!keeper.send(std::move(reload))) std::exit(1);
  control::Link authority = attach(keeper, control::PEER_AUTHORITY);
  constexpr int k_sessions = 1000;
  const auto ask = [](control::Link& link, Envelope envelope) { static_cast<void>(must(link.call_blocking(std::move(envelope), std::chrono::seconds(10)))); };
  const auto vault_cpu = [&] {
    std::FILE* stat = std::fopen(("/proc/" + std::to_string(pid) + "/schedstat").c_str(), "r");
    unsigned long long ns = 0;
    if (stat == nullptr || std::fscanf(stat, "%llu", &ns) != 1) std::exit(1);
    std::fclose(stat);
    return static_cast<double>(ns) / 1e6;
  };
  Envelope status;
  status.mutable_seal_status();
  ask(authority, status);
  const double before = vault_cpu();
  for (int i = 0; i < k_sessions; ++i) {
    char label[27];
    std::snprintf(label, sizeof label, "01JDAA00000000000000%06d", i);
    control::Link session = attach(keeper, control::PEER_SESSION, label);
    Envelope sign;
    sign.mutable_hostkey_sign()->set_algorithm("ssh-ed25519");
    sign.mutable_hostkey_sign()->set_exchange_hash(std::string(32, 'h'));
    ask(session, std::move(sign));
    Envelope key;
    key.mutable_recording_key_request();
    ask(session, std::move(key));
    Envelope certificate;
    auto* asked = certificate.mutable_sign_certificate();
    asked->set_session(label);
    asked->set_public_key(copy(ephemeral));
    asked->add_principals("deploy@recs-1");
    asked->set_serial(static_cast<std::uint64_t>(i) + 1);
    asked->set_valid_after(now - 5);
    asked->set_valid_before(now + 300);
    asked->add_extensions("permit-pty");
    asked->set_ca("user");
    ask(authority, std::move(certificate));
    while (must(authority.receive())) {
    }
  }
  std::printf("%-44s %8.4f ms CPU of the vault process\n", "a whole session, over the control links", (vault_cpu() - before) / k_sessions);
  Envelope stop;
  stop.mutable_shutdown();
  if (!keeper.send(std::move(stop))) std::exit(1);
  int exit_status = 0;
  rusage usage{};
  wait4(pid, &exit_status, 0, &usage);
  std::printf("%-44s %8ld KiB\n", "largest resident size of the vault process", usage.ru_maxrss);
}

}  // namespace

int main() {
  std::string name = (std::filesystem::temp_directory_path() / "sallyport-bench-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) return 1;
  const std::filesystem::path folder = name;
  vault::VaultSettings settings;
  settings.state_dir = folder / "vault";
  settings.seal.key_file = folder / "seal.key";
  settings.node = "bench";
  const auto ephemeral = must(crypto::SshPrivateKey::generate(crypto::SshKeyType::ed25519)).public_key().blob();
  std::int64_t now = 0;
  {
    const auto vault = must(vault::initialise(settings, nullptr, system_clock(), crypto::system_random()));
    now = vault->now_seconds();
    const Bytes hash(32);
    measure("host key signature, ed25519", 500, [&] { static_cast<void>(must(vault->sign_exchange_hash("ssh-ed25519", hash))); });
    measure("host key signature, RSA 3072", 20, [&] { static_cast<void>(must(vault->sign_exchange_hash("rsa-sha2-512", hash))); });
    measure("recording key, wrapped to one recipient", 200, [&] { static_cast<void>(must(vault->make_recording_key())); });
    const vault::CertificateRequest request{"01JDAA0000000000000000000A", ephemeral, {"deploy@recs-1"}, 7, now - 5, now + 300, {"10.0.0.1/32"}, {"permit-pty"}};
    measure("user certificate", 500, [&] { static_cast<void>(must(vault->sign_user_certificate(request))); });
    static_cast<void>(must(vault->put_secret("pw/a", vault::kind::password, Secret("a password"), false, {})));
    measure("opening a secret", 500, [&] { static_cast<void>(must(vault->read_for_use("pw/a", vault::kind::password))); });
    const auto made = must(vault->make_recording_key());
    measure("unwrapping a recording key", 100, [&] { static_cast<void>(must(vault->unwrap_recording_key(made.wrapped))); });
    measure("storing a secret (one synchronous write)", 10, [&] { static_cast<void>(must(vault->put_secret("pw/b", vault::kind::password, Secret("b"), false, {}))); });
  }
  measure_service(folder, now, ephemeral);
  std::filesystem::remove_all(folder);
  return 0;
}
