#include "policy/guard/effects.h"

#include <algorithm>
#include <array>

#include "policy/guard/argv_words.h"
#include "policy/guard/wildcard.h"

namespace sallyport::guard {
namespace {

/// What a program does with its operands. Everything not listed reads them.
enum class Use { reads, nothing, deletes, changes, writes, copies, moves, edits, code_first, mode_first };
Use use_of(std::string_view name) {
  if (is_one_of(name, {"ls", "stat", "echo", "printf", "cd", "pushd", "test", "[", "which", "whereis", "type", "man", "info", "whatis", "apropos", "dirname", "basename", "readlink", "realpath", "mkdir", "touch-none", "true", "false", ":",
                       "export", "declare", "local", "readonly", "alias", "unalias", "unset", "set", "ssh", "ssh-add", "ssh-keygen", "scp", "sftp", "ssh-copy-id", "df", "du", "findmnt", "mountpoint", "lsof", "fuser", "namei", "getfacl", "lsattr",
                       "sudo", "doas", "env", "nice", "nohup", "timeout", "command", "exec", "builtin", "time", "sql", "redis", "sql-meta", "sql-shell", "mongo-code", "code-connects", "code-deletes", "code-uploads", "code-cloud", "run-from-open-folder", "endless-loop", "code-setuid", "fork-bomb", "systemctl", "service", "kill", "pkill",
                       "logger", "wall", "notify-send", "say", "tree", "exa", "eza", "dir", "vdir", "pgrep", "id", "chsh", "find", "gfind", "fd", "fdfind", "bfs", "locate", "mlocate", "plocate", "xargs", "parallel", "inotifywait", "watch", "file", "sha256sum",
                       "md5sum", "sha1sum", "sha512sum", "cksum", "b2sum", "umask", "hash", "trap", "read", "eval", "getent", "kubectl", "helm", "apt", "apt-get", "yum", "dnf", "pip", "npm", "shellcheck", "dpkg", "rpm", "mount", "umount", "visudo", "python-prompt",
                       "docker", "podman", "aws", "gcloud", "az", "curl", "wget", "pv-none", "wc-none", "case", "rmdir"})) {
    return Use::nothing;
  }
  if (is_one_of(name, {"rm", "unlink", "shred", "srm", "wipe", "grm", "del", "trash", "trash-put", "rimraf", "gio-trash", "scrub"})) return Use::deletes;
  if (is_one_of(name, {"chmod", "chown", "chgrp", "chattr", "setfacl", "setfattr", "chcon", "setcap", "gchmod", "gchown", "lchown"})) return Use::mode_first;
  if (is_one_of(name, {"touch", "restorecon", "gtouch", "utime"})) return Use::changes;
  if (is_one_of(name, {"tee", "truncate", "sponge", "fallocate", "mkfifo", "mknod", "mkswap", "gtee"})) return Use::writes;
  if (is_one_of(name, {"cp", "install", "ln", "gcp", "rsync", "link", "symlink", "pcp", "ginstall", "cpio-pass"})) return Use::copies;
  if (is_one_of(name, {"mv", "gmv"})) return Use::moves;
  if (name == "rename") return Use::nothing;
  if (is_one_of(name, {"vi", "vim", "nvim", "nano", "emacs", "ed", "ex", "pico", "micro", "joe", "mcedit", "helix", "hx", "kak", "sudoedit", "rvim", "ne", "jed", "mg", "code", "vipw", "vigr", "gedit", "view"})) return Use::edits;
  if (is_one_of(name, {"grep", "egrep", "fgrep", "rg", "ag", "ack", "zgrep", "bzgrep", "xzgrep", "sed", "gsed", "awk", "gawk", "mawk", "nawk", "jq", "yq", "perl", "rgrep", "git-grep", "ugrep", "sd"})) return Use::code_first;
  return Use::reads;
}

/// Options of a text program whose next word is its code, so that the first operand is a file.
bool has_code_option(const Command& command, std::string_view name) {
  if (name == "perl") return true;
  for (std::size_t i = 1; i < command.argv.size(); ++i) {
    const std::string& word = command.argv[i];
    if (is_one_of(word, {"-e", "-f", "--expression", "--regexp", "--file"}) || word.starts_with("--regexp=") || word.starts_with("--expression=") || word.starts_with("--file=")) return true;
    if (name != "sed" && word == "--files") return true;
  }
  return false;
}

/// Options with a separate value: not operands. Only those that matter for telling paths apart.
std::string_view options_with_value(std::string_view name) {
  if (name == "tar" || name == "bsdtar" || name == "gtar") return "-C -T -X -I --directory --file --exclude --use-compress-program -b -H -g";
  if (name == "cp" || name == "mv" || name == "ln" || name == "install") return "-t --target-directory -S -m -o -g --mode --owner --group --suffix";
  if (name == "grep" || name == "egrep" || name == "rg" || name == "zgrep" || name == "fgrep") return "-e -f -m -A -B -C --regexp --file --include --exclude --exclude-dir -g -t -T";
  if (name == "sed" || name == "gsed") return "-e -f --expression --file";
  if (name == "awk" || name == "gawk" || name == "mawk") return "-F -v -f";
  if (name == "head" || name == "tail") return "-n -c --lines --bytes";
  if (name == "cut" || name == "sort") return "-d -f -k -t -o -S -T";
  if (name == "touch") return "-d -r -t --date --reference";
  if (name == "truncate") return "-s -r --size --reference";
  if (name == "tee") return "";
  if (name == "jq" || name == "yq") return "--arg --argjson --slurpfile --rawfile -f --indent";
  if (name == "gpg" || name == "gpg2") return "-o -r -u --output --recipient --homedir --keyserver";
  if (name == "openssl") return "-in -out -key -CAfile -CA -CAkey -config -subj -days -keyout -pass -passin -passout -newkey -k -connect -servername";
  if (name == "strings") return "-n -t -e";
  if (name == "xxd") return "-l -s -c -g -o";
  if (name == "hexdump") return "-n -s -e -f";
  if (name == "od") return "-A -j -N -t -w -S";
  if (name == "rsync") return "-e --rsh --exclude --include --exclude-from --bwlimit --password-file --files-from --rsync-path --log-file";
  if (name == "ssh" || name == "scp" || name == "sftp") return "-i -F -o -p -P -l -L -R -D -W -J -c -m -b -S -w -E -B -I -Q -e -O";
  if (name == "docker" || name == "podman") return "-H --host --context -l --log-level --config -f --file -p --project-name";
  if (name == "git") return "-C -c --git-dir --work-tree";
  if (name == "kubectl" || name == "oc") return "-n --namespace --context --kubeconfig -f -l -o --selector --cluster --user --filename --output --as -c --container -s --server --token";
  if (name == "helm") return "-n --namespace --kube-context -f --values --set --version --kubeconfig";
  if (name == "aws") return "--profile --region --output --query --endpoint-url";
  if (name == "systemctl") return "-H --host -M --machine -p --property -t --type -n --lines -o --output --state -s --signal --kill-whom --root";
  if (name == "journalctl") return "-u --unit -n --lines -S --since -U --until -p --priority -t -o --output -g --grep -D --directory";
  if (name == "psql" || name == "mysql" || name == "mariadb" || name == "redis-cli" || name == "mysqldump" || name == "pg_dump") return "-h -p -U -u -P -d -D -c -e -f -n -a --host --port --username --user --dbname --file -S --password";
  if (name == "iptables" || name == "ip6tables") return "-t -j -p -s -d -i -o --dport --sport -m";
  if (name == "curl") return "-o -d -T -F -H -X -u -A -e -b -c -x -K -E -w -m -r -C --output --data --data-binary --data-raw --upload-file --form --header --request --user --cookie --cookie-jar --proxy --config --cert --key --cacert --max-time --connect-timeout --retry --resolve --data-urlencode --json --url --write-out --range --user-agent --referer";
  if (name == "wget") return "-O -o -a -P -i -U -t -T --header --post-data --post-file --output-document --directory-prefix --user --password --tries --timeout";
  if (name == "dig" || name == "nslookup" || name == "host") return "-p -t -c -k -b";
  if (name == "find") return "";
  return "";
}

std::string placed(const Command& command, std::string_view path) {
  if (path.starts_with("file://")) path.remove_prefix(7);
  if (path.starts_with('/')) return clean_path(path);
  if (path.starts_with("~/") || path == "~") return clean_path("/home/user" + std::string(path.substr(1)));
  return clean_path(command.cwd.empty() ? std::string(path) : command.cwd + "/" + std::string(path));
}

}  // namespace

Effects effects_of(const Command& command) {
  Effects out;
  for (const Redirect& r : command.redirects) {
    if (r.op == "<") out.reads.push_back(placed(command, r.target));
    else if (r.op == "<>") {
      out.reads.push_back(placed(command, r.target));
      out.writes.push_back(placed(command, r.target));
    } else out.writes.push_back(placed(command, r.target));
  }
  if (command.argv.empty()) return out;
  const std::string name(program_name(command.argv[0]));
  const std::string_view with_value = options_with_value(name);
  const auto add = [&](std::vector<std::string>& list, std::string_view path) {
    if (!path.empty()) list.push_back(placed(command, path));
  };
  std::size_t options = 0;
  bool is_over = false;
  std::string target_folder;
  for (std::size_t i = 1; i < command.argv.size(); ++i) {
    const std::string& word = command.argv[i];
    if (!is_over && word == "--") {
      is_over = true;
      ++options;
      continue;
    }
    if (!is_over && word.size() > 1 && word[0] == '-') {
      ++options;
      if (const std::size_t equals = word.find('='); equals != std::string::npos) {
        const std::string_view value = std::string_view(word).substr(equals + 1);
        const std::string_view key = std::string_view(word).substr(0, equals);
        if (key == "--target-directory") target_folder = value;
        else if (is_one_of(key, {"--output", "--output-document", "--out", "--log-file"})) add(out.writes, value);
        else if (name != "ls" && use_of(name) != Use::nothing && (value.find('/') != std::string_view::npos)) add(out.reads, value);
        if ((name == "curl" || name == "wget") && (value.starts_with('@') || key == "--post-file" || key == "--body-file" || key == "--upload-file" || key == "--config")) add(out.reads, value.starts_with('@') ? value.substr(1) : value);
        continue;
      }
      if (is_listed(with_value, word) && i + 1 < command.argv.size()) {
        const std::string& value = command.argv[++i];
        if (word == "-t" || word == "--target-directory") {
          if (name == "cp" || name == "mv" || name == "ln" || name == "install") target_folder = value;
        } else if (name == "curl" || name == "wget") {
          if (is_one_of(word, {"-o", "--output", "-O", "--output-document"}) && !(name == "curl" && word == "-O")) add(out.writes, value);
          else if (is_one_of(word, {"-T", "--upload-file", "-K", "--config", "--post-file", "-E"}) && !(name == "wget" && word == "-T")) add(out.reads, value);
          else if (const std::size_t at_sign = value.find('@'); at_sign != std::string::npos && is_one_of(word, {"-d", "--data", "--data-binary", "-F", "--form", "--data-urlencode", "--json", "--data-ascii", "-H", "--header"}) && (at_sign == 0 || value[at_sign - 1] == '=')) add(out.reads, std::string_view(value).substr(at_sign + 1, value.find(';') == std::string::npos ? std::string::npos : value.find(';') - at_sign - 1));
        } else if (name == "openssl") {
          if (is_one_of(word, {"-in", "-key", "-CAkey"})) add(out.reads, value);
          if (is_one_of(word, {"-out", "-keyout"})) add(out.writes, value);
        } else if (name == "gpg" || name == "sort") {
          if (word == "-o" || word == "--output") add(out.writes, value);
        } else if (name == "tar" || name == "bsdtar" || name == "gtar") {
          if (word == "-C" || word == "--directory") add(out.reads, value);
        } else if (name == "touch" && (word == "-r")) {
          // a reference, only looked at
        } else if (name == "grep" && word == "-f") {
          add(out.reads, value);
        } else if (name == "jq" && is_one_of(word, {"-f", "--slurpfile", "--rawfile"})) {
          add(out.reads, value);
        } else if (is_one_of(name, {"kubectl", "oc", "helm", "docker", "git", "aws", "systemctl", "psql", "mysql"})) {
          // not files that matter here
        }
        continue;
      }
      // -qO FILE
      if ((name == "wget" || name == "curl") && word[1] != '-' && word.size() > 2 && word.back() == (name == "wget" ? 'O' : 'o') && i + 1 < command.argv.size()) {
        add(out.writes, command.argv[++i]);
        continue;
      }
      // -f/etc/shadow, -o/tmp/x
      if (word.size() > 3 && word[1] != '-' && (word[2] == '/' || word[2] == '@')) add(out.reads, std::string_view(word).substr(word[2] == '@' ? 3 : 2));
      continue;
    }
    out.operands.push_back(word);
    out.options_before.push_back(options);
  }
  const std::vector<std::string>& operands = out.operands;
  const Use use = use_of(name);
  switch (use) {
    case Use::nothing:
      if (name == "curl" || name == "wget") {
        for (const std::string& word : operands) {
          if (word.starts_with("file://")) add(out.reads, word);
        }
      }
      if ((name == "find" || name == "gfind" || name == "fd")) {
        const auto& words = command.argv;
        if (std::find(words.begin(), words.end(), "-delete") != words.end()) {
          for (std::size_t i = 1; i < words.size() && !words[i].starts_with('-') && words[i] != "(" && words[i] != "!"; ++i) add(out.deletes, words[i]);
        }
      }
      break;
    case Use::reads:
      for (const std::string& word : operands) {
        if (name == "dd") {
          if (word.starts_with("if=")) add(out.reads, std::string_view(word).substr(3));
          if (word.starts_with("of=")) add(out.writes, std::string_view(word).substr(3));
          continue;
        }
        // key=/path and @/path name files too
        if (const std::size_t equals = word.find("=/"); equals != std::string::npos) add(out.reads, std::string_view(word).substr(equals + 1));
        if (const std::size_t colon = word.find(":/"); colon != std::string::npos && word.find("://") == std::string::npos) add(out.reads, std::string_view(word).substr(colon + 1));
        if (word.starts_with('@')) add(out.reads, std::string_view(word).substr(1));
        else add(out.reads, word);
      }
      if (name == "tar" || name == "bsdtar" || name == "gtar" || name == "zip" || name == "7z" || name == "7za") {
        // The first operand of `tar cf x.tar ...` is the archive: reading and writing it are both of interest.
        if (!operands.empty()) add(out.writes, operands.size() > 1 && operands[0].find('.') == std::string::npos && operands[0].find('/') == std::string::npos ? operands[1] : operands[0]);
      }
      if (name == "gcc" || name == "cc" || name == "g++" || name == "clang" || name == "ld" || name == "tcpdump" || name == "ffmpeg") {
        for (std::size_t i = 1; i + 1 < command.argv.size(); ++i) {
          if (command.argv[i] == "-o" || command.argv[i] == "-w") add(out.writes, command.argv[i + 1]);
        }
      }
      break;
    case Use::deletes:
      for (const std::string& word : operands) add(out.deletes, word);
      break;
    case Use::changes:
      for (const std::string& word : operands) add(out.changes, word);
      break;
    case Use::mode_first: {
      const bool has_reference = std::any_of(command.argv.begin(), command.argv.end(), [](const std::string& w) { return w.starts_with("--reference") || w == "-m" || w == "-x" || w == "-M" || w == "-b"; });
      std::size_t from = has_reference ? 0 : 1;
      if (name == "chattr") from = !operands.empty() && (operands[0][0] == '+' || operands[0][0] == '=') ? 1 : 0;
      if (name == "chmod" && operands.size() == 1) from = 0;  // chmod -x file
      for (std::size_t i = from; i < operands.size(); ++i) add(out.changes, operands[i]);
      break;
    }
    case Use::writes:
      for (const std::string& word : operands) add(out.writes, word);
      break;
    case Use::copies:
    case Use::moves: {
      if (!target_folder.empty()) {
        add(out.writes, target_folder);
        for (const std::string& word : operands) {
          add(out.reads, word);
          add(out.writes, target_folder + "/" + std::string(program_name(word)));
        }
      } else if (!operands.empty()) {
        for (std::size_t i = 0; i + 1 < operands.size(); ++i) {
          if (name != "ln") add(out.reads, operands[i]);
          if (use == Use::moves) add(out.deletes, operands[i]);
          if (operands.back().ends_with('/') || operands.size() > 2) add(out.writes, operands.back() + "/" + std::string(program_name(operands[i])));
        }
        add(out.writes, operands.back());
        if (name == "ln" && operands.size() == 2) add(out.reads, operands[0]);
      }
      break;
    }
    case Use::edits:
      for (const std::string& word : operands) {
        if (word.starts_with('+')) continue;
        add(out.edits, word);
        if (name != "ed-none") add(out.reads, word);
      }
      break;
    case Use::code_first: {
      const std::size_t from = has_code_option(command, name) ? 0 : 1;
      bool in_place = false;
      if (name == "sed" || name == "gsed" || name == "perl" || name == "ruby" || name == "gawk" || name == "yq" || name == "sd") {
        in_place = name == "sd" || std::any_of(command.argv.begin(), command.argv.end(), [&](const std::string& w) {
          return w == "-i" || w == "--in-place" || w.starts_with("--in-place=") || (w.size() > 1 && w[0] == '-' && w[1] != '-' && w.find('i') != std::string::npos && w.find_first_not_of("-nrEsizulpeanwi.bako~") == std::string::npos);
        });
      }
      for (std::size_t i = from; i < operands.size(); ++i) {
        add(out.reads, operands[i]);
        if (in_place) add(out.writes, operands[i]);
      }
      break;
    }
  }
  // Programs that read and have one way to write.
  if (is_one_of(name, {"shuf", "iconv", "uniq", "patch", "split", "csplit", "script", "logsave", "xxd"})) {
    const auto& words = command.argv;
    for (std::size_t i = 1; i + 1 < words.size(); ++i) {
      if (words[i] == "-o" || (name == "csplit" && words[i] == "-f")) add(out.writes, words[i + 1]);
    }
    if (is_one_of(name, {"uniq", "split"}) && operands.size() == 2) add(out.writes, name == "split" ? operands[1] + "xaa" : operands[1]);
    if (name == "xxd" && operands.size() >= 2) add(out.writes, operands.back());
    if (is_one_of(name, {"patch", "script", "logsave"}) && !operands.empty()) add(out.writes, operands[0]);
  }
  if (name == "wget") {
    const auto& words = command.argv;
    for (std::size_t i = 1; i + 1 < words.size(); ++i) {
      if (words[i] == "-P" || words[i] == "--directory-prefix") add(out.writes, words[i + 1] + "/index.html");
    }
  }
  // rm -rf /x/* removes what is in /x.
  for (auto* list : {&out.deletes, &out.changes}) {
    for (std::string& path : *list) {
      while (path.size() > 2 && path.ends_with(std::string("/") + k_star)) path.resize(path.size() - 2);
      if (path == std::string("/") + k_star) path = "/";
    }
  }
  return out;
}

}  // namespace sallyport::guard
