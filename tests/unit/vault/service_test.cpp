#include <catch2/catch.hpp>

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <thread>

#include "platform/control/link.h"
#include "tests/unit/vault/vault_folder.h"
#include "vault/service.h"
#include "vault/signing_agent.h"

using namespace sallyport;
using namespace std::chrono_literals;
using control::Envelope;
using sallyport::test::VaultFolder;

namespace {

constexpr const char* k_session = "01JDAA0000000000000000000A";
constexpr const char* k_other = "01JDAA0000000000000000000B";

std::string text_copy(ByteView bytes) { return std::string(text_of(bytes)); }

/// The next message of a peer, within two seconds.
std::optional<control::Received> next(control::Link& link) {
  for (int i = 0; i < 200; ++i) {
    auto received = link.receive();
    if (!received) return std::nullopt;
    if (*received) return std::move(**received);
    pollfd waiting{link.native(), POLLIN, 0};
    poll(&waiting, 1, 10);
  }
  return std::nullopt;
}

/// A vault service in a process of its own, with this test as its keeper.
class VaultProcess {
 public:
  explicit VaultProcess(const VaultFolder& folder, std::string_view seal = "file") : folder_(folder), seal_(seal) { start(); }
  VaultProcess(const VaultProcess&) = delete;
  ~VaultProcess() { stop(SIGKILL); }

  void start() {
    auto pair = std::move(control::Link::make_pair().value());
    pid_ = fork();
    if (pid_ == 0) {
      pair.first.reset();
      for (const int number : {SIGABRT, SIGSEGV, SIGTERM}) signal(number, SIG_DFL);  // the test framework's handlers
      vault::VaultOptions options;
      options.orphan_grace = 300ms;
      _exit(run_service(std::move(pair.second), options));
    }
    keeper = control::Link(std::move(pair.first));
    Envelope reload;
    reload.mutable_reload()->set_config_yaml("state_dir: " + (folder_.path / "vault").string() + "\nseal_source: " + seal_ +
                                             "\nseal_key_file: " + (folder_.path / "seal.key").string() + "\nnode: gw-1\n");
    REQUIRE(keeper.send(std::move(reload)));
    for (;;) {
      const auto received = next(keeper);
      REQUIRE(received);
      if (received->envelope.has_ready()) break;
    }
  }
  int stop(int signal) {
    if (pid_ <= 0) return 0;
    kill(pid_, signal);
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = 0;
    return status;
  }
  control::Link attach(control::Peer peer, const std::string& session = {}, bool again = false) {
    auto pair = std::move(control::Link::make_pair().value());
    Envelope envelope;
    envelope.mutable_attach()->set_peer(peer);
    envelope.mutable_attach()->set_session(session);
    envelope.mutable_attach()->set_again(again);
    const int fd = pair.second.get();
    REQUIRE(keeper.send(std::move(envelope), std::span(&fd, 1)));
    return control::Link(std::move(pair.first));
  }
  [[nodiscard]] pid_t pid() const { return pid_; }

  control::Link keeper;

 private:
  const VaultFolder& folder_;
  std::string seal_;
  pid_t pid_ = 0;
};

Result<control::Received> ask(control::Link& link, Envelope question) { return link.call_blocking(std::move(question), 4s); }

/// Sends a question and leaves the answer for later; while the vault waits for the recorder, the test plays it.
std::uint64_t ask_later(control::Link& link, Envelope question) {
  const std::uint64_t call = link.next_call();
  question.set_call(call);
  REQUIRE(link.send(std::move(question)));
  return call;
}

/// The next audit event; answered as the recorder would.
control::AppendEvent hear(control::Link& recorder) {
  auto received = next(recorder);
  REQUIRE(received);
  REQUIRE(received->envelope.has_append_event());
  if (received->envelope.call() != 0) {
    Envelope answer = control::reply_to(received->envelope);
    answer.mutable_event_appended()->set_sequence(1);
    REQUIRE(recorder.send(std::move(answer)));
  }
  return received->envelope.append_event();
}
control::AppendEvent hear(control::Link& recorder, std::string_view name) {
  for (;;) {
    auto event = hear(recorder);
    if (event.name() == name) return event;
  }
}

Envelope sign_hash(std::size_t size, const std::string& algorithm = "ssh-ed25519", char fill = 'h') {
  Envelope envelope;
  envelope.mutable_hostkey_sign()->set_algorithm(algorithm);
  envelope.mutable_hostkey_sign()->set_exchange_hash(std::string(size, fill));
  return envelope;
}

Envelope put(const std::string& name, std::string_view kind, const std::string& value) {
  Envelope envelope;
  envelope.mutable_secret_put()->set_name(name);
  envelope.mutable_secret_put()->set_kind(std::string(kind));
  envelope.mutable_secret_put()->set_value(value);
  return envelope;
}

Envelope lend(const std::string& session, const std::string& secret) {
  Envelope envelope;
  envelope.mutable_lend_password()->set_session(session);
  envelope.mutable_lend_password()->set_secret(secret);
  return envelope;
}

Errc code_of(const Result<control::Received>& answer) {
  REQUIRE_FALSE(answer);
  return answer.error().code;
}

}  // namespace

