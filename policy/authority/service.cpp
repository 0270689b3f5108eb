#include "policy/authority/service.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <fstream>

#include <boost/asio/io_context.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "platform/os/log.h"
#include "policy/authority/administration.h"
#include "policy/authority/dialer.h"
#include "policy/authority/glass.h"
#include "policy/authority/live_sessions.h"
#include "policy/authority/requests.h"
#include "policy/authority/self_service.h"
#include "policy/authority/session_links.h"
#include "policy/authority/sign_on.h"
#include "policy/authority/tokens.h"

namespace sallyport::authority {
namespace {

constexpr std::chrono::seconds k_second{1};
constexpr std::chrono::seconds k_lost_after{15};   // a session whose link did not come back by then is over
constexpr std::chrono::seconds k_flush{3};
constexpr std::chrono::seconds k_usual_hold{30};   // sessions may be without a recorder for so long
constexpr std::chrono::hours k_remember{24 * 90};  // ended sessions in the database; the journal keeps all of them
constexpr std::chrono::seconds k_keeper_gone{25};

std::string read_boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

class Service {
 public:
  Service(AuthorityOptions options, Fd keeper_link)
      : options_(std::move(options)),
        clock_(options_.clock != nullptr ? *options_.clock : system_clock()),
        io_(1),
        authority_(io_, clock_, crypto::system_random()),
        administration_(authority_),
        keeper_(std::make_unique<LinkPort>(io_, authority_.deadlines, std::move(keeper_link))) {}

  int run() {
    authority_.boot_id = read_boot_id();
    keeper_->start([this](control::Received received) { on_keeper(std::move(received)); }, [this](const Error&) { on_keeper_gone(); });
    every_second();
    io_.run();
    front_.reset();
    return exit_code_;
  }

 private:
  void on_keeper(control::Received received) {
    const control::Envelope& envelope = received.envelope;
    switch (envelope.body_case()) {
      case control::Envelope::kReload: return on_reload(envelope);
      case control::Envelope::kAttach: return on_attach(std::move(received));
      case control::Envelope::kPing: return on_ping(envelope);
      case control::Envelope::kShutdown: return on_shutdown(std::chrono::milliseconds(envelope.shutdown().grace_ms()));
      default: os::log_line(os::LogEvent::service_unexpected_message, "the keeper sent " + std::string(control::name_of(envelope.body_case())));
    }
  }

  void on_ping(const control::Envelope& ping) {
    control::Envelope ready;
    ready.mutable_ready()->set_detail(serving_ ? "serving" : "starting");
    keeper_->answer(ping, std::move(ready));
  }

  void on_reload(const control::Envelope& envelope) {
    auto settings = Settings::parse(envelope.reload().config_yaml());
    if (!settings) {
      os::log_line(os::LogEvent::service_settings_refused, "settings: " + settings.error().detail);
      if (!authority_.store) stop(2);
      return;
    }
    authority_.settings = std::move(*settings);
    if (authority_.settings.text("desks") == "keeper") {
      authority_.start_desk = [this](const std::string& verb, int socket) {
        control::Envelope wanted;
        wanted.mutable_start_desk()->set_verb(verb);
        const std::array descriptors{socket};
        keeper_->send(std::move(wanted), descriptors);
      };
    }
    os::set_log(authority_.settings.text("log_level", "info"), authority_.settings.text("log_format", "text"));
    authority_.sign_on->memory.set_lasts(std::chrono::duration_cast<std::chrono::seconds>(authority_.settings.duration("factor_memory_ms", std::chrono::milliseconds(0))));
    authority_.listeners.clear();
    for (const std::string& address : authority_.settings.list("listen")) {
      const HostPort parts = split_host_port(address);
      const auto ip = parts.host == "*" ? IpAddress() : IpAddress::parse(parts.host).value_or(IpAddress());
      const auto port = static_cast<std::uint16_t>(std::strtoul(parts.port.c_str(), nullptr, 10));
      if (port != 0) authority_.listeners.push_back({ip, port});
    }
    authority_.own_addresses = own_addresses();
    if (!authority_.store) {
      open_store();
    } else if (serving_) {
      authority_.sign_on->directory->open(authority_.settings);
      if (authority_.settings.has("policy_dir")) administration_.apply_folder(authority_.settings.text("policy_dir"));
    }
  }

