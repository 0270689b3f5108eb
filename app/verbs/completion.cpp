#include "app/verbs/completion.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "app/config.h"
#include "app/verbs/admin_client.h"
#include "app/verbs/exit_codes.h"

namespace sallyport::app {
namespace {

namespace json = boost::json;

constexpr unsigned k_patience_s = 2;

constexpr std::string_view k_bash = R"(# bash completion for sallyport; put this into ~/.bashrc: source <(sallyport completion bash)
_sallyport() {
  local candidate
  COMPREPLY=()
  while IFS= read -r candidate; do
    COMPREPLY+=("$candidate")
  done < <("${COMP_WORDS[0]}" complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _sallyport sallyport sp
)";

constexpr std::string_view k_zsh = R"(#compdef sallyport sp
# zsh completion for sallyport; put this into ~/.zshrc behind compinit: source <(sallyport completion zsh)
_sallyport() {
  local -a candidates
  candidates=("${(@f)$("${words[1]}" complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  candidates=(${candidates:#})
  if (( ${#candidates} )); then
    compadd -- "${candidates[@]}"
  else
    _files
  fi
}
compdef _sallyport sallyport sp
)";

constexpr std::string_view k_fish = R"(# fish completion for sallyport; put this into ~/.config/fish/config.fish: sallyport completion fish | source
function __sallyport_complete
  set -l words (commandline -opc)
  set -l current (commandline -ct)
  command $words[1] complete $words[2..-1] "$current" 2>/dev/null
end
complete -c sallyport -a '(__sallyport_complete)'
complete -c sp -a '(__sallyport_complete)'
)";

std::vector<const CLI::App*> verbs_of(const CLI::App& app) {
  std::vector<const CLI::App*> verbs;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; }))
    if (!verb->get_group().empty()) verbs.push_back(verb);
  return verbs;
}

/// What the words before the last one mean.
struct Place {
  std::vector<const CLI::App*> chain;   ///< sallyport, the verb, the verb below it
  std::string path;                     ///< "target setup"
  std::vector<std::string> positionals;
  std::string waiting;                  ///< the option whose value comes next; empty: none
  Common common;
};

const CLI::Option* find_option(const Place& place, const std::string& name) {
  for (const CLI::App* app : place.chain)
    for (const CLI::Option* option : app->get_options())
      if (option->check_name(name)) return option;
  return nullptr;
}

Place place_of(const CLI::App& app, const std::vector<std::string>& words) {
  Place place;
  place.chain.push_back(&app);
  const char* config = std::getenv("SALLYPORT_CONFIG");
  const char* socket = std::getenv("SALLYPORT_SOCKET");
  place.common.config = config != nullptr ? config : std::string(k_default_config);
  if (socket != nullptr) place.common.socket = socket;
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    const std::string& word = words[i];
    if (!place.waiting.empty()) {
      if (place.waiting == "-c" || place.waiting == "--config") place.common.config = word;
      if (place.waiting == "--socket") place.common.socket = word;
      place.waiting.clear();
      continue;
    }
    if (word.starts_with("-")) {
      const CLI::Option* option = find_option(place, word.substr(0, word.find('=')));
      if (option != nullptr && option->get_expected_min() > 0 && word.find('=') == std::string::npos) place.waiting = word;
      continue;
    }
    const auto below = verbs_of(*place.chain.back());
    const auto verb = std::find_if(below.begin(), below.end(), [&](const CLI::App* one) { return one->get_name() == word; });
    if (verb == below.end()) {
      place.positionals.push_back(word);
      continue;
    }
    place.chain.push_back(*verb);
    place.path += (place.path.empty() ? "" : " ") + word;
  }
  return place;
}

/// The names of one kind, as the gateway knows them; none when it does not answer.
std::vector<std::string> names_of(const Place& place, const std::string& kind) {
  auto client = AdminClient::find(place.common);
  if (!client) return {};
  const bool accounts = kind == "accounts";
  const std::string_view key = kind == "sessions" ? "session" : kind == "requests" || kind == "locks" ? "id" : "name";
  const auto answer = client->get("/v1/" + (accounts ? "targets" : kind));
  if (!answer) return {};
  const json::array* rows = answer->if_array();
  if (const json::object* object = answer->if_object())
    for (const auto& [name, value] : *object)
      if (rows == nullptr) rows = value.if_array();
  std::vector<std::string> names;
  const auto take = [&names](const json::value* value) {
    if (value != nullptr && value->is_string()) names.emplace_back(std::string_view(value->get_string()));
  };
  if (rows == nullptr) return {};
  for (const json::value& row : *rows) {
    const json::object* object = row.if_object();
    if (object == nullptr) continue;
    const json::value* found = object->if_contains(accounts ? "accounts" : key);
    if (!accounts) {
      take(found);
    } else if (found != nullptr && found->is_array()) {
      for (const json::value& one : found->get_array()) take(one.is_object() ? one.get_object().if_contains("name") : &one);
    }
  }
  return names;
}

struct Source {
  std::string_view where;  ///< an option, or a verb whose first positional it is
  std::string_view kind;   ///< of names_of, or words after '='
};
constexpr std::array k_option_values{
    Source{"--target", "targets"}, Source{"--principal", "principals"}, Source{"--as", "principals"}, Source{"--account", "accounts"}, Source{"--role", "roles"},
    Source{"--session", "sessions"}, Source{"--output", "=table json jsonl csv"}, Source{"-o", "=table json jsonl csv"},
    Source{"--channel", "=shell exec subsystem sftp scp rsync local-forward remote-forward"}, Source{"--kind", "=password ssh-key totp recording-recipient"},
    Source{"--seal", "=file credential passphrase"}, Source{"--as-format", "=ocsf cef json"}};
constexpr std::array k_first_words{
    Source{"get", "=principals groups targets roles bindings locks"}, Source{"target setup", "targets"}, Source{"reach", "targets"}, Source{"request create", "targets"},
    Source{"session end", "sessions"}, Source{"session join", "sessions"}, Source{"explain", "sessions"}, Source{"play", "sessions"}, Source{"export", "sessions"}, Source{"verify", "sessions"},
    Source{"secret delete", "secrets"}, Source{"request approve", "requests"}, Source{"request deny", "requests"}, Source{"request show", "requests"},
    Source{"request cancel", "requests"}, Source{"completion", "=bash zsh fish"}};

std::vector<std::string> values_of(const Place& place, std::string_view kind) {
  if (!kind.starts_with("=")) return names_of(place, std::string(kind));
  std::vector<std::string> words(1);
  for (const char c : kind.substr(1)) {
    if (c == ' ') words.emplace_back();
    else words.back() += c;
  }
  return words;
}

template <std::size_t Size>
std::optional<std::string_view> source_of(const std::array<Source, Size>& table, std::string_view where) {
  const auto found = std::find_if(table.begin(), table.end(), [where](const Source& source) { return source.where == where; });
  return found == table.end() ? std::nullopt : std::optional(found->kind);
}

std::vector<std::string> candidates(const Place& place, const std::string& word) {
  if (!place.waiting.empty()) {
    const auto source = source_of(k_option_values, place.waiting);
    return source ? values_of(place, *source) : std::vector<std::string>();
  }
  std::vector<std::string> found;
  if (word.starts_with("-")) {
    for (const CLI::App* app : place.chain)
      for (const CLI::Option* option : app->get_options())
        if (!option->get_group().empty())
          for (const std::string& name : option->get_lnames()) found.push_back("--" + name);
    return found;
  }
  for (const CLI::App* verb : verbs_of(*place.chain.back())) found.push_back(verb->get_name());
  if (!found.empty() && place.positionals.empty()) return found;
  if (place.positionals.size() == 1 && place.path == "get") {
    std::string kind = place.positionals.front();
    if (!kind.ends_with("s")) kind += "s";
    return names_of(place, kind);
  }
  if (!place.positionals.empty()) return {};
  const auto source = source_of(k_first_words, place.path);
  if (!source) return {};
  found = values_of(place, *source);
  if (place.path == "play" || place.path == "export" || place.path == "verify") found.emplace_back("last");
  return found;
}

}  // namespace

std::string completion_script(std::string_view shell) {
  if (shell == "bash") return std::string(k_bash);
  if (shell == "zsh") return std::string(k_zsh);
  if (shell == "fish") return std::string(k_fish);
  return {};
}

int run_complete(const CLI::App& app, const std::vector<std::string>& words) {
  alarm(k_patience_s);  // a shell waits for us: no names are better than late ones
  const std::string word = words.empty() ? std::string() : words.back();
  std::vector<std::string> found = candidates(place_of(app, words), word);
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  for (const std::string& candidate : found) {
    const bool is_plain = std::all_of(candidate.begin(), candidate.end(), [](char c) { return c > ' ' && c != 0x7f; });
    if (is_plain && candidate.starts_with(word)) std::printf("%s\n", candidate.c_str());
  }
  return k_exit_ok;
}

}  // namespace sallyport::app
