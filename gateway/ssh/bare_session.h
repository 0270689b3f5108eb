// gateway/ssh/bare_session.h -- `ssh engineer@gateway`: menu on a terminal, ls, config, help, whoami, explain elsewhere.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "gateway/ssh/relay.h"

namespace sallyport::gateway {

class Menu;

/// Knows nothing itself: every answer comes from the authority (SelfService), which decides and journals.
class BareSession final : public BareService {
 public:
  BareSession(Relay& relay, AuthorityClient& authority, std::string principal);
  ~BareSession() override;

  void start(Channel& channel, const std::string& command) override;
  void input(Channel& channel, std::span<const std::byte> data) override;
  void resized(Channel& channel) override;
  void closed(Channel& channel) override;

  /// What a person who joined a session sees of it.
  void joined_output(const control::JoinedOutput& output);

  /// A target was chosen in the menu; whoever listens goes on with the channel.
  std::function<void(Channel& channel, const std::string& account, const std::string& target)> on_chosen;

 private:
  void answer(std::uint32_t channel, Result<control::Received> answer);

  Relay& relay_;
  AuthorityClient& authority_;
  std::string principal_;
  std::map<std::uint32_t, std::unique_ptr<Menu>> menus_;
  std::set<std::uint32_t> joined_;
};

}  // namespace sallyport::gateway
