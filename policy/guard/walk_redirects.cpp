// What redirections and assignments do to the state and to a command's input.
#include <algorithm>

#include "policy/guard/walk.h"
#include "policy/guard/wildcard.h"

namespace sallyport::guard {

void Walk::take_redirects(const Node& node, Input& input, std::vector<Redirect>& redirects) {
  for (const RedirectNode& r : node.redirects) {
    const int fd = r.fd;
    const auto feed = [&](Input::Kind kind, std::optional<std::string> text) {
      if (fd > 0) {  // another descriptor: readable under its name
        KnownFile file;
        file.content = text.value_or(std::string(1, k_hole));
        file.is_content_known = true;
        overlay_.files["/dev/fd/" + std::to_string(fd)] = std::move(file);
        return;
      }
      input = Input{};
      input.kind = kind;
      input.text = std::move(text);
    };
    if (r.op == RedirectOp::here_document) {
      std::string body(r.body);
      if (r.strips_tabs) {
        std::string flat;
        bool at_start = true;
        for (const char c : body) {
          if (at_start && c == '\t') continue;
          at_start = c == '\n';
          flat.push_back(c);
        }
        body = std::move(flat);
      }
      feed(Input::Kind::here_document, r.is_literal ? body : expand_here_document(body));
      continue;
    }
    std::string target = expand_string(r.target);
    if (r.op == RedirectOp::here_string) {
      feed(Input::Kind::here_document, target + "\n");
      continue;
    }
    Redirect made;
    made.target = target;
    switch (r.op) {
      case RedirectOp::read:
      case RedirectOp::read_write: {
        made.fd = fd < 0 ? 0 : fd;
        made.op = r.op == RedirectOp::read ? "<" : "<>";
        if (target == "/dev/null") {
          feed(Input::Kind::nothing, "");
        } else if (target != "/dev/stdin" && target != "/dev/tty" && !(target == "/dev/fd/0")) {
          const KnownFile* file = find_file(target);
          feed(Input::Kind::file, file != nullptr && file->is_content_known ? std::optional(file->content) : std::nullopt);
          input.producer = target;
        }
        break;
      }
      case RedirectOp::duplicate_in:
      case RedirectOp::duplicate_out: {
        const bool is_number = !target.empty() && std::all_of(target.begin(), target.end(), [](char c) { return (c >= '0' && c <= '9') || c == '-'; });
        if (is_number) {
          if (r.op == RedirectOp::duplicate_in && fd <= 0) {
            if (const KnownFile* file = find_file("/dev/fd/" + target)) feed(Input::Kind::here_document, file->content);
          }
          continue;
        }
        made.fd = 1;
        made.op = ">";
        break;
      }
      case RedirectOp::append:
      case RedirectOp::both_append:
        made.fd = fd < 0 ? 1 : fd;
        made.op = ">>";
        break;
      default:
        made.fd = fd < 0 ? 1 : fd;
        made.op = ">";
    }
    redirects.push_back(std::move(made));
  }
}

void Walk::write_output(const std::vector<Redirect>& redirects, Output& output) {
  bool is_taken = false;
  for (const Redirect& r : redirects) {
    if (r.op != ">" && r.op != ">>") continue;
    if (r.fd == 1) {
      if (r.target == "/dev/stdout" || r.target == "/dev/tty" || r.target == "/dev/stderr") continue;
      write_file(r.target, output, r.op == ">>");
      is_taken = true;
    }
  }
  if (is_taken) output.clear();
}

void Walk::assign(std::string_view raw, std::vector<std::pair<std::string, std::string>>* seen) {
  const std::size_t prefix = assignment_prefix(raw);
  if (prefix == 0 || !spend(40)) return;
  std::string_view name = raw.substr(0, prefix - 1);
  const bool adds = name.ends_with('+');
  if (adds) name.remove_suffix(1);
  const std::string_view value = raw.substr(prefix);
  if (value.starts_with('(') && value.ends_with(')')) {
    std::vector<std::string_view> words;
    std::vector<std::string> keys;
    const Variable* before = find_variable(name);
    const bool is_associative = before != nullptr && before->is_associative;
    std::size_t at = 1;
    while (at + 1 < value.size()) {
      if (value[at] == ' ' || value[at] == '\n' || value[at] == '\t') {
        ++at;
        continue;
      }
      const std::size_t end = word_end(value.substr(0, value.size() - 1), at, budget_);
      if (end == std::string_view::npos || end <= at) break;
      std::string_view word = value.substr(at, end - at);
      if (word.starts_with('[')) {  // [key]=value
        if (const std::size_t equals = word.find("]="); equals != std::string_view::npos) {
          if (is_associative) keys.push_back(expand_string(word.substr(1, equals - 1)));
          word.remove_prefix(equals + 2);
        }
      }
      words.push_back(word);
      at = end;
    }
    if (is_associative) {
      Variable made = adds ? *before : Variable();
      made.is_array = made.is_associative = true;
      for (std::size_t i = 0; i < std::min(words.size(), keys.size()); ++i) {
        made.items.push_back(expand_string(words[i]));
        made.keys.push_back(std::move(keys[i]));
      }
      overlay_.variables[std::string(name)] = std::move(made);
      return;
    }
    std::vector<std::string> items = expand_words(words);
    if (adds && before != nullptr && before->is_array) items.insert(items.begin(), before->items.begin(), before->items.end());
    set_array(name, std::move(items));
    return;
  }
  // Every value that the right side may have.
  const std::size_t outer_choice = choice_;
  const std::size_t outer_seen = choices_seen_;
  choices_seen_ = 1;
  std::vector<std::string> values;
  for (choice_ = 0; choice_ < choices_seen_ && choice_ < k_most_values; ++choice_) {
    std::string one = expand_string(value);
    if (adds) {
      if (const Variable* before = find_variable(name); before != nullptr && !before->values.empty()) one = before->values[0] + one;
    }
    if (std::find(values.begin(), values.end(), one) == values.end()) values.push_back(std::move(one));
  }
  choice_ = outer_choice;
  choices_seen_ = outer_seen;
  if (seen != nullptr) seen->emplace_back(std::string(name), values[0]);
  if (const std::size_t open = name.find('['); open != std::string_view::npos) {  // a[2]=x
    const std::string_view base = name.substr(0, open);
    if (base == "BASH_ALIASES" || base == "BASH_CMDS") {
      overlay_.aliases[expand_string(name.substr(open + 1, name.size() - open - 2))] = plain(values[0]);
      return;
    }
    if (const Variable* before = find_variable(base); before != nullptr && before->is_associative) {
      Variable made = *before;
      std::string key = expand_string(name.substr(open + 1, name.size() - open - 2));
      const auto known = std::find(made.keys.begin(), made.keys.end(), key);
      if (known != made.keys.end()) {
        made.items[static_cast<std::size_t>(known - made.keys.begin())] = values[0];
      } else if (made.keys.size() < 512) {
        made.keys.push_back(std::move(key));
        made.items.push_back(values[0]);
      }
      overlay_.variables[std::string(base)] = std::move(made);
      return;
    }
    const std::string index = arithmetic(name.substr(open + 1, name.size() - open - 2));
    std::vector<std::string> items;
    if (const Variable* before = find_variable(base); before != nullptr && before->is_array) items = before->items;
    const std::size_t at = !has_hole(index) && index.size() < 4 && index[0] != '-' ? static_cast<std::size_t>(std::stoi(index)) : items.size();
    if (at < 512) {
      if (items.size() <= at) items.resize(at + 1);
      items[at] = values[0];
    }
    set_array(base, std::move(items));
    return;
  }
  Variable made;
  if (const Variable* before = find_variable(name)) made.folds = before->folds;
  for (std::string& one : values) made.values.push_back(folded(std::move(one), made.folds));
  const std::string first = made.values[0];
  overlay_.variables[std::string(name)] = std::move(made);
  run_by_name(name, first);
}

void Walk::run_by_name(std::string_view name, const std::string& value) {
  if (value.empty() || has_hole(value)) return;
  if (name == "PROMPT_COMMAND") (void)run_text(plain(value), Input{}, "PROMPT_COMMAND");
  if (name == "PS0" || name == "PS1" || name == "PS2" || name == "PS4") (void)expand_here_document(value);
  if ((name == "BASH_ENV" || name == "ENV") && find_file(value) != nullptr) {
    Command started;
    started.argv = {"bash"};
    Output ignored;
    (void)run_file(value, {}, started, name, ignored);
  }
}

}  // namespace sallyport::guard
