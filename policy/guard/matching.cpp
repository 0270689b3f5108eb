#include "policy/guard/matching.h"

#include <algorithm>
#include <optional>

#include "policy/guard/rule_pattern.h"
#include "policy/guard/wildcard.h"

namespace sallyport::guard {

namespace {

using Paths = std::vector<PathPattern>;

Paths taken_apart(const std::vector<std::string>& patterns, Meeting meeting = Meeting::agreed) {
  Paths out;
  out.reserve(patterns.size());
  for (const std::string& pattern : patterns) out.emplace_back(pattern, meeting);
  return out;
}

}  // namespace

struct CompiledRule {
  RulePattern pattern;
  RulePattern unless;
  RulePattern env_value;
  Paths reads;
  Paths writes;
  Paths deletes;
  Paths changes;
  Paths edits;
  Paths except;
};

/// A command's paths, taken apart once for all rules. Views into the effects.
struct PreparedEffects {
  struct Path {
    PathText whole;
    std::string literal_text;         ///< with wildcards as letters
    std::optional<PathText> literal;
    std::optional<PathText> folder;  ///< ~/.ssh/* is what stands in ~/.ssh
  };
  using List = std::vector<Path>;
  PreparedEffects(const Effects& of, std::string_view bare_text, std::string_view whole_text) : effects(of), bare(bare_text), whole(whole_text), reads(prepared(of.reads)), writes(prepared(of.writes)), deletes(prepared(of.deletes)), changes(prepared(of.changes)), edits(prepared(of.edits)) {}
  const Effects& effects;
  SearchedText bare;   ///< the command's text without the assignments in front of it
  SearchedText whole;  ///< with them
  List reads;
  List writes;
  List deletes;
  List changes;
  List edits;

  /// Of comparing each path with the patterns of all rules.
  [[nodiscard]] std::uint64_t cost() const {
    std::uint64_t sum = 0;
    for (const List* list : {&reads, &writes, &deletes, &changes, &edits}) {
      for (const Path& path : *list) sum += 150 + 20 * static_cast<std::uint64_t>(1 + std::count(path.whole.text.begin(), path.whole.text.end(), '/')) + (has_marks(path.whole.text) ? 3000 + 40 * path.whole.text.size() : 0);
    }
    return sum;
  }

 private:
  static bool has_marks(std::string_view path) { return has_glob(path) || has_hole(path); }
  static List prepared(const std::vector<std::string>& paths) {
    List out;
    out.reserve(paths.size());
    for (const std::string& path : paths) {
      if (path.empty()) continue;
      Path made{PathText(path), {}, std::nullopt, std::nullopt};
      if (path.size() > 2 && path.back() == k_star && path[path.size() - 2] == '/') made.folder.emplace(std::string_view(path).substr(0, path.size() - 2));
      out.push_back(std::move(made));
    }
    for (Path& path : out) {
      if (!has_glob(path.whole.text) || has_hole(path.whole.text)) continue;
      path.literal_text = std::string(path.whole.text);
      for (char& c : path.literal_text) {
        if (c == k_star || c == k_any || c == k_class) c = '\x7f';
      }
      path.literal.emplace(path.literal_text);
    }
    return out;
  }
};

namespace {

/// Is one of "a|b|c" so?
template <typename Test>
bool any_alternative(std::string_view text, const Test& test) {
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find('|', at), text.size());
    if (test(text.substr(at, end - at))) return true;
    at = end + 1;
  }
  return false;
}

/// `-r` is in `-rf`; `--force` is in `--force=yes`; `-delete` is a word of its own.
bool has_flag(const Command& command, std::string_view flag) {
  for (std::size_t i = 1; i < command.argv.size(); ++i) {
    const std::string& word = command.argv[i];
    if (word.size() < 2 || (word[0] != '-' && word[0] != '+')) {
      if (word == flag) return true;
      continue;
    }
    if (word == "--") return false;
    if (word == flag) return true;
    if (flag.size() == 2 && flag[0] == '-' && word[0] == '-' && word[1] != '-' && word.size() < 12 && word.find(flag[1], 1) != std::string::npos) {
      // a cluster of letters, perhaps with a value behind
      const std::size_t at = word.find(flag[1], 1);
      const bool letters = std::all_of(word.begin() + 1, word.begin() + static_cast<std::ptrdiff_t>(at), [](char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; });
      if (letters) return true;
    }
    if (flag.starts_with("--") && word.starts_with(flag) && word.size() > flag.size() && word[flag.size()] == '=') return true;
    // abbreviations of long options: --recurs
    if (flag.size() > 6 && flag.starts_with("--") && word.size() > 5 && word.size() < flag.size() && flag.starts_with(word)) return true;
  }
  return false;
}

