// policy/authority/self_service.h -- what `ssh engineer@gateway ls | config | help | whoami | explain CODE` and the menu show.
#pragma once

#include "policy/authority/authority.h"

namespace sallyport::authority {

/// Text for a terminal; no client software needed. Answers only what the asking principal may know about herself.
class SelfServiceDesk {
 public:
  explicit SelfServiceDesk(Authority& authority) : authority_(authority) {}

  void on_ask(Session& session, const control::Envelope& question);

 private:
  [[nodiscard]] std::vector<policy::Reachable> reachable(const Session& session, std::string_view filter) const;
  [[nodiscard]] std::string list(const Session& session, std::string_view filter) const;
  [[nodiscard]] std::string whoami(const Session& session) const;
  [[nodiscard]] std::string config(const Session& session, const control::PublicKeySet& keys) const;
  void reply(Session& session, const control::Envelope& question, std::string text, int exit_status, std::string error_text);
  void menu(Session& session, const control::Envelope& question);

  Authority& authority_;
};

/// "host:port" or "[host]:port" or "host" to its two parts; port 22 when there is none.
struct HostPort {
  std::string host;
  std::string port = "22";
};
[[nodiscard]] HostPort split_host_port(std::string_view text);

}  // namespace sallyport::authority
