#include "app/verbs/command_line.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "app/config.h"
#include "app/suggest.h"
#include "app/verbs/completion.h"
#include "app/verbs/exit_codes.h"
#include "app/verbs/manual.h"
#include "app/verbs/output_curl.h"
#include "app/verbs/verb.h"
#include "app/version.h"

namespace sallyport::app {
namespace {

/// Words of the product that this version does not have: said plainly instead of pretended.
constexpr std::array<std::string_view, 1> k_not_in_this_version{"login"};

/// Verbs in one column with their summaries; the examples of a single verb come before its options.
class HelpText : public CLI::Formatter {
 public:
  std::string make_subcommand(const CLI::App* verb) const override {
    if (verb->get_group().empty()) return {};
    std::string name = verb->get_name();
    name.resize(std::max<std::size_t>(name.size() + 1, 12), ' ');
    return "  " + name + summary_of(*verb) + "\n";
  }
  std::string make_expanded(const CLI::App* verb) const override { return make_subcommand(verb); }
};

const CLI::App* find_verb(const CLI::App& app, const std::string& name) {
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; }))
    if (verb->get_name() == name) return verb;
  return nullptr;
}

/// The complaint about the first word that is no verb; empty when all is well so far.
std::string unknown_verb(const CLI::App& app, const std::vector<std::string>& words) {
  const CLI::App* here = &app;
  std::string line = "sallyport";
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word.starts_with("-")) {
      const bool takes_value = word == "-c" || word == "--config" || word == "--socket" || word == "-o" || word == "--output";
      if (takes_value) ++i;
      continue;
    }
    if (here->get_subcommands([](const CLI::App*) { return true; }).empty()) return {};
    const CLI::App* verb = find_verb(*here, word);
    if (verb != nullptr) {
      here = verb;
      line += " " + word;
      continue;
    }
    if (here == &app)
      for (const std::string_view later : k_not_in_this_version)
        if (word == later) return "`" + word + "` is not part of this version";
    std::vector<std::string> names;
    std::vector<std::string_view> views;
    for (const CLI::App* known : here->get_subcommands([](const CLI::App*) { return true; }))
      if (!known->get_group().empty()) names.push_back(known->get_name());
    views.assign(names.begin(), names.end());
    const std::string_view meant = nearest(word, views);
    std::string text = "`" + word + "` is not a verb of `" + line + "`.";
    if (!meant.empty()) return text + " Did you mean `" + line + " " + std::string(meant) + "`?";
    text += " There are:";
    for (const std::string& name : names) text += " " + name;
    return text;
  }
  return {};
}

/// What the options of the verb that was chosen are called, those of the verbs above it included.
std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  const CLI::App* here = &app;
  while (here != nullptr) {
    for (const CLI::Option* option : here->get_options())
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    const auto chosen = here->get_subcommands();
    here = chosen.empty() ? nullptr : chosen.front();
  }
  return names;
}

/// "Did you mean `--reason`?" for an option that nobody takes; empty when nothing is near.
std::string meant_option(const CLI::App& app, const std::vector<std::string>& words) {
  const std::vector<std::string> names = option_names(app);
  const std::vector<std::string_view> views(names.begin(), names.end());
  for (const std::string& word : words) {
    if (!word.starts_with("--") || word.size() < 4) continue;
    const std::string name = word.substr(0, word.find('='));
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    if (const std::string_view meant = nearest(name, views); !meant.empty()) return ". Did you mean `" + std::string(meant) + "`?";
  }
  return {};
}

/// " list set remove": what may stand behind the verb that was chosen.
std::string verbs_below(const CLI::App& app, const std::vector<std::string>& words) {
  const CLI::App* here = &app;
  for (const std::string& word : words)
    if (const CLI::App* verb = find_verb(*here, word); verb != nullptr) here = verb;
  std::string names;
  for (const CLI::App* known : here->get_subcommands([](const CLI::App*) { return true; }))
    if (!known->get_group().empty()) names += " " + known->get_name();
  return names;
}

/// CLI11's words, but for a number that is none: "Could not convert: --limit = abc".
std::string complaint_of(const CLI::ParseError& error, const std::string& verbs) {
  const std::string text = error.what();
  constexpr std::string_view k_prefix = "Could not convert: ";
  if (!verbs.empty() && text == "A subcommand is required") return "say which:" + verbs;
  const std::size_t equals = text.find(" = ");
  if (!text.starts_with(k_prefix) || equals == std::string::npos) return text;
  return text.substr(k_prefix.size(), equals - k_prefix.size()) + ": `" + text.substr(equals + 3) + "` is not a number that fits here";
}

