#include "admin/api/joined_view.h"

#include <boost/json.hpp>
#include <set>
#include <utility>

#include "platform/crypto/base64.h"
#include "platform/model/bytes.h"
#include "platform/model/json_text.h"
#include "policy/authority/authority.h"

namespace sallyport::admin {
namespace {

namespace json = boost::json;

constexpr unsigned k_most_tries = 40;  ///< the journal may still lack the beginning of a session that waits
constexpr std::chrono::milliseconds k_again{250};
constexpr std::size_t k_longest_line = 1024 * 1024;

std::string text_at(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

std::int64_t number_at(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value == nullptr ? 0 : value->is_int64() ? value->get_int64() : value->is_uint64() ? static_cast<std::int64_t>(value->get_uint64()) : 0;
}

class JoinedView final : public authority::Watching, public std::enable_shared_from_this<JoinedView> {
 public:
  JoinedView(authority::Administration& administration, std::string place, authority::Operator who, std::string session, std::string reason, authority::WatchOut out,
             authority::WatchOver over)
      : administration_(administration), place_(std::move(place)), who_(std::move(who)), session_(std::move(session)), reason_(std::move(reason)), out_(std::move(out)), over_(std::move(over)) {}
  ~JoinedView() override { administration_.authority().deadlines.cancel(again_); }

  void open() {
    auto desk = DeskProcess::start(administration_.authority().io, "viewing-desk", administration_.authority().start_desk);
    if (!desk) return over_(desk.error().detail);
    desk_ = std::move(*desk);
    json::object job = json::parse(place_).as_object();
    job["session"] = session_;
    job["input"] = false;
    job["damaged"] = false;
    desk_->ask(json::serialize(job), {}, [weak = weak_from_this()](const Result<std::string>& opened) {
      if (const auto self = weak.lock()) self->on_opened(opened);
    });
  }

 private:
  void on_opened(const Result<std::string>& opened) {
    if (!opened) {
      const std::string why = opened.error().detail;
      if (++tries_ >= k_most_tries) return over_(why);
      again_ = administration_.authority().deadlines.after(k_again, [weak = weak_from_this()] {
        if (const auto self = weak.lock()) self->open();
      });
      return;
    }
    json::error_code error;
    const json::value facts = json::parse(*opened, error);
    const auto wrapped = error || !facts.is_object() ? std::nullopt : std::optional(crypto::from_base64(text_at(facts.get_object(), "wrapped")));
    if (!wrapped || !*wrapped || (*wrapped)->empty()) return over_("the recording has no wrapped key");
    administration_.recording_key(who_, session_, std::string(sallyport::text_of(**wrapped)), reason_, false, [weak = weak_from_this()](const Result<Secret>& key) {
      const auto self = weak.lock();
      if (!self) return;
      if (!key) return self->over_(key.error().detail);
      self->desk_->give_key(*key);
      self->follow();
    });
  }

  void follow() {
    desk_->ask(
        json::serialize(json::object{{"do", "frames"}, {"channel", -1}, {"at_us", 0}, {"follow", true}}),
        [weak = weak_from_this()](std::string_view bytes) {
          if (const auto self = weak.lock()) self->take(bytes);
        },
        [weak = weak_from_this()](const Result<std::string>& done) {
          if (const auto self = weak.lock()) self->over_(done ? std::string() : done.error().detail);
        });
  }

  void take(std::string_view bytes) {
    rest_ += bytes;
    std::size_t begin = 0;
    for (auto end = rest_.find('\n'); end != std::string::npos; end = rest_.find('\n', begin)) {
      show(std::string_view(rest_).substr(begin, end - begin));
      begin = end + 1;
    }
    rest_.erase(0, begin);
    if (rest_.size() > k_longest_line) rest_.clear();
  }

  // One frame, as recorder/replay writes it.
  void show(std::string_view line) {
    json::error_code error;
    const json::value value = json::parse(line, error);
    if (error || !value.is_object()) return;
    const json::object& frame = value.get_object();
    const std::string kind = text_at(frame, "k");
    const std::int64_t channel = number_at(frame, "c");
    if (kind == "s") {
      const json::value* pty = frame.if_contains("pty");
      const bool on_terminal = pty != nullptr && pty->is_bool() && pty->get_bool();
      if (on_terminal) terminals_.insert(channel);
      const std::string what = text_at(frame, "kind") + (text_at(frame, "command").empty() ? "" : ": " + text_at(frame, "command"));
      return out_("\r\n\x1b[7m " + printable(what) + " begins \x1b[27m\r\n");
    }
    if (kind != "o" && kind != "e" && kind != "p") return;
    const auto data = crypto::from_base64(text_at(frame, "d"));
    if (!data) return;
    const std::string_view shown = sallyport::text_of(*data);
    if (terminals_.contains(channel)) return out_(shown);
    std::string text;
    for (const char c : shown) text += c == '\n' ? "\r\n" : std::string(1, static_cast<unsigned char>(c) >= ' ' || c == '\t' || c == '\r' ? c : '?');
    out_(text);
  }

  authority::Administration& administration_;
  std::string place_;
  authority::Operator who_;
  std::string session_, reason_;
  authority::WatchOut out_;
  authority::WatchOver over_;
  std::unique_ptr<DeskProcess> desk_;
  authority::Deadlines::Handle again_ = 0;
  unsigned tries_ = 0;
  std::string rest_;
  std::set<std::int64_t> terminals_;
};

}  // namespace

std::shared_ptr<authority::Watching> join_view(authority::Administration& administration, const std::string& place, const authority::Operator& who, const std::string& session,
                                               const std::string& reason, authority::WatchOut out, authority::WatchOver over) {
  auto view = std::make_shared<JoinedView>(administration, place, who, session, reason, std::move(out), std::move(over));
  view->open();
  return view;
}

}  // namespace sallyport::admin
