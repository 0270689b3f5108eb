#include "app/config.h"

#include <sys/utsname.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>

#include "app/config_table.h"
#include "app/suggest.h"
#include "platform/model/utf8.h"
#include "platform/passkey/webauthn.h"
#include "platform/postgres/connection.h"
#include "policy/authority/directory_settings.h"

namespace sallyport::app {
namespace {

constexpr std::size_t k_max_file = 1024 * 1024;
constexpr std::size_t k_max_problems = 20;

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};
constexpr std::array k_durations{Unit{"ms", 1}, Unit{"s", 1000}, Unit{"m", 60'000}, Unit{"h", k_hour_ms}, Unit{"d", 24 * k_hour_ms}};
constexpr std::array k_sizes{Unit{"", 1}, Unit{"KiB", 1024}, Unit{"MiB", k_mib}, Unit{"GiB", 1024 * k_mib}, Unit{"TiB", k_mib * k_mib}};

std::optional<std::uint64_t> parse_amount(std::string_view text, std::span<const Unit> units) {
  std::uint64_t amount = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), amount);
  if (error != std::errc{} || end == text.data()) return std::nullopt;
  const std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
  if (amount == 0 && unit.empty()) return 0;
  for (const Unit& known : units)
    if (known.name == unit && amount <= ~0ULL / known.factor) return amount * known.factor;
  return std::nullopt;
}

std::string split_join(std::string_view list, std::string_view between) {
  std::string out;
  for (const char c : list) {
    if (c == ',') out += between;
    else out += c;
  }
  return out;
}

/// Walks the file once; remembers what was given and collects what is wrong with it.
class Reader {
 public:
  explicit Reader(std::string file) : file_(std::move(file)) {}

  void read(std::string_view yaml) {
    YAML::Node root;
    try {
      root = YAML::Load(std::string(yaml));
    } catch (const YAML::Exception& error) {
      problem(error.mark, error.msg);
      return;
    }
    if (root.IsNull()) return;
    if (!root.IsMap()) return problem(root.Mark(), "expected settings as `key: value`");
    read_map(root, "");
  }

  /// The value of a row as written, or its default.
  [[nodiscard]] std::string value(std::string_view key) const {
    const auto found = given_.find(key);
    if (found != given_.end()) return found->second;
    const auto row = std::find_if(k_settings.begin(), k_settings.end(), [key](const SettingRow& r) { return r.key == key; });
    return row == k_settings.end() ? std::string() : std::string(row->fallback);
  }
  [[nodiscard]] bool was_given(std::string_view key) const { return given_.find(key) != given_.end(); }

  void problem(const YAML::Mark& mark, const std::string& what) {
    if (++problem_count_ > k_max_problems) return;
    const bool placed = mark.line >= 0 && mark.column >= 0;
    problems_ += file_ + ":" + (placed ? std::to_string(mark.line + 1) + ":" + std::to_string(mark.column + 1) + ":" : "") + " " + what + "\n";
  }
  [[nodiscard]] const std::string& problems() const { return problems_; }
  [[nodiscard]] YAML::Mark mark_of(std::string_view key) const {
    const auto found = marks_.find(key);
    return found == marks_.end() ? YAML::Mark::null_mark() : found->second;
  }

 private:
  void read_map(const YAML::Node& map, const std::string& section) {
    std::map<std::string, bool> seen;
    for (const auto& entry : map) {
      if (!entry.first.IsScalar()) {
        problem(entry.first.Mark(), "a key must be plain text");
        continue;
      }
      const std::string name = entry.first.Scalar();
      const std::string key = section.empty() ? name : section + "." + name;
      if (!seen.emplace(name, true).second) {
        problem(entry.first.Mark(), "`" + key + "` is given twice");
        continue;
      }
      if (section.empty() && is_section(name)) {
        if (entry.second.IsMap()) read_map(entry.second, name);
        else if (!entry.second.IsNull()) problem(entry.second.Mark(), "`" + name + "` is a section: put its settings below it, indented");
        continue;
      }
      const auto row = std::find_if(k_settings.begin(), k_settings.end(), [&key](const SettingRow& r) { return r.key == key; });
      if (row == k_settings.end()) unknown(entry.first.Mark(), key);
      else read_value(*row, entry.second.IsNull() ? entry.first.Mark() : entry.second.Mark(), entry.second);
    }
  }

  static bool is_section(std::string_view name) {
    return std::any_of(k_settings.begin(), k_settings.end(), [name](const SettingRow& row) {
      return row.key.size() > name.size() && row.key.starts_with(name) && row.key[name.size()] == '.';
    });
  }

