#include "gateway/ssh/program.h"

#include <algorithm>

namespace sallyport::gateway {

std::vector<std::string> plain_words(std::string_view command) {
  if (command.find('\0') != std::string_view::npos) return {};
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  for (std::size_t i = 0; i < command.size(); ++i) {
    const char c = command[i];
    if (c == ' ' || c == '\t') {
      if (in_word) words.push_back(std::move(word));
      word.clear();
      in_word = false;
      continue;
    }
    in_word = true;
    if (c == '\'') {
      const std::size_t end = command.find('\'', i + 1);
      if (end == std::string_view::npos) return {};
      word.append(command.substr(i + 1, end - i - 1));
      i = end;
    } else if (c == '"') {
      for (++i; i < command.size() && command[i] != '"'; ++i) {
        if (command[i] == '$' || command[i] == '`') return {};
        if (command[i] == '\\' && i + 1 < command.size() && command[i + 1] == '\n') return {};
        if (command[i] == '\\' && i + 1 < command.size() && std::string_view("\\\"$`").find(command[i + 1]) != std::string_view::npos) ++i;
        word += command[i];
      }
      if (i >= command.size()) return {};
    } else if (c == '\\') {
      if (i + 1 >= command.size() || command[i + 1] == '\n') return {};
      word += command[++i];
    } else if (std::string_view("|&;<>()$`\n\r\0*?[]{}!#=", 21).find(c) != std::string_view::npos && !(c == '=' && word.starts_with("-"))) {
      // Globs are left to the shell on the target; a call with one is not "plain" and is judged as exec.
      return {};
    } else {
      word += c;
    }
  }
  if (in_word) words.push_back(std::move(word));
  return words;
}

Program classify_program(std::string_view request, std::string_view argument) {
  if (request == "shell") return {"shell", ""};
  if (request == "subsystem") return {argument == "sftp" ? "sftp" : "subsystem", ""};
  const std::vector<std::string> words = plain_words(argument);
  const auto has = [&](std::string_view option) { return std::find(words.begin() + 1, words.end(), option) != words.end(); };
  if (words.size() >= 3 && words[0] == "scp") {
    bool up = false;
    bool down = false;
    for (std::size_t i = 1; i < words.size() && words[i].size() > 1 && words[i][0] == '-' && words[i] != "--"; ++i) {
      if (words[i][1] == '-') return {"exec", ""};
      up = up || words[i].find('t') != std::string::npos;
      down = down || words[i].find('f') != std::string::npos;
    }
    if (up != down) return {"scp", up ? "up" : "down"};
  }
  if (words.size() >= 3 && words[0] == "rsync" && words[1] == "--server") return {"rsync", has("--sender") ? "down" : "up"};
  return {"exec", ""};
}

}  // namespace sallyport::gateway
