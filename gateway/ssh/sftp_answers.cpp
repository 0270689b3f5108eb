// The target's side: answers complete what is told of a request, and DATA is evidence.
#include <fmt/format.h>

#include <algorithm>

#include "gateway/ssh/refusal.h"
#include "gateway/ssh/sftp_session.h"

namespace sallyport::gateway::sftp {
namespace {

void append(Bytes& to, std::span<const std::byte> bytes) { to.insert(to.end(), bytes.begin(), bytes.end()); }

[[nodiscard]] std::string_view event_of(std::string_view operation) {
  if (operation == "open") return "file.opened";
  for (const std::string_view question : {"stat", "lstat", "fstat", "realpath", "readlink", "statvfs", "fstatvfs", "expand-path", "opendir"})
    if (operation == question) return "file.examined";
  if (operation == "fsync") return "file.synced";
  for (const std::string_view change : {"setstat", "fsetstat", "lsetstat", "remove", "mkdir", "rmdir", "rename", "posix-rename", "symlink",
                                        "hardlink", "copy-data"})
    if (operation == change) return "file.changed";
  return "file.unknown_request";
}

[[nodiscard]] std::string_view direction_of(const OpenFile& file) {
  return file.for_up && file.for_down ? "both" : file.for_up ? "up" : "down";
}

}  // namespace

bool Session::read_target(std::span<const std::byte> data) {
  to_client_->reserve(to_client_->size() + data.size() + 1024);
  for (;;) {
    switch (target_.next(data)) {
      case Packets::Step::need_more: return true;
      case Packets::Step::broken: return broken("malformed SFTP packet from the target");
      case Packets::Step::packet:
        if (!on_answer(target_.view())) return false;
        break;
      case Packets::Step::bulk_header:
        if (!on_data(target_.view())) return false;
        if (target_.body_left() == 0 && !on_body_end()) return false;
        break;
      case Packets::Step::bulk_body:
        if (data_body_.forwards) {
          append(*to_client_, target_.view());
          files_.at(data_body_.file).down.add(data_body_.offset, target_.view());
          data_body_.offset += target_.view().size();
        }
        if (target_.body_left() == 0 && !on_body_end()) return false;
        break;
    }
    if (!error_.empty()) return false;
  }
}

bool Session::on_body_end() {
  const std::uint32_t file = std::exchange(data_body_, Body{}).file;
  request_ended(file);
  append(*to_client_, waiting_);
  waiting_.clear();
  return true;
}

bool Session::on_version(std::span<const std::byte> packet, crypto::SshReader& fields) {
  const std::uint32_t version = fields.u32();
  if (!init_seen_ || version_seen_ || !fields.ok()) return broken("an SFTP VERSION that nobody asked for");
  if (version > 3) return broken("the target speaks an SFTP version that was not asked for");
  version_seen_ = true;
  is_openssh_ = text_of(fields.rest()).find("@openssh.com") != std::string_view::npos;
  append(*to_client_, packet);
  return true;
}

bool Session::on_answer(std::span<const std::byte> packet) {
  crypto::SshReader fields(packet.subspan(4));
  const std::uint8_t type = fields.u8();
  if (type == k_version) return on_version(packet, fields);
  const std::uint32_t id = fields.u32();
  if (!fields.ok()) return broken("malformed SFTP packet from the target");
  if (pending_.find(id) == nullptr) return broken("an SFTP answer to no request");
  Pending pending = pending_.take(id);
  switch (type) {
    case k_status: {
      const std::uint32_t status = fields.u32();
      if (!fields.ok()) return broken("malformed SFTP STATUS");
      on_status(pending, status);
      break;
    }
    case k_handle:
      if (!on_handle(pending, fields.text()) || !fields.ok()) return broken("an SFTP handle that cannot be");
      break;
    case k_name: on_names(pending, fields); break;
    case k_attrs: on_attributes(pending, fields); break;
    case k_extended_reply: tell_result(pending, "ok"); break;
    default:
      if (pending.facts && event_of(pending.facts->operation) == "file.unknown_request") break;
      return broken("an SFTP packet of an unknown type from the target");
  }
  if (pending.type == k_open || pending.type == k_opendir) --opens_in_flight_;
  if (pending.own) {
    home_unknown_ = home_.empty();
    is_paused_ = false;
    return true;
  }
  append(*to_client_, packet);
  request_ended(pending.file);
  return true;
}

bool Session::on_data(std::span<const std::byte> header) {
  crypto::SshReader fields(header.subspan(5));
  const std::uint32_t id = fields.u32();
  const Pending* found = pending_.find(id);
  if (found == nullptr || found->type != k_read || found->own) return broken("SFTP DATA that nobody asked for");
  const Pending pending = pending_.take(id);
  if (target_.body_left() > pending.length) return broken("more SFTP DATA than was asked for");
  OpenFile& file = files_.at(pending.file);
  data_body_ = Body{.forwards = false, .file = pending.file, .offset = pending.offset};
  const std::uint64_t limit = rules_.max_file_bytes();
  const std::uint64_t size = target_.body_left();
  const bool too_large = limit != 0 && (size > limit || pending.offset > limit - size);
  if (!file.may_down) cut(file, false, "SP-6006");
  else if (too_large) cut(file, false, "SP-6008");
  if (file.down_result.starts_with("SP-")) {
    status_to_client(id, file.may_down ? k_failure : k_permission_denied, render(make_notice(file.down_result)));
    return error_.empty();
  }
  data_body_.forwards = true;
  append(*to_client_, header);
  return true;
}

bool Session::on_handle(Pending& pending, std::string_view handle) {
  if ((pending.type != k_open && pending.type != k_opendir) || handle.empty() || handle.size() > k_longest_handle) return false;
  const std::uint32_t earlier = files_.find(handle);
  if (earlier != k_no_file) {
    // Fine when the earlier one is being closed: targets may answer out of order.
    if (!files_.at(earlier).is_closing) return false;
    files_.forget_handle(earlier);
  }
  OpenFile& file = files_.at(files_.add(handle));
  file.path = pending.facts->path;
  file.flags = pending.facts->flags;
  file.is_directory = pending.type == k_opendir;
  if (file.is_directory) return true;
  file.for_down = (file.flags & k_for_read) != 0 || (file.flags & k_for_write) == 0;
  file.for_up = (file.flags & (k_for_write | k_append | k_creat | k_trunc)) != 0;
  if (file.for_up && on_written && (file.flags & (k_for_read | k_append)) == 0) file.up.keep_text(WrittenFile::k_most_text);
  file.may_up = rules_.allows(file.path, policy::FileOperation::up);
  file.may_down = rules_.allows(file.path, policy::FileOperation::down);
  file.known_size = remembered_size(file.path);
  sink_("file.opened", fmt::format(R"({{"path":{},"direction":"{}","flags":"{}","result":"ok"}})", json_string(file.path),
                                   direction_of(file), flag_names(file.flags)));
  return true;
}

void Session::on_status(Pending& pending, std::uint32_t status) {
  const std::string result = status_name(status);
  if (pending.file != k_no_file) {
    OpenFile& file = files_.at(pending.file);
    switch (pending.type) {
      case k_read:
        if (status == k_eof) file.eof_at = std::min(file.eof_at.value_or(UINT64_MAX), pending.offset);
        else if (file.down_result == "ok") file.down_result = status == k_ok ? "no_data" : result;
        break;
      case k_write:
        if (status != k_ok && file.up_result == "ok") file.up_result = result;
        break;
      case k_close:
        file.is_closed = true;
        file.close_result = result;
        files_.forget_handle(pending.file);
        break;
      case k_fsetstat:
        if (status == k_ok && (pending.length & k_attr_size) != 0) file.set_size = pending.offset;
        break;
      default: break;
    }
  }
  tell_result(pending, result);
}

void Session::on_names(Pending& pending, crypto::SshReader& fields) {
  const std::uint32_t count = fields.u32();
  if (pending.type == k_readdir && pending.file != k_no_file) {
    files_.at(pending.file).entries += count;
    return;
  }
  const std::string_view name = fields.text();
  // The first answer counts: a working directory cannot change in SFTP.
  if (pending.type == k_realpath && (pending.own || pending.length == 1) && count == 1 && fields.ok() && home_.empty())
    home_ = policy::normalise_path(name);
  tell_result(pending, "ok");
}

void Session::on_attributes(Pending& pending, crypto::SshReader& fields) {
  const std::uint32_t attributes = fields.u32();
  const std::uint64_t size = fields.u64();
  if (fields.ok() && (attributes & k_attr_size) != 0) {
    if (pending.type == k_fstat && pending.file != k_no_file) files_.at(pending.file).known_size = size;
    // Not LSTAT: of a symbolic link it tells the length of the link.
    if (pending.type == k_stat && pending.facts) remember_size(pending.facts->path, size);
  }
  tell_result(pending, "ok");
}

void Session::tell_result(const Pending& pending, std::string_view result) {
  if (!pending.facts) return;
  const PathFacts& facts = *pending.facts;
  const std::string_view event = event_of(facts.operation);
  if (event == "file.examined") {
    // A client that looks at the same things again and again does not fill the audit log with it.
    const std::size_t seen = std::hash<std::string>{}(fmt::format("{}\n{}\n{}", facts.operation, result, facts.path));
    if (std::find(looked_at_.begin(), looked_at_.end(), seen) != looked_at_.end()) return;
    looked_at_[next_looked_at_] = seen;
    next_looked_at_ = (next_looked_at_ + 1) % looked_at_.size();
  } else {
    looked_at_.fill(0);
  }
  std::string json = fmt::format(R"({{"operation":{},"path":{})", json_string(facts.operation), json_string(facts.path));
  if (!facts.other.empty()) json += fmt::format(R"(,"other":{})", json_string(facts.other));
  if (event == "file.opened") json += fmt::format(R"(,"flags":"{}")", flag_names(facts.flags));
  sink_(event, json + fmt::format(R"(,"result":"{}"}})", result));
}

void Session::request_ended(std::uint32_t slot) {
  if (slot == k_no_file) return;
  OpenFile& file = files_.at(slot);
  --file.in_flight;
  if (!file.is_closed || file.in_flight > 0) return;
  tell_file(file);
  files_.release(slot);
}

void Session::tell_file(OpenFile& file) {
  if (file.is_directory) {
    sink_("file.listed", fmt::format(R"({{"path":{},"entries":{},"result":"{}"}})", json_string(file.path), file.entries, file.close_result));
    return;
  }
  const auto tell = [&](std::string_view direction, TransferEvidence& evidence, bool complete, std::string_view result) {
    // A close that failed may have lost what was written before.
    const bool closed_well = file.close_result == "ok";
    const bool whole = complete && closed_well;
    sink_("file.transferred", fmt::format(R"({{"path":{},"direction":"{}","size":{},"complete":{},{},"result":"{}"}})", json_string(file.path),
                                          direction, evidence.moved(), whole, evidence.json_members(whole),
                                          result == "ok" ? std::string_view(file.close_result) : result));
  };
  const bool moved_down = file.down.moved() > 0 || file.down_result != "ok" || file.eof_at.has_value();
  if (file.for_up || file.up.moved() > 0) forget_size(file.path);
  if (on_written && (file.for_up || file.up.moved() > 0)) {
    // Begun empty, or cut to what was written (scp): nothing of an earlier file is left behind it.
    const bool is_all = file.set_size ? *file.set_size == file.up.moved() : (file.flags & k_trunc) != 0;
    const bool whole = file.is_up_complete() && file.close_result == "ok" && !file.foreign_change && is_all;
    on_written(WrittenFile{file.path, {}, file.up.moved(), whole ? file.up.text() : std::nullopt});
  }
  if (file.for_up || file.up.moved() > 0) tell("up", file.up, file.is_up_complete(), file.up_result);
  if (moved_down || !file.for_up) tell("down", file.down, file.is_down_complete(), file.down_result);
}

}  // namespace sallyport::gateway::sftp
