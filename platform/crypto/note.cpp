#include "platform/crypto/note.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "platform/crypto/base64.h"
#include "platform/crypto/hex.h"

namespace sallyport::crypto {
namespace {

constexpr std::size_t k_max_note = 64 * 1024;
constexpr std::size_t k_max_signatures = 16;
constexpr std::byte k_ed25519{1};
constexpr std::string_view k_dash = "\xe2\x80\x94 ";  // em dash, space

bool is_key_name(std::string_view name) {
  return !name.empty() && name.size() <= 255 &&
         std::none_of(name.begin(), name.end(), [](char c) { return c == '+' || static_cast<unsigned char>(c) <= ' ' || c == 0x7f; });
}

NoteKeyId key_id_of(std::string_view name, const Ed25519PublicKey& public_key) {
  static constexpr std::byte k_separator[] = {std::byte{'\n'}, k_ed25519};
  const Hash256 hash = Sha256().update(name).update(ByteView(k_separator)).update(public_key).finish();
  NoteKeyId id{};
  std::copy_n(hash.begin(), id.size(), id.begin());
  return id;
}

/// Takes the text up to the next newline off `text`; false when there is none.
bool take_line(std::string_view& text, std::string_view& line) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos) return false;
  line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return true;
}

}  // namespace

NoteKey make_note_key(std::string name, const Ed25519PublicKey& public_key) {
  NoteKey key;
  key.id = key_id_of(name, public_key);
  key.name = std::move(name);
  key.public_key = public_key;
  return key;
}

std::string vkey_of(const NoteKey& key) {
  Bytes typed{k_ed25519};
  typed.insert(typed.end(), key.public_key.begin(), key.public_key.end());
  return key.name + "+" + to_hex(key.id) + "+" + to_base64(typed);
}

Result<NoteKey> parse_vkey(std::string_view line) {
  const std::size_t first = line.find('+');
  const std::size_t second = first == std::string_view::npos ? first : line.find('+', first + 1);
  if (second == std::string_view::npos) return fail(Errc::invalid, "a verifier key is NAME+ID+KEY");
  const std::string_view name = line.substr(0, first);
  const auto id = from_hex(line.substr(first + 1, second - first - 1));
  const auto typed = from_base64(line.substr(second + 1));
  if (!is_key_name(name) || !id || id->size() != 4 || !typed || typed->size() != 33 || typed->front() != k_ed25519)
    return fail(Errc::invalid, "not an Ed25519 verifier key");
  Ed25519PublicKey public_key{};
  std::copy(typed->begin() + 1, typed->end(), public_key.begin());
  NoteKey key = make_note_key(std::string(name), public_key);
  if (!std::equal(id->begin(), id->end(), key.id.begin())) return fail(Errc::invalid, "the verifier key's id does not fit its name and key");
  return key;
}

std::string sign_note_line(std::string_view body, std::string_view name, const Ed25519PrivateKey& key) {
  const NoteKeyId id = key_id_of(name, key.public_key());
  const Ed25519Signature signature = key.sign(bytes_of(body));
  Bytes blob(id.begin(), id.end());
  blob.insert(blob.end(), signature.begin(), signature.end());
  return std::string(k_dash) + std::string(name) + " " + to_base64(blob) + "\n";
}

std::string join_note(std::string_view body, std::string_view signature_lines) {
  return std::string(body) + "\n" + std::string(signature_lines);
}

Result<Note> parse_note(std::string_view text) {
  if (text.size() > k_max_note) return fail(Errc::invalid, "a signed note of more than 64 KiB");
  for (const char c : text)
    if (static_cast<unsigned char>(c) < ' ' && c != '\n') return fail(Errc::invalid, "a signed note with control characters");
  const std::size_t gap = text.rfind("\n\n");
  if (gap == std::string_view::npos) return fail(Errc::invalid, "a signed note without signatures");
  Note note;
  note.body = text.substr(0, gap + 1);
  std::string_view rest = text.substr(gap + 2);
  std::string_view line;
  while (take_line(rest, line)) {
    if (!line.starts_with(k_dash) || note.signatures.size() == k_max_signatures) return fail(Errc::invalid, "not a signature line");
    line.remove_prefix(k_dash.size());
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos || !is_key_name(line.substr(0, space))) return fail(Errc::invalid, "a signature line without a key name");
    const auto blob = from_base64(line.substr(space + 1));
    if (!blob || blob->size() < 5) return fail(Errc::invalid, "a signature that is not base64");
    NoteSignature signature;
    signature.name = line.substr(0, space);
    std::copy_n(blob->begin(), 4, signature.id.begin());
    signature.signature.assign(blob->begin() + 4, blob->end());
    note.signatures.push_back(std::move(signature));
  }
  if (!rest.empty() || note.signatures.empty()) return fail(Errc::invalid, "a signed note that is cut short");
  return note;
}

Result<void> verify_note(const Note& note, std::span<const NoteKey> keys) {
  bool known = false;
  for (const NoteSignature& signature : note.signatures)
    for (const NoteKey& key : keys) {
      if (key.name != signature.name || key.id != signature.id) continue;
      if (!ed25519_verify(key.public_key, bytes_of(note.body), signature.signature))
        return fail(Errc::corrupt, "the signature of " + key.name + " is wrong");
      known = true;
    }
  if (!known) return fail(Errc::corrupt, "not signed by a known key");
  return {};
}

std::string checkpoint_body(const Checkpoint& checkpoint) {
  std::string body = checkpoint.origin + "\n" + std::to_string(checkpoint.size) + "\n" + to_base64(checkpoint.root) + "\n";
  for (const std::string& line : checkpoint.extensions) body += line + "\n";
  return body;
}

Result<Checkpoint> parse_checkpoint(std::string_view body) {
  std::string_view origin, size, root, line;
  if (!take_line(body, origin) || !take_line(body, size) || !take_line(body, root) || origin.empty())
    return fail(Errc::invalid, "a checkpoint has an origin, a size and a root hash");
  Checkpoint checkpoint;
  checkpoint.origin = origin;
  const auto [end, error] = std::from_chars(size.data(), size.data() + size.size(), checkpoint.size);
  if (error != std::errc{} || end != size.data() + size.size() || (size.size() > 1 && size.front() == '0'))
    return fail(Errc::invalid, "a checkpoint whose size is not a number");
  const auto hash = from_base64(root);
  if (!hash || hash->size() != checkpoint.root.size()) return fail(Errc::invalid, "a checkpoint whose root is not a SHA-256 hash");
  std::copy(hash->begin(), hash->end(), checkpoint.root.begin());
  while (take_line(body, line)) {
    if (line.empty()) return fail(Errc::invalid, "a checkpoint with an empty line");
    checkpoint.extensions.emplace_back(line);
  }
  if (!body.empty()) return fail(Errc::invalid, "a checkpoint without its last newline");
  return checkpoint;
}

std::optional<NoteKey> next_key_of(const Checkpoint& checkpoint) {
  constexpr std::string_view k_next = "next-key ";
  for (const std::string& line : checkpoint.extensions) {
    if (!line.starts_with(k_next)) continue;
    auto key = parse_vkey(std::string_view(line).substr(k_next.size()));
    if (key && key->name == checkpoint.origin) return std::move(*key);
  }
  return std::nullopt;
}

}  // namespace sallyport::crypto
