#include "app/verbs/audit_export.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <deque>
#include <fstream>
#include <optional>
#include <sstream>
#include <thread>
#include <vector>

#include "admin/sinks/event_sink.h"
#include "app/config.h"
#include "app/verbs/exit_codes.h"
#include "app/version.h"
#include "platform/model/bytes.h"
#include "platform/os/fd.h"
#include "recorder/replay/journal_files.h"

namespace sallyport::app {
namespace {

namespace json = boost::json;
using Steady = std::chrono::steady_clock;
using Position = replay::JournalFiles::Position;

constexpr std::size_t k_most_in_batch = 200;
constexpr std::size_t k_most_bytes_in_batch = 1024 * 1024;
constexpr std::chrono::milliseconds k_look_again{200};
constexpr std::chrono::milliseconds k_first_pause{500};
constexpr std::chrono::milliseconds k_longest_pause{30'000};

volatile std::sig_atomic_t stopped = 0;

std::uint64_t number_at(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_int64() && value->get_int64() >= 0 ? static_cast<std::uint64_t>(value->get_int64()) : 0;
}

/// Nothing: there is no cursor yet.
Result<std::optional<Position>> read_cursor(const std::filesystem::path& file) {
  if (file.empty()) return std::nullopt;
  std::ifstream in(file, std::ios::binary);
  if (!in) {
    if (errno == ENOENT) return std::nullopt;
    return fail(Errc::unavailable, file.string() + ": " + std::strerror(errno));
  }
  std::ostringstream text;
  text << in.rdbuf();
  json::error_code wrong;
  const json::value parsed = json::parse(text.str(), wrong);
  const json::object* object = wrong ? nullptr : parsed.if_object();
  if (object == nullptr || number_at(*object, "next_frame") == 0)
    return fail(Errc::corrupt, file.string() + ": no cursor of `audit export`; remove it to send everything from the beginning again");
  return Position{number_at(*object, "file"), number_at(*object, "offset"), number_at(*object, "next_frame")};
}

/// The old cursor or the new one, never half of one.
Result<void> write_cursor(const std::filesystem::path& file, const Position& position, const std::string& newest) {
  if (file.empty()) return {};
  const std::string text = json::serialize(json::object{{"file", position.file}, {"offset", position.offset}, {"next_frame", position.next_frame}, {"newest_event", newest}}) + "\n";
  const std::string fresh = file.string() + ".new";
  const auto failed = [&] { return fail(Errc::unavailable, fresh + ": " + std::strerror(errno)); };
  {
    const Fd out(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!out || ::write(out.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) || ::fsync(out.get()) != 0) return failed();
  }
  if (::rename(fresh.c_str(), file.c_str()) != 0) return failed();
  return {};
}

/// Two exporters with one cursor would each skip what the other has sent.
Result<Fd> lock_cursor(const std::filesystem::path& file) {
  if (file.empty()) return Fd();
  const std::string path = file.string() + ".lock";
  Fd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock) return fail(Errc::unavailable, path + ": " + std::strerror(errno));
  struct flock whole {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (::fcntl(lock.get(), F_SETLK, &whole) != 0) return fail(Errc::conflict, file.string() + ": another `audit export` uses this cursor");
  return lock;
}

Result<Secret> read_key(const std::string& file) {
  if (file.empty()) return Secret(ByteView());
  std::ifstream in(file, std::ios::binary);
  if (!in) return fail(Errc::not_found, file + ": cannot be read");
  std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  if (text.size() < 16) return fail(Errc::invalid, file + ": at least 16 bytes sign the deliveries");
  return Secret(bytes_of(text));
}

/// What the receiver has taken, but could still lose.
struct Doubtful {
  Steady::time_point delivered;
  Position after;
  std::string newest;
};

class Exporter {
 public:
  Exporter(const AuditExportOptions& options, replay::JournalPlace place, admin::EventSink& sink) : options_(options), place_(std::move(place)), sink_(sink) {}

  int run(std::optional<Position> start) {
    confirmed_ = start;
    if (auto opened = open(); !opened) return report(opened.error());
    while (stopped == 0) {
      if (auto kept = confirm(Steady::now() - sink_.doubt()); !kept) return report(kept.error());
      std::vector<admin::OutgoingEvent> batch = read_batch();
      if (batch.empty()) {
        if (!options_.follow) return finish();
        std::this_thread::sleep_for(k_look_again);
        continue;
      }
      if (auto delivered = sink_.deliver(batch); !delivered) {
        if (!options_.follow) return report(delivered.error());
        if (auto again = wait_and_go_back(delivered.error()); !again) return report(again.error());
        continue;
      }
      if (away_) std::fprintf(stderr, "sallyport: %s is there again\n", options_.to.c_str());
      away_ = false;
      pause_ = k_first_pause;
      if (const auto after = files_->position()) doubtful_.push_back({Steady::now(), *after, batch.back().id});
    }
    return k_exit_interrupted;
  }

 private:
  /// At what is confirmed; the very beginning when nothing is.
  Result<void> open() {
    auto files = confirmed_ ? replay::JournalFiles::resume(place_, *confirmed_) : replay::JournalFiles::open(place_);
    if (!files) return tl::unexpected(confirmed_ ? Error{files.error().code, files.error().detail + " (the cursor " + options_.cursor.string() + " is of another journal?)"} : files.error());
    files_.emplace(std::move(*files));
    files_->on_damage([](const replay::FileDamage& damage) { std::fprintf(stderr, "sallyport: %s: run sallyport verify\n", damage.text.c_str()); });
    return {};
  }

  std::vector<admin::OutgoingEvent> read_batch() {
    std::vector<admin::OutgoingEvent> batch;
    std::size_t bytes = 0;
    while (batch.size() < k_most_in_batch && bytes < k_most_bytes_in_batch) {
      const auto frame = files_->next();
      if (!frame) break;
      if (frame->header.type != static_cast<std::uint32_t>(replay::FrameType::audit_event)) continue;
      const auto event = replay::parse_audit_event(frame->payload);
      if (!event) continue;
      batch.push_back({event->leaf, event->wall_us, std::string(event->id), std::string(event->session), std::string(event->name), std::string(event->json)});
      bytes += event->json.size();
    }
    return batch;
  }

  Result<void> confirm(Steady::time_point before) {
    std::optional<Doubtful> newest;
    while (!doubtful_.empty() && doubtful_.front().delivered <= before) {
      newest = std::move(doubtful_.front());
      doubtful_.pop_front();
    }
    if (!newest) return {};
    confirmed_ = newest->after;
    return write_cursor(options_.cursor, newest->after, newest->newest);
  }

  Result<void> wait_and_go_back(const Error& why) {
    if (!away_) std::fprintf(stderr, "sallyport: %s; waiting for it\n", why.detail.c_str());
    away_ = true;
    doubtful_.clear();
    for (auto waited = std::chrono::milliseconds(0); waited < pause_ && stopped == 0; waited += k_look_again) std::this_thread::sleep_for(k_look_again);
    pause_ = std::min(pause_ * 2, k_longest_pause);
    return open();
  }

  /// Everything was taken. What is still in doubt is given the time in which a broken connection shows.
  int finish() {
    if (!doubtful_.empty()) std::this_thread::sleep_for(sink_.doubt());
    auto kept = confirm(Steady::now());
    return kept ? k_exit_ok : report(kept.error());
  }

  const AuditExportOptions& options_;
  replay::JournalPlace place_;
  admin::EventSink& sink_;
  std::optional<replay::JournalFiles> files_;
  std::optional<Position> confirmed_;
  std::deque<Doubtful> doubtful_;
  std::chrono::milliseconds pause_ = k_first_pause;
  bool away_ = false;
};

}  // namespace

int run_audit_export(const Common& common, const AuditExportOptions& options) {
  const auto format = admin::event_format_of(options.format);
  if (!format) return report(format.error());
  auto webhook_key = read_key(options.webhook_key_file);
  if (!webhook_key) return report(webhook_key.error());
  auto config = load_config(common.config);
  if (!config && options.journal.empty()) return report(config.error());
  const std::filesystem::path journal = options.journal.empty() ? config->state_of("recorder") / "journal" : options.journal;
  admin::SinkOptions to{options.to, *format, config ? config->node : "sallyport", k_version, options.ca_file, options.certificate, options.key, std::move(*webhook_key)};
  auto sink = admin::open_event_sink(std::move(to));
  if (!sink) return report(sink.error());
  auto lock = lock_cursor(options.cursor);
  if (!lock) return report(lock.error());
  auto start = read_cursor(options.cursor);
  if (!start) return report(start.error());
  std::signal(SIGPIPE, SIG_IGN);
  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, [](int) { stopped = 1; });
  return Exporter(options, journal, **sink).run(*start);
}

}  // namespace sallyport::app
