// The rcp protocol, as OpenSSH's scp.c speaks it. One side is the source (it sends control lines and contents), the
// other the sink (it answers each with a zero byte or an error line). `scp -t` makes the target the sink, `scp -f` the
// source. The gate forwards an answer only when it is due and a line only after the answers before it, so that source,
// gate and sink always agree on what comes next.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <deque>
#include <optional>

#include "gateway/ssh/path_rules.h"
#include "gateway/ssh/program.h"
#include "gateway/ssh/refusal.h"
#include "gateway/ssh/transfer_evidence.h"
#include "gateway/ssh/transfer_gate.h"

namespace sallyport::gateway {
namespace {

using policy::FileOperation;

constexpr std::size_t k_longest_line = 8192;
constexpr std::size_t k_deepest = 256;        // directories in directories
constexpr std::size_t k_most_answers = 1024;  // sent before they are due

struct ScpCall {
  bool up = false;
  bool recursive = false;
  bool target_is_directory = false;
  std::vector<std::string> paths;
};

[[nodiscard]] std::optional<ScpCall> parse_call(std::string_view command) {
  const std::vector<std::string> words = plain_words(command);
  if (words.empty() || words[0] != "scp") return std::nullopt;
  ScpCall call;
  bool down = false;
  std::size_t at = 1;
  for (; at < words.size() && words[at].size() > 1 && words[at][0] == '-'; ++at) {
    if (words[at] == "--") {
      ++at;
      break;
    }
    for (const char letter : std::string_view(words[at]).substr(1)) {
      switch (letter) {
        case 't': call.up = true; break;
        case 'f': down = true; break;
        case 'r': call.recursive = true; break;
        case 'd': call.target_is_directory = true; break;
        case 'p':
        case 'q':
        case 'v': break;
        default: return std::nullopt;
      }
    }
  }
  call.paths.assign(words.begin() + static_cast<std::ptrdiff_t>(at), words.end());
  if (call.up == down || call.paths.empty() || (call.up && call.paths.size() != 1)) return std::nullopt;
  return call;
}

/// A control line that announces a file or a directory.
struct Entry {
  char kind = 'C';
  std::string mode;
  std::uint64_t size = 0;
  std::string name;
};

[[nodiscard]] std::optional<std::uint64_t> take_number(std::string_view& text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

[[nodiscard]] std::optional<Entry> parse_entry(std::string_view line) {
  Entry entry;
  if (line.size() < 7 || line[5] != ' ') return std::nullopt;
  entry.kind = line[0];
  entry.mode = line.substr(1, 4);
  if (entry.mode.find_first_not_of("01234567") != std::string::npos) return std::nullopt;
  std::string_view rest = line.substr(6);
  const auto size = take_number(rest);
  if (!size || *size > static_cast<std::uint64_t>(INT64_MAX) || !rest.starts_with(' ')) return std::nullopt;
  entry.size = *size;
  entry.name = rest.substr(1);
  return entry;
}

/// T<modified> <microseconds> <accessed> <microseconds>
[[nodiscard]] bool is_times(std::string_view line) {
  line.remove_prefix(1);
  for (int i = 0; i < 4; ++i) {
    if (i > 0 && !line.starts_with(' ')) return false;
    if (i > 0) line.remove_prefix(1);
    if (!take_number(line)) return false;
  }
  return line.empty();
}

[[nodiscard]] bool is_plain_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.size() <= 1024 && name.find('/') == std::string_view::npos &&
         name.find('\0') == std::string_view::npos;
}

[[nodiscard]] std::string_view last_part(std::string_view path) {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  return path.substr(path.rfind('/') + 1);
}

class ScpGate final : public StreamFilter {
 public:
  ScpGate(ScpCall call, FileRules rules, EventSink sink) : call_(std::move(call)), rules_(std::move(rules)), sink_(std::move(sink)) {
    if (call_.up) return;
    for (const std::string& path : call_.paths) {
      if (rules_.allows(absolute(path), FileOperation::down)) continue;
      tell_refused(absolute_or(path), "SP-6001");
      refused_ = "SP-6001";
    }
  }

