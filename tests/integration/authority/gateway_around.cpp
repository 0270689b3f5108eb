#include "tests/integration/authority/gateway_around.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "platform/crypto/random.h"
#include "platform/crypto/ssh_wire.h"
#include "platform/crypto/ulid.h"
#include "platform/model/settings.h"
#include "platform/net/http_client.h"

namespace sallyport::test {
namespace {

std::string json_text(const std::string& text) { return json_quote(text); }

bool readable(int fd, std::chrono::milliseconds time) {
  pollfd waiting{fd, POLLIN, 0};
  return ::poll(&waiting, 1, static_cast<int>(time.count())) > 0;
}

}  // namespace

// ------------------------------------------------------------------------------------------------ fakes
void Fake::serve(Fd end) {
  stop();
  stopping_ = false;
  link_ = control::Link(std::move(end));
  thread_ = std::thread([this] { run(); });
}

void Fake::stop() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
}

void Fake::say(Envelope envelope) {
  const std::lock_guard lock(mutex_);
  static_cast<void>(link_.send(std::move(envelope)).has_value());
}

void Fake::run() {
  while (!stopping_) {
    if (!readable(link_.native(), 10ms)) continue;
    for (;;) {
      const std::lock_guard lock(mutex_);
      auto received = link_.receive();
      if (!received) return;
      if (!*received) break;
      on(link_, std::move(**received));
    }
  }
}

void FakeRecorder::on(control::Link& link, control::Received received) {
  const Envelope& question = received.envelope;
  Envelope answer = control::reply_to(question);
  if (question.has_append_event()) {
    const auto& event = question.append_event();
    if (silent) return;
    const auto keep = [this](const control::AppendEvent& one, control::EventAppended& told) {
      auto fields = JsonFields::parse(one.json());
      const std::lock_guard lock(events_mutex_);
      events_.push_back({one.name(), one.session(), fields.value_or(JsonFields()), one.json()});
      told.set_sequence(events_.size());
      told.set_id("EV" + std::to_string(events_.size()));
    };
    for (const auto& earlier : event.before()) keep(earlier, *answer.mutable_event_appended()->add_before());
    keep(event, *answer.mutable_event_appended());
  } else if (question.has_recorder_status_ask()) {
    if (silent) return;
    answer.mutable_recorder_status()->set_healthy(healthy);
    if (!healthy) answer.mutable_recorder_status()->set_reason("too little space");
  }
  static_cast<void>(link.send(std::move(answer)).has_value());
}

std::vector<Event> FakeRecorder::events() {
  const std::lock_guard lock(events_mutex_);
  return events_;
}

std::optional<Event> FakeRecorder::find(std::string_view name, std::string_view session) {
  const auto all = events();
  for (auto event = all.rbegin(); event != all.rend(); ++event)
    if (event->name == name && (session.empty() || event->session == session)) return *event;
  return std::nullopt;
}

bool FakeRecorder::wait_for(std::string_view name, std::string_view session, std::chrono::milliseconds time) {
  return eventually([&] { return find(name, session).has_value(); }, time);
}

std::size_t FakeRecorder::count(std::string_view name) {
  const auto all = events();
  return static_cast<std::size_t>(std::count_if(all.begin(), all.end(), [&](const Event& event) { return event.name == name; }));
}

