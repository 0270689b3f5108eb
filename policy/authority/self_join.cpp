#include "policy/authority/self_join.h"

#include <utility>

#include "policy/authority/moderation.h"

namespace sallyport::authority {

bool ask_to_join(Authority& authority, const Session& session, std::uint32_t channel, const std::vector<std::string>& words,
                 std::function<void(std::string, int, std::string, bool)> answered) {
  if (words.front() != "join") return false;
  std::string reason;
  for (std::size_t i = 3; i < words.size(); ++i) reason += (reason.empty() ? "" : " ") + words[i];
  const bool is_sound = words.size() == 2 || (words.size() > 3 && words[2] == "--reason" && reason.size() <= 1024);
  if (!is_sound) {
    answered({}, 2, "sallyport: which session?\nWrite: ssh PRINCIPAL@gateway join SESSION [--reason WHY]\n", false);
    return true;
  }
  Operator who;
  who.principal = session.identity->principal.str();
  who.name = who.principal;
  who.source = session.row.source;
  authority.moderation->join(who, words[1], reason, &session, channel, [answered = std::move(answered)](const Result<std::string>& seat) {
    if (seat) {
      const std::string head = "sallyport: joined. " + std::string(join_help()) + "\n";
      return answered(head, 0, {}, true);
    }
    const Error& error = seat.error();
    const bool denied = error.code == Errc::denied;
    const char* code = denied ? "SP-9802" : error.code == Errc::not_found ? "SP-7002" : error.code == Errc::conflict ? "SP-7001" : "SP-4004";
    answered({}, denied ? 4 : error.code == Errc::not_found ? 3 : 1, render(make_notice(code, printable(error.detail))) + "\n", false);
  });
  return true;
}

}  // namespace sallyport::authority
