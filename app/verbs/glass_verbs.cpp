// glass make | sign | add | list | show | drill | revoke: break-glass envelopes. `make` and `sign` need no gateway.
#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/json.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>

#include "app/verbs/admin_client.h"
#include "app/verbs/exit_codes.h"
#include "app/verbs/verb.h"
#include "platform/crypto/ulid.h"
#include "platform/os/fd.h"
#include "policy/access/fields.h"
#include "policy/identity/envelope.h"

extern char** environ;

namespace sallyport::app {
namespace {

namespace json = boost::json;

struct GlassOptions {
  std::string file;
  std::string id;
  std::string principal;
  std::vector<std::string> keys;
  std::vector<std::string> targets;
  std::vector<std::string> accounts;
  std::vector<std::string> approvers;
  std::string from;
  std::string until;
  std::string lasts = "1h";
  std::string reason;
  std::string key;
  unsigned needed = 2;
  bool drill = false;
};

Result<std::string> read_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  if (!in) return fail(Errc::not_found, path + " cannot be read");
  if (text.str().size() > policy::k_max_envelope) return fail(Errc::invalid, path + " is larger than 64 KiB");
  return text.str();
}

Result<void> write_text(const std::string& path, std::string_view text, int flags) {
  const Fd out(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600));
  if (!out || ::write(out.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) || ::fsync(out.get()) != 0) return fail(Errc::unavailable, path + ": " + std::strerror(errno));
  return {};
}

/// The public key lines of a file, or the line itself.
Result<std::string> key_blob(const std::string& given) {
  std::string line = given;
  if (given.find(' ') == std::string::npos) {
    auto text = read_text(given);
    if (!text) return tl::unexpected(text.error());
    line = text->substr(0, text->find('\n'));
  }
  const auto key = crypto::parse_authorized_key(line);
  if (!key || !key->key) return fail(Errc::invalid, given + ": not a public key");
  return std::string(text_of(key->key->blob()));
}

Result<WallTime> moment_of(const std::string& text, WallTime now, const char* option) {
  if (const auto lasts = policy::parse_duration(text)) return std::chrono::floor<std::chrono::seconds>(now) + *lasts;
  if (const auto moment = policy::parse_moment(text)) return std::chrono::floor<std::chrono::seconds>(*moment);
  return fail(Errc::invalid, std::string(option) + ": `" + text + "` is neither a moment (2027-01-31T08:00:00Z) nor a time from now (90d)");
}

int make(const Common& common, const GlassOptions& options) {
  Clock& clock = system_clock();
  policy::Envelope envelope;
  envelope.id = crypto::make_ulid(clock, crypto::system_random());
  envelope.principal = options.principal;
  for (const std::string& given : options.keys) {
    auto blob = key_blob(given);
    if (!blob) return report(blob.error());
    envelope.keys.push_back(std::move(*blob));
  }
  envelope.targets = options.targets;
  envelope.accounts = options.accounts;
  envelope.not_before = std::chrono::floor<std::chrono::seconds>(clock.wall());
  if (!options.from.empty()) {
    const auto from = moment_of(options.from, clock.wall(), "--from");
    if (!from) return report(from.error());
    envelope.not_before = *from;
  }
  const auto until = moment_of(options.until, clock.wall(), "--until");
  if (!until) return report(until.error());
  envelope.not_after = *until;
  const auto lasts = policy::parse_duration(options.lasts);
  if (!lasts) return usage_error("--lasts: `" + options.lasts + "` is no duration; write 30m, 1h");
  envelope.lasts = *lasts;
  envelope.needed = options.needed;
  envelope.drill = options.drill;
  envelope.reason = options.reason;
  std::vector<std::pair<std::string, Secret>> codes;
  for (const std::string& name : options.approvers) {
    if (name == options.principal) return usage_error("--approver: " + name + " is to open it, and is no approver of it");
    codes.emplace_back(name, policy::make_code(crypto::system_random()));
    envelope.approvers.push_back({name, policy::hash_code(envelope.id, name, codes.back().second)});
  }
  const std::string text = envelope.text();
  if (const auto right = policy::parse_envelope(text); !right) return usage_error("this makes no envelope: " + right.error().detail);
  if (auto written = write_text(options.file, text, O_EXCL); !written) return report(written.error());
  if (common.format != Format::table) {
    json::object out{{"id", envelope.id}, {"file", options.file}};
    json::object secrets;
    for (const auto& [name, code] : codes) secrets[name] = std::string(code.reveal_text());
    out["codes"] = std::move(secrets);
    print_object(common, out);
    return k_exit_ok;
  }
  std::printf("%s is envelope %s.\nHand each approver her code, in person and on paper; they are shown this once:\n", options.file.c_str(), envelope.id.c_str());
  for (const auto& [name, code] : codes) std::printf("  %-20s %.*s\n", name.c_str(), static_cast<int>(code.reveal_text().size()), code.reveal_text().data());
  std::printf("Have %u of them sign it:  sallyport glass sign %s --key KEY\n", options.needed, options.file.c_str());
  return k_exit_ok;
}