/// ~/.ssh/id_* names keys whatever it matches: that some of them may be exceptions does not excuse it. err.* names one by accident only.
bool one_path(const Paths& patterns, const Paths& except, const PathText& path, const PathText& literal) {
  const auto any = [](const Paths& all, const PathText& of) { return std::any_of(all.begin(), all.end(), [&](const PathPattern& p) { return p.may_match(of); }); };
  if (!any(patterns, path)) return false;
  return &literal != &path && any(patterns, literal) ? !any(except, literal) : !any(except, path);
}

bool any_path(const Paths& patterns, const Paths& except, const PreparedEffects::List& paths) {
  return std::any_of(paths.begin(), paths.end(), [&](const PreparedEffects::Path& path) { 
    return one_path(patterns, except, path.whole, path.literal ? *path.literal : path.whole) || (path.folder && one_path(patterns, except, *path.folder, path.literal ? *path.literal : *path.folder));
  });
}

bool is_loopback(std::string_view host) {
  return host.empty() || host == "localhost" || host.starts_with("127.") || host == "::1" || host == "[::1]" || host.starts_with('/') || host == "0.0.0.0" || host.starts_with("localhost:") || host == "ip6-localhost";
}

/// host:path or user@host, and not C:\ or a URL of this machine.
bool is_remote(std::string_view word) {
  if (word.starts_with('/') || word.starts_with("./") || word.starts_with('-')) return false;
  const std::size_t scheme = word.find("://");
  if (scheme != std::string_view::npos) {
    std::string_view host = word.substr(scheme + 3);
    host = host.substr(0, host.find_first_of("/?"));
    if (const std::size_t at = host.rfind('@'); at != std::string_view::npos) host.remove_prefix(at + 1);
    return word.substr(0, scheme) != "file" && !is_loopback(host.substr(0, host.find(':')));
  }
  const std::size_t colon = word.find(':');
  const std::size_t slash = word.find('/');
  if (colon != std::string_view::npos && colon > 0 && (slash == std::string_view::npos || colon < slash)) return true;
  return word.find('@') != std::string_view::npos && slash == std::string_view::npos;
}

bool names_other_host(const Command& command) {
  for (std::size_t i = 1; i < command.argv.size(); ++i) {
    const std::string& word = command.argv[i];
    std::string_view host;
    if ((word == "-h" || word == "--host" || word == "-H" || word == "-host") && i + 1 < command.argv.size()) host = command.argv[i + 1];
    else if (word.starts_with("--host=")) host = std::string_view(word).substr(7);
    else if (word.starts_with("-h") && word.size() > 2 && word[1] == 'h' && word[2] != 'e') host = std::string_view(word).substr(2);
    else if (word.find("://") != std::string::npos) {
      if (is_remote(word)) return true;
      continue;
    } else continue;
    if (!is_loopback(host)) return true;
  }
  return false;
}

bool words_match(const std::vector<std::string>& wanted, const Effects& effects) {
  std::size_t from = 0;
  for (std::size_t n = 0; n < wanted.size(); ++n) {
    bool found = false;
    for (std::size_t i = from; i < effects.operands.size(); ++i) {
      // The subcommand is the first operand, but an option in front may have taken a value that looks like one.
      if (n == 0 && i > effects.options_before[i]) break;
      const std::string word = plain(effects.operands[i]);
      if (any_alternative(wanted[n], [&](std::string_view o) { return o.find('*') == std::string_view::npos ? o == word : wildcard_match(o, word, true); })) {
        found = true;
        from = i + 1;
        break;
      }
    }
    if (!found) return false;
  }
  return true;
}

