#include "policy/authority/store.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <utility>

#include "policy/authority/store_rows.h"
#include "policy/authority/store_schema.h"

namespace sallyport::authority {
namespace {

// How long a background row may wait for company: a transaction costs more than all the rows of a short session.
constexpr std::chrono::milliseconds k_gather{250};
constexpr std::size_t k_group = 512;
constexpr std::size_t k_most_waiting = 100'000;

}  // namespace

namespace {

/// What the journal may name as its newest outcome. Some more than one: outcomes that overlap may be closed out of order.
Result<void> remember_outcome(sql::Database& database, const std::string& intent) {
  auto add = database.prepare("INSERT OR IGNORE INTO outcomes(intent) VALUES(?)");
  if (!add) return tl::unexpected(add.error());
  if (auto added = add->bind(intent).run(); !added) return added;
  return database.execute("DELETE FROM outcomes WHERE number <= (SELECT max(number) FROM outcomes) - 256");
}

}  // namespace

struct Store::State {
  struct Job {
    std::function<Result<void>(State&)> work;
    Done done;
    bool durable = false;
  };

  State(boost::asio::io_context& io_in, sql::Database database_in, Statements statements_in)
      : io(io_in), database(std::move(database_in)), statements(std::move(statements_in)) {}

  void post(Job job) {
    const std::lock_guard lock(mutex);
    if (jobs.size() >= k_most_waiting) {
      if (job.done) boost::asio::post(io, [done = std::move(job.done)] { done(fail(Errc::unavailable, "the database is too slow")); });
      return;
    }
    const bool now = job.durable || job.done || jobs.size() + 1 >= k_group;
    jobs.push_back(std::move(job));
    if (now) urgent = true;
    if (now || jobs.size() == 1) wake.notify_one();
  }

  void background(std::function<Result<void>(State&)> work) { post(Job{std::move(work), nullptr, false}); }
  void durable(std::function<Result<void>(State&)> work, Done done) { post(Job{std::move(work), std::move(done), true}); }

  void run() {
    std::unique_lock lock(mutex);
    for (;;) {
      wake.wait(lock, [this] { return stopping || !jobs.empty(); });
      if (!urgent && !stopping) wake.wait_for(lock, k_gather, [this] { return urgent || stopping; });
      urgent = false;
      std::vector<Job> group = std::exchange(jobs, {});
      const bool last = stopping;
      lock.unlock();
      if (!group.empty()) commit(std::move(group));
      lock.lock();
      if (last && jobs.empty()) return;
    }
  }

  // Each job stands or falls alone; the group's commit decides for all.
  void commit(std::vector<Job> group) {
    bool with_fsync = false;
    for (const Job& job : group) with_fsync = with_fsync || job.durable;
    std::vector<Result<void>> results(group.size());
    Result<void> all = set_fsync(with_fsync);
    if (all) {
      auto transaction = sql::Transaction::begin(database);
      if (!transaction) {
        all = tl::unexpected(transaction.error());
      } else {
        for (std::size_t i = 0; i < group.size(); ++i) results[i] = run_one(group[i]);
        all = transaction->commit();
      }
    }
    for (std::size_t i = 0; i < group.size(); ++i) {
      Result<void> result = all ? std::move(results[i]) : Result<void>(tl::unexpected(all.error()));
      if (group[i].done) {
        boost::asio::post(io, [done = std::move(group[i].done), result = std::move(result)] { done(result); });
      } else if (!result) {
        boost::asio::post(io, [this, error = result.error()] {
          if (trouble) trouble(error);
        });
      }
    }
  }