  void unknown(const YAML::Mark& mark, const std::string& key) {
    std::vector<std::string_view> known;
    for (const SettingRow& row : k_settings) {
      known.push_back(row.key);
      if (const auto dot = row.key.find('.'); dot != std::string_view::npos) {
        known.push_back(row.key.substr(0, dot));
        if (row.key.substr(dot + 1) == key) return problem(mark, "unknown key `" + key + "`. It belongs into a section: `" + std::string(row.key) + "`");
      }
    }
    const std::string_view meant = nearest(key, known);
    problem(mark, "unknown key `" + key + "`." + (meant.empty() ? " The keys stand in docs/reference/configuration.md" : " Did you mean `" + std::string(meant) + "`?"));
  }

  void read_value(const SettingRow& row, const YAML::Mark& mark, const YAML::Node& node) {
    const std::string key(row.key);
    marks_.emplace(key, mark);
    if (node.IsNull()) return;  // as if it were not there
    if (row.kind == Kind::list) return read_list(key, mark, node);
    if (!node.IsScalar()) return problem(mark, "`" + key + "` needs one value");
    const std::string text = node.Scalar();
    if (text.find_first_of("\n\r,") != std::string::npos && row.kind != Kind::text) return problem(mark, "`" + key + "` must not hold a comma or a new line");
    const std::string wrong = complaint(row, text);
    if (!wrong.empty()) return problem(mark, "`" + key + "`: " + wrong);
    given_.emplace(key, text);
  }

  void read_list(const std::string& key, const YAML::Mark& mark, const YAML::Node& node) {
    std::string joined;
    const auto add = [&](const YAML::Node& item) {
      if (!item.IsScalar() || item.Scalar().empty() || item.Scalar().find_first_of(",\n\r\"") != std::string::npos)
        return problem(item.Mark(), "`" + key + "`: each entry is one plain text without comma");
      joined += (joined.empty() ? "" : ",") + item.Scalar();
    };
    if (node.IsScalar()) add(node);
    else if (node.IsSequence()) for (const auto& item : node) add(item);
    else return problem(mark, "`" + key + "` needs a list");
    given_.emplace(key, joined);
  }

  static std::string complaint(const SettingRow& row, const std::string& text) {
    switch (row.kind) {
      case Kind::text:
      case Kind::list: return text.find_first_of("\n\r\"") == std::string::npos ? "" : "must be one line without quotes";
      case Kind::path: return !text.empty() && text.front() == '/' && text.size() < 200 ? "" : "must be an absolute path of less than 200 characters";
      case Kind::flag: return text == "true" || text == "false" ? "" : "must be true or false";
      case Kind::choice: {
        const std::string all = "," + std::string(row.choices) + ",";
        return all.find("," + text + ",") != std::string::npos && !text.empty() ? "" : "`" + text + "` is not one of " + split_join(row.choices, ", ");
      }
      case Kind::count: return range_complaint(row, parse_amount(text, std::span(k_sizes).first(1)), "a number");
      case Kind::duration: return range_complaint(row, parse_amount(text, k_durations), "a duration such as 250ms, 30s, 5m or 8h");
      case Kind::size: return range_complaint(row, parse_amount(text, k_sizes), "a size such as 4096, 256KiB or 64MiB");
    }
    return "";
  }

  static std::string range_complaint(const SettingRow& row, std::optional<std::uint64_t> amount, const std::string& expected) {
    if (!amount) return "expected " + expected;
    if (*amount >= row.least && *amount <= row.most) return "";
    const std::string unit = row.kind == Kind::duration ? "ms" : row.kind == Kind::size ? " bytes" : "";
    return "must be between " + std::to_string(row.least) + unit + " and " + std::to_string(row.most) + unit;
  }

  std::string file_;
  std::map<std::string, std::string, std::less<>> given_;
  std::map<std::string, YAML::Mark, std::less<>> marks_;
  std::string problems_;
  std::size_t problem_count_ = 0;
};

std::string host_name() {
  utsname name{};
  return uname(&name) == 0 && name.nodename[0] != '\0' ? name.nodename : "localhost";
}

/// The value that a service gets: plain numbers instead of units.
std::string for_service(const SettingRow& row, const std::string& value) {
  if (row.kind == Kind::duration) return std::to_string(parse_amount(value, k_durations).value_or(0));
  if (row.kind == Kind::size) return std::to_string(parse_amount(value, k_sizes).value_or(0));
  return value;
}

std::string for_file(const SettingRow& row, const std::string& value) {
  if (row.kind == Kind::list) return value.empty() ? "[]" : "[\"" + split_join(value, "\", \"") + "\"]";
  if (value.empty()) return "null";
  if (row.kind == Kind::text || row.kind == Kind::path) return "\"" + value + "\"";
  return value;
}

std::string render_effective(const std::map<std::string, std::string, std::less<>>& values) {
  std::string out;
  std::string section;
  for (const SettingRow& row : k_settings) {
    const auto dot = row.key.find('.');
    const std::string here = dot == std::string_view::npos ? "" : std::string(row.key.substr(0, dot));
    if (here != section) out += here + ":\n";
    section = here;
    const std::string name(dot == std::string_view::npos ? row.key : row.key.substr(dot + 1));
    out += (here.empty() ? "" : "  ") + name + ": " + for_file(row, values.find(row.key)->second) + "\n";
  }
  return out;
}

}  // namespace

