#include "recorder/replay/session_growth.h"

#include <algorithm>

#include "platform/model/json_text.h"

namespace sallyport::replay {
namespace {

using seal::EntryKind;

constexpr std::size_t k_max_channels = 4096;  ///< that are told apart in one session

}  // namespace

void SessionGrowth::read_header_json(std::string_view json) {
  summary.header_json = json;
  const auto fields = JsonFields::parse(json);
  if (!fields) return;
  summary.principal = fields->get("principal");
  summary.account = fields->get("account");
  summary.target = fields->get("target");
  summary.source = fields->get("source");
  summary.outer_session = fields->get("outer_session");
}

ChannelSummary* SessionGrowth::channel_of(std::uint32_t number) {
  const auto known = channels.find(number);
  if (known != channels.end()) return &known->second;
  if (channels.size() >= k_max_channels) return nullptr;
  ChannelSummary& channel = channels[number];
  channel.channel = number;
  return &channel;
}

void SessionGrowth::read_event(const StoredEntry& entry) {
  const auto fields = JsonFields::parse(text_of(entry.body()));
  if (!fields || fields->get("event") != "channel.started") return;
  ChannelSummary* channel = channel_of(static_cast<std::uint32_t>(fields->number("channel").value_or(0)));
  if (channel == nullptr) return;
  channel->kind = fields->get("kind");
  channel->command = fields->get("command");
  channel->pty = fields->is_true("pty");
}

void SessionGrowth::take(const StoredEntry& entry) {
  const auto& header = entry.header;
  summary.entries = std::max(summary.entries, header.sequence);
  summary.stored_bytes += entry.whole.size();
  if (summary.began_us == 0) summary.began_us = header.wall_us;
  summary.last_us = header.wall_us;
  const std::uint64_t size = (header.flags & seal::k_flag_compressed) != 0 ? 0 : header.size;
  ChannelSummary* channel = nullptr;
  switch (header.kind) {
    case EntryKind::header:
      if (const auto body = parse_header_body(entry.body())) {
        summary.wrapped_key = copy_of(body->wrapped_key);
        read_header_json(body->json);
      }
      break;
    case EntryKind::event: read_event(entry); break;
    case EntryKind::data_in:
      if ((channel = channel_of(header.channel)) != nullptr) channel->bytes_in = std::max(channel->bytes_in, header.extra + size);
      break;
    case EntryKind::data_out:
      if ((channel = channel_of(header.channel)) != nullptr) channel->bytes_out = std::max(channel->bytes_out, header.extra + size);
      break;
    case EntryKind::data_err:
      if ((channel = channel_of(header.channel)) != nullptr) channel->bytes_err = std::max(channel->bytes_err, header.extra + size);
      break;
    case EntryKind::typed:
      if ((channel = channel_of(header.channel)) != nullptr) {
        channel->bytes_in += size;
        channel->pty = true;
      }
      break;
    case EntryKind::exit:
      if (const auto fields = JsonFields::parse(text_of(entry.body())); fields && (channel = channel_of(header.channel)) != nullptr)
        channel->exit = fields->get("signal").empty() ? fields->get("status") : fields->get("signal");
      break;
    case EntryKind::end:
      has_end = true;
      if (const auto fields = JsonFields::parse(text_of(entry.body()))) summary.end_reason = fields->get("reason");
      break;
    default: break;
  }
}

std::string SessionGrowth::state(const std::function<bool(const SessionId&)>& is_live) const {
  if (final_head == SessionHead::Why::end) return "complete";
  if (final_head == SessionHead::Why::truncated) return "truncated";
  if (!is_live) return "open";
  if (is_live(summary.session)) return "live";
  return has_end ? "open" : "truncated";
}

SessionSummary SessionGrowth::finish(const std::function<bool(const SessionId&)>& is_live) const {
  SessionSummary done = summary;
  done.state = state(is_live);
  for (const auto& [number, channel] : channels) done.channels.push_back(channel);
  return done;
}

std::string channels_text(const std::map<std::uint32_t, ChannelSummary>& channels) {
  std::string text;
  for (const auto& [number, channel] : channels)
    text += "{\"channel\":" + std::to_string(number) + ",\"kind\":" + json_quote(channel.kind) + ",\"command\":" + json_quote(channel.command) +
            ",\"exit\":" + json_quote(channel.exit) + ",\"pty\":" + (channel.pty ? "true" : "false") + ",\"in\":" + std::to_string(channel.bytes_in) +
            ",\"out\":" + std::to_string(channel.bytes_out) + ",\"err\":" + std::to_string(channel.bytes_err) + "}\n";
  return text;
}

std::map<std::uint32_t, ChannelSummary> channels_in(std::string_view text) {
  std::map<std::uint32_t, ChannelSummary> channels;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const auto fields = JsonFields::parse(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!fields) continue;
    const auto number = static_cast<std::uint32_t>(fields->number("channel").value_or(0));
    const auto count = [&](std::string_view name) { return static_cast<std::uint64_t>(fields->number(name).value_or(0)); };
    channels[number] = {number, std::string(fields->get("kind")), std::string(fields->get("command")), std::string(fields->get("exit")),
                        fields->is_true("pty"), count("in"), count("out"), count("err")};
  }
  return channels;
}

}  // namespace sallyport::replay
