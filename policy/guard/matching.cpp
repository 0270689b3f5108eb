#include "policy/guard/matching.h"

#include <re2/re2.h>
#include <re2/set.h>

#include <algorithm>

#include "policy/guard/wildcard.h"

namespace sallyport::guard {

/// All patterns of a rule set. Set member -> (rule, which of its patterns).
struct PatternSets {
  std::unique_ptr<re2::RE2::Set> set;
  std::vector<std::size_t> slots;                   ///< set index -> slot
  std::vector<std::unique_ptr<re2::RE2>> one_by_one;  ///< by slot; for the case that the set runs out of memory
  std::size_t count = 0;
  std::vector<std::unique_ptr<re2::RE2>> values;    ///< env_value by rule
};

namespace {

constexpr std::int64_t k_pattern_memory = 8 << 20;

re2::StringPiece piece(std::string_view text) { return re2::StringPiece(text.data(), text.size()); }

re2::RE2::Options pattern_options() {
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(k_pattern_memory);
  options.set_dot_nl(true);
  return options;
}

std::vector<std::string_view> alternatives(std::string_view text) {
  std::vector<std::string_view> out;
  std::size_t at = 0;
  while (at <= text.size()) {
    const std::size_t end = std::min(text.find('|', at), text.size());
    out.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return out;
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

bool one_path(const std::vector<std::string>& patterns, const std::vector<std::string>& except, std::string_view path) {
  if (path.empty()) return false;
  if (std::any_of(except.begin(), except.end(), [&](const std::string& p) { return path_may_match(p, path); })) return false;
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& p) { return path_may_match(p, path); });
}

bool any_path(const std::vector<std::string>& patterns, const std::vector<std::string>& except, const std::vector<std::string>& paths) {
  return std::any_of(paths.begin(), paths.end(), [&](const std::string& path) {
    if (one_path(patterns, except, path)) return true;
    // ~/.ssh/* is what stands in ~/.ssh.
    const bool names_content = path.size() > 2 && path.back() == k_star && path[path.size() - 2] == '/';
    return names_content && one_path(patterns, except, std::string_view(path).substr(0, path.size() - 2));
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
    const auto options = alternatives(wanted[n]);
    bool found = false;
    for (std::size_t i = from; i < effects.operands.size(); ++i) {
      // The subcommand is the first operand, but an option in front may have taken a value that looks like one.
      if (n == 0 && i > effects.options_before[i]) break;
      const std::string word = plain(effects.operands[i]);
      if (std::any_of(options.begin(), options.end(), [&](std::string_view o) { return o.find('*') == std::string_view::npos ? o == word : wildcard_match(o, word, true); })) {
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
  for (std::size_t i = 0; i < document.rules.size(); ++i) {
    const Rule& rule = document.rules[i];
    const auto index = static_cast<std::uint32_t>(i);
    if (rule.programs.empty()) any_program_.push_back(index);
    bool has_wildcard = false;
    for (const std::string& program : rule.programs) {
      if (program.find('*') != std::string::npos) has_wildcard = true;
      else by_program_[program].push_back(index);
    }
    if (has_wildcard) by_wildcard_.push_back(index);
  }
  is_empty = document.rules.empty() && document.denied.empty() && !document.allow_list_only &&
             std::all_of(document.opaque.begin(), document.opaque.end(), [](Verdict v) { return v == Verdict::allow; });
}

RuleSet::Impl::~Impl() = default;

const PatternSets& RuleSet::Impl::patterns() const {
  std::call_once(compiled_, [&] {
    auto made = std::make_unique<PatternSets>();
    const re2::RE2::Options options = pattern_options();
    made->set = std::make_unique<re2::RE2::Set>(options, re2::RE2::UNANCHORED);
    made->count = document.rules.size() * 2;
    made->one_by_one.resize(made->count);
    made->values.resize(document.rules.size());
    bool any = false;
    for (std::size_t i = 0; i < document.rules.size(); ++i) {
      const Rule& rule = document.rules[i];
      for (std::size_t which = 0; which < 2; ++which) {
        const std::string& pattern = which == 0 ? rule.pattern : rule.unless;
        if (pattern.empty()) continue;
        if (made->set->Add(piece(pattern), nullptr) >= 0) {
          made->slots.push_back(i * 2 + which);
          any = true;
        }
      }
      if (!rule.env_value.empty()) made->values[i] = std::make_unique<re2::RE2>(piece(rule.env_value), options);
    }
    if (!any || !made->set->Compile()) made->set.reset();
    patterns_ = std::move(made);
  });
  return *patterns_;
}

void RuleSet::Impl::judge(const Command& command, const SimpleCommand& shown_command, std::vector<Finding>& findings) const {
  const std::string name = command.argv.empty() ? std::string() : shown(program_name(command.argv[0]));
  std::vector<std::uint32_t> candidates;
  if (!command.argv.empty() && has_glob(program_name(command.argv[0]))) {
    // /bin/r?: every program that it may name
    for (const auto& [program, rules] : by_program_) {
      if (path_may_match(program, program_name(command.argv[0]))) candidates.insert(candidates.end(), rules.begin(), rules.end());
    }
  } else if (const auto found = by_program_.find(name); found != by_program_.end()) {
    candidates = found->second;
  }
  for (const std::uint32_t index : by_wildcard_) {
    const Rule& rule = document.rules[index];
    if (std::any_of(rule.programs.begin(), rule.programs.end(), [&](const std::string& p) { return p.find('*') != std::string::npos && wildcard_match(p, name, true); })) candidates.push_back(index);
  }
  candidates.insert(candidates.end(), any_program_.begin(), any_program_.end());
  if (candidates.empty() && document.denied.empty()) return;

  std::vector<bool> matched(document.rules.size() * 2, false);
  const bool needs_patterns = std::any_of(candidates.begin(), candidates.end(), [&](std::uint32_t i) { return !document.rules[i].pattern.empty() || !document.rules[i].unless.empty(); });
  if (needs_patterns) {
    const PatternSets& all = patterns();
    std::vector<int> hits;
    re2::RE2::Set::ErrorInfo problem{re2::RE2::Set::kNoError};
    if (all.set) {
      (void)all.set->Match(piece(shown_command.text), &hits, &problem);
      for (const int hit : hits) matched[all.slots[static_cast<std::size_t>(hit)]] = true;
      if (problem.kind == re2::RE2::Set::kOutOfMemory) {
        // A text made to exhaust the set's memory is matched pattern by pattern.
        for (const std::uint32_t index : candidates) {
          const Rule& rule = document.rules[index];
          if (!rule.pattern.empty()) matched[index * 2] = re2::RE2::PartialMatch(piece(shown_command.text), re2::RE2(piece(rule.pattern), pattern_options()));
          if (!rule.unless.empty()) matched[index * 2 + 1] = re2::RE2::PartialMatch(piece(shown_command.text), re2::RE2(piece(rule.unless), pattern_options()));
        }
      }
    }
  }
  const Effects effects = effects_of(command);
  for (const std::uint32_t index : candidates) judge_rule(index, command, effects, shown_command, name, matched, findings);
  for (const std::string& denied : document.denied) {
    if (!wildcard_match(denied, shown_command.text, true)) continue;
    findings.push_back(Finding{Verdict::deny, "deny-list", shown_command.text, "the policy denies `" + denied + "`", "Ask an administrator if you need it.", "SP-9001", shown_command.confidence, Opaque::none});
  }
}

void RuleSet::Impl::judge_rule(std::size_t index, const Command& command, const Effects& effects, const SimpleCommand& shown_command, std::string_view, const std::vector<bool>& matched, std::vector<Finding>& findings) const {
  const Rule& rule = document.rules[index];
  if (!rule.pattern.empty() && !matched[index * 2]) return;
  if (!rule.unless.empty() && matched[index * 2 + 1]) return;
  for (const std::string& flag : rule.flags) {
    const auto options = alternatives(flag);
    if (std::none_of(options.begin(), options.end(), [&](std::string_view o) { return has_flag(command, o); })) return;
  }
  for (const std::string& flag : rule.without) {
    if (has_flag(command, flag)) return;
  }
  if (!rule.words.empty() && !words_match(rule.words, effects)) return;
  if (!rule.reads.empty() && !any_path(rule.reads, rule.except, effects.reads)) return;
  if (!rule.writes.empty() && !any_path(rule.writes, rule.except, effects.writes)) return;
  if (!rule.deletes.empty() && !any_path(rule.deletes, rule.except, effects.deletes)) return;
  if (!rule.changes.empty() && !any_path(rule.changes, rule.except, effects.changes)) return;
  if (!rule.edits.empty() && !any_path(rule.edits, rule.except, effects.edits)) return;
  if (rule.remote_operand && std::none_of(effects.operands.begin(), effects.operands.end(), [](const std::string& w) { return is_remote(w); })) return;
  if (rule.remote_host && !names_other_host(command)) return;
  if (rule.no_operands && !effects.operands.empty()) return;
  if (!rule.env.empty()) {
    bool found = false;
    const auto check = [&](std::string_view variable, std::string_view value) {
      const bool named = std::any_of(rule.env.begin(), rule.env.end(), [&](const std::string& n) { return n.find('*') == std::string::npos ? n == variable : wildcard_match(n, variable, true); });
      if (!named) return;
      if (rule.env_value.empty() || re2::RE2::PartialMatch(piece(value), *patterns().values[index])) found = true;
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
