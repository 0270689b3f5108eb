#include "policy/authority/self_service.h"

#include "policy/authority/glass.h"
#include "policy/authority/self_join.h"
#include "policy/authority/self_requests.h"
#include "policy/authority/sign_on.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <array>
#include <cctype>
#include <utility>

#include "platform/crypto/ssh_public_key.h"
#include "platform/model/bytes.h"
#include "platform/model/json_text.h"
#include "policy/access/suggest.h"

namespace sallyport::authority {
namespace {

constexpr std::size_t k_most_rows = 10'000;

constexpr std::string_view k_help =
    "Sallyport: the gateway to the fleet. Everything here is recorded.\n"
    "\n"
    "  ssh PRINCIPAL+ACCOUNT+TARGET@gateway      a session on the target\n"
    "  ssh PRINCIPAL+TARGET@gateway              the same, where only one account is granted to you\n"
    "  ssh -J PRINCIPAL@gateway ACCOUNT@TARGET   the same, as a jump\n"
    "  ssh PRINCIPAL@gateway                     a menu\n"
    "\n"
    "  ssh PRINCIPAL@gateway ls [TEXT]           what you may reach, filtered by TEXT\n"
    "  ssh PRINCIPAL@gateway config              lines for ~/.ssh/config and ~/.ssh/known_hosts\n"
    "  ssh PRINCIPAL@gateway whoami              who you are to the gateway, and how you proved it\n"
    "  ssh PRINCIPAL@gateway request TARGET --for 1h --reason WHY   asks for access on request\n"
    "  ssh PRINCIPAL@gateway requests            what you asked for and what you may decide\n"
    "  ssh PRINCIPAL@gateway approve ID          and: deny ID --reason WHY, cancel ID\n"
    "  ssh -t PRINCIPAL@gateway join SESSION     be present in somebody's session: watch, message, hold, end\n"
    "  ssh PRINCIPAL@gateway keys                your keys and codes; keys add LINE, keys remove SHA256:...\n"
    "  ssh PRINCIPAL@gateway enrol totp          a new one-time code; recovery-codes: new recovery codes\n"
    "  ssh PRINCIPAL@gateway certificate LINE    a login certificate for that public key [--for 8h] [--from here]\n"
    "  ssh PRINCIPAL@gateway glass list          break-glass envelopes made for you; glass open ID CODE CODE...\n"
    "  ssh PRINCIPAL@gateway explain SP-2001     what a message means and what to do\n";

std::string labels_text(const policy::Target& target) {
  std::string text;
  for (const auto& [key, value] : target.labels) text += (text.empty() ? "" : " ") + key + "=" + value;
  return text;
}

bool contains(std::string_view text, std::string_view part) {
  return std::search(text.begin(), text.end(), part.begin(), part.end(), [](char a, char b) {
           return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b));
         }) != text.end();
}

std::string utc(WallTime moment) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(std::chrono::time_point_cast<std::chrono::system_clock::duration>(moment));
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts));
}

std::string table(const std::vector<std::array<std::string, 4>>& rows) {
  std::array<std::size_t, 4> widths{};
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) line += row[i] + std::string(widths[i] - row[i].size() + 2, ' ');
    while (!line.empty() && line.back() == ' ') line.pop_back();
    text += line + "\n";
  }
  return text;
}

/// What somebody reads who mistyped a command, or forgot the target of one that was meant for a shell.
std::string unknown_command(const std::vector<std::string>& words) {
  constexpr std::array k_commands{"ls",   "help",   "whoami", "explain", "config", "request",        "requests",    "approve",
                                  "deny", "cancel", "join",   "keys",    "enrol",  "recovery-codes", "certificate", "glass"};
  const std::string written = printable(words[0].substr(0, 40));
  const bool is_known = std::find(k_commands.begin(), k_commands.end(), written) != k_commands.end();
  std::string why = "`" + written + "` " + (is_known ? "is not written so here" : "is no command of the gateway's own");
  policy::Suggestion meant(written);
  if (!is_known && written.size() > 1)
    for (const char* command : k_commands) meant.consider(command);
  return render(make_notice("SP-2023", why + meant.text() + "; ssh gateway help lists what is"));
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  for (const char c : text) {
    if (c != ' ' && c != '\t') {
      word += c;
    } else if (!word.empty()) {
      words.push_back(std::exchange(word, {}));
    }
  }
  if (!word.empty()) words.push_back(std::move(word));
  return words;
}

/// A code is a secret until it is used, and "enrol totp 123456" holds one as well.
std::string without_code(const std::string& command) {
  std::string text = command.substr(0, 256);
  if (const auto at = text.find("glass open "); at != std::string::npos)
    if (const auto end = text.find(' ', at + 11); end != std::string::npos) text.replace(end, std::string::npos, " ...");
  for (const std::string_view mark : {"--code ", "enrol totp "})
    if (const auto at = text.find(mark); at != std::string::npos) {
      const auto begin = at + mark.size();
      const auto end = text.find(' ', begin);
      text.replace(begin, end == std::string::npos ? std::string::npos : end - begin, "...");
    }
  return text;
}