/// ssh-keygen asks for passphrase, touch or PIN on the terminal; what is signed goes in by its standard input.
Result<std::string> sign_text(const std::string& text, const std::string& key) {
  const Fd input(::memfd_create("envelope", MFD_CLOEXEC));
  if (!input || ::write(input.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) || ::lseek(input.get(), 0, SEEK_SET) != 0) return fail(Errc::unavailable, "no memory for the text");
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(Errc::unavailable, "no pipe");
  Fd read_end(ends[0]);
  Fd write_end(ends[1]);
  std::vector<std::string> words{"ssh-keygen", "-Y", "sign", "-q", "-n", std::string(policy::k_envelope_namespace), "-f", key};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input.get(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, write_end.get(), STDOUT_FILENO);
  pid_t pid = 0;
  const int failed = ::posix_spawnp(&pid, "ssh-keygen", &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  write_end.reset();
  if (failed != 0) return fail(Errc::not_found, "ssh-keygen cannot be run: is the OpenSSH client installed?");
  std::string out;
  std::array<char, 4096> buffer{};
  for (ssize_t got = 0; out.size() < policy::k_max_envelope && (got = ::read(read_end.get(), buffer.data(), buffer.size())) > 0;) out.append(buffer.data(), static_cast<std::size_t>(got));
  read_end.reset();
  int status = 0;
  if (::waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0) return fail(Errc::denied, "ssh-keygen made no signature");
  return out;
}

int sign(const GlassOptions& options) {
  const auto text = read_text(options.file);
  if (!text) return report(text.error());
  const auto sealed = policy::parse_envelope(*text);
  if (!sealed) return report(Error{Errc::invalid, options.file + ": " + sealed.error().detail});
  auto made = sign_text(sealed->text, options.key);
  if (!made) return report(made.error());
  const auto signature = crypto::SshFileSignature::parse(*made);
  if (!signature) return report(signature.error());
  if (auto right = signature->verify(policy::k_envelope_namespace, sealed->text); !right) return report(right.error());
  for (const auto& other : sealed->signatures)
    if (other.key() == signature->key()) return report(Error{Errc::conflict, "this key has signed it already, and counts once"});
  if (made->back() != '\n') *made += '\n';
  if (auto written = write_text(options.file, *made, O_APPEND); !written) return report(written.error());
  std::printf("signed by %s; %zu signatures now, %u needed\n", signature->key().fingerprint().c_str(), sealed->signatures.size() + 1, sealed->envelope.needed);
  return k_exit_ok;
}

json::array texts(const std::vector<std::string>& list) { return json::array(list.begin(), list.end()); }

int show_file(const Common& common, const std::string& path) {
  const auto text = read_text(path);
  if (!text) return report(text.error());
  const auto sealed = policy::parse_envelope(*text);
  if (!sealed) return report(Error{Errc::invalid, path + ": " + sealed.error().detail});
  const policy::Envelope& e = sealed->envelope;
  json::array approvers;
  for (const auto& approver : e.approvers) approvers.emplace_back(approver.name);
  json::array signatures;
  for (const auto& signature : sealed->signatures) {
    const auto right = signature.verify(policy::k_envelope_namespace, sealed->text);
    signatures.emplace_back(signature.key().fingerprint() + (right ? "" : " WRONG: " + right.error().detail));
  }
  json::object out{{"id", e.id}, {"principal", e.principal}, {"targets", texts(e.targets)}, {"accounts", texts(e.accounts)}, {"needed", e.needed}, {"lasts_s", e.lasts.count()}};
  out["approvers"] = std::move(approvers);
  out["signatures"] = std::move(signatures);
  out["drill"] = e.drill;
  out["reason"] = e.reason;
  print_object(common, out);
  return k_exit_ok;
}

template <class Ask>
int ask(const Common& common, Ask call) {
  auto client = AdminClient::find(common);
  if (!client) return report(client.error());
  const Result<json::value> answer = call(*client);
  if (!answer) return report(answer.error());
  if (const json::object* object = answer->if_object()) print_object(common, *object);
  return k_exit_ok;
}

int drill(const Common& common, const GlassOptions& options) {
  auto client = AdminClient::find(common);
  if (!client) return report(client.error());
  const auto answer = client->send("POST", "/v1/envelopes/" + segment_of(options.id) + "/drill", json::object{});
  if (!answer) return report(answer.error());
  const json::object* object = answer->if_object();
  const json::value* checks = object == nullptr ? nullptr : object->if_contains("checks");
  const json::value* ok = object == nullptr ? nullptr : object->if_contains("ok");
  if (checks != nullptr && checks->is_array()) print_rows(common, checks->get_array(), {{"CHECK", "check"}, {"OK", "ok"}, {"DETAIL", "detail"}}, "nothing was checked");
  if (ok != nullptr && ok->is_bool() && ok->get_bool()) return k_exit_ok;
  return report(Error{Errc::denied, "the envelope " + options.id + " would not open"});
}

void add_offline(CLI::App& glass, Common& common, Outcome& outcome, GlassOptions& options) {
  CLI::App& create = add_verb(glass, "make", "Make an envelope and the approvers' codes; needs no gateway.",
                              "  sallyport glass make prod-db.envelope --principal engineer --key engineer.pub --target prod-db-1 --account root \\\n"
                              "    --approver alice --approver bob --approver carol --needed 2 --until 180d --lasts 2h --reason 'SSO outage'\n");
  create.add_option("file", options.file, "where to write it; must not exist")->required();
  create.add_option("--principal", options.principal, "who may open it")->required();
  create.add_option("--key", options.keys, "her public key, a file or a line; may be repeated")->required();
  create.add_option("--target", options.targets, "what it opens; may be repeated")->required();
  create.add_option("--account", options.accounts, "as whom; may be repeated")->required();
  create.add_option("--approver", options.approvers, "a name of the policy's break_glass.approvers; may be repeated")->required();
  create.add_option("--needed", options.needed, "signatures, and codes (default 2)");
  create.add_option("--from", options.from, "good from that moment on (default: now)");
  create.add_option("--until", options.until, "good until then: 2027-01-31T08:00:00Z, or 180d from now")->required();
  create.add_option("--lasts", options.lasts, "what it grants lasts so long from the opening on (default 1h)");
  create.add_option("--reason", options.reason, "what it is for");
  create.add_flag("--drill", options.drill, "made to be opened for practice: every alarm says so");
  create.callback([&] { outcome.status = make(common, options); });
  CLI::App& signing = add_verb(glass, "sign", "Sign an envelope with an ssh key, by ssh-keygen -Y sign; needs no gateway.",
                               "  sallyport glass sign prod-db.envelope --key ~/.ssh/id_ed25519_sk\n");
  signing.add_option("file", options.file)->required();
  signing.add_option("--key", options.key, "private key, or a public one whose private half an agent holds")->required();
  signing.callback([&] { outcome.status = sign(options); });
}

}  // namespace

