#include "recorder/shipping_desk.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "platform/model/json_text.h"
#include "platform/model/settings.h"

namespace sallyport::recorder {
namespace {

using std::chrono::seconds;

constexpr int k_control_descriptor = 3;
constexpr BootTime k_longest_pause = seconds(30);
constexpr BootTime k_stable_after = seconds(60);
constexpr std::size_t k_max_json = 8 * 1024;

}  // namespace

ShippingDesk::ShippingDesk(std::string settings, int epoll, std::uint64_t epoll_tag, Clock& clock, Event event)
    : settings_(std::move(settings)), epoll_(epoll), tag_(epoll_tag), clock_(clock), event_(std::move(event)) {
  use_settings(settings_);
}

ShippingDesk::~ShippingDesk() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void ShippingDesk::use_settings(std::string settings) {
  settings_ = std::move(settings);
  if (const auto parsed = Settings::parse(settings_)) strict_ = parsed->flag("store_strict", true);
  control::Envelope envelope;
  envelope.mutable_reload()->set_config_yaml(settings_);
  if (pid_ > 0) say(std::move(envelope));
}

void ShippingDesk::start() {
  auto pair = control::Link::make_pair();
  if (!pair) return ended();
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  int child_end = pair->second.get();
  Fd moved;
  if (child_end == k_control_descriptor) {  // dup2 onto itself would leave it close-on-exec
    moved.reset(::fcntl(child_end, F_DUPFD_CLOEXEC, k_control_descriptor + 1));
    child_end = moved.get();
  }
  posix_spawn_file_actions_adddup2(&actions, child_end, k_control_descriptor);
  posix_spawn_file_actions_addclosefrom_np(&actions, k_control_descriptor + 1);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  char self[] = "/proc/self/exe", verb[] = "service", name[] = "shipper", program[] = "sallyport";
  char* const arguments[] = {program, verb, name, nullptr};
  char path[] = "PATH=/usr/bin:/bin";
  char* const environment[] = {path, nullptr};
  pid_t pid = 0;
  const int failed = ::posix_spawn(&pid, self, &actions, &attributes, arguments, environment);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  started_at_ = clock_.boot();
  if (failed != 0) {
    event_("store.shipper_ended", {}, "{\"reason\":" + json_quote(std::string("it cannot be started: ") + std::strerror(failed)) + "}");
    return ended();
  }
  pid_ = pid;
  link_ = control::Link(std::move(pair->first));
  epoll_event watch{};
  watch.events = EPOLLIN;
  watch.data.u64 = tag_;
  ::epoll_ctl(epoll_, EPOLL_CTL_ADD, link_.native(), &watch);
  told_file_ = told_offset_ = 0;
  control::Envelope envelope;
  envelope.mutable_reload()->set_config_yaml(settings_);
  say(std::move(envelope));
  if (!held_.empty()) hold(held_);
  durable_up_to(durable_file_, durable_offset_);
}

void ShippingDesk::hold(std::vector<std::string> sessions) {
  held_ = std::move(sessions);
  if (pid_ <= 0) return;
  control::Envelope envelope;
  for (const std::string& session : held_) envelope.mutable_ship_hold()->add_sessions(session);
  envelope.mutable_ship_hold();
  say(std::move(envelope));
}

void ShippingDesk::ended() {
  if (link_.is_open()) ::epoll_ctl(epoll_, EPOLL_CTL_DEL, link_.native(), nullptr);
  link_.close();
  int status = 0;
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, &status, 0);
    if (!stopping_)
      event_("store.shipper_ended", {}, "{\"status\":" + std::to_string(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status)) + "}");
  }
  pid_ = 0;
  const BootTime now = clock_.boot();
  quick_ends_ = now - started_at_ > k_stable_after ? 1 : std::min(quick_ends_ + 1, 6U);
  start_at_ = now + std::min<BootTime>(quick_ends_ <= 1 ? BootTime(0) : BootTime(seconds(1)) * (1 << (quick_ends_ - 2)), k_longest_pause);
}

void ShippingDesk::tick() {
  if (!stopping_ && pid_ <= 0 && clock_.boot() >= start_at_) start();
  if (pid_ > 0) durable_up_to(durable_file_, durable_offset_);  // its link may have been full the last time
}

std::optional<BootTime> ShippingDesk::next_tick() const {
  if (stopping_ || pid_ > 0) return std::nullopt;
  return start_at_;
}

void ShippingDesk::read() {
  while (pid_ > 0) {
    auto received = link_.receive();
    if (!received) return ended();
    if (!*received) return;
    const auto& envelope = (*received)->envelope;
    if (envelope.has_ship_report()) {
      report_ = envelope.ship_report();
    } else if (envelope.has_ship_event()) {
      const auto& said = envelope.ship_event();
      // It talks to the network: what it says goes into the log under its own names only.
      const bool may = said.name().starts_with("store.") || said.name() == "checkpoint.witness_failed" || said.name() == "checkpoint.timestamped" || said.name() == "checkpoint.timestamp_failed" || said.name() == "retention.expired" || said.name() == "recording.retention";
      if (may && said.json().size() <= k_max_json) event_(said.name(), said.session(), said.json());
    }
  }
}

void ShippingDesk::durable_up_to(std::uint64_t file, std::uint64_t offset) {
  durable_file_ = file;
  durable_offset_ = offset;
  if (pid_ <= 0 || file == 0 || (file == told_file_ && offset == told_offset_)) return;
  control::Envelope envelope;
  envelope.mutable_ship_up_to()->set_file(file);
  envelope.mutable_ship_up_to()->set_offset(offset);
  // A full link means that it is busy with a slow store: it hears the newest place when it reads again.
  if (!link_.send(std::move(envelope))) return;
  told_file_ = file;
  told_offset_ = offset;
}

void ShippingDesk::witness(const std::string& body, const std::string& line) {
  if (pid_ <= 0) return;
  control::Envelope envelope;
  envelope.mutable_checkpoint_signature()->set_body(body);
  envelope.mutable_checkpoint_signature()->set_line(line);
  say(std::move(envelope));
}

void ShippingDesk::say(control::Envelope envelope) {
  if (auto sent = link_.send(std::move(envelope)); !sent && sent.error().code != Errc::unavailable) ended();
}

void ShippingDesk::stop(std::chrono::milliseconds grace) {
  stopping_ = true;
  if (pid_ <= 0) return;
  durable_up_to(durable_file_, durable_offset_);
  control::Envelope envelope;
  envelope.mutable_shutdown()->set_grace_ms(static_cast<std::uint32_t>(grace.count()));
  say(std::move(envelope));
}

std::string ShippingDesk::trouble() const {
  if (!strict_) return {};
  if (!report_.refused().empty()) return "SP-4102 the object store: " + report_.refused();
  if (report_.spool_percent() >= 100)
    return "SP-4101 the spool is full: " + std::to_string(report_.waiting_bytes()) + " bytes wait for the object store" +
           (report_.trouble().empty() ? "" : " (" + report_.trouble() + ")");
  return {};
}

}  // namespace sallyport::recorder
