#include "platform/seal/ring.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "platform/crypto/crc32c.h"

namespace sallyport::seal {
namespace {

constexpr std::string_view k_magic = "SPRING01";
constexpr std::uint32_t k_ring_version = 1;
constexpr std::size_t k_at_version = 8;
constexpr std::size_t k_at_header_bytes = 12;
constexpr std::size_t k_at_capacity = 16;
constexpr std::size_t k_at_label = 24;
constexpr std::size_t k_at_head = 128;
constexpr std::size_t k_at_tail = 192;
constexpr std::size_t k_at_sleeping = 256;
constexpr std::size_t k_at_want_space = 320;
constexpr std::uint64_t k_commit_key = 0x53616C6C79706F72;
constexpr std::uint64_t k_last_position = std::uint64_t{1} << 62;  ///< centuries of writing away
constexpr std::uint32_t k_pad_bit = 0x80000000U;
/// An empty ring goes back to its beginning once it has moved this far (bytes): small, so that few pages are touched.
constexpr std::uint64_t k_go_back_after = 16 * 1024;

template <class Word>
std::atomic_ref<Word> word_at(std::byte* base, std::size_t offset) noexcept {
  return std::atomic_ref<Word>(*reinterpret_cast<Word*>(base + offset));
}

std::uint64_t slot_bytes_of(std::uint64_t entry_bytes) noexcept {
  return (k_slot_header_bytes + entry_bytes + k_slot_align - 1) / k_slot_align * k_slot_align;
}

std::uint32_t slot_crc(std::uint32_t label_crc, std::uint32_t length, ByteView entry) noexcept {
  std::array<std::byte, 4> length_bytes{};
  put_number(length_bytes.data(), length);
  return crypto::crc32c(entry, crypto::crc32c(length_bytes, label_crc));
}

std::uint32_t crc_of_label(const Label& label) noexcept { return crypto::crc32c(bytes_of(text_of(label))); }

/// The identity that stands in a header page, when it is one that fits the mapping.
std::optional<Label> identity_of(std::span<const std::byte> mapping) {
  if (mapping.size() < k_ring_header_bytes + k_ring_min_capacity) return std::nullopt;
  if (std::memcmp(mapping.data(), k_magic.data(), k_magic.size()) != 0) return std::nullopt;
  if (get_number<std::uint32_t>(mapping.data() + k_at_version) != k_ring_version) return std::nullopt;
  if (get_number<std::uint32_t>(mapping.data() + k_at_header_bytes) != k_ring_header_bytes) return std::nullopt;
  const auto capacity = get_number<std::uint64_t>(mapping.data() + k_at_capacity);
  if (capacity != mapping.size() - k_ring_header_bytes || capacity > k_ring_max_capacity || capacity % 4096 != 0) return std::nullopt;
  return label_of(sallyport::text_of(mapping.subspan(k_at_label, k_label_bytes)));
}

Result<void> allocate(int fd, std::size_t bytes) {
  int error = 0;
  do {
    error = ::posix_fallocate(fd, 0, static_cast<off_t>(bytes));
  } while (error == EINTR);
  if (error != 0) return fail(Errc::unavailable, std::string("allocating a ring: ") + std::strerror(error));
  return {};
}

}  // namespace

Result<Fd> create_ring_file(const std::string& path, const SessionId& session, std::size_t capacity) {
  const auto label = label_of(session.view());
  if (!label) return fail(Errc::invalid, "a ring needs a session label");
  capacity = (capacity + 4095) / 4096 * 4096;
  if (capacity < k_ring_min_capacity || capacity > k_ring_max_capacity) return fail(Errc::invalid, "ring size out of its limits");
  Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return fail(errno == EEXIST ? Errc::conflict : Errc::unavailable, path + ": " + std::strerror(errno));
  std::array<std::byte, k_at_label + k_label_bytes> header{};
  std::copy_n(bytes_of(k_magic).begin(), k_magic.size(), header.begin());
  put_number(header.data() + k_at_version, k_ring_version);
  put_number(header.data() + k_at_header_bytes, static_cast<std::uint32_t>(k_ring_header_bytes));
  put_number(header.data() + k_at_capacity, static_cast<std::uint64_t>(capacity));
  std::copy_n(bytes_of(text_of(*label)).begin(), k_label_bytes, header.begin() + k_at_label);
  auto allocated = allocate(file.get(), k_ring_header_bytes + capacity);
  if (allocated && ::pwrite(file.get(), header.data(), header.size(), 0) != static_cast<ssize_t>(header.size()))
    allocated = fail(Errc::unavailable, path + ": " + std::strerror(errno));
  if (allocated && ::flock(file.get(), LOCK_EX | LOCK_NB) != 0) allocated = fail(Errc::unavailable, path + ": locking: " + std::strerror(errno));
  if (!allocated) {
    ::unlink(path.c_str());
    return tl::unexpected(allocated.error());
  }
  return file;
}

bool is_ring_held(int fd) { return ::flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK; }

Result<RingMapping> RingMapping::map(int fd) {
  struct stat facts {};
  if (::fstat(fd, &facts) != 0) return fail(Errc::corrupt, std::string("ring file: ") + std::strerror(errno));
  const auto size = static_cast<std::size_t>(facts.st_size);
  if (!S_ISREG(facts.st_mode) || size < k_ring_header_bytes + k_ring_min_capacity || size > k_ring_header_bytes + k_ring_max_capacity)
    return fail(Errc::corrupt, "ring file of an impossible size");
  if (static_cast<std::size_t>(facts.st_blocks) * 512 < size) {
    const auto allocated = allocate(fd, size);
    if (!allocated) return fail(Errc::corrupt, "ring file with holes; " + allocated.error().detail);
  }
  void* at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) return fail(Errc::unavailable, std::string("mapping a ring: ") + std::strerror(errno));
  return RingMapping(std::span(static_cast<std::byte*>(at), size));
}

