#include "recorder/replay/view_wire.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstring>

#include "platform/model/json_text.h"
#include "platform/seal/entry.h"
#include "recorder/replay/seek_index.h"
#include "recorder/replay/session_growth.h"

namespace sallyport::replay {
namespace {

using seal::get_number;
using seal::put_number;

constexpr std::size_t k_part_head = 5;
constexpr std::size_t k_key_frame_head = 4 + 8 + 8 + 4;
constexpr std::array<std::string_view, 8> k_kinds{"play", "asciicast", "text", "json", "streams", "index", "pcapng", "frames"};

Result<void> send_all(int fd, ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::write(fd, bytes.data(), bytes.size());
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return fail(Errc::unavailable, "the other side of the viewing is gone");
    bytes = bytes.subspan(static_cast<std::size_t>(sent));
  }
  return {};
}

/// False: the end came first.
Result<bool> receive_all(int fd, std::span<std::byte> bytes) {
  bool any = false;
  while (!bytes.empty()) {
    const ssize_t got = ::read(fd, bytes.data(), bytes.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 || (got == 0 && any)) return fail(Errc::unavailable, "the other side of the viewing is gone");
    if (got == 0) return false;
    any = true;
    bytes = bytes.subspan(static_cast<std::size_t>(got));
  }
  return true;
}

}  // namespace

Result<void> send_part(int fd, Part part, ByteView body) {
  if (body.size() > k_most_part) return fail(Errc::invalid, "a part of a viewing above its limit");
  std::array<std::byte, k_part_head> head{};
  put_number(head.data(), static_cast<std::uint32_t>(body.size()));
  head[4] = static_cast<std::byte>(part);
  if (auto sent = send_all(fd, head); !sent) return sent;
  return send_all(fd, body);
}

Result<std::optional<ReceivedPart>> receive_part(int fd) {
  std::array<std::byte, k_part_head> head{};
  const auto got = receive_all(fd, head);
  if (!got) return tl::unexpected(got.error());
  if (!*got) return std::optional<ReceivedPart>();
  const auto size = get_number<std::uint32_t>(head.data());
  if (size > k_most_part) return fail(Errc::invalid, "a part of a viewing above its limit");
  ReceivedPart part{static_cast<Part>(head[4]), Bytes(size)};
  if (size > 0) {
    const auto body = receive_all(fd, part.body);
    if (!body) return tl::unexpected(body.error());
    if (!*body) return fail(Errc::unavailable, "the other side of the viewing is gone");
  }
  return std::optional(std::move(part));
}

Result<std::optional<ReceivedPart>> take_part(Bytes& bytes) {
  if (bytes.size() < k_part_head) return std::optional<ReceivedPart>();
  const auto size = get_number<std::uint32_t>(bytes.data());
  if (size > k_most_part) return fail(Errc::invalid, "a part of a viewing above its limit");
  if (bytes.size() < k_part_head + size) return std::optional<ReceivedPart>();
  const auto begin = bytes.begin() + k_part_head;
  const auto end = begin + static_cast<std::ptrdiff_t>(size);
  ReceivedPart part{static_cast<Part>(bytes[4]), Bytes(begin, end)};
  bytes.erase(bytes.begin(), end);
  return std::optional(std::move(part));
}

std::string job_text(const ViewJob& job) {
  const SessionSummary& session = job.session;
  std::map<std::uint32_t, ChannelSummary> channels;
  for (const auto& channel : session.channels) channels[channel.channel] = channel;
  const auto text = [](std::string_view name, std::string_view value) { return ",\"" + std::string(name) + "\":" + json_quote(value); };
  const auto number = [](std::string_view name, std::int64_t value) { return ",\"" + std::string(name) + "\":" + std::to_string(value); };
  return "{\"kind\":" + json_quote(k_kinds[static_cast<std::size_t>(job.kind)]) + text("session", session.session.view()) + text("principal", session.principal) +
         text("account", session.account) + text("target", session.target) + text("source", session.source) + text("state", session.state) +
         number("began", session.began_us) + number("last", session.last_us) + text("channels", channels_text(channels)) +
         number("channel", job.channel ? static_cast<std::int64_t>(*job.channel) : -1) + number("speed_millis", static_cast<std::int64_t>(job.speed * 1000)) +
         number("idle", job.idle_us) + number("follow", job.follow) + number("raw", job.raw) + number("input", job.with_input) + number("at", job.at_boot_us) +
         number("columns", job.columns) + number("rows", job.rows) + "}";
}

std::optional<ViewJob> parse_job(std::string_view text) {
  const auto fields = JsonFields::parse(text);
  if (!fields || !seal::label_of(fields->get("session"))) return std::nullopt;
  ViewJob job;
  bool known = false;
  for (std::size_t i = 0; i < k_kinds.size(); ++i)
    if (k_kinds[i] == fields->get("kind")) {
      job.kind = static_cast<ViewJob::Kind>(i);
      known = true;
    }
  if (!known) return std::nullopt;
  const auto number = [&](std::string_view name) { return fields->number(name).value_or(0); };
  SessionSummary& session = job.session;
  session.session = SessionId(std::string(fields->get("session")));
  session.principal = fields->get("principal");
  session.account = fields->get("account");
  session.target = fields->get("target");
  session.source = fields->get("source");
  session.state = fields->get("state");
  session.began_us = number("began");
  session.last_us = number("last");
  for (auto& [id, channel] : channels_in(fields->get("channels"))) session.channels.push_back(channel);
  if (number("channel") >= 0) job.channel = static_cast<std::uint32_t>(number("channel"));
  job.speed = static_cast<double>(number("speed_millis")) / 1000;
  job.idle_us = number("idle");
  job.follow = number("follow") != 0;
  job.raw = number("raw") != 0;
  job.with_input = number("input") != 0;
  job.at_boot_us = number("at");
  job.columns = static_cast<std::uint32_t>(number("columns"));
  job.rows = static_cast<std::uint32_t>(number("rows"));
  return job;
}

Bytes key_frame_part(const KeyFrame& frame) {
  Bytes body(k_key_frame_head + frame.sealed.size());
  put_number(body.data(), frame.channel);
  put_number(body.data() + 4, frame.sequence);
  put_number(body.data() + 12, frame.boot_us);
  put_number(body.data() + 20, frame.segment);
  std::copy(frame.sealed.begin(), frame.sealed.end(), body.begin() + k_key_frame_head);
  return body;
}

std::optional<KeyFrame> parse_key_frame(ByteView body) {
  if (body.size() < k_key_frame_head) return std::nullopt;
  return KeyFrame{get_number<std::uint32_t>(body.data()), get_number<std::uint64_t>(&body[4]), get_number<std::int64_t>(&body[12]),
                  get_number<std::uint32_t>(&body[20]), copy_of(body.subspan(k_key_frame_head))};
}

}  // namespace sallyport::replay
