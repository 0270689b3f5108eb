#include "policy/guard/guard.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "policy/guard/dialects.h"
#include "policy/guard/effects.h"
#include "policy/guard/matching.h"
#include "policy/guard/syntax.h"
#include "policy/guard/walk.h"
#include "policy/guard/wildcard.h"

namespace sallyport::guard {
namespace {

constexpr std::size_t k_longest_text = 64 * 1024;
constexpr std::uint64_t k_judging_budget = 240'000;  // about 2 ms
constexpr std::array<std::string_view, 6> k_verdicts{"allow", "alert", "confirm", "approve", "deny", "kill"};
constexpr std::array<std::string_view, k_opaque_kinds> k_opaque_names{"none", "hidden-command", "unseen-input", "unseen-code", "unseen-file", "nested-shell", "history", "unreadable"};

std::string_view code_of(const Finding& finding) {
  if (finding.rule == "allow-list") return "SP-9005";
  if (finding.opaque != Opaque::none) return "SP-9004";
  switch (finding.verdict) {
    case Verdict::confirm: return "SP-9002";
    case Verdict::approve: return "SP-9003";
    case Verdict::kill: return "SP-9006";
    default: return "SP-9001";
  }
}

std::string_view name_of(Input::Kind kind) {
  switch (kind) {
    case Input::Kind::terminal: return "terminal";
    case Input::Kind::channel: return "channel";
    case Input::Kind::pipe: return "pipe";
    case Input::Kind::here_document: return "here-document";
    case Input::Kind::file: return "file";
    case Input::Kind::nothing: return "nothing";
  }
  return "terminal";
}

SimpleCommand shown_form(const Command& command) {
  SimpleCommand out;
  out.text = normalised(command);
  bool hole = false;
  for (const std::string& word : command.argv) {
    hole = hole || has_hole(word);
    out.argv.push_back(shown(word));
  }
  for (const auto& [name, value] : command.assignments) out.assignments.push_back(name + "=" + shown(value));
  for (const Redirect& r : command.redirects) out.redirects.push_back(Redirect{r.fd, r.op, shown(r.target)});
  out.stdin_of = name_of(command.input.kind);
  out.nesting = command.nesting;
  out.confidence = hole && !command.argv.empty() && has_hole(command.argv[0]) ? Confidence::opaque : command.is_resolved ? Confidence::resolved : Confidence::exact;
  return out;
}

/// In allow-list mode: what the text uses of the shell that is not permitted.
std::optional<Feature> forbidden_feature(const Walk& walk, std::string_view text, std::uint8_t permitted) {
  const auto is_permitted = [&](Feature f) { return (permitted & (1U << static_cast<unsigned>(f))) != 0; };
  std::uint64_t budget = 200'000;
  const Script script = parse_script(text, budget);
  for (const Node& node : script.nodes) {
    switch (node.kind) {
      case NodeKind::sequence:
        if (node.children.size() > 1 && !is_permitted(Feature::list)) return Feature::list;
        break;
      case NodeKind::pipeline:
        if (!is_permitted(Feature::pipe)) return Feature::pipe;
        break;
      case NodeKind::simple:
        if (!node.redirects.empty() && !is_permitted(Feature::redirect)) return Feature::redirect;
        if ((!node.assignments.empty()) && !is_permitted(Feature::expansion)) return Feature::expansion;
        for (const std::string_view word : node.words) {
          if (word.find_first_of("$`\\{~*?[") != std::string_view::npos && !is_permitted(Feature::expansion)) return Feature::expansion;
          if ((word.starts_with("<(") || word.starts_with(">(")) && !is_permitted(Feature::expansion)) return Feature::expansion;
        }
        break;
      default:
        if (!is_permitted(Feature::compound)) return Feature::compound;
    }
  }
  if (std::any_of(walk.commands.begin(), walk.commands.end(), [](const Command& c) { return c.is_assignment && !c.assignments.empty(); }) && !is_permitted(Feature::expansion)) return Feature::expansion;
  return std::nullopt;
}

}  // namespace

std::string_view name_of(Verdict verdict) noexcept { return k_verdicts[static_cast<std::size_t>(verdict)]; }
std::optional<Verdict> parse_verdict(std::string_view text) noexcept {
  const auto found = std::find(k_verdicts.begin(), k_verdicts.end(), text);
  if (found == k_verdicts.end()) return std::nullopt;
  return static_cast<Verdict>(found - k_verdicts.begin());
}
std::string_view name_of(Confidence confidence) noexcept {
  return confidence == Confidence::exact ? "exact" : confidence == Confidence::resolved ? "resolved" : "opaque";
}
std::string_view name_of(Opaque kind) noexcept { return k_opaque_names[static_cast<std::size_t>(kind)]; }
std::optional<Opaque> parse_opaque(std::string_view text) noexcept {
  const auto found = std::find(k_opaque_names.begin(), k_opaque_names.end(), text);
  if (found == k_opaque_names.end()) return std::nullopt;
  return static_cast<Opaque>(found - k_opaque_names.begin());
}
std::string_view name_of(Dialect dialect) noexcept {
  switch (dialect) {
    case Dialect::shell: return "shell";
    case Dialect::psql: return "psql";
    case Dialect::mysql: return "mysql";
    case Dialect::redis: return "redis";
    case Dialect::python: return "python";
    case Dialect::other: return "other";
  }
  return "other";
}

RuleSet::RuleSet(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RuleSet::~RuleSet() = default;
const std::string& RuleSet::id() const noexcept { return impl_->id; }
bool RuleSet::is_empty() const noexcept { return impl_->is_empty; }
bool RuleSet::wants_marks() const noexcept { return impl_->document.marks; }
Verdict RuleSet::opaque_verdict(Opaque kind) const noexcept { return impl_->document.opaque[static_cast<std::size_t>(kind)]; }

Result<std::shared_ptr<const RuleSet>> RuleSet::from_bytes(std::span<const std::byte> bytes) {
  auto document = decode(bytes);
  if (!document) return tl::unexpected(document.error());
  return std::make_shared<const RuleSet>(std::make_unique<Impl>(*std::move(document)));
}

std::shared_ptr<const RuleSet> RuleSet::none() {
  static const auto k_none = std::make_shared<const RuleSet>(std::make_unique<Impl>(RuleDocument{}));
  return k_none;
}

Guard::Guard(std::shared_ptr<const RuleSet> rules, ShellState initial) : rules_(rules ? std::move(rules) : RuleSet::none()), state_(std::move(initial)) {}
Guard::Guard(Guard&&) noexcept = default;
Guard& Guard::operator=(Guard&&) noexcept = default;
Guard::~Guard() = default;
void Guard::set_rules(std::shared_ptr<const RuleSet> rules) { rules_ = rules ? std::move(rules) : RuleSet::none(); }

Judgement Guard::judge(std::string_view text, Dialect dialect, Origin origin) const {
  try {
    return judge_inside(text, dialect, origin);
  } catch (const std::exception&) {
    // A fault of ours must not let a line pass.
    Judgement out;
    Finding made;
    made.verdict = Verdict::deny;
    made.rule = "opaque/unreadable";
    made.matched = std::string(text.substr(0, 80));
    made.reason = "the guard failed on this text";
    made.code = "SP-9004";
    made.confidence = Confidence::opaque;
    made.opaque = Opaque::unreadable;
    out.verdict = made.verdict;
    out.findings.push_back(std::move(made));
    return out;
  }
}

Judgement Guard::judge_inside(std::string_view text, Dialect dialect, Origin origin) const {
  Judgement out;
  const RuleSet::Impl& rules = rules_->impl();
  if (rules.is_empty) return out;
  const auto opaque = [&](Opaque kind, std::string reason, std::string matched) {
    Finding made;
    made.verdict = rules.document.allow_list_only ? Verdict::deny : rules.document.opaque[static_cast<std::size_t>(kind)];
    made.rule = "opaque/" + std::string(name_of(kind));
    made.matched = std::move(matched);
    made.reason = std::move(reason);
    made.remedy = "Write the command out, so that it can be read.";
    made.confidence = Confidence::opaque;
    made.opaque = kind;
    out.findings.push_back(std::move(made));
  };
  if (text.size() > k_longest_text) {
    opaque(Opaque::unreadable, "this is longer than 64 KiB", std::string(text.substr(0, 80)));
  } else {
    Walk walk(state_, origin);
    if (dialect == Dialect::shell) {
      walk.run(text);
    } else {
      const bool goes_on = dialect == Dialect::python && !python_.empty() && !text.starts_with('!') && !text.starts_with('%');
      walk_prompt(walk, goes_on ? python_ + std::string(text) : std::string(text), dialect);
    }
    out.incomplete = walk.is_incomplete;
    out.enters = walk.enters;
    std::uint64_t budget = k_judging_budget;
    for (const Command& command : walk.commands) {
      SimpleCommand form = shown_form(command);
      if (!rules.judge(command, form, out.findings, budget)) {
        opaque(Opaque::unreadable, "this takes too long to judge", form.text.substr(0, 200));
        break;
      }
      if (rules.document.allow_list_only && !command.argv.empty()) {
        const bool listed = std::any_of(rules.document.allowed.begin(), rules.document.allowed.end(), [&](const std::string& pattern) { return wildcard_match(pattern, form.text, true); });
        if (!listed) out.findings.push_back(Finding{Verdict::deny, "allow-list", form.text, "only listed commands are permitted here", "Ask an administrator to list it.", "SP-9005", form.confidence, Opaque::none});
      }
      out.commands.push_back(std::move(form));
    }
    for (const OpaqueNote& note : walk.notes) opaque(note.kind, note.reason, note.text);
    if (rules.document.allow_list_only && dialect == Dialect::shell) {
      if (const auto feature = forbidden_feature(walk, text, rules.document.features)) {
        out.findings.push_back(Finding{Verdict::deny, "allow-list", std::string(text.substr(0, 200)), "this feature of the shell is not permitted here: " + std::string(name_of(*feature)), "Give one plain command.", "SP-9005", Confidence::exact, Opaque::none});
      }
    }
  }
  std::erase_if(out.findings, [](const Finding& f) { return f.verdict == Verdict::allow; });
  std::stable_sort(out.findings.begin(), out.findings.end(), [](const Finding& a, const Finding& b) { return a.verdict > b.verdict; });
  for (Finding& finding : out.findings) finding.code = code_of(finding);
  if (!out.findings.empty()) out.verdict = out.findings.front().verdict;
  return out;
}

void Guard::remember_python(std::string_view text) {
  constexpr std::size_t k_most = 4096;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    at = end + 1;
    const std::size_t equals = line.find('=');
    const bool assigns = equals != std::string_view::npos && is_name(line.substr(0, std::min(line.find_last_not_of(" \t", equals - std::min<std::size_t>(equals, 1)) + 1, equals)));
    if (!line.starts_with("import ") && !line.starts_with("from ") && !assigns) continue;
    // What was let pass with a note would be noted again with every line to come.
    if (line.size() > k_most / 4 || judge(line, Dialect::python).verdict != Verdict::allow) continue;
    while (python_.size() + line.size() >= k_most) python_.erase(0, python_.find('\n') + 1);
    python_ += std::string(line) + "\n";
  }
}

void Guard::ran(std::string_view text, Dialect dialect) {
  if (dialect == Dialect::python && text.size() <= k_longest_text) return remember_python(text);
  if (dialect != Dialect::shell || text.size() > k_longest_text) return;
  try {
    Walk walk(state_, Origin::script);
    walk.run(text);
    walk.apply_to(state_);
    std::vector<std::string> written = walk.written_files();
    // What an editor or a program has in its hands is not what it was.
    std::vector<std::string> edited;
    if (!state_.files.empty()) {
      for (const Command& command : walk.commands) {
        const Effects effects = effects_of(command);
        for (const std::vector<std::string>* list : {&effects.edits, &effects.writes, &effects.deletes}) {
          for (const std::string& path : *list) {
            const KnownFile* known = walk.find_file(path);
            if (known == nullptr || std::find(written.begin(), written.end(), walk.key_of_file(path)) != written.end()) continue;
            edited.push_back(walk.key_of_file(path));
          }
        }
      }
    }
    for (const std::string& path : edited) {
      KnownFile& file = state_.files[path];
      file = KnownFile{};
    }
    written.insert(written.end(), edited.begin(), edited.end());
    for (const std::string& path : written) {
      if (written_.size() < 64 && std::find(written_.begin(), written_.end(), path) == written_.end()) written_.push_back(path);
    }
  } catch (const std::exception&) {
    state_.cwd.clear();  // what is not known any more must not be relied on
    state_.variables.clear();
  }
}

std::vector<std::pair<std::string, std::optional<std::string>>> Guard::take_written() {
  std::vector<std::pair<std::string, std::optional<std::string>>> out;
  for (const std::string& path : std::exchange(written_, {})) {
    const auto found = state_.files.find(path);
    if (found == state_.files.end() || path.starts_with("/dev/") || path.starts_with("/proc/")) continue;
    const KnownFile& file = found->second;
    const bool is_known = file.is_content_known && file.program.empty() && !has_hole(file.content);
    out.emplace_back(path, is_known ? std::optional(plain(file.content)) : std::nullopt);
  }
  return out;
}

void Guard::file_written(std::string_view path, std::string_view sha256, std::optional<std::string_view> content) {
  constexpr std::size_t k_most_files = 512;
  if (state_.files.size() >= k_most_files && state_.files.find(path) == state_.files.end()) return;
  KnownFile file;
  file.sha256 = sha256;
  if (content && content->size() <= k_longest_text) {
    file.content = sanitise(*content);
    file.is_content_known = true;
  }
  const std::string key = path.starts_with('/') || state_.cwd.empty() ? clean_path(path) : clean_path(state_.cwd + "/" + std::string(path));
  state_.files[key] = std::move(file);
}

}  // namespace sallyport::guard