  Result<void> set_fsync(bool wanted) {
    if (fsyncs == wanted) return {};
    auto done = database.execute(wanted ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
    if (done) fsyncs = wanted;
    return done;
  }

  Result<void> run_one(Job& job) {
    if (!job.durable) return job.work(*this);
    if (auto saved = database.execute("SAVEPOINT job"); !saved) return saved;
    auto result = job.work(*this);
    auto ended = database.execute(result ? "RELEASE job" : "ROLLBACK TO job; RELEASE job");
    if (result && !ended) return ended;
    return result;
  }

  boost::asio::io_context& io;
  sql::Database database;
  Statements statements;
  std::function<void(const Error&)> trouble;
  std::mutex mutex;
  std::condition_variable wake;
  std::vector<Job> jobs;
  std::unordered_map<std::string, SessionRow> session_rows;  ///< their jobs wait
  bool urgent = false;
  bool stopping = false;
  std::optional<bool> fsyncs;  ///< what `synchronous` was set to last
  std::thread thread;
};

Result<std::unique_ptr<Store>> Store::open(boost::asio::io_context& io, const std::string& path, Remembered& remembered) {
  auto database = sql::Database::open(path);
  if (!database) return tl::unexpected(database.error());
  if (auto done = sql::migrate(*database, k_migrations); !done) return fail_in(path, done.error());
  auto read = read_remembered(*database);
  if (!read) return fail_in(path, read.error());
  auto statements = Statements::prepare(*database);
  if (!statements) return fail_in(path, statements.error());
  remembered = std::move(*read);
  return std::unique_ptr<Store>(new Store(std::make_unique<State>(io, std::move(*database), std::move(*statements))));
}

Store::Store(std::unique_ptr<State> state) : state_(std::move(state)) {
  state_->thread = std::thread([state = state_.get()] { state->run(); });
}

Store::~Store() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->wake.notify_one();
  state_->thread.join();
}

void Store::on_trouble(std::function<void(const Error&)> trouble) { state_->trouble = std::move(trouble); }

// A row that still waits is replaced by the newer one: a login writes itself down four times in a tenth of a second.
void Store::put_session(SessionRow row) {
  std::string label = row.label;
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->jobs.size() >= k_most_waiting) return;
    const auto [waiting, is_new] = state_->session_rows.insert_or_assign(label, std::move(row));
    if (!is_new) return;
  }
  state_->background([label = std::move(label)](State& s) -> Result<void> {
    std::unique_lock lock(s.mutex);
    const auto newest = s.session_rows.extract(label);
    lock.unlock();
    return newest ? write_session(s.statements, newest.mapped()) : Result<void>{};
  });
}

void Store::put_channel(ChannelRow row) {
  state_->background([row = std::move(row)](State& s) { return write_channel(s.statements, row); });
}

void Store::remove_channel(const std::string& session, std::uint32_t channel) {
  state_->background([session, channel](State& s) { return s.statements.remove_channel.bind(session, channel).run(); });
}

// The same here: of a session that is over within that time one row is written.
void Store::end_session(SessionRow row) {
  const std::string label = row.label;
  put_session(std::move(row));
  state_->background([label](State& s) { return s.statements.remove_channels.bind(label).run(); });
}

void Store::set_recorded(const std::string& session, bool complete) {
  state_->background([session, complete](State& s) { return s.statements.set_recorded.bind(complete, session).run(); });
}

void Store::remember_source(KnownSource source) {
  state_->background([source = std::move(source)](State& s) {
    return s.statements.remember_source.bind(source.principal, source.source, source.last_us).run();
  });
}

void Store::set_wall_high(std::int64_t wall_us) {
  state_->background([wall_us](State& s) { return s.statements.set_mark.bind("wall_high_us", wall_us).run(); });
}

void Store::forget_before(std::int64_t wall_us) {
  state_->background([wall_us](State& s) -> Result<void> {
    for (const char* sql : {"DELETE FROM sessions WHERE ended_us<>0 AND ended_us<?", "DELETE FROM sources WHERE last_us<?"}) {
      auto statement = s.database.prepare(sql);
      if (!statement) return tl::unexpected(statement.error());
      if (auto done = statement->bind(wall_us).run(); !done) return done;
    }
    return {};
  });
}

void Store::open_intent(Intent intent, Done done) {
  state_->durable(
      [intent = std::move(intent)](State& s) -> Result<void> {
        auto statement = s.database.prepare("INSERT INTO intents VALUES(?,?,?,?,0)");
        if (!statement) return tl::unexpected(statement.error());
        return statement->bind(intent.id, intent.kind, intent.json, intent.opened_us).run();
      },
      std::move(done));
}

void Store::close_intent(const std::string& id, Done done) {
  state_->durable(
      [id](State& s) -> Result<void> {
        auto statement = s.database.prepare("DELETE FROM intents WHERE id=?");
        if (!statement) return tl::unexpected(statement.error());
        if (auto removed = statement->bind(id).run(); !removed) return removed;
        return remember_outcome(s.database, id);
      },
      std::move(done));
}

void Store::accept_outcome(const std::string& intent, Done done) {
  state_->durable([intent](State& s) { return remember_outcome(s.database, intent); }, std::move(done));
}

namespace {

Result<void> mark_done(sql::Database& database, const std::string& intent) {
  auto statement = database.prepare("UPDATE intents SET done=1 WHERE id=?");
  if (!statement) return tl::unexpected(statement.error());
  return statement->bind(intent).run();
}

}  // namespace

