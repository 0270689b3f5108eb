// Upgrade: the keeper executes its program's file anew with every descriptor kept, then replaces the services one by one.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "app/keeper/keeper_process.h"
#include "platform/os/log.h"

namespace sallyport::app {
namespace {

constexpr milliseconds k_longest_listening_pause = seconds(15);

}  // namespace

Handover KeeperProcess::describe() const {
  Handover handover;
  handover.generation = generation_ + 1;
  handover.lock = lock_.get();
  if (recorder_link_) handover.recorder_link = recorder_link_->native();
  for (const auto& [peer, service] : services_)
    if (service->has_process() && service->state() != Service::State::stopping)
      handover.services.push_back({service->name(), service->pid(), service->control_descriptor(), service->is_ready(), service->restarts()});
  for (const ListeningSocket& socket : sockets_) handover.sockets.push_back({socket.fd.get(), socket.address});
  sessions_.for_each([&handover](const std::string& session, const ServiceEnds& ends) {
    handover.sessions.push_back({session, ends.authority.get(), ends.vault.get(), ends.recorder.get(), ends.ring.get()});
  });
  return handover;
}

void KeeperProcess::upgrade(int tries_left) {
  if (stopping_ || options_.self.empty()) return;
  // Every service must be there and have taken what was sent: a queue in memory does not survive the exec.
  const bool quiet = std::all_of(services_.begin(), services_.end(), [](const auto& entry) { return entry.second->is_ready() && entry.second->is_idle(); });
  if (!quiet && tries_left > 0) {
    loop_.after(milliseconds(50), [this, tries_left] { upgrade(tries_left - 1); });
    return;
  }
  if (!quiet) return os::log_line(os::LogEvent::upgrade_refused, "upgrade: the services are not all ready; nothing changed");
  if (auto runs = check_program(options_.self.front()); !runs) return os::log_line(os::LogEvent::upgrade_refused, "upgrade: nothing changed: " + runs.error().detail);
  const Handover handover = describe();
  auto file = write_handover(handover);
  if (!file) return os::log_line(os::LogEvent::upgrade_refused, "upgrade: nothing changed: " + file.error().detail);
  os::log_line(os::LogEvent::upgrade_begun, "upgrade: executing " + options_.self.front() + " anew with " + std::to_string(handover.sessions.size()) + " session kits");
  std::vector<std::string> arguments = options_.self;
  arguments.insert(arguments.end(), {"--handover", std::to_string(file->get())});
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  notifier_.say_reloading();
  end_desks();
  keep_over_exec(handover, true);
  execv(argv[0], argv.data());
  const std::string why = std::strerror(errno);
  keep_over_exec(handover, false);
  os::log_line(os::LogEvent::upgrade_refused, "upgrade: nothing changed: " + options_.self.front() + ": " + why);
  notifier_.say("READY=1");
}

Result<void> KeeperProcess::take_over(int number) {
  auto handover = read_handover(Fd(number));
  if (!handover) return tl::unexpected(handover.error());
  keep_over_exec(*handover, false);
  generation_ = handover->generation;
  lock_ = Fd(handover->lock);
  for (const auto& socket : handover->sockets) sockets_.push_back(ListeningSocket{Fd(socket.fd), socket.address});
  for (const auto& session : handover->sessions) {
    auto added = sessions_.add(session.session, ServiceEnds{Fd(session.authority), Fd(session.vault), Fd(session.recorder), Fd(session.ring)});
    if (!added) return added;
  }
  for (const auto& record : handover->services) {
    for (const auto& [peer, service] : services_) {
      if (service->name() != record.name) continue;
      auto adopted = service->adopt(record.pid, Fd(record.control), record.ready, record.restarts);
      if (!adopted) return adopted;
    }
  }
  if (handover->recorder_link >= 0)
    recorder_link_ = std::make_unique<Channel>(
        loop_, Fd(handover->recorder_link), [](const control::Received&) {}, [this](const Error&) { recorder_link_.reset(); });
  announced_ = true;
  event("keeper.upgraded", "{\"generation\":" + std::to_string(generation_) + ",\"sessions\":" + std::to_string(sessions_.size()) + "}");
  return {};
}

/// A login that is half done does not survive the authority; new connections wait in the sockets' queues until it is replaced.
void KeeperProcess::pause_listening() {
  Envelope nothing;
  nothing.mutable_listen_sockets();
  service(control::PEER_LISTENER).send(std::move(nothing));
  loop_.after(k_longest_listening_pause, [this] {
    if (!stopping_ && replaced_ < k_upgrade_order.size()) send_sockets();
  });
}

/// One service after the other gets the new program; the sessions hold their bytes meanwhile.
void KeeperProcess::replace_next() {
  while (replaced_ < k_upgrade_order.size()) {
    Service& next = service(k_upgrade_order[replaced_]);
    if (!next.has_process()) {
      next.start();  // it was between two lives when the keeper was executed anew
      return;
    }
    if (next.peer() == control::PEER_LISTENER) {
      send_settings(next);
    } else if (next.peer() == control::PEER_VAULT && options_.config.settings.text("seal_source") == "passphrase") {
      os::log_line(os::LogEvent::upgrade_vault_kept, "upgrade: the vault stays as it is: it would come back sealed. `sallyport vault unseal` after a restart of your choice");
      ask_public_keys();
    } else {
      next.replace(k_service_grace);
      return;
    }
    ++replaced_;
  }
  send_sockets();
  os::log_line(os::LogEvent::upgrade_done, "upgrade: done, generation " + std::to_string(generation_));
  notifier_.say("READY=1\nSTATUS=Upgraded");
}

}  // namespace sallyport::app
