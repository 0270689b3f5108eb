// admin/api/terminals.h -- terminals in a browser: one helper process (an SSH client) and one session of the listener for each.
//
// A terminal belongs to who opened it. The browser speaks WebSocket (RFC 6455): binary messages are bytes of the terminal, text
// messages are JSON ({"k": ...}, docs/reference/admin-api.md). A socket is opened with a ticket that is good once, for 30 s. When
// the socket is lost the terminal waits 30 s for another; what came meanwhile is given again from where the browser was.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "admin/api/call.h"

namespace sallyport::admin {

class Terminals {
 public:
  explicit Terminals(authority::Administration& administration) : administration_(administration) {}
  ~Terminals();

  void serve(const CallPtr& call);
  /// Who may use the ticket that the browser shows as a subprotocol; nothing: no such ticket.
  [[nodiscard]] std::optional<authority::Operator> holder_of(const net::HttpRequest& request) const;

 private:
  struct Terminal;
  using TerminalPtr = std::shared_ptr<Terminal>;

  void create(const CallPtr& call);
  void begin(const CallPtr& call, const TerminalPtr& terminal, const std::string& key);
  void connect(const CallPtr& call, const TerminalPtr& terminal);
  void hear(const TerminalPtr& terminal, std::uint64_t turn, std::string_view bytes);
  void take(const TerminalPtr& terminal, const std::string& text);
  void show(const TerminalPtr& terminal, std::string_view bytes);
  void look(const TerminalPtr& terminal, std::uint64_t turn);
  void lose(const TerminalPtr& terminal);
  void end(const TerminalPtr& terminal, const std::string& text);
  void ended(const TerminalPtr& terminal, const std::string& text);
  void tell_end(const TerminalPtr& terminal, const std::shared_ptr<net::HttpStream>& to);
  void forget(const TerminalPtr& terminal);
  [[nodiscard]] TerminalPtr find(const Call& call, const std::string& id) const;
  [[nodiscard]] std::string new_ticket(Terminal& terminal);

  authority::Administration& administration_;
  std::map<std::string, TerminalPtr> terminals_;
};

}  // namespace sallyport::admin
