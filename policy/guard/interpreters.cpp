// Programs that run code of a language of their own: python -c, perl -e, awk, psql -c, redis-cli and the like.
#include <algorithm>
#include <array>

#include "policy/guard/argv_words.h"
#include "policy/guard/code_reader.h"
#include "policy/guard/code_tokens.h"
#include "policy/guard/decoders.h"
#include "policy/guard/dialects.h"
#include "policy/guard/walk.h"
#include "policy/guard/wildcard.h"

namespace sallyport::guard {
namespace {

constexpr int k_most_code_depth = 24;

/// How an interpreter is given its code.
struct Interpreter {
  std::string_view name;        ///< a beginning when `is_family`
  std::string_view code_flags;  ///< blank-separated: the next word is code
  std::string_view value_flags; ///< options whose next word is a value
  bool is_family = false;       ///< python3.11, lua5.4
  bool clusters = false;        ///< -lane: the last letter counts
};
constexpr std::array k_interpreters = {
    Interpreter{"python", "-c", "-W -X -m --check-hash-based-pycs", true, true},
    Interpreter{"pypy", "-c", "-W -X -m", true, true},
    Interpreter{"ipython", "-c", "-m --profile", true, false},
    Interpreter{"jython", "-c", "-m", true, false},
    Interpreter{"perl", "-e -E", "-I -C", true, true},
    Interpreter{"ruby", "-e", "-I -r -C -E", true, true},
    Interpreter{"irb", "-e", "-I -r", false, false},
    Interpreter{"jruby", "-e", "-I -r", false, false},
    Interpreter{"rake", "-e -p -E --execute --execute-print", "-f -r", false, false},
    Interpreter{"node", "-e -p -pe --eval --print", "-r --require --import --loader", false, false},
    Interpreter{"nodejs", "-e -p -pe --eval --print", "-r --require", false, false},
    Interpreter{"bun", "-e --eval -p --print eval", "", false, false},
    Interpreter{"deno", "eval", "", false, false},
    Interpreter{"tsx", "-e --eval", "", false, false},
    Interpreter{"jrunscript", "-e", "-l -cp", false, false},
    Interpreter{"php", "-r -B -R -E", "-d -c -f -z", true, false},
    Interpreter{"lua", "-e", "-l", true, false},
    Interpreter{"texlua", "-e", "", false, false},
    Interpreter{"tclsh", "-c", "", true, false},
    Interpreter{"wish", "-c", "", true, false},
    Interpreter{"Rscript", "-e", "", false, false},
    Interpreter{"R", "-e", "-f", false, false},
    Interpreter{"julia", "-e -E --eval --print", "-J -p -t --project", false, false},
    Interpreter{"octave", "--eval", "", true, false},
    Interpreter{"guile", "-c", "-L -l -e", false, false},
    Interpreter{"ghci", "-e", "", false, false},
    Interpreter{"ghc", "-e", "-o", false, false},
    Interpreter{"runghc", "", "", false, false},
    Interpreter{"groovy", "-e", "-cp", false, false},
    Interpreter{"scala", "-e", "-cp", false, false},
    Interpreter{"elixir", "-e --eval", "-r", false, false},
    Interpreter{"erl", "-eval", "-pa -sname -name", false, false},
    Interpreter{"sbcl", "--eval", "--load", false, false},
    Interpreter{"racket", "-e --eval", "-l", false, false},
    Interpreter{"emacs", "--eval -eval -execute", "-l --load -f -q", false, false},
    Interpreter{"osascript", "-e", "-l", false, false},
    Interpreter{"gem", "-e", "", false, false},
    Interpreter{"raku", "-e", "", false, false},
    Interpreter{"crystal", "eval", "", false, false},
    Interpreter{"jshell", "", "", false, false},
    Interpreter{"pry", "-e", "", false, false},
};

const Interpreter* find_interpreter(std::string_view name) {
  for (const Interpreter& one : k_interpreters) {
    if (name == one.name) return &one;
    if (one.is_family && name.starts_with(one.name)) {
      const std::string_view rest = name.substr(one.name.size());
      if (rest.find_first_not_of("0123456789.-mjitcligw") == std::string_view::npos) return &one;
    }
  }
  return nullptr;
}

/// What a word of short options ends in: -lane CODE, -ne'CODE', -i.bak, -mjson.tool. Without any of these it holds flags alone.
struct Cluster {
  enum class Holds { flags, code, value, module, use };
  Holds holds = Holds::flags;
  std::size_t rest = 0;  ///< where the option's own text begins; the word's size: it is the next word
};
Cluster read_cluster(std::string_view language, std::string_view word) {
  using Holds = Cluster::Holds;
  const auto skip = [&](std::size_t at, std::string_view letters) { return std::min(word.find_first_not_of(letters, at), word.size()); };
  for (std::size_t i = 1; i < word.size();) {
    const char letter = word[i++];
    if (language == "perl") {  // perlrun(1)
      if (letter == 'e' || letter == 'E') return {Holds::code, i};
      if (letter == 'I') return {Holds::value, i};
      if (letter == 'M' || letter == 'm') return {Holds::use, i};
      if (letter == 'F' || letter == 'i' || letter == 'x' || letter == 'D' || letter == 'V' || letter == 'd') return {};
      if (letter == '0') i = skip(i, i < word.size() && (word[i] == 'x' || word[i] == 'X') ? "xX0123456789abcdefABCDEF" : "01234567");
      if (letter == 'l') i = skip(i, "01234567");
      if (letter == 'C') i = skip(i, "0123456789IOESioDALa");
    } else if (language == "ruby" || language == "jruby") {  // ruby(1)
      if (letter == 'e') return {Holds::code, i};
      if (letter == 'I' || letter == 'r' || letter == 'C' || letter == 'E') return {Holds::value, i};
      if (letter == 'F' || letter == 'i' || letter == 'x') return {};
      if (letter == '0' || letter == 'T' || letter == 'W') i = skip(i, "0123456789");
      if (letter == 'K') ++i;
    } else {  // python(1)
      if (letter == 'c') return {Holds::code, i};
      if (letter == 'm') return {Holds::module, i};
      if (letter == 'W' || letter == 'X') return {Holds::value, i};
    }
  }
  return {};
}

}  // namespace

Output Walk::run_code(std::string_view language, std::string_view code, const Input& input, std::string_view program) {
  if (depth_ >= k_most_code_depth || !spend(32 + code.size() / 2)) {
    note(Opaque::unreadable, "this is nested too deep", code);
    return std::string(1, k_hole);
  }
  if (code == std::string_view(&k_hole, 1)) {
    note(Opaque::unseen_input, std::string(program) + " runs code that cannot be seen", code);
    return std::string(1, k_hole);
  }
  ++depth_;
  const std::string kept(code);
  if (language.ends_with("awk")) {
    read_awk(*this, kept, input, program);
  } else {
    read_code(*this, language_of(language), program, input, kept);
  }
  --depth_;
  // print("x") of a constant, for $(python3 -c ...)
  std::vector<Token> tokens = tokenise(language_of(language), kept);
  fold(language_of(language), tokens);
  if (tokens.size() >= 2 && tokens.size() <= 24) {
    for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
      if (tokens[i].kind != Token::Kind::name || !is_one_of(tokens[i].value, {"print", "puts", "echo", "log", "say", "write", "printf", "p"})) continue;
      const std::size_t at = tokens[i + 1].value == "(" && tokens[i + 1].kind == Token::Kind::sign ? i + 2 : i + 1;
      if (at < tokens.size() && tokens[at].kind == Token::Kind::text) return tokens[at].value + "\n";
    }
  }
  return std::string(1, k_hole);
}

