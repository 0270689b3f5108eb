// policy/authority/channels.h -- each channel and each request on it: decided, journalled, answered.
#pragma once

#include "policy/authority/authority.h"

namespace sallyport::authority {

class Channels {
 public:
  explicit Channels(Authority& authority) : authority_(authority) {}

  void on_ask(Session& session, const control::Envelope& question);
  void on_closed(Session& session, const control::ChannelClosed& closed);

 private:
  struct Asking;
  void write_down(const std::shared_ptr<Asking>& asking);
  void wait(Session& session, const std::shared_ptr<Asking>& asking);
  void answer(const std::shared_ptr<Asking>& asking, Result<Appended> stored);
  void refuse(Session& session, const control::Envelope& question, const Notice& notice);

  Authority& authority_;
};

}  // namespace sallyport::authority
