#include "gateway/ssh/bare_session.h"

#include <boost/asio/post.hpp>
#include <utility>

#include "gateway/ssh/menu.h"
#include "gateway/ssh/refusal.h"

namespace sallyport::gateway {
namespace {

constexpr std::chrono::milliseconds k_deadline{30'000};
constexpr std::size_t k_longest_command = 4096;

[[nodiscard]] std::string for_terminal(const std::string& text, bool is_terminal) {
  if (!is_terminal) return text;
  std::string out;
  for (const char c : text) {
    if (c == '\n') out += '\r';
    out += c;
  }
  return out;
}

}  // namespace

BareSession::BareSession(Relay& relay, AuthorityClient& authority, std::string principal)
    : relay_(relay), authority_(authority), principal_(std::move(principal)) {}
BareSession::~BareSession() = default;

void BareSession::start(Channel& channel, const std::string& command) {
  if (command.empty() && !channel.pty) {
    relay_.write_local(channel, render(make_notice("SP-2023")) + "\n", true);
    return relay_.close_local(channel, 255);
  }
  control::Envelope question;
  question.mutable_self_service()->set_command(command.substr(0, k_longest_command));
  authority_.ask(std::move(question), k_deadline,
                 [this, id = channel.id](Result<control::Received> got) { answer(id, std::move(got)); });
}

void BareSession::answer(std::uint32_t id, Result<control::Received> got) {
  Channel* channel = relay_.find(id);
  if (channel == nullptr) return;
  if (!got) {
    relay_.write_local(*channel, for_terminal(render(notice_of_error(got.error())) + "\n", channel->pty), true);
    relay_.close_local(*channel, 255);
    return relay_.turn();
  }
  const control::SelfServiceAnswer& answered = got->envelope.self_service_answer();
  if (channel->pty && answered.text().empty() && answered.error_text().empty()) {
    std::vector<Menu::Row> rows;
    for (const auto& row : answered.rows()) rows.push_back({row.target(), row.account(), row.labels()});
    auto menu = std::make_unique<Menu>(principal_, std::move(rows), channel->columns, channel->rows);
    relay_.write_local(*channel, menu->draw());
    menus_[id] = std::move(menu);
    return relay_.turn();
  }
  relay_.write_local(*channel, for_terminal(answered.text(), channel->pty));
  relay_.write_local(*channel, for_terminal(answered.error_text(), channel->pty), !channel->pty);
  relay_.close_local(*channel, answered.exit_status());
  relay_.turn();
}

void BareSession::input(Channel& channel, std::span<const std::byte> data) {
  const auto found = menus_.find(channel.id);
  if (found == menus_.end()) return;
  Menu& menu = *found->second;
  switch (menu.key(data)) {
    case Menu::Outcome::goes_on: relay_.write_local(channel, menu.draw()); break;
    case Menu::Outcome::quit:
      relay_.write_local(channel, menu.leave());
      relay_.close_local(channel, 0);
      menus_.erase(found);
      break;
    case Menu::Outcome::chosen: {
      const Menu::Row row = *menu.chosen();
      relay_.write_local(channel, menu.leave());
      menus_.erase(found);
      if (on_chosen) on_chosen(channel, row.account, row.target);
      break;
    }
  }
}

void BareSession::resized(Channel& channel) {
  const auto found = menus_.find(channel.id);
  if (found == menus_.end()) return;
  found->second->resize(channel.columns, channel.rows);
  relay_.write_local(channel, found->second->draw());
}

void BareSession::closed(Channel& channel) { menus_.erase(channel.id); }

}  // namespace sallyport::gateway
