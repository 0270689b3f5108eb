#include "policy/authority/administration.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <utility>

#include "platform/crypto/hash.h"
#include "platform/crypto/hex.h"
#include "platform/crypto/ssh_public_key.h"
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

Result<void> Administration::may(const Operator& who, policy::AdminRight right) const {
  if (who.is_root) return {};
  if (!who.has_scope(policy::name_of(right))) return fail(Errc::denied, "the token has no scope `" + std::string(policy::name_of(right)) + "`");
  if (who.principal.empty()) return fail(Errc::denied, who.name + " is no operator of this gateway");
  const auto decision =
      policy::decide_admin(*authority_.snapshot, authority_.locks, {PrincipalId(who.principal), right, authority_.now(), !who.token.empty(), authority_.groups_of(who.principal)});
  if (decision.allowed()) return {};
  return fail(Errc::denied, who.principal + " has no role with the admin right " + std::string(policy::name_of(right)));
}

void Administration::with_intent(const Operator& who, std::string kind, EventJson details, Effect effect, std::function<void(Result<void>)> done) {
  run_act(authority_, who, std::move(kind), std::move(details), std::move(effect), std::move(done));
}

void Administration::status(Done<StatusReport> done) {
  StatusReport report;
  report.node = authority_.settings.text("node");
  report.policy_version = authority_.policy_version;
  report.policy_digest = authority_.snapshot->digest();
  for (const auto& [label, session] : authority_.sessions) {
    if (session->link == nullptr) continue;
    if (session->is_logged_in()) {
      ++report.live_sessions;
    } else if (session->state != control::SessionState::kit) {
      ++report.unproven;
    }
  }
  report.locks = authority_.locks.list().size();
  const auto& recorder = authority_.journal.status();
  const std::string refusal = authority_.journal.refusal();
  report.older_database = !authority_.journal.blocked().empty();
  report.recorder_healthy = refusal.empty();
  report.recorder_reason = refusal.empty() ? "" : authority_.journal.reason();
  report.journal_sequence = recorder.journal_sequence();
  report.journal_free_bytes = recorder.free_bytes();
  report.newest_checkpoint = recorder.newest_checkpoint();
  report.last_trouble = last_trouble_;
  report.alarms = authority_.journal.alarms_seen();
  report.newest_alarms.assign(authority_.journal.alarms().begin(), authority_.journal.alarms().end());
  control::Envelope question;
  question.mutable_seal_status();
  authority_.vault.ask(
      std::move(question),
      [report, done = std::move(done)](Result<control::Received> answer) mutable {
        if (answer && answer->envelope.has_seal_state()) {
          report.sealed = answer->envelope.seal_state().sealed();
          report.seal_source = answer->envelope.seal_state().source();
        } else {
          report.vault_problem = answer ? "the vault did not say" : answer.error().detail;
        }
        report.state = report.older_database             ? "older database"
                       : !report.recorder_healthy        ? "not recording"
                       : report.sealed                    ? "sealed"
                       : !report.vault_problem.empty()    ? "no vault"
                       : report.policy_version == 0       ? "no policy"
                                                          : "serving";
        done(std::move(report));
      },
      std::chrono::seconds(2));
}

void Administration::list_sessions(SessionQuery query, Done<std::vector<SessionRow>> done) {
  authority_.store->list_sessions(std::move(query), std::move(done));
}

void Administration::find_session(const std::string& label, Done<SessionRow> done) {
  if (const Session* live = authority_.find(label); live != nullptr && live->state != control::SessionState::kit) {
    SessionRow row = live->row;
    row.state = control::name_of(live->state);
    return done(std::move(row));
  }
  authority_.store->find_session(label, std::move(done));
}

void Administration::end_session(const Operator& who, const std::string& label, const std::string& reason, Done<void> done) {
  const Session* session = authority_.find(label);
  if (session == nullptr || session->link == nullptr || session->state == control::SessionState::kit)
    return done(fail(Errc::not_found, "no live session " + label));
  with_intent(
      who, "session.end", EventJson().text("session", label).text("reason", reason),
      [this, label, reason](const std::string&, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        Session* here = authority_.find(label);
        if (here == nullptr) return outcome(fail(Errc::not_found, "the session has ended meanwhile"));
        authority_.live->cut(*here, make_notice("SP-2016", reason.empty() ? "" : "an administrator ended it: " + reason));
        outcome(EventJson().text("session", label).text("reason", reason));
      },
      std::move(done));
}

