#include "recorder/replay/session_list.h"

#include <algorithm>
#include <cctype>

#include "recorder/replay/journal_files.h"
#include "recorder/replay/session_growth.h"

namespace sallyport::replay {
namespace {

constexpr std::size_t k_most_handovers = 1'000'000;

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
  std::map<seal::Label, SessionGrowth> sessions;
  const std::string wanted = upper(options.session);
  while (const auto frame = files->next()) {
    const auto type = static_cast<FrameType>(frame->header.type);
    if (type == FrameType::checkpoint) {
      if (auto note = crypto::parse_note(text_of(frame->payload))) {
        if (note->body.find("\nnext-key ") != std::string::npos && list.handovers.size() < k_most_handovers) list.handovers.push_back(*note);
        list.newest_checkpoint = std::move(*note);
      }
    } else if (type == FrameType::session_head) {
      const auto head = parse_session_head(frame->payload);
      if (!head || (head->why != SessionHead::Why::end && head->why != SessionHead::Why::truncated)) continue;
      const auto known = sessions.find(head->label);
      if (known != sessions.end()) known->second.final_head = head->why;
    } else if (type == FrameType::entries) {
      auto entries = EntriesFrame::parse(frame->payload);
      if (!entries || !seal::text_of(entries->label()).starts_with(wanted)) continue;
      SessionGrowth& session = sessions[entries->label()];
      if (session.summary.session.empty()) session.summary.session = SessionId(std::string(seal::text_of(entries->label())));
      while (const auto entry = entries->next()) session.take(*entry);
      if (!entries->is_sound()) ++list.damages;
    }
  }
  for (const auto& [label, session] : sessions) list.sessions.push_back(session.finish(options.is_live));
  std::stable_sort(list.sessions.begin(), list.sessions.end(), [](const auto& a, const auto& b) { return a.began_us < b.began_us; });
  return list;
}

Result<SessionSummary> find_session(const JournalPlace& journal, std::string_view prefix,
                                    const std::function<bool(const SessionId&)>& is_live) {
  auto list = list_sessions({journal, std::string(prefix), is_live});
  if (!list) return tl::unexpected(list.error());
  if (list->sessions.empty()) return fail(Errc::not_found, "no session " + std::string(prefix) + " in the journal");
  if (list->sessions.size() > 1)
    return fail(Errc::conflict, std::to_string(list->sessions.size()) + " sessions begin with " + std::string(prefix) + ": give more of its name");
  return std::move(list->sessions.front());
}

}  // namespace sallyport::replay