  void open_store() {
    const std::string path = authority_.settings.text("state_dir", ".") + "/authority.db";
    Remembered remembered;
    authority_.glass->load(authority_.settings.text("state_dir", ".") + "/glass");
    auto store = Store::open(io_, path, remembered);
    if (!store) {
      os::log_line(os::LogEvent::authority_database_failed, store.error().detail);
      remembered = Remembered();
      const std::string why = "the database cannot be opened: " + store.error().detail;
      // What is only in memory is lost at the next start, which tries the file again; nothing that lasts is written meanwhile.
      store = Store::open(io_, ":memory:", remembered);
      if (!store || !authority_.glass->begin_alone(why)) return stop(1);
      authority_.journal.block("SP-9907", why);
      administration_.note_trouble(why);
    }
    authority_.store = std::move(*store);
    authority_.store->on_trouble([this](const Error& error) {
      administration_.note_trouble("database: " + error.detail);
      os::log_line(os::LogEvent::authority_database_failed, "database: " + error.detail);
    });
    if (!authority_.glass->is_alone()) authority_.locks = policy::Locks(std::move(remembered.locks));
    authority_.tokens->remember(std::move(remembered.tokens));
    authority_.sign_on->enrolment.remember(std::move(remembered.enrolments));
    authority_.requests->remember(std::move(remembered.requests));
    authority_.totp_steps = std::move(remembered.totp_steps);
    authority_.last_serial = remembered.last_serial;
    for (const KnownSource& known : remembered.sources)
      if (const auto source = IpAddress::parse(known.source.substr(0, known.source.find('/'))))
        authority_.throttle.remember(*source, known.principal, clock_.boot());
    authority_.policy_clock.not_before(WallTime(std::chrono::microseconds(remembered.wall_high_us)));
    if (remembered.policy) load(*remembered.policy);
    // A reboot ended every process there was; boot times of another boot mean nothing.
    std::vector<SessionRow> live;
    for (SessionRow& row : remembered.live) {
      if (row.boot_id != authority_.boot_id) row.started_boot_us = clock_.boot().count();
      live.push_back(std::move(row));
    }
    authority_.session_links->remember(std::move(live), std::move(remembered.channels));
    for (const Intent& intent : remembered.intents) remembered.outcomes.push_back(intent.id);
    if (!authority_.glass->is_alone())
      authority_.journal.on_first_status([this, known = std::move(remembered.outcomes), policy = remembered.policy](const control::RecorderStatus& status) {
        compare_with_journal(known, status.last_outcome());
        if (!authority_.journal.blocked().empty()) return;
        if (policy) authority_.glass->keep_policy(*policy);
        authority_.glass->keep_locks();
      });
    intents_ = std::move(remembered.intents);
    policy_ = std::move(remembered.policy);
    serve_when_ready();
  }

  /// A database that does not know the journal's newest outcome is an older one: somebody rolled it back. By it nobody is
  /// let in, and nothing is changed on top of it.
  void compare_with_journal(const std::vector<std::string>& known, const std::string& newest) {
    if (newest.empty() || std::find(known.begin(), known.end(), newest) != known.end()) return;
    const bool accepted = authority_.settings.text("accept_older_database") == "true";
    EventJson json;
    json.text("newest_outcome", newest).text("decision", accepted ? "allow" : "deny").text("code", accepted ? "" : "SP-8004").flag("alarm", true);
    authority_.note(accepted ? "database.older_accepted" : "database.older_refused", json);
    os::log_line(os::LogEvent::authority_database_older, "the database is older than the journal, whose newest outcome (" + newest + ") it does not know" + (accepted ? "; accepted by the configuration" : ""));
    if (accepted) {
      authority_.store->accept_outcome(newest, [](const Result<void>&) {});
    } else {
      authority_.journal.block("SP-8004", "the database is older than the journal: restore the one of the same moment, or set recovery.accept_older_database");
      administration_.note_trouble(authority_.journal.reason());
      static_cast<void>(authority_.glass->begin_alone("it is older than the journal"));
      if (serving_) authority_.glass->tell_alone();
    }
  }

