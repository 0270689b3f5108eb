#include "policy/authority/glass.h"

#include <algorithm>
#include <set>
#include <utility>

#include "platform/crypto/ulid.h"
#include "platform/os/log.h"
#include "policy/access/load.h"
#include "policy/authority/live_sessions.h"
#include "policy/authority/requests.h"
#include "policy/authority/sign_on.h"

namespace sallyport::authority {
namespace {

constexpr unsigned k_free_tries = 3;
constexpr std::chrono::seconds k_first_wait{30};  // doubles with each wrong try
constexpr std::chrono::minutes k_longest_wait{60};
constexpr std::size_t k_most_codes = 64;
constexpr std::size_t k_least_of_id = 6;
constexpr std::size_t k_most_envelopes = 1000;

struct Refusal_ {
  std::string code;
  std::string why;
};

/// "SP-9902 the rest" as two.
Refusal_ parts_of(const Error& error) {
  const auto space = error.detail.find(' ');
  if (!error.detail.starts_with("SP-") || space == std::string::npos) return {"SP-9902", error.detail};
  return {error.detail.substr(0, space), error.detail.substr(space + 1)};
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ",") + name;
  return text;
}

EventJson facts_of(const policy::Envelope& envelope) {
  EventJson json;
  json.text("envelope", envelope.id).text("principal", envelope.principal).text("targets", joined(envelope.targets)).text("accounts", joined(envelope.accounts));
  if (envelope.drill) json.flag("drill", true);
  return json;
}

bool lists(const std::vector<std::string>& names, std::string_view name) { return std::find(names.begin(), names.end(), name) != names.end(); }

}  // namespace

bool GlassDrill::ok() const {
  return std::all_of(checks.begin(), checks.end(), [](const GlassCheck& check) { return check.ok; });
}

struct GlassDesk::Opening {
  std::string id;
  std::string session;
  std::string principal;
  std::string source;
  std::vector<std::string> approvers;  ///< whose codes were given
  bool drill = false;
  Reply reply;
};

void GlassDesk::load(const std::string& folder) {
  folder_ = std::make_unique<GlassFolder>(folder);
  envelopes_.clear();
  for (auto& [id, text] : folder_->envelopes()) {
    Kept kept;
    auto sealed = policy::parse_envelope(text);
    if (sealed && sealed->envelope.id != id) sealed = fail(Errc::corrupt, "the file is not named as the envelope in it");
    if (sealed) kept.sealed = std::make_shared<const policy::SignedEnvelope>(std::move(*sealed));
    else kept.problem = sealed.error().detail;
    for (const char* kind : {"revoked", "opened"}) {
      if (!kept.spent.empty()) break;
      if (const auto mark = folder_->mark(id, kind)) {
        kept.spent = kind;
        kept.mark = *mark;
      }
    }
    envelopes_.emplace(id, std::move(kept));
  }
}

void GlassDesk::keep_policy(const PolicyVersion& version) {
  if (!folder_ || alone_) return;
  if (auto kept = folder_->keep_policy(version); !kept) os::log_line(os::LogEvent::glass_failed, "break-glass: the copy of the policy: " + kept.error().detail);
}

void GlassDesk::keep_locks() {
  if (!folder_ || alone_) return;
  if (auto kept = folder_->keep_locks(authority_.locks.list()); !kept) os::log_line(os::LogEvent::glass_failed, "break-glass: the copy of the locks: " + kept.error().detail);
}

bool GlassDesk::begin_alone(const std::string& why) {
  if (alone_) return true;
  if (!folder_) return false;
  const auto version = folder_->policy();
  if (!version) {
    os::log_line(os::LogEvent::glass_failed, "break-glass: " + version.error().detail);
    return false;
  }
  std::vector<policy::SourceFile> files;
  for (const PolicyFile& file : version->files) files.push_back({file.name, file.content});
  policy::Loaded loaded = policy::load_policy(files);
  auto locks = folder_->locks();
  // Without the locks nobody knows who is locked out; a copy that was never written is a gateway that never had one.
  if (!loaded.snapshot || (!locks && locks.error().code != Errc::not_found)) {
    os::log_line(os::LogEvent::glass_failed, "break-glass: the copy of the policy or of the locks cannot be used");
    return false;
  }
  alone_ = true;
  authority_.snapshot = std::move(loaded.snapshot);
  authority_.policy_version = version->version;
  if (locks) authority_.locks = policy::Locks(std::move(*locks));
  ++authority_.generation;
  for (const auto& [id, kept] : envelopes_) {
    if (!kept.sealed) continue;
    for (const std::string& blob : kept.sealed->envelope.keys) {
      const auto key = crypto::SshPublicKey::parse_blob(bytes_of(blob));
      if (!key || authority_.sign_on->enrolled.find_owner(*authority_.snapshot, blob) != nullptr) continue;
      policy::LoginKey own;
      own.blob = blob;
      own.algorithm = key->name();
      own.fingerprint = key->fingerprint();
      authority_.sign_on->enrolled.add_key(kept.sealed->envelope.principal, std::move(own));
    }
  }
  os::log_line(os::LogEvent::glass_only, "only break-glass envelopes open anything now: " + why);
  alone_why_ = why;
  return true;
}

