#include "app/verbs/decision_desk.h"

#include <sys/prctl.h>
#include <sys/resource.h>

#include <boost/json.hpp>
#include <csignal>

#include "app/verbs/past_decisions.h"
#include "platform/crypto/base64.h"
#include "platform/model/bytes.h"
#include "platform/model/secret.h"
#include "platform/os/write_limits.h"
#include "platform/seal/entry.h"
#include "policy/access/load.h"
#include "recorder/replay/view_wire.h"

namespace sallyport::app {
namespace {

namespace json = boost::json;

constexpr int k_socket = 3;
constexpr std::size_t k_most_rows_told = 500;

std::string text_in(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(std::string_view(value->get_string())) : std::string();
}

std::int64_t number_in(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_int64() ? value->get_int64() : 0;
}

Result<std::vector<policy::SourceFile>> files_in(const json::object& job) {
  const json::value* list = job.if_contains("files");
  if (list == nullptr || !list->is_array()) return fail(Errc::invalid, "not a job");
  std::vector<policy::SourceFile> files;
  for (const json::value& each : list->get_array()) {
    if (!each.is_object()) return fail(Errc::invalid, "not a job");
    policy::SourceFile file{text_in(each.get_object(), "name"), text_in(each.get_object(), "content")};
    if (each.get_object().contains("content_base64")) {
      const auto bytes = crypto::from_base64(text_in(each.get_object(), "content_base64"));
      if (!bytes) return tl::unexpected(bytes.error());
      file.content = std::string(sallyport::text_of(ByteView(*bytes)));
    }
    files.push_back(std::move(file));
  }
  return files;
}

/// Whoever started us knows who asks, and gives the key or says no.
std::optional<Secret> ask_for_key(std::string_view wrapped) {
  if (!replay::send_part(k_socket, replay::Part::file, bytes_of(wrapped))) return std::nullopt;
  const auto answer = replay::receive_part(k_socket);
  if (!answer || !*answer || (**answer).part != replay::Part::key || (**answer).body.size() != 32) return std::nullopt;
  return Secret(ByteView((**answer).body));
}

Result<json::object> run(const json::object& job, const std::string& journal) {
  auto files = files_in(job);
  if (!files) return tl::unexpected(files.error());
  auto loaded = policy::load_policy(*files);
  if (!loaded.snapshot) return fail(Errc::invalid, loaded.problems.empty() ? "no policy" : loaded.problems.front().str());
  auto replayed = replay_decisions(journal.empty() ? text_in(job, "journal") : journal, loaded.snapshot, number_in(job, "since_us"), ask_for_key,
                                   std::chrono::seconds(number_in(job, "seconds")));
  if (!replayed) return tl::unexpected(replayed.error());
  if (replayed->rows.size() > k_most_rows_told) replayed->rows.resize(k_most_rows_told);
  json::object out{{"text", text_of(*replayed)}, {"replayed", replayed->decisions}, {"not_replayed", replayed->not_replayed},
                   {"sealed", replayed->sealed}, {"differ", replayed->differ},      {"replay_complete", replayed->complete}};
  out.emplace("differing", std::move(replayed->rows));
  return out;
}

}  // namespace

int run_decision_desk(const std::string& journal) {
  std::signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_DUMPABLE, 0);
  setpriority(PRIO_PROCESS, 0, 10);
  if (!journal.empty() && !os::write_only_below({})) return 1;
  const auto received = replay::receive_part(k_socket);
  if (!received || !*received || (**received).part != replay::Part::job) return 1;
  json::error_code error;
  const json::value job = json::parse(sallyport::text_of(ByteView((**received).body)), error);
  const auto done = !error && job.is_object() ? run(job.get_object(), journal) : Result<json::object>(fail(Errc::invalid, "not a job"));
  if (done) {
    const std::string text = json::serialize(*done);
    return replay::send_part(k_socket, replay::Part::done, bytes_of(text)) ? 0 : 1;
  }
  Bytes body(4);
  seal::put_number(body.data(), static_cast<std::uint32_t>(done.error().code));
  const ByteView detail = bytes_of(done.error().detail);
  body.insert(body.end(), detail.begin(), detail.end());
  return replay::send_part(k_socket, replay::Part::trouble, body) ? 0 : 1;
}

}  // namespace sallyport::app
