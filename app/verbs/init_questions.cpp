#include "app/verbs/init_questions.h"

#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "app/config.h"
#include "platform/crypto/hash.h"
#include "platform/crypto/hex.h"

namespace sallyport::app {
namespace {

namespace fs = std::filesystem;

std::string absolute(const std::string& path) { return fs::absolute(path).lexically_normal().string(); }

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

/// A folder of this gateway alone: another one of the same user must not drain rings that are not its own.
std::string rings_of(const std::string& run_dir) {
  return "/dev/shm/sallyport-" + std::to_string(geteuid()) + "-" + crypto::to_hex(crypto::sha256(run_dir)).substr(0, 8) + "-rings";
}

std::string trimmed(const std::string& text) {
  const std::size_t begin = text.find_first_not_of(" \t\r");
  return begin == std::string::npos ? std::string() : text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

/// Asks until what `take` makes of the answer is a configuration that can be read.
Result<void> ask_one(const std::string& file, InitOptions& options, const AskLine& ask, const std::string& question, const std::string& usual,
                     const std::function<void(InitOptions&, const std::string&)>& take) {
  for (;;) {
    const auto line = ask(question + " [" + (usual.empty() ? "none" : usual) + "]: ");
    if (!line) return fail(Errc::cancelled, "the input ended; nothing was written");
    std::string answer = trimmed(*line);
    if (answer.empty()) answer = usual;
    if (answer.empty() || answer == "none") return {};
    InitOptions tried = options;
    take(tried, answer);
    if (const auto text = init_config_text(file, tried); !text) {
      std::printf("%s\n", text.error().detail.c_str());
      continue;
    }
    options = std::move(tried);
    return {};
  }
}

}  // namespace

Result<std::string> init_config_text(const std::string& file, const InitOptions& options) {
  std::string text = "# Sallyport's configuration; every key: docs/reference/configuration.md. Check: sallyport config check\n";
  if (!options.state_dir.empty()) text += "state_dir: " + quoted(absolute(options.state_dir)) + "\n";
  if (!options.run_dir.empty()) text += "run_dir: " + quoted(absolute(options.run_dir)) + "\n";
  // Rings belong on tmpfs; /run/sallyport is, a folder of the user's choice may not be.
  if (!options.run_dir.empty() && !absolute(options.run_dir).starts_with("/run/")) text += "ring_dir: " + quoted(rings_of(absolute(options.run_dir))) + "\n";
  if (!options.public_address.empty()) text += "public_address: " + quoted(options.public_address) + "\n";
  if (!options.listen.empty()) {
    text += "listen:\n";
    for (const std::string& address : options.listen) text += "  - " + quoted(address) + "\n";
  }
  text += "seal:\n  source: " + options.seal_source + "\n";
  if (!options.witness.empty()) text += "recording:\n  witness: [" + quoted(absolute(options.witness)) + "]\n";
  if (!options.admin_listen.empty()) text += "admin:\n  listen: [" + quoted(options.admin_listen) + "]\n";
  auto right = parse_config(text, file);
  if (!right) return tl::unexpected(right.error());
  return text;
}

Result<void> ask_init_questions(const std::string& file, InitOptions& options, const AskLine& ask) {
  std::printf("A new gateway: a few questions, Enter takes what stands in brackets. `sallyport init --non-interactive` asks none.\n");
  struct Question {
    bool open;
    std::string text;
    std::string usual;
    std::function<void(InitOptions&, const std::string&)> take;
  };
  const bool is_root = geteuid() == 0;
  const std::string home = fs::path(absolute(file)).parent_path().string();
  const Question questions[] = {
      {options.state_dir.empty(), "Where do databases, journal and vault live", is_root ? "/var/lib/sallyport" : home + "/state", [](InitOptions& to, const std::string& text) { to.state_dir = text; }},
      {options.run_dir.empty(), "Where do the admin socket and the rings live", is_root ? "/run/sallyport" : home + "/run", [](InitOptions& to, const std::string& text) { to.run_dir = text; }},
      {options.listen.empty(), "On which address does it accept SSH", is_root ? "[::]:2222" : "127.0.0.1:2222", [](InitOptions& to, const std::string& text) { to.listen = {text}; }},
      {options.public_address.empty(), "By which HOST:PORT do engineers reach it", "", [](InitOptions& to, const std::string& text) { to.public_address = text; }},
      {true, "How is the vault sealed: file, credential (systemd) or passphrase", options.seal_source, [](InitOptions& to, const std::string& text) { to.seal_source = text; }},
      {options.witness.empty(), "Into which file outside the state directory do checkpoints go, so that a roll-back is seen", "", [](InitOptions& to, const std::string& text) { to.witness = text; }},
      {options.admin_listen.empty(), "On which address do page and REST API answer", "", [](InitOptions& to, const std::string& text) { to.admin_listen = text; }},
  };
  for (const Question& question : questions) {
    if (!question.open) continue;
    if (auto asked = ask_one(file, options, ask, question.text, question.usual, question.take); !asked) return asked;
  }
  const auto text = init_config_text(file, options);
  if (!text) return tl::unexpected(text.error());
  std::printf("\n%s\n", text->c_str());
  for (;;) {
    const auto line = ask("Write this to " + file + " and make the vault? [yes]: ");
    if (!line) return fail(Errc::cancelled, "the input ended; nothing was written");
    const std::string answer = trimmed(*line);
    if (answer.empty() || answer == "y" || answer == "yes") return {};
    if (answer == "n" || answer == "no") return fail(Errc::cancelled, "nothing was written");
  }
}

}  // namespace sallyport::app
