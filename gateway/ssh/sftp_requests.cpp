// The client's side: every request is judged before it goes on.
#include <fmt/format.h>

#include <algorithm>

#include "gateway/ssh/refusal.h"
#include "gateway/ssh/sftp_session.h"

namespace sallyport::gateway::sftp {
namespace {

using policy::FileOperation;

constexpr std::string_view k_path_code = "SP-6001";    // no rule for the path
constexpr std::string_view k_change_code = "SP-6002";  // transfers yes, changes no
constexpr std::string_view k_cut_code = "SP-6006";
constexpr std::string_view k_size_code = "SP-6008";

[[nodiscard]] Pending pending_of(std::uint32_t id, std::uint8_t type) {
  Pending pending;
  pending.id = id;
  pending.type = type;
  return pending;
}

[[nodiscard]] std::unique_ptr<PathFacts> facts_of(std::string_view operation, std::string path, std::string other = {}) {
  auto facts = std::make_unique<PathFacts>();
  facts->operation = operation;
  facts->path = std::move(path);
  facts->other = std::move(other);
  return facts;
}

void append(Bytes& to, std::span<const std::byte> bytes) { to.insert(to.end(), bytes.begin(), bytes.end()); }

}  // namespace

bool Session::read_client(std::span<const std::byte> data) {
  to_target_->reserve(to_target_->size() + data.size() + 1024);
  while (!is_paused_) {
    if (!agreed_.empty() && !go_on_with_agreed()) return false;
    switch (client_.next(data)) {
      case Packets::Step::need_more: return true;
      case Packets::Step::broken: return broken("malformed SFTP packet from the client");
      case Packets::Step::packet:
        switch (on_request(client_.view())) {
          case Flow::goes_on: break;
          case Flow::broken: return false;
          case Flow::pause:
            is_paused_ = true;
            append(paused_, client_.view());
            ask_home();
            break;
        }
        break;
      case Packets::Step::bulk_header:
        if (on_write(client_.view()) == Flow::broken) return false;
        break;
      case Packets::Step::bulk_body:
        if (!write_body_.forwards) break;
        append(*to_target_, client_.view());
        files_.at(write_body_.file).up.add(write_body_.offset, client_.view());
        write_body_.offset += client_.view().size();
        break;
    }
    if (!error_.empty()) return false;
  }
  append(paused_, data);
  return paused_.size() <= k_most_held || broken("too much while the home directory is asked for");
}

void Session::ask_home() {
  std::uint32_t id = 0x53503031;  // the client sends nothing until the answer is there, so the number stays free
  while (pending_.find(id) != nullptr) ++id;
  crypto::SshWriter packet(16);
  packet.u32(1 + 4 + 4 + 1).u8(k_realpath).u32(id).string(".");
  append(*to_target_, packet.view());
  Pending pending = pending_of(id, k_realpath);
  pending.own = true;
  pending_.put(std::move(pending));
}

bool Session::make_absolute(std::string_view path, std::string& absolute) {
  if (!path.starts_with('/') && home_.empty() && !home_unknown_) return false;
  absolute = policy::normalise_path(path, home_);
  if (absolute.empty() && !rules_.apply()) absolute = path;  // for the events only
  return true;
}

Session::Flow Session::forward_request(const Request& request, Pending pending) {
  if (pending.file != k_no_file) ++files_.at(pending.file).in_flight;
  pending_.put(std::move(pending));
  append(*to_target_, request.packet);
  return Flow::goes_on;
}

Session::Flow Session::refuse(std::uint32_t id, std::uint32_t status, std::string_view code, std::string_view operation,
                              std::string_view path, std::string_view other) {
  const std::string more = other.empty() ? std::string() : fmt::format(R"(,"other":{})", json_string(other));
  sink_("file.refused", fmt::format(R"({{"operation":{},"path":{}{},"decision":"deny","code":"{}"}})", json_string(operation),
                                    json_string(path), more, code));
  const std::string text = render(make_notice(code));
  tell_person(code, text);
  status_to_client(id, status, text);
  return error_.empty() ? Flow::goes_on : Flow::broken;
}

void Session::tell_person(std::string_view code, std::string_view text) const {
  if (on_refused) on_refused(code, text);
}

Session::Flow Session::refuse_handle(std::uint32_t id) {
  // Also when no file rules apply: a handle that the target did not give out yet may be guessed, and what is done with it
  // would stand in no evidence.
  status_to_client(id, k_failure, "invalid handle");
  return error_.empty() ? Flow::goes_on : Flow::broken;
}

void Session::cut(OpenFile& file, bool up, std::string_view code) {
  std::string& result = up ? file.up_result : file.down_result;
  if (result.starts_with("SP-")) return;  // told once
  result = code;
  sink_("file.refused", fmt::format(R"({{"operation":"{}","path":{},"decision":"deny","code":"{}"}})", up ? "write" : "read",
                                    json_string(file.path), code));
  tell_person(code, render(make_notice(code)));
}

Session::Flow Session::on_request(std::span<const std::byte> packet) {
  Request request{.id = 0, .type = 0, .packet = packet, .fields = crypto::SshReader(packet.subspan(4))};
  request.type = request.fields.u8();
  request.id = request.fields.u32();
  if (!request.fields.ok()) return broken_flow("malformed SFTP packet from the client");
  if (request.type == k_init) return on_init(request);
  if (!version_seen_) return broken_flow("an SFTP request before the version was agreed");
  if (pending_.find(request.id) != nullptr || held_.contains(request.id) || agreed_.contains(request.id))
    return broken_flow("an SFTP request id that still waits for its answer");
  if (pending_.is_full()) return broken_flow("too many SFTP requests without an answer");
  const Flow flow = on_known_request(request);
  if (flow != Flow::broken && !request.fields.ok()) return broken_flow("malformed SFTP request");
  return flow;
}

Session::Flow Session::on_known_request(Request& request) {
  switch (request.type) {
    case k_open: return on_open(request);
    case k_close: return on_close(request);
    case k_read: return on_read(request);
    case k_lstat: return on_path_question(request, "lstat");
    case k_stat: return on_path_question(request, "stat");
    case k_realpath: return on_path_question(request, "realpath");
    case k_readlink: return on_path_question(request, "readlink");
    case k_fstat: return on_handle_question(request, "fstat");
    case k_readdir: return on_handle_question(request, "");
    case k_fsetstat: return on_fsetstat(request);
    case k_opendir: return on_opendir(request);
    case k_setstat: return on_path_change(request, "setstat", true);
    case k_remove: return on_path_change(request, "remove", false);
    case k_mkdir: return on_path_change(request, "mkdir", true);
    case k_rmdir: return on_path_change(request, "rmdir", false);
    case k_rename: return on_two_paths(request, "rename");
    case k_symlink: return on_two_paths(request, "symlink");
    case k_extended: return on_extended(request);
    default: return on_unknown(request, fmt::format("type_{}", request.type));
  }
}

Session::Flow Session::on_init(Request& request) {
  // INIT has a version where others have their id.
  if (init_seen_) return broken_flow("a second SFTP INIT");
  init_seen_ = true;
  crypto::SshWriter packet(request.packet.size());
  packet.u32(static_cast<std::uint32_t>(request.packet.size() - 4)).u8(k_init).u32(std::min(request.id, 3u)).raw(request.fields.rest());
  append(*to_target_, packet.view());
  return Flow::goes_on;
}

Session::Flow Session::on_open(Request& request) {
  const std::string_view name = request.fields.text();
  const std::uint32_t flags = request.fields.u32();
  if (!request.fields.ok()) return broken_flow("malformed SFTP OPEN");
  std::string path;
  if (!make_absolute(name, path)) return Flow::pause;
  // Without the write flag a target opens for reading, whatever the other flags say.
  const bool down = (flags & k_for_read) != 0 || (flags & k_for_write) == 0;
  const bool up = (flags & (k_for_write | k_append | k_creat | k_trunc)) != 0;
  if ((down && !rules_.allows(path, FileOperation::down)) || (up && !rules_.allows(path, FileOperation::up)))
    return refuse(request.id, k_permission_denied, k_path_code, up ? "write" : "read", path);
  if (name.size() > k_longest_path) {
    status_to_client(request.id, k_failure, "path too long");
    return Flow::goes_on;
  }
  if (files_.size() + opens_in_flight_ >= k_most_open) {
    status_to_client(request.id, k_failure, "too many open files");
    return Flow::goes_on;
  }
  if (up && must_wait(path, FileOperation::up)) return hold(request, "write", std::move(path));
  ++opens_in_flight_;
  Pending pending = pending_of(request.id, k_open);
  pending.facts = facts_of("open", std::move(path));
  pending.facts->flags = flags;
  return forward_request(request, std::move(pending));
}

Session::Flow Session::on_opendir(Request& request) {
  const std::string_view name = request.fields.text();
  if (!request.fields.ok()) return broken_flow("malformed SFTP OPENDIR");
  std::string path;
  if (!make_absolute(name, path)) return Flow::pause;
  if (!rules_.is_visible(path)) return refuse(request.id, k_permission_denied, k_path_code, "opendir", path);
  if (name.size() > k_longest_path || files_.size() + opens_in_flight_ >= k_most_open) {
    status_to_client(request.id, k_failure, name.size() > k_longest_path ? "path too long" : "too many open files");
    return Flow::goes_on;
  }
  ++opens_in_flight_;
  Pending pending = pending_of(request.id, k_opendir);
  pending.facts = facts_of("opendir", std::move(path));
  return forward_request(request, std::move(pending));
}

Session::Flow Session::on_close(Request& request) {
  const std::uint32_t slot = files_.find(request.fields.text());
  if (slot == k_no_file || files_.at(slot).is_closing) return refuse_handle(request.id);
  files_.at(slot).is_closing = true;
  Pending pending = pending_of(request.id, k_close);
  pending.file = slot;
  return forward_request(request, std::move(pending));
}

Session::Flow Session::on_read(Request& request) {
  const std::uint32_t slot = files_.find(request.fields.text());
  Pending pending = pending_of(request.id, k_read);
  pending.offset = request.fields.u64();
  pending.length = request.fields.u32();
  if (slot == k_no_file || files_.at(slot).is_closing || files_.at(slot).is_directory) return refuse_handle(request.id);
  OpenFile& file = files_.at(slot);
  if (!file.may_down) cut(file, false, file.for_down ? k_cut_code : k_path_code);
  if (file.down_result.starts_with("SP-")) {
    status_to_client(request.id, file.may_down ? k_failure : k_permission_denied, render(make_notice(file.down_result)));
    return error_.empty() ? Flow::goes_on : Flow::broken;
  }
  pending.file = slot;
  return forward_request(request, std::move(pending));
}

Session::Flow Session::on_write(std::span<const std::byte> header) {
  Request request{.id = 0, .type = k_write, .packet = header, .fields = crypto::SshReader(header.subspan(5))};
  request.id = request.fields.u32();
  const std::uint32_t slot = files_.find(request.fields.text());
  Pending pending = pending_of(request.id, k_write);
  pending.offset = request.fields.u64();
  pending.length = request.fields.u32();
  write_body_ = Body{};
  if (!version_seen_) return broken_flow("an SFTP request before the version was agreed");
  if (pending_.find(request.id) != nullptr || held_.contains(request.id) || agreed_.contains(request.id))
    return broken_flow("an SFTP request id that still waits for its answer");
  if (pending_.is_full()) return broken_flow("too many SFTP requests without an answer");
  if (slot == k_no_file || files_.at(slot).is_closing || files_.at(slot).is_directory) return refuse_handle(request.id);
  OpenFile& file = files_.at(slot);
  const std::uint64_t limit = rules_.max_file_bytes();
  if (!file.may_up) {
    cut(file, true, file.for_up ? k_cut_code : k_path_code);
  } else if (limit != 0 && (pending.length > limit || pending.offset > limit - pending.length || file.up.moved() + pending.length > limit)) {
    cut(file, true, k_size_code);
  }
  if (file.up_result.starts_with("SP-")) {
    status_to_client(request.id, file.may_up ? k_failure : k_permission_denied, render(make_notice(file.up_result)));
    return error_.empty() ? Flow::goes_on : Flow::broken;
  }
  write_body_ = Body{.forwards = true, .file = slot, .offset = pending.offset};
  file.set_size.reset();
  pending.file = slot;
  return forward_request(request, std::move(pending));
}

Session::Flow Session::on_handle_question(Request& request, std::string_view operation) {
  const std::uint32_t slot = files_.find(request.fields.text());
  if (!request.fields.ok()) return Flow::goes_on;  // told as malformed by the caller
  if (slot == k_no_file || files_.at(slot).is_closing) return refuse_handle(request.id);
  Pending pending = pending_of(request.id, request.type);
  pending.file = slot;
  if (!operation.empty()) pending.facts = facts_of(operation, files_.at(slot).path);
  return forward_request(request, std::move(pending));
}

Session::Flow Session::on_fsetstat(Request& request) {
  const std::uint32_t slot = files_.find(request.fields.text());
  const std::uint32_t attributes = request.fields.u32();
  const std::uint64_t size = (attributes & k_attr_size) != 0 ? request.fields.u64() : 0;
  if (!request.fields.ok()) return broken_flow("malformed SFTP FSETSTAT");
  if (slot == k_no_file || files_.at(slot).is_closing) return refuse_handle(request.id);
  const OpenFile& file = files_.at(slot);
  // The length of a file that is being uploaded is a part of its contents (scp ends every upload so).
  const bool is_upload = attributes == k_attr_size && file.for_up;
  if (is_upload ? !file.may_up : !rules_.allows(file.path, FileOperation::change))
    return refuse(request.id, k_permission_denied, is_upload ? k_cut_code : k_change_code, "fsetstat", file.path);
  if (rules_.max_file_bytes() != 0 && size > rules_.max_file_bytes())
    return refuse(request.id, k_failure, k_size_code, "fsetstat", file.path);
  if (!is_upload && must_wait(file.path, FileOperation::change)) return hold(request, "fsetstat", file.path);
  Pending pending = pending_of(request.id, request.type);
  pending.file = slot;
  pending.offset = size;
  pending.length = attributes;
  pending.facts = facts_of("fsetstat", file.path);
  return forward_request(request, std::move(pending));
}

Session::Flow Session::on_path_question(Request& request, std::string_view operation) {
  const std::string_view name = request.fields.text();
  if (!request.fields.ok()) return broken_flow("malformed SFTP request");
  Pending pending = pending_of(request.id, request.type);
  if (request.type == k_realpath && (name == "." || name.empty())) {  // where am I: every client begins so
    pending.length = 1;
    pending.facts = facts_of(operation, ".");
    return forward_request(request, std::move(pending));
  }
  std::string path;
  if (!make_absolute(name, path)) return Flow::pause;
  if (!rules_.is_visible(path)) return refuse(request.id, k_permission_denied, k_path_code, operation, path);
  if (name.size() > k_longest_path) {
    status_to_client(request.id, k_failure, "path too long");
    return Flow::goes_on;
  }
  pending.facts = facts_of(operation, std::move(path));
  return forward_request(request, std::move(pending));
}

Session::Flow Session::on_path_change(Request& request, std::string_view operation, bool has_attributes) {
  const std::string_view name = request.fields.text();
  const std::uint32_t attributes = has_attributes ? request.fields.u32() : 0;
  const std::uint64_t size = (attributes & k_attr_size) != 0 ? request.fields.u64() : 0;
  if (!request.fields.ok()) return broken_flow("malformed SFTP request");
  std::string path;
  if (!make_absolute(name, path)) return Flow::pause;
  if (!rules_.allows(path, FileOperation::change))
    return refuse(request.id, k_permission_denied, rules_.is_visible(path) ? k_change_code : k_path_code, operation, path);
  if (rules_.max_file_bytes() != 0 && size > rules_.max_file_bytes())
    return refuse(request.id, k_failure, k_size_code, operation, path);
  if (name.size() > k_longest_path) {
    status_to_client(request.id, k_failure, "path too long");
    return Flow::goes_on;
  }
  if (must_wait(path, FileOperation::change)) return hold(request, operation, std::move(path));
  if ((attributes & k_attr_size) != 0 && operation != "mkdir") {
    for (const std::uint32_t slot : files_.all())
      if (files_.at(slot).path == path) files_.at(slot).foreign_change = true;
  }
  Pending pending = pending_of(request.id, request.type);
  pending.facts = facts_of(operation, std::move(path));
  return forward_request(request, std::move(pending));
}

Session::Flow Session::on_two_paths(Request& request, std::string_view operation) {
  const std::string_view first = request.fields.text();
  const std::string_view second = request.fields.text();
  if (!request.fields.ok()) return broken_flow("malformed SFTP request");
  std::string from;
  std::string to;
  const bool is_symlink = operation == "symlink";
  const bool is_link = is_symlink || operation == "hardlink";
  // OpenSSH has what the link shall hold first and the link second, against the draft; its server and nearly all clients
  // and servers follow that order.
  if (!make_absolute(second, to)) return Flow::pause;
  if (is_symlink && !first.starts_with('/')) {
    const std::size_t slash = to.rfind('/');
    from = policy::normalise_path(first, slash == 0 || slash == std::string::npos ? std::string_view("/") : std::string_view(to).substr(0, slash));
    if (from.empty() && !rules_.apply()) from = first;
  } else if (!make_absolute(first, from)) {
    return Flow::pause;
  }
  bool allowed = is_link ? rules_.allows_link(to, from) : rules_.allows_move(from, to);
  // A target that follows the draft's order would make the other one the link: both readings must be permitted.
  if (allowed && is_symlink && rules_.apply() && !is_openssh_) {
    std::string link;
    if (!make_absolute(first, link)) return Flow::pause;
    allowed = rules_.allows(link, FileOperation::change);
  }
  if (!allowed) {
    const bool seen = rules_.is_visible(from) && rules_.is_visible(to);
    return refuse(request.id, k_permission_denied, seen ? k_change_code : k_path_code, operation, from, to);
  }
  if (first.size() > k_longest_path || second.size() > k_longest_path) {
    status_to_client(request.id, k_failure, "path too long");
    return Flow::goes_on;
  }
  if (must_wait(from, FileOperation::change) || must_wait(to, FileOperation::change)) return hold(request, operation, std::move(from), std::move(to));
  Pending pending = pending_of(request.id, request.type);
  pending.facts = facts_of(operation, std::move(from), std::move(to));
  return forward_request(request, std::move(pending));
}

Session::Flow Session::on_extended(Request& request) {
  const std::string_view name = request.fields.text();
  if (!request.fields.ok()) return broken_flow("malformed SFTP request");
  if (name == "posix-rename@openssh.com") return on_two_paths(request, "posix-rename");
  if (name == "hardlink@openssh.com") return on_two_paths(request, "hardlink");
  if (name == "lsetstat@openssh.com") return on_path_change(request, "lsetstat", true);
  if (name == "statvfs@openssh.com") return on_path_question(request, "statvfs");
  if (name == "fstatvfs@openssh.com") return on_handle_question(request, "fstatvfs");
  if (name == "fsync@openssh.com") return on_handle_question(request, "fsync");
  if (name == "copy-data") return on_copy_data(request);
  if (name == "expand-path@openssh.com") {
    const std::string_view tilde = request.fields.text();
    if (!request.fields.ok()) return broken_flow("malformed SFTP request");
    std::string path;
    if (tilde == "~" || tilde.starts_with("~/")) {
      if (!make_absolute(tilde.size() < 2 ? std::string_view(".") : tilde.substr(2), path)) return Flow::pause;
    } else if (tilde.starts_with('~')) {
      path = rules_.apply() ? std::string() : std::string(tilde);  // somebody else's home: no rule can be put to it
    } else if (!make_absolute(tilde, path)) {
      return Flow::pause;
    }
    const bool is_home = tilde == "~" || tilde == "~/";
    if (!is_home && !rules_.is_visible(path)) return refuse(request.id, k_permission_denied, k_path_code, "expand-path", path.empty() ? tilde : path);
    Pending pending = pending_of(request.id, k_extended);
    pending.facts = facts_of("expand-path", std::move(path));
    return forward_request(request, std::move(pending));
  }
  if (name == "limits@openssh.com" || name == "users-groups-by-id@openssh.com" || name == "home-directory")
    return forward_request(request, pending_of(request.id, k_extended));
  return on_unknown(request, name);
}

Session::Flow Session::on_copy_data(Request& request) {
  const std::uint32_t source = files_.find(request.fields.text());
  static_cast<void>(request.fields.u64());
  const std::uint64_t length = request.fields.u64();
  const std::uint32_t sink = files_.find(request.fields.text());
  const std::uint64_t offset = request.fields.u64();
  if (!request.fields.ok()) return broken_flow("malformed SFTP copy-data");
  if (source == k_no_file || sink == k_no_file || files_.at(source).is_closing || files_.at(sink).is_closing) return refuse_handle(request.id);
  const std::string& from = files_.at(source).path;
  OpenFile& to = files_.at(sink);
  if (!files_.at(source).may_down || !to.may_up || !rules_.allows(from, FileOperation::change) || !rules_.allows(to.path, FileOperation::change))
    return refuse(request.id, k_permission_denied, k_change_code, "copy-data", from, to.path);
  // Length 0 means up to the end, which the gate does not know.
  const std::uint64_t limit = rules_.max_file_bytes();
  if (limit != 0 && (length == 0 || length > limit || offset > limit - length))
    return refuse(request.id, k_failure, k_size_code, "copy-data", from, to.path);
  to.foreign_change = true;
  Pending pending = pending_of(request.id, k_extended);
  pending.file = sink;
  pending.facts = facts_of("copy-data", from, to.path);
  return forward_request(request, std::move(pending));
}

Session::Flow Session::on_unknown(Request& request, std::string_view name) {
  if (rules_.apply()) {
    sink_("file.refused", fmt::format(R"({{"operation":{},"decision":"deny","code":"SP-6002"}})", json_string(printable(name, 128))));
    status_to_client(request.id, k_op_unsupported, "operation unsupported");
    return error_.empty() ? Flow::goes_on : Flow::broken;
  }
  Pending pending = pending_of(request.id, request.type);
  pending.facts = facts_of(printable(name, 128), "");
  return forward_request(request, std::move(pending));
}

}  // namespace sallyport::gateway::sftp