std::string key_line(const std::string& blob) {
  const auto key = crypto::SshPublicKey::parse_blob(bytes_of(blob));
  return key ? key->line() : std::string();
}

}  // namespace

HostPort split_host_port(std::string_view text) {
  HostPort parts;
  if (!text.empty() && text.front() == '[') {
    const auto close = text.find(']');
    parts.host = text.substr(1, close == std::string_view::npos ? close : close - 1);
    if (close != std::string_view::npos && text.substr(close).starts_with("]:")) parts.port = text.substr(close + 2);
    return parts;
  }
  const auto colon = text.rfind(':');
  if (colon != std::string_view::npos && text.find(':') == colon) {
    parts.host = text.substr(0, colon);
    parts.port = text.substr(colon + 1);
  } else {
    parts.host = text;
  }
  return parts;
}

std::vector<policy::Reachable> SelfServiceDesk::reachable(const Session& session, std::string_view filter) const {
  auto rows = policy::list_reachable(*authority_.snapshot, authority_.locks, authority_.request_of(session), k_most_rows);
  if (filter.empty()) return rows;
  std::erase_if(rows, [&](const policy::Reachable& row) {
    return !contains(row.target->name.view(), filter) && !contains(labels_text(*row.target), filter) &&
           !contains(row.account->name.view(), filter) && !contains(row.target->address, filter);
  });
  return rows;
}

std::string SelfServiceDesk::list(const Session& session, std::string_view filter) const {
  std::vector<std::array<std::string, 4>> rows = {{"TARGET", "ACCOUNT", "LABELS", "CONNECT WITH"}};
  const std::string& who = session.identity->principal.str();
  for (const policy::Reachable& row : reachable(session, filter))
    rows.push_back({row.target->name.str(), row.account->name.str(), labels_text(*row.target),
                    who + "+" + row.account->name.str() + "+" + row.target->name.str() + "@gateway" +
                        (row.needs_second_factor ? " (second factor)" : row.needs_approval ? " (on request)" : "")});
  if (rows.size() == 1) return filter.empty() ? "You may reach no target.\n" : "No target that you may reach fits.\n";
  return table(rows);
}

std::string SelfServiceDesk::whoami(const Session& session) const {
  const policy::LoginIdentity& identity = *session.identity;
  std::string text = "principal  " + identity.principal.str() + "\n";
  if (!identity.display.empty() && identity.display != identity.principal.view()) text += "name       " + printable(identity.display) + "\n";
  if (const policy::Principal* principal = authority_.snapshot->find_principal(identity.principal.view())) {
    std::string groups;
    for (const std::string& group : principal->groups) groups += (groups.empty() ? "" : ", ") + group;
    for (const std::string& group : authority_.groups_of(identity.principal.view())) groups += (groups.empty() ? "" : ", ") + group + " (directory)";
    if (!groups.empty()) text += "groups     " + groups + "\n";
    if (principal->expires) text += "expires    " + utc(*principal->expires) + "\n";
  }
  text += "from       " + session.row.source + "\n";
  for (const policy::ProvenFactor& factor : identity.factors)
    text += "proven by  " + std::string(policy::name_of(factor.kind)) + " at " + utc(factor.proven) + "\n";
  if (!identity.key_fingerprint.empty()) text += "key        " + identity.key_fingerprint + "\n";
  if (!identity.certificate_id.empty()) text += "certificate " + printable(identity.certificate_id) + "\n";
  text += "session    " + session.label + "\n";
  text += "reaches    " + std::to_string(reachable(session, {}).size()) + " target accounts (ssh gateway ls)\n";
  return text;
}

std::string SelfServiceDesk::config(const Session& session, const control::PublicKeySet& keys) const {
  const std::string& who = session.identity->principal.str();
  HostPort gateway = split_host_port(authority_.settings.text("public_address"));
  if (gateway.host.empty() || gateway.host == "*" || gateway.host == "0.0.0.0" || gateway.host == "::") {
    gateway.host = session.row.local;
    gateway.port = std::to_string(session.row.local_port);
  }
  std::string text = "# ---- ~/.ssh/config\nHost gateway\n  HostName " + gateway.host + "\n  Port " + gateway.port + "\n  User " + who + "\n";
  std::string names;
  std::string_view last;
  for (const policy::Reachable& row : reachable(session, {})) {
    if (row.target->name.view() == last) continue;  // one account per name; others by user@target
    last = row.target->name.view();
    const std::string name = row.target->name.str();
    text += "Host " + name + "\n  HostName " + name + "\n  User " + row.account->name.str() + "\n  ProxyJump gateway\n";
    names += "," + name;
  }
  const std::string known = gateway.port == "22" ? gateway.host : "[" + gateway.host + "]:" + gateway.port;
  text += "\n# ---- ~/.ssh/known_hosts\n";
  if (const std::string ca = key_line(keys.host_ca()); !ca.empty()) text += "@cert-authority gateway," + known + names + " " + ca + "\n";
  for (const std::string& blob : keys.host_keys())
    if (const std::string line = key_line(blob); !line.empty()) text += known + " " + line + "\n";
  return text;
}

