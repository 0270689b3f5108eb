#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "gateway/listener/fork_server.h"
#include "gateway/listener/run_state.h"

namespace sallyport::gateway {
namespace {

void set_close_on_exec(int descriptor, bool close) {
  if (descriptor >= 0) fcntl(descriptor, F_SETFD, close ? FD_CLOEXEC : 0);
}

}  // namespace

void ForkServer::plan_renewal(Moment earliest) { renew_at_ = std::min(renew_at_, earliest); }

SavedState ForkServer::describe() const {
  SavedState state;
  state.settings = settings_;
  state.authority = authority_.is_open() ? authority_.native() : -1;
  state.last_ticket = last_ticket_;
  state.generation = generation_ + 1;
  for (const Socket& socket : sockets_) state.sockets.push_back({socket.fd.get(), socket.address, socket.proxy_only});
  for (const Kit& kit : kits_)
    state.kits.push_back({kit.session, {kit.authority.get(), kit.vault.get(), kit.recorder.get(), kit.ring.get()}});
  for (const auto* list : {&waiting_, &held_, &proxied_})
    for (const Waiting& waiting : *list) {
      state.waiting.push_back(waiting.record);
      state.waiting.back().client = waiting.client.get();
    }
  for (const auto& [pid, child] : children_) state.children.push_back(child);
  state.penalties = admission_.penalties();
  state.counters = counters_;
  state.unsent_to_authority = authority_.unsent();
  return state;
}

void ForkServer::keep_over_exec(bool keep) {
  set_close_on_exec(keeper_.native(), !keep);
  set_close_on_exec(authority_.native(), !keep);
  for (const Socket& socket : sockets_) set_close_on_exec(socket.fd.get(), !keep);
  for (const Kit& kit : kits_)
    for (const Fd* fd : {&kit.authority, &kit.vault, &kit.recorder, &kit.ring}) set_close_on_exec(fd->get(), !keep);
  for (const auto* list : {&waiting_, &held_, &proxied_})
    for (const Waiting& waiting : *list) set_close_on_exec(waiting.client.get(), !keep);
}

void ForkServer::renew(std::string_view why) {
  const Moment here = now();
  ++counters_["renewed"];
  note(os::LogEvent::listener_renewed, "executing the fork server anew: " + std::string(why.empty() ? "its hour is over" : why));
  keeper_.drain(std::chrono::milliseconds(100));
  authority_.drain(std::chrono::milliseconds(100));
  auto file = write_state(describe());
  if (file) {
    std::vector<char*> argv;
    for (std::string& argument : arguments_) argv.push_back(argument.data());
    argv.push_back(nullptr);
    keep_over_exec(true);
    setenv(k_state_variable, std::to_string(file->get()).c_str(), 1);
    execv(program_path_.c_str(), argv.data());
    const std::string reason = std::strerror(errno);
    unsetenv(k_state_variable);
    keep_over_exec(false);
    note(os::LogEvent::listener_renew_failed, "executing " + program_path_ + " failed: " + reason + "; going on as it is");
    program_path_ = "/proc/self/exe";
  } else {
    note(os::LogEvent::listener_renew_failed, "executing anew failed: " + file.error().detail + "; going on as it is");
  }
  renew_why_.clear();
  renew_at_ = here + Moment(60'000);
}

Result<void> ForkServer::adopt(SavedState state) {
  on_settings(state.settings);
  if (state.authority >= 0) authority_.use(Fd(state.authority));
  authority_.restore(state.unsent_to_authority);
  last_ticket_ = state.last_ticket;
  generation_ = state.generation;
  counters_ = std::move(state.counters);
  for (SocketRecord& socket : state.sockets)
    sockets_.push_back(Socket{Fd(socket.descriptor), std::move(socket.address), socket.proxy_only});
  for (const auto& [source, penalty] : state.penalties) admission_.restore_penalty(source, penalty);
  for (KitRecord& kit : state.kits) {
    if (kit.descriptors.size() != 4) return fail(Errc::corrupt, "a saved session kit without its descriptors");
    kits_.push_back(Kit{std::move(kit.session), Fd(kit.descriptors[0]), Fd(kit.descriptors[1]), Fd(kit.descriptors[2]),
                        Fd(kit.descriptors[3])});
  }
  for (WaitingRecord& record : state.waiting) {
    Fd client(record.client);
    if (record.ticket != 0) admission_.restore(record.ticket, source_of(record.peer.address));
    auto& list = record.reads_proxy ? proxied_ : record.not_before > now() ? held_ : waiting_;
    list.push_back(Waiting{std::move(record), std::move(client)});
  }
  for (ChildRecord& child : state.children) {
    pid_of_session_[child.session] = child.pid;
    if (child.ticket != 0 && !child.proven) {
      admission_.restore(child.ticket, source_of(child.peer.address));
      pid_of_ticket_[child.ticket] = child.pid;
    }
    children_[child.pid] = std::move(child);
  }
  keep_over_exec(false);
  said_ready_ = is_ready();
  return {};
}

}  // namespace sallyport::gateway
