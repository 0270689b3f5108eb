#include "policy/authority/journal_client.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace sallyport::authority {
namespace {

constexpr std::chrono::seconds k_store_deadline{5};  // a restart of the recorder fits in
constexpr std::chrono::seconds k_poll{2};
constexpr std::chrono::milliseconds k_read_first{200};
constexpr std::size_t k_recent = 4096;
constexpr std::size_t k_most_unanswered = 20'000;

}  // namespace

JournalClient::JournalClient(boost::asio::io_context& io, Deadlines& deadlines, const Clock& clock)
    : io_(io), deadlines_(deadlines), clock_(clock) {}

JournalClient::~JournalClient() {
  deadlines_.cancel(poll_);
  deadlines_.cancel(resume_);
}

void JournalClient::attach(Fd socket, std::function<void(const control::SessionRecorded&)> recorded) {
  recorded_ = std::move(recorded);
  auto fresh = std::make_unique<LinkPort>(io_, deadlines_, std::move(socket), 50'000);
  if (link_) fresh->inherit(*link_);
  link_ = std::move(fresh);
  link_->start([this](control::Received received) { on_message(received); },
               [this](const Error& error) { note_answer(false, error.detail); });
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

void JournalClient::append(std::string name, std::string json, const std::string& session, Stored stored, bool durable) {
  if (!link_ || link_->unanswered() >= k_most_unanswered) {
    note_answer(false, link_ ? "the recorder is far behind" : "the recorder is not there yet");
    if (stored) stored(fail(Errc::unavailable, reason_));
    return;
  }
  RecentEvent event{++last_number_, 0, {}, clock_.wall(), name, session, json};
  recent_.push_back(event);
  if (recent_.size() > k_recent) recent_.pop_front();
  control::Envelope envelope;
  auto* body = envelope.mutable_append_event();
  body->set_name(std::move(name));
  body->set_json(std::move(json));
  body->set_session(session);
  body->set_durable(durable);
  link_->ask(std::move(envelope), k_store_deadline,
             [this, number = event.number, stored = std::move(stored)](Result<control::Received> answer) {
               if (!answer || !answer->envelope.has_event_appended()) {
                 const std::string detail = answer ? "the recorder gave no answer" : answer.error().detail;
                 note_answer(false, detail);
                 if (stored) stored(fail(Errc::unavailable, detail));
                 return;
               }
               note_answer(true, {});
               Appended appended{answer->envelope.event_appended().sequence(), answer->envelope.event_appended().id()};
               if (!recent_.empty() && number >= recent_.front().number) {
                 RecentEvent& kept = recent_[static_cast<std::size_t>(number - recent_.front().number)];
                 kept.sequence = appended.sequence;
                 kept.id = appended.id;
               }
               if (stored) stored(std::move(appended));
             });
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
    note_answer(true, {});
  });
}

void JournalClient::note_answer(bool answered, const std::string& detail) {
  is_answering_ = answered;
  reason_ = answered ? (status_.healthy() ? "" : status_.reason()) : detail;
}

std::string JournalClient::refusal() const {
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
