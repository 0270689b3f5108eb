#include "gateway/ssh/rsync_call.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

namespace sallyport::gateway {
namespace {

enum class Meaning {
  plain,       // says how, not where
  deletes,     // removes, renames or replaces what is there
  reads,       // its value is a directory of the target that is read
  writes,      // its value is a directory of the target that is written
  hidden,      // file names come another way than by the command
  forbidden,   // writes elsewhere, runs something, becomes somebody, or becomes a daemon
};

struct LongOption {
  std::string_view name;
  bool has_value = false;
  Meaning meaning = Meaning::plain;
};

// rsync(1), OPTIONS SUMMARY: what a client sends to a server, and what could be sent by hand.
constexpr std::array k_long{
    LongOption{"append"}, LongOption{"append-verify"}, LongOption{"atimes"}, LongOption{"backup", false, Meaning::deletes},
    LongOption{"backup-dir", true, Meaning::writes}, LongOption{"block-size", true}, LongOption{"bwlimit", true},
    LongOption{"checksum-choice", true}, LongOption{"checksum-seed", true}, LongOption{"compare-dest", true, Meaning::reads},
    LongOption{"compress-choice", true}, LongOption{"compress-level", true}, LongOption{"config", true, Meaning::forbidden},
    LongOption{"copy-as", true, Meaning::forbidden}, LongOption{"copy-dest", true, Meaning::reads},
    LongOption{"copy-devices", false, Meaning::forbidden}, LongOption{"copy-unsafe-links"}, LongOption{"crtimes"},
    LongOption{"daemon", false, Meaning::forbidden}, LongOption{"debug", true}, LongOption{"delay-updates"},
    LongOption{"delete", false, Meaning::deletes}, LongOption{"delete-after", false, Meaning::deletes},
    LongOption{"delete-before", false, Meaning::deletes}, LongOption{"delete-delay", false, Meaning::deletes},
    LongOption{"delete-during", false, Meaning::deletes}, LongOption{"delete-excluded", false, Meaning::deletes},
    LongOption{"delete-missing-args", false, Meaning::deletes}, LongOption{"devices"},
    LongOption{"early-input", true, Meaning::forbidden}, LongOption{"existing"}, LongOption{"fake-super", false, Meaning::forbidden},
    LongOption{"files-from", true, Meaning::hidden}, LongOption{"force", false, Meaning::deletes}, LongOption{"from0"},
    LongOption{"fsync"}, LongOption{"groupmap", true}, LongOption{"iconv", true}, LongOption{"ignore-errors"},
    LongOption{"ignore-existing"}, LongOption{"ignore-missing-args"}, LongOption{"ignore-non-existing"}, LongOption{"inplace"},
    LongOption{"inc-recursive"}, LongOption{"i-r"}, LongOption{"info", true}, LongOption{"link-dest", true, Meaning::reads},
    LongOption{"list-only"}, LongOption{"log-file", true, Meaning::forbidden}, LongOption{"log-file-format", true},
    LongOption{"log-format", true}, LongOption{"max-alloc", true}, LongOption{"max-delete", true}, LongOption{"max-size", true},
    LongOption{"min-size", true}, LongOption{"mkpath"}, LongOption{"modify-window", true}, LongOption{"munge-links"},
    LongOption{"new-compress"}, LongOption{"no-W"}, LongOption{"no-i-r"}, LongOption{"no-implied-dirs"},
    LongOption{"no-inc-recursive"}, LongOption{"no-r"}, LongOption{"no-relative"}, LongOption{"no-specials"},
    LongOption{"numeric-ids"}, LongOption{"old-compress"}, LongOption{"one-file-system"},
    LongOption{"only-write-batch", true, Meaning::forbidden}, LongOption{"open-noatime"}, LongOption{"out-format", true},
    LongOption{"partial"}, LongOption{"partial-dir", true, Meaning::writes}, LongOption{"preallocate"},
    LongOption{"protect-args", false, Meaning::hidden}, LongOption{"protocol", true}, LongOption{"prune-empty-dirs"},
    LongOption{"read-batch", true, Meaning::forbidden}, LongOption{"relative"}, LongOption{"remote-option", true, Meaning::forbidden}, LongOption{"remove-sent-files", false, Meaning::deletes},
    LongOption{"remove-source-files", false, Meaning::deletes}, LongOption{"rsh", true, Meaning::forbidden},
    LongOption{"rsync-path", true, Meaning::forbidden}, LongOption{"safe-links"},
    LongOption{"secluded-args", false, Meaning::hidden}, LongOption{"size-only"}, LongOption{"skip-compress", true},
    LongOption{"specials"}, LongOption{"stats"}, LongOption{"stderr", true}, LongOption{"stop-after", true},
    LongOption{"stop-at", true}, LongOption{"suffix", true}, LongOption{"super", false, Meaning::forbidden}, LongOption{"temp-dir", true, Meaning::writes},
    LongOption{"time-limit", true}, LongOption{"timeout", true}, LongOption{"use-qsort"}, LongOption{"usermap", true},
    LongOption{"write-batch", true, Meaning::forbidden}, LongOption{"write-devices", false, Meaning::forbidden},
};

constexpr std::string_view k_plain_letters = "vqcrRudlLkKHpEAXtUNOJgoDSnWxyCzhiImF0";
constexpr std::string_view k_number_letters = "B@";  // -B700, -@1

void take_meaning(RsyncCall& call, Meaning meaning, const std::string& word, std::string_view value) {
  switch (meaning) {
    case Meaning::plain: break;
    case Meaning::deletes: call.deletes = true; break;
    case Meaning::reads: call.read_paths.emplace_back(value); break;
    case Meaning::writes: call.write_paths.emplace_back(value); break;
    case Meaning::hidden: call.paths_are_hidden = true; break;
    case Meaning::forbidden:
      if (call.forbidden.empty()) call.forbidden = word;
      break;
  }
}

void take_unknown(RsyncCall& call, const std::string& word) {
  if (call.unknown.empty()) call.unknown = word;
}

/// A bundle like -vlogDtpre.iLsfxCIvu.
void take_letters(RsyncCall& call, std::span<const std::string> words, std::size_t& at) {
  const std::string& word = words[at];
  for (std::size_t i = 1; i < word.size(); ++i) {
    const char letter = word[i];
    if (letter == 'e') {
      // To a server this is the client's version and what it can do, never a command: digits, a dot, letters.
      const std::string_view rest = std::string_view(word).substr(i + 1);
      const std::size_t dot = rest.find('.');
      const bool sound = dot != std::string_view::npos &&
                         std::all_of(rest.begin(), rest.end(), [](char c) { return c == '.' || std::isalnum(static_cast<unsigned char>(c)) != 0; });
      if (!sound) take_meaning(call, Meaning::forbidden, word, {});
      return;
    }
    if (k_number_letters.find(letter) != std::string_view::npos) {
      // Without digits the value would be the next word.
      if (i + 1 == word.size() || word.find_first_not_of("0123456789-", i + 1) != std::string::npos) take_unknown(call, word);
      return;
    }
    if (letter == 'T') {  // --temp-dir; the value is what follows
      const std::string value = i + 1 < word.size() ? word.substr(i + 1) : at + 1 < words.size() ? words[++at] : std::string();
      take_meaning(call, Meaning::writes, word, value);
      return;
    }
    if (letter == 'M') {  // --remote-option
      take_meaning(call, Meaning::forbidden, word, {});
      return;
    }
    if (letter == 's') call.paths_are_hidden = true;
    else if (letter == 'b') call.deletes = true;
    else if (k_plain_letters.find(letter) == std::string_view::npos) return take_unknown(call, word);
    if (letter == 'R') call.relative = true;
    if (letter == 'l') call.makes_links = true;
    if (letter == 'D') call.makes_devices = true;
  }
}

void take_long(RsyncCall& call, std::span<const std::string> words, std::size_t& at) {
  const std::string& word = words[at];
  const std::size_t equals = word.find('=');
  const std::string_view name = std::string_view(word).substr(2, equals == std::string::npos ? std::string_view::npos : equals - 2);
  if (name == "server") return;
  if (name == "sender") {
    call.sender = true;
    return;
  }
  if (name == "relative") call.relative = true;
  if (name == "daemon") call.daemon = true;
  if (name == "devices" || name == "specials") call.makes_devices = true;
  const auto* option = std::find_if(k_long.begin(), k_long.end(), [&](const LongOption& known) { return known.name == name; });
  if (option == k_long.end()) return take_unknown(call, word);
  if (!option->has_value) {
    if (equals != std::string::npos) return take_unknown(call, word);
    return take_meaning(call, option->meaning, word, {});
  }
  std::string value;
  if (equals != std::string::npos) value = word.substr(equals + 1);
  else if (at + 1 < words.size()) value = words[++at];  // popt takes the next word
  else return take_unknown(call, word);
  take_meaning(call, option->meaning, word, value);
}

}  // namespace

RsyncCall parse_rsync_call(std::span<const std::string> words) {
  RsyncCall call;
  call.is_server_call = words.size() >= 3 && words[0] == "rsync" && words[1] == "--server";
  if (!call.is_server_call) return call;
  // popt finds options behind paths too, so every word is looked at.
  bool only_paths = false;
  bool dot_seen = false;
  for (std::size_t at = 1; at < words.size(); ++at) {
    const std::string& word = words[at];
    if (!only_paths && word == "--") {
      only_paths = true;
    } else if (!only_paths && word.starts_with("--")) {
      take_long(call, words, at);
    } else if (!only_paths && word.size() > 1 && word[0] == '-') {
      take_letters(call, words, at);
    } else if (!dot_seen && word == ".") {
      dot_seen = true;
    } else {
      call.paths.push_back(word);
    }
  }
  if (!dot_seen) take_unknown(call, "no \".\" before the paths");
  return call;
}

}  // namespace sallyport::gateway
