#include "policy/access/yaml_text.h"

#include <algorithm>
#include <array>

namespace sallyport::policy {
namespace {

using Kind = YamlNode::Kind;

bool is_bare(const YamlNode& scalar) {
  if (scalar.is_quoted) return false;
  if (scalar.text == "true" || scalar.text == "false") return true;
  std::string_view digits = scalar.text;
  if (digits.starts_with('-')) digits.remove_prefix(1);
  if (digits.empty() || digits.size() > 18 || (digits.front() == '0' && digits.size() > 1)) return false;
  return std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::string quoted(std::string_view text) {
  constexpr char k_hex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += "\\u00";
      out += k_hex[byte >> 4];
      out += k_hex[byte & 15];
    } else {
      out += c;
    }
  }
  return out + "\"";
}

/// A word that no reader of YAML takes for anything else.
bool is_plain(std::string_view text) {
  constexpr std::array<std::string_view, 11> k_words{"true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"};
  if (text.empty() || text.size() > 128) return false;
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  if (!is_letter(text.front())) return false;
  if (!std::all_of(text.begin(), text.end(), [&](char c) { return is_letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.' || c == '/'; })) return false;
  std::string low(text);
  std::transform(low.begin(), low.end(), low.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return std::find(k_words.begin(), k_words.end(), low) == k_words.end();
}

std::string scalar_text(const YamlNode& node) { return is_bare(node) ? node.text : is_plain(node.text) ? node.text : quoted(node.text); }
std::string key_text(const std::string& key) { return is_plain(key) ? key : quoted(key); }

bool is_leaf(const YamlNode& node) { return node.kind == Kind::scalar || node.kind == Kind::null; }

/// Short lists of plain values go into one line.
bool fits_line(const YamlNode& node) {
  if (node.kind == Kind::list) return node.items.empty() || (node.items.size() <= 8 && std::all_of(node.items.begin(), node.items.end(), [](const auto& one) { return one->kind == Kind::scalar && one->text.size() <= 40; }));
  return node.kind == Kind::map && node.entries.empty();
}

std::string line_text(const YamlNode& node) {
  if (node.kind == Kind::map) return "{}";
  std::string out = "[";
  for (const auto& item : node.items) out += (out.size() == 1 ? "" : ", ") + scalar_text(*item);
  return out + "]";
}

void write_entries(const YamlNode& map, std::size_t column, bool is_begun, std::string& out);

/// After "key:" or "-": the value, on this line or below.
void write_item(const YamlNode& item, std::size_t column, std::string& out) {
  out += std::string(column, ' ') + "-";
  if (is_leaf(item)) {
    out += (item.kind == Kind::null ? " null" : " " + scalar_text(item)) + "\n";
  } else if (fits_line(item)) {
    out += " " + line_text(item) + "\n";
  } else if (item.kind == Kind::map) {
    out += " ";
    write_entries(item, column + 2, true, out);
  } else {
    out += " " + json_text(item) + "\n";  // a list in a list
  }
}

void write_entries(const YamlNode& map, std::size_t column, bool is_begun, std::string& out) {
  for (const YamlNode::Entry& entry : map.entries) {
    out += (is_begun ? std::string() : std::string(column, ' ')) + key_text(entry.key) + ":";
    is_begun = false;
    const YamlNode& value = *entry.value;
    if (value.kind == Kind::null) {
      out += "\n";
    } else if (value.kind == Kind::scalar) {
      out += " " + scalar_text(value) + "\n";
    } else if (fits_line(value)) {
      out += " " + line_text(value) + "\n";
    } else if (value.kind == Kind::map) {
      out += "\n";
      write_entries(value, column + 2, false, out);
    } else {
      out += "\n";
      for (const auto& item : value.items) write_item(*item, column + 2, out);
    }
  }
}

}  // namespace

std::string json_text(const YamlNode& node) {
  switch (node.kind) {
    case Kind::null: return "null";
    case Kind::scalar: return is_bare(node) ? node.text : quoted(node.text);
    case Kind::list: {
      std::string out = "[";
      for (const auto& item : node.items) out += (out.size() == 1 ? "" : ",") + json_text(*item);
      return out + "]";
    }
    case Kind::map: {
      std::string out = "{";
      for (const YamlNode::Entry& entry : node.entries) out += (out.size() == 1 ? "" : ",") + quoted(entry.key) + ":" + json_text(*entry.value);
      return out + "}";
    }
  }
  return "null";
}

std::string yaml_text(const YamlNode& map) {
  std::string out;
  write_entries(map, 0, false, out);
  return out;
}

std::string yaml_item(const YamlNode& item, std::size_t column) {
  std::string out;
  write_item(item, column, out);
  return out;
}

}  // namespace sallyport::policy
