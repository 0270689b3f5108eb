#include "recorder/replay/viewing.h"

#include <algorithm>
#include <map>
#include <memory>

#include "platform/crypto/base64.h"
#include "platform/model/json_text.h"
#include "platform/terminal/screen.h"
#include "recorder/replay/pcapng.h"
#include "recorder/replay/picture.h"
#include "recorder/replay/playback.h"
#include "recorder/replay/seen_lines.h"
#include "recorder/replay/session_opener.h"
#include "recorder/replay/view_wire.h"

namespace sallyport::replay {
namespace {

using seal::EntryKind;
using seal::put_number;

constexpr std::size_t k_frame_every_bytes = 96 * 1024;  ///< of output between two key frames
constexpr std::size_t k_frame_every_entries = 1024;
constexpr std::size_t k_most_screens = 64;
constexpr std::size_t k_batch = 64 * 1024;

struct ChannelStart {
  std::uint32_t channel = 0, columns = 80, rows = 24;
  bool pty = false;
};
std::optional<ChannelStart> channel_start(const WalkedEntry& entry) {
  if (entry.header.kind != EntryKind::event || entry.state != WalkedEntry::State::open) return std::nullopt;
  const auto fields = JsonFields::parse(text_of(entry.body));
  if (!fields || fields->get("event") != "channel.started") return std::nullopt;
  ChannelStart start{static_cast<std::uint32_t>(fields->number("channel").value_or(0)), 80, 24, fields->is_true("pty")};
  const std::int64_t wide = fields->number("columns").value_or(0), high = fields->number("rows").value_or(0);
  if (wide > 0 && high > 0) {
    start.columns = static_cast<std::uint32_t>(std::min<std::int64_t>(wide, terminal::k_most_columns));
    start.rows = static_cast<std::uint32_t>(std::min<std::int64_t>(high, terminal::k_most_rows));
  }
  return start;
}

bool is_output(EntryKind kind) { return kind == EntryKind::data_out || kind == EntryKind::data_err; }

/// One viewing.
class Viewing {
 public:
  explicit Viewing(int fd) : fd_(fd) {}
  Result<void> run();

 private:
  using Visit = std::function<bool(const WalkedEntry&)>;
  Result<void> take_job();
  /// Opens what comes in and gives it to `visit` until the other side closes or `visit` has enough.
  Result<void> walk(const Visit& visit);
  Result<void> settle(ByteView part);
  [[nodiscard]] Result<StoredEntry> entry_of(ByteView part, std::optional<crypto::Tag>& previous) const;
  Result<Played> play();
  /// Gives the entries behind job_.at_boot_us to `visit`; before them, once, `show` is given the screen as it stood then.
  Result<void> from_screen(const std::function<bool(const ScreenState&)>& show, const Visit& visit);
  Result<Played> frames(const Sink& sink);
  Result<Played> streams();
  Result<Played> index();
  Result<Played> packets(const Sink& sink);
  bool put(Part part, std::string_view bytes);
  void tell_line(const Moment& when, std::uint32_t channel, int status, bool is_command, std::string_view text);

  int fd_;
  ViewJob job_;
  Secret key_;
  std::optional<SessionOpener> opener_;
  std::optional<SessionOpener> settling_;
  LineKeys lines_;
  std::optional<HeldPieces> held_;
  std::optional<KeyFrame> key_frame_;
};

bool Viewing::put(Part part, std::string_view bytes) {
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, k_batch);
    if (!send_part(fd_, part, bytes_of(piece))) return false;
    bytes.remove_prefix(piece.size());
  }
  return true;
}

Result<void> Viewing::take_job() {
  for (;;) {
    auto received = receive_part(fd_);
    if (!received) return tl::unexpected(received.error());
    if (!*received) return fail(Errc::cancelled, "nothing was asked for");
    const ReceivedPart& part = **received;
    if (part.part == Part::job) {
      auto job = parse_job(text_of(part.body));
      if (!job) return fail(Errc::invalid, "not a job of a viewing");
      job_ = std::move(*job);
    } else if (part.part == Part::key) {
      key_ = Secret(ByteView(part.body));
      break;
    } else {
      return fail(Errc::invalid, "a viewing begins with its job and its key");
    }
  }
  const auto label = seal::label_of(job_.session.session.view());
  if (!label) return fail(Errc::invalid, "not the name of a session");
  auto opener = SessionOpener::make(*label, key_);
  if (!opener) return tl::unexpected(opener.error());
  opener_.emplace(std::move(*opener));
  auto settling = SessionOpener::make(*label, key_);
  if (!settling) return tl::unexpected(settling.error());
  settling_.emplace(std::move(*settling));
  held_.emplace(*label);
  return {};
}