TEST_CASE("a session gets host key signatures, and the authority hears of the first one before it does", "[vault][service]") {
  VaultFolder folder;
  { const auto vault = folder.made(); }
  VaultProcess process(folder);
  auto session = process.attach(control::PEER_SESSION, k_session);
  // Without an authority there is no session identifier that anybody could trust: the first signature waits for it.
  Envelope early = sign_hash(32);
  early.set_call(77);
  REQUIRE(session.send(early));
  std::this_thread::sleep_for(100ms);
  CHECK_FALSE(session.receive().value());
  auto authority = process.attach(control::PEER_AUTHORITY);

  const auto signature = next(session);
  REQUIRE(signature);
  CHECK(signature->envelope.call() == 77);
  const auto told = authority.receive();  // already there
  REQUIRE((told && *told));
  CHECK((*told)->envelope.exchange_signed().session() == k_session);
  CHECK((*told)->envelope.exchange_signed().exchange_hash() == std::string(32, 'h'));
  Envelope keys;
  keys.mutable_public_keys();
  const auto set = ask(authority, keys);
  REQUIRE(set);
  const auto host_key = crypto::SshPublicKey::parse_blob(bytes_of(set->envelope.public_key_set().host_keys(0))).value();
  CHECK(host_key.verify(bytes_of(signature->envelope.hostkey_signature().signature()), bytes_of(std::string(32, 'h'))));

  CHECK(ask(session, sign_hash(64, "rsa-sha2-512", 'i')));  // a rekey: not told again
  CHECK_FALSE(authority.receive().value());
  CHECK(code_of(ask(session, sign_hash(33))) == Errc::denied);
  CHECK(code_of(ask(session, sign_hash(32, "ssh-rsa"))) == Errc::not_found);

  auto again = process.attach(control::PEER_AUTHORITY, {}, true);  // a restarted authority hears what it must know
  CHECK(next(again)->envelope.exchange_signed().exchange_hash() == std::string(32, 'h'));
}

TEST_CASE("host key signatures are limited for each session on its own", "[vault][service]") {
  VaultFolder folder;
  { const auto vault = folder.made(); }
  VaultProcess process(folder);
  auto authority = process.attach(control::PEER_AUTHORITY);
  auto session = process.attach(control::PEER_SESSION, k_session);
  auto other = process.attach(control::PEER_SESSION, k_other);
  int given = 0;
  Errc refusal = Errc::internal;
  for (int i = 0; i < 2000; ++i) {
    const auto answer = ask(session, sign_hash(32));
    if (!answer) {
      refusal = answer.error().code;
      break;
    }
    ++given;
  }
  CHECK(refusal == Errc::denied);
  CHECK(given >= 512);
  CHECK(given < 1000);
  CHECK(ask(other, sign_hash(32)));
}

TEST_CASE("a session has one recording key, and asks for nothing else", "[vault][service]") {
  VaultFolder folder;
  { const auto vault = folder.made(); }
  VaultProcess process(folder);
  auto authority = process.attach(control::PEER_AUTHORITY);
  auto recorder = process.attach(control::PEER_RECORDER);
  auto session = process.attach(control::PEER_SESSION, k_session);
  Envelope question;
  question.mutable_recording_key_request();
  const auto key = ask(session, question);
  REQUIRE(key);
  CHECK(key->envelope.recording_key().key().size() == 32);
  CHECK(code_of(ask(session, question)) == Errc::conflict);

  Envelope unwrap;
  unwrap.mutable_unwrap_recording_key()->set_session(k_session);
  unwrap.mutable_unwrap_recording_key()->set_wrapped(key->envelope.recording_key().wrapped());
  CHECK(code_of(ask(authority, unwrap)) == Errc::invalid);  // no reason, no principal
  unwrap.mutable_unwrap_recording_key()->set_principal("auditor");
  unwrap.mutable_unwrap_recording_key()->set_reason("ticket 7");
  ask_later(authority, unwrap);
  const auto event = hear(recorder, "recording.key_unwrapped");
  CHECK(event.durable());
  CHECK(event.json() == R"({"principal":"auditor","reason":"ticket 7"})");
  CHECK(next(authority)->envelope.recording_key().key() == key->envelope.recording_key().key());

  Envelope list;
  list.mutable_secret_list();
  CHECK(code_of(ask(session, list)) == Errc::cancelled);  // a question that a session may not ask ends its link
  CHECK(hear(recorder, "vault.peer_expelled").session() == k_session);
}

