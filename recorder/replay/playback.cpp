#include "recorder/replay/playback.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <thread>

#include "platform/crypto/base64.h"
#include "platform/crypto/hex.h"
#include "platform/model/json_text.h"
#include "recorder/replay/escape_parser.h"

namespace sallyport::replay {
namespace {

using seal::EntryKind;
using std::chrono::microseconds;

constexpr microseconds k_longest_pause = std::chrono::hours(24);

bool is_output(EntryKind kind) { return kind == EntryKind::data_out || kind == EntryKind::data_err; }

/// Recorded time with its pauses cut to the limit. Never runs backwards.
class Pace {
 public:
  explicit Pace(std::optional<microseconds> idle_limit) : limit_(idle_limit) {}
  /// The pause before the entry.
  microseconds step(const seal::EntryHeader& header) {
    const std::int64_t last = last_us_.value_or(header.boot_us);
    microseconds pause(header.boot_us > last ? header.boot_us - last : 0);
    last_us_ = std::max(last, header.boot_us);
    pause = std::min(pause, limit_.value_or(k_longest_pause));
    at_ += pause;
    return pause;
  }
  [[nodiscard]] microseconds at() const noexcept { return at_; }

 private:
  std::optional<microseconds> limit_;
  std::optional<std::int64_t> last_us_;
  microseconds at_{0};
};

void count(Played& played, const WalkedEntry& entry) {
  if (entry.state == WalkedEntry::State::damaged) ++played.damaged;
  if (entry.state == WalkedEntry::State::locked) ++played.locked;
  if (entry.state == WalkedEntry::State::open && entry.header.kind == EntryKind::bulk_marker)
    if (const auto marker = parse_bulk_marker(entry.body)) played.hashed_bytes += marker->length;
}

std::string bulk_text(const WalkedEntry& entry) {
  static constexpr std::string_view k_streams[] = {"input", "output", "standard error"};
  const auto marker = parse_bulk_marker(entry.body);
  if (!marker) return {};
  return "[" + std::to_string(marker->length) + " bytes of " + std::string(k_streams[marker->stream]) + " recorded by hash, SHA-256 " +
         crypto::to_hex(marker->sha256) + "]";
}

/// Bytes to UTF-8 text in pieces: an unfinished character waits for the next piece.
class Utf8Pieces {
 public:
  std::string take(std::string_view bytes) {
    std::string whole = std::move(rest_) + std::string(bytes);
    rest_.clear();
    std::size_t keep = 0;
    for (std::size_t back = 1; back <= std::min<std::size_t>(3, whole.size()); ++back) {
      const auto byte = static_cast<unsigned char>(whole[whole.size() - back]);
      if ((byte & 0xc0) == 0x80) continue;
      const std::size_t size = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
      if (size > back) keep = back;
      break;
    }
    rest_ = whole.substr(whole.size() - keep);
    whole.resize(whole.size() - keep);
    return whole;
  }

