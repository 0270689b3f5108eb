#include "app/verbs/terminal_desk.h"

#include <sys/prctl.h>

#include <algorithm>
#include <boost/json.hpp>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <optional>
#include <string>

#include "gateway/ssh/terminal_client.h"
#include "platform/seal/entry.h"
#include "recorder/replay/view_wire.h"

namespace sallyport::app {
namespace {

namespace json = boost::json;
using replay::Part;

constexpr int k_socket = 3;
constexpr int k_session = 4;

class Desk {
 public:
  int serve();

 private:
  [[nodiscard]] std::optional<replay::ReceivedPart> receive();
  bool take_part(const replay::ReceivedPart& part);
  bool receive_and_take();
  json::object run(const json::object& job);
  void done(const json::object& how) { static_cast<void>(replay::send_part(k_socket, Part::done, bytes_of(json::serialize(how)))); }

  gateway::TerminalClient client_{k_session, {.descriptor = k_socket,
                                              .show = [](std::string_view text) { static_cast<void>(replay::send_part(k_socket, Part::out, bytes_of(text))); },
                                              .receive = [this] { return receive_and_take(); },
                                              .tell_file = [](std::string_view text) { static_cast<void>(replay::send_part(k_socket, Part::file, bytes_of(text))); }}};
  bool gone_ = false;  ///< the admin side
};

std::optional<replay::ReceivedPart> Desk::receive() {
  auto part = replay::receive_part(k_socket);
  if (part && *part) return std::move(*part);
  gone_ = true;
  return std::nullopt;
}

/// Input, sizes and files; false: something else.
bool Desk::take_part(const replay::ReceivedPart& part) {
  if (part.part == Part::entry) {
    client_.type(text_of(ByteView(part.body)));
    return true;
  }
  if (part.part == Part::file) {
    client_.file(text_of(ByteView(part.body)));
    return true;
  }
  if (part.part != Part::settle || part.body.size() != 8) return false;
  client_.resize(seal::get_number<std::uint32_t>(part.body.data()), seal::get_number<std::uint32_t>(part.body.data() + 4));
  return true;
}

bool Desk::receive_and_take() {
  const auto part = receive();
  return part && take_part(*part);
}

json::object Desk::run(const json::object& job) {
  const auto number = [&](std::string_view name, std::int64_t fallback) {
    const json::value* value = job.if_contains(name);
    return static_cast<std::uint32_t>(std::clamp<std::int64_t>(value != nullptr && value->is_int64() ? value->get_int64() : fallback, 1, 1000));
  };
  client_.resize(number("columns", 80), number("rows", 24));
  const json::value* user = job.if_contains("user");
  const auto end = client_.run(user != nullptr && user->is_string() ? std::string(std::string_view(user->get_string())) : std::string());
  if (!end.ran) return {{"failed", "SP-9404"}, {"why", end.why}};
  return {{"exit", end.exit}, {"why", end.why}};
}

int Desk::serve() {
  for (;;) {
    const auto part = receive();
    if (!part) return 0;
    if (part->part != Part::job) {
      if (!take_part(*part)) return 1;
      continue;
    }
    json::error_code error;
    const json::value job = json::parse(text_of(ByteView(part->body)), error);
    if (error || !job.is_object()) return 1;
    const json::value* what = job.get_object().if_contains("do");
    if (what != nullptr && *what == "key") {
      const auto key = client_.make_key();
      if (!key) return 1;
      done({{"key", *key}});
    } else if (what != nullptr && *what == "begin" && client_.has_key()) {
      done(run(job.get_object()));
      if (gone_) return 0;
    } else {
      return 1;
    }
  }
}

}  // namespace

int run_terminal_desk() {
  std::signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_DUMPABLE, 0);
  setenv("TZ", "UTC0", 1);
  tzset();
  return Desk().serve();
}

}  // namespace sallyport::app
