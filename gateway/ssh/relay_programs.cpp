// The one program of a session channel: asked for, judged, started under its filter or guard, or refused.
#include <fmt/format.h>

#include <utility>

#include "gateway/ssh/guard_gate.h"
#include "gateway/ssh/messages.h"
#include "gateway/ssh/program.h"
#include "gateway/ssh/refusal.h"
#include "gateway/ssh/relay.h"
#include "gateway/ssh/sftp_gate.h"
#include "gateway/ssh/transfer_gate.h"

namespace sallyport::gateway {

void Relay::ask_program(Channel& channel, Item& item) {
  crypto::SshReader reader(item.bytes);
  const std::string command = item.request == "shell" ? std::string() : std::string(reader.text());
  const Program program = classify_program(item.request, command);
  channel.program = program.kind;
  channel.held = true;
  control::Envelope question;
  auto* ask = question.mutable_channel_ask();
  ask->set_channel(channel.id);
  ask->set_kind(program.kind);
  ask->set_direction(program.direction);
  ask->set_command(command);
  ask->set_pty(channel.pty);
  ask->set_term(channel.term);
  authority_.ask(std::move(question), k_patient_deadline,
                 [this, id = channel.id](Result<control::Received> answer) { program_answered(id, std::move(answer)); });
}

void Relay::program_answered(std::uint32_t id, Result<control::Received> answer) {
  Channel* channel = find(id);
  if (channel == nullptr || over_) return;
  channel->held = false;
  if (channel->to_target.empty() || mode_ != Mode::relaying) return;
  Notice notice = notice_of_answer(answer);
  if (notice.code.empty()) {
    const auto& decision = answer->envelope.channel_answer();
    channel->bulk = decision.bulk();
    channel->full_recording_bytes = decision.full_recording_bytes();
    install_filter(*channel, decision);
    if (channel->program == "rsync" && channel->filter == nullptr) notice = make_notice("SP-6004");
    if (channel->program == "scp" && channel->filter == nullptr) {
      notice = make_notice("SP-6003");
      tell_refused(id, "scp", notice.code);
    }
  }
  if (notice.code.empty()) {
    Item& asked = channel->to_target.front();
    crypto::SshReader words(asked.bytes);
    const std::string forced = answer->envelope.channel_answer().replaced_command();
    const std::string text = !forced.empty() ? forced : asked.request == "shell" ? std::string() : std::string(words.text());
    auto kept = std::make_shared<Result<control::Received>>(std::move(answer));
    const auto again = [this, id, kept] { program_answered(id, std::move(*kept)); };
    const auto admitted = guards_->admit(*channel, (*kept)->envelope.channel_answer(), forced.empty() ? asked.request : "exec", text, notice, again);
    if (admitted == GuardGate::Admission::wait) {
      channel->held = true;
      return;
    }
    answer = std::move(*kept);
  }
  Item item = std::move(channel->to_target.front());
  channel->to_target.pop_front();
  if (!notice.code.empty()) {
    if (item.want_reply) reply_request(*channel, Side::client, true);
    refuse_program(*channel, notice);
    return turn();
  }
  const auto& decision = answer->envelope.channel_answer();
  std::string replaced = decision.replaced_command();
  if (replaced.empty() && channel->filter) replaced = channel->filter->replaced_command();
  if (!replaced.empty()) {
    item.request = "exec";
    crypto::SshWriter writer;
    writer.string(replaced);
    item.bytes = copy_of(writer.view());
  }
  crypto::SshReader reader(item.bytes);
  const std::string command = item.request == "shell" ? std::string() : std::string(reader.text());
  const Tape::Put put =
      tape_.event(fmt::format(R"({{"event":"channel.started","channel":{},"kind":{},"command":{},"pty":{},"term":{},"columns":{},"rows":{},"decision":{}}})",
                              id, json_string(channel->program), json_string(command), channel->pty, json_string(channel->term), channel->columns,
                              channel->rows, json_string(decision.decision())));
  if (put != Tape::Put::stored) {
    // A full ring with nothing running: the recorder is stuck. No recording, no program.
    tell_refused(id, item.request, "SP-4001");
    if (item.want_reply) reply_request(*channel, Side::client, true);
    refuse_program(*channel, make_notice("SP-4001"));
    return turn();
  }
  channel->decided = true;
  forward_request(*channel, Side::target, item);
  write_asides(*channel);
  if (channel->filter) filter_what_waited(*channel);
  else guards_->started(*channel);
  turn();
}

void Relay::filter_what_waited(Channel& channel) {
  // Clients do not wait for the answer to their request: what they sent ahead meets the gate like everything after it.
  auto waiting = std::exchange(channel.to_target, {});
  channel.to_target_bytes = 0;
  for (Item& item : waiting) {
    if (item.kind != Item::Kind::data || item.extended != 0) {
      channel.to_target.push_back(std::move(item));
      continue;
    }
    Bytes forward;
    Bytes back;
    const bool sound = channel.filter->from_client(item.bytes, forward, back);
    if (!back.empty()) push_data(channel, Side::client, 0, std::move(back), 0);
    if (forward.empty()) credit(channel, Side::client, item.credit);
    else push_data(channel, Side::target, 0, std::move(forward), item.credit);
    if (!sound) return end_channel(channel.id, notice_of_filter(channel.filter->error()));
  }
}

void Relay::refuse_program(Channel& channel, const Notice& notice) {
  channel.decided = true;
  drop_queue(channel, Side::target);
  tell_person(channel, notice);
  close_local(channel, 255);
  if (channel.target.open && !channel.target.sent_close) channel.to_target.push_back(Item{.kind = Item::Kind::close, .bytes = {}, .request = {}});
}

void Relay::install_filter(Channel& channel, const control::ChannelAnswer& answer) {
  FileRules rules;
  rules.apply = answer.file_rules_apply();
  rules.max_file_bytes = answer.max_file_bytes();
  for (const auto& rule : answer.file_rules()) rules.list.push_back({rule.prefix(), rule.up(), rule.down(), rule.change(), rule.hold_up(), rule.hold_change()});
  const StreamFilter::EventSink sink = [this, id = channel.id](std::string_view name, const std::string& json) {
    // The fact stands in the recording before what it tells of goes on; the authority keeps it for the audit log.
    std::string fact = fmt::format(R"({{"event":"{}","channel":{},{})", name, id, std::string_view(json).substr(1));
    if (!untaped_events_.empty() || tape_.event(fact) == Tape::Put::no_room) untaped_events_.push_back(std::move(fact));
    control::Envelope told;
    told.mutable_session_event()->set_name(std::string(name));
    told.mutable_session_event()->set_json(json);
    authority_.tell(std::move(told));
  };
  const std::string command(channel.to_target.empty() ? std::string() : [&] {
    crypto::SshReader reader(channel.to_target.front().bytes);
    return std::string(reader.text());
  }());
  if (channel.program == "sftp") {
    channel.filter = make_sftp_gate(std::move(rules), sink);
  } else if (channel.program == "scp") {
    channel.filter = make_scp_gate(command, std::move(rules), sink);
  } else if (channel.program == "rsync") {
    channel.filter = make_rsync_gate(command, std::move(rules), sink);
  }
  if (channel.filter) channel.filter->on_written = [this](const WrittenFile& file) { tell_written(authority_, file); };
  if (channel.filter) {
    channel.filter->on_refused = [this, id = channel.id](std::string_view code, std::string_view text) { show_refused_file(id, code, text); };
    channel.filter->on_hold = [this, id = channel.id](std::uint32_t act, const std::string& text) { hold_file(id, act, text); };
    channel.filter->on_unheld = [this, id = channel.id] {
      control::Envelope told;
      told.mutable_approval_cancel()->set_channel(id);
      authority_.tell(std::move(told));
    };
  }
  channel.record_content = channel.filter == nullptr || answer.record_content();
}

}  // namespace sallyport::gateway