Result<StoredEntry> Viewing::entry_of(ByteView part, std::optional<crypto::Tag>& previous) const {
  if (part.size() < 17 + seal::k_entry_overhead || part.size() > 17 + seal::k_max_entry) return fail(Errc::invalid, "not an entry");
  if (part[0] != std::byte{0}) {
    previous.emplace();
    std::copy_n(part.begin() + 1, previous->size(), previous->begin());
  }
  StoredEntry entry;
  entry.whole = part.subspan(17);
  const auto header = seal::read_entry_header(entry.header_bytes());
  if (!header || header->size != entry.whole.size() - seal::k_entry_overhead) return fail(Errc::invalid, "not an entry");
  entry.header = *header;
  return entry;
}

Result<void> Viewing::settle(ByteView part) {
  std::optional<crypto::Tag> previous;
  const auto entry = entry_of(part, previous);
  if (!entry) return tl::unexpected(entry.error());
  if (!previous) return {};
  if (const auto opened = settling_->open(*entry, *previous, nullptr)) keep_line(lines_, entry->header, opened->body);
  return {};
}

Result<void> Viewing::walk(const Visit& visit) {
  bool wanted = true;
  for (;;) {
    auto received = receive_part(fd_);
    if (!received) return tl::unexpected(received.error());
    if (!*received || (*received)->part == Part::close) return {};
    const ReceivedPart& part = **received;
    switch (part.part) {
      case Part::key_frame:
        key_frame_ = parse_key_frame(part.body);
        if (!key_frame_) return fail(Errc::invalid, "not a key frame");
        break;
      case Part::settle:
        if (auto settled = settle(part.body); !settled) return settled;
        break;
      case Part::entry: {
        std::optional<crypto::Tag> previous;
        const auto entry = entry_of(part.body, previous);
        if (!entry) return tl::unexpected(entry.error());
        if (wanted) {
          WalkedEntry walked = open_entry(*entry, previous, &*opener_, lines_);
          held_->take(*entry, previous, walked);
          wanted = visit(walked);
        }
        if (!wanted && !job_.follow) return {};
        break;
      }
      default: return fail(Errc::invalid, "an unexpected part of a viewing");
    }
  }
}

Result<Played> Viewing::play() {
  PlayOptions options;
  options.channel = job_.channel;
  options.speed = job_.speed;
  if (job_.idle_us > 0) options.idle_limit = std::chrono::microseconds(job_.idle_us);
  options.raw = job_.raw;
  options.walk.follow = job_.follow;
  options.walk.session = job_.session.session;
  const auto out = [this](std::string_view bytes) { return put(Part::out, bytes); };
  const auto err = [this](std::string_view bytes) { return put(Part::err, bytes); };
  options.walk.source = [&](const Visit& visit) {
    return from_screen([&](const ScreenState& state) { return out("\x1b[!p" + state.paint); }, visit);
  };
  return play_session(options, out, err);
}

Result<void> Viewing::from_screen(const std::function<bool(const ScreenState&)>& paint, const Visit& visit) {
  if (job_.at_boot_us == 0) return walk(visit);
  // Up to the wanted moment everything goes onto a screen of our own; then that is shown, and time begins to run.
  Picture picture(std::max(job_.columns, 1U), std::max(job_.rows, 1U));
  bool shown = false, begun = false;
  const auto show = [&] {
    shown = true;
    return paint(picture.state());
  };
  std::string trouble;
  auto walked = walk([&](const WalkedEntry& entry) {
    if (shown) return visit(entry);
    if (!begun && key_frame_) {
      const auto state = open_screen(key_, job_.session.session, *key_frame_);
      if (!state) {
        trouble = state.error().detail;
        return false;
      }
      picture.resize(state->columns, state->rows);
      picture.feed(bytes_of(state->paint));
    }
    begun = true;
    const bool past = entry.header.boot_us > job_.at_boot_us;
    if (past && (!picture.in_sequence() || entry.header.boot_us > job_.at_boot_us + 1'000'000)) {
      if (!show()) return false;
      return visit(entry);
    }
    if (const auto start = channel_start(entry); start && start->channel == job_.channel.value_or(start->channel)) picture.resize(start->columns, start->rows);
    if (entry.header.channel != job_.channel.value_or(entry.header.channel) || entry.state != WalkedEntry::State::open) return true;
    if (entry.header.kind == EntryKind::resize) {
      if (const auto size = parse_resize(entry.body)) picture.resize(std::max(size->columns, 1U), std::max(size->rows, 1U));
    } else if (is_output(entry.header.kind)) {
      picture.feed(entry.body);
    }
    return true;
  });
  if (!walked) return walked;
  if (!trouble.empty()) return fail(Errc::corrupt, trouble);
  if (!shown) show();
  return {};
}