  void load(const PolicyVersion& version) {
    std::vector<policy::SourceFile> files;
    for (const PolicyFile& file : version.files) files.push_back({file.name, file.content});
    policy::Loaded loaded = policy::load_policy(files);
    if (!loaded.snapshot) {
      // A newer program may be stricter than the one that took this policy in: nobody is let in by guess.
      const std::string why = loaded.problems.empty() ? "" : loaded.problems.front().str();
      administration_.note_trouble("the stored policy is refused: " + why);
      os::log_line(os::LogEvent::authority_policy_refused, "the stored policy version " + std::to_string(version.version) + " is refused: " + why);
      authority_.policy_version = version.version;
      return;
    }
    authority_.snapshot = std::move(loaded.snapshot);
    authority_.policy_version = version.version;
  }

  void on_attach(control::Received received) {
    if (received.descriptors.empty()) return os::log_line(os::LogEvent::service_unexpected_message, "the keeper attached nothing");
    const control::Attach& attach = received.envelope.attach();
    Fd socket = std::move(received.descriptors.front());
    switch (attach.peer()) {
      case control::PEER_VAULT:
        authority_.vault.attach(std::move(socket), [this](const control::ExchangeSigned& told) { authority_.session_links->on_exchange_signed(told); });
        break;
      case control::PEER_RECORDER:
        authority_.journal.attach(std::move(socket), [this](const control::SessionRecorded& told) {
          authority_.store->set_recorded(told.session(), told.complete());
          if (!told.complete())
            authority_.note("recording.incomplete", EventJson().text("session", told.session()).number("entries", static_cast<std::int64_t>(told.entries())));
        });
        break;
      case control::PEER_LISTENER: attach_listener(std::move(socket)); break;
      case control::PEER_SESSION:
        if (serving_) {
          authority_.session_links->attach(attach.session(), std::move(socket), attach.again());
        } else {
          waiting_.push_back({attach.session(), std::move(socket), attach.again()});
        }
        break;
      default: os::log_line(os::LogEvent::service_unexpected_message, "the keeper attached a peer that the authority does not know");
    }
    serve_when_ready();
  }