Settings Config::settings_for(std::string_view service) const {
  Settings own = settings;
  own.set("state_dir", state_of(service).string());
  own.set("service", std::string(service));
  return own;
}

Result<Config> parse_config(std::string_view yaml, const std::string& file) {
  if (yaml.size() > k_max_file) return fail(Errc::invalid, file + ": larger than 1 MiB");
  if (const std::string place = place_not_utf8(yaml); !place.empty())
    return fail(Errc::invalid, file + ":" + place + ": not UTF-8 text; save the file as UTF-8");
  Reader reader(file);
  reader.read(yaml);
  std::map<std::string, std::string, std::less<>> values;
  for (const SettingRow& row : k_settings) values.emplace(std::string(row.key), reader.value(row.key));
  if (values["node"].empty()) values["node"] = host_name();
  if (values["ring_dir"].empty()) values["ring_dir"] = values["run_dir"] + "/rings";
  if (values["seal.key_file"].empty()) values["seal.key_file"] = values["state_dir"] + "/seal.key";
  if (values["public_address"].empty()) values["public_address"] = values["listen"].substr(0, values["listen"].find(','));
  if (values["listen"].empty()) reader.problem(reader.mark_of("listen"), "`listen` needs at least one address");
  if (const std::string& origin = values["admin.origin"]; !origin.empty())
    if (const auto right = passkey::parse_origin(origin); !right) reader.problem(reader.mark_of("admin.origin"), "`admin.origin`: " + right.error().detail);
  if (const std::string& database = values["search.database"]; !database.empty() && !database.starts_with('/'))
    if (const auto right = postgres::parse_place(database); !right) reader.problem(reader.mark_of("search.database"), "`search.database`: " + right.error().detail);
  if (std::stoull(values["limits.early_drop_from"]) > std::stoull(values["limits.unauthenticated"]))
    reader.problem(reader.mark_of("limits.early_drop_from"), "`limits.early_drop_from` is above `limits.unauthenticated`");
  if (!reader.problems().empty()) {
    std::string all = reader.problems();
    all.pop_back();
    return fail(Errc::invalid, all);
  }
  Config config;
  config.file = file;
  config.node = values["node"];
  config.state_dir = values["state_dir"];
  config.run_dir = values["run_dir"];
  config.ring_dir = values["ring_dir"];
  for (const SettingRow& row : k_settings)
    if (!row.service.empty() && !(row.kind == Kind::path && values.find(row.key)->second.empty()))
      config.settings.set(std::string(row.service), for_service(row, values.find(row.key)->second));
  Settings lists;
  lists.set("listen", values["listen"]);
  config.listen = lists.list("listen");
  config.settings.set("admin_socket", config.admin_socket().string());
  if (const auto right = authority::read_directory_settings(config.settings); !right) {
    const std::string& what = right.error().detail;
    const std::string key = what.substr(0, what.find(": "));
    reader.problem(reader.mark_of(key), "`" + key + "`" + what.substr(key.size()));
    std::string all = reader.problems();
    all.pop_back();
    return fail(Errc::invalid, all);
  }
  config.ring_bytes = config.settings.number("ring_bytes", 0);
  config.drain = config.settings.duration("drain_ms", std::chrono::seconds(30));
  config.effective = render_effective(values);
  return config;
}

Result<Config> load_config(const std::filesystem::path& file) {
  // A folder opens and reads as nothing at all, which would be a configuration of defaults.
  std::error_code ignored;
  if (std::filesystem::is_directory(file, ignored)) return fail(Errc::invalid, file.string() + ": is a folder, not a configuration file");
  std::ifstream in(file, std::ios::binary);
  if (!in && errno == EACCES)
    return fail(Errc::denied, file.string() + ": cannot be read: permission denied. Run as its owner or as root, or name another with --config");
  if (!in) return fail(Errc::not_found, file.string() + ": cannot be read. `sallyport init` makes a configuration, `sallyport demo` needs none");
  std::ostringstream text;
  text << in.rdbuf();
  if (in.bad()) return fail(Errc::unavailable, file.string() + ": cannot be read whole");
  return parse_config(text.str(), file.string());
}

}  // namespace sallyport::app