bool Walk::interpreter(const Command& command, Output& output) {
  const Argv& argv = command.argv;
  const std::string_view name = program_name(argv[0]);
  if (data_client(*this, command)) return true;
  if (is_one_of(name, {"awk", "gawk", "mawk", "nawk", "original-awk", "goawk"})) {
    bool has_code = false;
    for (std::size_t i = 1; i < argv.size(); ++i) {
      const std::string& word = argv[i];
      if (word == "-F" || word == "-v" || word == "-f" || word == "--assign" || word == "--field-separator" || word == "-e" || word == "--source" || word == "-E" || word == "-i") {
        if (i + 1 < argv.size() && (word == "-e" || word == "--source")) {
          (void)run_code("awk", plain(argv[i + 1]), command.input, name);
          has_code = true;
        }
        if (i + 1 < argv.size() && (word == "-f" || word == "-E")) {
          if (const KnownFile* file = find_file(argv[i + 1]); file != nullptr && file->is_content_known) (void)run_code("awk", std::string(file->content), command.input, name);
          has_code = true;
        }
        ++i;
        continue;
      }
      if (word.size() > 1 && word[0] == '-') continue;
      if (!has_code) (void)run_code("awk", plain(word), command.input, name);
      break;
    }
    output = filter_output(*this, argv, command.input.text).value_or(std::string(1, k_hole));
    return true;
  }
  const Interpreter* spec = find_interpreter(name);
  if (spec == nullptr) return false;
  const std::string language(name);
  bool had_code = false;
  for (std::size_t i = 1; i < argv.size(); ++i) {
    const std::string& word = argv[i];
    std::string code;
    bool is_code = false;
    if (is_listed(spec->code_flags, word) && i + 1 < argv.size()) {
      code = plain(argv[++i]);
      is_code = true;
    } else if (word.starts_with("--") && word.find('=') != std::string::npos && is_listed(spec->code_flags, word.substr(0, word.find('=')))) {
      code = plain(word.substr(word.find('=') + 1));
      is_code = true;
    } else if (spec->clusters && word.size() > 2 && word[0] == '-' && word[1] != '-') {
      const Cluster cluster = read_cluster(spec->name, word);
      if (cluster.holds == Cluster::Holds::module) return true;
      if (cluster.holds == Cluster::Holds::code && (cluster.rest < word.size() || i + 1 < argv.size())) {
        code = plain(cluster.rest < word.size() ? word.substr(cluster.rest) : argv[++i]);
        is_code = true;
      } else if (cluster.holds == Cluster::Holds::value && cluster.rest == word.size()) {
        ++i;
        continue;
      } else if (cluster.holds == Cluster::Holds::use && word.find_first_of(";(", cluster.rest) != std::string::npos) {
        (void)run_code(language, plain(word.substr(cluster.rest)), command.input, name);  // -M'POSIX;system(...)': what follows the module runs as well
      }
    } else if (word.size() > 2 && word.starts_with("-r") && name.starts_with("php")) {
      code = plain(word.substr(2));
      is_code = true;
    }
    if (is_code) {
      had_code = true;
      output = run_code(language, code, command.input, name);
      if (name.starts_with("python")) return true;  // what follows are its arguments
      continue;
    }
    if (word == "-m" && name.starts_with("py")) return true;
    if (is_listed(spec->value_flags, word)) {
      ++i;
      continue;
    }
    if (word == "--version" || word == "-V" || word == "--help" || word == "-v" || word == "-h") return true;
    if (word == "-") break;
    if (word.size() > 1 && word[0] == '-') continue;
    if (had_code) break;
    // a script
    if (is_one_of(word, {"/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"})) break;
    if (is_one_of(name, {"bun", "deno", "gem", "emacs", "julia", "scala", "R", "rake", "ghc", "erl", "ghci"})) return true;
    if (const KnownFile* file = find_file(word); file != nullptr && file->is_content_known) {
      output = run_code(language, std::string(file->content), command.input, name);
    } else {
      note(Opaque::unseen_file, "the content of this script was not seen", word);
    }
    return true;
  }
  if (had_code) return true;
  if (is_one_of(name, {"gem", "emacs", "rake", "ghc", "bun", "deno", "erl"})) return false;
  switch (command.input.kind) {
    case Input::Kind::nothing: break;
    case Input::Kind::terminal:
      note(Opaque::nested_shell, "a prompt inside the shell", joined(argv, 0));
      enters = name.starts_with("python") || name.starts_with("ipython") || name.starts_with("pypy") ? Dialect::python : Dialect::other;
      break;
    case Input::Kind::channel:
      note(Opaque::unseen_input, "an interpreter that reads its code from the connection", joined(argv, 0));
      enters = name.starts_with("python") || name.starts_with("pypy") ? Dialect::python : Dialect::other;
      break;
    default:
      if (command.input.text && *command.input.text != std::string(1, k_hole)) {
        output = run_code(language, *command.input.text, command.input, name);
      } else if (command.input.kind == Input::Kind::file && !command.input.text) {
        note(Opaque::unseen_file, "the content of this script was not seen", command.input.producer);
      } else {
        note(Opaque::unseen_input, std::string(name) + " runs code that cannot be seen", joined(argv, 0));
      }
  }
  return true;
}

}  // namespace sallyport::guard