  void attach_listener(Fd socket) {
    auto fresh = std::make_unique<LinkPort>(io_, authority_.deadlines, std::move(socket), 10'000);
    if (authority_.listener) fresh->inherit(*authority_.listener);
    authority_.listener = std::move(fresh);
    authority_.listener->start(
        [this](control::Received received) {
          const control::Envelope& envelope = received.envelope;
          if (!control::may_travel(control::PEER_LISTENER, control::PEER_AUTHORITY, envelope.body_case()))
            return os::log_line(os::LogEvent::service_unexpected_message, "the listener sent " + std::string(control::name_of(envelope.body_case())));
          if (envelope.has_session_started()) authority_.session_links->on_started(envelope.session_started());
          if (envelope.has_session_exited()) authority_.session_links->on_exited(envelope.session_exited());
          if (envelope.has_resume()) authority_.listener->ask_again();
        },
        nullptr);
  }

  // Serving begins when the database is open and vault and recorder are attached: a session that comes earlier would
  // only be refused.
  void serve_when_ready() {
    if (serving_ || !authority_.store || !authority_.vault.is_attached() || !authority_.journal.is_attached()) return;
    serving_ = true;
    for (Waiting& one : std::exchange(waiting_, {})) authority_.session_links->attach(one.label, std::move(one.socket), one.again);
    administration_.close_open_intents(std::exchange(intents_, {}), policy_);
    policy_.reset();
    static_cast<void>(authority_.deadlines.after(k_lost_after, [this] { authority_.session_links->close_lost(); }));
    if (authority_.settings.has("policy_dir")) administration_.apply_folder(authority_.settings.text("policy_dir"));
    authority_.sign_on->directory->open(authority_.settings);
    if (options_.make_front) {
      front_ = options_.make_front(io_, administration_, authority_.settings);
      if (!front_) return stop(1);
    }
    authority_.glass->tell_alone();
    control::Envelope ready;
    ready.mutable_ready()->set_detail("serving");
    keeper_->send(std::move(ready));
  }

  void every_second() {
    second_ = authority_.deadlines.after(k_second, [this] { every_second(); });
    if (authority_.vault.is_attached()) authority_.sign_on->certificates.learn_ca();
    PolicyClock::Step step;
    if (authority_.policy_clock.look(step)) {
      const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(step.by).count();
      os::log_line(os::LogEvent::clock_set, "the wall clock was set by " + std::to_string(ms) + " ms");
      authority_.note("clock.stepped", EventJson()
                                           .number("by_ms", ms)
                                           .number("wall_us", step.wall.time_since_epoch().count())
                                           .number("used_us", step.used.time_since_epoch().count())
                                           .flag("alarm", true));
      authority_.live->judge_all();
    }
    if (serving_ && authority_.journal.refusing_for() > authority_.settings.duration("hold_ms", k_usual_hold)) end_unrecorded();
    ++seconds_;
    if (!authority_.store) return;
    if (seconds_ % 60 == 0) authority_.store->set_wall_high(authority_.now().time_since_epoch().count());
    if (seconds_ % 3600 == 10) authority_.store->forget_before(authority_.now_us() - std::chrono::microseconds(k_remember).count());
  }

  void on_shutdown(std::chrono::milliseconds grace) {
    authority_.stopping = true;
    front_.reset();
    if (authority_.store) authority_.store->set_wall_high(authority_.now().time_since_epoch().count());
    finish_by(clock_.boot() + std::min<std::chrono::microseconds>(grace, k_flush));
  }

  // Sessions live on: a new authority gets their links. Only what was said to the journal is waited for.
  void finish_by(BootTime until) {
    if (authority_.journal.unanswered() == 0 || clock_.boot() >= until) return stop(0);
    static_cast<void>(authority_.deadlines.after(std::chrono::milliseconds(20), [this, until] { finish_by(until); }));
  }

  void cut_all(const Notice& notice) {
    std::vector<std::string> labels;
    for (const auto& [label, session] : authority_.sessions) labels.push_back(label);
    for (const std::string& label : labels) {
      Session* session = authority_.find(label);
      if (session != nullptr && session->state != control::SessionState::kit) authority_.live->cut(*session, notice);
    }
  }

  /// The recorder has been dead or without room for longer than sessions may hold their bytes: who types nothing is not recorded either.
  void end_unrecorded() {
    const Notice notice = make_notice("SP-4003", authority_.journal.reason());
    cut_all(notice);
  }

  void on_keeper_gone() {
    os::log_line(os::LogEvent::keeper_gone, "the keeper is gone; live sessions end");
    authority_.stopping = true;
    cut_all(make_notice("SP-5005"));
    leave_by(clock_.boot() + k_keeper_gone);
  }

  void leave_by(BootTime until) {
    bool any = false;
    for (const auto& [label, session] : authority_.sessions) any = any || (session->link != nullptr && session->state != control::SessionState::kit);
    if (!any || clock_.boot() >= until) return finish_by(clock_.boot() + k_flush);
    static_cast<void>(authority_.deadlines.after(std::chrono::milliseconds(200), [this, until] { leave_by(until); }));
  }

  void stop(int exit_code) {
    exit_code_ = exit_code;
    io_.stop();
  }

  struct Waiting {
    std::string label;
    Fd socket;
    bool again = false;
  };

  AuthorityOptions options_;
  Clock& clock_;
  boost::asio::io_context io_;
  Authority authority_;
  Administration administration_;
  std::unique_ptr<LinkPort> keeper_;
  std::unique_ptr<Front> front_;
  std::vector<Waiting> waiting_;
  std::vector<Intent> intents_;
  std::optional<PolicyVersion> policy_;
  Deadlines::Handle second_ = 0;
  unsigned seconds_ = 0;
  bool serving_ = false;
  int exit_code_ = 0;
};

}  // namespace

int run_service(AuthorityOptions options, Fd keeper_link) {
  std::signal(SIGPIPE, SIG_IGN);
  Service service(std::move(options), std::move(keeper_link));
  return service.run();
}

}  // namespace sallyport::authority
