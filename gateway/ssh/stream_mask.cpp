#include "gateway/ssh/stream_mask.h"

#include <algorithm>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace sallyport::gateway {
namespace {

using Why = seal::MaskSet::Span::Why;

constexpr std::size_t k_before = seal::k_mask_window - 1;
constexpr std::size_t k_most_held = 64;          ///< pieces; more are given up as if they were values
constexpr std::size_t k_tail = 40;
constexpr std::size_t k_longest_key = 32 * 1024; ///< of a private key block
constexpr int k_access_key = 40;
constexpr int k_longest_skip = 12;

bool is_base64(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' || c == '+' || c == '='; }

#if defined(__x86_64__)
__attribute__((target("avx2"))) __m256i lower_case(const unsigned char* data) {
  return _mm256_or_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(data)), _mm256_set1_epi8(0x20));
}

/// Which of the 32 bytes here begin a "key".
__attribute__((target("avx2"))) __m256i keys_at(const unsigned char* data) {
  const __m256i k = _mm256_cmpeq_epi8(lower_case(data), _mm256_set1_epi8('k'));
  const __m256i e = _mm256_cmpeq_epi8(lower_case(data + 1), _mm256_set1_epi8('e'));
  const __m256i y = _mm256_cmpeq_epi8(lower_case(data + 2), _mm256_set1_epi8('y'));
  return _mm256_and_si256(_mm256_and_si256(k, e), y);
}

/// Passes over the blocks of 64 bytes in which none begins, as long as two more bytes follow the block.
__attribute__((target("avx2"))) std::size_t skip_blocks_avx2(const unsigned char* data, std::size_t from, std::size_t size) {
  for (; from + 64 + 2 <= size; from += 64) {
    const __m256i any = _mm256_or_si256(keys_at(data + from), keys_at(data + from + 32));
    if (_mm256_testz_si256(any, any) == 0) break;
  }
  return from;
}
#endif

/// Where the next "key" begins in any case; bytes.size() when there is none. Written for the compiler's vectors: bulk passes here.
std::size_t find_key(ByteView bytes, std::size_t from) {
  constexpr std::size_t k_block = 64;
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  const auto is_key = [data](std::size_t at) {
    return static_cast<unsigned char>(((data[at] | 0x20) == 'k') & ((data[at + 1] | 0x20) == 'e') & ((data[at + 2] | 0x20) == 'y'));
  };
#if defined(__x86_64__)
  static const bool has_avx2 = __builtin_cpu_supports("avx2") != 0;
  if (has_avx2) from = skip_blocks_avx2(data, from, bytes.size());
#endif
  for (; from + k_block + 2 <= bytes.size(); from += k_block) {
    unsigned char any = 0;
    for (std::size_t i = 0; i < k_block; ++i) any = static_cast<unsigned char>(any | is_key(from + i));
    if (any != 0) break;
  }
  for (; from + 2 < bytes.size(); ++from)
    if (is_key(from) != 0) return from;
  return bytes.size();
}

/// Past the end of every trigger that begins with "key": the five dashes, and one.
constexpr std::size_t k_trigger = 9;

}  // namespace

void StreamMask::remember(ByteView bytes) {
  for (const std::byte b : bytes.last(std::min(bytes.size(), k_tail))) {
    const char c = static_cast<char>(b);
    tail_ += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  }
  if (tail_.size() > 2 * k_tail) tail_.erase(0, tail_.size() - k_tail);
}

/// Private key blocks (RFC 7468) and AWS secret access keys behind their usual names. `why` stays empty when there are none.
void StreamMask::mark_patterns(ByteView bytes, std::vector<std::uint8_t>& why) {
  const auto mark = [&](std::size_t at, Why reason) {
    if (why.empty()) why.resize(bytes.size());
    why[at] = static_cast<std::uint8_t>(reason);
  };
  std::size_t near_until = k_trigger;  // one that began in the bytes before may end here
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i >= near_until && !in_key_ && access_left_ == 0 && access_skip_ < 0) {
      const std::size_t next = find_key(bytes, i - (k_trigger - 1));  // its first letters may have been looked at
      if (next > i) remember(bytes.subspan(i, next - i));
      if (next == bytes.size()) return;
      i = std::max(i, next);
      near_until = next + k_trigger;
    }
    const char c = static_cast<char>(bytes[i]);
    if (in_key_) {
      dashes_ = c == '-' ? dashes_ + 1 : 0;
      if (dashes_ == 5 || ++key_bytes_ > k_longest_key) in_key_ = false;
      else if (c != '-' && c != '\r' && c != '\n') mark(i, Why::private_key);
      continue;
    }
    if (access_left_ > 0) {
      if (is_base64(c)) {
        mark(i, Why::access_key);
        --access_left_;
        continue;
      }
      access_left_ = 0;
    } else if (access_skip_ >= 0) {
      if (c == '=' || c == ':') access_assigned_ = true;
      if (is_base64(c) && c != '=' && access_assigned_) {
        mark(i, Why::access_key);
        access_left_ = k_access_key - 1;
        access_skip_ = -1;
        continue;
      }
      const bool between = c == ' ' || c == '\t' || c == '"' || c == '\'' || c == '=' || c == ':';
      if (!between || ++access_skip_ > k_longest_skip) access_skip_ = -1;
    }
    remember(bytes.subspan(i, 1));
    const std::string_view tail = std::string_view(tail_).substr(tail_.size() - std::min(tail_.size(), k_tail));
    if (c == '-' && tail.ends_with("private key-----") && tail.find("-----begin ") != std::string_view::npos) {
      in_key_ = true;
      key_bytes_ = 0;
      dashes_ = 0;
      tail_.clear();
    } else if ((c == 'y' || c == 'Y') && (tail.ends_with("secret_access_key") || tail.ends_with("secretaccesskey"))) {
      access_skip_ = 0;
      access_assigned_ = false;
    }
  }
}