/// One line of JSON for each thing that happened, for a player that keeps its own clock: "b" microseconds of the boot clock, "c" channel,
/// "k" what it is: o e i (bytes in "d", base64), p (the screen as it stood at the beginning: "d", "w", "h"), r ("w", "h"), s (a channel
/// begins), x (its exit), h (bytes that are recorded by their hash only), n (typed and not echoed: how many), ! (not readable).
Result<Played> Viewing::frames(const Sink& sink) {
  Played played;
  const auto tell = [&](const seal::EntryHeader& header, std::string_view kind, const std::string& rest) {
    return sink("{\"b\":" + std::to_string(header.boot_us) + ",\"c\":" + std::to_string(header.channel) + ",\"k\":\"" + std::string(kind) + "\"" + rest + "}\n");
  };
  const auto data = [](ByteView bytes) { return ",\"d\":\"" + crypto::to_base64(bytes) + "\""; };
  const auto size_text = [](std::uint32_t columns, std::uint32_t rows) { return ",\"w\":" + std::to_string(columns) + ",\"h\":" + std::to_string(rows); };
  const auto walked = from_screen(
      [&](const ScreenState& state) {
        seal::EntryHeader header;
        header.boot_us = job_.at_boot_us;
        header.channel = job_.channel.value_or(0);
        return tell(header, "p", data(bytes_of(state.paint)) + size_text(state.columns, state.rows));
      },
      [&](const WalkedEntry& entry) {
        const auto& header = entry.header;
        if (entry.state == WalkedEntry::State::damaged) {
          ++played.damaged;
          return tell(header, "!", "");
        }
        if (const auto start = channel_start(entry)) {
          if (start->channel != job_.channel.value_or(start->channel)) return true;
          const auto fields = JsonFields::parse(text_of(entry.body));
          seal::EntryHeader of = header;
          of.channel = start->channel;
          return tell(of, "s", size_text(start->columns, start->rows) + ",\"pty\":" + (start->pty ? "true" : "false") + ",\"kind\":" +
                                   json_quote(fields ? fields->get("kind") : "") + ",\"command\":" + json_quote(fields ? fields->get("command") : ""));
        }
        if (header.channel != job_.channel.value_or(header.channel)) return true;
        const bool typed = header.kind == EntryKind::typed || header.kind == EntryKind::data_in;
        if (typed && !job_.with_input) return true;
        if (entry.state == WalkedEntry::State::not_echoed) return tell(header, "n", ",\"n\":" + std::to_string(entry.dropped_bytes));
        if (entry.state != WalkedEntry::State::open) return true;
        if (is_output(header.kind) || typed) {
          played.bytes += entry.body.size();
          return tell(header, typed ? "i" : header.kind == EntryKind::data_out ? "o" : "e", data(entry.body));
        }
        if (header.kind == EntryKind::resize) {
          const auto size = parse_resize(entry.body);
          return !size || tell(header, "r", size_text(std::clamp(size->columns, 1U, terminal::k_most_columns), std::clamp(size->rows, 1U, terminal::k_most_rows)));
        }
        if (header.kind == EntryKind::bulk_marker) return tell(header, "h", "");
        if (header.kind == EntryKind::exit) return tell(header, "x", ",\"text\":" + json_quote(printable(text_of(entry.body))));
        return true;
      });
  if (!walked) return tl::unexpected(walked.error());
  return played;
}

Result<Played> Viewing::streams() {
  Played played;
  const auto walked = walk([&](const WalkedEntry& entry) {
    if (entry.header.channel != job_.channel.value_or(entry.header.channel)) return true;
    if (entry.state == WalkedEntry::State::damaged) ++played.damaged;
    if (entry.state != WalkedEntry::State::open || !is_output(entry.header.kind)) return true;
    played.bytes += entry.body.size();
    return put(entry.header.kind == EntryKind::data_out ? Part::out : Part::err, text_of(entry.body));
  });
  if (!walked) return tl::unexpected(walked.error());
  return played;
}