TEST_CASE("a certificate is signed only for a session that the keeper attached", "[vault][service]") {
  VaultFolder folder;
  { const auto vault = folder.made(); }
  VaultProcess process(folder);
  auto authority = process.attach(control::PEER_AUTHORITY);
  const auto key = crypto::SshPrivateKey::generate(crypto::SshKeyType::ed25519).value();
  const std::int64_t now = std::chrono::duration_cast<std::chrono::seconds>(system_clock().wall().time_since_epoch()).count();
  Envelope question;
  auto* asked = question.mutable_sign_certificate();
  asked->set_session(k_session);
  asked->set_public_key(text_copy(key.public_key().blob()));
  asked->add_principals("deploy@recs-1");
  asked->set_serial(5);
  asked->set_valid_after(now - 5);
  asked->set_valid_before(now + 300);
  asked->set_ca("user");
  CHECK(code_of(ask(authority, question)) == Errc::denied);
  auto session = process.attach(control::PEER_SESSION, k_session);
  REQUIRE(ask(session, sign_hash(32)));  // the attachment was read
  const auto answer = ask(authority, question);
  REQUIRE(answer);
  CHECK(crypto::SshCertificate::parse_blob(bytes_of(answer->envelope.signed_certificate().certificate()))->fields().key_id == k_session);
  asked->set_valid_before(now + 7200);
  CHECK(code_of(ask(authority, question)) == Errc::denied);
  asked->set_valid_before(now + 300);
  asked->set_host(true);
  CHECK(code_of(ask(authority, question)) == Errc::invalid);
  asked->set_ca("host");
  CHECK(code_of(ask(authority, question)) == Errc::denied);  // not a host key of ours
}

TEST_CASE("a password is lent under a lease that is recorded before and ends with the session", "[vault][service]") {
  VaultFolder folder;
  { const auto vault = folder.made(); }
  VaultProcess process(folder);
  auto authority = process.attach(control::PEER_AUTHORITY);
  REQUIRE(ask(authority, put("pw/recs-1/root", vault::kind::password, "hunter2-hunter2")));
  auto session = process.attach(control::PEER_SESSION, k_session);
  REQUIRE(ask(session, sign_hash(32)));
  static_cast<void>(next(authority));

  CHECK(code_of(ask(authority, lend(k_session, "pw/recs-1/root"))) == Errc::unavailable);  // nothing to record it: not lent
  auto recorder = process.attach(control::PEER_RECORDER);
  static_cast<void>(hear(recorder, "lease.ended"));
  CHECK(code_of(ask(authority, lend(k_other, "pw/recs-1/root"))) == Errc::denied);
  CHECK(code_of(ask(authority, lend(k_session, "pw/none"))) == Errc::not_found);
  CHECK(code_of(ask(authority, lend(k_session, "sallyport/ca/user"))) == Errc::denied);

  ask_later(authority, lend(k_session, "pw/recs-1/root"));
  const auto started = hear(recorder, "lease.started");
  CHECK(started.durable());
  CHECK(started.session() == k_session);
  CHECK(started.json().find("hunter2") == std::string::npos);
  const auto lent = next(authority);
  REQUIRE(lent);
  CHECK(lent->envelope.lent_password().password() == "hunter2-hunter2");
  CHECK(lent->envelope.lent_password().version() == 1);
  Envelope remove;
  remove.mutable_secret_delete()->set_name("pw/recs-1/root");
  CHECK(code_of(ask(authority, remove)) == Errc::conflict);

  session.close();
  const auto ended = hear(recorder, "lease.ended");
  CHECK(ended.session() == k_session);
  CHECK(ended.json().find(lent->envelope.lent_password().lease()) != std::string::npos);
  CHECK(ask(authority, remove));
}