  bool from_client(std::span<const std::byte> data, Bytes& forward, Bytes& back) override {
    if (!refused_.empty()) return refuse_call(back);
    return call_.up ? from_source(data, forward, back) : from_sink(data, back, forward);
  }
  bool from_target(std::span<const std::byte> data, Bytes& forward, Bytes& back) override {
    if (!refused_.empty()) return true;  // nothing that a refused call says reaches the client
    return call_.up ? from_sink(data, back, forward) : from_source(data, forward, back);
  }
  void finish() override;
  [[nodiscard]] std::string_view error() const override { return error_; }
  void replace_rules(const FileRules& rules) override { rules_ = PathRules(rules); }

 private:
  enum class State { first_answer, control, answer, body, trailer, last_answer };
  struct Answer {
    char kind = 0;
    std::string line;
  };
  struct Item {  // the file or directory that is passing
    Entry entry;
    std::string path;
    std::string path_in_directory;  ///< uploads: where it goes if the target's path is a directory
    std::optional<TransferEvidence> evidence;
    std::uint64_t left = 0;
    bool source_failed = false;
  };

  bool from_source(std::span<const std::byte> data, Bytes& to_sink, Bytes& to_source);
  bool from_sink(std::span<const std::byte> data, Bytes& to_sink, Bytes& to_source);
  /// Goes on as far as it can with `data`; what cannot be taken yet is held.
  bool run(std::span<const std::byte> data, Bytes& to_sink, Bytes& to_source);
  bool on_line(std::string_view line, Bytes& to_sink, Bytes& to_source);
  bool on_entry(Entry entry, Bytes& to_sink, Bytes& to_source);
  bool on_answer(Bytes& to_source);
  bool take_body(std::span<const std::byte>& data, Bytes& to_sink);
  bool refuse_call(Bytes& to_client);
  void refuse_entry(std::string_view path, std::string_view code, Bytes& to_sink, Bytes& to_source);
  void locate(const Entry& entry, std::string& path, std::string& path_in_directory) const;
  void tell_file(std::string_view result);
  void tell_refused(std::string_view path, std::string_view code);
  bool broken(std::string_view how);

  [[nodiscard]] FileOperation operation() const { return call_.up ? FileOperation::up : FileOperation::down; }
  /// "": only the target's shell knows where the home directory is.
  [[nodiscard]] std::string absolute(std::string_view path) const { return policy::normalise_path(path); }
  [[nodiscard]] std::string absolute_or(std::string_view path) const {
    std::string text = absolute(path);
    return text.empty() ? std::string(path) : text;
  }