std::uint64_t fnv(std::span<const std::byte> bytes, std::uint64_t hash) {
  for (const std::byte b : bytes) {
    hash ^= static_cast<std::uint64_t>(b);
    hash *= 1099511628211ULL;
  }
  return hash;
}

}  // namespace

std::string normalised(const Command& command) {
  std::string out;
  for (const auto& [name, value] : command.assignments) out += name + "=" + shown(value) + " ";
  for (std::size_t i = 0; i < command.argv.size(); ++i) {
    const std::string word = shown(i == 0 ? program_name(command.argv[0]) : std::string_view(command.argv[i]));
    if (i > 0) out.push_back(' ');
    if (i > 0 && (word.empty() || word.find_first_of(" \t\n") != std::string::npos) && command.argv[0] != "sql" && command.argv[0] != "mongo-code") {
      out += "'" + word + "'";
    } else {
      out += word;
    }
  }
  for (const Redirect& r : command.redirects) out += " " + r.op + shown(r.target);
  if (out.size() > 4096) out.resize(4096);
  return out;
}

RuleSet::Impl::Impl(RuleDocument made) : document(std::move(made)) {
  const std::vector<std::byte> bytes = encode(document);
  char text[17];
  static constexpr std::string_view k_digits = "0123456789abcdef";
  std::uint64_t hash = fnv(bytes, 14695981039346656037ULL);
  for (int i = 15; i >= 0; --i, hash >>= 4) text[i] = k_digits[hash & 15U];
  id.assign(text, 16);
  compiled_ = std::make_unique<CompiledRule[]>(document.rules.size());
  for (std::size_t i = 0; i < document.rules.size(); ++i) {
    const Rule& rule = document.rules[i];
    CompiledRule& compiled = compiled_[i];
    compiled.reads = taken_apart(rule.reads);
    compiled.writes = taken_apart(rule.writes);
    compiled.deletes = taken_apart(rule.deletes);
    compiled.changes = taken_apart(rule.changes);
    compiled.edits = taken_apart(rule.edits);
    compiled.except = taken_apart(rule.except, Meeting::loose);
    const auto index = static_cast<std::uint32_t>(i);
    if (rule.programs.empty()) any_program_.push_back(index);
    for (const std::string& program : rule.programs) {
      const std::size_t star = program.find_first_of("*?[");
      if (program.find('*') == std::string::npos) by_program_[program].push_back(index);
      else by_wildcard_.push_back(ByWildcard{program, star, index});
    }
  }
  is_empty = document.rules.empty() && document.denied.empty() && !document.allow_list_only &&
             std::all_of(document.opaque.begin(), document.opaque.end(), [](Verdict v) { return v == Verdict::allow; });
}

RuleSet::Impl::~Impl() = default;

bool RuleSet::Impl::judge(const Command& command, const SimpleCommand& shown_command, std::vector<Finding>& findings, std::uint64_t& budget) const {
  const std::string name = command.argv.empty() ? std::string() : shown(program_name(command.argv[0]));
  std::vector<std::uint32_t> candidates;
  if (!command.argv.empty() && has_glob(program_name(command.argv[0]))) {
    // /bin/r?: every program that it may name
    const PathText wanted(program_name(command.argv[0]));
    for (const auto& [program, rules] : by_program_) {
      if (PathPattern(program).may_match(wanted)) candidates.insert(candidates.end(), rules.begin(), rules.end());
    }
  } else if (const auto found = by_program_.find(name); found != by_program_.end()) {
    candidates = found->second;
  }
  const std::size_t named = candidates.size();
  for (const ByWildcard& one : by_wildcard_) {
    if (candidates.size() > named && candidates.back() == one.rule) continue;
    if (name.compare(0, one.star, one.program, 0, one.star) == 0 && wildcard_match(one.program, name, true)) candidates.push_back(one.rule);
  }
  candidates.insert(candidates.end(), any_program_.begin(), any_program_.end());
  if (candidates.empty() && document.denied.empty()) return true;

  const Effects effects = effects_of(command);
  std::string bare;
  if (!command.assignments.empty() && !command.argv.empty()) {
    Command without = command;
    without.assignments.clear();
    bare = normalised(without);
  }
  const PreparedEffects prepared(effects, bare.empty() ? std::string_view(shown_command.text) : std::string_view(bare), shown_command.text);
  const std::uint64_t cost = 400 + candidates.size() * (4 + command.argv.size() / 2) + shown_command.text.size() / 4 + prepared.cost();
  if (cost > budget) {
    budget = 0;
    return false;
  }
  budget -= cost;
  for (const std::uint32_t index : candidates) judge_rule(index, command, prepared, shown_command, findings);
  for (const std::string& denied : document.denied) {
    if (!wildcard_match(denied, shown_command.text, true)) continue;
    findings.push_back(Finding{Verdict::deny, "deny-list", shown_command.text, "the policy denies `" + denied + "`", "Ask an administrator if you need it.", "SP-9001", shown_command.confidence, Opaque::none});
  }
  return true;
}

