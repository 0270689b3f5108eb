// policy/authority/journal_client.h -- the recorder as the authority sees it: events go in, its health comes out.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "platform/model/clock.h"
#include "platform/model/ids.h"
#include "policy/authority/link_port.h"

namespace sallyport::authority {

struct Appended {
  std::uint64_t sequence = 0;
  std::string id;  ///< reference that people may quote
};

/// One event as the authority wrote it, kept in memory for the admin side.
struct RecentEvent {
  std::uint64_t number = 0;  ///< counts from 1 since this authority started
  std::uint64_t sequence = 0;
  std::string id;
  WallTime at{};
  std::string name;
  std::string session;
  std::string json;
};

/// Every event is stored before its callback says so. An event that could not be stored within the deadline makes the
/// journal unhealthy until it answers again. One thread.
class JournalClient {
 public:
  using Stored = std::function<void(Result<Appended>)>;

  JournalClient(boost::asio::io_context& io, Deadlines& deadlines, const Clock& clock);
  ~JournalClient();

  /// A link to the recorder, the first one or the one after its restart.
  void attach(Fd socket, std::function<void(const control::SessionRecorded&)> recorded);
  [[nodiscard]] bool is_attached() const noexcept { return link_ != nullptr; }

  /// `stored` may be empty: a fact that nothing waits for. It goes with the next event that somebody waits for, or after a
  /// tenth of a second: each message wakes two processes. The order of events is the order of the calls.
  void append(std::string name, std::string json, const std::string& session, Stored stored = {}, bool durable = false,
              const std::string& outcome_of = {});

  /// Called once, with the first status of the first recorder, before anything that this authority appended is answered.
  void on_first_status(std::function<void(const control::RecorderStatus&)> look) { look_ = std::move(look); }
  /// Did an event of the journal open or revoke this break-glass envelope? Its name; empty: none did. Errc::unavailable.
  void ask_spent(const std::string& envelope, std::function<void(Result<std::string>)> done);
  /// From now on nothing may start or change, whatever the recorder says.
  void block(std::string code, std::string reason);
  [[nodiscard]] const std::string& blocked() const noexcept { return blocked_; }

  /// Empty when a new session may start; else the message code, SP-4xxx.
  [[nodiscard]] std::string refusal() const;
  /// The same for the recorder alone, whatever block() said.
  [[nodiscard]] std::string recorder_refusal() const;
  /// For how long the recorder has been away or without room without a break; zero when it is well.
  [[nodiscard]] std::chrono::microseconds refusing_for() const;
  [[nodiscard]] const std::string& reason() const noexcept { return reason_; }
  [[nodiscard]] const control::RecorderStatus& status() const noexcept { return status_; }
  [[nodiscard]] std::size_t unanswered() const noexcept { return (link_ ? link_->unanswered() : 0) + held_.size(); }
  /// Sends what waits for company.
  void flush();

  /// Events of this process with a number above `after`, oldest first.
  [[nodiscard]] std::vector<RecentEvent> recent(std::uint64_t after, std::size_t limit) const;
  /// Number of the oldest event that recent() still has; 0: it has had none.
  [[nodiscard]] std::uint64_t oldest() const noexcept { return recent_.empty() ? 0 : recent_.front().number; }
  /// Events with `"alarm":true` the newest of them, oldest first, and how many there were in all since this process began.
  [[nodiscard]] const std::deque<RecentEvent>& alarms() const noexcept { return alarms_; }
  [[nodiscard]] std::uint64_t alarms_seen() const noexcept { return alarms_seen_; }
  /// How often each event was written since this process began, those with `"decision":"deny"` apart.
  using Counts = std::map<std::pair<std::string, bool>, std::uint64_t>;
  [[nodiscard]] const Counts& counts() const noexcept { return counts_; }

 private:
  struct Held {
    std::uint64_t number = 0;
    control::AppendEvent event;
  };
  void send(Held last, Stored stored);
  void on_answer(const std::vector<std::uint64_t>& numbers, Result<control::Received> answer, const Stored& stored);
  void remember(std::uint64_t number, const control::EventAppended& appended);
  void poll_status();
  void note_answer(bool answered, const std::string& detail);
  void on_message(const control::Received& received);

  boost::asio::io_context& io_;
  Deadlines& deadlines_;
  const Clock& clock_;
  std::unique_ptr<LinkPort> link_;
  std::function<void(const control::SessionRecorded&)> recorded_;
  control::RecorderStatus status_;
  bool is_answering_ = false;
  std::optional<BootTime> refusing_since_;
  std::string reason_ = "the recorder is not there yet";
  std::string blocked_;
  std::function<void(const control::RecorderStatus&)> look_;
  Deadlines::Handle poll_ = 0;
  Deadlines::Handle resume_ = 0;
  Deadlines::Handle flush_ = 0;
  std::vector<Held> held_;
  std::size_t held_bytes_ = 0;
  std::deque<RecentEvent> recent_;
  std::deque<RecentEvent> alarms_;
  std::uint64_t alarms_seen_ = 0;
  Counts counts_;
  std::uint64_t last_number_ = 0;
};

}  // namespace sallyport::authority