TEST_CASE("a lease outlives kill -9 of the vault and ends when its session does not come back", "[vault][service]") {
  VaultFolder folder;
  { const auto vault = folder.made(); }
  VaultProcess process(folder);
  {
    auto authority = process.attach(control::PEER_AUTHORITY);
    auto recorder = process.attach(control::PEER_RECORDER);
    auto session = process.attach(control::PEER_SESSION, k_session);
    auto other = process.attach(control::PEER_SESSION, k_other);
    REQUIRE(ask(authority, put("pw/a", vault::kind::password, "a-password")));
    for (const char* label : {k_session, k_other}) {
      ask_later(authority, lend(label, "pw/a"));
      hear(recorder, "lease.started");
      REQUIRE(next(authority)->envelope.has_lent_password());
    }
    process.stop(SIGKILL);
  }
  process.start();
  auto recorder = process.attach(control::PEER_RECORDER, {}, true);
  auto session = process.attach(control::PEER_SESSION, k_session, true);
  CHECK(next(session)->envelope.has_resume());
  const auto ended = hear(recorder, "lease.ended");
  CHECK(ended.session() == k_other);
  session.close();
  CHECK(hear(recorder, "lease.ended").session() == k_session);
}

TEST_CASE("an agent signs one login for the session and its lease ends with it", "[vault][service][agent]") {
  VaultFolder folder;
  { const auto vault = folder.made(); }
  VaultProcess process(folder);
  auto authority = process.attach(control::PEER_AUTHORITY);
  auto recorder = process.attach(control::PEER_RECORDER);
  auto session = process.attach(control::PEER_SESSION, k_session);
  const auto key = crypto::SshPrivateKey::generate(crypto::SshKeyType::ed25519).value();
  REQUIRE(ask(authority, put("ssh/recs-1/root", vault::kind::ssh_key, std::string(key.openssh_text()->reveal_text()))));
  Envelope question;
  auto* asked = question.mutable_make_agent();
  asked->set_session(k_session);
  asked->set_secret("ssh/recs-1/root");
  asked->set_account("root");
  asked->set_session_hash(std::string(32, 's'));
  asked->set_host_key("host key");
  asked->set_deadline_ms(400);

  const auto make = [&] {
    ask_later(authority, question);
    hear(recorder, "lease.started");
    auto ready = next(authority);
    REQUIRE(ready);
    REQUIRE(ready->descriptors.size() == 1);
    CHECK(ready->envelope.agent_ready().public_key() == text_copy(key.public_key().blob()));
    return std::move(ready->descriptors.front());
  };
  SECTION("used") {
    const Fd stream = make();
    crypto::SshWriter data;
    data.string(std::string(32, 's')).u8(50).string("root").string("ssh-connection").string("publickey").u8(1).string("ssh-ed25519").string(key.public_key().blob());
    crypto::SshWriter request;
    request.u8(13).string(key.public_key().blob()).string(data).u32(0);
    const Bytes framed = crypto::SshWriter().string(request).take();
    REQUIRE(::send(stream.get(), framed.data(), framed.size(), 0) == static_cast<ssize_t>(framed.size()));
    Bytes answer(1024);
    pollfd waiting{stream.get(), POLLIN, 0};
    REQUIRE(poll(&waiting, 1, 2000) == 1);
    const ssize_t size = ::recv(stream.get(), answer.data(), answer.size(), 0);
    REQUIRE(size > 5);
    crypto::SshReader reply(ByteView(answer).subspan(5, static_cast<std::size_t>(size) - 5));
    CHECK(key.public_key().verify(reply.string(), data.view()));
    CHECK(hear(recorder, "agent.signed").session() == k_session);
    CHECK(hear(recorder, "lease.ended").json().find("\"reason\":\"used\"") != std::string::npos);
    REQUIRE(poll(&waiting, 1, 2000) == 1);
    CHECK(::recv(stream.get(), answer.data(), answer.size(), 0) == 0);
  }
  SECTION("not used in time") {
    const Fd stream = make();
    CHECK(hear(recorder, "lease.ended").json().find("its time was over") != std::string::npos);
  }
  SECTION("the session ends") {
    const Fd stream = make();
    session.close();
    CHECK(hear(recorder, "lease.ended").json().find("the session ended") != std::string::npos);
  }
  SECTION("a password is not a key") {
    REQUIRE(ask(authority, put("pw/a", vault::kind::password, "a-password")));
    asked->set_secret("pw/a");
    CHECK(code_of(ask(authority, question)) == Errc::denied);
  }
}

