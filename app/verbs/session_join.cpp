#include "app/verbs/session_join.h"

#include <boost/json.hpp>
#include <csignal>
#include <cstdio>
#include <ctime>

#include "app/verbs/admin_client.h"
#include "app/verbs/exit_codes.h"

namespace sallyport::app {
namespace {

namespace json = boost::json;

constexpr std::time_t k_every_s = 4;  // the gateway gives a seat 15 s without a word

volatile std::sig_atomic_t interrupted = 0;

void on_interrupt(int) { interrupted = 1; }

}  // namespace

int run_session_join(const Common& common, const std::string& session, const std::string& reason) {
  auto client = AdminClient::find(common);
  if (!client) return report(client.error());
  const std::string path = "/v1/sessions/" + segment_of(session) + "/join";
  const auto joined = client->send("POST", path, json::object{{"reason", reason}});
  if (!joined) return report(joined.error());
  const json::value* seat = joined->is_object() ? joined->get_object().if_contains("seat") : nullptr;
  if (seat == nullptr || !seat->is_string()) return report(Error{Errc::internal, "the gateway gave no seat"});
  const json::object again{{"seat", seat->get_string()}};
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(signal, &action, nullptr);
  std::printf("joined; Ctrl-C leaves. Watch it: sallyport play %s --follow --reason '...'\n", session.c_str());
  std::fflush(stdout);
  while (interrupted == 0) {
    const timespec pause{k_every_s, 0};
    ::nanosleep(&pause, nullptr);
    if (interrupted != 0) break;
    if (const auto still = client->send("POST", path, again); !still) return report(still.error());
  }
  if (const auto left = client->send("DELETE", path, again); !left) return report(left.error());
  std::puts("left");
  return k_exit_ok;
}

}  // namespace sallyport::app