void GlassDesk::tell_alone() {
  if (alone_why_.empty()) return;
  const std::string why = std::exchange(alone_why_, {});
  authority_.note("database.unavailable", EventJson().text("why", why).number("policy_version", authority_.policy_version).text("decision", "deny").text("code", "SP-9907").flag("alarm", true));
  tell({"database.unavailable", {}, {}, {}, false, "The gateway runs without its database (" + why + "): only break-glass envelopes open anything."});
}

std::string GlassDesk::refusal(std::string_view principal) const {
  const std::string code = authority_.journal.refusal();
  if (code.empty() || !alone_ || code != authority_.journal.blocked()) return code;
  if (std::string recorder = authority_.journal.recorder_refusal(); !recorder.empty()) return recorder;
  const bool hers = std::any_of(envelopes_.begin(), envelopes_.end(), [&](const auto& one) { return one.second.sealed && one.second.sealed->envelope.principal == principal; });
  return hers ? std::string() : code;
}

GlassRow GlassDesk::row_of(const std::string& id, const Kept& kept) const {
  GlassRow row;
  row.spent_us = kept.mark.at_us;
  row.until_us = kept.mark.until_us;
  if (!kept.sealed) {
    row.envelope.id = id;
    row.state = kept.spent.empty() ? "refused" : kept.spent;
    row.problem = kept.problem;
    return row;
  }
  row.envelope = kept.sealed->envelope;
  if (auto names = policy::check_signatures(*kept.sealed, *authority_.snapshot, authority_.now())) row.signed_by = std::move(*names);
  else row.problem = parts_of(names.error()).why;
  if (kept.spent == "revoked") {
    row.state = "revoked";
  } else if (kept.spent == "opened") {
    row.state = authority_.now_us() < kept.mark.until_us ? "opened" : "over";
  } else if (!row.problem.empty()) {
    row.state = "refused";
  } else if (auto fits = policy::check_envelope(row.envelope, *authority_.snapshot, authority_.now()); !fits) {
    const Refusal_ why = parts_of(fits.error());
    row.problem = why.why;
    row.state = why.code != "SP-9903" ? "refused" : authority_.now() < row.envelope.not_before ? "early" : "expired";
  } else {
    row.state = "ready";
  }
  return row;
}

std::vector<GlassRow> GlassDesk::list() const {
  std::vector<GlassRow> rows;
  for (const auto& [id, kept] : envelopes_) rows.push_back(row_of(id, kept));
  return rows;
}

Result<GlassRow> GlassDesk::find(const std::string& id) const {
  const auto found = envelopes_.find(id);
  if (found == envelopes_.end()) return fail(Errc::not_found, "no envelope " + id);
  return row_of(id, found->second);
}

