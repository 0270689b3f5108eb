// Any bytes as a journal: verified, listed, walked with a key, played. The first byte chooses whether the rest is the raw
// file or payloads that get right headers and checksums (else no mutation would come past them).
#include <stdlib.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>

#include "platform/crypto/crc32c.h"
#include "recorder/replay/kept_checkpoints.h"
#include "recorder/replay/playback.h"
#include "recorder/replay/seek_index.h"
#include "recorder/replay/shown_proof.h"
#include "recorder/replay/verify.h"

namespace {

using namespace sallyport;

class Folder {
 public:
  Folder() {
    char name[] = "/tmp/sallyport-fuzz-XXXXXX";
    if (mkdtemp(name) == nullptr) std::abort();
    path_ = name;
  }
  ~Folder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

void append_number(Bytes& to, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) to.push_back(static_cast<std::byte>(value >> (8 * i)));
}

/// Pieces of `data` (a length byte, a type byte, a payload of length * 8 bytes) as well-formed frames.
Bytes framed(ByteView data) {
  Bytes file;
  for (const char c : std::string_view("SPJRNL01")) file.push_back(static_cast<std::byte>(c));
  append_number(file, 1, 4);
  append_number(file, 64, 4);
  append_number(file, 1, 8);
  append_number(file, 1, 8);
  file.resize(60);
  append_number(file, crypto::crc32c(file), 4);
  for (std::uint64_t number = 1; data.size() >= 2; ++number) {
    const std::size_t size = std::min(std::to_integer<std::size_t>(data[0]) * 8, data.size() - 2);
    Bytes body;
    append_number(body, size, 4);
    append_number(body, std::to_integer<unsigned>(data[1]) % 6, 4);
    append_number(body, number, 8);
    body.insert(body.end(), data.begin() + 2, data.begin() + 2 + static_cast<std::ptrdiff_t>(size));
    append_number(file, 0x31465053, 4);
    append_number(file, crypto::crc32c(body), 4);
    file.insert(file.end(), body.begin(), body.end());
    data = data.subspan(2 + size);
  }
  return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1 || size > 1024 * 1024) return 0;
  static const Folder folder;
  const auto bytes = std::as_bytes(std::span(data, size));
  const Bytes file = bytes[0] < std::byte{128} ? framed(bytes.subspan(1)) : copy_of(bytes.subspan(1));
  std::ofstream(folder.path() / "00000001.journal", std::ios::binary | std::ios::trunc) << text_of(file);

  replay::VerifyOptions options;
  options.journal = folder.path();
  options.patience = std::chrono::milliseconds(0);
  options.checkpoint_keys = {crypto::make_note_key("gw", crypto::Ed25519PublicKey{})};
  options.outside = {{crypto::Checkpoint{"gw", 3, {}, {}}, "fuzz"}};
  options.unwrap = [](const SessionId&, ByteView) { return std::optional<Secret>(Secret(std::string_view("0123456789abcdef0123456789abcdef"))); };
  const auto report = replay::verify_journal(options);
  if (report && report->leaves < report->signed_leaves) std::abort();

  const auto sessions = replay::list_sessions({folder.path(), "", [](const SessionId&) { return false; }});
  if (!sessions) return 0;
  for (const auto& session : sessions->sessions) {
    replay::ExportOptions how;
    how.walk.journal = folder.path();
    how.walk.session = session.session;
    how.walk.key = Secret(std::string_view("0123456789abcdef0123456789abcdef"));
    how.session = session;
    how.with_input = true;
    std::size_t written = 0;
    const replay::Sink sink = [&](std::string_view text) { return (written += text.size()) < 64 * 1024 * 1024; };
    (void)replay::export_asciicast(how, sink);
    (void)replay::export_text(how, sink);
    (void)replay::export_json(how, sink);
  }
  (void)replay::parse_checkpoints(text_of(bytes));
  // Through the index: what a proof gives out is what stands in the journal, in order.
  auto index = replay::SeekIndex::open(":memory:", folder.path());
  if (!index || !index->catch_up()) return 0;
  for (const auto& session : sessions->sessions) {
    const auto found = index->find_session(session.session.view(), {});
    if (!found) continue;
    const auto proof = replay::ShownProof::make(*index, *found, {}, {});
    if (!proof) continue;
    std::uint64_t last = 0;
    (void)proof->read(*index, 1, [&](const replay::StoredEntry& entry, const std::optional<crypto::Tag>&) {
      if (entry.header.sequence != last + 1) std::abort();
      last = entry.header.sequence;
      return true;
    });
  }
  return 0;
}