void FakeVault::on(control::Link& link, control::Received received) {
  const Envelope& question = received.envelope;
  Envelope answer = control::reply_to(question);
  std::vector<int> handed;
  Fd agent_ours, agent_theirs;
  if (question.has_seal_status()) {
    answer.mutable_seal_state()->set_sealed(sealed);
  } else if (sealed) {
    answer = control::failure_reply(question, Error{Errc::sealed, "the vault is sealed"});
  } else if (question.has_sign_certificate()) {
    const std::lock_guard lock(mutex_);
    certificates_.push_back(question.sign_certificate());
    answer.mutable_signed_certificate()->set_certificate("certificate of " + question.sign_certificate().session());
    answer.mutable_signed_certificate()->set_serial(question.sign_certificate().serial());
  } else if (question.has_totp_check()) {
    const bool right = question.totp_check().code() == "123456" && question.totp_check().not_before_step() <= totp_step;
    answer.mutable_totp_answer()->set_right(right);
    answer.mutable_totp_answer()->set_step(totp_step);
  } else if (question.has_public_keys()) {
    answer.mutable_public_key_set()->add_host_keys(std::string(text_of(engineer_key().public_key().blob())));
    answer.mutable_public_key_set()->set_user_ca(std::string(text_of(engineer_key().public_key().blob())));
    answer.mutable_public_key_set()->set_host_ca(std::string(text_of(engineer_key().public_key().blob())));
  } else if (question.has_lend_password()) {
    answer.mutable_lent_password()->set_password("the-password");
    answer.mutable_lent_password()->set_lease("lease-1");
  } else if (question.has_make_agent()) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) std::abort();  // no assertion of Catch: this is not the test's thread
    agent_ours = Fd(ends[0]);
    agent_theirs = Fd(ends[1]);
    answer.mutable_agent_ready()->set_lease("lease-2");
    handed.push_back(agent_theirs.get());
  } else if (question.has_secret_list()) {
    answer.mutable_secret_rows();
  } else if (question.has_secret_put()) {
    answer.mutable_secret_stored()->set_name(question.secret_put().name());
    answer.mutable_secret_stored()->set_version(1);
  } else if (question.has_end_leases()) {
    const std::lock_guard lock(mutex_);
    ended_.push_back(question.end_leases().session());
    return;
  } else if (question.has_mask_values_ask()) {
    answer.mutable_mask_values()->set_key(std::string(32, 'm'));
  } else if (question.has_recording_key_request()) {
    answer.mutable_recording_key()->set_key(std::string(32, 't'));
    answer.mutable_recording_key()->set_wrapped("wrapped");
    answer.mutable_recording_key()->set_recipients("0011223344556677");
  } else if (question.has_unwrap_recording_key() || question.has_search_key_ask()) {
    answer.mutable_recording_key()->set_key(std::string(32, 'k'));
  }
  static_cast<void>(link.send(std::move(answer), handed).has_value());
}

std::vector<control::SignCertificate> FakeVault::signed_certificates() {
  const std::lock_guard lock(mutex_);
  return certificates_;
}
std::vector<std::string> FakeVault::ended_leases() {
  const std::lock_guard lock(mutex_);
  return ended_;
}

void FakeListener::on(control::Link& link, control::Received received) {
  const Envelope& envelope = received.envelope;
  const std::lock_guard lock(mutex_);
  if (envelope.has_session_proven()) proven_.push_back(envelope.session_proven().session());
  if (envelope.has_kill_session()) killed_.push_back(envelope.kill_session().session());
  if (envelope.has_source_penalty()) ++penalties;
  if (envelope.has_spawn_inner() && spawn_) {
    Envelope answer = control::reply_to(envelope);
    *answer.mutable_session_started() = spawn_(envelope.spawn_inner());
    static_cast<void>(link.send(std::move(answer)).has_value());
  }
}

void FakeListener::spawn_with(std::function<control::SessionStarted(const control::SpawnInner&)> start) {
  const std::lock_guard lock(mutex_);
  spawn_ = std::move(start);
}

std::vector<std::string> FakeListener::proven() {
  const std::lock_guard lock(mutex_);
  return proven_;
}
std::vector<std::string> FakeListener::killed() {
  const std::lock_guard lock(mutex_);
  return killed_;
}

TcpTarget::TcpTarget() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(::listen(socket_.get(), 16) == 0);
  socklen_t size = sizeof address;
  REQUIRE(getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  port_ = ntohs(address.sin_port);
}

Fd TcpTarget::accept(std::chrono::milliseconds time) {
  if (!readable(socket_.get(), time)) return Fd();
  return Fd(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
}

// ------------------------------------------------------------------------------------------------ sessions
Result<control::Received> SessionEnd::ask(Envelope question, std::chrono::milliseconds deadline) {
  return link.call_blocking(std::move(question), deadline);
}

void SessionEnd::tell(Envelope statement) { REQUIRE(link.send(std::move(statement)).has_value()); }

std::optional<control::Received> SessionEnd::next(std::chrono::milliseconds time) {
  const auto until = std::chrono::steady_clock::now() + time;
  for (;;) {
    auto received = link.receive();
    if (!received) return std::nullopt;
    // What was lent to the principal comes with each grant; no test of ours waits for it.
    if (*received && (*received)->envelope.has_mask_values()) continue;
    if (*received) return std::move(**received);
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    if (left.count() <= 0 || !readable(link.native(), left)) return std::nullopt;
  }
}

bool SessionEnd::is_closed(std::chrono::milliseconds time) {
  return eventually([&] {
    auto received = link.receive();
    return !received;
  }, time);
}

// ------------------------------------------------------------------------------------------------ the gateway
Gateway::Gateway(const std::string& policy, std::map<std::string, std::string> settings) : settings_(std::move(settings)) {
  char name[] = "/tmp/sallyport-authority-XXXXXX";
  REQUIRE(mkdtemp(name) != nullptr);
  folder = name;
  const auto pair = [](Fd& authority, Fake& fake) {
    auto ends = control::Link::make_pair();
    REQUIRE(ends.has_value());
    authority = std::move(ends->first);
    fake.serve(std::move(ends->second));
  };
  pair(vault_end_, vault);
  pair(recorder_end_, recorder);
  pair(listener_end_, listener);
  start_authority(false);
  if (!policy.empty()) apply(policy);
}

Gateway::~Gateway() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  vault.stop();
  recorder.stop();
  listener.stop();
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
}

