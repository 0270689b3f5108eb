#include "platform/control/link.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>

namespace sallyport::control {
namespace {

constexpr std::size_t k_inline_limit = k_max_packet - 1024;
constexpr std::string_view k_version_field = "\x08\x01";  // Envelope.version in protobuf's encoding
static_assert(k_version == 1);

std::string errno_text(const char* what) { return std::string(what) + ": " + std::strerror(errno); }

Result<Fd> sealed_memfd(const std::string& bytes) {
  Fd file(memfd_create("sallyport-message", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file) return fail(Errc::internal, errno_text("memfd_create"));
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::write(file.get(), bytes.data() + done, bytes.size() - done);
    if (n <= 0) return fail(Errc::internal, errno_text("writing a control message"));
    done += static_cast<std::size_t>(n);
  }
  if (fcntl(file.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0)
    return fail(Errc::internal, errno_text("sealing a control message"));
  return file;
}

Result<std::string> read_memfd(const Fd& file, std::size_t size) {
  if (size > k_max_oversize) return fail(Errc::corrupt, "oversize control message above its limit");
  const int seals = fcntl(file.get(), F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_WRITE) == 0 || (seals & F_SEAL_SHRINK) == 0)
    return fail(Errc::corrupt, "oversize control message is not sealed");
  std::string bytes(size, '\0');
  std::size_t done = 0;
  while (done < size) {
    const ssize_t n = ::pread(file.get(), bytes.data() + done, size - done, static_cast<off_t>(done));
    if (n <= 0) return fail(Errc::corrupt, "oversize control message is shorter than announced");
    done += static_cast<std::size_t>(n);
  }
  return bytes;
}

}  // namespace

Link::Link(Fd socket) : socket_(std::move(socket)) {}

Result<std::pair<Fd, Fd>> Link::make_pair() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
    return fail(Errc::unavailable, errno_text("socketpair"));
  return std::pair{Fd(ends[0]), Fd(ends[1])};
}

