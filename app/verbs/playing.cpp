#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstring>
#include <thread>

#include "app/verbs/exit_codes.h"
#include "app/verbs/feeding.h"
#include "app/verbs/recording_facts.h"
#include "app/verbs/recording_view.h"
#include "platform/model/json_text.h"
#include "recorder/replay/session_walk.h"

namespace sallyport::app {
namespace {

using replay::Part;
using replay::ViewJob;
using std::chrono::microseconds;

std::atomic<bool> interrupted{false};

/// Ctrl-C ends a play or an export in good order. Restores what was before.
class InterruptGuard {
 public:
  InterruptGuard() {
    interrupted = false;
    struct sigaction action {};
    action.sa_handler = [](int) { interrupted = true; };
    sigaction(SIGINT, &action, &before_);
    struct sigaction ignore {};
    ignore.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &ignore, &before_pipe_);
  }
  ~InterruptGuard() {
    sigaction(SIGINT, &before_, nullptr);
    sigaction(SIGPIPE, &before_pipe_, nullptr);
  }
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

 private:
  struct sigaction before_ {};
  struct sigaction before_pipe_ {};
};

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EAGAIN) {
      pollfd wait{fd, POLLOUT, 0};
      poll(&wait, 1, 1000);
      if (interrupted) return false;
      continue;
    }
    if (written < 0 && errno == EINTR && !interrupted) continue;
    if (written <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

void say_what_is_missing(const replay::Played& played) {
  if (played.hashed_bytes > 0) note("sallyport: " + std::to_string(played.hashed_bytes) + " bytes passed that are recorded by their hash only");
  if (played.damaged > 0) note("sallyport: " + std::to_string(played.damaged) + " entries could not be read");
}

/// What was not under a head yet had only its seal to speak for it.
int damaged_entries() {
  note("sallyport: SP-8001 the recording was changed: seals are broken; `sallyport verify` says more");
  return k_exit_verification_failed;
}

std::int64_t microseconds_of(double seconds) { return seconds > 0 ? static_cast<std::int64_t>(std::min(seconds, 86'400.0 * 365) * 1e6) : 0; }

/// "90", "1:30", "1:02:03.5" as microseconds.
std::optional<std::int64_t> parse_offset(std::string_view text) {
  double total = 0;
  int parts = 0;
  while (!text.empty() && parts < 3) {
    const std::size_t colon = text.find(':');
    const std::string_view part = text.substr(0, colon);
    double value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (error != std::errc{} || end != part.data() + part.size() || !(value >= 0) || !std::isfinite(value)) return std::nullopt;
    total = total * 60 + value;
    ++parts;
    if (colon == std::string_view::npos) return microseconds_of(total);
    text.remove_prefix(colon + 1);
  }
  return std::nullopt;
}

/// The first line with `text` at or after `from_us`; its moment.
Result<std::int64_t> find_text(const PlayVerbOptions& options, RecordingView& view, const Secret& key, std::int64_t from_us) {
  std::optional<std::int64_t> found;
  auto watched = watch_session(options.place, view, key, [&](const ViewedLine& line) {
    if (!found && line.when.boot_us >= from_us && line.text.find(options.find) != std::string_view::npos && (!options.channel || *options.channel == line.channel))
      found = line.when.boot_us;
  }, [] { return interrupted.load(); });
  if (!watched) return tl::unexpected(watched.error());
  if (!found) return fail(Errc::not_found, "`" + options.find + "` was not on the screen");
  return *found;
}

void warn_about_size(const ViewJob& job) {
  winsize here{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &here) != 0 || here.ws_col == 0) return;
  if (here.ws_col < job.columns || here.ws_row < job.rows)
    note("sallyport: recorded at " + std::to_string(job.columns) + "x" + std::to_string(job.rows) + ", this terminal has " + std::to_string(here.ws_col) + "x" +
         std::to_string(here.ws_row));
}

}  // namespace

int run_play(const PlayVerbOptions& options) {
  if (!(options.speed >= 0)) return usage_error("--speed must not be negative");
  const auto at = options.at.empty() ? std::optional<std::int64_t>(0) : parse_offset(options.at);
  if (!at) return usage_error("--at is seconds, m:s or h:m:s, not " + options.at);
  auto view = open_view(options.place, options.session, options.damaged);
  if (!view) return report(view.error());
  auto key = session_key(options.keys, view->session.session, view->session.wrapped_key);
  if (!key) return report(key.error());
  const InterruptGuard guard;
  // Nobody saw a screen in a file transfer or a tunnel: what moved is what there is to see.
  const auto& channels = view->session.channels;
  const auto all = [&](std::string_view beginning) {
    return !options.follow && !options.channel && !channels.empty() &&
           std::all_of(channels.begin(), channels.end(), [&](const auto& channel) { return channel.kind.starts_with(beginning); });
  };
  const auto to_stdout = [](std::string_view bytes) { return write_all(STDOUT_FILENO, bytes) && !interrupted; };
  if (const bool files = all("sftp"); files || all("tunnel")) {
    const auto listed = files ? write_file_list(options.place, *view, to_stdout) : write_ledger(options.place, *view, to_stdout);
    return listed ? k_exit_ok : report(listed.error());
  }
  ViewJob job;
  job.session = view->session;
  job.channel = options.channel;
  const bool seeks = !options.at.empty() || !options.find.empty();
  if (!job.channel && (seeks || (view->session.channels.size() > 1 && !options.follow))) job.channel = replay::usual_channel(view->session);
  if (job.channel && view->session.channels.size() > 1)
    note("sallyport: playing channel " + std::to_string(*job.channel) + " of " + std::to_string(view->session.channels.size()) + "; --channel chooses another");
  job.speed = options.speed;
  job.idle_us = microseconds_of(options.idle_limit);
  job.follow = options.follow;
  job.raw = options.raw || isatty(STDOUT_FILENO) == 0;
  std::uint64_t from = 1;
  std::optional<replay::KeyFrame> key_frame;
  if (seeks) {
    const auto first = view->index.first_boot(view->session.session);
    if (!first) return report(first.error());
    job.at_boot_us = *first + *at;
    if (!options.find.empty()) {
      const auto found = find_text(options, *view, *key, job.at_boot_us);
      if (!found) return report(found.error());
      job.at_boot_us = *found;
    }
    const auto entry = view->index.entry_before(view->session.session, job.at_boot_us);
    if (entry && *entry > 0 && view->proof) {
      auto nearest = view->index.key_frame_before(view->session.session, job.channel.value_or(0), *entry);
      if (nearest && *nearest) {
        key_frame = std::move(**nearest);
        from = key_frame->sequence + 1;
      }
    }
  }
  if (isatty(STDOUT_FILENO) != 0) warn_about_size(job);
  auto process = ViewingProcess::start(job, *key,
                                       {.out = [](std::string_view bytes) { return write_all(STDOUT_FILENO, bytes); },
                                        .err = [](std::string_view bytes) { return write_all(STDERR_FILENO, bytes); },
                                        .screen = {},
                                        .line = {},
                                        .interrupted = [] { return interrupted.load(); }});
  if (!process) return report(process.error());
  *key = Secret();
  if (key_frame) process->send(Part::key_frame, replay::key_frame_part(*key_frame));
  const auto fed = options.follow ? feed_live(options.place, *view, *process, from) : feed(options.place, *view, *process, from);
  const auto played = process->finish();
  if (isatty(STDOUT_FILENO) != 0) write_all(STDOUT_FILENO, "\x1b[0m\x1b[?25h\x1b[?1049l\r\n");
  if (interrupted) return k_exit_interrupted;
  if (!fed) return report(Error{fed.error().code, (fed.error().code == Errc::corrupt ? "SP-8001 " : "") + fed.error().detail});
  if (!played) return report(played.error());
  say_what_is_missing(*played);
  if (played->damaged > 0 && !options.damaged) return damaged_entries();
  if (view->session.state == "truncated") note("sallyport: SP-8002 the session is incomplete: it has no end entry");
  return k_exit_ok;
}

int run_export(const ExportVerbOptions& options) {
  static constexpr std::array<std::pair<std::string_view, ViewJob::Kind>, 6> k_formats{{{"asciicast", ViewJob::Kind::asciicast},
                                                                                       {"text", ViewJob::Kind::text},
                                                                                       {"json", ViewJob::Kind::json},
                                                                                       {"stdout", ViewJob::Kind::streams},
                                                                                       {"stderr", ViewJob::Kind::streams},
                                                                                       {"pcapng", ViewJob::Kind::pcapng}}};
  const auto format = std::find_if(k_formats.begin(), k_formats.end(), [&](const auto& known) { return known.first == options.format; });
  const bool facts_only = options.format == "files" || options.format == "ledger";
  if (options.bundle) return export_bundle(options);
  if (format == k_formats.end() && !facts_only) return usage_error("--format is asciicast, text, json, stdout, stderr, files, ledger or pcapng, not " + options.format);
  auto view = open_view(options.place, options.session, options.damaged);
  if (!view) return report(view.error());
  const bool to_file = options.output != "-";
  const std::string draft = options.output + ".part";
  const InterruptGuard guard;
  std::optional<Secret> key;
  if (!facts_only) {
    KeySource keys = options.keys;
    keys.input = options.with_input || options.format == "json" || options.format == "pcapng";
    auto got = session_key(keys, view->session.session, view->session.wrapped_key);
    if (!got) return report(got.error());
    key.emplace(std::move(*got));
  }
  const Fd file(to_file ? ::open(draft.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600) : -1);
  if (to_file && !file) return report(Error{errno == EEXIST ? Errc::conflict : Errc::invalid, "writing " + draft + ": " + std::strerror(errno)});
  bool written = true;
  const replay::Sink sink = [&](std::string_view bytes) {
    written = written && write_all(to_file ? file.get() : STDOUT_FILENO, bytes);
    return written && !interrupted;
  };
  Result<replay::Played> exported = replay::Played{};
  if (facts_only) {
    const auto read = options.format == "files" ? write_file_list(options.place, *view, sink) : write_ledger(options.place, *view, sink);
    if (!read) exported = tl::unexpected(read.error());
  } else {
    ViewJob job;
    job.kind = format->second;
    job.session = view->session;
    job.channel = options.channel;
    job.with_input = options.with_input || options.format == "json" || options.format == "pcapng";
    job.idle_us = microseconds_of(options.idle_limit);
    const replay::Sink nowhere = [](std::string_view) { return true; };
    const bool only_err = options.format == "stderr";
    auto process = ViewingProcess::start(job, *key, {.out = only_err ? nowhere : sink, .err = only_err ? sink : nowhere, .screen = {}, .line = {}, .interrupted = [] { return interrupted.load(); }});
    key.reset();
    if (!process) {
      if (to_file) unlink(draft.c_str());
      return report(process.error());
    }
    auto fed = job.with_input ? feed(options.place, *view, *process, 1, true) : Result<void>();
    if (fed) fed = feed(options.place, *view, *process, 1);
    exported = process->finish();
    if (!fed) exported = tl::unexpected(fed.error());
  }
  const bool whole = exported && written && !interrupted;
  if (to_file && (!whole || rename(draft.c_str(), options.output.c_str()) != 0)) {
    unlink(draft.c_str());
    if (whole) return report(Error{Errc::invalid, "writing " + options.output + ": " + std::strerror(errno)});
  }
  if (interrupted) return k_exit_interrupted;
  if (!written) return report(Error{Errc::internal, "the export could not be written"});
  if (!exported) return report(exported.error());
  say_what_is_missing(*exported);
  return exported->damaged > 0 && !options.damaged ? damaged_entries() : k_exit_ok;
}

}  // namespace sallyport::app
