// policy/authority/session_links.h -- the control links of all sessions: what comes in is checked against the state table
// and handed to the part that answers it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "policy/authority/authority.h"

namespace sallyport::authority {

class SessionLinks {
 public:
  explicit SessionLinks(Authority& authority) : authority_(authority) {}

  /// A session's link came from the keeper. `again`: it existed before this authority started; its state is taken from the
  /// database, and the session is told to ask again what was not answered.
  void attach(const std::string& label, Fd socket, bool again);
  void on_started(const control::SessionStarted& started);
  void on_exited(const control::SessionExited& exited);
  void on_exchange_signed(const control::ExchangeSigned& told);

  /// What the database says about sessions that were alive when the last authority ended.
  void remember(std::vector<SessionRow> rows, std::vector<ChannelRow> channels);
  /// Those of them whose processes did not come back: they are over.
  void close_lost();

 private:
  void on_message(const std::string& label, control::Received received);
  void restore(Session& session);
  void on_session_event(Session& session, const control::SessionEvent& event);

  Authority& authority_;
  std::map<std::string, SessionRow> rows_;
  std::map<std::string, control::SessionStarted> early_;  ///< started before the keeper's Attach was read
  std::map<std::string, std::vector<ChannelRow>> channels_;
};

}  // namespace sallyport::authority