void RuleSet::Impl::judge_rule(std::size_t index, const Command& command, const PreparedEffects& prepared, const SimpleCommand& shown_command, std::vector<Finding>& findings) const {
  const Rule& rule = document.rules[index];
  const CompiledRule& compiled = compiled_[index];
  const Effects& effects = prepared.effects;
  for (const std::string& flag : rule.flags) {
    if (!any_alternative(flag, [&](std::string_view o) { return has_flag(command, o); })) return;
  }
  for (const std::string& flag : rule.without) {
    if (has_flag(command, flag)) return;
  }
  if (!rule.words.empty() && !words_match(rule.words, effects)) return;
  if (!rule.reads.empty() && !any_path(compiled.reads, compiled.except, prepared.reads)) return;
  if (!rule.writes.empty() && !any_path(compiled.writes, compiled.except, prepared.writes)) return;
  if (!rule.deletes.empty() && !any_path(compiled.deletes, compiled.except, prepared.deletes)) return;
  if (!rule.changes.empty() && !any_path(compiled.changes, compiled.except, prepared.changes)) return;
  if (!rule.edits.empty() && !any_path(compiled.edits, compiled.except, prepared.edits)) return;
  if (rule.remote_operand && std::none_of(effects.operands.begin(), effects.operands.end(), [](const std::string& w) { return is_remote(w); })) return;
  if (rule.remote_host && !names_other_host(command)) return;
  if (rule.no_operands && !effects.operands.empty()) return;
  if (!rule.env.empty()) {
    bool found = false;
    const auto check = [&](std::string_view variable, std::string_view value) {
      const bool named = std::any_of(rule.env.begin(), rule.env.end(), [&](const std::string& n) { return n.find('*') == std::string::npos ? n == variable : wildcard_match(n, variable, true); });
      if (!named) return;
      if (rule.env_value.empty() || compiled.env_value.matches(rule.env_value, SearchedText(value), true)) found = true;
    };
    for (const auto& [variable, value] : command.assignments) check(variable, shown(value));
    // export X=1, env X=1, sudo X=1, unset X
    for (std::size_t i = 1; i < command.argv.size(); ++i) {
      const std::string& word = command.argv[i];
      const std::size_t equals = word.find('=');
      if (equals != std::string::npos && equals > 0) check(std::string_view(word).substr(0, equals), shown(std::string_view(word).substr(equals + 1)));
      else if (equals == std::string::npos && (command.argv[0] == "unset" || command.argv[0] == "export" || command.argv[0] == "readonly")) check(word, "");
    }
    if (!found) return;
  }
  // Last, as it costs most.
  // A=1 in front hides no command from a rule, and A=--help excuses none.
  const bool has_assignments = prepared.bare.text.size() != shown_command.text.size();
  if (!rule.pattern.empty() && !compiled.pattern.matches(rule.pattern, prepared.bare, true) && !(has_assignments && compiled.pattern.matches(rule.pattern, prepared.whole, true))) return;
  if (!rule.unless.empty() && compiled.unless.matches(rule.unless, rule.env.empty() ? prepared.bare : prepared.whole, false)) return;
  Finding made;
  made.verdict = rule.verdict;
  made.rule = rule.id;
  made.matched = shown_command.text;
  made.reason = rule.reason;
  made.remedy = rule.remedy;
  made.confidence = shown_command.confidence;
  findings.push_back(std::move(made));
}

}  // namespace sallyport::guard
