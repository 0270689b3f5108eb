#include "gateway/ssh/terminal_files.h"

#include <algorithm>
#include <array>

#include "gateway/ssh/sftp_wire.h"
#include "platform/crypto/base64.h"
#include "platform/crypto/ssh_wire.h"
#include "platform/model/json_text.h"

namespace sallyport::gateway {
namespace {

constexpr std::size_t k_piece = 24 * 1024;            ///< of a file; fits a message of the page as base64
constexpr std::uint64_t k_most_unread = 512 * 1024;   ///< given to the page and not taken by it
constexpr std::size_t k_most_packet = 64 * 1024;
constexpr std::uint32_t k_version = 3;
constexpr std::size_t k_most_said = 2048;

}  // namespace

void TerminalFiles::say(std::string_view state, std::string_view rest) {
  std::string json = "{\"k\":\"file\",\"id\":" + std::to_string(id_) + ",\"state\":\"" + std::string(state) + "\"";
  if (!rest.empty()) json += "," + std::string(rest);
  tell_(json + "}");
}

void TerminalFiles::take(std::string_view json) {
  const auto fields = JsonFields::parse(json);
  const auto id = fields ? fields->number("id") : std::nullopt;
  if (!id || *id < 1) return;
  const std::string_view act = fields->get("do");
  const auto number = static_cast<std::uint64_t>(*id);
  if (act == "put" || act == "get") {
    const auto size = fields->number("size").value_or(0);
    return begin(act, number, std::string(fields->get("path")), size < 0 ? UINT64_MAX : static_cast<std::uint64_t>(size), fields->is_true("over"));
  }
  if (number != id_ || doing_ == Doing::nothing) return;  // of a transfer that is over
  if (act == "data") put(fields->get("b64"));
  if (act == "end" && doing_ == Doing::putting) wants_end_ = true;
  if (act == "more") taken_ = std::clamp<std::uint64_t>(static_cast<std::uint64_t>(std::max<std::int64_t>(fields->number("bytes").value_or(0), 0)), taken_, sent_);
  if (act == "stop") fail_with("it was stopped");
}

void TerminalFiles::begin(std::string_view act, std::uint64_t id, std::string path, std::uint64_t size, bool over) {
  const std::uint64_t before = std::exchange(id_, id);
  const auto refuse = [&](std::string_view why) {
    say("failed", "\"why\":" + json_quote(why));
    id_ = before;
  };
  if (doing_ != Doing::nothing) return refuse("another file is on its way");
  if (path.empty() || path.size() > sftp::k_longest_path) return refuse("a path of 1 to 4096 bytes is needed");
  upload_ = act == "put";
  if (upload_ && size > k_most_terminal_upload) return refuse("more than 1 GiB: use sftp or scp");
  path_ = std::move(path);
  over_ = over;
  size_ = size;
  sent_ = taken_ = 0;
  unanswered_ = 0;
  wants_end_ = false;
  handle_.clear();
  failure_.clear();
  doing_ = upload_ ? Doing::opening_put : Doing::opening_get;
  if (channel_state_ == Channel::lost) channel_state_ = Channel::none;
  if (channel_state_ == Channel::none) channel_state_ = Channel::opening;
  if (channel_state_ == Channel::ready) open_file();
}

void TerminalFiles::open_file() {
  crypto::SshWriter body;
  const std::uint32_t flags = upload_ ? sftp::k_for_write | sftp::k_creat | (over_ ? sftp::k_trunc : sftp::k_excl) : static_cast<std::uint32_t>(sftp::k_for_read);
  body.u32(++request_).string(path_).u32(flags).u32(0);
  send(sftp::k_open, body.view());
}

void TerminalFiles::put(std::string_view base64) {
  if (doing_ != Doing::putting || wants_end_) return;
  const auto bytes = crypto::from_base64(base64);
  if (!bytes || bytes->size() > 2 * k_piece) return fail_with("the page sent something that is no piece of a file");
  if (sent_ + bytes->size() > size_) return fail_with("the file grew while it was sent");
  crypto::SshWriter body;
  body.u32(++request_).string(handle_).u64(sent_).string(*bytes);
  send(sftp::k_write, body.view());
  sent_ += bytes->size();
  ++unanswered_;
}

void TerminalFiles::read_next() {
  const std::uint64_t left = size_ - sent_;
  if (left == 0) return close_file();
  if (unanswered_ > 0 || sent_ - taken_ >= k_most_unread) return;
  crypto::SshWriter body;
  body.u32(++request_).string(handle_).u64(sent_).u32(static_cast<std::uint32_t>(std::min<std::uint64_t>(left, k_piece)));
  send(sftp::k_read, body.view());
  ++unanswered_;
}

void TerminalFiles::close_file() {
  if (handle_.empty()) return finish();
  crypto::SshWriter body;
  body.u32(++request_).string(handle_);
  send(sftp::k_close, body.view());
  doing_ = Doing::closing;
}

void TerminalFiles::finish() {
  doing_ = Doing::nothing;
  handle_.clear();
  if (!failure_.empty()) return say("failed", "\"why\":" + json_quote(failure_));
  say("done", "\"bytes\":" + std::to_string(sent_));
}

void TerminalFiles::fail_with(const std::string& why) {
  if (doing_ == Doing::nothing || doing_ == Doing::closing) return;
  if (failure_.empty()) failure_ = why;
  // An open that was not answered yet is closed when it is; what is still unanswered of a file that has one goes first.
  if (doing_ == Doing::opening_put || doing_ == Doing::opening_get) return;
  close_file();
}

void TerminalFiles::lose(const std::string& why) {
  channel_.reset();
  channel_state_ = Channel::lost;
  in_.clear();
  out_.clear();
  handle_.clear();
  if (doing_ == Doing::nothing) return;
  // Why a channel is refused stands where ssh shows it: in its error output.
  while (!said_.empty() && (said_.back() == '\n' || said_.back() == '\r')) said_.pop_back();
  if (failure_.empty()) failure_ = said_.empty() ? why : printable(said_);
  finish();
}

void TerminalFiles::send(std::uint8_t type, ByteView body) {
  crypto::SshWriter packet;
  packet.u32(static_cast<std::uint32_t>(body.size() + 1)).u8(type).raw(body);
  out_ += text_of(packet.view());
}

void TerminalFiles::on_status(std::uint32_t code, std::string_view text) {
  const std::string why = text.empty() ? sftp::status_name(code) : std::string(text);
  switch (doing_) {
    case Doing::opening_put:
    case Doing::opening_get:
      if (failure_.empty()) failure_ = why;
      return finish();
    case Doing::putting:
    case Doing::ending_put: {
      if (unanswered_ > 0) --unanswered_;
      if (code != sftp::k_ok) return fail_with(why);
      taken_ = unanswered_ == 0 ? sent_ : std::max(taken_, sent_ - std::min<std::uint64_t>(sent_, static_cast<std::uint64_t>(unanswered_) * k_piece));
      return say("at", "\"bytes\":" + std::to_string(taken_));
    }
    case Doing::sizing: return fail_with(why);
    case Doing::getting:
      if (unanswered_ > 0) --unanswered_;
      return fail_with(code == sftp::k_eof ? "the file became shorter while it was read" : why);
    case Doing::closing:
      if (unanswered_ > 0) {  // what was on its way when it failed
        --unanswered_;
        return;
      }
      if (code != sftp::k_ok && failure_.empty()) failure_ = why;
      return finish();
    case Doing::nothing: return;
  }
}

void TerminalFiles::handle_packet(ByteView packet) {
  crypto::SshReader reader(packet);
  const std::uint8_t type = reader.u8();
  if (channel_state_ == Channel::greeting) {
    if (type != sftp::k_version || reader.u32() < k_version) return lose("the target's sftp speaks another version");
    channel_state_ = Channel::ready;
    return open_file();
  }
  static_cast<void>(reader.u32());  // one question at a time, or writes, whose answers are alike
  if (type == sftp::k_status) {
    const std::uint32_t code = reader.u32();
    const std::string_view text = reader.text();
    return reader.ok() ? on_status(code, text) : lose("the target's sftp is broken");
  }
  if (type == sftp::k_handle && (doing_ == Doing::opening_put || doing_ == Doing::opening_get)) {
    handle_ = reader.text();
    if (!reader.ok() || handle_.size() > sftp::k_longest_handle) return lose("the target's sftp is broken");
    if (!failure_.empty()) return close_file();
    if (upload_) {
      doing_ = Doing::putting;
      return say("go");
    }
    doing_ = Doing::sizing;
    crypto::SshWriter body;
    body.u32(++request_).string(handle_);
    return send(sftp::k_fstat, body.view());
  }
  if (type == sftp::k_attrs && doing_ == Doing::sizing) {
    const bool has_size = (reader.u32() & sftp::k_attr_size) != 0;
    size_ = has_size ? reader.u64() : UINT64_MAX;
    if (!reader.ok() || !has_size) return fail_with("the target does not say how large it is");
    if (size_ > k_most_terminal_download) return fail_with("more than 256 MiB: use sftp or scp");
    doing_ = Doing::getting;
    return say("size", "\"bytes\":" + std::to_string(size_));
  }
  if (type == sftp::k_data && (doing_ == Doing::getting || doing_ == Doing::closing)) {
    if (unanswered_ > 0) --unanswered_;
    if (doing_ == Doing::closing) return;
    const auto bytes = reader.string();
    if (!reader.ok() || bytes.empty() || bytes.size() > size_ - sent_) return lose("the target's sftp is broken");
    sent_ += bytes.size();
    return say("data", "\"b64\":\"" + crypto::to_base64(bytes) + "\"");
  }
  lose("the target's sftp answered something else");
}

bool TerminalFiles::open_channel(ssh_session session) {
  if (channel_state_ == Channel::opening) {
    if (!channel_) {
      said_.clear();
      channel_.reset(ssh_channel_new(session));
    }
    const int opened = channel_ ? ssh_channel_open_session(channel_.get()) : SSH_ERROR;
    if (opened == SSH_AGAIN) return false;
    if (opened != SSH_OK) return lose("no channel for files could be opened"), true;
    channel_state_ = Channel::asking;
  }
  const int asked = ssh_channel_request_sftp(channel_.get());
  if (asked == SSH_AGAIN) return false;
  if (asked != SSH_OK) return lose("SP-2010 your role transfers no files here by sftp"), true;
  channel_state_ = Channel::greeting;
  crypto::SshWriter body;
  send(sftp::k_init, body.u32(k_version).view());
  return true;
}

bool TerminalFiles::read_channel() {
  std::array<char, 16 * 1024> buffer;
  const int got = ssh_channel_read_nonblocking(channel_.get(), buffer.data(), buffer.size(), 0);
  std::array<char, 1024> aside;
  for (int more = 0; (more = ssh_channel_read_nonblocking(channel_.get(), aside.data(), aside.size(), 1)) > 0;)
    if (said_.size() < k_most_said) said_.append(aside.data(), static_cast<std::size_t>(more));
  if (got > 0) in_.append(buffer.data(), static_cast<std::size_t>(got));
  while (channel_ && in_.size() >= 4) {
    crypto::SshReader reader(in_);
    const std::size_t size = reader.u32();
    if (size == 0 || size > k_most_packet) return lose("the target's sftp is broken"), true;
    if (in_.size() < 4 + size) break;
    const std::string packet = in_.substr(4, size);
    in_.erase(0, 4 + size);
    handle_packet(bytes_of(packet));
  }
  if (channel_ && (got == SSH_ERROR || ssh_channel_is_eof(channel_.get()) != 0 || ssh_channel_is_closed(channel_.get()) != 0)) lose("the file channel was closed");
  return got > 0;
}

bool TerminalFiles::write_channel() {
  if (out_.empty() || !channel_) return false;
  const int sent = ssh_channel_write(channel_.get(), out_.data(), static_cast<std::uint32_t>(std::min<std::size_t>(out_.size(), 16 * 1024)));
  if (sent <= 0) return false;
  out_.erase(0, static_cast<std::size_t>(sent));
  return true;
}

bool TerminalFiles::step(ssh_session session) {
  if (channel_state_ == Channel::opening || channel_state_ == Channel::asking) return open_channel(session);
  if (!channel_) return false;
  bool moved = read_channel();
  if (!channel_) return true;
  if (doing_ == Doing::getting) read_next();
  if (doing_ == Doing::putting && wants_end_ && unanswered_ == 0) {
    if (sent_ != size_) failure_ = "the file became shorter while it was sent";
    close_file();
    moved = true;
  }
  while (write_channel()) moved = true;
  return moved;
}

}  // namespace sallyport::gateway
