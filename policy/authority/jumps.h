// policy/authority/jumps.h -- `ssh -J gateway target`: a second session inside a session without a target.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "policy/authority/authority.h"

namespace sallyport::authority {

/// Decide, journal, make a socketpair, let the listener fork a session on one end, hand the other to the outer session. The
/// inner session logs in anew; see Logins::begin.
class Jumps {
 public:
  explicit Jumps(Authority& authority) : authority_(authority) {}

  void on_open(Session& outer, const control::Envelope& question);

 private:
  struct Order;
  void spawn(const std::shared_ptr<Order>& order, std::vector<std::string> certificates);
  void refuse(Session& outer, const control::Envelope& question, const Notice& notice);

  Authority& authority_;
};

}  // namespace sallyport::authority
