#include "policy/access/yaml_tree.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <istream>
#include <map>
#include <set>
#include <streambuf>

#include "policy/access/load.h"

namespace sallyport::policy {
namespace {

constexpr std::size_t k_max_expanded_nodes = 100'000;  ///< that aliases may stand for

/// Leaves the parser; caught in parse_yaml and nowhere else.
struct Refused {
  std::string message;
  std::uint32_t line = 0;
  std::uint32_t column = 0;
};

std::uint32_t counted(int zero_based) { return zero_based < 0 ? 0 : static_cast<std::uint32_t>(zero_based) + 1; }

class TreeBuilder : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { finish(make(mark, YamlNode::Kind::null), anchor); }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (++aliases_ > k_max_yaml_aliases) refuse(mark, "more than " + std::to_string(k_max_yaml_aliases) + " aliases");
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) refuse(mark, "an alias inside the node that it names");
    expanded_ += found->second->weight;
    if (expanded_ > k_max_expanded_nodes) refuse(mark, "the aliases stand for more than " + std::to_string(k_max_expanded_nodes) + " nodes");
    place(found->second, mark);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, const std::string& value) override {
    if (tag != "?" && tag != "!" && !tag.empty()) refuse(mark, "tags are not used here");
    auto node = make(mark, YamlNode::Kind::scalar);
    node->is_quoted = tag == "!";
    node->text = value;
    if (!node->is_quoted && (value == "~" || value == "null")) node->kind = YamlNode::Kind::null;
    finish(std::move(node), anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, YamlNode::Kind::list);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, YamlNode::Kind::map);
  }
  void OnMapEnd() override { close(); }

  [[nodiscard]] std::shared_ptr<const YamlNode> root() const { return root_; }

 private:
  struct Open {
    std::shared_ptr<YamlNode> node;
    YAML::anchor_t anchor = 0;
    bool has_key = false;
    YamlNode::Entry entry;
    std::set<std::string, std::less<>> keys;
  };

  [[noreturn]] static void refuse(const YAML::Mark& mark, std::string message) {
    throw Refused{std::move(message), counted(mark.line), counted(mark.column)};
  }

  static std::shared_ptr<YamlNode> make(const YAML::Mark& mark, YamlNode::Kind kind) {
    auto node = std::make_shared<YamlNode>();
    node->kind = kind;
    node->line = counted(mark.line);
    node->column = counted(mark.column);
    return node;
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YamlNode::Kind kind) {
    if (tag != "?" && tag != "!" && !tag.empty()) refuse(mark, "tags are not used here");
    if (stack_.size() >= k_max_yaml_depth) refuse(mark, "nested deeper than " + std::to_string(k_max_yaml_depth) + " levels");
    if (!stack_.empty() && stack_.back().node->kind == YamlNode::Kind::map && !stack_.back().has_key) refuse(mark, "a key must be a plain word");
    Open level;
    level.node = make(mark, kind);
    level.anchor = anchor;
    stack_.push_back(std::move(level));
  }

  void close() {
    Open level = std::move(stack_.back());
    stack_.pop_back();
    finish(std::move(level.node), level.anchor);
  }

  void finish(std::shared_ptr<YamlNode> node, YAML::anchor_t anchor) {
    for (const auto& item : node->items) node->weight += item->weight;
    for (const auto& entry : node->entries) node->weight += entry.value->weight;
    if (anchor != 0) anchors_[anchor] = node;
    const YAML::Mark mark = [&] {
      YAML::Mark m;
      m.line = static_cast<int>(node->line) - 1;
      m.column = static_cast<int>(node->column) - 1;
      return m;
    }();
    place(std::move(node), mark);
  }

  void place(std::shared_ptr<const YamlNode> node, const YAML::Mark& mark) {
    if (stack_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& level = stack_.back();
    if (level.node->kind == YamlNode::Kind::list) {
      level.node->items.push_back(std::move(node));
      return;
    }
    if (!level.has_key) {
      if (node->kind != YamlNode::Kind::scalar) refuse(mark, "a key must be a plain word");
      if (!level.keys.insert(node->text).second) refuse(mark, "the key `" + node->text.substr(0, 64) + "` stands here twice");
      level.entry = YamlNode::Entry{node->text, counted(mark.line), counted(mark.column), nullptr};
      level.has_key = true;
      return;
    }
    level.entry.value = std::move(node);
    level.node->entries.push_back(std::move(level.entry));
    level.has_key = false;
  }

  std::vector<Open> stack_;
  std::map<YAML::anchor_t, std::shared_ptr<const YamlNode>> anchors_;
  std::shared_ptr<const YamlNode> root_;
  std::size_t aliases_ = 0;
  std::size_t expanded_ = 0;
};

/// Lets the parser read from memory without a copy.
class ViewBuffer : public std::streambuf {
 public:
  explicit ViewBuffer(std::string_view text) {
    char* begin = const_cast<char*>(text.data());  // NOLINT: streambuf's get area is not const, and is only read
    setg(begin, begin, begin + text.size());
  }
};

/// Whether a tab stands among the blanks that begin line `line` (0 is the first).
bool indented_with_a_tab(std::string_view text, int line) {
  for (; line > 0; --line) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return false;
    text.remove_prefix(end + 1);
  }
  const std::string_view blanks = text.substr(0, text.find_first_not_of(" \t"));
  return blanks.find('\t') != std::string_view::npos;
}

}  // namespace

const YamlNode* YamlNode::find(std::string_view key) const {
  for (const Entry& entry : entries) {
    if (entry.key == key) return entry.value.get();
  }
  return nullptr;
}

std::shared_ptr<const YamlNode> parse_yaml(const std::string& file, std::string_view text, std::vector<Diagnostic>& problems) {
  const auto refuse = [&](std::string message, std::uint32_t line, std::uint32_t column) {
    problems.push_back(Diagnostic{file, line, column, "", std::move(message)});
    return nullptr;
  };
  if (text.size() > k_max_policy_file) return refuse("the file is larger than 4 MiB", 0, 0);
  if (text.find('\0') != std::string_view::npos) return refuse("the file holds a NUL byte", 0, 0);
  try {
    ViewBuffer buffer(text);
    std::istream input(&buffer);
    YAML::Parser parser(input);
    TreeBuilder builder;
    if (!parser.HandleNextDocument(builder) || !builder.root()) {
      auto empty = std::make_shared<YamlNode>();
      empty->kind = YamlNode::Kind::map;
      return empty;
    }
    TreeBuilder second;
    if (parser.HandleNextDocument(second)) return refuse("a second document (`---`) in one file", second.root() ? second.root()->line : 0, 1);
    return builder.root();
  } catch (const Refused& refused) {
    return refuse(refused.message, refused.line, refused.column);
  } catch (const YAML::Exception& error) {
    const char* hint = indented_with_a_tab(text, error.mark.line) ? " (the line is indented with a tab; YAML wants spaces)" : "";
    return refuse("not YAML: " + error.msg + hint, counted(error.mark.line), counted(error.mark.column));
  } catch (const std::exception& error) {
    return refuse(std::string("not readable: ") + error.what(), 0, 0);
  }
}

}  // namespace sallyport::policy
