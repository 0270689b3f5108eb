#include "gateway/listener/saved_state.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "platform/crypto/ssh_wire.h"

namespace sallyport::gateway {
namespace {

constexpr std::uint32_t k_format = 1;
constexpr off_t k_max_state = 64 * 1024 * 1024;

using crypto::SshReader;
using crypto::SshWriter;

void put_number(SshWriter& out, std::int64_t value) { out.u64(static_cast<std::uint64_t>(value)); }
std::int64_t number(SshReader& in) { return static_cast<std::int64_t>(in.u64()); }

void put_address(SshWriter& out, const IpAddress& address) {
  out.string(std::as_bytes(std::span(address.bytes()).first(address.is_v4() ? 4 : 16)));
}

IpAddress address(SshReader& in) {
  const auto value = IpAddress::from_bytes(in.text());
  if (!value) in.refuse();
  return value.value_or(IpAddress{});
}

void put_endpoint(SshWriter& out, const Endpoint& endpoint) {
  put_address(out, endpoint.address);
  out.u32(endpoint.port);
}

Endpoint endpoint(SshReader& in) {
  const IpAddress where = address(in);
  return Endpoint{where, static_cast<std::uint16_t>(in.u32())};
}

/// Calls `item` as often as the count in front says; a count that cannot be makes the reader fail and ends the loop.
template <class Item>
void for_each_item(SshReader& in, Item item) {
  for (std::uint32_t left = in.u32(); left > 0 && in.ok(); --left) item();
}

template <class List, class Item>
void put_list(SshWriter& out, const List& list, Item item) {
  out.u32(static_cast<std::uint32_t>(list.size()));
  for (const auto& one : list) item(one);
}

void put_jump(SshWriter& out, const JumpRecord& jump) {
  out.string(jump.outer_session).string(jump.target).u32(jump.port).u64(jump.call);
  put_list(out, jump.host_certificates, [&](const Bytes& blob) { out.string(blob); });
}

JumpRecord jump(SshReader& in) {
  JumpRecord record;
  record.outer_session = in.text();
  record.target = in.text();
  record.port = static_cast<std::uint16_t>(in.u32());
  record.call = in.u64();
  for_each_item(in, [&] { record.host_certificates.push_back(copy_of(in.string())); });
  return record;
}

void put_waiting(SshWriter& out, const WaitingRecord& one) {
  out.u64(one.ticket);
  put_number(out, one.client);
  put_endpoint(out, one.peer);
  put_endpoint(out, one.local);
  put_number(out, one.not_before.count());
  put_number(out, one.deadline.count());
  out.boolean(one.reads_proxy).string(one.proxy_bytes).boolean(one.jump.has_value());
  if (one.jump) put_jump(out, *one.jump);
}

WaitingRecord waiting(SshReader& in) {
  WaitingRecord one;
  one.ticket = in.u64();
  one.client = static_cast<int>(number(in));
  one.peer = endpoint(in);
  one.local = endpoint(in);
  one.not_before = Moment(number(in));
  one.deadline = Moment(number(in));
  one.reads_proxy = in.boolean();
  one.proxy_bytes = in.text();
  if (in.boolean()) one.jump = jump(in);
  return one;
}

void put_child(SshWriter& out, const ChildRecord& child) {
  put_number(out, child.pid);
  out.string(child.session).u64(child.ticket);
  put_endpoint(out, child.peer);
  put_endpoint(out, child.local);
  out.string(child.outer_session).boolean(child.proven).string(child.killed_for);
}

ChildRecord child(SshReader& in) {
  ChildRecord record;
  record.pid = static_cast<std::int32_t>(number(in));
  record.session = in.text();
  record.ticket = in.u64();
  record.peer = endpoint(in);
  record.local = endpoint(in);
  record.outer_session = in.text();
  record.proven = in.boolean();
  record.killed_for = in.text();
  return record;
}

}  // namespace

Bytes encode(const SavedState& state) {
  SshWriter out;
  out.u32(k_format).string(state.settings);
  put_number(out, state.authority);
  out.u64(state.last_ticket).u64(state.generation);
  put_list(out, state.sockets, [&](const SocketRecord& socket) {
    put_number(out, socket.descriptor);
    out.string(socket.address).boolean(socket.proxy_only);
  });
  put_list(out, state.kits, [&](const KitRecord& kit) {
    out.string(kit.session);
    put_list(out, kit.descriptors, [&](int descriptor) { put_number(out, descriptor); });
  });
  put_list(out, state.waiting, [&](const WaitingRecord& one) { put_waiting(out, one); });
  put_list(out, state.children, [&](const ChildRecord& one) { put_child(out, one); });
  put_list(out, state.penalties, [&](const auto& entry) {
    put_address(out, entry.first);
    put_number(out, entry.second.hold_until.count());
    put_number(out, entry.second.refuse_until.count());
    put_number(out, entry.second.crash_length.count());
  });
  put_list(out, state.counters, [&](const auto& entry) { out.string(entry.first).u64(entry.second); });
  put_list(out, state.unsent_to_authority, [&](const std::string& message) { out.string(message); });
  return out.take();
}

Result<SavedState> decode_state(ByteView bytes) {
  SshReader in(bytes);
  SavedState state;
  if (in.u32() != k_format) in.refuse();
  state.settings = in.text();
  state.authority = static_cast<int>(number(in));
  state.last_ticket = in.u64();
  state.generation = in.u64();
  for_each_item(in, [&] {
    const int descriptor = static_cast<int>(number(in));
    std::string text(in.text());
    state.sockets.push_back(SocketRecord{descriptor, std::move(text), in.boolean()});
  });
  for_each_item(in, [&] {
    KitRecord kit{std::string(in.text()), {}};
    for_each_item(in, [&] { kit.descriptors.push_back(static_cast<int>(number(in))); });
    state.kits.push_back(std::move(kit));
  });
  for_each_item(in, [&] { state.waiting.push_back(waiting(in)); });
  for_each_item(in, [&] { state.children.push_back(child(in)); });
  for_each_item(in, [&] {
    const IpAddress source = address(in);
    const Moment hold_until(number(in));
    const Moment refuse_until(number(in));
    state.penalties[source] = Admission::Penalty{hold_until, refuse_until, Moment(number(in))};
  });
  for_each_item(in, [&] {
    std::string name(in.text());
    state.counters[std::move(name)] = in.u64();
  });
  for_each_item(in, [&] { state.unsent_to_authority.emplace_back(in.text()); });
  if (!in.finished()) return fail(Errc::corrupt, "the fork server's saved state cannot be read");
  return state;
}

Result<Fd> write_state(const SavedState& state) {
  const Bytes bytes = encode(state);
  Fd file(memfd_create("sallyport-listener", MFD_ALLOW_SEALING));
  if (!file) return fail(Errc::unavailable, std::string("memfd_create: ") + std::strerror(errno));
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::write(file.get(), bytes.data() + done, bytes.size() - done);
    if (n <= 0) return fail(Errc::unavailable, std::string("writing the saved state: ") + std::strerror(errno));
    done += static_cast<std::size_t>(n);
  }
  fcntl(file.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
  return file;
}

Result<SavedState> read_state(const Fd& file) {
  struct stat facts {};
  if (fstat(file.get(), &facts) != 0 || facts.st_size <= 0 || facts.st_size > k_max_state)
    return fail(Errc::corrupt, "the fork server's saved state has no fitting size");
  Bytes bytes(static_cast<std::size_t>(facts.st_size));
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::pread(file.get(), bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
    if (n <= 0) return fail(Errc::corrupt, "the fork server's saved state is cut");
    done += static_cast<std::size_t>(n);
  }
  return decode_state(bytes);
}

}  // namespace sallyport::gateway
