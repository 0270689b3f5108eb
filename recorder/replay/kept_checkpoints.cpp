#include "recorder/replay/kept_checkpoints.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "platform/crypto/base64.h"
#include "platform/crypto/hex.h"
#include "platform/os/fd.h"

namespace sallyport::replay {
namespace {

constexpr std::size_t k_max_file = 64 * 1024 * 1024;
constexpr std::string_view k_dash = "\xe2\x80\x94 ";

std::string short_hash(std::string_view text) { return crypto::to_hex(ByteView(crypto::sha256(text)).first(16)); }

std::optional<std::string> load(const std::filesystem::path& file, std::size_t limit) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return std::nullopt;
  std::string text(limit + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > limit) return std::nullopt;
  return text;
}

/// Whole or not at all, also when the power goes.
Result<void> store(const std::filesystem::path& file, std::string_view text) {
  std::error_code error;
  std::filesystem::create_directories(file.parent_path(), error);
  const std::string draft = file.string() + "." + std::to_string(getpid());
  const Fd out(::open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  const bool written = out && write(out.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(out.get()) == 0;
  if (!written || rename(draft.c_str(), file.c_str()) != 0) {
    const std::string why = std::strerror(errno);
    unlink(draft.c_str());
    return fail(Errc::unavailable, "keeping " + file.string() + ": " + why);
  }
  return {};
}

/// "checkpoint ORIGIN SIZE ROOT SIGNATURE" somewhere in a line.
std::optional<crypto::Note> from_syslog(std::string_view line) {
  const std::size_t at = line.find("checkpoint ");
  if (at == std::string_view::npos) return std::nullopt;
  line.remove_prefix(at + 11);
  std::string words[4];
  for (auto& word : words) {
    const std::size_t end = std::min(line.find(' '), line.size());
    word = line.substr(0, end);
    line.remove_prefix(std::min(end + 1, line.size()));
    if (word.empty()) return std::nullopt;
  }
  std::string body = words[0] + "\n" + words[1] + "\n" + words[2] + "\n";
  if (line.starts_with("next-key ")) body += std::string(line.substr(0, line.find(' ', 9))) + "\n";
  auto note = crypto::parse_note(body + "\n" + std::string(k_dash) + words[0] + " " + words[3] + "\n");
  if (!note || !crypto::parse_checkpoint(body)) return std::nullopt;
  return std::move(*note);
}

}  // namespace

std::filesystem::path KeptCheckpoints::usual_folder() {
  const char* state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && state[0] == '/') return std::filesystem::path(state) / "sallyport";
  const char* home = std::getenv("HOME");
  if (home != nullptr && home[0] == '/') return std::filesystem::path(home) / ".local/state/sallyport";
  return {};
}

std::filesystem::path KeptCheckpoints::file_of(std::string_view origin, const crypto::NoteKeyId& key) const {
  return folder_ / "checkpoints" / (short_hash(std::string(origin) + "\n" + crypto::to_hex(key)) + ".note");
}

std::filesystem::path KeptCheckpoints::key_file_of(const std::filesystem::path& journal) const {
  std::error_code error;
  const auto whole = std::filesystem::weakly_canonical(journal, error);
  return folder_ / "journals" / (short_hash(error ? journal.string() : whole.string()) + ".vkey");
}

std::optional<crypto::Note> KeptCheckpoints::newest(std::string_view origin, const crypto::NoteKeyId& key) const {
  const auto text = load(file_of(origin, key), 64 * 1024);
  auto note = text ? crypto::parse_note(*text) : Result<crypto::Note>(fail(Errc::not_found, ""));
  if (!note) return std::nullopt;
  return std::move(*note);
}

Result<void> KeptCheckpoints::keep(const crypto::Note& note, const crypto::NoteKeyId& id) const {
  const auto checkpoint = crypto::parse_checkpoint(note.body);
  if (!checkpoint || note.signatures.empty()) return fail(Errc::invalid, "not a checkpoint");
  if (const auto kept = newest(checkpoint->origin, id)) {
    const auto before = crypto::parse_checkpoint(kept->body);
    if (before && before->size >= checkpoint->size) return {};
  }
  return store(file_of(checkpoint->origin, id), text_of_note(note));
}

std::optional<crypto::NoteKey> KeptCheckpoints::key_of(const std::filesystem::path& journal) const {
  auto text = load(key_file_of(journal), 4096);
  if (!text) return std::nullopt;
  while (!text->empty() && text->back() == '\n') text->pop_back();
  auto key = crypto::parse_vkey(*text);
  if (!key) return std::nullopt;
  return std::move(*key);
}

Result<void> KeptCheckpoints::keep_key(const std::filesystem::path& journal, const crypto::NoteKey& key) const {
  return store(key_file_of(journal), crypto::vkey_of(key) + "\n");
}

std::vector<crypto::Note> parse_checkpoints(std::string_view text) {
  std::vector<crypto::Note> notes;
  std::string gathered;
  bool signatures = false;  // the empty line was seen
  bool has_signature = false;
  const auto finish = [&] {
    if (has_signature)
      if (auto note = crypto::parse_note(gathered); note && crypto::parse_checkpoint(note->body)) notes.push_back(std::move(*note));
    gathered.clear();
    signatures = has_signature = false;
  };
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) break;  // a line that is still being written
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    const bool is_signature = line.starts_with(k_dash);
    if (has_signature && !is_signature) finish();
    if (auto note = from_syslog(line)) {
      notes.push_back(std::move(*note));
      gathered.clear();
      continue;
    }
    if (gathered.empty() && line.empty()) continue;
    if (gathered.size() > 64 * 1024) gathered.clear();
    gathered += line;
    gathered += '\n';
    signatures = signatures || line.empty();
    has_signature = has_signature || (signatures && is_signature);
  }
  finish();
  return notes;
}

Result<std::vector<crypto::Note>> read_checkpoint_file(const std::filesystem::path& file) {
  std::error_code error;
  if (!std::filesystem::exists(file, error)) return fail(Errc::not_found, "no file " + file.string());
  const auto text = load(file, k_max_file);
  auto notes = text ? parse_checkpoints(*text) : std::vector<crypto::Note>();
  if (notes.empty()) return fail(Errc::invalid, file.string() + " holds no checkpoint");
  return notes;
}

std::string text_of_note(const crypto::Note& note) {
  std::string signatures;
  for (const auto& signature : note.signatures) {
    Bytes blob(signature.id.begin(), signature.id.end());
    blob.insert(blob.end(), signature.signature.begin(), signature.signature.end());
    signatures += std::string(k_dash) + signature.name + " " + crypto::to_base64(blob) + "\n";
  }
  return crypto::join_note(note.body, signatures);
}

}  // namespace sallyport::replay
