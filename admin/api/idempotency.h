// admin/api/idempotency.h -- a POST that is sent twice with the same Idempotency-Key is done once.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>

#include "admin/api/call.h"

namespace sallyport::admin {

/// Remembers the answers of the last POSTs with a key, per caller, in memory: a restart of the authority forgets them. Answers that
/// hold a secret are not kept; their key is then refused. When there are too many, who has most of them loses the oldest, so that
/// nobody can make another one's request be done twice. Who has not signed in has no memory here: her key is passed over.
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
  struct Caller {
    std::map<std::string, std::shared_ptr<Kept>> kept;  ///< by key
    std::deque<std::string> order;                      ///< of the keys, the oldest first
  };
  void make_room();

  std::map<std::string, Caller> callers_;
  std::size_t size_ = 0;
};

}  // namespace sallyport::admin
