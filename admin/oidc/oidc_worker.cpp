// The helper's side: jobs from descriptor 3, one after another; the first brings the options.
#include <curl/curl.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <boost/json.hpp>
#include <csignal>
#include <cstdint>
#include <optional>

#include "admin/oidc/oidc_client.h"
#include "admin/oidc/oidc_desk.h"
#include "admin/oidc/oidc_wire.h"
#include "platform/model/bytes.h"
#include "platform/seal/entry.h"
#include "recorder/replay/view_wire.h"

namespace sallyport::admin {
namespace {

namespace json = boost::json;
using replay::Part;

constexpr int k_socket = 3;

void lock_in() {
  std::signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_DUMPABLE, 0);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  setrlimit(RLIMIT_FSIZE, &none);
}

bool said(const Error& error) {
  Bytes body(4);
  seal::put_number(body.data(), static_cast<std::uint32_t>(error.code));
  const ByteView text = bytes_of(error.detail);
  body.insert(body.end(), text.begin(), text.end());
  return replay::send_part(k_socket, Part::trouble, body).has_value();
}

bool said(const json::object& answer) { return replay::send_part(k_socket, Part::done, bytes_of(json::serialize(answer))).has_value(); }

template <class T>
bool said(const Result<T>& answer) {
  return answer ? said(to_json(*answer)) : said(answer.error());
}

bool serve(OidcClient& client, const json::object& job) {
  const std::string what = text_field(job, "do");
  const json::value* flag = job.if_contains("again");
  const bool again = flag != nullptr && flag->is_bool() && flag->get_bool();
  if (what == "web") {
    const auto address = client.web_address(text_field(job, "state"), text_field(job, "nonce"), text_field(job, "challenge"), again);
    if (!address) return said(address.error());
    return said(json::object{{"address", *address}, {"sign_out", client.sign_out_address()}});
  }
  if (what == "redeem") return said(client.redeem(text_field(job, "code"), text_field(job, "verifier"), text_field(job, "nonce"), again));
  if (what == "device") return said(client.begin_device());
  if (what == "poll") return said(client.poll_device(text_field(job, "device_code")));
  return false;
}

}  // namespace

int run_oidc_desk() {
  lock_in();
  curl_global_init(CURL_GLOBAL_DEFAULT);
  std::optional<OidcClient> client;
  for (;;) {
    const auto part = replay::receive_part(k_socket);
    if (!part) return 1;
    if (!*part) return 0;
    if ((**part).part != Part::job) return 1;
    const std::string_view text = text_of(ByteView((**part).body));
    if (!client) {
      auto options = OidcOptions::from_job(text);
      if (!options) return 1;
      client.emplace(std::move(*options), system_clock());
      if (!said(json::object())) return 1;
      continue;
    }
    json::error_code error;
    const json::value job = json::parse(text, error);
    if (error || !job.is_object() || !serve(*client, job.get_object())) return 1;
  }
}

}  // namespace sallyport::admin