bool StreamMask::plan(const seal::MaskSet& set, ByteView data, bool patterns, std::uint64_t offset) {
  offset_ = offset;
  std::vector<std::uint8_t> marked;
  if (patterns) mark_patterns(data, marked);
  if (set.empty() && held_.empty() && marked.empty()) {
    pass(data);
    return steps_.empty();
  }
  // What is written, what is held, what came now: as one.
  Bytes all = before_;
  const std::size_t held_at = all.size();
  for (const Held& piece : held_) all.insert(all.end(), piece.bytes.begin(), piece.bytes.end());
  const std::size_t data_at = all.size();
  all.insert(all.end(), data.begin(), data.end());
  std::vector<seal::MaskSet::Span> spans;
  std::size_t open = set.empty() ? all.size() : set.scan(all, spans);
  for (const auto& span : spans)
    if (span.begin <= open && open < span.begin + span.length) open = span.begin + span.length;
  std::vector<std::uint8_t> why(all.size(), 0);
  for (const auto& span : spans)
    for (std::size_t i = span.begin; i < span.begin + span.length; ++i) why[i] = static_cast<std::uint8_t>(span.why);
  {
    std::size_t at = held_at;
    for (const Held& piece : held_)
      for (const std::uint8_t mark : piece.marks) {
        if (why[at] == 0) why[at] = mark;
        ++at;
      }
  }
  for (std::size_t i = 0; i < marked.size(); ++i)
    if (marked[i] != 0 && why[data_at + i] == 0) why[data_at + i] = marked[i];
  // A piece is settled as a whole or not yet.
  std::size_t begin = held_at, settled = 0;
  for (const Held& piece : held_) {
    const std::size_t end = begin + piece.bytes.size();
    const bool give_up = held_.size() - settled > k_most_held;
    if (end > open && !give_up) break;
    std::uint8_t reason = give_up && end > open ? static_cast<std::uint8_t>(Why::lent_value) : 0;
    Bytes written = piece.bytes;
    for (std::size_t i = begin; i < end; ++i) {
      if (why[i] == 0 && !(give_up && end > open)) continue;
      if (why[i] != 0) reason = why[i];
      written[i - begin] = std::byte{'*'};
    }
    if (reason == 0) steps_.push_back({Step::Kind::reveal, piece.offset, piece.bytes.size(), 0, {}});
    else steps_.push_back({Step::Kind::drop, piece.offset, piece.bytes.size(), reason, std::move(written)});
    begin = end;
    ++settled;
  }
  held_.erase(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(settled));
  // Data behind a held piece must wait with it, so that what is written stays in order.
  const std::size_t clear_end = held_.empty() ? std::max(open, data_at) : data_at;
  if (clear_end > data_at) {
    Bytes written(all.begin() + static_cast<std::ptrdiff_t>(data_at), all.begin() + static_cast<std::ptrdiff_t>(clear_end));
    std::vector<Step> notes;
    for (std::size_t i = 0; i < written.size(); ++i) {
      const std::uint8_t reason = why[data_at + i];
      if (reason == 0) continue;
      written[i] = std::byte{'*'};
      const std::uint64_t at = offset_ + i;
      if (!notes.empty() && notes.back().why == reason && notes.back().offset + notes.back().length == at) ++notes.back().length;
      else notes.push_back({Step::Kind::note, at, 1, reason, {}});
    }
    steps_.push_back({Step::Kind::clear, offset_, written.size(), 0, std::move(written)});
    for (Step& note : notes) steps_.push_back(std::move(note));
  }
  if (clear_end < all.size()) {
    Bytes rest(all.begin() + static_cast<std::ptrdiff_t>(clear_end), all.end());
    const std::uint64_t at = offset_ + (clear_end - data_at);
    steps_.push_back({Step::Kind::hold, at, rest.size(), 0, rest});
    held_.push_back({at, std::move(rest), {why.begin() + static_cast<std::ptrdiff_t>(clear_end), why.end()}});
  }
  offset_ += data.size();
  // The last bytes before what is held now.
  const std::size_t final_end = held_.empty() ? all.size() : begin < data_at ? begin : clear_end;
  const std::size_t keep = std::min(final_end, k_before);
  before_.assign(all.begin() + static_cast<std::ptrdiff_t>(final_end - keep), all.begin() + static_cast<std::ptrdiff_t>(final_end));
  return false;
}

void StreamMask::keep(ByteView data) { steps_.push_back({Step::Kind::clear, offset_ - data.size(), data.size(), 0, copy_of(data)}); }

void StreamMask::pass(ByteView data) {
  offset_ += data.size();
  if (!steps_.empty()) keep(data);
  const ByteView last = data.last(std::min(data.size(), k_before));
  before_.insert(before_.end(), last.begin(), last.end());
  if (before_.size() > k_before) before_.erase(before_.begin(), before_.end() - static_cast<std::ptrdiff_t>(k_before));
}

void StreamMask::finish() {
  for (const Held& piece : held_) steps_.push_back({Step::Kind::reveal, piece.offset, piece.bytes.size(), 0, {}});
  held_.clear();
}

}  // namespace sallyport::gateway