void Viewing::tell_line(const Moment& when, std::uint32_t channel, int status, bool is_command, std::string_view text) {
  Bytes body(33 + text.size());
  put_number(body.data(), when.wall_us);
  put_number(body.data() + 8, when.boot_us);
  put_number(body.data() + 16, when.sequence);
  put_number(body.data() + 24, channel);
  put_number(body.data() + 28, static_cast<std::int32_t>(status));
  body[32] = std::byte{is_command};
  std::copy_n(bytes_of(text).begin(), text.size(), body.begin() + 33);
  static_cast<void>(send_part(fd_, Part::line, body));
}

/// Everything a search and a seek need, in one pass: lines, commands, key frames.
Result<Played> Viewing::index() {
  struct Watched {
    std::unique_ptr<SeenLines> lines;
    std::unique_ptr<Picture> picture;
    std::size_t bytes = 0, entries = 0;
    std::string plain;  ///< output without a terminal: the line that is not whole yet
  };
  std::map<std::uint32_t, Watched> channels;
  Played played;
  const auto watch = [&](std::uint32_t number, std::uint32_t columns, std::uint32_t rows, bool pty) -> Watched* {
    const auto known = channels.find(number);
    if (known != channels.end()) return &known->second;
    if (channels.size() >= k_most_screens) return nullptr;
    Watched& made = channels[number];
    if (!pty) return &made;
    made.lines = std::make_unique<SeenLines>(
        columns, rows, [this, number](const SeenLine& line) { tell_line(line.when, number, -1, false, line.text); },
        [this, number](const SeenCommand& command) { tell_line(command.when, number, command.status.value_or(-1), true, command.text); });
    made.picture = std::make_unique<Picture>(columns, rows);
    return &made;
  };
  const auto walked = walk([&](const WalkedEntry& entry) {
    if (entry.state == WalkedEntry::State::damaged) ++played.damaged;
    const auto& header = entry.header;
    const Moment when{header.wall_us, header.boot_us, header.sequence};
    if (const auto start = channel_start(entry)) {
      watch(start->channel, start->columns, start->rows, start->pty);
      const auto fields = JsonFields::parse(text_of(entry.body));
      if (fields && !fields->get("command").empty()) tell_line(when, start->channel, -1, true, fields->get("command"));
      return true;
    }
    if (entry.state != WalkedEntry::State::open) return true;
    if (header.kind == EntryKind::exit) {  // the channel is over: its screen is not needed any more
      const auto known = channels.find(header.channel);
      if (known != channels.end() && known->second.lines) {
        known->second.lines->finish();
        channels.erase(known);
      }
      return true;
    }
    const bool resized = header.kind == EntryKind::resize;
    if (!is_output(header.kind) && !resized) return true;
    Watched* channel = watch(header.channel, 80, 24, false);
    if (channel == nullptr) return true;
    if (resized) {
      const auto size = parse_resize(entry.body);
      if (!size || !channel->lines) return true;
      const std::uint32_t columns = std::clamp(size->columns, 1U, terminal::k_most_columns), rows = std::clamp(size->rows, 1U, terminal::k_most_rows);
      channel->lines->resize(columns, rows, when);
      channel->picture->resize(columns, rows);
      return true;
    }
    played.bytes += entry.body.size();
    if (!channel->lines) {
      for (const char byte : text_of(entry.body)) {
        if (byte != '\n' && channel->plain.size() < SeenLines::k_longest) {
          channel->plain += byte;
          continue;
        }
        const std::string line = printable(channel->plain);
        if (line.find_first_not_of(" \t\r") != std::string::npos) tell_line(when, header.channel, -1, false, line);
        channel->plain.clear();
        if (byte != '\n') channel->plain += byte;
      }
      return true;
    }
    channel->lines->output(entry.body, when);
    channel->picture->feed(entry.body);
    channel->bytes += entry.body.size();
    ++channel->entries;
    if ((channel->bytes >= k_frame_every_bytes || channel->entries >= k_frame_every_entries) && !channel->picture->in_sequence()) {
      KeyFrame frame{header.channel, header.sequence, header.boot_us, header.segment, {}};
      frame.sealed = seal_screen(key_, job_.session.session, frame, channel->picture->state());
      channel->bytes = channel->entries = 0;
      return send_part(fd_, Part::screen, key_frame_part(frame)).has_value();
    }
    return true;
  });
  if (!walked) return tl::unexpected(walked.error());
  const Moment end{job_.session.last_us, 0, job_.session.entries};
  for (auto& [number, channel] : channels) {
    if (channel.lines) channel.lines->finish();
    else if (!channel.plain.empty()) tell_line(end, number, -1, false, printable(channel.plain));
  }
  return played;
}