void GlassDesk::add(const Operator& who, const std::string& text, Done<GlassRow> done) {
  auto sealed = policy::parse_envelope(text);
  if (!sealed) return done(tl::unexpected(sealed.error()));
  const std::string id = sealed->envelope.id;
  if (!folder_ || alone_) return done(fail(Errc::unavailable, "SP-9907 the gateway runs without its database"));
  if (envelopes_.contains(id)) return done(fail(Errc::conflict, "the envelope " + id + " is here already"));
  if (envelopes_.size() >= k_most_envelopes) return done(fail(Errc::conflict, "there are " + std::to_string(k_most_envelopes) + " envelopes already"));
  auto names = policy::check_signatures(*sealed, *authority_.snapshot, authority_.now());
  Result<void> right = names ? policy::check_envelope(sealed->envelope, *authority_.snapshot, authority_.now()) : Result<void>(tl::unexpected(names.error()));
  // One that is good from tomorrow on may come today.
  if (!right && authority_.now() < sealed->envelope.not_before && parts_of(right.error()).code == "SP-9903") right = Result<void>();
  const auto file = std::make_shared<const std::string>(text);
  const auto kept = std::make_shared<const policy::SignedEnvelope>(std::move(*sealed));
  const auto no = [this, who, kept, done](const Error& error) {
    const Refusal_ why = parts_of(error);
    EventJson json = facts_of(kept->envelope);
    authority_.note("glass.refused", json.text("act", "add").text("by", who.name).text("why", why.why).text("decision", "deny").text("code", why.code).flag("alarm", true));
    done(fail(Errc::denied, why.code + " " + why.why));
  };
  if (!right) return no(right.error());
  if (who.dry_run) return done(row_of(id, Kept{kept, {}, {}, {}, 0, {}, false}));
  authority_.journal.ask_spent(id, [this, who, id, file, kept, no, done, names = *names](const Result<std::string>& spent) {
    if (!spent) return done(tl::unexpected(spent.error()));
    if (!spent->empty()) return no(Error{Errc::denied, "SP-9904 the journal says `" + *spent + "` of it"});
    EventJson details = facts_of(kept->envelope);
    details.text("signed_by", joined(names)).text("reason", kept->envelope.reason);
    run_act(
        authority_, who, "glass.add", details,
        [this, id, file, kept, details](const std::string&, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
          if (envelopes_.contains(id)) return outcome(fail(Errc::conflict, "the envelope " + id + " is here already"));
          if (auto put = folder_->put(id, *file); !put) return outcome(tl::unexpected(put.error()));
          Kept fresh;
          fresh.sealed = kept;
          envelopes_.emplace(id, std::move(fresh));
          outcome(details);
        },
        [this, id, done](const Result<void>& added) {
          if (!added) return done(tl::unexpected(added.error()));
          done(find(id));
        });
  });
}

// Past the database: it must be possible to take one back when that is gone.
void GlassDesk::revoke(const Operator& who, const std::string& id, const std::string& reason, Done<GlassRow> done) {
  const auto found = envelopes_.find(id);
  if (found == envelopes_.end()) return done(fail(Errc::not_found, "no envelope " + id));
  if (found->second.spent == "revoked") return done(fail(Errc::conflict, "the envelope " + id + " is revoked already"));
  if (who.dry_run) return done(row_of(id, found->second));
  EventJson json = found->second.sealed ? facts_of(found->second.sealed->envelope) : EventJson().text("envelope", id);
  json.text("by", who.name).text("from", who.source).text("api_request", who.request).text("reason", reason).flag("alarm", true);
  authority_.journal.append(
      "glass.revoked", json.str(), {},
      [this, who, id, done](const Result<Appended>& stored) {
        if (!stored) return done(fail(Errc::unavailable, "no audit, no change: " + stored.error().detail));
        Kept& kept = envelopes_[id];
        kept.spent = "revoked";
        kept.mark = {authority_.now_us(), 0, who.name};
        if (auto marked = folder_->put_mark(id, "revoked", kept.mark); !marked) os::log_line(os::LogEvent::glass_failed, "break-glass: " + marked.error().detail);
        ++authority_.generation;
        authority_.live->judge_all();
        const std::string principal = kept.sealed ? kept.sealed->envelope.principal : std::string();
        tell({"glass.revoked", stored->id, id, principal, kept.sealed && kept.sealed->envelope.drill, "The break-glass envelope " + id + (principal.empty() ? "" : " of " + principal) + " was revoked by " + who.name + "."});
        done(row_of(id, kept));
      },
      true);
}

