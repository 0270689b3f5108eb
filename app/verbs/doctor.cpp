#include "app/verbs/doctor.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>

#include "admin/oidc/oidc_client.h"
#include "app/config.h"
#include "app/keeper/directories.h"
#include "app/verbs/doctor_machine.h"
#include "app/verbs/exit_codes.h"
#include "app/verbs/serve.h"
#include "gateway/sandbox/layers.h"
#include "platform/postgres/connection.h"
#include "policy/authority/directory_settings.h"
#include "recorder/search/search_place.h"
#include "recorder/shipping/store_options.h"

namespace sallyport::app {
namespace {

namespace json = boost::json;

constexpr long k_tmpfs_magic = 0x01021994;

class Findings {
 public:
  void add(const std::string& check, bool good, bool required, const std::string& detail, const std::string& remedy) {
    rows_.push_back(json::object{{"check", check}, {"result", good ? "ok" : required ? "MISSING" : "absent"}, {"detail", detail}, {"remedy", good ? "" : remedy}});
    failed_ = failed_ || (!good && required);
  }
  [[nodiscard]] const json::array& rows() const { return rows_; }
  [[nodiscard]] bool failed() const { return failed_; }

 private:
  json::array rows_;
  bool failed_ = false;
};

/// The nearest directory above `path` that exists: what is not there yet will be made in it.
std::filesystem::path existing_part(std::filesystem::path path) {
  while (!path.empty() && path != path.root_path() && !std::filesystem::exists(path)) path = path.parent_path();
  return path;
}

void check_program(Findings& findings) {
  const auto session = std::filesystem::path(own_path()).parent_path() / "sallyport-session";
  findings.add("sallyport-session", access(session.c_str(), X_OK) == 0, true, session.string(), "install both programs beside each other");
}

void check_places(Findings& findings, const Config& config) {
  struct statfs place {};
  const auto rings = existing_part(config.ring_dir);
  const bool on_tmpfs = statfs(rings.c_str(), &place) == 0 && place.f_type == k_tmpfs_magic;
  findings.add("rings on tmpfs", on_tmpfs, true, config.ring_dir.string() + (on_tmpfs ? "" : " is not on tmpfs"), "set ring_dir to a folder below /run or /dev/shm");
  struct statfs disk {};
  const auto state = existing_part(config.state_dir);
  const bool known = statfs(state.c_str(), &disk) == 0;
  const auto free_bytes = static_cast<std::uint64_t>(disk.f_bavail) * static_cast<std::uint64_t>(disk.f_bsize);
  const auto least = config.settings.number("min_free_bytes", 0);
  findings.add("free disk", known && free_bytes > least, true,
               std::to_string(free_bytes / (1024 * 1024)) + " MiB free at " + state.string() + ", recording needs " + std::to_string(least / (1024 * 1024)),
               "make room, or set recording.min_free lower");
  const bool made = std::filesystem::exists(config.state_of("vault") / "seal.header") || access(config.state_dir.c_str(), X_OK) != 0;
  findings.add("vault", made, false, made ? config.state_of("vault").string() : "none yet", "sallyport init");
  if (config.settings.text("seal_source") == "file") {
    struct stat key {};
    const std::string file = config.settings.text("seal_key_file");
    const bool there = stat(file.c_str(), &key) == 0;
    findings.add("seal key", there && (key.st_mode & 077) == 0, false, file + (!there ? " is not there (or not for you to see)" : (key.st_mode & 077) != 0 ? " is open to others" : ""),
                 there ? "chmod 600 " + file : "look as root; a lost key: bring back its copy, nothing can be read without it");
  }
  findings.add("witness", !config.settings.list("witness_files").empty(), false,
               config.settings.text("witness_files").empty() ? "no checkpoint is kept outside the state directory" : config.settings.text("witness_files"),
               "set recording.witness, or recording.syslog_tls: without it a roll-back of the whole journal cannot be seen");
}

/// Write, read back, lock, no delete: with a small object that stays there.
void check_object_store(Findings& findings, const Config& config) {
  const Settings settings = config.settings_for("recorder");
  const auto places = recorder::store_settings(settings);
  if (places.url.empty()) return findings.add("store", false, false, "no object store: recordings stay on this machine", "set store.url");
  auto writer = recorder::open_store(places, recorder::StoreUse::write, system_clock(), crypto::system_random(), 2);
  auto reader = recorder::open_store(places, recorder::StoreUse::read, system_clock(), crypto::system_random(), 2);
  const auto options = recorder::ship_options(settings);
  if (!writer || !reader || !options)
    return findings.add("store", false, true, !writer ? writer.error().detail : !reader ? reader.error().detail : options.error().detail, "correct the store section: docs/how-to/object-store.md");
  std::chrono::seconds keep = options->keep;
  for (const auto& rule : options->rules) keep = std::max(keep, rule.keep);
  for (const auto& check : recorder::check_store(*writer, *reader, options->node, keep, options->compliance, system_clock(), crypto::system_random()))
    findings.add("store: " + check.name, check.good, check.required, check.detail, "docs/how-to/object-store.md says what the store has to allow");
}

/// Logs in to the database of the search index; SQLite needs nothing.
void check_search(Findings& findings, const Config& config) {
  const auto place = search::search_place(config.settings, "");
  constexpr const char* k_remedy = "docs/how-to/search-postgresql.md says what it needs: a database, a password file, the CA's certificate";
  if (!place) return findings.add("search database", false, false, place.error().detail, k_remedy);
  if (!place->server) return;
  if (!place->password_secret.empty())
    return findings.add("search database", true, false, place->name() + ": not tried, its password is in the vault as `" + place->password_secret + "`", k_remedy);
  const auto password = search::password_of(*place);
  auto connection = password ? postgres::Connection::open(*place->server, *password) : tl::unexpected(password.error());
  findings.add("search database", connection.has_value(), false, place->name() + (connection ? "" : ": " + connection.error().detail), k_remedy);
}

/// Reads the discovery document and the keys, as a sign-on would.
void check_provider(Findings& findings, const Config& config) {
  constexpr const char* k_check = "identity provider";
  constexpr const char* k_remedy = "docs/how-to/sign-on-oidc.md says what belongs into the section oidc";
  auto options = admin::read_oidc_options(config.settings_for("authority"));
  if (!options) return findings.add(k_check, false, true, options.error().detail, k_remedy);
  if (!*options) return findings.add(k_check, false, false, "none: people log in by key, password and one-time code", "set oidc.issuer");
  const std::string issuer = (**options).issuer;
  admin::OidcClient client(std::move(**options), system_clock());
  const auto about = client.metadata();
  if (!about) return findings.add(k_check, false, true, about.error().detail, k_remedy);
  const auto keys = client.count_keys();
  if (!keys) return findings.add(k_check, false, true, keys.error().detail, k_remedy);
  findings.add(k_check, true, true, issuer + ", " + std::to_string(*keys) + " keys" + (about->device_endpoint.empty() ? ", no device flow: not from ssh" : ""), "");
}

/// Connects and verifies the certificate; asks nothing.
void check_directory(Findings& findings, const Config& config) {
  const auto settings = authority::read_directory_settings(config.settings);
  if (!settings || !*settings) return;  // a wrong one is a finding of the configuration
  const auto reached = directory::reach((*settings)->place);
  findings.add("directory", reached.has_value(), true, (*settings)->place.url + (reached ? "" : ": " + reached.error().detail),
               "docs/how-to/ldap.md says what it needs: the address, the CA's certificate, and the name that stands in the directory's");
}

void check_limits(Findings& findings, const Config& config) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const auto wanted = config.settings.number("max_sessions", 4096) * 5 + 200;
  findings.add("descriptors", limit.rlim_max >= wanted, false,
               std::to_string(limit.rlim_max) + " allowed, " + std::to_string(wanted) + " wanted for limits.sessions",
               "raise the limit (LimitNOFILE=), or lower limits.sessions");
  const ServiceUsers users = find_service_users();
  findings.add("separate users", users.separate(), false,
               users.separate() ? "each service has its own" : geteuid() != 0 ? "only when started as root" : "sallyport-vault, -authority, -recorder, -listener do not all exist",
               "systemd-sysusers deploy/sysusers.conf, and start the gateway as root");
}

}  // namespace

int run_doctor(const Common& common) {
  Findings findings;
  for (const sandbox::Layer& layer : sandbox::probe_layers()) findings.add(layer.name, layer.present, layer.required, layer.detail, remedy_of_layer(layer.name));
  check_program(findings);
  auto config = load_config(common.config);
  findings.add("configuration", config.has_value(), false, config ? common.config : config.error().detail, "sallyport init makes one, sallyport config check says what is wrong");
  if (!config) config = parse_config("", "built-in defaults");
  if (config) {
    check_places(findings, *config);
    check_directory(findings, *config);
    check_limits(findings, *config);
    check_object_store(findings, *config);
    check_search(findings, *config);
    check_provider(findings, *config);
    const auto tell = [&findings](const std::string& check, bool good, bool required, const std::string& detail, const std::string& remedy) {
      findings.add(check, good, required, detail, remedy);
    };
    check_machine(*config, tell);
    check_running(common, *config, tell);
  }
  print_rows(common, findings.rows(), {{"CHECK", "check"}, {"RESULT", "result"}, {"DETAIL", "detail"}, {"REMEDY", "remedy"}}, "");
  return findings.failed() ? k_exit_unavailable : k_exit_ok;
}

}  // namespace sallyport::app
