#include <cstdio>

#include "admin/oidc/oidc_options.h"
#include "app/config.h"
#include "app/demo/demo.h"
#include "app/verbs/exit_codes.h"
#include "app/verbs/init.h"
#include "app/verbs/serve.h"
#include "app/verbs/verb.h"

namespace sallyport::app {
namespace {

int check_config(const Common& common) {
  const auto config = load_config(common.config);
  if (!config) return report(config.error());
  if (const auto provider = admin::read_oidc_options(config->settings_for("authority")); !provider) return report(Error{provider.error().code, common.config + ": " + provider.error().detail});
  std::printf("%s: right\n", common.config.c_str());
  return k_exit_ok;
}

int show_config(const Common& common, bool effective) {
  const auto config = load_config(common.config);
  if (!config) return report(config.error());
  if (effective) {
    std::printf("%s", config->effective.c_str());
    return k_exit_ok;
  }
  std::FILE* file = std::fopen(common.config.c_str(), "r");
  if (file == nullptr) return report(Error{Errc::not_found, common.config + ": cannot be read"});
  for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) std::putchar(c);
  std::fclose(file);
  return k_exit_ok;
}

}  // namespace

void add_process_verbs(CLI::App& app, Common& common, Outcome& outcome) {
  static ServeOptions serve_options;
  static std::string service_name;
  static InitOptions init_options;
  static bool effective = false;
  static DemoOptions demo_options;

  CLI::App& serve = add_verb(app, "serve", "Run the gateway.", "  sallyport serve\n  sallyport --config ./sallyport.yaml serve\n");
  serve.add_option("--handover", serve_options.handover)->group("");
  serve.callback([&] { outcome.status = run_serve(common, serve_options); });

  CLI::App& demo = add_verb(app, "demo", "Run a throw-away gateway with three real targets, to try things.", "  sallyport demo\n  sallyport demo --port 2222\n");
  demo.add_option("--port", demo_options.port, "port of the gateway (default: a free one)");
  demo.add_flag("--keep", demo_options.keep, "leave the directory behind");
  demo.callback([&] { outcome.status = run_demo(demo_options); });

  CLI::App& init = add_verb(app, "init", "Make a configuration, the vault and its seal key.",
                            "  sallyport init\n  sallyport init --non-interactive\n  sallyport --config ./sallyport.yaml init --state-dir ./state --listen 127.0.0.1:2222\n");
  init.add_option("--state-dir", init_options.state_dir, "where databases, journal and vault live");
  init.add_option("--run-dir", init_options.run_dir, "where the admin socket and the rings live");
  init.add_option("--listen", init_options.listen, "address to accept SSH on; may be repeated");
  init.add_option("--seal", init_options.seal_source, "file, credential or passphrase")->check(CLI::IsMember({"file", "credential", "passphrase"}));
  init.add_option("--public-address", init_options.public_address, "HOST:PORT by which engineers reach it");
  init.add_option("--witness", init_options.witness, "file outside the state directory that checkpoints go to");
  init.add_option("--admin-listen", init_options.admin_listen, "address of the page and the REST API");
  init.add_flag("--non-interactive", init_options.non_interactive, "ask nothing, also on a terminal");
  init.callback([&] { outcome.status = run_init(common, init_options); });

  CLI::App& config = add_verb(app, "config", "Check or show the configuration.", "  sallyport config check\n  sallyport config show --effective\n");
  config.require_subcommand(1);
  add_verb(config, "check", "Say whether the file is right; nothing is started.", "  sallyport config check\n").callback([&] {
    outcome.status = check_config(common);
  });
  CLI::App& show = add_verb(config, "show", "Print the configuration.", "  sallyport config show --effective\n");
  show.add_flag("--effective", effective, "with every default filled in");
  show.callback([&] { outcome.status = show_config(common, effective); });

  add_verb(app, "upgrade", "Let the running gateway execute the installed program anew; sessions live on.", "  sallyport upgrade\n").callback([&] {
    outcome.status = run_upgrade(common);
  });

  CLI::App& service = add_verb(app, "service", "One of the gateway's services; started by the keeper only.", "");
  service.group("");
  service.add_option("name", service_name)->required();
  service.callback([&] { outcome.status = run_service(service_name); });
}

}  // namespace sallyport::app