void GlassDesk::drill(const Operator& who, const std::string& id, Done<GlassDrill> done) {
  const auto found = envelopes_.find(id);
  if (found == envelopes_.end()) return done(fail(Errc::not_found, "no envelope " + id));
  auto drill = std::make_shared<GlassDrill>();
  drill->envelope = id;
  const auto check = [drill](std::string what, const Result<void>& result, const std::string& detail) {
    drill->checks.push_back({std::move(what), result.has_value(), result ? detail : parts_of(result.error()).why});
  };
  const Kept& kept = found->second;
  const auto file = folder_->envelopes();
  check("stored", file.contains(id) && kept.sealed ? Result<void>() : Result<void>(fail(Errc::corrupt, kept.problem.empty() ? "its file is gone" : kept.problem)), "its file is there and whole");
  if (kept.sealed) {
    const policy::Envelope& e = kept.sealed->envelope;
    const auto names = policy::check_signatures(*kept.sealed, *authority_.snapshot, authority_.now());
    check("signatures", names ? Result<void>() : Result<void>(tl::unexpected(names.error())), names ? joined(*names) : "");
    check("validity", policy::check_envelope(e, *authority_.snapshot, authority_.now()), joined(e.accounts) + " at " + joined(e.targets));
    std::string lock;
    for (const std::string& target : e.targets)
      for (const std::string& account : e.accounts)
        if (authority_.locks.find(e.principal, target, account, authority_.now()) != nullptr) lock = e.principal + ", " + target + " or " + account + " is locked";
    check("locks", lock.empty() ? Result<void>() : Result<void>(fail(Errc::denied, lock)), "none is in its way");
    check("policy copy", folder_->policy() ? Result<void>() : Result<void>(fail(Errc::corrupt, "there is none to go by without the database")), "readable without the database");
  }
  check("unspent", kept.spent.empty() ? Result<void>() : Result<void>(fail(Errc::conflict, "it was " + kept.spent)), "by its folder");
  const std::string recorder = authority_.journal.recorder_refusal();
  check("recorder", recorder.empty() ? Result<void>() : Result<void>(fail(Errc::unavailable, authority_.journal.reason())), "healthy");
  authority_.vault.with_keys([this, who, id, drill, check, done](const Result<control::PublicKeySet>& keys) {
    check("vault", keys ? Result<void>() : Result<void>(tl::unexpected(keys.error())), "unsealed");
    authority_.journal.ask_spent(id, [this, who, id, drill, check, done](const Result<std::string>& spent) {
      check("journal", !spent ? Result<void>(tl::unexpected(spent.error())) : spent->empty() ? Result<void>() : Result<void>(fail(Errc::conflict, *spent)), "knows of no opening");
      std::string failed;
      for (const GlassCheck& one : drill->checks)
        if (!one.ok) failed += (failed.empty() ? "" : ", ") + one.what;
      EventJson json;
      json.text("envelope", id).text("by", who.name).text("from", who.source).flag("ok", drill->ok()).text("failed", failed);
      authority_.journal.append("glass.drilled", json.str(), {}, [this, who, id, drill, failed, done](const Result<Appended>& stored) {
        if (!stored) return done(fail(Errc::unavailable, stored.error().detail));
        tell({"glass.drilled", stored->id, id, {}, true, "Drill by " + who.name + ": the break-glass envelope " + id + (failed.empty() ? " would open." : " would NOT open: " + failed + ".")});
        done(*drill);
      });
    });
  });
}

std::shared_ptr<const policy::GlassGrant> GlassDesk::grant_of(const std::string& principal, const std::string& target, const std::string& account) const {
  std::shared_ptr<policy::GlassGrant> grant;
  for (const auto& [id, kept] : envelopes_) {
    if (kept.spent != "opened" || !kept.sealed || kept.sealed->envelope.principal != principal || authority_.now_us() >= kept.mark.until_us) continue;
    const policy::Envelope& e = kept.sealed->envelope;
    const bool fits = lists(e.targets, target) && lists(e.accounts, account);
    if (grant && !fits) continue;
    grant = std::make_shared<policy::GlassGrant>(policy::GlassGrant{id, e.targets, e.accounts, WallTime(std::chrono::microseconds(kept.mark.until_us)), alone_});
    if (fits) break;
  }
  if (!grant && alone_) grant = std::make_shared<policy::GlassGrant>(policy::GlassGrant{{}, {}, {}, {}, true});
  return grant;
}

// ---------------------------------------------------------------------------------------------------- from a session

GlassDesk::Kept* GlassDesk::named(const std::string& word, const std::string& principal) {
  Kept* only = nullptr;
  for (auto& [id, kept] : envelopes_) {
    if (!kept.sealed || kept.sealed->envelope.principal != principal) continue;
    if (id == word) return &kept;
    if (word.size() < k_least_of_id || !std::string_view(id).ends_with(word)) continue;
    if (only != nullptr) return nullptr;
    only = &kept;
  }
  return only;
}

