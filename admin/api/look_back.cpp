#include "admin/api/look_back.h"

#include <boost/json.hpp>
#include <filesystem>

#include "admin/api/desk_process.h"
#include "admin/api/web_login.h"
#include "policy/authority/text_keys.h"

namespace sallyport::admin {
namespace {

constexpr int k_seconds = 30;          // of the helper; it runs beside everything else
constexpr std::size_t k_most_job = 3 * 1024 * 1024;
constexpr int k_most_at_once = 2;

int running = 0;  // one thread, one loop

struct Looking {
  explicit Looking(std::unique_ptr<DeskProcess> process) : desk(std::move(process)) { ++running; }
  ~Looking() { --running; }
  Looking(const Looking&) = delete;
  Looking& operator=(const Looking&) = delete;
  std::unique_ptr<DeskProcess> desk;
};

}  // namespace

void look_back(const CallPtr& call, json::object plan, const json::array& files, std::chrono::seconds back) {
  auto& authority = call->administration.authority();
  const auto give_up = [&](std::string_view why) {
    plan["replay_problem"] = why;
    call->reply(plan);
  };
  const auto state = std::filesystem::path(authority.settings.text("state_dir", ".")).parent_path();
  const auto since = authority.clock.wall().time_since_epoch() - std::chrono::microseconds(back);
  const std::string job = json::serialize(json::object{{"journal", (state / "recorder" / "journal").string()}, {"since_us", since.count()}, {"seconds", k_seconds}, {"files", files}});
  if (job.size() > k_most_job) return give_up("the files are larger than 3 MiB; sallyport plan --replay does it on the gateway");
  if (running >= k_most_at_once) return call->refuse_status(429, "SP-7023", "two plans look back already", {{"Retry-After", std::to_string(k_seconds)}});
  auto desk = DeskProcess::start(authority.io, "decision-desk", authority.start_desk);
  if (!desk) return give_up(desk.error().detail);
  auto looking = std::make_shared<Looking>(std::move(*desk));
  // It asks for the keys of sealed commands one by one: whoever may read recordings is given them, all others' are counted.
  looking->desk->on_file(
      [call, weak = std::weak_ptr(looking), reason = "plan over the decisions of " + std::to_string(back.count()) + " s"](std::string_view wrapped) {
        const auto answer = [weak](const Result<Secret>& key) {
          const auto here = weak.lock();
          if (!here) return;
          if (key) here->desk->give_key(*key);
          else here->desk->say(replay::Part::close, {});
        };
        if (!call->administration.may(call->who, policy::AdminRight::view) || !has_fresh_factor(*call)) return answer(fail(Errc::denied, ""));
        authority::Operator who = call->who;
        who.dry_run = false;  // nothing is changed by a plan, tried out or not; reading is an act all the same
        authority::read_text_key(call->administration.authority(), who, wrapped, reason, answer);
      });
  looking->desk->ask(job, {}, [call, plan = std::move(plan), looking](const Result<std::string>& done) mutable {
    boost::system::error_code error;
    const json::value told = done ? json::parse(*done, error) : json::value();
    if (!done || error || !told.is_object()) {
      plan["replay_problem"] = done ? "the helper process said nothing" : done.error().detail;
    } else {
      for (const auto& [key, value] : told.get_object())
        if (key != "text") plan[key] = value;
      plan["text"] = text_of(plan, "text") + text_of(told.get_object(), "text");
    }
    call->reply(plan);
    // Not within its own callback: the process is ended when nobody holds it any more.
    auto& loop = call->administration.authority();
    static_cast<void>(loop.deadlines.after(std::chrono::milliseconds(0), [held = std::move(looking)] {}));
  });
}

}  // namespace sallyport::admin