Result<void> Link::send(const Envelope& envelope, std::span<const int> descriptors) {
  if (!socket_) return fail(Errc::cancelled, "control link is closed");
  if (descriptors.size() > k_max_descriptors - 1) return fail(Errc::internal, "too many descriptors in a control message");
  // The version is one more field at the end (the last one counts), so that nobody copies a message to set it.
  std::string bytes;
  if (!envelope.AppendToString(&bytes)) return fail(Errc::internal, "control message cannot be encoded");
  bytes += k_version_field;
  std::array<int, k_max_descriptors> handed{};
  std::size_t count = descriptors.size();
  std::copy(descriptors.begin(), descriptors.end(), handed.begin());
  Fd memfd;
  if (bytes.size() > k_inline_limit) {
    if (bytes.size() > k_max_oversize) return fail(Errc::invalid, "control message above 16 MiB");
    auto file = sealed_memfd(bytes);
    if (!file) return tl::unexpected(file.error());
    memfd = std::move(*file);
    handed[count++] = memfd.get();
    Envelope outer;
    outer.set_version(k_version);
    outer.set_oversize(bytes.size());
    if (!outer.SerializeToString(&bytes)) return fail(Errc::internal, "control message cannot be encoded");
  }
  iovec part{bytes.data(), bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(k_max_descriptors * sizeof(int))> ancillary{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (count > 0) {
    message.msg_control = ancillary.data();
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    std::memcpy(CMSG_DATA(header), handed.data(), count * sizeof(int));
  }
  for (;;) {
    if (::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return {};
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || errno == ETOOMANYREFS)
      return fail(Errc::unavailable, "control link is full");
    if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN) return fail(Errc::cancelled, "the peer process is gone");
    return fail(Errc::internal, errno_text("sendmsg"));
  }
}

Result<std::optional<Received>> Link::receive() {
  if (!kept_.empty()) {
    Received first = std::move(kept_.front());
    kept_.erase(kept_.begin());
    return std::optional<Received>(std::move(first));
  }
  return receive_from_socket();
}

Result<std::optional<Received>> Link::receive_from_socket() {
  if (!socket_) return fail(Errc::cancelled, "control link is closed");
  thread_local std::array<char, k_max_packet> buffer;
  iovec part{buffer.data(), buffer.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(k_max_descriptors * sizeof(int))> ancillary{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = ancillary.data();
  message.msg_controllen = ancillary.size();
  ssize_t size = 0;
  do {
    size = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  if (size < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) return std::optional<Received>{};
    return fail(Errc::cancelled, errno_text("recvmsg"));
  }
  Received received;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int descriptor = -1;
      std::memcpy(&descriptor, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      received.descriptors.emplace_back(descriptor);
    }
  }
  if (size == 0) return fail(Errc::cancelled, "the peer process closed the control link");
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) return fail(Errc::corrupt, "truncated control message");
  if (!received.envelope.ParseFromArray(buffer.data(), static_cast<int>(size)))
    return fail(Errc::corrupt, "control message cannot be decoded");
  OPENSSL_cleanse(buffer.data(), static_cast<std::size_t>(size));
  if (received.envelope.oversize() > 0) {
    if (received.descriptors.empty()) return fail(Errc::corrupt, "oversize control message without its file");
    const Fd file = std::move(received.descriptors.back());
    received.descriptors.pop_back();
    auto bytes = read_memfd(file, received.envelope.oversize());
    if (!bytes) return tl::unexpected(bytes.error());
    received.envelope.Clear();
    if (!received.envelope.ParseFromString(*bytes) || received.envelope.oversize() > 0)
      return fail(Errc::corrupt, "oversize control message cannot be decoded");
  }
  if (received.envelope.version() == 0 || received.envelope.version() > k_version)
    return fail(Errc::corrupt, "control message of an unknown version");
  return std::optional<Received>(std::move(received));
}

Result<Received> Link::call_blocking(Envelope question, std::chrono::milliseconds deadline, std::span<const int> descriptors) {
  const std::uint64_t call = next_call();
  question.set_call(call);
  const auto until = std::chrono::steady_clock::now() + deadline;
  for (;;) {
    auto sent = send(question, descriptors);
    if (sent) break;
    if (sent.error().code != Errc::unavailable || std::chrono::steady_clock::now() >= until) return tl::unexpected(sent.error());
    pollfd waiting{socket_.get(), POLLOUT, 0};
    ::poll(&waiting, 1, 10);
  }
  for (;;) {
    auto received = receive_from_socket();
    if (!received) return tl::unexpected(received.error());
    if (*received) {
      if ((*received)->envelope.reply() && (*received)->envelope.call() == call) {
        if ((*received)->envelope.has_failure()) return tl::unexpected(error_of((*received)->envelope.failure()));
        return std::move(**received);
      }
      if (kept_.size() >= 64) return fail(Errc::corrupt, "too many unasked control messages");
      kept_.push_back(std::move(**received));
      continue;
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    if (left.count() <= 0) return fail(Errc::unavailable, "no answer within the deadline");
    pollfd waiting{socket_.get(), POLLIN, 0};
    if (::poll(&waiting, 1, static_cast<int>(std::min<std::int64_t>(left.count(), 60'000))) < 0 && errno != EINTR)
      return fail(Errc::internal, errno_text("poll"));
  }
}

Envelope reply_to(const Envelope& question) {
  Envelope answer;
  answer.set_call(question.call());
  answer.set_reply(true);
  return answer;
}

Envelope failure_reply(const Envelope& question, const Error& error) {
  Envelope answer = reply_to(question);
  answer.mutable_failure()->set_errc(static_cast<std::uint32_t>(error.code));
  answer.mutable_failure()->set_detail(error.detail);
  return answer;
}

Error error_of(const Failure& failure) {
  const auto raw = failure.errc();
  const bool known = raw >= static_cast<std::uint32_t>(Errc::not_found) && raw <= static_cast<std::uint32_t>(Errc::internal);
  return Error{known ? static_cast<Errc>(raw) : Errc::internal, failure.detail()};
}

}  // namespace sallyport::control
