#include "app/verbs/doctor_machine.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <memory>

#include "app/verbs/admin_client.h"
#include "platform/os/fd.h"

namespace sallyport::app {
namespace {

namespace json = boost::json;
namespace fs = std::filesystem;

constexpr long k_certificate_warning_s = 14L * 24 * 3600;

std::string first_line(const char* file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line;
}

void check_clock(const TellFinding& tell) {
  timex state{};
  const int answer = adjtimex(&state);
  const bool good = answer >= 0 && answer != TIME_ERROR && (state.status & STA_UNSYNC) == 0;
  tell("clock", good, false, good ? "kept in step by a time service" : "not known to be in step with a time server",
       "run chrony or systemd-timesyncd: hours, expiries and one-time codes are judged by this clock");
}

void check_swap(const TellFinding& tell) {
  std::ifstream swaps("/proc/swaps");
  std::string line;
  std::string found;
  std::getline(swaps, line);
  while (std::getline(swaps, line))
    if (!line.starts_with("/dev/zram") && !line.starts_with("/dev/dm-")) found += (found.empty() ? "" : ", ") + line.substr(0, line.find_first_of(" \t"));
  tell("swap", found.empty(), false, found.empty() ? "none, or in memory or on a mapped (encrypted) device" : "memory may be written to " + found,
       "encrypt the swap or switch it off: swapoff -a");
}

void check_core_files(const TellFinding& tell) {
  const std::string pattern = first_line("/proc/sys/kernel/core_pattern");
  const std::string dumpable = first_line("/proc/sys/fs/suid_dumpable");
  const bool good = dumpable != "1";
  tell("core files", good, false, "core_pattern " + (pattern.empty() ? "is empty" : pattern) + ", suid_dumpable " + dumpable, "sysctl -w fs.suid_dumpable=0: no process that changed its user may leave a core file");
}

/// Nobody but us and root may write there: group and others have no write bit on the place or on what leads to it.
void check_owner(const std::string& name, const fs::path& path, const TellFinding& tell) {
  struct stat found {};
  if (stat(path.c_str(), &found) != 0)
    return tell(name, errno == ENOENT, false, path.string() + ": " + (errno == ENOENT ? "not made yet" : std::strerror(errno)), "look at it as root");
  std::string open_part;
  for (fs::path part = fs::absolute(path).lexically_normal(); part != part.root_path(); part = part.parent_path()) {
    struct stat here {};
    if (stat(part.c_str(), &here) != 0) continue;
    const bool sticky = (here.st_mode & S_ISVTX) != 0 && part != path;
    if ((here.st_mode & 022) != 0 && !sticky) open_part = part.string();
  }
  tell(name, open_part.empty(), false, open_part.empty() ? path.string() + " is written by its owner only" : open_part + " can be written by others", "chmod go-w " + open_part);
}

/// Something of ours or a free address; another program there is what keeps a gateway from starting.
void check_listen(const Config& config, bool runs, const TellFinding& tell) {
  for (const std::string& address : config.listen) {
    const std::size_t colon = address.rfind(':');
    std::string host = address.substr(0, colon);
    if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
    const auto port = static_cast<std::uint16_t>(std::strtoul(address.c_str() + colon + 1, nullptr, 10));
    sockaddr_storage place{};
    socklen_t size = 0;
    if (auto* six = reinterpret_cast<sockaddr_in6*>(&place); inet_pton(AF_INET6, host.c_str(), &six->sin6_addr) == 1) {
      six->sin6_family = AF_INET6;
      six->sin6_port = htons(port);
      size = sizeof *six;
    } else if (auto* four = reinterpret_cast<sockaddr_in*>(&place); inet_pton(AF_INET, host.c_str(), &four->sin_addr) == 1) {
      four->sin_family = AF_INET;
      four->sin_port = htons(port);
      size = sizeof *four;
    } else {
      tell("listen " + address, false, true, "no numeric address", "write 0.0.0.0:2222 or [::]:2222 under listen");
      continue;
    }
    const Fd socket_fd(::socket(place.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int yes = 1;
    setsockopt(socket_fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (place.ss_family == AF_INET6) setsockopt(socket_fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes);
    const bool is_free = socket_fd && bind(socket_fd.get(), reinterpret_cast<const sockaddr*>(&place), size) == 0;
    const int why = errno;
    const bool ours = !is_free && why == EADDRINUSE && runs;
    tell("listen " + address, is_free || ours, false, is_free ? "free" : ours ? "taken, by the running gateway as it seems" : std::strerror(why),
         why == EADDRINUSE ? "another program has it: ss -ltnp; or change listen" : "change listen to an address of this machine, a port below 1024 needs root");
  }
}

void check_certificate(const Config& config, const TellFinding& tell) {
  const std::string file = config.settings.text("admin_tls_certificate");
  if (config.settings.list("admin_listen").empty()) return tell("admin certificate", true, false, "the admin API listens on its socket only", "");
  if (file.empty()) return tell("admin certificate", false, false, "made by the gateway itself: browsers do not know it", "set admin.tls_certificate and admin.tls_key");
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> in(std::fopen(file.c_str(), "r"), std::fclose);
  const std::unique_ptr<X509, void (*)(X509*)> certificate(in == nullptr ? nullptr : PEM_read_X509(in.get(), nullptr, nullptr, nullptr), X509_free);
  if (certificate == nullptr) return tell("admin certificate", false, true, file + ": no certificate can be read there", "set admin.tls_certificate to a PEM file");
  int days = 0;
  int seconds = 0;
  ASN1_TIME_diff(&days, &seconds, nullptr, X509_get0_notAfter(certificate.get()));
  const long left = days * 86'400L + seconds;
  tell("admin certificate", left > k_certificate_warning_s, left <= 0, left <= 0 ? file + " has expired" : file + " is good for " + std::to_string(days) + " days", "renew it, then SIGHUP or systemctl reload sallyport");
}

/// connect() alone, so that a machine without a gateway is told at once.
bool something_answers(const fs::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string text = path.string();
  if (text.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, text.data(), text.size());
  const Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return fd && ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

std::string text_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr) return {};
  return value->is_string() ? std::string(std::string_view(value->get_string())) : json::serialize(*value);
}

}  // namespace

std::string remedy_of_layer(const std::string& name) {
  if (name == "seccomp" || name == "no_new_privs") return "run a kernel with CONFIG_SECCOMP_FILTER; containers: allow the seccomp system call";
  if (name == "landlock") return "run Linux 5.13 or newer with lsm=...,landlock";
  if (name == "mdwe") return "run Linux 6.3 or newer";
  if (name == "close_range") return "run Linux 5.9 or newer";
  if (name == "ptrace_scope") return "sysctl -w kernel.yama.ptrace_scope=1";
  return "run a newer kernel";
}

void check_machine(const Config& config, const TellFinding& tell) {
  check_clock(tell);
  check_swap(tell);
  check_core_files(tell);
  check_owner("state directory", config.state_dir, tell);
  if (!config.file.empty() && fs::exists(config.file)) check_owner("configuration file", config.file, tell);
  check_listen(config, something_answers(config.admin_socket()), tell);
  check_certificate(config, tell);
}

void check_running(const Common& common, const Config& config, const TellFinding& tell) {
  const fs::path socket = common.socket.empty() ? config.admin_socket() : fs::path(common.socket);
  if (!something_answers(socket))
    return tell("gateway", false, false, "nothing answers at " + socket.string(), "sallyport serve, or systemctl start sallyport; as root or an operator (admin.operators)");
  AdminClient client(socket);
  const auto answer = client.get("/v1/status");
  const json::object* status = answer ? answer->if_object() : nullptr;
  if (status == nullptr) return tell("gateway", false, false, answer ? "its answer is no object" : answer.error().detail, "ask as root or as an operator");
  const std::string state = text_of(*status, "state");
  tell("gateway", state == "serving", false, state, "sallyport status; sallyport events --alarms");
  const std::string version = text_of(*status, "policy_version");
  tell("policy", version != "0" && !version.empty(), false, "version " + version, "nobody may do anything yet: sallyport apply -f YOUR-POLICY-FOLDER");
  const std::string vault = text_of(*status, "vault");
  tell("vault is open", vault == "unsealed", false, vault, "sallyport vault unseal");
  const std::string recorder = text_of(*status, "recorder");
  tell("recorder", recorder == "healthy", false, recorder, "no session is accepted without it: look at free space and at the log of the recorder");
  const std::string alarms = text_of(*status, "alarms");
  tell("alarms", alarms == "0", false, alarms + " since the start", "sallyport events --alarms");
}

}  // namespace sallyport::app