  ScpCall call_;
  PathRules rules_;
  EventSink sink_;
  std::string error_;
  std::string refused_;  ///< the code with which the whole call was refused
  bool refusal_told_ = false;
  State state_ = State::first_answer;
  Bytes held_;           ///< from the source, cannot be taken yet
  std::string partial_;  ///< the sink's error line that is not whole yet
  std::deque<Answer> answers_;
  EvidenceBudget budget_;
  char asked_ = 0;       ///< the control line that waits for its answer: T C D E
  std::optional<Item> item_;
  std::vector<std::string> directories_;
  std::vector<std::string> directories_inside_;  ///< the same, if the upload's path is a directory
};

void append(Bytes& to, std::string_view text) {
  const ByteView bytes = bytes_of(text);
  to.insert(to.end(), bytes.begin(), bytes.end());
}

bool ScpGate::broken(std::string_view how) {
  if (error_.empty()) {
    error_ = how;
    sink_("file.protocol_broken", fmt::format(R"({{"protocol":"scp","detail":{}}})", json_string(how)));
  }
  return false;
}

void ScpGate::tell_refused(std::string_view path, std::string_view code) {
  sink_("file.refused", fmt::format(R"({{"operation":"{}","path":{},"decision":"deny","code":"{}"}})", call_.up ? "write" : "read",
                                    json_string(path), code));
}

bool ScpGate::refuse_call(Bytes& to_client) {
  // The server still waits for the first answer and ends when the client closes.
  if (!std::exchange(refusal_told_, true)) append(to_client, fmt::format("\x02scp: {}\n", render(make_notice(refused_))));
  return true;
}

bool ScpGate::from_source(std::span<const std::byte> data, Bytes& to_sink, Bytes& to_source) {
  if (!error_.empty()) return false;
  to_sink.reserve(to_sink.size() + data.size() + 512);
  if (held_.empty()) return run(data, to_sink, to_source);
  held_.insert(held_.end(), data.begin(), data.end());
  const Bytes all = std::exchange(held_, {});
  return run(all, to_sink, to_source);
}

bool ScpGate::from_sink(std::span<const std::byte> data, Bytes& to_sink, Bytes& to_source) {
  if (!error_.empty()) return false;
  for (const std::byte raw : data) {
    const char c = static_cast<char>(raw);
    if (partial_.empty() && c == 0) {
      answers_.push_back(Answer{.kind = 0, .line = std::string(1, '\0')});
    } else {
      partial_ += c;
      if (partial_.size() > k_longest_line) return broken("an scp answer above 8 KiB");
      if (c == '\n') answers_.push_back(Answer{.kind = partial_[0] == 2 ? '\x02' : '\x01', .line = std::exchange(partial_, {})});
    }
    if (answers_.size() > k_most_answers) return broken("more scp answers than questions");
  }
  const Bytes held = std::exchange(held_, {});
  if (!run(held, to_sink, to_source)) return false;
  // A client may agree in advance; its answers wait until they are due. A target that answers what nobody asked (scp does
  // when it cannot set the times of a folder) has put all that follows out of step.
  return !call_.up || answers_.empty() || broken("an scp answer to nothing");
}

bool ScpGate::run(std::span<const std::byte> data, Bytes& to_sink, Bytes& to_source) {
  for (;;) {
    switch (state_) {
      case State::first_answer:
      case State::answer:
      case State::last_answer:
        if (answers_.empty()) {
          held_.assign(data.begin(), data.end());
          return held_.size() <= k_most_held || broken("scp contents before they were asked for");
        }
        if (!on_answer(to_source)) return false;
        break;
      case State::control:
      case State::trailer: {
        if (data.empty()) return true;
        if (state_ == State::trailer && data.front() == std::byte{0}) {
          to_sink.push_back(data.front());
          data = data.subspan(1);
          state_ = State::last_answer;
          break;
        }
        const auto end = std::find(data.begin(), data.end(), std::byte{'\n'});
        if (end == data.end()) {
          if (data.size() > k_longest_line) return broken("an scp control line above 8 KiB");
          held_.assign(data.begin(), data.end());
          return true;
        }
        const auto size = static_cast<std::size_t>(end - data.begin());
        const std::string_view line = text_of(data.first(size));
        data = data.subspan(size + 1);
        if (size > k_longest_line || !on_line(line, to_sink, to_source)) return broken("malformed scp control line");
        break;
      }
      case State::body:
        if (data.empty()) return true;
        if (!take_body(data, to_sink)) return false;
        break;
    }
  }
}

bool ScpGate::on_answer(Bytes& to_source) {
  const Answer answer = std::move(answers_.front());
  answers_.pop_front();
  append(to_source, answer.line);
  const bool ok = answer.kind == 0;
  const State was = std::exchange(state_, State::control);
  if (was == State::first_answer) return true;
  if (was == State::last_answer) {
    tell_file(ok ? std::string_view(item_->source_failed ? "source_failed" : "ok") : "failure");
    return true;
  }
  if (asked_ == 'C') {
    if (!ok) {
      tell_file("failure");
    } else {
      state_ = item_->left == 0 ? State::trailer : State::body;
    }
  } else if (asked_ == 'D') {
    sink_(call_.up ? "file.changed" : "file.examined",
          fmt::format(R"({{"operation":"{}","path":{},"result":"{}"}})", call_.up ? "mkdir" : "directory", json_string(item_->path),
                      ok ? "ok" : "failure"));
    if (ok) {
      directories_.push_back(item_->path);
      directories_inside_.push_back(item_->path_in_directory);
    }
    item_.reset();
  } else if (asked_ == 'E' && !directories_.empty()) {
    directories_.pop_back();
    directories_inside_.pop_back();
  }
  return true;
}

bool ScpGate::on_line(std::string_view line, Bytes& to_sink, Bytes& to_source) {
  if (line.empty() || line.find('\0') != std::string_view::npos) return false;
  const auto pass_on = [&](std::string_view text) {
    append(to_sink, text);
    to_sink.push_back(std::byte{'\n'});
  };
  const bool is_error = line[0] == 1 || line[0] == 2;
  if (state_ == State::trailer) {
    // The source could not read all of the file: an error line in the place of the zero byte.
    if (!is_error) return false;
    item_->source_failed = true;
    pass_on(line);
    state_ = State::last_answer;
    return true;
  }
  if (is_error) {
    pass_on(line);  // told to the person; nobody answers it
    return true;
  }
  switch (line[0]) {
    case 'T':
      if (!is_times(line)) return false;
      break;
    case 'E':
      if (line.size() != 1 || directories_.empty()) return false;
      break;
    case 'C':
    case 'D': {
      auto entry = parse_entry(line);
      return entry && on_entry(std::move(*entry), to_sink, to_source);
    }
    default: return false;
  }
  pass_on(line);
  asked_ = line[0];
  state_ = State::answer;
  return true;
}

void ScpGate::locate(const Entry& entry, std::string& path, std::string& path_in_directory) const {
  path_in_directory.clear();
  if (!directories_.empty()) {
    path = directories_.back() + "/" + entry.name;
    if (!directories_inside_.back().empty()) path_in_directory = directories_inside_.back() + "/" + entry.name;
    return;
  }
  if (!call_.up) {
    // Which of several requested paths this is only its name can tell.
    const auto named = std::find_if(call_.paths.begin(), call_.paths.end(), [&](const std::string& asked) { return last_part(asked) == entry.name; });
    path = absolute_or(named == call_.paths.end() ? call_.paths.front() : *named);
    return;
  }
  const std::string& target = call_.paths.front();
  const std::string inside = target + "/" + entry.name;
  const std::string_view end = last_part(target);
  if (call_.target_is_directory || target.ends_with('/') || end == "." || end == ".." || target == "~") {
    path = absolute_or(inside);
  } else {
    path = absolute_or(target);
    path_in_directory = absolute_or(inside);
  }
}

bool ScpGate::on_entry(Entry entry, Bytes& to_sink, Bytes& to_source) {
  Item item{.entry = std::move(entry), .path = {}, .path_in_directory = {}, .evidence = std::nullopt, .left = 0};
  const bool is_directory = item.entry.kind == 'D';
  if (is_directory && (!call_.recursive || directories_.size() >= k_deepest)) return false;
  if (!is_plain_name(item.entry.name)) {
    refuse_entry(item.entry.name, "SP-6001", to_sink, to_source);
    return true;
  }
  locate(item.entry, item.path, item.path_in_directory);
  const auto allowed = [&](const std::string& path) {
    return rules_.allows(path.starts_with('/') ? std::string_view(path) : std::string_view(), operation());
  };
  if (!allowed(item.path) || (!item.path_in_directory.empty() && !allowed(item.path_in_directory))) {
    refuse_entry(item.path, "SP-6001", to_sink, to_source);
    return true;
  }
  if (!is_directory && rules_.max_file_bytes() != 0 && item.entry.size > rules_.max_file_bytes()) {
    refuse_entry(item.path, "SP-6008", to_sink, to_source);
    return true;
  }
  // Written anew from what was understood, so that the sink cannot read another thing out of it.
  append(to_sink, fmt::format("{}{} {} {}\n", item.entry.kind, item.entry.mode, item.entry.size, item.entry.name));
  asked_ = item.entry.kind;
  item.left = is_directory ? 0 : item.entry.size;
  if (!is_directory) {
    item.evidence.emplace(budget_);
    if (call_.up && on_written) item.evidence->keep_text(WrittenFile::k_most_text);
    sink_("file.opened", fmt::format(R"({{"path":{},"direction":"{}","size":{},"mode":"{}","result":"ok"}})", json_string(item.path),
                                     call_.up ? "up" : "down", item.entry.size, item.entry.mode));
  }
  item_.emplace(std::move(item));
  state_ = State::answer;
  return true;
}

void ScpGate::refuse_entry(std::string_view path, std::string_view code, Bytes& to_sink, Bytes& to_source) {
  // To the source it looks as if the sink had refused this one: it goes on with the next.
  tell_refused(path, code);
  const std::string line = fmt::format("\x01scp: {}: {}\n", printable(path, 256), render(make_notice(code)));
  append(to_source, line);
  if (!call_.up) append(to_sink, line);  // the person reads it on the client's side
}

bool ScpGate::take_body(std::span<const std::byte>& data, Bytes& to_sink) {
  if (rules_.apply()) {
    const auto allowed = [&](const std::string& path) {
      return rules_.allows(path.starts_with('/') ? std::string_view(path) : std::string_view(), operation());
    };
    if (!allowed(item_->path) || (!item_->path_in_directory.empty() && !allowed(item_->path_in_directory))) {
      tell_refused(item_->path, "SP-6006");
      tell_file("SP-6006");
      // rcp has no word for it in the middle of a file.
      error_ = render(make_notice("SP-6006"));
      return false;
    }
  }
  const auto piece = data.first(static_cast<std::size_t>(std::min<std::uint64_t>(item_->left, data.size())));
  data = data.subspan(piece.size());
  to_sink.insert(to_sink.end(), piece.begin(), piece.end());
  item_->evidence->add(item_->entry.size - item_->left, piece);
  item_->left -= piece.size();
  if (item_->left == 0) state_ = State::trailer;
  return true;
}

void ScpGate::tell_file(std::string_view result) {
  if (!item_ || !item_->evidence) return;
  const bool complete = item_->left == 0 && !item_->source_failed && (result == "ok" || result == "unanswered");
  const std::string inside =
      item_->path_in_directory.empty() ? std::string() : fmt::format(R"("path_in_directory":{},)", json_string(item_->path_in_directory));
  sink_("file.transferred", fmt::format(R"({{"path":{},{}"direction":"{}","size":{},"complete":{},{},"result":"{}"}})", json_string(item_->path),
                                        inside, call_.up ? "up" : "down", item_->evidence->moved(), complete,
                                        item_->evidence->json_members(complete), result));
  if (call_.up && on_written) {
    // Which of the two it is depends on whether the target is a directory: both are known then.
    for (const std::string& path : {item_->path, item_->path_in_directory}) {
      if (!path.empty()) on_written(WrittenFile{path, {}, item_->evidence->moved(), complete ? item_->evidence->text() : std::nullopt});
    }
  }
  item_.reset();
}

void ScpGate::finish() {
  if (state_ == State::answer || state_ == State::body) {
    tell_file("channel_ended");
  } else {
    // All contents went over; some clients (libssh2) close without the last words.
    tell_file("unanswered");
  }
}

}  // namespace

std::unique_ptr<StreamFilter> make_scp_gate(std::string_view command, FileRules rules, StreamFilter::EventSink sink) {
  auto call = parse_call(command);
  if (!call) return nullptr;
  return std::make_unique<ScpGate>(std::move(*call), std::move(rules), std::move(sink));
}

}  // namespace sallyport::gateway