void Administration::tell_session(const Operator& who, const std::string& label, const std::string& text, Done<void> done) {
  const Session* session = authority_.find(label);
  if (session == nullptr || session->link == nullptr || !session->is_logged_in()) return done(fail(Errc::not_found, "no live session " + label));
  with_intent(
      who, "session.message", EventJson().text("session", label).text("text", text),
      [this, who, label, text](const std::string&, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        const Session* here = authority_.find(label);
        if (here == nullptr || here->link == nullptr) return outcome(fail(Errc::not_found, "the session has ended meanwhile"));
        control::Envelope told;
        told.mutable_session_message()->set_text((who.principal.empty() ? who.name : who.principal) + " says: " + text);
        here->link->send(std::move(told));
        outcome(EventJson().text("session", label).text("text", text));
      },
      std::move(done));
}

void Administration::hold_session(const Operator& who, const std::string& label, bool held, const std::string& reason, Done<void> done) {
  const Session* session = authority_.find(label);
  if (session == nullptr || session->link == nullptr || !session->is_logged_in()) return done(fail(Errc::not_found, "no live session " + label));
  with_intent(
      who, held ? "session.hold" : "session.release", EventJson().text("session", label).text("reason", reason),
      [this, who, label, held, reason](const std::string&, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        const Session* here = authority_.find(label);
        if (here == nullptr || here->link == nullptr) return outcome(fail(Errc::not_found, "the session has ended meanwhile"));
        control::Envelope told;
        auto* body = told.mutable_session_message();
        body->set_hold(held ? control::SessionMessage::HOLD : control::SessionMessage::GO_ON);
        body->set_text((who.principal.empty() ? who.name : who.principal) + (held ? " holds this session" : " lets this session go on") + (reason.empty() ? "" : ": " + reason));
        here->link->send(std::move(told));
        outcome(EventJson().text("session", label).text("reason", reason));
      },
      std::move(done));
}

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

void Administration::apply(const Operator& who, std::vector<policy::SourceFile> files, std::string reason, const std::string& hash,
                           Done<PolicyAnswer> done) {
  auto answer = std::make_shared<PolicyAnswer>(plan(files));
  if (!answer->problems.empty()) return done(std::move(*answer));
  if (!hash.empty() && hash != answer->hash) return done(fail(Errc::conflict, "this is not the plan that was shown: the policy or the files have changed since; plan again"));
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
        if (version->version != authority_.policy_version + 1)
          return outcome(fail(Errc::conflict, "another policy was applied at the same time"));
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

void Administration::list_policy_versions(Done<std::vector<PolicyVersion>> done) {
  authority_.store->list_policy_versions(50, std::move(done));
}

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
  if (std::none_of(locks.begin(), locks.end(), [&](const policy::Lock& lock) { return lock.id == id; }))
    return done(fail(Errc::not_found, "no lock " + id));
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
      request.kind = kind;
      const auto decision = authority_.decide(request);
      std::string name(policy::name_of(kind));
      name.resize(16, ' ');
      answer.text += "  " + name + (decision.allowed() ? "allowed by " + decision.rule.str() : decision.code + " " + decision.why) + "\n";
    }
  }
  return answer;
}

void Administration::list_secrets(const std::string& prefix, Done<std::vector<control::SecretRow>> done) {
  control::Envelope question;
  question.mutable_secret_list()->set_prefix(prefix);
  authority_.vault.ask(std::move(question), [done = std::move(done)](Result<control::Received> answer) {
    if (!answer) return done(tl::unexpected(answer.error()));
    const auto& rows = answer->envelope.secret_rows().rows();
    done(std::vector<control::SecretRow>(rows.begin(), rows.end()));
  });
}

void Administration::put_secret(const Operator& who, control::SecretPut secret, Done<control::SecretStored> done) {
  EventJson details;
  details.text("secret", secret.name()).text("kind", secret.kind()).flag("generated", secret.generate());
  auto held = std::shared_ptr<control::SecretPut>(new control::SecretPut(std::move(secret)), [](control::SecretPut* put) {
    OPENSSL_cleanse(put->mutable_value()->data(), put->value().size());
    delete put;
  });
  auto stored = std::make_shared<control::SecretStored>();
  with_intent(
      who, "secret.put", details,
      [this, held, stored, details](const std::string&, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        control::Envelope question;
        *question.mutable_secret_put() = *held;
        authority_.vault.ask(std::move(question), [stored, details, outcome](Result<control::Received> answer) {
          if (!answer) return outcome(tl::unexpected(answer.error()));
          *stored = answer->envelope.secret_stored();
          EventJson json = details;
          outcome(json.number("version", stored->version()));
        });
      },
      [stored, done = std::move(done)](const Result<void>& put) {
        if (!put) return done(tl::unexpected(put.error()));
        done(*stored);
      });
}

