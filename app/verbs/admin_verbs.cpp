#include <openssl/crypto.h>

#include <boost/json.hpp>
#include <cstdio>

#include "app/verbs/admin_client.h"
#include "app/verbs/exit_codes.h"
#include "app/verbs/passphrase.h"
#include "app/verbs/session_join.h"
#include "app/verbs/target.h"
#include "app/verbs/verb.h"

namespace sallyport::app {
namespace {

namespace json = boost::json;

constexpr std::size_t k_most_secret_bytes = 64 * 1024;

struct LockOptions {
  std::string principal;
  std::string target;
  std::string account;
  std::string id;
  std::string reason;
  std::string expires;
};

struct SecretOptions {
  std::string name;
  std::string kind = "password";
  std::string prefix;
  bool generate = false;
};

/// Asks, prints the object or list of the answer, gives the exit status.
template <class Ask>
int with_gateway(const Common& common, Ask ask, std::string_view done) {
  auto client = AdminClient::find(common);
  if (!client) return report(client.error());
  const Result<json::value> answer = ask(*client);
  if (!answer) return report(answer.error());
  const json::object* object = answer->if_object();
  if (object != nullptr && !object->empty() && (common.format != Format::table || done.empty())) print_object(common, *object);
  else if (!done.empty() && common.format == Format::table) std::printf("%.*s\n", static_cast<int>(done.size()), done.data());
  return k_exit_ok;
}

json::array rows_in(const json::value& answer);

/// A lock may be set before its subject is known, so a name that the policy does not have is said, not refused.
void warn_of_unknown(AdminClient& client, const std::string& kind, const std::string& name) {
  if (name.empty()) return;
  const auto known = client.get("/v1/" + kind + "s");
  if (!known) return;
  for (const json::value& row : rows_in(*known)) {
    const json::value* named = row.is_object() ? row.get_object().if_contains("name") : nullptr;
    if (named != nullptr && named->is_string() && std::string_view(named->get_string()) == name) return;
  }
  std::fprintf(stderr, "sallyport: there is no %s `%s` in the policy: the lock waits for one of that name\n", kind.c_str(), name.c_str());
}

json::array rows_in(const json::value& answer) {
  if (const json::array* rows = answer.if_array()) return *rows;
  if (const json::object* object = answer.if_object())
    for (const auto& [key, value] : *object)
      if (const json::array* rows = value.if_array()) return *rows;
  return {};
}

int list_rows(const Common& common, const std::string& target, const std::vector<Column>& columns, std::string_view empty) {
  auto client = AdminClient::find(common);
  if (!client) return report(client.error());
  auto answer = client->get(target);
  if (!answer) return report(answer.error());
  print_rows(common, rows_in(*answer), columns, empty);
  return k_exit_ok;
}

json::object lock_body(const LockOptions& options) {
  json::object body;
  for (const auto& [key, value] : {std::pair{"principal", &options.principal}, std::pair{"target", &options.target}, std::pair{"account", &options.account},
                                   std::pair{"id", &options.id}, std::pair{"reason", &options.reason}, std::pair{"expires", &options.expires}})
    if (!value->empty()) body.emplace(key, *value);
  return body;
}

int put_secret(const Common& common, const SecretOptions& options) {
  Secret value;
  if (!options.generate) {
    auto read = isatty(STDIN_FILENO) != 0 ? ask_new_passphrase("value of " + options.name) : read_secret_from_input(k_most_secret_bytes);
    if (!read) return report(read.error());
    value = std::move(*read);
  }
  json::object body{{"kind", options.kind}, {"generate", options.generate}};
  if (!options.generate) body.emplace("value", value.reveal_text());
  return with_gateway(
      common, [&](AdminClient& client) { return client.send("PUT", "/v1/secrets/" + path_of(options.name), body); }, "stored");
}

/// "ALARM 2026-11-22T19:20:01Z target.hostkey_refused: target recs-1, code SP-3006 ..."
void print_alarm(const json::value& value) {
  const json::object* alarm = value.if_object();
  if (alarm == nullptr) return;
  const auto text = [&](std::string_view key) {
    const json::value* field = alarm->if_contains(key);
    return field != nullptr && field->is_string() ? std::string(std::string_view(field->get_string())) : std::string();
  };
  std::string rest;
  for (const auto& [key, field] : *alarm) {
    if (key == "at" || key == "name" || !field.is_string() || field.get_string().empty()) continue;
    rest += (rest.empty() ? ": " : ", ") + std::string(std::string_view(key)) + " " + std::string(std::string_view(field.get_string()));
  }
  std::printf("%s  %s  %s%s\n", coloured("ALARM", Colour::red).c_str(), text("at").c_str(), text("name").c_str(), printable(rest).c_str());
}

/// 7 unless new sessions are accepted.
int show_status(const Common& common) {
  auto client = AdminClient::find(common);
  if (!client) return report(client.error());
  auto answer = client->get("/v1/status");
  if (!answer) return report(answer.error());
  json::object* object = answer->if_object();
  if (object == nullptr) return report(Error{Errc::corrupt, "the gateway's answer is no object"});
  const json::value* state = object->if_contains("state");
  const bool serves = state != nullptr && state->is_string() && (state->get_string() == "serving" || state->get_string() == "no policy");
  json::array alarms;
  if (common.format == Format::table) {
    object->erase("newest_checkpoint");  // several lines, for programs
    if (const json::value* rows = object->if_contains("newest_alarms"); rows != nullptr && rows->is_array()) alarms = rows->get_array();
    object->erase("newest_alarms");
  }
  print_object(common, *object);
  for (const json::value& alarm : alarms) print_alarm(alarm);
  return serves ? k_exit_ok : k_exit_unavailable;
}

/// Only a passphrase is asked for; a file or a credential the vault reads itself.
int unseal(const Common& common) {
  auto client = AdminClient::find(common);
  if (!client) return report(client.error());
  auto state = client->get("/v1/seal");
  if (!state) return report(state.error());
  json::object body;
  const json::object* seal = state->if_object();
  const json::value* source = seal == nullptr ? nullptr : seal->if_contains("source");
  if (source != nullptr && source->is_string() && source->get_string() == "passphrase") {
    auto typed = ask_passphrase("passphrase of the vault");
    if (!typed) return report(typed.error());
    body.emplace("passphrase", typed->reveal_text());
  }
  auto answer = client->send("POST", "/v1/unseal", body);
  if (!answer) return report(answer.error());
  if (common.format == Format::table) std::printf("unsealed\n");
  else if (answer->is_object()) print_object(common, answer->get_object());
  return k_exit_ok;
}

void add_lock_verbs(CLI::App& app, Common& common, Outcome& outcome) {
  static LockOptions options;
  CLI::App& lock = add_verb(app, "lock", "Lock principals, targets and accounts; live sessions end within a second.",
                            "  sallyport lock set --principal engineer --reason 'laptop lost'\n  sallyport lock list\n  sallyport lock remove --principal engineer\n");
  lock.require_subcommand(1);
  const auto add_subject = [](CLI::App& verb) {
    verb.add_option("--principal", options.principal, "principal to lock");
    verb.add_option("--target", options.target, "target to lock");
    verb.add_option("--account", options.account, "account to lock, on all targets or with --target on one");
  };
  CLI::App& set = add_verb(lock, "set", "Lock somebody or something now.", "  sallyport lock set --target train-1 --reason maintenance --expires 2026-12-01T06:00:00Z\n");
  add_subject(set);
  set.add_option("--reason", options.reason, "shown to those whom it ends")->required();
  set.add_option("--expires", options.expires, "moment at which it ends by itself");
  set.callback([&] {
    if (options.principal.empty() && options.target.empty() && options.account.empty()) {
      outcome.status = usage_error("lock whom? --principal, --target or --account");
      return;
    }
    outcome.status = with_gateway(
        common,
        [&](AdminClient& client) {
          auto locked = client.send("POST", "/v1/locks", lock_body(options));
          if (locked) {
            warn_of_unknown(client, "principal", options.principal);
            warn_of_unknown(client, "target", options.target);
          }
          return locked;
        },
        "locked");
  });
  add_verb(lock, "list", "Show the locks in force.", "  sallyport lock list -o json\n").callback([&] {
    outcome.status = list_rows(common, "/v1/locks",
                               {{"ID", "id"}, {"PRINCIPAL", "principal"}, {"TARGET", "target"}, {"ACCOUNT", "account"}, {"REASON", "reason"}, {"EXPIRES", "expires"}},
                               "nothing is locked");
  });
  CLI::App& remove = add_verb(lock, "remove", "Take a lock away.", "  sallyport lock remove --principal engineer\n  sallyport lock remove --id ID\n");
  add_subject(remove);
  remove.add_option("--id", options.id, "as `lock list` shows it");
  remove.callback([&] {
    outcome.status = with_gateway(common, [&](AdminClient& client) { return client.send("DELETE", "/v1/locks", lock_body(options)); }, "removed");
  });
}

void add_secret_verbs(CLI::App& app, Common& common, Outcome& outcome) {
  static SecretOptions options;
  CLI::App& secret = add_verb(app, "secret", "Keep secrets for targets; nobody ever reads one back.",
                              "  sallyport secret put pw/recs-1/root < password.txt\n  sallyport secret put ssh/recs-1/root --kind ssh-key --generate\n  sallyport secret list\n");
  secret.require_subcommand(1);
  CLI::App& put = add_verb(secret, "put", "Store a new version; the value comes on standard input.", "  sallyport secret put pw/recs-1/root < password.txt\n");
  put.add_option("name", options.name)->required();
  put.add_option("--kind", options.kind, "password, ssh-key, totp or recording-recipient")->check(CLI::IsMember({"password", "ssh-key", "totp", "recording-recipient"}));
  put.add_flag("--generate", options.generate, "let the vault make it");
  put.callback([&] { outcome.status = put_secret(common, options); });
  CLI::App& list = add_verb(secret, "list", "Show names, kinds and versions.", "  sallyport secret list pw/\n");
  list.add_option("prefix", options.prefix, "only names that begin so");
  list.callback([&] {
    outcome.status = list_rows(common, "/v1/secrets" + query_of({{"prefix", options.prefix}}),
                               {{"NAME", "name"}, {"KIND", "kind"}, {"VERSION", "version"}, {"CHANGED", "changed"}, {"LEASES", "leases"}}, "there are no secrets");
  });
  CLI::App& remove = add_verb(secret, "delete", "Delete all versions of a secret.", "  sallyport secret delete pw/recs-1/root\n");
  remove.add_option("name", options.name)->required();
  remove.callback([&] {
    outcome.status =
        with_gateway(common, [&](AdminClient& client) { return client.send("DELETE", "/v1/secrets/" + path_of(options.name), nullptr); }, "deleted");
  });
}

void add_target_verbs(CLI::App& app, Common& common, Outcome& outcome) {
  static TargetOptions options;
  CLI::App& target = add_verb(app, "target", "Bring a machine under the gateway.",
                              "  sallyport target scan 10.0.0.7\n  sallyport target add recs-1 --address 10.0.0.7 --account deploy -f policy/\n"
                              "  sallyport target setup recs-1\n");
  target.require_subcommand(1);
  CLI::App& scan = add_verb(target, "scan", "Show the host keys that answer at an address.", "  sallyport target scan 10.0.0.7 --port 22\n");
  scan.add_option("address", options.address)->required();
  scan.add_option("--port", options.port)->check(CLI::Range(1, 65535));
  scan.callback([&] { outcome.status = run_target_scan(common, options); });
  CLI::App& add = add_verb(target, "add", "Write the policy entry of a target.", "  sallyport target add recs-1 --address 10.0.0.7 --account deploy --label env=prod -f policy/\n");
  add.add_option("name", options.name)->required();
  add.add_option("--address", options.address, "host name or address, or HOST:PORT")->required();
  add.add_option("--port", options.port)->check(CLI::Range(1, 65535));
  add.add_option("--account", options.accounts, "account to log in as; may be repeated")->required();
  add.add_option("--label", options.labels, "KEY=VALUE; may be repeated");
  add.add_option("--host-key", options.host_keys, "public key line known from elsewhere; may be repeated");
  add.add_option("-f,--folder", options.folder, "policy folder to write to (default: print)");
  add.add_flag("--yes", options.yes, "trust the keys that answered");
  add.callback([&] { outcome.status = run_target_add(options); });
  CLI::App& import = add_verb(target, "import", "Write the policy entries of an Ansible inventory's hosts.",
                              "  ansible-inventory --list | sallyport target import - --host-ca \"$(cat host_ca.pub)\" -f policy/\n  sallyport target import hosts.ini --account deploy --scan --yes\n");
  import.add_option("inventory,--ansible", options.inventory, "JSON of `ansible-inventory --list`, or a static INI or YAML file; - for standard input")->required();
  import.add_flag("--dry-run", options.dry_run, "only say which targets are new, changed and gone");
  import.add_option("--account", options.accounts, "account to log in as (default: ansible_user); may be repeated");
  import.add_option("--host-ca", options.host_cas, "public key line of the CA that certifies the host keys; may be repeated");
  import.add_flag("--scan", options.scan, "ask each machine for its host keys");
  import.add_option("-f,--folder", options.folder, "policy folder to write inventory.yaml to (default: print)");
  import.add_flag("--yes", options.yes, "trust the keys that answered");
  import.callback([&] { outcome.status = run_target_import(options); });
  CLI::App& setup = add_verb(target, "setup", "Print what makes a machine's sshd accept our certificates.", "  sallyport target setup recs-1\n");
  setup.add_option("name", options.name)->required();
  setup.callback([&] { outcome.status = run_target_setup(common, options); });
}

}  // namespace

void add_admin_verbs(CLI::App& app, Common& common, Outcome& outcome) {
  static std::string session;
  static std::string reason;

  add_verb(app, "status", "Say how the gateway is.", "  sallyport status\n  sallyport status -o json\n").callback([&] {
    outcome.status = show_status(common);
  });

  add_lock_verbs(app, common, outcome);
  add_secret_verbs(app, common, outcome);
  add_target_verbs(app, common, outcome);

  CLI::App& sessions = add_verb(app, "session", "Act on a live session.", "  sallyport session list\n  sallyport session end 01JC3W9M6T5X1Q8Z7R4N2K0HFA --reason 'change window is over'\n");
  sessions.require_subcommand(1);
  add_verb(sessions, "list", "Show the sessions that are open now.", "  sallyport session list\n").callback([&] {
    outcome.status = list_rows(common, "/v1/sessions",
                               {{"SESSION", "session"}, {"PRINCIPAL", "principal"}, {"ACCOUNT", "account"}, {"TARGET", "target"}, {"FROM", "peer"}, {"SINCE", "started"}},
                               "no session is open");
  });
  CLI::App& end = add_verb(sessions, "end", "End a session now.", "  sallyport session end 01JC3W9M6T5X1Q8Z7R4N2K0HFA --reason 'change window is over'\n");
  end.add_option("session", session)->required();
  end.add_option("--reason", reason, "shown on the engineer's screen");
  end.callback([&] {
    outcome.status = with_gateway(
        common, [&](AdminClient& client) { return client.send("DELETE", "/v1/sessions/" + segment_of(session), json::object{{"reason", reason}}); }, "ended");
  });

  CLI::App& join = add_verb(sessions, "join", "Be present in somebody's session, as its moderator or to watch.", "  sallyport session join 01JC3W9M6T5X1Q8Z7R4N2K0HFA --reason 'second pair of eyes'\n");
  join.add_option("session", session)->required();
  join.add_option("--reason", reason, "why; it stands in the audit log")->required();
  join.callback([&] { outcome.status = run_session_join(common, session, reason); });

  CLI::App& vault = add_verb(app, "vault", "Seal and unseal the vault.", "  sallyport vault status\n  sallyport vault unseal\n  sallyport vault seal\n");
  vault.require_subcommand(1);
  add_verb(vault, "status", "Say whether it is sealed.", "  sallyport vault status\n").callback([&] {
    outcome.status = with_gateway(common, [](AdminClient& client) { return client.get("/v1/seal"); }, "");
  });
  add_verb(vault, "seal", "Forget the master key; new sessions are refused, live ones go on with what they hold.", "  sallyport vault seal\n").callback([&] {
    outcome.status = with_gateway(common, [](AdminClient& client) { return client.send("POST", "/v1/seal", json::object{}); }, "sealed");
  });
  add_verb(vault, "unseal", "Open it with its key file, credential or passphrase.", "  sallyport vault unseal\n").callback([&] { outcome.status = unseal(common); });
}

}  // namespace sallyport::app
