// admin/api/idempotency.h -- a POST that is sent twice with the same Idempotency-Key is done once.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>

#include "admin/api/call.h"

namespace sallyport::admin {

/// Remembers the answers of the last POSTs with a key, per caller, in memory: a restart of the authority forgets them. Answers that
/// hold a secret are not kept; their key is then refused.
class Idempotency {
 public:
  /// True: go on (and, with a key, the answer is remembered). False: it was answered here.
  bool admit(const CallPtr& call);

 private:
  struct Kept {
    std::string fingerprint;  ///< of path, query and body
    bool answered = false;
    bool has_secret = false;
    net::HttpResponse response;
  };
  std::map<std::string, std::shared_ptr<Kept>> kept_;
  std::deque<std::string> order_;
};

}  // namespace sallyport::admin