void Gateway::start_authority(bool again) {
  auto ends = control::Link::make_pair();
  REQUIRE(ends.has_value());
  const int control = ends->first.get();
  pid_ = ::fork();
  REQUIRE(pid_ >= 0);
  if (pid_ == 0) {
    ::dup2(control, 3);
    ::fcntl(3, F_SETFD, 0);
    const char* other = std::getenv("SALLYPORT_AUTHORITY_PROCESS");  // another build of it, to measure
    const char* program = other != nullptr ? other : AUTHORITY_PROCESS;
    ::execl(program, program, static_cast<char*>(nullptr));
    ::_exit(127);
  }
  keeper_ = control::Link(std::move(ends->second));
  Settings settings;
  settings.set("state_dir", folder.string());
  settings.set("run_dir", folder.string());
  settings.set("node", "test");
  for (const auto& [key, value] : settings_) settings.set(key, value);
  Envelope reload;
  reload.mutable_reload()->set_config_yaml(settings.render());
  REQUIRE(keeper_.send(std::move(reload)).has_value());
  attach(control::PEER_VAULT, vault_end_, {}, again);
  attach(control::PEER_RECORDER, recorder_end_, {}, again);
  attach(control::PEER_LISTENER, listener_end_, {}, again);
  for (const auto& [label, end] : session_ends_) attach(control::PEER_SESSION, end, label, true);
  REQUIRE(readable(keeper_.native(), 5s));
  auto ready = keeper_.receive();
  REQUIRE(ready.has_value());
  REQUIRE((*ready)->envelope.has_ready());
  // A session may begin when the recorder has said that it is well.
  REQUIRE(eventually([&] { return admin("GET", "/v1/status").second.find("\"recorder\":\"healthy\"") != std::string::npos || !recorder.healthy || recorder.silent; }));
}

