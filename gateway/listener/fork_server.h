// gateway/listener/fork_server.h -- the listener's one thread: accept, limit, fork, reap.
#pragma once

#include <sys/resource.h>

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "gateway/listener/admission.h"
#include "gateway/listener/become_session.h"
#include "gateway/listener/config.h"
#include "gateway/listener/kit.h"
#include "gateway/listener/outbox.h"
#include "gateway/listener/saved_state.h"
#include "gateway/sandbox/program.h"
#include "platform/model/clock.h"
#include "platform/os/log_events.h"

namespace sallyport::gateway {

/// The seams of the listener: what it forks into and how the parent is warmed.
struct ListenerHooks {
  ServeSession serve = nullptr;
  std::shared_ptr<PreparedSessions> (*prepare)(const SessionOptions&) = nullptr;  ///< may be null; for each new settings
  Result<void> (*warm_up)() = nullptr;  ///< may be null; called once per execution, before the first accept
  sandbox::OnForbidden on_forbidden = sandbox::OnForbidden::kill_process;
  bool keep_log = false;  ///< sessions keep descriptor 2: tracing builds only
};

/// run_listener() with other hooks: for tests and measurements.
int run_listener_with(Fd keeper_link, const ListenerHooks& hooks);

/// One object per process. Everything happens in run(); no callbacks, no threads, no exceptions expected.
class ForkServer {
 public:
  ForkServer(Fd keeper_link, const ListenerHooks& hooks, sandbox::Program program, Clock& clock,
             std::vector<std::string> arguments);

  /// Opens what it needs of its own. Errc::unavailable: the process cannot serve.
  Result<void> prepare();
  /// Goes on where the execution before this one stopped.
  Result<void> adopt(SavedState state);
  int run();

 private:
  struct Socket {
    Fd fd;
    std::string address;
    bool proxy_only = false;
  };
  struct Waiting {
    WaitingRecord record;
    Fd client;
  };
  struct Bucket {
    double tokens = 0;
    Moment filled{};
  };

  // fork_server.cpp: the loop
  void turn();
  void poll_once(int timeout_ms);
  [[nodiscard]] int next_timeout() const;
  [[nodiscard]] bool accepts() const;
  [[nodiscard]] bool is_ready() const;
  void run_timers();
  void read_signals();
  void begin_to_drain(Moment kill_at, int exit_status);
  void say_ready_once();
  void report_counters();
  void note(os::LogEvent event, const std::string& text);
  [[nodiscard]] Moment now() const;

  // fork_server_accept.cpp: connections
  void accept_from(const Socket& socket);
  void arrive(Fd client, const Endpoint& peer, const Endpoint& local);
  void read_proxy_headers(const std::vector<int>& readable);
  /// False: still incomplete.
  bool read_proxy_header(Waiting& waiting);
  void refuse(Fd client, std::string_view code);
  void end_unproven(Ticket ticket);
  [[nodiscard]] Moment give_up_at(const Waiting& waiting) const;
  void serve_waiting();
  void launch(Waiting waiting, Kit kit);
  void ask_for_kits();

  // fork_server_sessions.cpp: children
  void reap();
  void on_exit(pid_t pid, int status, const rusage& usage);
  void crashed(const ChildRecord& child, int signal);
  void kill_child(ChildRecord& child, std::string_view why);
  void kill_orphan(const std::string& session);
  void kill_all(std::string_view why);
  void spawn_inner(const control::Envelope& question, std::vector<Fd> descriptors);
  [[nodiscard]] std::string jump_refusal(const control::SpawnInner& wanted);
  [[nodiscard]] std::size_t jumps_of(const std::string& outer) const;
  [[nodiscard]] bool take_jump_token(const std::string& outer);

  // fork_server_links.cpp: keeper and authority
  void read_keeper();
  void on_keeper(control::Received received);
  void read_authority();
  void on_authority(control::Received received);
  void on_settings(const std::string& lines);
  void on_sockets(control::Received received);
  void on_kit(control::Received received);

  // fork_server_renew.cpp: executing itself anew
  void renew(std::string_view why);
  [[nodiscard]] SavedState describe() const;
  void keep_over_exec(bool keep);
  void plan_renewal(Moment earliest);

  Outbox keeper_;
  Outbox authority_;
  ListenerHooks hooks_;
  sandbox::Program program_;
  Clock& clock_;
  std::vector<std::string> arguments_;

  std::string settings_;
  std::unique_ptr<const ListenerConfig> config_;
  Admission admission_;
  std::vector<Socket> sockets_;
  Fd signals_;
  Fd null_device_;

  std::deque<Kit> kits_;
  std::size_t kits_asked_ = 0;
  Moment kits_asked_at_{};
  Moment kit_came_{};
  Moment kits_not_before_{};

  std::deque<Waiting> waiting_;  ///< for a kit
  std::deque<Waiting> held_;     ///< for the end of their source's penalty
  std::deque<Waiting> proxied_;  ///< for a PROXY header
  std::unordered_map<pid_t, ChildRecord> children_;
  std::unordered_map<std::string, pid_t> pid_of_session_;
  std::unordered_map<Ticket, pid_t> pid_of_ticket_;
  std::map<std::string, Bucket> jump_rates_;
  std::deque<std::pair<Moment, std::string>> orphaned_jumps_;  ///< killed when they outlive their outer session by this

  std::map<std::string, std::uint64_t> counters_;
  std::map<std::string, std::uint64_t> reported_;
  Moment report_at_{};
  Ticket last_ticket_ = 0;
  std::uint64_t generation_ = 0;  ///< how often this process executed itself anew
  Moment started_at_{};
  Moment renew_at_ = Moment::max();
  std::string renew_why_;
  std::string program_path_ = "/proc/self/exe";
  Moment accept_not_before_{};
  Moment kill_at_ = Moment::max();
  Moment notes_from_{};
  unsigned notes_ = 0;
  bool said_ready_ = false;
  bool draining_ = false;
  bool done_ = false;
  int exit_status_ = 0;
};

}  // namespace sallyport::gateway
