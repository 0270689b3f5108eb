#include "policy/authority/dialer.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

namespace sallyport::authority {
namespace {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

SocketAddress socket_address(const IpAddress& address, std::uint16_t port) {
  SocketAddress made;
  if (address.is_v4()) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&made.storage);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    std::memcpy(&v4->sin_addr, address.bytes().data(), 4);
    made.size = sizeof(sockaddr_in);
  } else {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&made.storage);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    std::memcpy(&v6->sin6_addr, address.bytes().data(), 16);
    made.size = sizeof(sockaddr_in6);
  }
  return made;
}

std::optional<IpAddress> ip_of(const sockaddr* address) {
  if (address == nullptr) return std::nullopt;
  if (address->sa_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(address);
    return IpAddress::from_bytes({reinterpret_cast<const char*>(&v4->sin_addr), 4});
  }
  if (address->sa_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(address);
    return IpAddress::from_bytes({reinterpret_cast<const char*>(&v6->sin6_addr), 16});
  }
  return std::nullopt;
}

std::vector<IpAddress> resolve(const std::string& host) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  std::vector<IpAddress> addresses;
  if (getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return addresses;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next)
    if (const auto address = ip_of(one->ai_addr); address && std::find(addresses.begin(), addresses.end(), *address) == addresses.end())
      addresses.push_back(*address);
  freeaddrinfo(found);
  return addresses;
}

DialFailure failure_of(int error) {
  switch (error) {
    case ECONNREFUSED: return {"SP-3002", std::strerror(error)};
    case ETIMEDOUT: return {"SP-3001", std::strerror(error)};
    default: return {"SP-3003", std::strerror(error)};
  }
}

/// One dial. Kept alive by the operations that are pending.
class Dial : public std::enable_shared_from_this<Dial> {
 public:
  Dial(boost::asio::io_context& io, Deadlines& deadlines, DialPlan plan, std::function<void(DialResult)> done)
      : io_(io), deadlines_(deadlines), plan_(std::move(plan)), done_(std::move(done)) {}

  void start(Workers& resolving) {
    left_ = plan_.deadline;
    deadline_ = deadlines_.after(plan_.deadline, [self = shared_from_this()] {
      self->deadline_ = 0;
      self->finish(tl::unexpected(DialFailure{"SP-3001", self->last_ ? self->last_->why : "no answer within the deadline"}));
    });
    if (const auto numeric = IpAddress::parse(plan_.host)) {
      addresses_ = {*numeric};
      try_next();
      return;
    }
    auto found = std::make_shared<std::vector<IpAddress>>();
    const bool queued = resolving.post([found, host = plan_.host] { *found = resolve(host); },
                                       [self = shared_from_this(), found] {
                                         self->addresses_ = std::move(*found);
                                         if (self->addresses_.empty())
                                           self->last_ = DialFailure{"SP-3004", "the name " + self->plan_.host + " has no address"};
                                         self->try_next();
                                       });
    if (!queued) finish(tl::unexpected(DialFailure{"SP-3004", "too many names wait to be resolved"}));
  }

 private:
  void try_next() {
    while (done_) {
      if (next_ >= addresses_.size()) {
        finish(tl::unexpected(last_.value_or(DialFailure{"SP-3004", "no address"})));
        return;
      }
      const IpAddress address = addresses_[next_++];
      if (plan_.judge) {
        if (auto refused = plan_.judge(address)) {
          if (!last_) last_ = std::move(*refused);
          continue;
        }
      }
      if (connect(address)) return;
    }
  }

  /// False: it failed at once, try the next one.
  bool connect(const IpAddress& address) {
    Fd socket(::socket(address.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!socket) {
      last_ = failure_of(errno);
      return false;
    }
    const int on = 1;
    setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(socket.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    const SocketAddress to = socket_address(address, plan_.port);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to.storage), to.size) == 0) {
      connected(std::move(socket), address);
      return true;
    }
    if (errno != EINPROGRESS) {
      last_ = failure_of(errno);
      return false;
    }
    // A near target has answered before the call is over: no turn of the loop for it.
    pollfd answered{socket.get(), POLLOUT, 0};
    if (::poll(&answered, 1, 0) == 1 && (answered.revents & (POLLERR | POLLHUP)) == 0) {
      connected(std::move(socket), address);
      return true;
    }
    ready_ = std::make_unique<boost::asio::posix::stream_descriptor>(io_, socket.release());
    ready_->async_wait(boost::asio::posix::stream_descriptor::wait_write,
                       [self = shared_from_this(), address](const boost::system::error_code& error) { self->on_ready(error, address); });
    const auto tries_left = static_cast<int>(addresses_.size() - next_) + 1;
    if (tries_left > 1) {
      share_ = deadlines_.after(left_ / tries_left, [self = shared_from_this()] {
        self->share_ = 0;
        self->last_ = DialFailure{"SP-3001", "no answer"};
        self->drop();
        self->try_next();
      });
    }
    return true;
  }

  void on_ready(const boost::system::error_code& error, const IpAddress& address) {
    if (error || !done_ || !ready_) return;
    deadlines_.cancel(share_);
    int failed = 0;
    socklen_t size = sizeof failed;
    getsockopt(ready_->native_handle(), SOL_SOCKET, SO_ERROR, &failed, &size);
    Fd socket(ready_->release());
    ready_.reset();
    if (failed != 0) {
      last_ = failure_of(failed);
      try_next();
      return;
    }
    connected(std::move(socket), address);
  }

  void connected(Fd socket, const IpAddress& address) {
    Dialled made;
    sockaddr_storage local{};
    socklen_t size = sizeof local;
    if (getsockname(socket.get(), reinterpret_cast<sockaddr*>(&local), &size) == 0)
      made.local = ip_of(reinterpret_cast<sockaddr*>(&local)).value_or(IpAddress());
    made.socket = std::move(socket);
    made.address = address;
    made.port = plan_.port;
    finish(std::move(made));
  }

  void drop() {
    if (!ready_) return;
    boost::system::error_code ignored;
    ready_->close(ignored);
    ready_.reset();
  }

  void finish(DialResult result) {
    if (!done_) return;
    const auto self = shared_from_this();
    deadlines_.cancel(deadline_);
    deadlines_.cancel(share_);
    drop();
    const auto done = std::exchange(done_, nullptr);
    done(std::move(result));
  }

  boost::asio::io_context& io_;
  Deadlines& deadlines_;
  DialPlan plan_;
  std::function<void(DialResult)> done_;
  std::vector<IpAddress> addresses_;
  std::size_t next_ = 0;
  std::optional<DialFailure> last_;
  std::unique_ptr<boost::asio::posix::stream_descriptor> ready_;
  std::chrono::milliseconds left_{0};
  Deadlines::Handle deadline_ = 0;
  Deadlines::Handle share_ = 0;
};

}  // namespace

void dial(boost::asio::io_context& io, Deadlines& deadlines, Workers& resolving, DialPlan plan, std::function<void(DialResult)> done) {
  std::make_shared<Dial>(io, deadlines, std::move(plan), std::move(done))->start(resolving);
}

std::vector<IpAddress> own_addresses() {
  std::vector<IpAddress> addresses;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return addresses;
  for (const ifaddrs* one = list; one != nullptr; one = one->ifa_next)
    if (const auto address = ip_of(one->ifa_addr)) addresses.push_back(*address);
  freeifaddrs(list);
  return addresses;
}

}  // namespace sallyport::authority
