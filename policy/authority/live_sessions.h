// policy/authority/live_sessions.h -- sessions that are open: judged again when anything changes, cut, ended, accounted.
#pragma once

#include <string>

#include "policy/authority/authority.h"

namespace sallyport::authority {

class LiveSessions {
 public:
  explicit LiveSessions(Authority& authority);
  ~LiveSessions();

  /// Policy or locks have changed: every session and every open channel is judged now.
  void judge_all();
  /// Judges one session and its channels; cuts what is no longer allowed.
  void judge(Session& session);

  /// Tells the session to end and why; the process is killed when it has not ended 5 s later. Never waits for the journal:
  /// taking access away must work when everything else is broken.
  void cut(Session& session, const Notice& notice);
  void cut_channel(Session& session, std::uint32_t channel, const Notice& notice);
  /// The session broke the protocol: it is killed at once.
  void punish(Session& session, std::string_view what);

  /// The control link is closed: the process is gone, or as good as.
  void on_link_lost(Session& session, const Error& error);
  void on_exited(Session& session, const control::SessionExited& exited);

  /// The role's longest duration, counted from the session's start.
  void set_longest(Session& session, std::optional<std::chrono::seconds> longest);
  /// Why this session could not be opened now; empty code when it could.
  [[nodiscard]] Notice judge_session(const Session& session) const;
  [[nodiscard]] std::uint32_t parallel_sessions(const Session& session) const;

 private:
  void sweep();
  void tell_guard_rules(Session& session);
  /// The session still stands, perhaps by other terms: tells it those that changed.
  void follow_limits(Session& session);
  void follow_files(Session& session, std::uint32_t channel, const policy::Obligations& duties);
  void kill(Session& session);
  void release(Session& session);
  void finish(Session& session);

  Authority& authority_;
  Deadlines::Handle sweep_ = 0;
  WallTime swept_{};
};

}  // namespace sallyport::authority
