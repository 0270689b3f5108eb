#include "policy/access/load.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "platform/model/utf8.h"
#include "policy/access/policy_tests.h"
#include "policy/access/read_documents.h"

namespace sallyport::policy {
namespace {

bool is_policy_file(std::string_view name) { return name.ends_with(".yaml") || name.ends_with(".yml") || name.ends_with(".json"); }

void read_file(ReadState& state, const SourceFile& file, std::vector<Diagnostic>& problems) {
  const auto tree = parse_yaml(file.name, file.content, problems);
  if (!tree) return;
  const FileContext context{std::make_shared<const std::string>(file.name), &problems};
  const Spot root(context, *tree, "");
  if (!root.is_map_of({"principals", "trusted_user_cas", "groups", "targets", "roles", "bindings", "break_glass", "tests"})) return;
  const auto read_list = [&](std::string_view key, void (*read)(ReadState&, const Spot&)) {
    if (const auto list = root.field(key)) {
      list->each([&](const Spot& item) { read(state, item); });
    }
  };
  read_list("principals", read_principal);
  read_list("trusted_user_cas", read_user_ca);
  read_list("groups", read_group);
  read_list("targets", read_target);
  read_list("roles", read_role);
  read_list("bindings", read_binding);
  read_list("tests", read_test);
  if (const auto glass = root.field("break_glass")) read_break_glass(state, *glass);
}

constexpr std::uintmax_t k_max_attachment = 16 * 1024 * 1024;

/// What has the name of a policy file is read or refused, never passed over: the file that is left out may be the one that denies.
Result<std::string> read_one(const std::filesystem::directory_entry& entry, std::uintmax_t limit) {
  std::error_code error;
  const auto status = entry.status(error);
  if (status.type() == std::filesystem::file_type::not_found) return fail(Errc::invalid, "a link that leads nowhere");
  if (error) return fail(Errc::invalid, error.message());
  if (status.type() != std::filesystem::file_type::regular) return fail(Errc::invalid, "is not a file, but has the name of a policy file; move it elsewhere");
  const std::uintmax_t size = entry.file_size(error);
  if (error) return fail(Errc::unavailable, error.message());
  if (size > limit) return fail(Errc::invalid, "too large: at most " + std::to_string(limit / (1024 * 1024)) + " MiB");
  std::ifstream stream(entry.path(), std::ios::binary);
  if (!stream) return fail(errno == EACCES ? Errc::denied : Errc::unavailable, std::string("cannot be read: ") + std::strerror(errno));
  std::ostringstream content;
  content << stream.rdbuf();
  // An empty file inserts nothing, which sets failbit of `content`, not of `stream`.
  if (stream.bad()) return fail(Errc::unavailable, "cannot be read");
  return std::move(content).str();
}

}  // namespace

Loaded load_policy(std::span<const SourceFile> files) {
  Loaded loaded;
  Documents documents;
  ReadState state{&documents, files};
  for (const SourceFile& file : files) {
    if (is_policy_file(file.name)) read_file(state, file, loaded.problems);
  }
  if (!loaded.problems.empty()) return loaded;
  loaded.snapshot = Snapshot::compile(std::move(documents), loaded.problems);
  if (loaded.snapshot) {
    loaded.problems = run_tests(*loaded.snapshot, loaded.snapshot->tests());
    if (!loaded.problems.empty()) loaded.snapshot.reset();
  }
  if (loaded.problems.size() > k_max_diagnostics) loaded.problems.resize(k_max_diagnostics);
  return loaded;
}

Result<std::vector<SourceFile>> read_policy_folder(const std::string& folder) {
  namespace fs = std::filesystem;
  std::error_code error;
  std::vector<SourceFile> files;
  fs::directory_iterator entries(folder, error);
  if (error) return fail(error == std::errc::permission_denied ? Errc::denied : Errc::not_found, folder + ": " + error.message());
  for (const auto& entry : entries) {
    const std::string name = entry.path().filename().string();
    const bool is_policy = is_policy_file(name);
    if (name.starts_with('.') || (!is_policy && !name.ends_with(".bin") && !name.ends_with(".krl"))) continue;
    auto file = read_one(entry, is_policy ? k_max_policy_file : k_max_attachment);
    if (!file) return fail(file.error().code, name + ": " + file.error().detail);
    // Of JSON and YAML alike only UTF-8 is read; said here, where the place is known.
    if (const std::string place = is_policy ? place_not_utf8(*file) : ""; !place.empty())
      return fail(Errc::invalid, name + ":" + place + ": not UTF-8 text; save the file as UTF-8");
    files.push_back(SourceFile{name, std::move(*file)});
  }
  std::sort(files.begin(), files.end(), [](const SourceFile& a, const SourceFile& b) { return a.name < b.name; });
  if (std::none_of(files.begin(), files.end(), [](const SourceFile& f) { return is_policy_file(f.name); })) {
    return fail(Errc::not_found, folder + ": no policy file (.yaml, .yml or .json)");
  }
  return files;
}

}  // namespace sallyport::policy
