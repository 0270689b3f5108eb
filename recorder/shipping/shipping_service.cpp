#include "recorder/shipping/shipping_service.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <deque>

#include "platform/control/link.h"
#include "platform/crypto/note.h"
#include "platform/model/json_text.h"
#include "platform/os/step_back.h"
#include "platform/os/write_limits.h"
#include "recorder/shipping/stamper.h"
#include "recorder/shipping/store_options.h"
#include "recorder/shipping/syslog_tls.h"
#include "recorder/witness.h"

namespace sallyport::recorder {
namespace {

using std::chrono::milliseconds;

constexpr int k_nice = 10;
constexpr milliseconds k_check_again{10'000};
constexpr milliseconds k_report_every{1'000};
constexpr BootTime k_witness_pause = std::chrono::seconds(10);
constexpr std::size_t k_most_notes = 64;

void become_shipper() {
  os::step_back(k_nice);
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

class ShippingService {
 public:
  explicit ShippingService(Fd link) : link_(std::move(link)) {}

  int run() {
    for (;;) {
      milliseconds wait{-1};
      if (shipper_) wait = shipper_->step();
      else if (configured_ && !places_.url.empty()) wait = prepare();
      tell_witness();
      if (!notes_.empty() && (wait < milliseconds(0) || wait > milliseconds(1000))) wait = milliseconds(1000);
      report();
      if (!read_link(wait)) return 0;
      if (stopping_) return 0;
    }
  }

 private:
  void event(std::string_view name, const std::string& session, const std::string& json) {
    control::Envelope envelope;
    envelope.mutable_ship_event()->set_name(std::string(name));
    envelope.mutable_ship_event()->set_session(session);
    envelope.mutable_ship_event()->set_json(json);
    send(std::move(envelope));
  }

  void send(control::Envelope envelope) {
    for (int tries = 0; tries < 100; ++tries) {
      const auto sent = link_.send(envelope);
      if (sent || sent.error().code != Errc::unavailable) return;
      pollfd full{link_.native(), POLLOUT, 0};
      ::poll(&full, 1, 50);
    }
  }

  void report() {
    control::Envelope envelope;
    auto& report = *envelope.mutable_ship_report();
    if (shipper_) {
      const auto& now = shipper_->progress();
      report.set_file(now.file);
      report.set_offset(now.offset);
      report.set_waiting_bytes(now.waiting_bytes);
      report.set_spool_percent(now.spool_percent);
      report.set_trouble(now.trouble);
      report.set_parcels(now.parcels);
    }
    report.set_refused(refused_);
    const std::string text = report.SerializeAsString();
    const auto now = system_clock().boot();
    if (text == told_ || (now - told_at_ < k_report_every && refused_ == told_refused_ && report.trouble() == told_trouble_ && report.spool_percent() == told_percent_)) return;
    told_ = text;
    told_at_ = now;
    told_refused_ = refused_;
    told_trouble_ = report.trouble();
    told_percent_ = report.spool_percent();
    send(std::move(envelope));
  }

  bool read_link(milliseconds wait) {
    pollfd ready{link_.native(), POLLIN, 0};
    ::poll(&ready, 1, static_cast<int>(std::min<std::int64_t>(wait.count(), 60'000)));
    for (;;) {
      auto received = link_.receive();
      if (!received) return false;
      if (!*received) return true;
      const auto& envelope = (*received)->envelope;
      if (envelope.has_checkpoint_signature()) keep_for_witness(envelope.checkpoint_signature());
      else if (envelope.has_ship_hold()) {
        held_.assign(envelope.ship_hold().sessions().begin(), envelope.ship_hold().sessions().end());
        if (shipper_) shipper_->hold(held_);
      } else if (envelope.has_reload()) take_settings(envelope.reload().config_yaml());
      else if (envelope.has_ship_up_to()) {
        durable_ = {envelope.ship_up_to().file(), envelope.ship_up_to().offset()};
        if (shipper_) shipper_->durable_up_to(durable_.first, durable_.second);
      } else if (envelope.has_shutdown()) {
        if (shipper_) shipper_->finish(milliseconds(envelope.shutdown().grace_ms()));
        report();
        stopping_ = true;
        return true;
      }
    }
  }

  void keep_for_witness(const control::CheckpointSignature& checkpoint) {
    if (stamper_) stamper_->take(crypto::join_note(checkpoint.body(), checkpoint.line()));
    if (!syslog_) return;
    const std::string line = syslog_line_of(crypto::join_note(checkpoint.body(), checkpoint.line()));
    if (notes_.size() >= k_most_notes) notes_.pop_front();  // each checkpoint covers the ones before
    if (!line.empty()) notes_.push_back(syslog_frame(system_clock().wall(), syslog_node_, "checkpoint", line));
    tell_witness();
  }

  void tell_witness() {
    while (syslog_ && !notes_.empty() && system_clock().boot() >= next_note_at_) {
      const auto sent = syslog_->send(notes_.front());
      if (!sent) {
        next_note_at_ = system_clock().boot() + k_witness_pause;
        if (!std::exchange(told_witness_, true)) event("checkpoint.witness_failed", {}, "{\"reason\":" + json_quote(sent.error().detail) + "}");
        return;
      }
      told_witness_ = false;
      notes_.pop_front();
    }
  }

  void take_settings(const std::string& text) {
    auto settings = Settings::parse(text);
    if (!settings) return refuse(settings.error().detail);
    const auto syslog = syslog_tls_options(*settings);
    syslog_ = syslog.server.empty() ? nullptr : std::make_unique<SyslogTls>(syslog);
    syslog_node_ = syslog.node;
    auto stamps = stamp_options(*settings);
    stamper_ = stamps.url.empty() ? nullptr
                                  : std::make_unique<Stamper>(std::move(stamps), system_clock(), crypto::system_random(),
                                                              [this](std::string_view name, const std::string& json) { event(name, {}, json); });
    auto options = ship_options(*settings);
    if (!options) return refuse(options.error().detail);
    options_ = std::move(*options);
    places_ = store_settings(*settings);
    shipper_.reset();
    configured_ = true;
  }

  void refuse(const std::string& why) {
    if (refused_ == why) return;
    refused_ = why;
    event("store.refused", {}, "{\"decision\":\"deny\",\"code\":\"SP-4102\",\"reason\":" + json_quote(why) + "}");
  }

  /// Looks whether the store does what it is asked for, then begins.
  milliseconds prepare() {
    auto writer = open_store(places_, StoreUse::write, system_clock(), crypto::system_random());
    auto reader = open_store(places_, StoreUse::read, system_clock(), crypto::system_random(), 2);
    if (!writer || !reader) {
      refuse(!writer ? writer.error().detail : reader.error().detail);
      return k_check_again;
    }
    if (!confined_) {
      ::mkdir(options_.state_dir.c_str(), 0700);
      if (!places_.url.starts_with("dir:")) {
        const std::filesystem::path own[] = {options_.state_dir};
        // False is an older kernel; `sallyport doctor` says so.
        if (auto limited = os::write_only_below(own, os::Programs::none); !limited) {
          refuse("the shipper could not be confined: " + limited.error().detail);
          return k_check_again;
        }
      }
      confined_ = true;
    }
    bool lock_known = true;
    if (options_.keep.count() > 0 || !options_.rules.empty()) {
      std::chrono::seconds keep = options_.keep;
      for (const auto& rule : options_.rules) keep = std::max(keep, rule.keep);
      const auto checks = check_store(*writer, *reader, options_.node, keep, options_.compliance, system_clock(), crypto::system_random());
      for (const auto& check : checks) {
        // A store that is away is waited for: the journal is the spool, and it says so when that is full.
        if (check.name == "lock" && !check.good && check.required) {
          refuse(check.detail);
          return k_check_again;
        }
        if (check.name == "lock" && !check.good) lock_known = false;
        if (check.name == "write" && !check.good && check.detail.find("InvalidRequest") != std::string::npos) {
          refuse("the bucket has no object lock: " + check.detail);
          return k_check_again;
        }
      }
    }
    writer_ = std::move(*writer);
    auto opened = Shipper::open(options_, *writer_.store, system_clock(),
                                [this](std::string_view name, const std::string& session, const std::string& json) { event(name, session, json); });
    if (!opened) {
      refuse(opened.error().detail);
      return k_check_again;
    }
    shipper_.emplace(std::move(*opened));
    refused_.clear();
    event("store.shipping", {}, "{\"store\":" + json_quote(places_.url) + ",\"lock\":\"" + (options_.keep.count() == 0 && options_.rules.empty() ? "none" : lock_known ? "held" : "not readable") + "\"}");
    shipper_->hold(held_);
    shipper_->durable_up_to(durable_.first, durable_.second);
    return milliseconds(0);
  }

  control::Link link_;
  std::unique_ptr<SyslogTls> syslog_;
  std::unique_ptr<Stamper> stamper_;
  std::string syslog_node_;
  std::deque<std::string> notes_;
  BootTime next_note_at_{};
  bool told_witness_ = false;
  ShipOptions options_;
  StoreSettings places_;
  OpenedStore writer_;
  std::optional<Shipper> shipper_;
  std::vector<std::string> held_;
  std::pair<std::uint64_t, std::uint64_t> durable_{0, 0};
  bool configured_ = false;
  bool confined_ = false;
  bool stopping_ = false;
  std::string refused_;
  std::string told_, told_refused_, told_trouble_;
  unsigned told_percent_ = 0;
  BootTime told_at_{};
};

}  // namespace

int run_shipping_service(Fd recorder_link) {
  std::signal(SIGPIPE, SIG_IGN);
  become_shipper();
  return ShippingService(std::move(recorder_link)).run();
}

}  // namespace sallyport::recorder
