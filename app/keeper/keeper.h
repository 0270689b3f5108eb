// app/keeper/keeper.h -- the first process: starts the services, makes every link between them, hands out session kits.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/config.h"
#include "app/keeper/process.h"
#include "platform/model/result.h"
#include "platform/os/fd.h"

namespace sallyport::app {

struct KeeperOptions {
  Config config;
  Command vault;
  Command authority;
  Command recorder;
  Command listener;
  /// What an upgrade executes: the path of this program and its arguments; "--handover", N is appended.
  std::vector<std::string> self;
  /// From the image before this one (upgrade); -1: a fresh start.
  int handover = -1;
  /// Reads the configuration again; called on SIGHUP. Empty: SIGHUP changes nothing.
  std::function<Result<Config>()> reload;
  /// Called once, when the gateway accepts connections; gets the bound addresses.
  std::function<void(const std::vector<std::string>&)> ready;
  /// Blocks these signals are read from; the caller blocks SIGTERM, SIGINT, SIGHUP, SIGUSR2 before it starts threads.
};

/// One thread, one epoll loop. Parses nothing that comes from the network; reads only control messages of its own services.
///
/// Lives until SIGTERM or SIGINT (a second one cuts the grace short). SIGHUP reloads, SIGUSR2 upgrades: it executes the program's file anew
/// with every descriptor kept, then replaces the listener and the services one by one; sessions live on (docs/adr/0006).
/// The loss of a service is healed: a new process gets fresh links to the other services and the ends of all live sessions.
class Keeper {
 public:
  /// Makes the directories, takes the lock, opens the sockets. Errc::conflict: another keeper has this state directory.
  [[nodiscard]] static Result<std::unique_ptr<Keeper>> make(KeeperOptions options);
  virtual ~Keeper() = default;
  /// Exit status of the process.
  virtual int run() = 0;
  /// As SIGTERM does, from the same thread (a timer, a callback).
  virtual void stop() = 0;

 protected:
  Keeper() = default;
};

}  // namespace sallyport::app
