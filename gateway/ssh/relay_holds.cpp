// Acts that this process holds until a person agrees: requests of a file protocol, tunnels that lead onward.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "gateway/ssh/guard_gate.h"
#include "gateway/ssh/refusal.h"
#include "gateway/ssh/relay.h"
#include "platform/model/utf8.h"

namespace sallyport::gateway {

void Relay::ask_person(std::uint32_t channel, std::string kind, std::string text, std::string why, std::function<void(bool, std::string)> answered) {
  control::Envelope question;
  auto* ask = question.mutable_approval_ask();
  ask->set_channel(channel);
  ask->set_kind(std::move(kind));
  ask->set_text(escape_not_utf8(text.substr(0, 16 * 1024)));
  ask->set_why(escape_not_utf8(why.substr(0, 4096)));
  authority_.ask(std::move(question), k_patient_deadline, [answered = std::move(answered)](Result<control::Received> answer) {
    if (!answer) return answered(false, render(notice_of_error(answer.error())));
    const control::ApprovalAnswer& said = answer->envelope.approval_answer();
    if (said.outcome() != control::ApprovalAnswer::GRANTED) return answered(false, render(notice_of(said.refusal())));
    std::string who;
    for (const std::string& name : said.approvers()) who += (who.empty() ? "" : ", ") + name;
    answered(true, printable(who, 200));
  });
}

void Relay::hold_file(std::uint32_t id, std::uint32_t act, const std::string& text) {
  ask_person(id, "file", text, "the file rules hold it", [this, id, act](bool granted, const std::string& said) {
    Channel* channel = find(id);
    if (channel == nullptr || !channel->filter || over_) return;
    Bytes to_target;
    Bytes to_client;
    channel->filter->decided(act, granted, said, to_target, to_client);
    if (!to_target.empty()) push_data(*channel, Side::target, 0, std::move(to_target), 0);
    if (!to_client.empty()) push_data(*channel, Side::client, 0, std::move(to_client), 0);
    turn();
  });
}

void Relay::tell_fact(const std::string& json) {
  if (!untaped_events_.empty() || tape_.event(json) == Tape::Put::no_room) untaped_events_.push_back(json);
}

void Relay::taken_keys(const control::TakenKeys& keys) {
  const std::string by = printable(keys.by(), 200);
  if (keys.step() != control::TakenKeys::TYPED) {
    const bool taken = keys.step() == control::TakenKeys::TAKEN;
    keyboard_of_ = taken ? by : std::string();
    tell_fact(fmt::format(R"({{"event":"keyboard.{}","by":{}}})", taken ? "taken" : "returned", json_string(by)));
    return show_message(taken ? by + " has the keyboard; what you type is dropped" : by + " has returned the keyboard to you");
  }
  if (keyboard_of_.empty() || keyboard_of_ != by) return;
  const auto found = std::find_if(channels_.begin(), channels_.end(), [](const auto& one) {
    const Channel& channel = *one.second;
    return channel.kind == ChannelKind::session && channel.pty && !channel.local && channel.decided && channel.target.open && !channel.client.sent_close;
  });
  if (found == channels_.end() || keys.data().empty()) return;
  Channel& channel = *found->second;
  if (channel.to_target_bytes > k_window) return;
  const auto data = bytes_of(keys.data());
  channel.client.foreign += static_cast<std::uint32_t>(data.size());
  channel.bytes_in += data.size();
  last_input_us_ = system_clock().boot().count();
  // From here on as if the client had typed it: the guard judges it, the tape has it.
  if (!channel.guard || !guards_->from_client(channel, data)) accept_data(channel, Side::client, 0, data);
  turn();
}

void Relay::hold_onward(Channel& channel, std::string_view protocol) {
  channel.held = true;
  channel.onward_asked = true;
  const std::string text = fmt::format("onward connection ({}) through the {} {}", protocol, channel.program, channel.id);
  ask_person(channel.id, "tunnel", text, "its first bytes lead onward", [this, id = channel.id](bool granted, const std::string& said) {
    Channel* asked = find(id);
    if (asked == nullptr || !asked->onward_asked || over_) return;
    asked->onward_asked = false;
    if (granted) {
      asked->held = false;
    } else {
      Notice notice = make_notice("SP-9202", said);
      end_channel(id, notice);
    }
    turn();
  });
}

}  // namespace sallyport::gateway