void Gateway::kill_authority() {
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void Gateway::attach(control::Peer peer, const Fd& end, const std::string& session, bool again) {
  Envelope envelope;
  envelope.mutable_attach()->set_peer(peer);
  envelope.mutable_attach()->set_session(session);
  envelope.mutable_attach()->set_again(again);
  const int handed = end.get();
  REQUIRE(keeper_.send(std::move(envelope), std::span(&handed, 1)).has_value());
}

SessionEnd Gateway::make_kit() {
  auto ends = control::Link::make_pair();
  REQUIRE(ends.has_value());
  SessionEnd session;
  session.label = crypto::make_ulid(system_clock(), crypto::system_random());
  session.hash = std::string(text_of(crypto::random_bytes(crypto::system_random(), 32)));
  session.link = control::Link(std::move(ends->first));
  attach(control::PEER_SESSION, ends->second, session.label, false);
  session_ends_.emplace(session.label, std::move(ends->second));
  return session;
}

void Gateway::started(const SessionEnd& session, const std::string& source, const std::string& outer, const std::string& inner_target) {
  Envelope signed_exchange;
  signed_exchange.mutable_exchange_signed()->set_session(session.label);
  signed_exchange.mutable_exchange_signed()->set_exchange_hash(session.hash);
  Envelope envelope;
  auto* body = envelope.mutable_session_started();
  body->set_session(session.label);
  body->set_peer_address(source);
  body->set_peer_port(40000);
  body->set_local_address("127.0.0.1");
  body->set_local_port(2222);
  body->set_outer_session(outer);
  body->set_inner_target(inner_target);
  listener.say(std::move(envelope));
  REQUIRE(recorder.wait_for("session.started", session.label));
  vault.say(std::move(signed_exchange));
}

SessionEnd Gateway::start_session(const std::string& source, const std::string& outer, const std::string& inner_target) {
  SessionEnd session = make_kit();
  // The kit's attachment and the listener's word travel on different links.
  REQUIRE(eventually([&] { return admin("GET", "/v1/status").first == 200; }));
  started(session, source, outer, inner_target);
  return session;
}

void Gateway::exited(SessionEnd& session, int signal) {
  session.link.close();
  session_ends_.erase(session.label);
  Envelope envelope;
  envelope.mutable_session_exited()->set_session(session.label);
  envelope.mutable_session_exited()->set_signal(signal);
  listener.say(std::move(envelope));
}

control::AuthAttempt Gateway::signed_attempt(const SessionEnd& session, const std::string& user, const crypto::SshPrivateKey& key) const {
  control::AuthAttempt attempt;
  attempt.set_user(user);
  attempt.set_method("publickey");
  attempt.set_algorithm(std::string(key.public_key().name()));
  attempt.set_key_blob(std::string(text_of(key.public_key().blob())));
  attempt.set_session_hash(session.hash);
  crypto::SshWriter rest;
  rest.u8(50).string(user).string("ssh-connection").string("publickey").boolean(true).string(key.public_key().name()).string(key.public_key().blob());
  attempt.set_signed_data(std::string(text_of(rest.view())));
  crypto::SshWriter whole;
  whole.string(session.hash).raw(rest.view());
  const auto signature = key.sign(whole.view());
  REQUIRE(signature.has_value());
  attempt.set_signature(std::string(text_of(*signature)));
  return attempt;
}

control::AuthAnswer Gateway::attempt(SessionEnd& session, const control::AuthAttempt& attempt) {
  Envelope question;
  *question.mutable_auth_attempt() = attempt;
  auto answer = session.ask(std::move(question));
  REQUIRE(answer.has_value());
  REQUIRE(answer->envelope.has_auth_answer());
  return answer->envelope.auth_answer();
}

control::AuthAnswer Gateway::log_in(SessionEnd& session, const std::string& user, const crypto::SshPrivateKey& key) {
  return attempt(session, signed_attempt(session, user, key));
}

std::pair<control::TargetGrant, Fd> Gateway::open_target(SessionEnd& session) {
  static const auto ephemeral = *crypto::SshPrivateKey::generate(crypto::SshKeyType::ed25519);
  Envelope question;
  question.mutable_open_target()->set_ephemeral_public_key(std::string(text_of(ephemeral.public_key().blob())));
  auto answer = session.ask(std::move(question), 15s);
  REQUIRE(answer.has_value());
  REQUIRE(answer->envelope.has_target_grant());
  Fd socket;
  if (!answer->descriptors.empty()) socket = std::move(answer->descriptors.front());
  return {answer->envelope.target_grant(), std::move(socket)};
}

control::ChannelAnswer Gateway::ask_channel(SessionEnd& session, std::uint32_t number, const std::string& kind, const std::string& command) {
  Envelope question;
  question.mutable_channel_ask()->set_channel(number);
  question.mutable_channel_ask()->set_kind(kind);
  question.mutable_channel_ask()->set_command(command);
  auto answer = session.ask(std::move(question));
  REQUIRE(answer.has_value());
  return answer->envelope.channel_answer();
}

std::pair<unsigned, std::string> Gateway::admin(const std::string& method, const std::string& target, const std::string& body) {
  net::HttpCall call;
  call.method = method;
  call.target = target;
  call.body = body;
  call.deadline = 10s;
  auto response = net::http_call_unix((folder / "admin.sock").string(), call);
  if (!response) return {0, response.error().detail};
  return {response->status, response->body};
}

void Gateway::apply(const std::string& policy) {
  const auto [status, body] = admin("POST", "/v1/apply", R"({"reason":"test","files":[{"name":"policy.yaml","content":)" + json_text(policy) + "}]}");
  INFO(body);
  REQUIRE(status == 200);
}

const crypto::SshPrivateKey& engineer_key() {
  static const auto key = *crypto::SshPrivateKey::generate(crypto::SshKeyType::ed25519);
  return key;
}
const crypto::SshPrivateKey& stranger_key() {
  static const auto key = *crypto::SshPrivateKey::generate(crypto::SshKeyType::ed25519);
  return key;
}

std::string fleet(std::uint16_t port, const std::string& channels, const std::string& extra_target) {
  const std::string key = engineer_key().public_key().line();
  return "principals:\n  - {name: engineer, keys: [\"" + key + "\"]}\n" +
         "  - {name: careful, factors: 2, totp: totp/careful, keys: [\"" + stranger_key().public_key().line() + "\"]}\n" +
         "targets:\n  - {name: recs-1, address: 127.0.0.1, port: " + std::to_string(port) + ", " + extra_target + "host_keys: [\"" + key +
         "\"], accounts: [{name: deploy}, {name: root, credentials: [{key: ssh/root}, {password: pw/root}]}]}\n" +
         "roles:\n  - name: operator\n    allow:\n      - {channels: [" + channels + "], targets: {names: [recs-1]}, accounts: [deploy, root]}\n" +
         "bindings:\n  - {role: operator, principals: [engineer, careful]}\n";
}

}  // namespace sallyport::test
