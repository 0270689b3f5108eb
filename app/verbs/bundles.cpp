// Bundles: slices of recordings that prove themselves.
#include <fcntl.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <set>

#include "app/verbs/exit_codes.h"
#include "app/verbs/recording_proof.h"
#include "platform/os/fd.h"
#include "recorder/replay/bundle.h"
#include "recorder/replay/session_list.h"

namespace sallyport::app {
namespace {

namespace json = boost::json;

std::optional<std::string> whole_text(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(in), {});
}

bool write_whole(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

/// "12" or "20-25".
Result<std::set<std::uint64_t>> entry_numbers(const std::vector<std::string>& words) {
  std::set<std::uint64_t> numbers;
  for (const std::string& word : words) {
    std::uint64_t first = 0, last = 0;
    char more = 0;
    const int read = std::sscanf(word.c_str(), "%" SCNu64 "-%" SCNu64 "%c", &first, &last, &more);
    if (read == 1) last = first;
    if ((read != 1 && read != 2) || first < 2 || last < first || last - first > 10'000'000)
      return fail(Errc::invalid, "--redact " + word + ": give entries, such as 12 or 20-25 (entry 1 says whose session it is and stays)");
    for (std::uint64_t each = first; each <= last; ++each) numbers.insert(each);
  }
  return numbers;
}

}  // namespace

int export_bundle(const ExportVerbOptions& options) {
  const auto session = replay::find_session(options.place.journal, options.session, liveness(options.place));
  if (!session) return report(session.error());
  replay::BundleOptions bundle;
  bundle.journal = options.place.journal;
  bundle.session = session->session;
  auto redacted = entry_numbers(options.redact);
  if (!redacted) return report(redacted.error());
  bundle.redacted = std::move(*redacted);
  if (options.from) bundle.from = std::chrono::microseconds(static_cast<std::int64_t>(*options.from * 1e6));
  if (options.to) bundle.to = std::chrono::microseconds(static_cast<std::int64_t>(std::min(*options.to, 1e9) * 1e6));
  KeySource keys = options.keys;
  keys.input = true;  // a slice holds what went in, too
  auto key = session_key(keys, session->session, session->wrapped_key);
  if (!key) return report(key.error());
  bundle.key = std::move(*key);
  std::string text;
  const auto made = replay::write_bundle(bundle, [&](std::string_view bytes) {
    text += bytes;
    return true;
  });
  if (!made) return report(made.error());
  if (options.output == "-") return write_whole(STDOUT_FILENO, text) ? k_exit_ok : report(Error{Errc::internal, "the bundle could not be written"});
  const Fd file(::open(options.output.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file || !write_whole(file.get(), text)) return report(Error{errno == EEXIST ? Errc::conflict : Errc::invalid, "writing " + options.output + ": " + std::strerror(errno)});
  return k_exit_ok;
}

int run_verify_bundle(const Common& common, const std::string& file, const std::vector<std::string>& checkpoint_keys) {
  const auto text = whole_text(file);
  if (!text) return report(Error{Errc::not_found, file + ": cannot be read"});
  std::vector<crypto::NoteKey> keys;
  for (const std::string& given : checkpoint_keys) {
    const auto lines = std::filesystem::exists(given) ? whole_text(given) : std::optional(given);
    auto some = lines ? keys_in(*lines) : Result<std::vector<crypto::NoteKey>>(fail(Errc::invalid, "cannot be read"));
    if (!some) return report(Error{Errc::invalid, "--checkpoint-key " + given + ": " + some.error().detail});
    keys.insert(keys.end(), some->begin(), some->end());
  }
  const auto checked = replay::verify_bundle(*text, keys);
  if (!checked) return report(checked.error());
  json::array findings, not_checked;
  for (const auto& finding : checked->findings) findings.push_back(json::value(finding));
  for (const auto& point : checked->not_checked) not_checked.push_back(json::value(point));
  print_object(common, json::object{{"verified", checked->findings.empty()}, {"session", checked->session}, {"first_entry", checked->first}, {"last_entry", checked->last},
                                    {"entries", checked->entries}, {"redacted", checked->redacted}, {"opened", checked->opened}, {"proof_bytes", checked->proof_bytes},
                                    {"leaves", checked->leaves}, {"findings", std::move(findings)}, {"not_checked", std::move(not_checked)}});
  return checked->findings.empty() ? k_exit_ok : k_exit_verification_failed;
}

}  // namespace sallyport::app