void Administration::read_secret(const Operator& who, const std::string& name, const std::string& reason, Done<Secret> done) {
  EventJson details;
  details.text("secret", name).text("reason", reason);
  auto value = std::make_shared<Secret>();
  with_intent(
      who, "secret.read", details,
      [this, name, reason, details, value, reader = who.principal.empty() ? who.name : who.principal](const std::string&, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        control::Envelope question;
        question.mutable_secret_read()->set_name(name);
        question.mutable_secret_read()->set_principal(reader);
        question.mutable_secret_read()->set_reason(reason);
        authority_.vault.ask(std::move(question), [details, value, outcome](Result<control::Received> answer) {
          if (!answer) return outcome(tl::unexpected(answer.error()));
          if (!answer->envelope.has_lent_password()) return outcome(fail(Errc::internal, "the vault gave nothing"));
          auto* lent = answer->envelope.mutable_lent_password();
          *value = Secret(std::string_view(lent->password()));
          OPENSSL_cleanse(lent->mutable_password()->data(), lent->password().size());
          EventJson json = details;
          outcome(json.text("lease", lent->lease()).number("version", lent->version()));
        });
      },
      [value, done = std::move(done)](const Result<void>& read) {
        if (!read) return done(tl::unexpected(read.error()));
        done(std::move(*value));
      });
}

void Administration::delete_secret(const Operator& who, const std::string& name, std::uint32_t version, Done<void> done) {
  EventJson details;
  details.text("secret", name);
  if (version != 0) details.number("version", version);
  with_intent(
      who, "secret.delete", details,
      [this, name, version, details](const std::string&, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        control::Envelope question;
        question.mutable_secret_delete()->set_name(name);
        question.mutable_secret_delete()->set_version(version);
        authority_.vault.ask(std::move(question), [details, outcome](const Result<control::Received>& answer) {
          if (!answer) return outcome(tl::unexpected(answer.error()));
          outcome(details);
        });
      },
      std::move(done));
}

void Administration::unseal(const Operator& who, Secret passphrase, Done<control::SealState> done) {
  auto held = std::make_shared<Secret>(std::move(passphrase));
  auto state = std::make_shared<control::SealState>();
  with_intent(
      who, "vault.unseal", {},
      [this, held, state](const std::string&, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        control::Envelope question;
        question.mutable_unseal()->set_passphrase(held->reveal().data(), held->size());
        authority_.vault.ask(
            std::move(question),
            [this, state, outcome](Result<control::Received> answer) {
              if (!answer) return outcome(tl::unexpected(answer.error()));
              *state = answer->envelope.seal_state();
              authority_.vault.forget_keys();
              outcome(EventJson().flag("sealed", state->sealed()));
            },
            std::chrono::seconds(20));  // Argon2id over the passphrase
      },
      [state, done = std::move(done)](const Result<void>& result) {
        if (!result) return done(tl::unexpected(result.error()));
        done(*state);
      });
}

void Administration::seal(const Operator& who, Done<control::SealState> done) {
  auto state = std::make_shared<control::SealState>();
  with_intent(
      who, "vault.seal", {},
      [this, state](const std::string&, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        control::Envelope question;
        question.mutable_seal_now();
        authority_.vault.ask(std::move(question), [state, outcome](Result<control::Received> answer) {
          if (!answer) return outcome(tl::unexpected(answer.error()));
          *state = answer->envelope.seal_state();
          outcome(EventJson().flag("sealed", state->sealed()));
        });
      },
      [state, done = std::move(done)](const Result<void>& result) {
        if (!result) return done(tl::unexpected(result.error()));
        done(*state);
      });
}

void Administration::recording_key(const Operator& who, const std::string& session, std::string wrapped, const std::string& reason,
                                   bool input, Done<Secret> done) {
  if (reason.empty()) return done(fail(Errc::invalid, "a reason is needed to view a recording"));
  if (input && !may(who, policy::AdminRight::input)) return refuse_look(who, session, reason, "SP-4202", std::move(done));
  find_session(session, [this, who, session, wrapped = std::move(wrapped), reason, input, done = std::move(done)](const Result<SessionRow>& row) mutable {
    // Root has no principal of its own; a session that this node does not know is nobody's here.
    const std::string self = who.principal.empty() ? who.name : who.principal;
    if (row && row->principal == self) {
      const auto consent = consents_.find({session, self});
      if (consent == consents_.end() || consent->second < authority_.now()) return refuse_look(who, session, reason, "SP-4201", std::move(done));
    }
    unwrap_for(who, session, std::move(wrapped), reason, input, std::move(done));
  });
}

void Administration::refuse_look(const Operator& who, const std::string& session, const std::string& reason, std::string_view code, Done<Secret> done) {
  EventJson json;
  json.text("session", session).text("reason", reason).text("by", who.name).number("uid", who.uid).text("principal", who.principal);
  json.text("decision", "deny").text("code", code);
  authority_.journal.append("recording.look_refused", json.str(), {}, [done = std::move(done), code = std::string(code)](Result<Appended>) {
    done(fail(Errc::denied, code));
  });
}

