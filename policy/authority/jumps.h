// policy/authority/jumps.h -- `ssh -J gateway target`: a second session inside a session without a target.
#pragma once

#include "policy/authority/authority.h"

namespace sallyport::authority {

/// Decide, journal, make a socketpair, let the listener fork a session on one end, hand the other to the outer session. The
/// inner session logs in anew; see Logins::begin.
class Jumps {
 public:
  explicit Jumps(Authority& authority) : authority_(authority) {}

  void on_open(Session& outer, const control::Envelope& question);

 private:
  void spawn(Session& outer, const control::Envelope& question, const TargetId& target, std::uint32_t port, const std::string& decision);
  void refuse(Session& outer, const control::Envelope& question, const Notice& notice);

  Authority& authority_;
};

}  // namespace sallyport::authority