bool GlassDesk::ask(Session& session, const std::vector<std::string>& words, const Reply& reply) {
  if (words.front() != "glass") return false;
  const std::string principal = session.identity->principal.str();
  if (words.size() >= 4 && words[1] == "open") {
    open(session, words, reply);
  } else if (words.size() == 2 && words[1] == "list") {
    reply({list_text(principal), 0, {}});
  } else if (words.size() == 3 && words[1] == "drill") {
    const Kept* kept = named(words[2], principal);
    if (kept == nullptr) {
      reply(told("SP-9901"));
      return true;
    }
    Operator who;
    who.name = principal;
    who.principal = principal;
    who.source = session.row.source;
    drill(who, kept->sealed->envelope.id, [reply](const Result<GlassDrill>& drill) {
      if (!drill) return reply(told("SP-4004", drill.error().detail));
      std::string text;
      for (const GlassCheck& check : drill->checks) text += std::string(check.ok ? "ok      " : "FAILED  ") + check.what + ": " + printable(check.detail) + "\n";
      reply({text + (drill->ok() ? "It would open; nothing was spent.\n" : ""), drill->ok() ? 0 : 1, drill->ok() ? std::string() : render(make_notice("SP-9902", "the drill failed")) + "\n"});
    });
  } else {
    reply({{}, 2, "sallyport: write: ssh PRINCIPAL@gateway glass list\n           ssh PRINCIPAL@gateway glass drill ID\n           ssh PRINCIPAL@gateway glass open ID CODE CODE...\n"});
  }
  return true;
}

std::string GlassDesk::list_text(const std::string& principal) const {
  std::string text;
  for (const GlassRow& row : list()) {
    if (row.envelope.principal != principal) continue;
    text += row.envelope.id + "  " + row.state + (row.envelope.drill ? "  (drill)" : "") + "\n  opens     " + joined(row.envelope.accounts) + " at " + joined(row.envelope.targets) + "\n  needs     " + std::to_string(row.envelope.needed) + " codes of ";
    std::string names;
    for (const auto& approver : row.envelope.approvers) names += (names.empty() ? "" : ", ") + approver.name;
    text += names + "\n  good till " + utc_line(row.envelope.not_after.time_since_epoch().count()) + "\n";
    if (!row.problem.empty()) text += "  problem   " + printable(row.problem) + "\n";
    if (row.state == "opened") text += "  open till " + utc_line(row.until_us) + "\n";
  }
  return text.empty() ? "There is no envelope for you.\n" : text;
}

void GlassDesk::refuse(const std::shared_ptr<Opening>& opening, std::string_view code, const std::string& why, bool alarm) {
  EventJson json;
  json.text("envelope", opening->id).text("principal", opening->principal).text("from", opening->source).text("act", "open").text("why", why);
  json.text("decision", "deny").text("code", code);
  if (opening->drill) json.flag("drill", true);
  if (alarm) json.flag("alarm", true);
  authority_.journal.append("glass.refused", json.str(), opening->session, [this, opening, code = std::string(code), why, alarm](const Result<Appended>& stored) {
    const std::string id = stored ? stored->id : std::string();
    if (alarm) tell({"glass.refused", id, opening->id, opening->principal, opening->drill, opening->principal + " tried to open a break-glass envelope from " + opening->source + ": " + why + "."});
    opening->reply({{}, 1, render(make_notice(code, why, id)) + "\n"});
  });
}

