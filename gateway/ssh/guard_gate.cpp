#include "gateway/ssh/guard_gate.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <utility>

#include "gateway/ssh/line_guard.h"
#include "gateway/ssh/redacted.h"
#include "gateway/ssh/refusal.h"
#include "gateway/ssh/relay.h"
#include "gateway/ssh/written_files.h"
#include "platform/model/utf8.h"

namespace sallyport::gateway {
namespace {

constexpr std::size_t k_most_shown = std::size_t{16} * 1024;
constexpr std::size_t k_longest_input_line = 64 * 1024;

[[nodiscard]] std::int64_t now_us() { return system_clock().boot().count(); }

[[nodiscard]] std::string sentence(const guard::Finding* worst) {
  if (worst == nullptr) return {};
  std::string why = worst->rule + ": " + worst->reason;
  if (!worst->remedy.empty()) why += (why.ends_with('.') ? " " : ". ") + worst->remedy;
  while (why.ends_with('.')) why.pop_back();
  return why;
}

}  // namespace

struct GuardActions : LineGuard::Actions {};

/// The guard of one channel.
struct ChannelGuard {
  explicit ChannelGuard(boost::asio::io_context& io) : timer(io) {}

  /// The guard with the newest rules; they are compiled here, at the line that needs them.
  guard::Guard& judge() {
    if (stale) {
      stale = false;
      auto read = guard::RuleSet::from_bytes(bytes_of(rules));
      // The authority compiled them: what cannot be read is a fault of ours, and nothing passes then.
      broken = !read;
      auto set = read ? std::move(*read) : guard::RuleSet::none();
      if (guard) guard->set_rules(std::move(set));
      else guard.emplace(std::move(set), std::move(state));
      for (const control::GuardFile& file : files)
        guard->file_written(file.path(), file.sha256(), file.text_known() ? std::optional<std::string_view>(file.text()) : std::nullopt);
      files.clear();
      rules.clear();
      rules.shrink_to_fit();
    }
    return *guard;
  }
  guard::Judgement judge(std::string_view text, guard::Dialect dialect, guard::Origin origin) {
    guard::Guard& here = judge();
    if (!broken) return here.judge(text, dialect, origin);
    guard::Judgement out;
    out.verdict = guard::Verdict::deny;
    guard::Finding finding;
    finding.verdict = guard::Verdict::deny;
    finding.rule = "opaque/unreadable";
    finding.reason = "the rules could not be read";
    finding.code = "SP-9100";
    out.findings.push_back(std::move(finding));
    return out;
  }

