#include "gateway/ssh/bare_session.h"

#include <boost/asio/post.hpp>
#include <utility>

#include "gateway/ssh/menu.h"
#include "gateway/ssh/refusal.h"
#include "platform/model/utf8.h"

namespace sallyport::gateway {
namespace {

constexpr std::chrono::milliseconds k_deadline{30'000};
constexpr std::size_t k_longest_command = 4096;
constexpr std::size_t k_most_unread = 2 * 1024 * 1024;
constexpr std::size_t k_piece = 16 * 1024;

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
  question.mutable_self_service()->set_command(escape_not_utf8(command.substr(0, k_longest_command)));
  question.mutable_self_service()->set_channel(channel.id);
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
  if (answered.stays()) {
    joined_.insert(id);
    return relay_.turn();
  }
  relay_.close_local(*channel, answered.exit_status());
  relay_.turn();
}

void BareSession::joined_output(const control::JoinedOutput& output) {
  Channel* channel = relay_.find(output.channel());
  if (channel == nullptr || !joined_.contains(output.channel())) return;
  // Who does not read misses something; she can replay it. Her memory of it has a bound.
  if (channel->to_client_bytes < k_most_unread) relay_.write_local(*channel, output.data());
  if (output.over()) {
    joined_.erase(output.channel());
    relay_.close_local(*channel, output.exit_status());
  }
  relay_.turn();
}

void BareSession::input(Channel& channel, std::span<const std::byte> data) {
  if (joined_.contains(channel.id)) {
    for (; !data.empty(); data = data.subspan(std::min(data.size(), k_piece))) {
      control::Envelope told;
      told.mutable_joined_keys()->set_channel(channel.id);
      told.mutable_joined_keys()->set_data(std::string(text_of(data.first(std::min(data.size(), k_piece)))));
      authority_.tell(std::move(told));
    }
    return;
  }
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

void BareSession::closed(Channel& channel) {
  menus_.erase(channel.id);
  if (joined_.erase(channel.id) == 0) return;
  control::Envelope told;
  told.mutable_joined_keys()->set_channel(channel.id);
  told.mutable_joined_keys()->set_closed(true);
  authority_.tell(std::move(told));
}

}  // namespace sallyport::gateway