TEST_CASE("a sealed vault tells its state, takes the passphrase, and refuses everything else", "[vault][service]") {
  VaultFolder folder;
  const Secret passphrase("a long enough phrase");
  { REQUIRE(vault::initialise(folder.settings(vault::SealKind::passphrase), &passphrase, folder.clock, crypto::system_random())); }
  VaultProcess process(folder, "passphrase");
  auto authority = process.attach(control::PEER_AUTHORITY);
  auto recorder = process.attach(control::PEER_RECORDER);
  auto session = process.attach(control::PEER_SESSION, k_session);
  CHECK(code_of(ask(session, sign_hash(32))) == Errc::sealed);
  CHECK(code_of(ask(authority, put("pw/a", vault::kind::password, "x"))) == Errc::sealed);
  Envelope keys;
  keys.mutable_public_keys();
  CHECK(code_of(ask(process.keeper, keys)) == Errc::sealed);
  Envelope status;
  status.mutable_seal_status();
  const auto state = ask(authority, status);
  REQUIRE(state);
  CHECK(state->envelope.seal_state().sealed());
  CHECK(state->envelope.seal_state().source() == "passphrase");

  const auto unseal = [&](const std::string& text) {
    Envelope envelope;
    envelope.mutable_unseal()->set_passphrase(text);
    return ask(authority, envelope);
  };
  CHECK(code_of(unseal("a wrong enough phrase")) == Errc::denied);
  CHECK(hear(recorder, "vault.unseal_failed").json().find("enough") == std::string::npos);
  CHECK(code_of(unseal("a long enough phrase")) == Errc::unavailable);  // too soon after a wrong one
  std::this_thread::sleep_for(1050ms);
  CHECK_FALSE(unseal("a long enough phrase")->envelope.seal_state().sealed());
  hear(recorder, "vault.unsealed");
  CHECK(ask(session, sign_hash(32)));

  Envelope seal_now;
  seal_now.mutable_seal_now();
  static_cast<void>(next(authority));  // ExchangeSigned
  CHECK(ask(authority, seal_now)->envelope.seal_state().sealed());
  hear(recorder, "vault.sealed");
  CHECK(code_of(ask(session, sign_hash(32))) == Errc::sealed);
  CHECK(ask(authority, status)->envelope.seal_state().sealed());
}

TEST_CASE("the recorder gets checkpoint signatures, and a log that shrinks is refused and told", "[vault][service]") {
  VaultFolder folder;
  { const auto vault = folder.made(); }
  VaultProcess process(folder);
  auto recorder = process.attach(control::PEER_RECORDER);
  static_cast<void>(hear(recorder, "vault.unsealed"));
  const auto sign = [&](std::uint64_t size) {
    Envelope envelope;
    envelope.mutable_sign_checkpoint()->set_body(crypto::checkpoint_body({"gw-1", size, {}, {}}));
    return ask(recorder, envelope);
  };
  CHECK(sign(5)->envelope.checkpoint_signature().line().starts_with("\xe2\x80\x94 gw-1 "));
  CHECK(code_of(sign(4)) == Errc::conflict);
  CHECK(hear(recorder, "checkpoint.refused").json().find("shrunk") != std::string::npos);
}

TEST_CASE("the vault process leaves no core and no plaintext, and cannot be looked into", "[vault][service][canary]") {
  VaultFolder folder;
  { const auto vault = folder.made(); }
  const auto here = std::filesystem::current_path();
  std::filesystem::current_path(folder.path);
  VaultProcess process(folder);
  std::filesystem::current_path(here);
  auto authority = process.attach(control::PEER_AUTHORITY);
  const std::string canary = "CANARY-77aa-service-plaintext";
  REQUIRE(ask(authority, put("pw/a", vault::kind::password, canary)));
  std::ifstream limits("/proc/" + std::to_string(process.pid()) + "/limits");
  const std::string text{std::istreambuf_iterator<char>(limits), {}};
  const std::size_t core = text.find("Max core file size");
  REQUIRE(core != std::string::npos);
  CHECK(text.substr(core, 60).find(" 0 ") != std::string::npos);
  const int status = process.stop(SIGABRT);
  CHECK(WIFSIGNALED(status));
  CHECK_FALSE(WCOREDUMP(status));
  CHECK(folder.bytes_of_all_files().find(canary) == std::string::npos);
}

TEST_CASE("a service without a vault or with bad settings ends with its exit code", "[vault][service]") {
  VaultFolder folder;
  const auto status_for = [&](const std::string& settings) {
    auto pair = std::move(control::Link::make_pair().value());
    const pid_t pid = fork();
    if (pid == 0) {
      pair.first.reset();
      if (freopen("/dev/null", "w", stderr) == nullptr) _exit(99);
      _exit(vault::run_service(std::move(pair.second), {}));
    }
    control::Link keeper(std::move(pair.first));
    Envelope reload;
    reload.mutable_reload()->set_config_yaml(settings);
    REQUIRE(keeper.send(std::move(reload)));
    int status = 0;
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
  };
  CHECK(status_for("state_dir: " + folder.path.string() + "\n") == 7);
  CHECK(status_for("nonsense") == 2);
  CHECK(status_for("state_dir: /x\nseal_source: moon\n") == 2);
}
