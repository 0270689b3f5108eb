#include "policy/access/edit.h"

#include <algorithm>
#include <memory>
#include <optional>

#include "platform/crypto/hash.h"
#include "platform/crypto/hex.h"
#include "platform/model/bytes.h"
#include "policy/access/yaml_text.h"
#include "policy/access/yaml_tree.h"

namespace sallyport::policy {
namespace {

using NodePtr = std::shared_ptr<const YamlNode>;
constexpr const char* k_own_file = "api.yaml";

bool is_policy_file(std::string_view name) { return name.ends_with(".yaml") || name.ends_with(".yml") || name.ends_with(".json"); }

std::string name_of(const YamlNode& item, std::string_view list) {
  const YamlNode* name = item.find("name");
  if (name != nullptr && name->kind == YamlNode::Kind::scalar) return name->text;
  if (list != "bindings") return {};
  return "b-" + crypto::to_hex(crypto::sha256(bytes_of(json_text(item)))).substr(0, 16);
}

struct ReadFile {
  std::size_t index = 0;  ///< in the files
  NodePtr root;
  const YamlNode* list = nullptr;  ///< null: it has none
};

struct Found {
  std::size_t file = 0;  ///< in the read files
  std::size_t item = 0;
};

std::vector<ReadFile> read_all(std::span<const SourceFile> files, std::string_view list, bool& all_readable) {
  std::vector<ReadFile> read;
  all_readable = true;
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (!is_policy_file(files[i].name)) continue;
    std::vector<Diagnostic> problems;
    ReadFile one{i, parse_yaml(files[i].name, files[i].content, problems), nullptr};
    if (!one.root || one.root->kind != YamlNode::Kind::map) {
      all_readable = false;
      continue;
    }
    one.list = one.root->find(list);
    if (one.list != nullptr && one.list->kind != YamlNode::Kind::list) one.list = nullptr;
    read.push_back(std::move(one));
  }
  return read;
}

/// The root with another item in one of its lists: `at` past the end adds, a null item takes away.
std::shared_ptr<YamlNode> with_item(const YamlNode& root, std::string_view list, std::size_t at, const NodePtr& item) {
  auto changed = std::make_shared<YamlNode>(root);
  auto entry = std::find_if(changed->entries.begin(), changed->entries.end(), [&](const YamlNode::Entry& one) { return one.key == list; });
  if (entry == changed->entries.end()) {
    changed->entries.push_back(YamlNode::Entry{std::string(list), 0, 0, std::make_shared<YamlNode>()});
    entry = std::prev(changed->entries.end());
  }
  auto items = std::make_shared<YamlNode>(*entry->value);
  items->kind = YamlNode::Kind::list;
  if (at >= items->items.size()) items->items.push_back(item);
  else if (item) items->items[at] = item;
  else items->items.erase(items->items.begin() + static_cast<std::ptrdiff_t>(at));
  if (items->items.empty()) items->kind = YamlNode::Kind::null;
  entry->value = std::move(items);
  return changed;
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const auto end = text.find('\n');
    lines.push_back(text.substr(0, end == std::string_view::npos ? text.size() : end + 1));
    text.remove_prefix(lines.back().size());
  }
  return lines;
}

bool says_nothing(std::string_view line) {
  const auto first = line.find_first_not_of(" \t\r\n");
  return first == std::string_view::npos || line[first] == '#';
}

/// Where an item of a list that is written line by line stands: [first, last) lines, and the column of its dash.
struct Lines {
  std::size_t first = 0;
  std::size_t last = 0;
  std::size_t dash = 0;
};

std::optional<Lines> lines_of_item(const std::vector<std::string_view>& lines, const YamlNode& item) {
  if (item.line == 0 || item.line > lines.size() || item.column < 3) return std::nullopt;
  const std::string_view before = lines[item.line - 1].substr(0, item.column - 1);
  const auto dash = before.find_first_not_of(' ');
  if (dash == std::string_view::npos || before[dash] != '-' || before.find_first_not_of(' ', dash + 1) != std::string_view::npos) return std::nullopt;
  Lines place{item.line - 1, item.line, dash};
  for (; place.last < lines.size(); ++place.last)
    if (!says_nothing(lines[place.last]) && lines[place.last].find_first_not_of(' ') <= dash) break;
  while (place.last > place.first + 1 && says_nothing(lines[place.last - 1])) --place.last;  // what follows speaks of the next one
  return place;
}

