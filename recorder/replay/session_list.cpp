#include "recorder/replay/session_list.h"

#include <algorithm>
#include <cctype>

#include "platform/model/json_text.h"
#include "recorder/replay/journal_files.h"

namespace sallyport::replay {
namespace {

using seal::EntryKind;

constexpr std::size_t k_max_channels = 4096;  ///< that are told apart in one session

struct Growing {
  SessionSummary summary;
  std::map<std::uint32_t, ChannelSummary> channels;
  bool has_end = false;
  std::optional<SessionHead::Why> final_head;
};

void read_header(Growing& session, const StoredEntry& entry) {
  const auto body = parse_header_body(entry.body());
  if (!body) return;
  session.summary.header_json = body->json;
  session.summary.wrapped_key = copy_of(body->wrapped_key);
  const auto fields = JsonFields::parse(body->json);
  if (!fields) return;
  session.summary.principal = fields->get("principal");
  session.summary.account = fields->get("account");
  session.summary.target = fields->get("target");
  session.summary.source = fields->get("source");
  session.summary.outer_session = fields->get("outer_session");
}

ChannelSummary* channel_of(Growing& session, std::uint32_t number) {
  const auto known = session.channels.find(number);
  if (known != session.channels.end()) return &known->second;
  if (session.channels.size() >= k_max_channels) return nullptr;
  ChannelSummary& channel = session.channels[number];
  channel.channel = number;
  return &channel;
}

void read_event(Growing& session, const StoredEntry& entry) {
  const auto fields = JsonFields::parse(text_of(entry.body()));
  if (!fields || fields->get("event") != "channel.started") return;
  ChannelSummary* channel = channel_of(session, static_cast<std::uint32_t>(fields->number("channel").value_or(0)));
  if (channel == nullptr) return;
  channel->kind = fields->get("kind");
  channel->command = fields->get("command");
  channel->pty = fields->is_true("pty");
}

void take(Growing& session, const StoredEntry& entry) {
  const auto& header = entry.header;
  SessionSummary& summary = session.summary;
  summary.entries = std::max(summary.entries, header.sequence);
  summary.stored_bytes += entry.whole.size();
  if (summary.began_us == 0) summary.began_us = header.wall_us;
  summary.last_us = header.wall_us;
  const std::uint64_t size = (header.flags & seal::k_flag_compressed) != 0 ? 0 : header.size;
  ChannelSummary* channel = nullptr;
  switch (header.kind) {
    case EntryKind::header: read_header(session, entry); break;
    case EntryKind::event: read_event(session, entry); break;
    case EntryKind::data_in:
      if ((channel = channel_of(session, header.channel)) != nullptr) channel->bytes_in = std::max(channel->bytes_in, header.extra + size);
      break;
    case EntryKind::data_out:
      if ((channel = channel_of(session, header.channel)) != nullptr) channel->bytes_out = std::max(channel->bytes_out, header.extra + size);
      break;
    case EntryKind::data_err:
      if ((channel = channel_of(session, header.channel)) != nullptr) channel->bytes_err = std::max(channel->bytes_err, header.extra + size);
      break;
    case EntryKind::typed:
      if ((channel = channel_of(session, header.channel)) != nullptr) {
        channel->bytes_in += size;
        channel->pty = true;
      }
      break;
    case EntryKind::exit:
      if (const auto fields = JsonFields::parse(text_of(entry.body())); fields && (channel = channel_of(session, header.channel)) != nullptr)
        channel->exit = fields->get("signal").empty() ? fields->get("status") : fields->get("signal");
      break;
    case EntryKind::end:
      session.has_end = true;
      if (const auto fields = JsonFields::parse(text_of(entry.body()))) summary.end_reason = fields->get("reason");
      break;
    default: break;
  }
}

std::string state_of(const Growing& session, const std::function<bool(const SessionId&)>& is_live) {
  if (session.final_head == SessionHead::Why::end) return "complete";
  if (session.final_head == SessionHead::Why::truncated) return "truncated";
  if (!is_live) return "open";
  if (is_live(session.summary.session)) return "live";
  return session.has_end ? "open" : "truncated";
}

std::string upper(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return result;
}

}  // namespace

Result<SessionList> list_sessions(const SessionListOptions& options) {
  auto files = JournalFiles::open(options.journal);
  if (!files) return tl::unexpected(files.error());
  SessionList list;
  files->on_damage([&list](const FileDamage&) { ++list.damages; });
  files->set_checks({.crc = false, .at_rest = false});
  std::map<seal::Label, Growing> sessions;
  const std::string wanted = upper(options.session);
  while (const auto frame = files->next()) {
    const auto type = static_cast<FrameType>(frame->header.type);
    if (type == FrameType::checkpoint) {
      if (auto note = crypto::parse_note(text_of(frame->payload))) list.newest_checkpoint = std::move(*note);
    } else if (type == FrameType::session_head) {
      const auto head = parse_session_head(frame->payload);
      if (!head || (head->why != SessionHead::Why::end && head->why != SessionHead::Why::truncated)) continue;
      const auto known = sessions.find(head->label);
      if (known != sessions.end()) known->second.final_head = head->why;
    } else if (type == FrameType::entries) {
      auto entries = EntriesFrame::parse(frame->payload);
      if (!entries || !seal::text_of(entries->label()).starts_with(wanted)) continue;
      Growing& session = sessions[entries->label()];
      if (session.summary.session.empty()) session.summary.session = SessionId(std::string(seal::text_of(entries->label())));
      while (const auto entry = entries->next()) take(session, *entry);
      if (!entries->is_sound()) ++list.damages;
    }
  }
  for (auto& [label, session] : sessions) {
    session.summary.state = state_of(session, options.is_live);
    for (auto& [number, channel] : session.channels) session.summary.channels.push_back(std::move(channel));
    list.sessions.push_back(std::move(session.summary));
  }
  std::stable_sort(list.sessions.begin(), list.sessions.end(), [](const auto& a, const auto& b) { return a.began_us < b.began_us; });
  return list;
}

Result<SessionSummary> find_session(const std::filesystem::path& journal, std::string_view prefix,
                                    const std::function<bool(const SessionId&)>& is_live) {
  auto list = list_sessions({journal, std::string(prefix), is_live});
  if (!list) return tl::unexpected(list.error());
  if (list->sessions.empty()) return fail(Errc::not_found, "no session " + std::string(prefix) + " in the journal");
  if (list->sessions.size() > 1)
    return fail(Errc::conflict, std::to_string(list->sessions.size()) + " sessions begin with " + std::string(prefix) + ": give more of its name");
  return std::move(list->sessions.front());
}

}  // namespace sallyport::replay
