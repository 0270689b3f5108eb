// What is known of the shell while a text is followed: variables, arguments, folders, files, and the overlay that a subshell leaves behind.
#include <algorithm>
#include <cctype>

#include "policy/guard/walk.h"
#include "policy/guard/wildcard.h"

namespace sallyport::guard {

std::string folded(std::string text, char folds) {
  for (char& c : text) {
    if (folds == 'l') c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (folds == 'u') c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return text;
}

const Variable* Walk::find_variable(std::string_view name) const {
  if (const auto found = overlay_.variables.find(name); found != overlay_.variables.end()) return found->second ? &*found->second : nullptr;
  if (const auto found = base_.variables.find(name); found != base_.variables.end()) return &found->second;
  // What nearly every shell has. Only used to see through tricks such as ${PATH:0:1}.
  static const std::map<std::string, Variable, std::less<>> k_usual = [] {
    std::map<std::string, Variable, std::less<>> usual;
    const auto put = [&](const char* key, const char* value) { usual[key] = Variable{{value}, {}, false}; };
    put("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    put("SHELL", "/bin/bash");
    put("BASH", "/bin/bash");
    put("IFS", " \t\n");
    put("EDITOR", "vi");
    put("VISUAL", "vi");
    put("PAGER", "less");
    put("OSTYPE", "linux-gnu");
    put("HOSTTYPE", "x86_64");
    put("MACHTYPE", "x86_64-pc-linux-gnu");
    put("SHELLOPTS", "braceexpand:emacs:hashall:histexpand:history:interactive-comments:monitor");
    put("BASHOPTS", "cmdhist:complete_fullquote:expand_aliases");
    put("BASH_VERSION", "5.2.15(1)-release");
    put("TERM", "xterm-256color");
    put("LANG", "en_US.UTF-8");
    put("HISTFILE", "/home/user/.bash_history");
    put("TMPDIR", "/tmp");
    put("SSH_AUTH_SOCK", "/tmp/ssh-agent/agent.1");
    return usual;
  }();
  if (name == "HOME" || name == "PWD" || name == "USER" || name == "LOGNAME" || name == "HISTFILE") {
    thread_local Variable known;
    std::string value = name == "HOME" ? home() : name == "PWD" ? cwd() : name == "HISTFILE" ? home() + "/.bash_history" : base_.user;
    if (value.empty()) value = name == "PWD" ? home() : "user";
    known.values = {std::move(value)};
    return &known;
  }
  const auto found = k_usual.find(name);
  return found == k_usual.end() ? nullptr : &found->second;
}

void Walk::set_variable(std::string_view name, std::string value) {
  if (value.size() > 64 * 1024) value.resize(64 * 1024);
  Variable made;
  if (const Variable* before = find_variable(name)) made.folds = before->folds;
  made.values = {folded(std::move(value), made.folds)};
  overlay_.variables[std::string(name)] = std::move(made);
}

void Walk::set_array(std::string_view name, std::vector<std::string> items) {
  Variable made;
  made.is_array = true;
  made.items = std::move(items);
  overlay_.variables[std::string(name)] = std::move(made);
}

const std::vector<std::string>& Walk::arguments() const { return overlay_.arguments ? *overlay_.arguments : base_.arguments; }
std::string Walk::cwd() const { return overlay_.cwd ? *overlay_.cwd : base_.cwd; }
std::string Walk::home() const { return !base_.home.empty() ? base_.home : base_.user.empty() ? "/home/user" : base_.user == "root" ? "/root" : "/home/" + base_.user; }

std::string Walk::absolute(std::string_view path) const {
  if (path.starts_with('/')) return clean_path(path);
  const std::string here = cwd();
  return clean_path(here.empty() ? std::string(path) : here + "/" + std::string(path));
}

const KnownFile* Walk::find_file(std::string_view path) const {
  if (overlay_.files.empty() && base_.files.empty()) return nullptr;
  const std::string key = key_of_file(path);
  if (key.empty()) return nullptr;
  if (const auto found = overlay_.files.find(key); found != overlay_.files.end()) return &found->second;
  if (const auto found = base_.files.find(key); found != base_.files.end()) return &found->second;
  return nullptr;
}

std::string Walk::key_of_file(std::string_view path) const {
  const auto is_known = [&](const std::string& key) { return overlay_.files.find(key) != overlay_.files.end() || base_.files.find(key) != base_.files.end(); };
  std::string key = absolute(path);
  if (is_known(key)) return key;
  // Below a folder that is not known for sure (the working directory at the start, the home directory): any file of that name will do.
  std::string_view tail;
  const std::string house = base_.home.empty() ? home() + "/" : std::string();
  if (!house.empty() && key.starts_with(house)) tail = std::string_view(key).substr(house.size());
  else if (!key.starts_with('/') && !key.starts_with("..")) tail = key;
  while (tail.starts_with("./")) tail.remove_prefix(2);
  if (tail.empty() || base_.files.empty()) return {};
  for (const auto& [known, file] : base_.files) {
    if (known == tail || (known.size() > tail.size() && known.ends_with(tail) && known[known.size() - tail.size() - 1] == '/')) return known;
  }
  return {};
}

std::vector<std::string> Walk::written_files() const {
  std::vector<std::string> out;
  out.reserve(overlay_.files.size());
  for (const auto& [path, file] : overlay_.files) out.push_back(path);
  return out;
}

void Walk::write_file(std::string_view path, std::string content, bool appends) {
  const std::string key = absolute(path);
  if (key.starts_with("/dev/") && !key.starts_with("/dev/fd/") && !key.starts_with("/dev/shm/")) return;
  if (overlay_.files.size() >= 256 || has_hole(key)) return;
  KnownFile file;
  if (appends) {
    if (const KnownFile* before = find_file(path)) file.content = before->content;
  }
  file.content += content;
  if (file.content.size() > 64 * 1024) file.content = std::string(1, k_hole);
  file.is_content_known = true;
  overlay_.files[key] = std::move(file);
}

Walk::Overlay Walk::saved() {
  (void)spend(4 + 24 * (overlay_.variables.size() + overlay_.files.size() + overlay_.functions.size() + overlay_.aliases.size()));
  return overlay_;
}

void Walk::leave(Overlay before) {
  before.files = std::move(overlay_.files);
  overlay_ = std::move(before);
}

void Walk::merge(const Overlay& other) {
  for (const auto& [name, value] : other.variables) {
    auto found = overlay_.variables.find(name);
    if (found == overlay_.variables.end()) {
      overlay_.variables[name] = value;
      continue;
    }
    if (!value || !found->second || value->is_array || found->second->is_array) continue;
    for (const std::string& one : value->values) {
      std::vector<std::string>& all = found->second->values;
      if (std::find(all.begin(), all.end(), one) == all.end() && all.size() < k_most_values) all.push_back(one);
    }
  }
  // A variable that only this branch set: what it was before stays possible.
  for (auto& [name, value] : overlay_.variables) {
    if (!value || value->is_array || other.variables.contains(name)) continue;
    const auto outside = base_.variables.find(name);
    if (outside == base_.variables.end() || outside->second.is_array) continue;
    for (const std::string& one : outside->second.values) {
      if (std::find(value->values.begin(), value->values.end(), one) == value->values.end() && value->values.size() < k_most_values) value->values.push_back(one);
    }
  }
  for (const auto& [name, body] : other.functions) {
    std::string& mine = overlay_.functions[name];
    if (mine.empty()) {
      mine = body;
    } else if (mine != body && mine.size() + body.size() < 16 * 1024) {
      mine = "{ " + mine + "\n" + body + "\n}";
    }
  }
  for (const auto& [name, text] : other.aliases) overlay_.aliases.emplace(name, text);
  if (overlay_.cwd != other.cwd) overlay_.cwd = std::string();
}

void Walk::apply_to(ShellState& state) const {
  constexpr std::size_t k_most = 512;
  for (const auto& [name, value] : overlay_.variables) {
    if (!value) {
      state.variables.erase(name);
    } else if (state.variables.size() < k_most || state.variables.contains(name)) {
      state.variables[name] = *value;
    }
  }
  for (const auto& [name, value] : overlay_.aliases) {
    if (!value) {
      state.aliases.erase(name);
    } else if (state.aliases.size() < k_most) {
      state.aliases[name] = *value;
    }
  }
  for (const auto& [name, body] : overlay_.functions) {
    if (state.functions.size() < k_most) state.functions[name] = body;
  }
  for (const auto& [path, file] : overlay_.files) {
    if (path.starts_with("/dev/fd/")) continue;
    if (state.files.size() < k_most || state.files.contains(path)) state.files[path] = file;
  }
  if (overlay_.cwd) state.cwd = *overlay_.cwd;
  if (overlay_.arguments) state.arguments = *overlay_.arguments;
}

}  // namespace sallyport::guard