  std::string rules;
  std::vector<control::GuardFile> files;  ///< written by the principal before; known to the guard once it is made
  bool stale = false;
  bool broken = false;
  guard::ShellState state;
  std::optional<guard::Guard> guard;
  std::unique_ptr<LineGuard> line;
  boost::asio::steady_timer timer;
  std::int64_t timer_at = 0;
  std::uint32_t uncredited = 0;
  bool agreed = false;              ///< a person let the program go
  bool asking = false;
  std::optional<guard::Judgement> program;  ///< an exec on a terminal, until it starts
  bool watches_input = false;       ///< standard input is judged line by line
  guard::Dialect input_dialect = guard::Dialect::shell;
  std::string input_line, input_block;
};

GuardGate::GuardGate(boost::asio::io_context& io, Relay& relay, AuthorityClient& authority) : io_(io), relay_(relay), authority_(authority) {}

void GuardGate::tell(Channel& channel, const std::string& json) {
  std::string fact = fmt::format(R"({{"event":"guard.judged","channel":{},{})", channel.id, std::string_view(json).substr(1));
  if (!relay_.untaped_events_.empty() || relay_.tape_.event(fact) == Tape::Put::no_room) relay_.untaped_events_.push_back(std::move(fact));
  control::Envelope told;
  told.mutable_session_event()->set_name("guard.judged");
  told.mutable_session_event()->set_json(fmt::format(R"({{"channel":{},{})", channel.id, std::string_view(json).substr(1)));
  authority_.tell(std::move(told));
}

void GuardGate::remember(Channel& channel, std::string_view text, guard::Dialect dialect) {
  guard::Guard& here = channel.guard->judge();
  here.ran(text, dialect);
  for (const auto& [path, content] : here.take_written()) tell_written(authority_, WrittenFile{path, {}, content ? content->size() : 0, content});
}

void GuardGate::ask_person(Channel& channel, std::string text, std::string rule, std::string why, std::function<void(bool, std::string)> answered) {
  text = escape_not_utf8(text);
  // Nobody can agree to what she is not shown: the end of a long command would run unseen. Answered later, as by a person.
  if (text.size() > k_most_shown) {
    boost::asio::post(io_, [answered = std::move(answered)] { answered(false, "its length, more than the 16 KiB that a person is shown,"); });
    return;
  }
  control::Envelope question;
  auto* ask = question.mutable_approval_ask();
  ask->set_channel(channel.id);
  ask->set_kind("command");
  ask->set_text(text);
  ask->set_rule(escape_not_utf8(rule.substr(0, 255)));
  ask->set_why(escape_not_utf8(why.substr(0, 4096)));
  authority_.ask(std::move(question), k_patient_deadline, [answered = std::move(answered)](Result<control::Received> answer) {
    if (!answer) return answered(false, answer.error().detail);
    const control::ApprovalAnswer& said = answer->envelope.approval_answer();
    std::string who;
    for (const std::string& name : said.approvers()) who += (who.empty() ? "" : ", ") + name;
    const bool granted = said.outcome() == control::ApprovalAnswer::GRANTED;
    if (!granted && who.empty()) who = said.refusal().why().empty() ? said.refusal().what() : said.refusal().why();
    answered(granted, printable(who, 200));
  });
}

GuardGate::Admission GuardGate::admit(Channel& channel, const control::ChannelAnswer& decision, std::string_view request, const std::string& command,
                                      Notice& notice, std::function<void()> again) {
  if (decision.guard_rules().empty()) return Admission::go;
  if (!channel.guard) {
    channel.guard = std::make_shared<ChannelGuard>(io_);
    channel.guard->rules = decision.guard_rules();
    for (const control::GuardFile& file : decision.guard_files()) channel.guard->files.push_back(file);
    channel.guard->stale = true;
    channel.guard->state.user = relay_.identity_.account();
  }
  ChannelGuard& here = *channel.guard;
  if (here.asking) return Admission::wait;
  if (request == "shell") return Admission::go;
  const std::string text = request == "subsystem" && command == "sftp" ? "sftp-server" : command;
  if (here.agreed) {
    remember(channel, text, guard::Dialect::shell);
    return Admission::go;
  }
  const guard::Judgement judgement = here.judge(text, guard::Dialect::shell, guard::Origin::exec);
  const guard::Finding* worst = judgement.worst();
  if (judgement.enters && !channel.pty) {
    here.watches_input = true;
    here.input_dialect = *judgement.enters;
  }
  if (channel.pty) here.program = judgement;
  if (judgement.verdict <= guard::Verdict::alert) remember(channel, text, guard::Dialect::shell);
  if (judgement.verdict == guard::Verdict::allow) return Admission::go;
  const bool goes_on = judgement.verdict == guard::Verdict::alert;
  const bool asks = judgement.verdict == guard::Verdict::approve;
  const std::string why = sentence(worst);
  const auto report = [this, id = channel.id, text, why, verdict = judgement.verdict, rule = worst == nullptr ? std::string() : worst->rule,
                       opaque = worst != nullptr && worst->opaque != guard::Opaque::none](bool went_on, const std::string& by) {
    Channel* asked = relay_.find(id);
    if (asked == nullptr) return;
    tell(*asked, fmt::format(R"({{"source":"exec","verdict":"{}","decision":"{}","code":"{}","rule":{},"why":{},"text":{},"opaque":{},"by":{}}})",
                             guard::name_of(verdict), went_on ? "allow" : "deny", went_on ? "" : "SP-9109", json_string(rule), json_string(why),
                             json_string(redacted(text)), opaque, json_string(by)));
  };
  if (goes_on) {
    report(true, {});
    return Admission::go;
  }
  if (asks) {
    here.asking = true;
    ask_person(channel, shown_to_approver(text), worst == nullptr ? "" : worst->rule, why,
               [this, id = channel.id, report, again = std::move(again)](bool granted, const std::string& by) {
                 Channel* asked = relay_.find(id);
                 if (asked == nullptr || !asked->guard) return;
                 report(granted, by);
                 asked->guard->asking = false;
                 asked->guard->agreed = granted;
                 if (!granted) {
                   asked->held = false;
                   Item waiting;
                   if (!asked->to_target.empty()) {
                     waiting = std::move(asked->to_target.front());
                     asked->to_target.pop_front();
                   }
                   if (waiting.want_reply) relay_.reply_request(*asked, Side::client, true);
                   relay_.refuse_program(*asked, make_notice("SP-9107", by));
                   return relay_.turn();
                 }
                 again();
               });
    return Admission::wait;
  }
  report(false, {});
  if (judgement.verdict == guard::Verdict::kill && relay_.on_end) relay_.on_end(make_notice("SP-9108", why));
  notice = make_notice("SP-9109", why);
  return Admission::refuse;
}

void GuardGate::make_line_guard(Channel& channel) {
  const std::uint32_t id = channel.id;
  const std::weak_ptr<ChannelGuard> weak = channel.guard;
  LineGuard::Hooks hooks;
  hooks.judge = [weak](std::string_view text, guard::Dialect dialect) {
    const auto here = weak.lock();
    return here ? here->judge(text, dialect, guard::Origin::line) : guard::Judgement{};
  };
  hooks.ran = [this, id](std::string_view text, guard::Dialect dialect) {
    if (Channel* channel_now = relay_.find(id); channel_now != nullptr && channel_now->guard) remember(*channel_now, text, dialect);
  };
  hooks.opaque_verdict = [weak](guard::Opaque kind) {
    const auto here = weak.lock();
    return here ? here->judge().rules().opaque_verdict(kind) : guard::Verdict::deny;
  };
  hooks.judged = [this, id](const LineGuard::Judged& judged) {
    Channel* channel_now = relay_.find(id);
    if (channel_now == nullptr) return;
    tell(*channel_now,
         fmt::format(R"({{"source":"{}","verdict":"{}","decision":"{}","code":"{}","rule":{},"why":{},"text":{},"matched":{},"opaque":{},"shown":{},"waited_ms":{},"person":{}}})",
                     judged.source, guard::name_of(judged.verdict), judged.went_on ? "allow" : "deny", judged.went_on ? "" : judged.code,
                     json_string(judged.rule), json_string(judged.reason), json_string(redacted(judged.text)), json_string(redacted(judged.matched)),
                     judged.opaque, !judged.secret, judged.waited_us / 1000, json_string(judged.person_reason)));
  };
  hooks.ask_approval = [this, id](const LineGuard::Judged& judged) {
    Channel* channel_now = relay_.find(id);
    if (channel_now == nullptr) return;
    const std::string text = judged.secret ? "(a line that was not shown)" : shown_to_approver(judged.text);
    ask_person(*channel_now, text, judged.rule, judged.reason, [this, id](bool granted, const std::string& by) {
      Channel* asked = relay_.find(id);
      if (asked == nullptr || !asked->guard || !asked->guard->line) return;
      GuardActions actions;
      asked->guard->line->approval_answered(granted, by, now_us(), actions);
      act(*asked, actions);
    });
  };
  hooks.wants_marks = [weak] {
    const auto here = weak.lock();
    return here && here->judge().rules().wants_marks();
  };
  hooks.finished = [this, id](int status) {
    const std::string fact = fmt::format(R"({{"channel":{},"status":{},"said_by":"the shell's marks"}})", id, status);
    const std::string taped = fmt::format(R"({{"event":"guard.finished",{})", std::string_view(fact).substr(1));
    if (!relay_.untaped_events_.empty() || relay_.tape_.event(taped) == Tape::Put::no_room) relay_.untaped_events_.push_back(taped);
    control::Envelope told;
    told.mutable_session_event()->set_name("guard.finished");
    told.mutable_session_event()->set_json(fact);
    authority_.tell(std::move(told));
  };
  channel.guard->line = std::make_unique<LineGuard>(std::move(hooks), channel.columns, channel.rows);
}

void GuardGate::started(Channel& channel) {
  if (!channel.guard) return;
  if (channel.pty) {
    make_line_guard(channel);
    if (channel.guard->program) channel.guard->line->runs(*channel.guard->program);
    channel.guard->program.reset();
  } else if (channel.program == "shell") {
    channel.guard->watches_input = true;
  }
  if (!channel.pty && !channel.guard->watches_input) {
    channel.guard.reset();  // judged in full already: its data passes as it is
    return;
  }
  auto waiting = std::exchange(channel.to_target, {});
  channel.to_target_bytes = 0;
  const std::uint32_t id = channel.id;
  for (Item& item : waiting) {
    if (item.kind == Item::Kind::data && item.extended == 0) {
      from_client(channel, item.bytes);
      if (relay_.find(id) == nullptr || !channel.guard) return;
    } else {
      if (item.kind == Item::Kind::eof) client_eof(channel);
      if (relay_.find(id) == nullptr) return;
      channel.to_target.push_back(std::move(item));
    }
  }
}

void GuardGate::act(Channel& channel, GuardActions& actions) {
  const std::uint32_t id = channel.id;
  if (!actions.to_client.empty()) relay_.push_data(channel, Side::client, 0, copy_of(bytes_of(actions.to_client)), 0);
  if (!actions.to_target.empty()) relay_.push_data(channel, Side::target, 0, std::move(actions.to_target), 0);
  if (actions.probe) {
    Item probe;
    probe.kind = Item::Kind::request;
    probe.request = "keepalive@openssh.com";
    probe.want_reply = true;
    probe.recorded = true;  // ours
    channel.to_target.push_back(std::move(probe));
  }
  schedule(channel);
  const bool over = actions.end.has_value();
  if (over && relay_.on_end) relay_.on_end(*actions.end);
  if (channel.guard && channel.guard->line && channel.guard->uncredited > 0 && channel.guard->line->held_bytes() == 0)
    relay_.credit(channel, Side::client, std::exchange(channel.guard->uncredited, 0));
  relay_.move(channel, Side::client);
  if (Channel* still = relay_.find(id)) relay_.move(*still, Side::target);
  if (relay_.target_ != nullptr) relay_.target_->flush();
  relay_.client_->flush();
}

void GuardGate::schedule(Channel& channel) {
  if (!channel.guard || !channel.guard->line) return;
  ChannelGuard& here = *channel.guard;
  const std::int64_t at = here.line->wake_at();
  if (at == here.timer_at) return;
  here.timer_at = at;
  if (at == 0) {
    here.timer.cancel();
    return;
  }
  here.timer.expires_after(std::chrono::microseconds(std::max<std::int64_t>(at - now_us(), 0)));
  const std::weak_ptr<ChannelGuard> weak = channel.guard;
  here.timer.async_wait([this, weak, id = channel.id](const boost::system::error_code& error) {
    if (error || weak.expired()) return;
    on_timer(id);
  });
}

void GuardGate::on_timer(std::uint32_t id) {
  Channel* channel = relay_.find(id);
  if (channel == nullptr || !channel->guard || !channel->guard->line) return;
  channel->guard->timer_at = 0;
  GuardActions actions;
  channel->guard->line->tick(std::max(now_us(), channel->guard->line->wake_at()), actions);
  act(*channel, actions);
}

bool GuardGate::judge_input(Channel& channel, std::string_view line, Bytes& forward, Notice& notice) {
  ChannelGuard& here = *channel.guard;
  std::string text(line);
  while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  if (!here.input_block.empty()) text = here.input_block + "\n" + text;
  const guard::Judgement judgement = here.judge(text, here.input_dialect, guard::Origin::script);
  const guard::Finding* worst = judgement.worst();
  const bool goes_on = judgement.verdict <= guard::Verdict::alert;
  if (judgement.verdict > guard::Verdict::allow)
    tell(channel, fmt::format(R"({{"source":"stdin","verdict":"{}","decision":"{}","code":"{}","rule":{},"why":{},"text":{},"opaque":{}}})",
                              guard::name_of(judgement.verdict), goes_on ? "allow" : "deny", goes_on ? "" : "SP-9109",
                              json_string(worst == nullptr ? "" : worst->rule), json_string(sentence(worst)), json_string(redacted(text)),
                              worst != nullptr && worst->opaque != guard::Opaque::none));
  if (!goes_on) {
    notice = make_notice(judgement.verdict == guard::Verdict::kill ? "SP-9108" : "SP-9109", sentence(worst));
    return false;
  }
  if (judgement.incomplete && text.size() < k_longest_input_line) {
    here.input_block = text;
  } else {
    here.input_block.clear();
    remember(channel, text, here.input_dialect);
  }
  const auto bytes = bytes_of(line);
  forward.insert(forward.end(), bytes.begin(), bytes.end());
  return true;
}

bool GuardGate::from_client(Channel& channel, std::span<const std::byte> data) {
  if (!channel.guard) return false;
  ChannelGuard& here = *channel.guard;
  if (here.line) {
    if (relay_.gives_up(channel, data)) {
      relay_.credit(channel, Side::client, static_cast<std::uint32_t>(data.size()));
      return true;
    }
    here.uncredited += static_cast<std::uint32_t>(data.size());
    GuardActions actions;
    here.line->typed(data, now_us(), actions);
    act(channel, actions);
    return true;
  }
  if (!here.watches_input || !channel.decided) return false;
  here.input_line += text_of(data);
  Bytes forward;
  Notice notice;
  bool sound = true;
  for (std::size_t end = here.input_line.find('\n'); sound && end != std::string::npos; end = here.input_line.find('\n')) {
    const std::string line = here.input_line.substr(0, end + 1);
    here.input_line.erase(0, end + 1);
    sound = judge_input(channel, line, forward, notice);
  }
  if (sound && here.input_line.size() > k_longest_input_line) {
    sound = false;
    notice = make_notice(
        "SP-9109", "it reads commands from its input, and a line of more than 64 KiB cannot be judged; send it as a file (Ansible: leave pipelining off)");
  }
  const std::uint32_t id = channel.id;
  relay_.credit(channel, Side::client, static_cast<std::uint32_t>(data.size()));
  if (!forward.empty()) relay_.push_data(channel, Side::target, 0, std::move(forward), 0);
  relay_.move(channel, Side::target);
  if (!sound && relay_.find(id) != nullptr) {
    if (notice.code == "SP-9108" && relay_.on_end) relay_.on_end(notice);
    relay_.end_channel(id, notice);
  }
  return true;
}

void GuardGate::client_eof(Channel& channel) {
  if (!channel.guard || !channel.guard->watches_input || channel.guard->input_line.empty() || !channel.decided) return;
  const std::string line = std::exchange(channel.guard->input_line, {});
  Bytes forward;
  Notice notice;
  if (judge_input(channel, line, forward, notice)) relay_.push_data(channel, Side::target, 0, std::move(forward), 0);
  else relay_.end_channel(channel.id, notice);
}

void GuardGate::from_target(Channel& channel, std::span<const std::byte> data) {
  if (!channel.guard || !channel.guard->line) return;
  GuardActions actions;
  channel.guard->line->shown(data, now_us(), actions);
  if (actions.to_client.empty() && actions.to_target.empty() && !actions.probe && !actions.end) return schedule(channel);
  act(channel, actions);
}

void GuardGate::probe_answered(Channel& channel) {
  if (!channel.guard || !channel.guard->line) return;
  GuardActions actions;
  channel.guard->line->probe_answered(now_us(), actions);
  act(channel, actions);
}

void GuardGate::resized(Channel& channel) {
  if (channel.guard && channel.guard->line) channel.guard->line->resized(channel.columns, channel.rows);
}

void GuardGate::signalled(Channel& channel) {
  if (!channel.guard || !channel.guard->line) return;
  channel.guard->line->signalled(now_us());
  schedule(channel);
}

void GuardGate::new_rules(std::uint32_t id, const std::string& rules) {
  Channel* channel = relay_.find(id);
  if (channel == nullptr || channel->kind != ChannelKind::session || channel->local) return;
  if (!channel->guard) {
    // Judged in full when it started, or no guard until now: from here on its terminal has one.
    if (!channel->pty || !channel->decided || rules.empty()) return;
    channel->guard = std::make_shared<ChannelGuard>(io_);
    channel->guard->state.user = relay_.identity_.account();
    make_line_guard(*channel);
  }
  channel->guard->rules = rules;
  channel->guard->stale = true;
}

}  // namespace sallyport::gateway