/// A full disk or a closed output: who reads the file later must not take half a list for all of it.
int written(int status) {
  const int error = std::fflush(stdout) != 0 ? errno : 0;
  if (error == 0 && std::ferror(stdout) == 0 && std::cout.good()) return status;
  std::fprintf(stderr, "sallyport: the output could not be written%s%s\n", error != 0 ? ": " : "", error != 0 ? std::strerror(error) : "");
  return status == k_exit_ok ? static_cast<int>(k_exit_unavailable) : status;
}

void add_common_options(CLI::App& app, Common& common) {
  app.add_option("-c,--config", common.config, "configuration file")->envname("SALLYPORT_CONFIG")->capture_default_str();
  app.add_option("--socket", common.socket, "admin socket of the gateway (default: RUN_DIR/admin.sock)")->envname("SALLYPORT_SOCKET");
  // CLI11's own transformer would tell a person the numbers of the enumeration.
  const auto number_of_format = [](std::string& word) -> std::string {
    const std::map<std::string, Format> formats{{"table", Format::table}, {"json", Format::json}, {"jsonl", Format::jsonl}, {"csv", Format::csv}};
    const auto found = formats.find(word);
    if (found == formats.end()) return "`" + word + "` is not one of table, json, jsonl, csv";
    word = std::to_string(static_cast<int>(found->second));
    return {};
  };
  app.add_option("-o,--output", common.format, "table, json, jsonl or csv")->transform(CLI::Validator(number_of_format, "", "format"))->option_text("FORMAT");
  app.add_flag("--output-curl", common.output_curl, "print the REST request as a line for curl; nothing is changed");
}

/// The verb that was chosen, word by word, from the line as it stands: it is asked before anything runs.
std::vector<std::string> path_in(const CLI::App& app, const std::vector<std::string>& words) {
  std::vector<std::string> path;
  const CLI::App* here = &app;
  for (const std::string& word : words) {
    const CLI::App* verb = find_verb(*here, word);
    if (verb == nullptr) continue;
    path.push_back(word);
    here = verb;
  }
  return path;
}

}  // namespace

int run_command_line(int argc, char** argv) {
  Common common;
  common.config = std::string(k_default_config);
  Outcome outcome;
  CLI::App app(
      "Examples:\n  sallyport demo\n  sallyport init && sallyport serve\n  sallyport apply -f policy/\n  sallyport sessions\n  sallyport play last\n\n"
      "Sallyport: the guarded door to a fleet. Engineers come through it with ssh, scp, sftp and rsync; everything is decided and recorded.",
      "sallyport");
  app.formatter(std::make_shared<HelpText>());
  app.set_version_flag("-V,--version", std::string(k_version_line));
  app.fallthrough();
  add_common_options(app, common);
  add_process_verbs(app, common, outcome);
  add_policy_verbs(app, common, outcome);
  add_recording_verbs(app, common, outcome);
  add_admin_verbs(app, common, outcome);
  add_guard_verbs(app, common, outcome);
  add_history_verbs(app, common, outcome);
  add_request_verbs(app, common, outcome);
  add_glass_verbs(app, common, outcome);
  add_sign_on_verbs(app, common, outcome);
  add_check_verbs(app, common, outcome);
  add_operation_verbs(app, common, outcome);
  app.require_subcommand(1);

  const std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  if (words.empty()) {
    std::printf("%s", app.help().c_str());
    return k_exit_usage;
  }
  // For the shells' completion scripts and for the build.
  if (words.front() == "complete") return run_complete(app, {words.begin() + 1, words.end()});
  if (words.front() == "manual" && words.size() == 2) return write_manual(app, words[1]);
  if (std::find(words.begin(), words.end(), "--output-curl") != words.end()) {
    if (!has_rest_equivalent(path_in(app, words))) return usage_error("--output-curl: this verb asks nothing of the REST API");
    show_only_curl();
  }
  if (const std::string complaint = unknown_verb(app, words); !complaint.empty()) return usage_error(complaint);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {  // --help, --version
    app.exit(asked);
    std::cout.flush();
    return written(k_exit_ok);
  } catch (const CLI::ParseError& error) {
    const std::string meant = dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr ? meant_option(app, words) : std::string();
    std::string line = "sallyport";
    for (const std::string& word : path_in(app, words)) line += " " + word;
    std::fprintf(stderr, "sallyport: %s%s\nTry `%s --help`.\n", complaint_of(error, verbs_below(app, words)).c_str(), meant.c_str(), line.c_str());
    return k_exit_usage;
  }
  return written(outcome.status);
}

}  // namespace sallyport::app
