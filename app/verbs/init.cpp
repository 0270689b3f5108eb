#include "app/verbs/init.h"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <optional>

#include "app/config.h"
#include "app/keeper/directories.h"
#include "app/verbs/exit_codes.h"
#include "app/verbs/init_questions.h"
#include "app/verbs/passphrase.h"
#include "vault/setup.h"

namespace sallyport::app {
namespace {

namespace fs = std::filesystem;

Result<void> write_config_file(const fs::path& file, const InitOptions& options) {
  std::error_code error;
  if (file.has_parent_path()) fs::create_directories(file.parent_path(), error);
  const auto text = init_config_text(file.string(), options);
  if (!text) return tl::unexpected(text.error());
  std::ofstream out(file, std::ios::trunc);
  out << *text;
  out.close();
  if (!out || chmod(file.c_str(), 0644) != 0) return fail(Errc::unavailable, file.string() + ": cannot be written: " + std::strerror(errno));
  return {};
}

/// What was made as root belongs to the service that will use it.
Result<void> give_to_vault(const Config& config, const ServiceUsers& users) {
  const passwd* owner = users.separate() ? getpwnam(users.vault.c_str()) : nullptr;
  if (owner == nullptr) return {};
  std::vector<fs::path> paths{config.settings.text("seal_key_file")};
  for (const auto& entry : fs::recursive_directory_iterator(config.state_of("vault"))) paths.push_back(entry.path());
  for (const fs::path& path : paths)
    if (fs::exists(path) && lchown(path.c_str(), owner->pw_uid, owner->pw_gid) != 0)
      return fail(Errc::unavailable, path.string() + ": " + std::strerror(errno));
  return {};
}

/// The names by which clients know this gateway: they go into its host certificate.
std::vector<std::string> host_names_of(const Config& config) {
  std::vector<std::string> names{config.node};
  const std::string address = config.settings.text("public_address");
  std::string host = address.substr(0, address.rfind(':'));
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  if (!host.empty() && host != "::" && host != "0.0.0.0" && host != "*" && host != config.node) names.push_back(host);
  return names;
}

std::optional<std::string> ask_terminal(const std::string& question) {
  std::printf("%s", question.c_str());
  std::fflush(stdout);
  std::string line;
  if (!std::getline(std::cin, line)) return std::nullopt;
  return line;
}

Result<void> make_state_of(const Config& config, const Secret& passphrase) {
  const ServiceUsers users = find_service_users();
  if (auto made = make_directories(config, users); !made) return made;
  auto lock = lock_state(config);
  if (!lock) return tl::unexpected(lock.error());
  const char* credentials = std::getenv("CREDENTIALS_DIRECTORY");
  auto settings = vault::vault_settings_of(config.settings_for("vault"), credentials != nullptr ? credentials : "");
  if (!settings) return tl::unexpected(settings.error());
  auto made = vault::init({std::move(*settings), host_names_of(config)}, passphrase.empty() ? nullptr : &passphrase);
  if (!made) return tl::unexpected(made.error());
  return give_to_vault(config, users);
}

}  // namespace

Result<void> make_state(const std::string& file, const Secret& passphrase) {
  auto config = load_config(file);
  if (!config) return tl::unexpected(config.error());
  return make_state_of(*config, passphrase);
}

int run_init(const Common& common, const InitOptions& given) {
  InitOptions options = given;
  const bool had_config = fs::exists(common.config);
  if (had_config && !(options.state_dir.empty() && options.run_dir.empty() && options.listen.empty() && options.public_address.empty() && options.witness.empty() && options.admin_listen.empty()))
    return usage_error(common.config + " exists: change it there, or name another file with --config");
  if (!had_config) {
    if (!options.non_interactive && isatty(STDIN_FILENO) != 0 && isatty(STDOUT_FILENO) != 0) {
      if (auto asked = ask_init_questions(common.config, options, ask_terminal); !asked) return report(asked.error());
    }
    if (auto written = write_config_file(common.config, options); !written) return report(written.error());
  }
  auto config = load_config(common.config);
  if (!config) return report(config.error());
  Secret passphrase;
  const std::string source = config->settings.text("seal_source");
  if (source == "passphrase") {
    auto typed = ask_new_passphrase("passphrase that will unseal the vault");
    if (!typed) return report(typed.error());
    passphrase = std::move(*typed);
  }
  if (auto made = make_state_of(*config, passphrase); !made) {
    const int status = report(made.error());
    if (!had_config)
      std::fprintf(stderr, "%s stands; once the cause is gone, `sallyport --config %s init` goes on from here\n", common.config.c_str(), common.config.c_str());
    return status;
  }
  std::printf("configuration  %s%s\nstate          %s\n", common.config.c_str(), had_config ? " (was there)" : "", config->state_dir.c_str());
  if (source == "file")
    std::printf("seal key       %s   keep a copy apart from the backups of the state: without it nothing can be read\n",
                config->settings.text("seal_key_file").c_str());
  const std::string prefix = common.config == k_default_config ? "sallyport " : "sallyport --config " + common.config + " ";
  std::printf("next           %sserve\n               %sapply -f YOUR-POLICY-FOLDER\n", prefix.c_str(), prefix.c_str());
  return k_exit_ok;
}

}  // namespace sallyport::app