std::string join(const std::vector<std::string_view>& lines, std::size_t from, std::size_t to) {
  std::string text;
  for (std::size_t i = from; i < to; ++i) text += lines[i];
  return text;
}

void end_line(std::string& text) {
  if (!text.empty() && text.back() != '\n') text += '\n';
}

/// The file's text with the one item changed; nothing when it is not written line by line.
std::optional<std::string> spliced(const std::string& content, std::string_view list, const YamlNode* items, std::size_t at, const YamlNode* item) {
  if (items == nullptr || items->items.empty()) {
    std::string text = content;
    end_line(text);
    return text + (text.empty() ? "" : "\n") + std::string(list) + ":\n" + yaml_item(*item, 2);
  }
  const auto lines = lines_of(content);
  const bool adds = at >= items->items.size();
  const auto place = lines_of_item(lines, *items->items[adds ? items->items.size() - 1 : at]);
  if (!place) return std::nullopt;
  std::string text = join(lines, 0, adds ? place->last : place->first);
  end_line(text);
  if (item != nullptr) text += yaml_item(*item, place->dash);
  return text + join(lines, place->last, lines.size());
}

bool says(const SourceFile& file, const YamlNode& wanted) {
  std::vector<Diagnostic> problems;
  const NodePtr read = parse_yaml(file.name, file.content, problems);
  return read && json_text(*read) == json_text(wanted);
}

}  // namespace

std::vector<Defined> definitions_in(std::span<const SourceFile> files, std::string_view list) {
  std::vector<Defined> all;
  bool all_readable = true;
  for (const ReadFile& file : read_all(files, list, all_readable)) {
    if (file.list == nullptr) continue;
    for (const NodePtr& item : file.list->items) all.push_back(Defined{name_of(*item, list), json_text(*item), files[file.index].name, item->line});
  }
  return all;
}

Result<Edited> edit_policy(std::span<const SourceFile> files, const Edit& edit) {
  bool all_readable = true;
  const auto read = read_all(files, edit.list, all_readable);
  if (!all_readable) return fail(Errc::conflict, "a file of the policy in force cannot be read");
  NodePtr item;
  if (!edit.json.empty()) {
    std::vector<Diagnostic> problems;
    item = parse_yaml("definition", edit.json, problems);
    if (!item || item->kind != YamlNode::Kind::map) return fail(Errc::invalid, problems.empty() ? "a definition is one object" : problems.front().message);
  }

  std::optional<Found> found;
  std::optional<std::size_t> home;  // for a new one: the last file with such a list that is written line by line
  for (std::size_t f = 0; f < read.size(); ++f) {
    if (read[f].list == nullptr) continue;
    for (std::size_t i = 0; i < read[f].list->items.size() && !found; ++i)
      if (name_of(*read[f].list->items[i], edit.list) == edit.name) found = Found{f, i};
    if (!read[f].list->items.empty() && lines_of_item(lines_of(files[read[f].index].content), *read[f].list->items.back())) home = f;
  }
  if (!found && !item) return fail(Errc::not_found, "there is no " + edit.name + " among the " + edit.list);

  Edited edited;
  edited.files.assign(files.begin(), files.end());
  if (!found && !home) {
    const auto own = std::find_if(read.begin(), read.end(), [&](const ReadFile& file) { return files[file.index].name == k_own_file; });
    if (own == read.end()) {
      edited.files.push_back(SourceFile{k_own_file, edit.list + ":\n" + yaml_item(*item, 2)});
      edited.file = k_own_file;
      return edited;
    }
    home = static_cast<std::size_t>(own - read.begin());
  }
  const ReadFile& file = read[found ? found->file : *home];
  const std::size_t at = found ? found->item : file.list == nullptr ? 0 : file.list->items.size();
  const auto wanted = with_item(*file.root, edit.list, found ? at : std::string::npos, item);
  SourceFile& changed = edited.files[file.index];
  edited.file = changed.name;
  const bool is_json = changed.name.ends_with(".json");
  if (!is_json) {
    if (auto text = spliced(changed.content, edit.list, file.list, at, item.get())) {
      SourceFile tried{changed.name, *std::move(text)};
      if (says(tried, *wanted)) {
        changed = std::move(tried);
        return edited;
      }
    }
  }
  edited.rewritten = true;
  changed.content = is_json ? json_text(*wanted) + "\n" : yaml_text(*wanted);
  if (!says(changed, *wanted)) return fail(Errc::internal, changed.name + " could not be written anew");
  return edited;
}

}  // namespace sallyport::policy