void Store::apply_policy(PolicyVersion version, const std::string& intent, Done done) {
  state_->durable(
      [version = std::move(version), intent](State& s) -> Result<void> {
        if (auto written = write_policy(s.database, version); !written) return written;
        return mark_done(s.database, intent);
      },
      std::move(done));
}

void Store::set_policy_outcome(std::int64_t version, std::uint64_t sequence, Done done) {
  state_->durable(
      [version, sequence](State& s) -> Result<void> {
        auto statement = s.database.prepare("UPDATE policy_versions SET outcome_sequence=? WHERE version=?");
        if (!statement) return tl::unexpected(statement.error());
        return statement->bind(sequence, version).run();
      },
      std::move(done));
}

void Store::put_lock(policy::Lock lock, const std::string& intent, Done done) {
  state_->durable(
      [lock = std::move(lock), intent](State& s) -> Result<void> {
        if (auto written = write_lock(s.database, lock); !written) return written;
        return mark_done(s.database, intent);
      },
      std::move(done));
}

void Store::put_request(RequestRow row, const std::string& intent, Done done) {
  state_->durable(
      [row = std::move(row), intent](State& s) -> Result<void> {
        if (auto written = write_request(s.database, row); !written) return written;
        if (intent.empty()) return {};
        return mark_done(s.database, intent);
      },
      std::move(done));
}

void Store::put_token(TokenRow row, const std::string& intent, Done done) {
  state_->durable(
      [row = std::move(row), intent](State& s) -> Result<void> {
        auto statement = s.database.prepare("INSERT INTO tokens VALUES(?,?,?,?,?,?,?,?,?)");
        if (!statement) return tl::unexpected(statement.error());
        auto written = statement->bind(row.id, row.hash, row.principal, row.name, row.scopes, row.networks, row.created_by, row.created_us, row.expires_us).run();
        if (!written) return written;
        return mark_done(s.database, intent);
      },
      std::move(done));
}

void Store::remove_token(const std::string& id, const std::string& intent, Done done) {
  state_->durable(
      [id, intent](State& s) -> Result<void> {
        auto statement = s.database.prepare("DELETE FROM tokens WHERE id=?");
        if (!statement) return tl::unexpected(statement.error());
        if (auto removed = statement->bind(id).run(); !removed) return removed;
        return mark_done(s.database, intent);
      },
      std::move(done));
}

void Store::change_enrolments(std::vector<EnrolmentRow> put, std::vector<EnrolmentRow> remove, const std::string& intent, Done done) {
  state_->durable(
      [put = std::move(put), remove = std::move(remove), intent](State& s) -> Result<void> {
        for (const EnrolmentRow& row : remove) {
          auto statement = s.database.prepare("DELETE FROM enrolments WHERE kind=? AND principal=? AND id=?");
          if (!statement) return tl::unexpected(statement.error());
          if (auto removed = statement->bind(row.kind, row.principal, row.id).run(); !removed) return removed;
        }
        for (const EnrolmentRow& row : put) {
          auto statement = s.database.prepare("INSERT OR REPLACE INTO enrolments VALUES(?,?,?,?,?)");
          if (!statement) return tl::unexpected(statement.error());
          if (auto written = statement->bind(row.kind, row.principal, row.id, row.value, row.at_us).run(); !written) return written;
        }
        if (intent.empty()) return {};
        return mark_done(s.database, intent);
      },
      std::move(done));
}

void Store::use_enrolment(EnrolmentRow row, Done done) {
  state_->durable(
      [row = std::move(row)](State& s) -> Result<void> {
        auto statement = s.database.prepare("UPDATE enrolments SET value=?, at_us=? WHERE kind=? AND principal=? AND id=?");
        if (!statement) return tl::unexpected(statement.error());
        if (auto used = statement->bind(row.value, row.at_us, row.kind, row.principal, row.id).run(); !used) return used;
        if (s.database.changes() == 0) return fail(Errc::denied, "it was removed");
        return {};
      },
      std::move(done));
}

void Store::remove_enrolments_of(const std::string& principal, const std::string& intent, Done done) {
  state_->durable(
      [principal, intent](State& s) -> Result<void> {
        auto statement = s.database.prepare("DELETE FROM enrolments WHERE principal=? AND kind IN ('key','totp','passkey','recovery')");
        if (!statement) return tl::unexpected(statement.error());
        if (auto removed = statement->bind(principal).run(); !removed) return removed;
        return mark_done(s.database, intent);
      },
      std::move(done));
}

