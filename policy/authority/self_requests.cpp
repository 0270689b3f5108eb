#include "policy/authority/self_requests.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "policy/access/fields.h"

namespace sallyport::authority {
namespace {

/// "VERB THING --for 1h --reason all words up to the next option"
struct Words {
  std::string thing;
  std::string account;
  std::string lasts;
  std::string reason;
  std::string wrong;
};

Words read_words(const std::vector<std::string>& words) {
  Words read;
  std::string* slot = nullptr;
  for (std::size_t i = 1; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--reason") slot = &read.reason;
    else if (word == "--for") slot = &read.lasts;
    else if (word == "--account") slot = &read.account;
    else if (word.starts_with("--")) {
      read.wrong = "there is no option " + printable(word.substr(0, 40));
      return read;
    } else if (slot == &read.reason) {
      read.reason += (read.reason.empty() ? "" : " ") + word;
    } else if (slot != nullptr) {
      *slot = word;
      slot = nullptr;
    } else if (read.thing.empty()) {
      read.thing = word;
    } else {
      read.wrong = "`" + printable(word.substr(0, 40)) + "` is one word too many; the reason comes behind --reason";
      return read;
    }
  }
  return read;
}

SelfText refused(const Error& error) {
  const char* code = error.code == Errc::denied ? "SP-9205" : error.code == Errc::conflict ? "SP-9206" : error.code == Errc::not_found ? "SP-7002" : error.code == Errc::unavailable ? "SP-4004" : "SP-7001";
  return {{}, error.code == Errc::not_found ? 3 : 1, render(make_notice(code, printable(error.detail))) + "\n"};
}

SelfText usage(const std::string& why) {
  return {{}, 2, "sallyport: " + why + "\nWrite: ssh PRINCIPAL@gateway request TARGET [--account NAME] [--for 1h] --reason WHY\n"
                 "       ssh PRINCIPAL@gateway requests\n       ssh PRINCIPAL@gateway approve | deny | cancel ID [--reason WHY]\n"};
}

std::string thing_of(const RequestRow& row) {
  if (row.kind == "access") return row.account + "@" + row.target + " by the role " + row.role;
  return row.kind + " on " + row.account + "@" + row.target + ": " + in_her_words(row.text);
}

std::string lasts_text(std::int64_t seconds) {
  if (seconds == 0) return "for its session";
  if (seconds % 3600 == 0) return "for " + std::to_string(seconds / 3600) + "h";
  if (seconds % 60 == 0) return "for " + std::to_string(seconds / 60) + "m";
  return "for " + std::to_string(seconds) + "s";
}

std::string describe(const RequestRow& row) {
  std::string text = row.id + "  " + row.state + "\n  who       " + row.principal + "\n  what      " + thing_of(row);
  if (row.kind == "access") text += " " + lasts_text(row.lasts_s);
  text += "\n";
  if (!row.reason.empty()) text += "  why       " + in_her_words(row.reason) + "\n";
  text += "  needs     " + std::to_string(row.needed) + (row.approvers.empty() ? " who may approve" : " of " + row.approvers) + ", until " + utc_line(row.decide_by_us) + "\n";
  for (const Vote& vote : row.votes)
    text += "  " + std::string(vote.approve ? "yes" : "no ") + "       " + vote.by + (vote.reason.empty() ? "" : ": " + in_her_words(vote.reason)) + "\n";
  if (row.until_us != 0) text += "  good till " + utc_line(row.until_us) + "\n";
  return text;
}

SelfText list(const Authority& authority, const Operator& who) {
  std::string mine;
  std::string others;
  for (const RequestRow& row : authority.requests->list_open()) {
    if (row.principal == who.principal) mine += describe(row);
    else if (row.state == "pending" && authority.requests->may_decide(who, row)) others += describe(row);
  }
  std::string text;
  if (!others.empty()) text += "To decide (approve ID, deny ID --reason WHY):\n" + others;
  if (!mine.empty()) text += std::string(others.empty() ? "" : "\n") + "Yours:\n" + mine;
  return {text.empty() ? "No request is open.\n" : text, 0, {}};
}

}  // namespace

bool ask_requests(Authority& authority, const Session& session, const std::vector<std::string>& words, const std::function<void(SelfText)>& reply) {
  const std::string& verb = words.front();
  if (verb != "request" && verb != "requests" && verb != "approve" && verb != "deny" && verb != "cancel") return false;
  Operator who;
  who.principal = session.identity->principal.str();
  who.name = who.principal;
  who.source = session.row.source;
  if (verb == "requests") {
    reply(words.size() == 1 ? list(authority, who) : usage("`requests` takes nothing"));
    return true;
  }
  const Words read = read_words(words);
  if (!read.wrong.empty() || read.thing.empty()) {
    reply(usage(read.wrong.empty() ? (verb == "request" ? "which target?" : "which request?") : read.wrong));
    return true;
  }
  const auto answer = [reply](const std::string& head) {
    return [reply, head](const Result<RequestRow>& row) { reply(row ? SelfText{head + describe(*row), 0, {}} : refused(row.error())); };
  };
  if (verb == "request") {
    Wanted wanted;
    wanted.principal = who.principal;
    wanted.target = read.thing;
    wanted.account = read.account;
    wanted.reason = read.reason;
    wanted.source = session.source;
    if (!read.lasts.empty()) {
      const auto lasts = policy::parse_duration(read.lasts);
      if (!lasts) {
        reply(usage("`" + printable(read.lasts.substr(0, 40)) + "` is no duration; write 30m, 1h, 2d"));
        return true;
      }
      wanted.lasts = *lasts;
    }
    authority.requests->create(who, wanted, [reply, answer](const Result<RequestRow>& row) {
      if (!row && row.error().code == Errc::not_found) return reply(SelfText{{}, 3, render(make_notice("SP-9207", printable(row.error().detail))) + "\n"});
      answer("Asked.\n")(row);
    });
  } else if (verb == "cancel") {
    authority.requests->cancel(who, read.thing, answer("Taken back.\n"));
  } else {
    authority.requests->vote(who, read.thing, verb == "approve", read.reason, answer(verb == "approve" ? "Approved.\n" : "Denied.\n"));
  }
  return true;
}

}  // namespace sallyport::authority
