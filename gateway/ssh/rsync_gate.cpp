// rsync: what the server's command says is judged; its protocol passes unread, counted and hashed.
#include <fmt/format.h>

#include <algorithm>

#include "gateway/ssh/path_rules.h"
#include "gateway/ssh/program.h"
#include "gateway/ssh/refusal.h"
#include "gateway/ssh/rsync_call.h"
#include "gateway/ssh/transfer_evidence.h"
#include "gateway/ssh/transfer_gate.h"

namespace sallyport::gateway {
namespace {

using policy::FileOperation;

[[nodiscard]] std::string json_list(std::span<const std::string> texts) {
  std::string list = "[";
  for (const std::string& text : texts) {
    if (list.size() > 1) list += ',';
    list += json_string(text);
  }
  return list + ']';
}

/// Why the rules refuse the call; empty: they do not.
[[nodiscard]] std::string refusal_of(const RsyncCall& call, const PathRules& rules) {
  if (rules.max_file_bytes() != 0) return "the size of single files cannot be limited with rsync";
  if (!rules.apply()) return {};
  if (!call.forbidden.empty()) return call.forbidden;
  if (!call.unknown.empty()) return call.unknown;
  if (call.paths_are_hidden) return "file names that the command does not show";
  // A sender may put any absolute name into its list then.
  if (call.relative && !call.sender) return "--relative";
  if (call.paths.empty()) return "no path";
  const auto allowed = [&](const std::string& path, FileOperation operation) {
    return rules.allows_tree(policy::normalise_path(path), operation);
  };
  for (const std::string& path : call.paths) {
    if (!allowed(path, call.sender ? FileOperation::down : FileOperation::up)) return path;
    if (call.deletes && !allowed(path, FileOperation::change)) return path;
  }
  const auto allowed_beside = [&](const std::string& path, FileOperation operation) {
    // Relative ones are taken from the destination; without ".." they stay in it.
    if (!path.starts_with('/') && !path.starts_with('~') && ("/" + path + "/").find("/../") == std::string::npos)
      return std::all_of(call.paths.begin(), call.paths.end(), [&](const std::string& base) { return allowed(base, operation); });
    return allowed(path, operation);
  };
  for (const std::string& path : call.read_paths)
    if (!allowed_beside(path, FileOperation::down)) return path;
  for (const std::string& path : call.write_paths)
    if (!allowed_beside(path, FileOperation::up)) return path;
  return {};
}

/// A symbolic link to anywhere, or a device, would open ways around the rules, and the file list is not parsed: the
/// receiving rsync is told to leave out links that lead out of the tree and what only root can make. Neither changes what
/// the client and the server say to each other. "" when there is nothing to add.
[[nodiscard]] std::string restrained_command(const RsyncCall& call, std::span<const std::string> words, const PathRules& rules) {
  if (!rules.apply() || call.sender || (!call.makes_links && !call.makes_devices)) return {};
  if (rules.allows("", FileOperation::change) && rules.allows("", FileOperation::up) && rules.allows("", FileOperation::down)) return {};
  std::string command;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) command += ' ';
    if (i < 2) {
      command += words[i];
    } else {
      command += '\'';
      for (const char c : words[i]) command += c == '\'' ? std::string("'\\''") : std::string(1, c);
      command += '\'';
    }
    if (i == 1) command += " --safe-links --no-super";
  }
  return command;
}

class RsyncGate final : public StreamFilter {
 public:
  RsyncGate(RsyncCall call, std::string command, EventSink sink)
      : call_(std::move(call)), command_(std::move(command)), sink_(std::move(sink)) {}

  bool from_client(std::span<const std::byte> data, Bytes& forward, Bytes&) override { return pass(up_, data, forward); }
  bool from_target(std::span<const std::byte> data, Bytes& forward, Bytes&) override { return pass(down_, data, forward); }

  void finish() override {
    sink_("rsync.finished", fmt::format(R"({{"direction":"{}","paths":{},"from_client_bytes":{},"from_client_sha256":"{}","from_target_bytes":{},"from_target_sha256":"{}","result":"{}"}})",
                                        call_.sender ? "down" : "up", json_list(call_.paths), up_.bytes, hex_of(up_.hash.finish()), down_.bytes,
                                        hex_of(down_.hash.finish()), error_.empty() ? "ended" : "SP-6006"));
  }
  [[nodiscard]] std::string_view error() const override { return error_; }
  [[nodiscard]] std::string replaced_command() const override { return command_; }

  void replace_rules(const FileRules& rules) override {
    if (!refusal_of(call_, PathRules(rules)).empty()) error_ = render(make_notice("SP-6006"));
  }

 private:
  struct Direction {
    crypto::Sha256 hash;
    std::uint64_t bytes = 0;
  };

  bool pass(Direction& direction, std::span<const std::byte> data, Bytes& forward) {
    if (!error_.empty()) return false;
    direction.hash.update(data);
    direction.bytes += data.size();
    forward.insert(forward.end(), data.begin(), data.end());
    return true;
  }

  RsyncCall call_;
  std::string command_;
  EventSink sink_;
  std::string error_;
  Direction up_;
  Direction down_;
};

}  // namespace

std::unique_ptr<StreamFilter> make_rsync_gate(std::string_view command, FileRules rules, StreamFilter::EventSink sink) {
  const std::vector<std::string> words = plain_words(command);
  RsyncCall call = parse_rsync_call(words);
  if (!call.is_server_call) return nullptr;
  const PathRules path_rules(std::move(rules));
  const std::string why = refusal_of(call, path_rules);
  const std::string facts = fmt::format(R"("direction":"{}","arguments":{},"paths":{})", call.sender ? "down" : "up", json_list(words), json_list(call.paths));
  if (!why.empty() || call.daemon) {  // a daemon serves others: never, whatever the rules
    sink("rsync.refused", fmt::format(R"({{{},"why":{},"decision":"deny","code":"SP-6004"}})", facts, json_string(why.empty() ? "--daemon" : why)));
    return nullptr;
  }
  const std::string odd = call.forbidden.empty() ? call.unknown : call.forbidden;
  std::string command_to_run = restrained_command(call, words, path_rules);
  std::string more;
  if (!odd.empty()) more += fmt::format(R"(,"unknown_option":{})", json_string(odd));
  if (!command_to_run.empty()) more += fmt::format(R"(,"command":{})", json_string(command_to_run));
  sink("rsync.started", fmt::format(R"({{{}{}}})", facts, more));
  return std::make_unique<RsyncGate>(std::move(call), std::move(command_to_run), std::move(sink));
}

}  // namespace sallyport::gateway