void Store::remove_lock(const std::string& id, const std::string& intent, Done done) {
  state_->durable(
      [id, intent](State& s) -> Result<void> {
        auto statement = s.database.prepare("DELETE FROM locks WHERE id=?");
        if (!statement) return tl::unexpected(statement.error());
        if (auto removed = statement->bind(id).run(); !removed) return removed;
        if (s.database.changes() == 0) return fail(Errc::not_found, "no lock " + id);
        return mark_done(s.database, intent);
      },
      std::move(done));
}

void Store::use_totp_step(const std::string& principal, std::int64_t step, Done done) {
  state_->durable(
      [principal, step](State& s) -> Result<void> {
        auto statement = s.database.prepare(
            "INSERT INTO totp_steps VALUES(?1,?2) ON CONFLICT(principal) DO UPDATE SET step=?2 WHERE step<?2");
        if (!statement) return tl::unexpected(statement.error());
        if (auto written = statement->bind(principal, step).run(); !written) return written;
        if (s.database.changes() == 0) return fail(Errc::conflict, "this code was used already");
        return {};
      },
      std::move(done));
}

void Store::list_sessions(SessionQuery query, std::function<void(Result<std::vector<SessionRow>>)> done) {
  auto rows = std::make_shared<Result<std::vector<SessionRow>>>();
  state_->post({[query = std::move(query), rows](State& s) -> Result<void> {
                  *rows = read_sessions(s.database, query);
                  return {};
                },
                [rows, done = std::move(done)](const Result<void>& result) {
                  if (!result) *rows = tl::unexpected(result.error());
                  done(std::move(*rows));
                },
                false});
}

void Store::list_uses(std::function<void(Result<std::vector<UseRow>>)> done) {
  auto rows = std::make_shared<Result<std::vector<UseRow>>>();
  state_->post({[rows](State& s) -> Result<void> {
                  *rows = read_uses(s.database);
                  return {};
                },
                [rows, done = std::move(done)](const Result<void>& result) {
                  if (!result) *rows = tl::unexpected(result.error());
                  done(std::move(*rows));
                },
                false});
}

void Store::list_requests(bool open_only, const std::string& before, std::uint32_t limit,
                          std::function<void(Result<std::vector<RequestRow>>)> done) {
  auto rows = std::make_shared<Result<std::vector<RequestRow>>>();
  state_->post({[open_only, before, limit, rows](State& s) -> Result<void> {
                  *rows = read_requests(s.database, open_only, before, limit);
                  return {};
                },
                [rows, done = std::move(done)](const Result<void>& result) {
                  if (!result) *rows = tl::unexpected(result.error());
                  done(std::move(*rows));
                },
                false});
}

void Store::find_session(const std::string& label, std::function<void(Result<SessionRow>)> done) {
  auto row = std::make_shared<Result<SessionRow>>();
  state_->post({[label, row](State& s) -> Result<void> {
                  *row = read_session(s.database, label);
                  return {};
                },
                [row, done = std::move(done)](const Result<void>& result) {
                  if (!result) *row = tl::unexpected(result.error());
                  done(std::move(*row));
                },
                false});
}

void Store::find_policy(std::int64_t version, std::int64_t at_us, std::function<void(Result<PolicyVersion>)> done) {
  auto found = std::make_shared<Result<PolicyVersion>>(fail(Errc::not_found, "no such policy version"));
  state_->post({[version, at_us, found](State& s) -> Result<void> {
                  auto all = read_policy_versions(s.database, 1'000'000, false);
                  if (!all) return tl::unexpected(all.error());
                  for (PolicyVersion& one : *all) {
                    if (version != 0 ? one.version != version : one.applied_us > at_us) continue;
                    if (auto read = read_policy_files(s.database, one); !read) return read;
                    if (!one.files.empty()) *found = std::move(one);
                    return {};
                  }
                  return {};
                },
                [found, done = std::move(done)](const Result<void>& result) {
                  if (!result) *found = tl::unexpected(result.error());
                  done(std::move(*found));
                },
                false});
}

void Store::list_policy_versions(std::uint32_t limit, std::function<void(Result<std::vector<PolicyVersion>>)> done) {
  auto rows = std::make_shared<Result<std::vector<PolicyVersion>>>();
  state_->post({[limit, rows](State& s) -> Result<void> {
                  *rows = read_policy_versions(s.database, limit, false);
                  return {};
                },
                [rows, done = std::move(done)](const Result<void>& result) {
                  if (!result) *rows = tl::unexpected(result.error());
                  done(std::move(*rows));
                },
                false});
}

}  // namespace sallyport::authority