void Administration::consent(const Operator& who, const std::string& session, const std::string& principal, const std::string& reason, Done<void> done) {
  const std::string self = who.principal.empty() ? who.name : who.principal;
  if (self == principal) return done(fail(Errc::denied, "SP-4203"));
  EventJson details;
  details.text("session", session).text("for", principal).text("reason", reason);
  with_intent(
      who, "recording.consent", details,
      [this, session, principal, details](const std::string&, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        std::erase_if(consents_, [&](const auto& known) { return known.second < authority_.now(); });
        consents_[{session, principal}] = authority_.now() + k_consent_lasts;
        outcome(details);
      },
      std::move(done));
}

void Administration::search_key(const Operator& who, const std::string& reason, Done<Secret> done) {
  if (reason.empty()) return done(fail(Errc::invalid, "a reason is needed to search recordings"));
  auto key = std::make_shared<Secret>();
  EventJson details;
  details.text("reason", reason);
  with_intent(
      who, "recording.search", details,
      [this, who, reason, key, details](const std::string&, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        control::Envelope question;
        question.mutable_search_key_ask()->set_reason(reason);
        question.mutable_search_key_ask()->set_principal(who.principal.empty() ? who.name : who.principal);
        authority_.vault.ask(std::move(question), [key, details, outcome](Result<control::Received> answer) {
          if (!answer) return outcome(tl::unexpected(answer.error()));
          std::string* bytes = answer->envelope.mutable_recording_key()->mutable_key();
          *key = Secret(std::string_view(*bytes));
          OPENSSL_cleanse(bytes->data(), bytes->size());
          outcome(details);
        });
      },
      [key, done = std::move(done)](const Result<void>& result) {
        if (!result) return done(tl::unexpected(result.error()));
        done(std::move(*key));
      });
}

void Administration::unwrap_for(const Operator& who, const std::string& session, std::string wrapped, const std::string& reason, bool input,
                                Done<Secret> done) {
  auto key = std::make_shared<Secret>();
  EventJson details;
  details.text("session", session).text("reason", reason);
  if (input) details.flag("input", true);
  with_intent(
      who, "recording.view", details,
      [this, who, session, wrapped = std::move(wrapped), reason, key, details](const std::string&, std::uint64_t,
                                                                            const std::function<void(Result<EventJson>)>& outcome) {
        control::Envelope question;
        auto* body = question.mutable_unwrap_recording_key();
        body->set_session(session);
        body->set_wrapped(wrapped);
        body->set_reason(reason);
        body->set_principal(who.principal.empty() ? who.name : who.principal);
        authority_.vault.ask(std::move(question), [key, details, outcome](Result<control::Received> answer) {
          if (!answer) return outcome(tl::unexpected(answer.error()));
          std::string* bytes = answer->envelope.mutable_recording_key()->mutable_key();
          *key = Secret(std::string_view(*bytes));
          OPENSSL_cleanse(bytes->data(), bytes->size());
          outcome(details);
        });
      },
      [key, done = std::move(done)](const Result<void>& result) {
        if (!result) return done(tl::unexpected(result.error()));
        done(std::move(*key));
      });
}

void Administration::public_keys(Done<control::PublicKeySet> done) { authority_.vault.with_keys(std::move(done)); }

void Administration::target_setup(const std::string& target, Done<std::string> done) {
  const policy::Target* found = authority_.snapshot->find_target(target);
  if (found == nullptr) return done(fail(Errc::not_found, "no target " + target));
  std::string principals;
  for (const policy::Account& account : found->accounts) {
    std::string names;
    for (const std::string& name : found->certificate_principals(account)) names += name + "\n";
    principals += "# /etc/ssh/sallyport/" + account.name.str() + "\n" + names;
  }
  authority_.vault.with_keys([target, principals, done = std::move(done)](const Result<control::PublicKeySet>& keys) {
    if (!keys) return done(tl::unexpected(keys.error()));
    const auto ca = crypto::SshPublicKey::parse_blob(bytes_of(keys->user_ca()));
    if (!ca) return done(fail(Errc::internal, "the vault has no user CA"));
    done("# ---- on " + target + ": /etc/ssh/sallyport/user_ca.pub\n" + ca->line() + " sallyport-user-ca\n# ---- /etc/ssh/sshd_config\n" +
         "TrustedUserCAKeys /etc/ssh/sallyport/user_ca.pub\nAuthorizedPrincipalsFile /etc/ssh/sallyport/%u\n# ---- principals, one file for each account\n" +
         principals);
  });
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
    authority_.note("journal.behind_database",
                    EventJson().number("journal", static_cast<std::int64_t>(here)).number("database", static_cast<std::int64_t>(policy->outcome_sequence)).flag("alarm", true));
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