 private:
  std::string rest_;
};

std::string seconds_text(microseconds time) {
  char text[48];
  std::snprintf(text, sizeof text, "%lld.%06lld", static_cast<long long>(time.count() / 1'000'000), static_cast<long long>(time.count() % 1'000'000));
  return text;
}

const ChannelSummary* channel_of(const SessionSummary& session, std::optional<std::uint32_t> number) {
  for (const auto& channel : session.channels)
    if (channel.channel == number) return &channel;
  return nullptr;
}

/// Where only LF ends a line, a terminal wants CR LF.
std::string with_returns(std::string_view text, char& last) {
  std::string out;
  for (const char c : text) {
    if (c == '\n' && last != '\r') out += '\r';
    out += c;
    last = c;
  }
  return out;
}

}  // namespace

std::optional<std::uint32_t> usual_channel(const SessionSummary& session) {
  const auto& channels = session.channels;
  if (channels.empty()) return std::nullopt;
  auto found = std::find_if(channels.begin(), channels.end(), [](const auto& c) { return c.pty && c.bytes_out > 0; });
  if (found == channels.end()) found = std::find_if(channels.begin(), channels.end(), [](const auto& c) { return c.pty; });
  if (found == channels.end()) found = std::find_if(channels.begin(), channels.end(), [](const auto& c) { return c.bytes_out + c.bytes_err > 0; });
  return found == channels.end() ? channels.front().channel : found->channel;
}

std::string time_text(std::int64_t wall_us) {
  const auto seconds = static_cast<std::time_t>(wall_us >= 0 ? wall_us / 1'000'000 : (wall_us - 999'999) / 1'000'000);
  std::tm parts{};
  char date[64];
  if (gmtime_r(&seconds, &parts) == nullptr || std::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts) == 0) return "?";
  char text[80];
  std::snprintf(text, sizeof text, "%s.%06lldZ", date, static_cast<long long>(wall_us - static_cast<std::int64_t>(seconds) * 1'000'000));
  return text;
}

Result<Played> play_session(const PlayOptions& options, const Sink& out, const Sink& err) {
  Played played;
  Pace pace(options.idle_limit);
  TerminalFilter filters[2];
  std::string shown;
  const auto began = std::chrono::steady_clock::now();
  const auto walked = walk_session(options.walk, [&](const WalkedEntry& entry) {
    if (options.walk.stop && options.walk.stop()) return false;
    count(played, entry);
    const auto kind = entry.header.kind;
    const bool is_bulk = kind == EntryKind::bulk_marker;
    if ((!is_output(kind) && !is_bulk) || (options.channel && entry.header.channel != *options.channel)) return true;
    if (!options.walk.follow && options.speed > 0) {
      const microseconds pause = pace.step(entry.header);
      if (options.sleep) {
        options.sleep(microseconds(std::llround(static_cast<double>(pause.count()) / options.speed)));
      } else {  // against the start, so that errors do not add up
        std::this_thread::sleep_until(began + microseconds(std::llround(static_cast<double>(pace.at().count()) / options.speed)));
      }
    }
    if (entry.state != WalkedEntry::State::open) return true;
    if (is_bulk) return err("\r\n" + bulk_text(entry) + "\r\n");
    played.bytes += entry.body.size();
    const bool is_err = kind == EntryKind::data_err;
    if (options.raw) return is_err ? err(text_of(entry.body)) : out(text_of(entry.body));
    shown.clear();
    filters[is_err ? 1 : 0].feed(text_of(entry.body), shown);
    return is_err ? err(shown) : out(shown);
  });
  if (!walked) return tl::unexpected(walked.error());
  return played;
}

Result<Played> export_asciicast(const ExportOptions& options, const Sink& out) {
  Played played;
  const auto channel = options.channel ? options.channel : usual_channel(options.session);
  const ChannelSummary* summary = channel_of(options.session, channel);
  const bool has_pty = summary == nullptr || summary->pty;
  // The head line needs the first size, which comes with the channel's start or first resize: it waits for the first output.
  std::uint32_t columns = 80, rows = 24;
  std::string term = "xterm-256color";
  std::int64_t began_us = options.session.began_us;
  bool sized = false, headed = false;
  const auto look = [&](const WalkedEntry& entry) {
    if (headed || entry.state != WalkedEntry::State::open) return;
    if (entry.header.kind == EntryKind::event) {
      const auto fields = JsonFields::parse(text_of(entry.body));
      if (fields && fields->get("event") == "channel.started" && fields->number("channel") == static_cast<std::int64_t>(channel.value_or(0))) {
        // 0: a pty asked for without a terminal at hand; its size is not known then.
        const std::int64_t wide = fields->number("columns").value_or(0), high = fields->number("rows").value_or(0);
        if (wide > 0 && wide <= 10'000) columns = static_cast<std::uint32_t>(wide);
        if (high > 0 && high <= 10'000) rows = static_cast<std::uint32_t>(high);
        if (!fields->get("term").empty()) term = fields->get("term");
        began_us = entry.header.wall_us;
        sized = wide > 0 && high > 0;
      }
    } else if (entry.header.kind == EntryKind::resize && entry.header.channel == channel) {
      if (const auto size = parse_resize(entry.body); size && !sized && size->columns > 0 && size->rows > 0) {
        columns = std::min(size->columns, 10'000U);
        rows = std::min(size->rows, 10'000U);
        sized = true;
      }
    }
  };
  const auto head_line = [&] {
    headed = true;
    const std::string title = options.session.principal + " as " + options.session.account + " on " + options.session.target + ", " +
                              options.session.session.str() + (summary == nullptr || summary->command.empty() ? "" : ": " + summary->command);
    std::string head = "{\"version\":2,\"width\":" + std::to_string(columns) + ",\"height\":" + std::to_string(rows) +
                       ",\"timestamp\":" + std::to_string(began_us / 1'000'000) + ",\"title\":" + json_quote(title) +
                       ",\"env\":{\"TERM\":" + json_quote(term) + ",\"SHELL\":\"\"}";
    if (options.idle_limit) head += ",\"idle_time_limit\":" + seconds_text(*options.idle_limit);
    return out(head + "}\n");
  };

  Pace pace(std::nullopt);
  Utf8Pieces pieces[3];
  char last = '\0';
  const auto write = [&](std::string_view kind, std::string_view text) {
    return text.empty() || out("[" + seconds_text(pace.at()) + ",\"" + std::string(kind) + "\"," + json_quote(text) + "]\n");
  };
  const auto walked = walk_session(options.walk, [&](const WalkedEntry& entry) {
    count(played, entry);
    look(entry);
    if (entry.header.channel != channel) return true;
    const auto kind = entry.header.kind;
    const bool is_input = kind == EntryKind::data_in || kind == EntryKind::typed;
    if (!is_output(kind) && kind != EntryKind::resize && kind != EntryKind::bulk_marker && !(is_input && options.with_input)) return true;
    pace.step(entry.header);
    if (entry.state != WalkedEntry::State::open) return true;
    if (!headed && !head_line()) return false;
    if (kind == EntryKind::resize) {
      const auto size = parse_resize(entry.body);
      return !size || write("r", std::to_string(size->columns) + "x" + std::to_string(size->rows));
    }
    if (kind == EntryKind::bulk_marker) return write("m", bulk_text(entry));
    played.bytes += entry.body.size();
    if (is_input) return write("i", pieces[2].take(text_of(entry.body)));
    const std::string text = pieces[kind == EntryKind::data_out ? 0 : 1].take(text_of(entry.body));
    return write("o", has_pty ? text : with_returns(text, last));
  });
  if (!walked) return tl::unexpected(walked.error());
  if (!headed) head_line();
  return played;
}

Result<Played> export_text(const ExportOptions& options, const Sink& out) {
  Played played;
  const auto channel = options.channel ? options.channel : usual_channel(options.session);
  const ChannelSummary* summary = channel_of(options.session, channel);
  const SessionSummary& session = options.session;
  std::string text = "# session " + session.session.str() + "\n# " + session.principal + " as " + session.account + " on " + session.target +
                     " from " + session.source + "\n# " + time_text(session.began_us) + " to " + time_text(session.last_us) + ", " + session.state + "\n";
  if (summary != nullptr) text += "# channel " + std::to_string(summary->channel) + ": " + summary->kind + (summary->command.empty() ? "" : " " + summary->command) + "\n";
  text = printable(text) + "\n";
  PlainText screen;
  bool wanted = out(text);
  const auto walked = walk_session(options.walk, [&](const WalkedEntry& entry) {
    count(played, entry);
    if (!wanted) return false;
    if (entry.header.channel != channel || entry.state != WalkedEntry::State::open) return true;
    if (!is_output(entry.header.kind) && entry.header.kind != EntryKind::bulk_marker) return true;
    text.clear();
    if (is_output(entry.header.kind)) {
      played.bytes += entry.body.size();
      screen.feed(text_of(entry.body), text);
    } else {
      screen.finish(text);
      text += "\n" + bulk_text(entry) + "\n";
    }
    return text.empty() || (wanted = out(text));
  });
  if (!walked) return tl::unexpected(walked.error());
  text.clear();
  screen.finish(text);
  if (!text.empty()) out(text + "\n");
  return played;
}

Result<Played> export_json(const ExportOptions& options, const Sink& out) {
  Played played;
  const auto walked = walk_session(options.walk, [&](const WalkedEntry& entry) {
    count(played, entry);
    const auto& header = entry.header;
    if (options.channel && header.channel != *options.channel && header.kind != EntryKind::header && header.kind != EntryKind::end) return true;
    std::string line = "{\"session\":" + json_quote(options.session.session.view()) + ",\"sequence\":" + std::to_string(header.sequence) +
                       ",\"time\":\"" + time_text(header.wall_us) + "\",\"boot_us\":" + std::to_string(header.boot_us) + ",\"kind\":\"" +
                       name_of(header.kind) + "\",\"channel\":" + std::to_string(header.channel);
    const bool is_line = header.kind == EntryKind::typed || header.kind == EntryKind::line_key || header.kind == EntryKind::line_dropped;
    if (is_line) line += ",\"line\":" + std::to_string(header.extra);
    else if (is_output(header.kind) || header.kind == EntryKind::data_in || header.kind == EntryKind::bulk_marker) line += ",\"offset\":" + std::to_string(header.extra);
    if (header.kind == EntryKind::masked && entry.state == WalkedEntry::State::open)
      if (const auto masked = parse_masked(header, entry.body))
        line += ",\"stream\":" + std::to_string(masked->stream) + ",\"offset\":" + std::to_string(masked->offset) + ",\"length\":" + std::to_string(masked->length) +
                ",\"why\":" + std::to_string(masked->why);
    switch (entry.state) {
      case WalkedEntry::State::locked: line += ",\"state\":\"locked\""; break;
      case WalkedEntry::State::not_echoed: line += ",\"state\":\"not_echoed\",\"line_bytes\":" + std::to_string(entry.dropped_bytes); break;
      case WalkedEntry::State::unsettled: line += ",\"state\":\"unsettled\""; break;
      case WalkedEntry::State::damaged: line += ",\"state\":\"damaged\",\"trouble\":" + json_quote(entry.trouble); break;
      case WalkedEntry::State::open:
        if (header.kind == EntryKind::header) {
          const auto body = parse_header_body(entry.body);
          if (body && JsonFields::parse(body->json)) line += ",\"header\":" + std::string(body->json);
        } else if (header.kind == EntryKind::event || header.kind == EntryKind::exit || header.kind == EntryKind::end) {
          if (JsonFields::parse(text_of(entry.body))) line += ",\"event\":" + std::string(text_of(entry.body));
        } else if (header.kind == EntryKind::bulk_marker) {
          if (const auto marker = parse_bulk_marker(entry.body))
            line += ",\"stream\":" + std::to_string(marker->stream) + ",\"length\":" + std::to_string(marker->length) + ",\"sha256\":\"" +
                    crypto::to_hex(marker->sha256) + "\"";
        } else if (header.kind == EntryKind::resize) {
          if (const auto size = parse_resize(entry.body))
            line += ",\"columns\":" + std::to_string(size->columns) + ",\"rows\":" + std::to_string(size->rows) +
                    ",\"pixel_width\":" + std::to_string(size->pixel_width) + ",\"pixel_height\":" + std::to_string(size->pixel_height);
        } else if (header.kind == EntryKind::typed || header.kind == EntryKind::data_in || is_output(header.kind)) {
          played.bytes += entry.body.size();
          line += ",\"bytes\":" + std::to_string(entry.body.size()) + ",\"base64\":\"" + crypto::to_base64(entry.body) + "\",\"text\":" +
                  json_quote(text_of(entry.body));
        }
        break;
    }
    // JSON of the session's own may hold newlines; a line is a line.
    std::replace(line.begin(), line.end(), '\n', ' ');
    return out(line + "}\n");
  });
  if (!walked) return tl::unexpected(walked.error());
  return played;
}

}  // namespace sallyport::replay
