#include "policy/authority/journal_client.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace sallyport::authority {
namespace {

constexpr std::chrono::seconds k_store_deadline{5};  // a restart of the recorder fits in
constexpr std::chrono::seconds k_poll{2};
constexpr std::chrono::milliseconds k_read_first{200};
constexpr std::chrono::milliseconds k_hold{100};  // as long as session rows wait
constexpr std::size_t k_most_held = 32;
constexpr std::size_t k_most_held_bytes = 16 * 1024;
constexpr std::size_t k_recent = 4096;
constexpr std::size_t k_alarms = 16;
constexpr std::string_view k_alarm_mark = "\"alarm\":true";
constexpr std::string_view k_deny_mark = "\"decision\":\"deny\"";
constexpr std::size_t k_most_unanswered = 20'000;

}  // namespace

JournalClient::JournalClient(boost::asio::io_context& io, Deadlines& deadlines, const Clock& clock)
    : io_(io), deadlines_(deadlines), clock_(clock) {}

JournalClient::~JournalClient() {
  flush();
  deadlines_.cancel(poll_);
  deadlines_.cancel(resume_);
}

void JournalClient::attach(Fd socket, std::function<void(const control::SessionRecorded&)> recorded) {
  recorded_ = std::move(recorded);
  auto fresh = std::make_unique<LinkPort>(io_, deadlines_, std::move(socket), 50'000);
  if (link_) fresh->inherit(*link_);
  link_ = std::move(fresh);
  link_->start([this](const control::Received& received) { on_message(received); }, [this](const Error& error) { note_answer(false, error.detail); });
  deadlines_.cancel(poll_);
  poll_status();
}

void JournalClient::on_message(const control::Received& received) {
  if (received.envelope.has_resume()) {
    // What the new recorder found unread on the link is answered first; only the rest is asked twice.
    deadlines_.cancel(resume_);
    resume_ = deadlines_.after(k_read_first, [this] { link_->ask_again(); });
  } else if (received.envelope.has_session_recorded() && recorded_) {
    recorded_(received.envelope.session_recorded());
  }
}

void JournalClient::append(std::string name, std::string json, const std::string& session, Stored stored, bool durable,
                           const std::string& outcome_of) {
  // Ours only: what a session reports about itself stands behind `reported`. Kept also when the journal does not answer.
  if (json.substr(0, json.find("\"reported\":")).find(k_alarm_mark) != std::string::npos) {
    ++alarms_seen_;
    alarms_.push_back({last_number_ + 1, 0, {}, clock_.wall(), name, session, json});
    if (alarms_.size() > k_alarms) alarms_.pop_front();
  }
  // Names are the product's own: a session that reports another one has broken the protocol before it comes here.
  ++counts_[{name, json.find(k_deny_mark) != std::string::npos}];
  if (!link_ || link_->unanswered() >= k_most_unanswered) {
    note_answer(false, link_ ? "the recorder is far behind" : "the recorder is not there yet");
    if (stored) stored(fail(Errc::unavailable, reason_));
    return;
  }
  RecentEvent event{++last_number_, 0, {}, clock_.wall(), name, session, json};
  recent_.push_back(event);
  if (recent_.size() > k_recent) recent_.pop_front();
  Held last{event.number, {}};
  const std::size_t bytes = name.size() + json.size();
  last.event.set_name(std::move(name));
  last.event.set_json(std::move(json));
  last.event.set_session(session);
  last.event.set_durable(durable);
  last.event.set_outcome_of(outcome_of);
  const bool has_room = held_.size() < k_most_held && held_bytes_ + bytes <= k_most_held_bytes;
  if (stored || durable || !has_room) return send(std::move(last), std::move(stored));
  held_.push_back(std::move(last));
  held_bytes_ += bytes;
  if (flush_ == 0) flush_ = deadlines_.after(k_hold, [this] { flush(); });
}

void JournalClient::flush() {
  if (held_.empty() || !link_) return;
  Held last = std::move(held_.back());
  held_.pop_back();
  send(std::move(last), {});
}

void JournalClient::send(Held last, Stored stored) {
  control::Envelope envelope;
  auto* body = envelope.mutable_append_event();
  std::vector<std::uint64_t> numbers;
  numbers.reserve(held_.size() + 1);
  *body = std::move(last.event);
  for (Held& held : held_) {
    numbers.push_back(held.number);
    *body->add_before() = std::move(held.event);
  }
  numbers.push_back(last.number);
  held_.clear();
  held_bytes_ = 0;
  deadlines_.cancel(flush_);
  link_->ask(std::move(envelope), k_store_deadline,
             [this, numbers = std::move(numbers), stored = std::move(stored)](Result<control::Received> answer) {
               on_answer(numbers, std::move(answer), stored);
             });
}

void JournalClient::on_answer(const std::vector<std::uint64_t>& numbers, Result<control::Received> answer, const Stored& stored) {
  if (!answer || !answer->envelope.has_event_appended()) {
    const std::string detail = answer ? "the recorder gave no answer" : answer.error().detail;
    note_answer(false, detail);
    if (stored) stored(fail(Errc::unavailable, detail));
    return;
  }
  note_answer(true, {});
  const control::EventAppended& last = answer->envelope.event_appended();
  for (int i = 0; i < last.before_size() && static_cast<std::size_t>(i) + 1 < numbers.size(); ++i)
    remember(numbers[static_cast<std::size_t>(i)], last.before(i));
  remember(numbers.back(), last);
  if (stored) stored(Appended{last.sequence(), last.id()});
}

void JournalClient::remember(std::uint64_t number, const control::EventAppended& appended) {
  if (recent_.empty() || number < recent_.front().number) return;
  RecentEvent& kept = recent_[static_cast<std::size_t>(number - recent_.front().number)];
  kept.sequence = appended.sequence();
  kept.id = appended.id();
}

void JournalClient::poll_status() {
  poll_ = deadlines_.after(k_poll, [this] { poll_status(); });
  control::Envelope question;
  question.mutable_recorder_status_ask();
  link_->ask(std::move(question), k_store_deadline, [this](Result<control::Received> answer) {
    if (!answer || !answer->envelope.has_recorder_status()) {
      note_answer(false, answer ? "the recorder gave no status" : answer.error().detail);
      return;
    }
    status_ = answer->envelope.recorder_status();
    if (const auto look = std::exchange(look_, nullptr)) look(status_);
    note_answer(true, {});
  });
}

void JournalClient::note_answer(bool answered, const std::string& detail) {
  is_answering_ = answered;
  if (!blocked_.empty()) return;
  reason_ = answered ? (status_.healthy() ? "" : status_.reason()) : detail;
  if (refusal().empty()) refusing_since_.reset();
  else if (!refusing_since_) refusing_since_ = clock_.boot();
}

std::chrono::microseconds JournalClient::refusing_for() const {
  return refusing_since_ ? std::chrono::duration_cast<std::chrono::microseconds>(clock_.boot() - *refusing_since_) : std::chrono::microseconds(0);
}

void JournalClient::block(std::string code, std::string reason) {
  blocked_ = std::move(code);
  reason_ = std::move(reason);
}

void JournalClient::ask_spent(const std::string& envelope, std::function<void(Result<std::string>)> done) {
  if (!link_) return done(fail(Errc::unavailable, reason_));
  control::Envelope question;
  question.mutable_glass_spent_ask()->set_envelope(envelope);
  link_->ask(std::move(question), k_store_deadline, [done = std::move(done)](const Result<control::Received>& answer) {
    if (!answer) return done(tl::unexpected(answer.error()));
    if (!answer->envelope.has_glass_spent()) return done(fail(Errc::unavailable, "the recorder gave no answer"));
    done(answer->envelope.glass_spent().how());
  });
}

std::string JournalClient::refusal() const { return blocked_.empty() ? recorder_refusal() : blocked_; }

std::string JournalClient::recorder_refusal() const {
  if (!is_answering_) return "SP-4001";
  if (!status_.healthy()) return status_.reason().find("space") != std::string::npos ? "SP-4002" : "SP-4001";
  return {};
}

std::vector<RecentEvent> JournalClient::recent(std::uint64_t after, std::size_t limit) const {
  std::vector<RecentEvent> found;
  if (recent_.empty()) return found;
  std::uint64_t first = std::max(after + 1, recent_.front().number);
  for (; first <= last_number_ && found.size() < limit; ++first)
    found.push_back(recent_[static_cast<std::size_t>(first - recent_.front().number)]);
  return found;
}

}  // namespace sallyport::authority
