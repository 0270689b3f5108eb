// policy/authority/channels.h -- each channel and each request on it: decided, journalled, answered.
#pragma once

#include "policy/authority/authority.h"
#include "policy/authority/event_texts.h"
#include "policy/authority/guard_files.h"

namespace sallyport::authority {

class Channels {
 public:
  explicit Channels(Authority& authority) : authority_(authority), texts_(authority) {}

  void on_ask(Session& session, const control::Envelope& question);
  void on_closed(Session& session, const control::ChannelClosed& closed);
  /// Files that the session wrote on its target: known to the guard of the principal's later channels there.
  void on_guard_files(Session& session, const control::GuardFiles& files);
  /// What is typed and run, as it goes into events.
  [[nodiscard]] EventTexts& texts() noexcept { return texts_; }

 private:
  struct Asking;
  void judge(Session& session, const control::Envelope& question);
  void write_down(const std::shared_ptr<Asking>& asking);
  void wait(Session& session, const std::shared_ptr<Asking>& asking);
  /// Allowed, but only once others have agreed.
  [[nodiscard]] static bool is_held(const Asking& asking);
  void wait_for_agreement(Session& session, const std::shared_ptr<Asking>& asking);
  void answer(const std::shared_ptr<Asking>& asking, Result<Appended> stored);
  void refuse(Session& session, const control::Envelope& question, const Notice& notice);

  Authority& authority_;
  EventTexts texts_;
  GuardFileTable files_;
};

}  // namespace sallyport::authority
