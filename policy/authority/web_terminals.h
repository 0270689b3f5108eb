// policy/authority/web_terminals.h -- a session for a terminal in a browser: the same session process, guard and recording as by ssh.
//
// The admin side starts a helper that is an SSH client with a key of its own making; the listener forks a session for it on one end
// of a socketpair. That key proves who the browser's login was, for this one session and nobody else; what the policy wants beyond
// (a fresh second factor) is asked in the terminal.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "platform/os/fd.h"
#include "policy/authority/acts.h"
#include "policy/identity/login.h"

namespace sallyport::authority {

class WebTerminals {
 public:
  explicit WebTerminals(Authority& authority) : authority_(authority) {}

  /// `theirs`: the end that the session process gets; `key_blob`: the helper's public key. Gives the session's label. Errc::denied: who asks
  /// is no principal; Errc::unavailable.
  void open(const Operator& who, const std::string& key_blob, std::uint16_t peer_port, const Fd& theirs, std::function<void(Result<std::string>)> done);

  /// For Logins: what this session's login may be proven by. Nothing: it is no browser's.
  [[nodiscard]] std::optional<policy::WebLogin> login_of(const std::string& label) const;
  void forget(const std::string& label) { logins_.erase(label); }

 private:
  Authority& authority_;
  std::map<std::string, policy::WebLogin> logins_;
};

}  // namespace sallyport::authority
