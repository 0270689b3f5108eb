// What a body may hold: JSON without surprises. Unknown, missing, doubled, null and mistyped keys each get their JSON pointer.
#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <set>

#include "admin/api/call.h"
#include "platform/os/wiped_memory.h"

namespace sallyport::admin {
namespace {

constexpr std::size_t k_most_depth = 16;
constexpr std::size_t k_most_small_body = 256 * 1024;  // all but policy files and secrets

std::string escaped(std::string_view key) {
  std::string out;
  for (const char c : key) out += c == '~' ? std::string("~0") : c == '/' ? std::string("~1") : std::string(1, c);
  return out;
}

/// Pointers of keys that their object has twice. `text` is valid JSON already, so only strings and brackets matter.
std::vector<std::string> doubled_keys(std::string_view text) {
  struct Level {
    bool is_object = false;
    std::set<std::string> keys;
    std::string name;       // of the key that is being read
    std::size_t index = 0;  // in a list
  };
  std::vector<std::string> found;
  std::vector<Level> levels;
  const auto pointer = [&] {
    std::string path;
    for (const Level& level : levels) path += "/" + (level.is_object ? escaped(level.name) : std::to_string(level.index));
    return path;
  };
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '{' || c == '[') {
      levels.push_back(Level{c == '{', {}, {}, 0});
    } else if (c == '}' || c == ']') {
      levels.pop_back();
    } else if (c == ',' && !levels.empty()) {
      ++levels.back().index;
    } else if (c == '"') {
      const std::size_t begin = at;
      for (++at; text[at] != '"'; ++at)
        if (text[at] == '\\') ++at;
      std::size_t behind = at + 1;
      while (behind < text.size() && (text[behind] == ' ' || text[behind] == '\t' || text[behind] == '\n' || text[behind] == '\r')) ++behind;
      if (levels.empty() || !levels.back().is_object || behind >= text.size() || text[behind] != ':') continue;
      // Decoded, since "a" and "\u0061" are the same key.
      const json::value key = json::parse(json::string_view(text.data() + begin, at + 1 - begin));
      levels.back().name = std::string(std::string_view(key.get_string()));
      if (!levels.back().keys.insert(levels.back().name).second) found.push_back(pointer());
    }
  }
  return found;
}

std::string_view word_of(Field::Type type) {
  switch (type) {
    case Field::Type::text: return "a text";
    case Field::Type::flag: return "true or false";
    case Field::Type::number: return "a whole number that is not negative";
    case Field::Type::list: return "a list";
    case Field::Type::map: return "an object";
  }
  return "";
}

/// Empty: it fits.
std::string complaint_of(const Field& field, const json::value& value) {
  switch (field.type) {
    case Field::Type::text:
      if (!value.is_string()) break;
      if (value.get_string().size() > field.most) return "this is longer than " + std::to_string(field.most) + " bytes";
      if (std::string_view(value.get_string()).find('\0') != std::string_view::npos) return "this holds a NUL";
      return {};
    case Field::Type::flag:
      if (value.is_bool()) return {};
      break;
    case Field::Type::number:
      if (!value.is_int64() || value.get_int64() < 0) break;
      if (static_cast<std::uint64_t>(value.get_int64()) > field.most) return "this is above " + std::to_string(field.most);
      return {};
    case Field::Type::list:
      if (!value.is_array()) break;
      if (value.get_array().size() > field.most) return "this has more than " + std::to_string(field.most) + " entries";
      return {};
    case Field::Type::map:
      if (!value.is_object()) break;
      if (value.get_object().size() > field.most) return "this has more than " + std::to_string(field.most) + " entries";
      return {};
  }
  return "this must be " + std::string(word_of(field.type));
}

}  // namespace

std::unique_ptr<json::object> Call::body(std::initializer_list<Field> fields) const {
  const bool may_be_big = std::any_of(fields.begin(), fields.end(), [](const Field& field) { return field.name == "files"; });
  if (!may_be_big && request.body.size() > k_most_small_body) {
    refuse_status(413, "SP-7008", "a body is at most 256 KiB here");
    return nullptr;
  }
  if (const std::string type = request.header("content-type"); !request.body.empty() && !type.starts_with("application/json")) {
    refuse_status(415, "SP-7009", "a body is application/json");
    return nullptr;
  }
  auto object = std::make_unique<json::object>();
  json::array errors;
  const auto complain = [&](std::string pointer, std::string message) {
    errors.push_back(json::object{{"pointer", std::move(pointer)}, {"message", std::move(message)}});
  };
  if (!request.body.empty()) {
    boost::system::error_code error;
    json::parse_options options;
    options.max_depth = k_most_depth;
    json::value parsed = json::parse(request.body, error, {}, options);
    os::wipe_stack();  // it may have read a secret, in buffers of its own
    if (error || !parsed.is_object()) {
      refuse(Error{Errc::invalid, error ? "the body is no JSON: " + error.message() : "the body must be a JSON object"});
      return nullptr;
    }
    for (std::string& pointer : doubled_keys(request.body)) complain(std::move(pointer), "this key is there twice");
    *object = std::move(parsed.get_object());
  }
  for (const auto& [key, value] : *object) {
    const auto field = std::find_if(fields.begin(), fields.end(), [name = std::string_view(key)](const Field& one) { return one.name == name; });
    if (field == fields.end()) {
      complain("/" + escaped(key), "there is no such key here");
    } else if (std::string wrong = complaint_of(*field, value); !wrong.empty()) {
      complain("/" + escaped(key), std::move(wrong));
    }
  }
  for (const Field& field : fields)
    if (field.required && object->if_contains(field.name) == nullptr) complain("/" + std::string(field.name), "this is needed: " + std::string(word_of(field.type)));
  if (errors.empty()) return object;
  const std::string summary = std::to_string(errors.size()) + (errors.size() == 1 ? " problem" : " problems") + "; nothing was changed";
  refuse_with(Error{Errc::invalid, summary}, "SP-7001", std::move(errors));
  return nullptr;
}

std::uint32_t Call::limit(std::uint32_t fallback, std::uint32_t most) const {
  const auto value = number("limit", fallback);
  if (!value) return 0;
  if (*value >= 1 && *value <= most) return static_cast<std::uint32_t>(*value);
  refuse(Error{Errc::invalid, "limit is 1 to " + std::to_string(most)});
  return 0;
}

std::optional<std::int64_t> Call::number(const std::string& name, std::int64_t fallback) const {
  const auto found = request.query.find(name);
  if (found == request.query.end()) return fallback;
  std::int64_t value = 0;
  const std::string& text = found->second;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc{} && end == text.data() + text.size() && value >= 0) return value;
  refuse(Error{Errc::invalid, name + " is a whole number that is not negative"});
  return std::nullopt;
}

}  // namespace sallyport::admin