void GlassDesk::open(Session& session, const std::vector<std::string>& words, const Reply& reply) {
  auto opening = std::make_shared<Opening>();
  opening->session = session.label;
  opening->principal = session.identity->principal.str();
  opening->source = session.row.source;
  opening->reply = reply;
  Kept* kept = named(words[2], opening->principal);
  if (kept == nullptr) return refuse(opening, "SP-9901", "no envelope of hers has that name");
  const policy::Envelope& e = kept->sealed->envelope;
  opening->id = e.id;
  opening->drill = e.drill;
  if (!kept->spent.empty() || kept->opening) return refuse(opening, "SP-9904", kept->opening ? "it is being opened" : "it was " + kept->spent);
  if (const BootTime now = authority_.clock.boot(); now < kept->wait_until)
    return refuse(opening, "SP-9906", "wait " + std::to_string(std::chrono::ceil<std::chrono::seconds>(kept->wait_until - now).count()) + " s", false);
  const auto signers = policy::check_signatures(*kept->sealed, *authority_.snapshot, authority_.now());
  Result<void> right = signers ? policy::check_envelope(e, *authority_.snapshot, authority_.now()) : Result<void>(tl::unexpected(signers.error()));
  if (!right) {
    const Refusal_ why = parts_of(right.error());
    return refuse(opening, why.code, why.why);
  }
  const bool by_key = std::any_of(session.identity->factors.begin(), session.identity->factors.end(), [](const policy::ProvenFactor& factor) { return factor.kind == policy::FactorKind::key; });
  const bool own_key = by_key && std::any_of(e.keys.begin(), e.keys.end(), [&](const std::string& blob) { return crypto::ssh_fingerprint(bytes_of(blob)) == session.identity->key_fingerprint; });
  if (!own_key) return refuse(opening, "SP-9908", "this login was not by a key that stands in the envelope");
  std::vector<Secret> codes;
  for (std::size_t i = 3; i < words.size() && codes.size() < k_most_codes; ++i) codes.emplace_back(std::string_view(words[i]));
  opening->approvers = policy::codes_of(e, codes);
  if (opening->approvers.size() < e.needed) {
    if (++kept->wrong >= k_free_tries) {
      const auto wait = std::min<std::chrono::seconds>(k_first_wait * (1LL << std::min(kept->wrong - k_free_tries, 10U)), k_longest_wait);
      kept->wait_until = authority_.clock.boot() + wait;
    }
    return refuse(opening, "SP-9905", std::to_string(opening->approvers.size()) + " of " + std::to_string(e.needed) + " codes are right");
  }
  kept->opening = true;
  authority_.journal.ask_spent(opening->id, [this, opening](const Result<std::string>& spent) {
    if (spent && spent->empty()) return spend(opening);
    Kept& here = envelopes_[opening->id];
    here.opening = false;
    if (!spent) return refuse(opening, "SP-4001", spent.error().detail);
    here.spent = *spent == "glass.revoked" ? "revoked" : "opened";
    refuse(opening, "SP-9904", "the journal says `" + *spent + "` of it");
  });
}

void GlassDesk::spend(const std::shared_ptr<Opening>& opening) {
  Kept& kept = envelopes_[opening->id];
  if (const std::string code = authority_.journal.recorder_refusal(); !code.empty()) {
    kept.opening = false;
    return refuse(opening, code, authority_.journal.reason());
  }
  const policy::Envelope& e = kept.sealed->envelope;
  kept.mark = {authority_.now_us(), authority_.now_us() + std::chrono::microseconds(e.lasts).count(), opening->principal};
  EventJson json = facts_of(e);
  json.text("from", opening->source).text("codes_of", joined(opening->approvers)).text("until", utc_line(kept.mark.until_us)).text("reason", e.reason);
  json.flag("alone", alone_).text("decision", "allow").flag("alarm", true);
  authority_.journal.append(
      "glass.opened", json.str(), opening->session,
      [this, opening](const Result<Appended>& stored) {
        Kept& here = envelopes_[opening->id];
        here.opening = false;
        if (!stored) return refuse(opening, "SP-4004", stored.error().detail);
        opened(opening, *stored);
      },
      true);
}

void GlassDesk::opened(const std::shared_ptr<Opening>& opening, const Appended& stored) {
  Kept& kept = envelopes_[opening->id];
  if (kept.spent == "revoked") return refuse(opening, "SP-9904", "it was revoked meanwhile");
  kept.spent = "opened";
  // Only for what a restart goes on with; that it is spent stands in the journal.
  if (auto marked = folder_->put_mark(opening->id, "opened", kept.mark); !marked) os::log_line(os::LogEvent::glass_failed, "break-glass: " + marked.error().detail);
  ++authority_.generation;
  const policy::Envelope& e = kept.sealed->envelope;
  const std::string until = utc_line(kept.mark.until_us);
  tell({"glass.opened", stored.id, e.id, e.principal, e.drill,
        e.principal + " opened the break-glass envelope " + e.id + " from " + opening->source + " with the codes of " + joined(opening->approvers) + ": " + joined(e.accounts) + " at " + joined(e.targets) + " until " + until + "."});
  std::string text = std::string(e.drill ? "Drill: the" : "The") + " envelope is open until " + until + ". It does not open again. Everything is recorded, and everybody was told.\n";
  for (const std::string& target : e.targets)
    for (const std::string& account : e.accounts) {
      const policy::Target* known = authority_.snapshot->find_target(target);
      if (known != nullptr && known->find_account(account) != nullptr) text += "  ssh " + e.principal + "+" + account + "+" + target + "@gateway\n";
    }
  opening->reply({text, 0, {}});
}

void GlassDesk::tell(GlassNews news) {
  if (news.id.empty()) news.id = crypto::make_ulid(authority_.clock, authority_.random);
  if (on_news) on_news(news);
}

}  // namespace sallyport::authority