RingMapping::RingMapping(RingMapping&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
RingMapping& RingMapping::operator=(RingMapping&& other) noexcept {
  if (this != &other) {
    if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
    bytes_ = std::exchange(other.bytes_, {});
  }
  return *this;
}
RingMapping::~RingMapping() {
  if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
}
std::span<std::byte> RingMapping::release() noexcept { return std::exchange(bytes_, {}); }

// ---------------------------------------------------------------------------------------------------- producer

Result<RingProducer> RingProducer::adopt(std::span<std::byte> mapping) {
  const auto label = identity_of(mapping);
  if (!label) return fail(Errc::corrupt, "this mapping is not a ring");
  if (word_at<std::uint64_t>(mapping.data(), k_at_head).load() != 0 || word_at<std::uint64_t>(mapping.data(), k_at_tail).load() != 0)
    return fail(Errc::conflict, "this ring was used before");
  RingProducer producer;
  producer.base_ = mapping.data();
  producer.capacity_ = mapping.size() - k_ring_header_bytes;
  producer.label_ = *label;
  producer.label_crc_ = crc_of_label(*label);
  return producer;
}

SessionId RingProducer::session() const { return SessionId(std::string(text_of(label_))); }

void RingProducer::load_tail() noexcept {
  const std::uint64_t tail = word_at<std::uint64_t>(base_, k_at_tail).load(std::memory_order_seq_cst);
  if (tail < tail_ || tail > head_ || tail % k_slot_align != 0) {
    sound_ = false;
    return;
  }
  tail_ = tail;
}

bool RingProducer::fits(std::uint64_t slot_bytes, std::uint64_t& pad, bool small_and_rare) const noexcept {
  const std::uint64_t offset = head_ % capacity_;
  const std::uint64_t rest = capacity_ - offset;
  const bool go_back = small_and_rare && head_ == tail_ && offset >= k_go_back_after;
  pad = rest < slot_bytes || go_back ? rest : 0;
  return head_ + pad + slot_bytes - tail_ <= capacity_;
}

std::size_t RingProducer::room() noexcept {
  load_tail();
  if (!sound_) return 0;
  const std::uint64_t free = capacity_ - (head_ - tail_);
  const std::uint64_t rest = capacity_ - head_ % capacity_;
  const std::uint64_t best = free <= rest ? free : std::max(rest, free - rest);
  const std::uint64_t bytes = best > k_slot_header_bytes ? best - k_slot_header_bytes : 0;
  return static_cast<std::size_t>(std::min<std::uint64_t>(bytes, k_max_entry));
}

std::span<std::byte> RingProducer::reserve(std::size_t bytes, bool small_and_rare) noexcept {
  reserved_bytes_ = 0;
  if (bytes == 0 || bytes > k_max_entry || !sound_) return {};
  const std::uint64_t slot = slot_bytes_of(bytes);
  std::uint64_t pad = 0;
  if (small_and_rare || !fits(slot, pad, false)) load_tail();
  bool fit = sound_ && fits(slot, pad, small_and_rare);
  if (!fit && sound_) {
    // Ask for space, then look once more: with the recorder's store of tail and load of want_space one side sees the other.
    auto want_space = word_at<std::uint32_t>(base_, k_at_want_space);
    want_space.store(1, std::memory_order_seq_cst);
    load_tail();
    fit = sound_ && fits(slot, pad, false);
    if (!fit) {
      // Rung and not yet answered: whoever frees up to there sees want_space.
      if (!holding_ && tail_ >= rung_at_) bell_ = true;
      holding_ = true;
      return {};
    }
    want_space.store(0, std::memory_order_seq_cst);
  }
  if (!fit) return {};
  holding_ = false;
  reserved_pad_ = pad;
  reserved_bytes_ = static_cast<std::uint32_t>(bytes);
  const std::uint64_t at = (head_ + pad) % capacity_;
  return {base_ + k_ring_header_bytes + at + k_slot_header_bytes, bytes};
}

void RingProducer::commit() noexcept {
  if (reserved_bytes_ == 0) return;
  std::byte* const data = base_ + k_ring_header_bytes;
  if (reserved_pad_ > 0) {
    const std::uint64_t at = head_ % capacity_;
    put_number(data + at + 8, k_pad_bit | static_cast<std::uint32_t>(reserved_pad_));
    put_number(data + at + 12, std::uint32_t{0});
    word_at<std::uint64_t>(data, at).store(head_ ^ k_commit_key, std::memory_order_release);
    head_ += reserved_pad_;
  }
  const std::uint64_t at = head_ % capacity_;
  const ByteView entry(data + at + k_slot_header_bytes, reserved_bytes_);
  put_number(data + at + 8, reserved_bytes_);
  put_number(data + at + 12, slot_crc(label_crc_, reserved_bytes_, entry));
  word_at<std::uint64_t>(data, at).store(head_ ^ k_commit_key, std::memory_order_release);
  head_ += slot_bytes_of(reserved_bytes_);
  reserved_bytes_ = 0;
  word_at<std::uint64_t>(base_, k_at_head).store(head_, std::memory_order_seq_cst);

  auto sleeping = word_at<std::uint32_t>(base_, k_at_sleeping);
  if (sleeping.load(std::memory_order_seq_cst) != 0 && sleeping.exchange(0, std::memory_order_seq_cst) != 0) bell_ = true;
  const std::uint64_t half = capacity_ / 2;
  if (head_ - tail_ > half && head_ / half != last_half_) {
    load_tail();
    // Whoever heard the last bell frees what stood there then; until it did, another one would tell it nothing new.
    if (head_ - tail_ > half && tail_ >= rung_at_) {
      last_half_ = head_ / half;
      bell_ = true;
    }
  }
}

bool RingProducer::bell_needed() noexcept {
  if (!std::exchange(bell_, false)) return false;
  rung_at_ = head_;
  return true;
}

// ---------------------------------------------------------------------------------------------------- consumer

Result<RingConsumer> RingConsumer::adopt(std::span<std::byte> mapping, const SessionId& session, std::uint64_t position) {
  const auto label = identity_of(mapping);
  if (!label) return fail(Errc::corrupt, "no ring");
  if (text_of(*label) != session.view()) return fail(Errc::corrupt, "the ring of another session");
  if (position % k_slot_align != 0 || position > k_last_position) return fail(Errc::corrupt, "impossible ring position");
  RingConsumer consumer;
  consumer.base_ = mapping.data();
  consumer.capacity_ = mapping.size() - k_ring_header_bytes;
  consumer.label_crc_ = crc_of_label(*label);
  consumer.position_ = position;
  return consumer;
}

RingConsumer::Next RingConsumer::next(Bytes& out) {
  std::byte* const data = base_ + k_ring_header_bytes;
  std::uint64_t position = position_;
  for (int slots = 0; slots < 2; ++slots) {  // at most one pad stands before an entry
    const std::uint64_t at = position % capacity_;
    const std::uint64_t rest = capacity_ - at;
    if (word_at<std::uint64_t>(data, at).load(std::memory_order_acquire) != (position ^ k_commit_key)) return Next::nothing;
    const std::uint32_t length = word_at<std::uint32_t>(data, at + 8).load(std::memory_order_relaxed);
    const std::uint32_t crc = word_at<std::uint32_t>(data, at + 12).load(std::memory_order_relaxed);
    if ((length & k_pad_bit) != 0) {
      if ((length & ~k_pad_bit) != rest || slots > 0) {
        trouble_ = "a pad that does not fill its lap";
        return Next::broken;
      }
      position += rest;
      continue;
    }
    if (length < k_entry_overhead || length > k_max_entry || slot_bytes_of(length) > rest) {
      trouble_ = "an entry of an impossible length";
      return Next::broken;
    }
    const std::size_t before = out.size();
    const std::byte* const entry = data + at + k_slot_header_bytes;
    out.insert(out.end(), entry, entry + length);
    if (slot_crc(label_crc_, length, ByteView(out).subspan(before)) != crc) {
      out.resize(before);
      trouble_ = "an entry whose check does not hold";
      return Next::broken;
    }
    position_ = position + slot_bytes_of(length);
    return Next::entry;
  }
  trouble_ = "two pads in a row";
  return Next::broken;
}

void RingConsumer::free_up_to(std::uint64_t position) noexcept {
  word_at<std::uint64_t>(base_, k_at_tail).store(position, std::memory_order_seq_cst);
}

bool RingConsumer::take_want_space() noexcept {
  auto want_space = word_at<std::uint32_t>(base_, k_at_want_space);
  return want_space.load(std::memory_order_seq_cst) != 0 && want_space.exchange(0, std::memory_order_seq_cst) != 0;
}

std::uint64_t RingConsumer::head_hint() const noexcept {
  return word_at<std::uint64_t>(base_, k_at_head).load(std::memory_order_seq_cst);
}
bool RingConsumer::has_news() const noexcept { return head_hint() != position_; }

bool RingConsumer::go_to_sleep() noexcept {
  auto sleeping = word_at<std::uint32_t>(base_, k_at_sleeping);
  sleeping.store(1, std::memory_order_seq_cst);
  if (!has_news()) return true;
  sleeping.store(0, std::memory_order_seq_cst);
  return false;
}

void RingConsumer::wake_up() noexcept { word_at<std::uint32_t>(base_, k_at_sleeping).store(0, std::memory_order_seq_cst); }

}  // namespace sallyport::seal
