#include "app/verbs/guard_score.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cctype>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <istream>
#include <map>
#include <ostream>

#include "app/verbs/exit_codes.h"
#include "policy/guard/packs/packs.h"

namespace sallyport::app {
namespace {

namespace json = boost::json;

Result<guard::Guard> full_guard() {
  const auto bytes = guard::encode(guard::full_document());
  auto set = guard::RuleSet::from_bytes(bytes);
  if (!set) return tl::unexpected(set.error());
  guard::Guard made(*std::move(set));
  (void)made.judge("systemctl status warm-up");  // patterns are compiled by the first judgement
  return made;
}

struct Timed {
  guard::Judgement judged;
  double microseconds = 0;
};
Timed judge_timed(const guard::Guard& guard, std::string_view command) {
  const auto start = std::chrono::steady_clock::now();
  Timed out;
  out.judged = guard.judge(command, guard::Dialect::shell, guard::Origin::script);
  out.microseconds = std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
  return out;
}

std::string text_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

struct Item {
  std::string id;
  std::string command;
  std::string group;     ///< base, obfuscated, benign
  std::string category;
};

Result<std::vector<Item>> load(const std::string& folder) {
  std::vector<Item> items;
  for (const bool dangerous : {true, false}) {
    std::ifstream in(folder + (dangerous ? "/dangerous.jsonl" : "/benign.jsonl"));
    std::string line;
    std::size_t number = 0;
    while (std::getline(in, line)) {
      ++number;
      if (line.empty()) continue;
      boost::system::error_code problem;
      const json::value value = json::parse(line, problem);
      if (problem || !value.is_object()) return fail(Errc::invalid, folder + ": line " + std::to_string(number) + " is not a JSON object");
      const json::object& object = value.get_object();
      Item item{text_of(object, "id"), text_of(object, "command"), "benign", text_of(object, "category")};
      if (dangerous) item.group = text_of(object, "technique").starts_with("obf:") ? "obfuscated" : "base";
      items.push_back(std::move(item));
    }
  }
  if (items.empty()) return fail(Errc::not_found, "no dangerous.jsonl or benign.jsonl in " + folder);
  return items;
}

/// The baseline of products that match words: any of these as a whole word, in capitals or not.
bool word_list_flags(std::string_view command) {
  static constexpr std::array<std::string_view, 62> k_words{
      "rm", "mkfs", "dd", "shutdown", "reboot", "halt", "poweroff", "init", "fdisk", "parted", "wipefs", "shred", "ssh", "scp", "sftp", "rsync", "telnet", "nc", "ncat", "netcat", "socat", "mosh", "nmap", "su", "sudo",
      "passwd", "useradd", "usermod", "userdel", "visudo", "chmod", "chown", "chattr", "iptables", "ufw", "setenforce", "auditctl", "history", "crontab", "insmod", "rmmod", "modprobe", "kill", "pkill", "killall", "mount",
      "umount", "mkswap", "lvremove", "vgremove", "shadow", "HISTFILE", "flushall", "kubectl", "docker", "pkexec", "setcap", "tcpdump", "base64", "eval", "nohup", "at"};
  const auto is_word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; };
  for (std::size_t i = 0; i < command.size();) {
    if (!is_word(command[i])) {
      ++i;
      continue;
    }
    std::size_t end = i;
    while (end < command.size() && is_word(command[end])) ++end;
    const std::string_view word = command.substr(i, end - i);
    const auto same_letter = [](char x, char y) { return std::tolower(static_cast<unsigned char>(x)) == std::tolower(static_cast<unsigned char>(y)); };
    if (std::any_of(k_words.begin(), k_words.end(), [&](std::string_view w) { return std::equal(w.begin(), w.end(), word.begin(), word.end(), same_letter); })) return true;
    i = end;
  }
  return false;
}

struct Tally {
  std::size_t count = 0;
  std::size_t flagged = 0;
  std::size_t denied = 0;
  std::size_t by_words = 0;
};

std::string percent(std::size_t part, std::size_t whole) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", whole == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole));
  return text;
}

}  // namespace

int score_lines(std::istream& in, std::ostream& out) {
  auto guard = full_guard();
  if (!guard) return report(guard.error());
  std::string line;
  while (std::getline(in, line)) {
    if (line.empty()) continue;
    boost::system::error_code problem;
    const json::value value = json::parse(line, problem);
    if (problem || !value.is_object()) {
      std::fprintf(stderr, "sallyport: a line is not a JSON object\n");
      continue;
    }
    const Timed timed = judge_timed(*guard, text_of(value.get_object(), "command"));
    json::array rules;
    for (const guard::Finding& finding : timed.judged.findings) rules.emplace_back(finding.rule);
    out << json::serialize(json::object{{"id", text_of(value.get_object(), "id")}, {"verdict", guard::name_of(timed.judged.verdict)}, {"rules", rules}, {"us", timed.microseconds}}) << '\n';
  }
  out.flush();
  return k_exit_ok;
}

int score_corpora(const Common& common, const std::vector<std::string>& folders, bool list_misses) {
  auto guard = full_guard();
  if (!guard) return report(guard.error());
  std::map<std::string, Tally> tallies;
  std::vector<double> times;
  for (const std::string& folder : folders) {
    auto items = load(folder);
    if (!items) return report(items.error());
    for (const Item& item : *items) {
      const Timed timed = judge_timed(*guard, item.command);
      times.push_back(timed.microseconds);
      const bool flagged = timed.judged.verdict >= guard::Verdict::confirm;
      const bool words = word_list_flags(item.command);
      for (const std::string& key : {item.group, item.group == "benign" ? std::string() : item.group + "/" + item.category}) {
        if (key.empty()) continue;
        Tally& tally = tallies[key];
        ++tally.count;
        tally.flagged += flagged ? 1 : 0;
        tally.denied += timed.judged.verdict >= guard::Verdict::deny ? 1 : 0;
        tally.by_words += words ? 1 : 0;
      }
      if (list_misses && flagged != (item.group != "benign")) {
        const guard::Finding* worst = timed.judged.worst();
        std::printf("%s %s %s%s%s\n", item.group == "benign" ? "false alarm" : "missed     ", item.id.c_str(), printable(item.command).c_str(), worst == nullptr ? "" : "   <- ", worst == nullptr ? "" : worst->rule.c_str());
      }
    }
  }
  json::array rows;
  for (const auto& [name, tally] : tallies) {
    rows.push_back(json::object{{"group", name}, {"items", tally.count}, {"flagged", percent(tally.flagged, tally.count)}, {"denied", percent(tally.denied, tally.count)}, {"words", percent(tally.by_words, tally.count)}});
  }
  print_rows(common, rows, {{"GROUP", "group"}, {"ITEMS", "items"}, {"FLAGGED %", "flagged"}, {"DENIED %", "denied"}, {"WORD LIST FLAGS %", "words"}}, "nothing was judged");
  std::sort(times.begin(), times.end());
  const auto at = [&](double share) { return times[std::min(times.size() - 1, static_cast<std::size_t>(share * static_cast<double>(times.size())))]; };
  std::printf("microseconds per command: median %.1f, p95 %.1f, p99 %.1f, most %.1f\n", at(0.5), at(0.95), at(0.99), times.back());
  return k_exit_ok;
}

}  // namespace sallyport::app
