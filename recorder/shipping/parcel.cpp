#include "recorder/shipping/parcel.h"

#include <charconv>

#include "platform/crypto/hex.h"
#include "platform/seal/entry.h"
#include "recorder/journal/frame.h"

namespace sallyport::recorder {
namespace {

constexpr std::string_view k_magic = "SPPARC01";
constexpr std::size_t k_head = 48;
constexpr std::size_t k_piece = 16;
constexpr std::uint32_t k_version = 1;
constexpr std::uint32_t k_most_lanes = 64;
constexpr std::uint32_t k_most_pieces = 1'000'000;

template <class Number>
void put(Bytes& out, Number number) {
  for (std::size_t i = 0; i < sizeof number; ++i) out.push_back(static_cast<std::byte>(number >> (8 * i)));
}

std::string digits(std::uint64_t number, std::size_t least) {
  std::string text = std::to_string(number);
  return text.size() < least ? std::string(least - text.size(), '0') + text : text;
}

bool take_number(std::string_view& text, std::uint64_t& number, std::string_view behind) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  if (!text.starts_with(behind)) return false;
  text.remove_prefix(behind.size());
  return true;
}

}  // namespace

Bytes pack_parcel(const Parcel& parcel) {
  std::size_t size = k_head + parcel.pieces.size() * k_piece;
  for (const auto& piece : parcel.pieces) size += piece.bytes.size();
  Bytes out;
  out.reserve(size);
  const ByteView magic = bytes_of(k_magic);
  out.insert(out.end(), magic.begin(), magic.end());
  put(out, k_version);
  put(out, parcel.lane);
  put(out, parcel.lanes);
  put(out, static_cast<std::uint32_t>(parcel.pieces.size()));
  put(out, parcel.span.file);
  put(out, parcel.span.from);
  put(out, parcel.span.to);
  for (const auto& piece : parcel.pieces) {
    put(out, piece.offset);
    put(out, static_cast<std::uint64_t>(piece.bytes.size()));
  }
  for (const auto& piece : parcel.pieces) out.insert(out.end(), piece.bytes.begin(), piece.bytes.end());
  return out;
}

Result<Parcel> unpack_parcel(ByteView object) {
  const auto broken = [](const char* what) { return fail(Errc::corrupt, std::string("not a parcel of a journal: ") + what); };
  if (object.size() < k_head || text_of(object.first(k_magic.size())) != k_magic) return broken("its first bytes");
  const auto u32 = [&](std::size_t at) { return seal::get_number<std::uint32_t>(object.data() + at); };
  const auto u64 = [&](std::size_t at) { return seal::get_number<std::uint64_t>(object.data() + at); };
  if (u32(8) != k_version) return fail(Errc::invalid, "a parcel of version " + std::to_string(u32(8)) + "; this program reads version 1");
  Parcel parcel;
  parcel.lane = u32(12);
  parcel.lanes = u32(16);
  const std::uint32_t count = u32(20);
  parcel.span = {u64(24), u64(32), u64(40)};
  if (parcel.lanes == 0 || parcel.lanes > k_most_lanes || parcel.lane == 0 || parcel.lane > parcel.lanes) return broken("its lane");
  if (parcel.span.file == 0 || parcel.span.from >= parcel.span.to) return broken("its span");
  if (count > k_most_pieces || object.size() - k_head < count * k_piece) return broken("its table");
  std::size_t at = k_head + count * k_piece;
  std::uint64_t end = parcel.span.from;
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint64_t offset = u64(k_head + i * k_piece), size = u64(k_head + i * k_piece + 8);
    if (size > object.size() - at || offset < end || offset > parcel.span.to || size > parcel.span.to - offset) return broken("a piece's place");
    parcel.pieces.push_back({offset, object.subspan(at, static_cast<std::size_t>(size))});
    at += static_cast<std::size_t>(size);
    end = offset + size;
  }
  if (at != object.size()) return broken("its length");
  return parcel;
}

std::string node_key(std::string_view node) {
  std::string out;
  for (const char c : node) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || (c == '.' && !out.empty());
    out += plain ? c : '-';
  }
  return out.empty() ? "node" : out;
}

std::string parcel_key(const std::string& node, const Parcel& parcel, const crypto::Hash256& object_hash) {
  return node + "/journal/" + digits(parcel.span.file, 8) + "/" + digits(parcel.span.from, 12) + "-" + digits(parcel.span.to, 12) + "." +
         std::to_string(parcel.lane) + "of" + std::to_string(parcel.lanes) + "." + crypto::to_hex(object_hash).substr(0, 32);
}

std::optional<ParcelKey> parse_parcel_key(std::string_view key) {
  ParcelKey out;
  const std::size_t slash = key.find("/journal/");
  if (slash == std::string_view::npos) return std::nullopt;
  out.node = key.substr(0, slash);
  key.remove_prefix(slash + 9);
  std::uint64_t lane = 0, lanes = 0;
  if (!take_number(key, out.span.file, "/") || !take_number(key, out.span.from, "-") || !take_number(key, out.span.to, ".") || !take_number(key, lane, "of") ||
      !take_number(key, lanes, ".") || key.size() != 32)
    return std::nullopt;
  if (out.span.file == 0 || out.span.from >= out.span.to || lane == 0 || lane > lanes || lanes > k_most_lanes) return std::nullopt;
  out.lane = static_cast<std::uint32_t>(lane);
  out.lanes = static_cast<std::uint32_t>(lanes);
  out.hash = key;
  return out;
}

std::string checkpoint_key(const std::string& node, std::uint64_t size, std::string_view note) {
  return node + "/checkpoints/" + digits(size, 16) + "-" + crypto::to_hex(crypto::sha256(note)).substr(0, 32) + ".note";
}

}  // namespace sallyport::recorder