/// Tunnels whose contents were recorded.
Result<Played> Viewing::packets(const Sink& sink) {
  Played played;
  PcapngWriter writer(sink);
  if (!writer.begin("session " + job_.session.session.str() + ": " + job_.session.principal + " at " + job_.session.target + "; streams as recorded, headers made up"))
    return played;
  const auto walked = walk([&](const WalkedEntry& entry) {
    const auto& header = entry.header;
    if (entry.state == WalkedEntry::State::damaged) ++played.damaged;
    if (entry.state != WalkedEntry::State::open || (job_.channel && header.kind != EntryKind::event && header.channel != *job_.channel)) return true;
    if (header.kind == EntryKind::event) {
      const auto fields = JsonFields::parse(text_of(entry.body));
      if (!fields || !fields->get("kind").starts_with("tunnel") || fields->get("event") != "channel.started") return true;
      const auto port = [&](std::string_view name) { return static_cast<std::uint16_t>(fields->number(name).value_or(0)); };
      const TunnelEnds ends{std::string(fields->get("origin_host")), std::string(fields->get("host")), port("origin_port"), port("port")};
      return writer.open(static_cast<std::uint32_t>(fields->number("channel").value_or(0)), ends, header.wall_us);
    }
    if (header.kind == EntryKind::exit) return writer.close(header.channel, header.wall_us);
    if (header.kind != EntryKind::data_in && header.kind != EntryKind::data_out) return true;
    played.bytes += entry.body.size();
    return writer.data(header.channel, header.kind == EntryKind::data_in, entry.body, header.wall_us);
  });
  if (!walked) return tl::unexpected(walked.error());
  return played;
}

Result<void> Viewing::run() {
  if (auto job = take_job(); !job) return job;
  ExportOptions how;
  how.session = job_.session;
  how.channel = job_.channel;
  how.with_input = job_.with_input;
  if (job_.idle_us > 0) how.idle_limit = std::chrono::microseconds(job_.idle_us);
  how.walk.session = job_.session.session;
  how.walk.source = [this](const Visit& visit) { return walk(visit); };
  std::string buffer;
  const auto flush = [&] { return put(Part::out, std::exchange(buffer, {})); };
  const Sink sink = [&](std::string_view bytes) {
    buffer += bytes;
    return (!job_.follow && buffer.size() < k_batch) || flush();
  };
  Result<Played> played = [&]() -> Result<Played> {
    switch (job_.kind) {
      case ViewJob::Kind::play: return play();
      case ViewJob::Kind::asciicast: return export_asciicast(how, sink);
      case ViewJob::Kind::text: return export_text(how, sink);
      case ViewJob::Kind::json: return export_json(how, sink);
      case ViewJob::Kind::streams: return streams();
      case ViewJob::Kind::index: return index();
      case ViewJob::Kind::pcapng: return packets(sink);
      case ViewJob::Kind::frames: return frames(sink);
    }
    return fail(Errc::invalid, "an unknown kind of viewing");
  }();
  if (!played) return tl::unexpected(played.error());
  if (!flush()) return {};
  std::array<std::byte, 32> done{};
  put_number(done.data(), played->bytes);
  put_number(done.data() + 8, played->hashed_bytes);
  put_number(done.data() + 16, played->damaged);
  put_number(done.data() + 24, played->locked);
  return send_part(fd_, Part::done, done);
}

}  // namespace

Result<void> run_viewing(int fd) {
  auto done = Viewing(fd).run();
  if (!done) {
    Bytes body(4);
    put_number(body.data(), static_cast<std::uint32_t>(done.error().code));
    const ByteView detail = bytes_of(done.error().detail);
    body.insert(body.end(), detail.begin(), detail.end());
    static_cast<void>(send_part(fd, Part::trouble, body));
  }
  return done;
}

}  // namespace sallyport::replay