void add_glass_verbs(CLI::App& app, Common& common, Outcome& outcome) {
  static GlassOptions options;
  CLI::App& glass = add_verb(app, "glass", "Break-glass envelopes: made and signed in advance, opened once when everything else is down.",
                             "  sallyport glass list\n  sallyport glass drill 01K...\n  ssh engineer@gateway glass open 01K... CODE CODE\n");
  glass.require_subcommand(1);
  add_offline(glass, common, outcome, options);
  CLI::App& add = add_verb(glass, "add", "Store a signed envelope on the gateway.", "  sallyport glass add prod-db.envelope\n");
  add.add_option("file", options.file)->required();
  add.callback([&] {
    const auto text = read_text(options.file);
    outcome.status = !text ? report(text.error()) : ask(common, [&](AdminClient& client) { return client.send("POST", "/v1/envelopes", json::object{{"envelope", *text}}); });
  });
  add_verb(glass, "list", "Show the gateway's envelopes and their state.", "  sallyport glass list -o json\n").callback([&] {
    auto client = AdminClient::find(common);
    auto answer = client ? client->get("/v1/envelopes") : Result<json::value>(tl::unexpected(client.error()));
    if (!answer) {
      outcome.status = report(answer.error());
      return;
    }
    const json::object* object = answer->if_object();
    const json::value* rows = object == nullptr ? nullptr : object->if_contains("envelopes");
    print_rows(common, rows != nullptr && rows->is_array() ? rows->get_array() : json::array{},
               {{"ID", "id"}, {"STATE", "state"}, {"PRINCIPAL", "principal"}, {"TARGETS", "targets"}, {"ACCOUNTS", "accounts"}, {"NEEDS", "needed"}, {"UNTIL", "not_after"}, {"PROBLEM", "problem"}},
               "there are no envelopes; make one: sallyport glass make");
  });
  CLI::App& show = add_verb(glass, "show", "Show one: of the gateway by its id, or a file.", "  sallyport glass show prod-db.envelope\n  sallyport glass show 01K...\n");
  show.add_option("envelope", options.id, "id or file")->required();
  show.callback([&] {
    outcome.status = crypto::is_ulid(options.id) ? ask(common, [&](AdminClient& client) { return client.get("/v1/envelopes/" + segment_of(options.id)); }) : show_file(common, options.id);
  });
  CLI::App& check = add_verb(glass, "drill", "Prove that an envelope would open, without spending it.", "  sallyport glass drill 01K...\n");
  check.add_option("id", options.id)->required();
  check.callback([&] { outcome.status = drill(common, options); });
  CLI::App& revoke = add_verb(glass, "revoke", "Make an envelope good for nothing; what it opened ends.", "  sallyport glass revoke 01K... --reason 'alice has left'\n");
  revoke.add_option("id", options.id)->required();
  revoke.add_option("--reason", options.reason, "stands in the audit log")->required();
  revoke.callback([&] {
    outcome.status = ask(common, [&](AdminClient& client) { return client.send("DELETE", "/v1/envelopes/" + segment_of(options.id), json::object{{"reason", options.reason}}); });
  });
}

}  // namespace sallyport::app