void SelfServiceDesk::on_ask(Session& session, const control::Envelope& question) {
  const std::string& command = question.self_service().command();
  const auto words = words_of(command);
  control::Envelope later;
  later.set_call(question.call());
  const auto answer_later = [this, label = session.label, later](SelfText answer) {
    Session* here = authority_.find(label);
    if (here != nullptr && here->link != nullptr) reply(*here, later, std::move(answer.text), answer.exit_status, std::move(answer.error_text));
  };
  if (!session.invite.empty()) return authority_.sign_on->invites.on_invited(session, words, answer_later);
  if (words.empty()) return menu(session, question);
  authority_.note(session, "selfservice.asked", authority_.event_of(session).text("command", without_code(command)));
  const std::string& verb = words[0];
  if (verb == "ls" && words.size() <= 2) return reply(session, question, list(session, words.size() == 2 ? words[1] : ""), 0, {});
  if (verb == "help" || verb == "--help") return reply(session, question, std::string(k_help), 0, {});
  if (verb == "whoami" && words.size() == 1) return reply(session, question, whoami(session), 0, {});
  if (verb == "explain" && words.size() == 2) {
    const Message* message = find_message(words[1]);
    if (message == nullptr) return reply(session, question, {}, 3, "sallyport: there is no message " + printable(words[1].substr(0, 40)) + "\n");
    return reply(session, question,
                 std::string(message->code) + " " + std::string(message->what) + "\n  why:  " + std::string(message->why) + "\n  then: " +
                     std::string(message->remedy) + "\n",
                 0, {});
  }
  if (verb == "config" && words.size() == 1) {
    control::Envelope call;
    call.set_call(question.call());
    authority_.vault.with_keys([this, label = session.label, call](const Result<control::PublicKeySet>& keys) {
      Session* here = authority_.find(label);
      if (here == nullptr || here->link == nullptr || !here->is_logged_in()) return;
      if (!keys) return reply(*here, call, {}, 7, render(make_notice("SP-5007", keys.error().detail)) + "\n");
      reply(*here, call, config(*here, *keys), 0, {});
    });
    return;
  }
  if (authority_.glass->ask(session, words, answer_later)) return;
  if (authority_.glass->is_alone()) return reply(session, question, {}, 1, render(make_notice("SP-9907")) + "\n");
  const bool joins = ask_to_join(authority_, session, question.self_service().channel(), words, [this, label = session.label, later](std::string text, int exit_status, std::string error_text, bool stays) {
    Session* here = authority_.find(label);
    if (here == nullptr || here->link == nullptr) return;
    control::Envelope envelope;
    auto* body = envelope.mutable_self_service_answer();
    body->set_text(std::move(text));
    body->set_exit_status(exit_status);
    body->set_error_text(std::move(error_text));
    body->set_stays(stays);
    here->link->answer(later, std::move(envelope));
  });
  if (joins) return;
  if (authority_.sign_on->enrolment.ask(session, words, answer_later)) return;
  control::Envelope call;
  call.set_call(question.call());
  const bool is_request = ask_requests(authority_, session, words, [this, label = session.label, call](SelfText answer) {
    Session* here = authority_.find(label);
    if (here != nullptr && here->link != nullptr) reply(*here, call, std::move(answer.text), answer.exit_status, std::move(answer.error_text));
  });
  if (is_request) return;
  reply(session, question, {}, 255, unknown_command(words) + "\n");
}

void SelfServiceDesk::menu(Session& session, const control::Envelope& question) {
  control::Envelope envelope;
  auto* body = envelope.mutable_self_service_answer();
  for (const policy::Reachable& row : reachable(session, question.self_service().filter())) {
    auto* out = body->add_rows();
    out->set_target(row.target->name.str());
    out->set_account(row.account->name.str());
    out->set_labels(labels_text(*row.target));
    out->set_address(row.target->address);
  }
  session.link->answer(question, std::move(envelope));
}

void SelfServiceDesk::reply(Session& session, const control::Envelope& question, std::string text, int exit_status, std::string error_text) {
  control::Envelope envelope;
  auto* body = envelope.mutable_self_service_answer();
  body->set_text(std::move(text));
  body->set_exit_status(exit_status);
  body->set_error_text(std::move(error_text));
  session.link->answer(question, std::move(envelope));
}

}  // namespace sallyport::authority
