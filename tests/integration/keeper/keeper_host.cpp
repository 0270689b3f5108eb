// `keeper_host CONFIG FAKE_SERVICE DIR [--handover N]`: a keeper over fake services, in a process that the test can kill.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

#include "app/config.h"
#include "app/keeper/keeper.h"

using namespace sallyport::app;

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--version") == 0) return 0;
  if (argc < 4) return 2;
  const std::string config_file = argv[1];
  const std::string fake = argv[2];
  const std::string directory = argv[3];
  auto config = load_config(config_file);
  if (!config) {
    std::fprintf(stderr, "%s\n", config.error().detail.c_str());
    return 2;
  }
  KeeperOptions options;
  options.config = std::move(*config);
  options.vault = Command{{fake, "vault", directory}, "", {}};
  options.authority = Command{{fake, "authority", directory}, "", {}};
  options.recorder = Command{{fake, "recorder", directory}, "", {}};
  options.listener = Command{{fake, "listener", directory}, "", {}};
  options.self = {argv[0], config_file, fake, directory};
  if (argc == 6 && std::strcmp(argv[4], "--handover") == 0) options.handover = std::atoi(argv[5]);
  options.reload = [config_file] { return load_config(config_file); };
  options.ready = [&directory](const std::vector<std::string>& addresses) {
    std::ofstream(directory + "/ready.new") << addresses.front() << '\n';
    std::rename((directory + "/ready.new").c_str(), (directory + "/ready").c_str());
  };
  auto keeper = Keeper::make(std::move(options));
  if (!keeper) {
    std::fprintf(stderr, "%s\n", keeper.error().detail.c_str());
    return keeper.error().code == sallyport::Errc::conflict ? 6 : 7;
  }
  return (*keeper)->run();
}
