// Policies and locks: planned, published, explained; and what a crash left open.
#include "policy/authority/administration.h"

#include <algorithm>
#include <utility>

#include "platform/crypto/hash.h"
#include "platform/crypto/hex.h"
#include "platform/crypto/ulid.h"
#include "platform/model/bytes.h"
#include "platform/os/log.h"
#include "policy/access/matching.h"
#include "policy/access/tunnels.h"
#include "policy/authority/glass.h"
#include "policy/authority/live_sessions.h"
#include "policy/authority/sign_on.h"

namespace sallyport::authority {
namespace {

constexpr std::size_t k_most_locks = 10'000;

}  // namespace

PolicyAnswer Administration::plan(std::span<const policy::SourceFile> files) const {
  PolicyAnswer answer;
  policy::Loaded loaded = policy::load_policy(files);
  answer.problems = std::move(loaded.problems);
  answer.version = authority_.policy_version;
  if (!loaded.snapshot) return answer;
  std::vector<policy::LiveUse> live;
  for (const auto& [label, session] : authority_.sessions) {
    if (!session->is_logged_in() || session->link == nullptr || !session->opened) continue;
    policy::LiveUse use{label, authority_.request_of(*session)};
    use.request.opened = session->opened;
    live.push_back(std::move(use));
  }
  const std::string both = std::to_string(authority_.policy_version) + " " + authority_.snapshot->digest() + " " + loaded.snapshot->digest();
  answer.hash = crypto::to_hex(crypto::sha256(bytes_of(both))).substr(0, 32);
  answer.plan = policy::make_plan(*authority_.snapshot, *loaded.snapshot, authority_.locks, live, authority_.now());
  return answer;
}

void Administration::apply(const Operator& who, std::vector<policy::SourceFile> files, std::string reason, const std::string& hash, Done<PolicyAnswer> done) {
  auto answer = std::make_shared<PolicyAnswer>(plan(files));
  if (!answer->problems.empty()) return done(std::move(*answer));
  if (!hash.empty() && hash != answer->hash)
    return done(fail(Errc::conflict, "this is not the plan that was shown: the policy or the files have changed since; plan again"));
  if (who.dry_run || (answer->plan.no_changes && authority_.policy_version != 0)) return done(std::move(*answer));
  std::string approved;
  if (authority_.settings.flag("admin_policy_four_eyes", false) && authority_.policy_version != 0) {
    approved = authority_.requests->approved_policy(who, answer->hash);
    if (approved.empty()) {
      authority_.requests->ask_for_policy(who, answer->hash, answer->plan.text(), reason, [answer, done = std::move(done)](const Result<RequestRow>& asked) {
        if (!asked) return done(tl::unexpected(asked.error()));
        answer->request = asked->id;
        done(std::move(*answer));
      });
      return;
    }
  }
  auto snapshot = policy::load_policy(files).snapshot;
  auto version = std::make_shared<PolicyVersion>();
  version->version = authority_.policy_version + 1;
  version->by = who.principal.empty() ? who.name : who.principal;
  version->reason = std::move(reason);
  version->digest = snapshot->digest();
  for (policy::SourceFile& file : files) version->files.push_back({std::move(file.name), std::move(file.content)});
  EventJson details;
  details.number("version", version->version).text("digest", version->digest).text("reason", version->reason);
  details.number("changes", static_cast<std::int64_t>(answer->plan.changes.size())).number("ending", static_cast<std::int64_t>(answer->plan.ending.size()));
  with_intent(
      who, "policy.apply", details,
      [this, version, snapshot, details](const std::string& intent, std::uint64_t sequence, const std::function<void(Result<EventJson>)>& outcome) {
        if (version->version != authority_.policy_version + 1) return outcome(fail(Errc::conflict, "another policy was applied at the same time"));
        version->intent_sequence = sequence;
        version->applied_us = authority_.now_us();
        authority_.store->apply_policy(*version, intent, [this, version, snapshot, details, outcome](const Result<void>& stored) {
          if (!stored) return outcome(tl::unexpected(stored.error()));
          publish(snapshot, version->version);
          authority_.glass->keep_policy(*version);
          outcome(details);
        });
      },
      [this, answer, version, approved, done = std::move(done)](const Result<void>& applied) {
        if (!applied) return done(tl::unexpected(applied.error()));
        if (!approved.empty()) authority_.requests->use_policy(approved);
        answer->version = version->version;
        answer->applied = true;
        // The sequence of the outcome is what a later start compares the journal with.
        authority_.store->set_policy_outcome(version->version, std::max<std::uint64_t>(1, authority_.journal.status().journal_sequence()),
                                             [](const Result<void>&) {});
        done(std::move(*answer));
      });
}

void Administration::publish(std::shared_ptr<const policy::Snapshot> snapshot, std::int64_t version) {
  authority_.snapshot = std::move(snapshot);
  authority_.policy_version = version;
  ++authority_.generation;
  authority_.live->judge_all();
}

void Administration::publish_locks(std::vector<policy::Lock> locks) {
  authority_.locks = policy::Locks(std::move(locks));
  for (const policy::Lock& lock : authority_.locks.list())
    if (!lock.principal.empty() && lock.target.empty() && lock.account.empty()) authority_.sign_on->enrolment.on_locked(lock.principal);
  ++authority_.generation;
  authority_.glass->keep_locks();
  authority_.live->judge_all();
}

void Administration::list_policy_versions(Done<std::vector<PolicyVersion>> done) { authority_.store->list_policy_versions(50, std::move(done)); }

void Administration::find_policy_version(std::int64_t version, Done<PolicyVersion> done) { authority_.store->find_policy(version, 0, std::move(done)); }

void Administration::find_policy_at(WallTime moment, Done<PolicyVersion> done) {
  authority_.store->find_policy(0, moment.time_since_epoch().count(), std::move(done));
}

void Administration::set_lock(const Operator& who, policy::Lock lock, Done<policy::Lock> done) {
  if (!lock.names_something()) return done(fail(Errc::invalid, "a lock must name a principal, a target or an account"));
  if (authority_.locks.list().size() >= k_most_locks) return done(fail(Errc::conflict, "there are too many locks"));
  lock.id = crypto::make_ulid(authority_.clock, authority_.random);
  lock.created = authority_.clock.wall();
  lock.created_by = who.principal.empty() ? who.name : who.principal;
  EventJson details;
  details.text("lock", lock.id).text("locked_principal", lock.principal).text("locked_target", lock.target);
  details.text("locked_account", lock.account).text("reason", lock.reason);
  if (lock.expires) details.number("expires_us", lock.expires->time_since_epoch().count());
  with_intent(
      who, "lock.set", details,
      [this, lock, details](const std::string& intent, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        authority_.store->put_lock(lock, intent, [this, lock, details, outcome](const Result<void>& stored) {
          if (!stored) return outcome(tl::unexpected(stored.error()));
          auto locks = authority_.locks.list();
          locks.push_back(lock);
          publish_locks(std::move(locks));
          outcome(details);
        });
      },
      [lock, done = std::move(done)](const Result<void>& set) {
        if (!set) return done(tl::unexpected(set.error()));
        done(lock);
      });
}

void Administration::remove_lock(const Operator& who, const std::string& id, const std::string& reason, Done<void> done) {
  const auto& locks = authority_.locks.list();
  if (std::none_of(locks.begin(), locks.end(), [&](const policy::Lock& lock) { return lock.id == id; })) return done(fail(Errc::not_found, "no lock " + id));
  EventJson details;
  details.text("lock", id).text("reason", reason);
  with_intent(
      who, "lock.remove", details,
      [this, id, details](const std::string& intent, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        authority_.store->remove_lock(id, intent, [this, id, details, outcome](const Result<void>& removed) {
          if (!removed) return outcome(tl::unexpected(removed.error()));
          auto left = authority_.locks.list();
          std::erase_if(left, [&](const policy::Lock& lock) { return lock.id == id; });
          publish_locks(std::move(left));
          outcome(details);
        });
      },
      std::move(done));
}

Result<ExplainAnswer> Administration::explain(const ExplainQuestion& question) const {
  policy::AccessRequest request;
  if (!question.session.empty()) {
    const Session* session = authority_.find(question.session);
    if (session == nullptr || !session->is_logged_in()) return fail(Errc::not_found, "no live session " + question.session);
    request = authority_.request_of(*session);
    request.opened = session->opened;
  } else {
    if (question.principal.empty()) return fail(Errc::invalid, "name a principal");
    request.principal = PrincipalId(question.principal);
    request.target = TargetId(question.target);
    request.account = AccountName(question.account);
    request.now = question.at.value_or(authority_.now());
    request.factors = {{policy::FactorKind::key, request.now, false}};
    request.groups = authority_.groups_of(question.principal);
    if (!question.source.empty()) {
      const auto source = IpAddress::parse(question.source);
      if (!source) return fail(Errc::invalid, "not an address: " + question.source);
      request.source = *source;
    }
    const policy::Target* target = authority_.snapshot->find_target(question.target);
    if (question.account.empty() && target != nullptr) {
      const auto accounts = policy::list_accounts(*authority_.snapshot, authority_.locks, request);
      if (accounts.size() == 1) {
        request.account = accounts.front().account->name;
      } else if (target->accounts.size() == 1) {
        request.account = target->accounts.front().name;
      }
    }
  }
  if (!question.channel.empty()) {
    const auto kind = policy::parse_channel_kind(question.channel);
    if (!kind) return fail(Errc::invalid, "no such kind of channel: " + question.channel);
    request.kind = *kind;
  }
  if (!question.destination.empty()) {
    const auto destination = policy::Destination::parse(question.destination);
    if (!destination) return tl::unexpected(destination.error());
    const bool is_socket = !destination->path.empty();
    if (question.channel.empty()) request.kind = is_socket ? policy::ChannelKind::tunnel_unix : policy::ChannelKind::tunnel_local;
    if (!policy::is_tunnel(request.kind) || (request.kind == policy::ChannelKind::tunnel_unix) != is_socket) {
      return fail(Errc::invalid, "a " + std::string(policy::name_of(request.kind)) + " channel does not lead to " + question.destination);
    }
    request.host = destination->host;
    request.port = destination->port;
    request.path = destination->path;
  }
  const policy::Explanation explanation = policy::explain(*authority_.snapshot, authority_.locks, request);
  ExplainAnswer answer{explanation.decision, explanation, explanation.text()};
  if (question.channel.empty() && question.destination.empty() && explanation.decision.allowed()) {
    answer.text += "\nchannels:\n";
    for (std::size_t i = 0; i < policy::k_channel_kinds; ++i) {
      const auto kind = static_cast<policy::ChannelKind>(i);
      if (kind == policy::ChannelKind::connect) continue;
      std::string name(policy::name_of(kind));
      name.resize(16, ' ');
      request.kind = kind;
      // Tunnels are judged by where they lead, which nobody has said: with a place that is nobody's, only that no role has them at all counts.
      const bool leads_somewhere =
          kind == policy::ChannelKind::tunnel_local || kind == policy::ChannelKind::tunnel_dynamic || kind == policy::ChannelKind::tunnel_unix;
      request.host = leads_somewhere ? "nowhere.invalid" : "";
      request.path = leads_somewhere ? "/nowhere.invalid" : "";
      const auto decision = authority_.decide(request);
      if (leads_somewhere && decision.code == "SP-2011") {
        answer.text += "  " + name + "depends on where it leads: ask with --destination\n";
        continue;
      }
      answer.text += "  " + name + (decision.allowed() ? "allowed by " + decision.rule.str() : decision.code + " " + decision.why) + "\n";
    }
  }
  return answer;
}

void Administration::close_open_intents(std::vector<Intent> intents, const std::optional<PolicyVersion>& policy) {
  for (const Intent& intent : intents) {
    const auto fields = JsonFields::parse(intent.json);
    EventJson json;
    json.text("intent", intent.id).text("act", intent.kind).flag("recovered", true);
    if (fields) {
      for (const std::string_view key : {"version", "lock", "secret", "session", "digest", "reason", "by"}) json.text(key, fields->get(key));
    }
    json.text("why", intent.done ? "the effect was complete when the authority ended" : "the authority ended before the effect was complete");
    authority_.journal.append(
        intent.done ? outcome_name(intent.kind) : "admin.abandoned", json.str(), {},
        [this, id = intent.id](const Result<Appended>& written) {
          if (written) authority_.store->close_intent(id, [](const Result<void>&) {});
        },
        true, intent.id);
  }
  if (!policy) return;
  const std::uint64_t here = authority_.journal.status().journal_sequence();
  if (here != 0 && policy->outcome_sequence > here + 1)
    authority_.note("journal.behind_database", EventJson()
                                                   .number("journal", static_cast<std::int64_t>(here))
                                                   .number("database", static_cast<std::int64_t>(policy->outcome_sequence))
                                                   .flag("alarm", true));
}

void Administration::apply_folder(const std::string& folder) {
  auto files = policy::read_policy_folder(folder);
  if (!files) {
    note_trouble("policy folder " + folder + ": " + files.error().detail);
    os::log_line(os::LogEvent::authority_policy_refused, last_trouble_);
    return;
  }
  Operator self;
  self.name = "sallyport";
  self.is_root = true;
  apply(self, std::move(*files), "policy_dir " + folder, {}, [this, folder](const Result<PolicyAnswer>& answer) {
    if (!answer) {
      note_trouble("policy folder " + folder + ": " + answer.error().detail);
    } else if (!answer->problems.empty()) {
      note_trouble("policy folder " + folder + " was refused: " + answer->problems.front().str());
    } else {
      last_trouble_.clear();
      if (answer->applied) os::log_line(os::LogEvent::authority_policy_loaded, "policy version " + std::to_string(answer->version) + " from " + folder);
      return;
    }
    os::log_line(os::LogEvent::authority_policy_refused, last_trouble_);
  });
}

}  // namespace sallyport::authority
