#include "app/verbs/admin_client.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>

#include "app/config.h"
#include "app/verbs/exit_codes.h"
#include "app/verbs/output_curl.h"
#include <cstdlib>

#include "platform/os/fd.h"

namespace sallyport::app {
namespace {

namespace json = boost::json;

constexpr std::size_t k_most_header = 64 * 1024;
constexpr std::size_t k_most_body = 256 * 1024 * 1024;
constexpr int k_answer_seconds = 120;

std::string escaped(std::string_view text, std::string_view unescaped) {
  static constexpr char k_digits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || unescaped.find(c) != std::string_view::npos;
    if (plain) {
      out += c;
      continue;
    }
    out += '%';
    out += k_digits[byte >> 4U];
    out += k_digits[byte & 15U];
  }
  return out;
}

struct Answer {
  unsigned status = 0;
  std::string body;
  std::string etag;
};

Result<Fd> connect_to(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string text = path.string();
  if (text.size() >= sizeof address.sun_path) return fail(Errc::invalid, text + ": too long for a socket's path");
  std::memcpy(address.sun_path, text.data(), text.size());
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval limit{k_answer_seconds, 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  if (errno == EACCES || errno == EPERM) return fail(Errc::denied, text + ": you may not use the admin socket (root, the serving user, or admin.operators)");
  return fail(Errc::unavailable, text + ": the gateway does not answer (" + std::strerror(errno) + "); is `sallyport serve` running with this configuration?");
}

Result<void> send_all(const Fd& fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return fail(Errc::unavailable, std::string("the gateway closed the admin connection: ") + std::strerror(errno));
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

/// The value of a header field, lower-case name; the text ends before the empty line.
std::optional<std::string> field_of(std::string_view header, std::string_view name) {
  while (!header.empty()) {
    const std::size_t end = std::min(header.find("\r\n"), header.size());
    const std::string_view line = header.substr(0, end);
    header.remove_prefix(std::min(end + 2, header.size()));
    if (line.size() <= name.size() || line[name.size()] != ':') continue;
    const bool same = std::equal(name.begin(), name.end(), line.begin(), [](char a, char b) { return a == static_cast<char>(std::tolower(static_cast<unsigned char>(b))); });
    if (!same) continue;
    std::string_view value = line.substr(name.size() + 1);
    while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
    return std::string(value);
  }
  return std::nullopt;
}

Result<std::size_t> number_of(std::string_view text, int base) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end == text.data() || value > k_most_body) return fail(Errc::corrupt, "the gateway's answer has no usable length");
  return value;
}

/// Reads from the socket until `enough` holds for what was read, or the end.
class Reading {
 public:
  explicit Reading(const Fd& fd) : fd_(fd) {}
  Result<void> until(std::size_t size) {
    while (bytes_.size() < size) {
      auto more = read_more();
      if (!more) return tl::unexpected(more.error());
      if (!*more) return fail(Errc::unavailable, "the gateway's answer ended too early");
    }
    return {};
  }
  Result<std::size_t> until_text(std::string_view text, std::size_t from, std::size_t limit) {
    for (;;) {
      const std::size_t found = bytes_.find(text, from);
      if (found != std::string::npos) return found;
      if (bytes_.size() > from + limit) return fail(Errc::corrupt, "the gateway's answer has too long a header");
      auto more = read_more();
      if (!more) return tl::unexpected(more.error());
      if (!*more) return fail(Errc::unavailable, "the gateway's answer ended too early");
    }
  }
  Result<void> until_end() {
    for (;;) {
      auto more = read_more();
      if (!more) return tl::unexpected(more.error());
      if (!*more) return {};
    }
  }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  Result<bool> read_more() {
    char buffer[16384];
    ssize_t n = 0;
    do {
      n = ::recv(fd_.get(), buffer, sizeof buffer, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0) return fail(Errc::unavailable, std::string("waiting for the gateway's answer: ") + std::strerror(errno));
    bytes_.append(buffer, static_cast<std::size_t>(n));
    if (bytes_.size() > k_most_body) return fail(Errc::corrupt, "the gateway's answer is too large");
    return n > 0;
  }
  const Fd& fd_;
  std::string bytes_;
};

Result<std::string> read_chunks(Reading& reading, std::size_t at) {
  std::string body;
  for (;;) {
    auto line_end = reading.until_text("\r\n", at, 1024);
    if (!line_end) return tl::unexpected(line_end.error());
    auto size = number_of(std::string_view(reading.bytes()).substr(at, *line_end - at), 16);
    if (!size) return tl::unexpected(size.error());
    if (*size == 0) return body;
    if (auto read = reading.until(*line_end + 2 + *size + 2); !read) return tl::unexpected(read.error());
    body.append(reading.bytes(), *line_end + 2, *size);
    at = *line_end + 2 + *size + 2;
  }
}

Result<Answer> read_answer(const Fd& fd) {
  Reading reading(fd);
  auto header_end = reading.until_text("\r\n\r\n", 0, k_most_header);
  if (!header_end) return tl::unexpected(header_end.error());
  const std::string header = reading.bytes().substr(0, *header_end);
  Answer answer;
  if (!header.starts_with("HTTP/1.") || header.size() < 12) return fail(Errc::corrupt, "what answered at the admin socket is not the gateway");
  auto status = number_of(std::string_view(header).substr(9, 3), 10);
  if (!status) return tl::unexpected(status.error());
  answer.status = static_cast<unsigned>(*status);
  answer.etag = field_of(header, "etag").value_or("");
  const std::size_t start = *header_end + 4;
  if (answer.status == 204 || answer.status == 304) return answer;
  if (const auto coding = field_of(header, "transfer-encoding"); coding && *coding == "chunked") {
    auto body = read_chunks(reading, start);
    if (!body) return tl::unexpected(body.error());
    answer.body = std::move(*body);
    return answer;
  }
  if (const auto length = field_of(header, "content-length")) {
    auto size = number_of(*length, 10);
    if (!size) return tl::unexpected(size.error());
    if (auto read = reading.until(start + *size); !read) return tl::unexpected(read.error());
    answer.body = reading.bytes().substr(start, *size);
    return answer;
  }
  if (auto read = reading.until_end(); !read) return tl::unexpected(read.error());
  answer.body = reading.bytes().substr(start);
  return answer;
}

Errc errc_of(unsigned status) {
  switch (status) {
    case 401:
    case 403: return Errc::denied;
    case 404: return Errc::not_found;
    case 409:
    case 412: return Errc::conflict;
    case 423: return Errc::sealed;
    case 502:
    case 503:
    case 504: return Errc::unavailable;
    default: return status < 500 ? Errc::invalid : Errc::internal;
  }
}

std::string text_at(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? printable(std::string_view(value->get_string())) : "";
}

std::uint64_t number_at(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_int64() && value->get_int64() > 0 ? static_cast<std::uint64_t>(value->get_int64()) : 0;
}

/// problem+json (RFC 9457) as a person reads it.
Error error_of(unsigned status, const json::value& body) {
  const json::object* problem = body.if_object();
  if (problem == nullptr) return {errc_of(status), "the gateway answered with status " + std::to_string(status)};
  const std::string code = text_at(*problem, "code");
  const std::string detail = text_at(*problem, "detail");
  std::string text = (code.empty() ? "" : code + " ") + text_at(*problem, "title");
  if (!detail.empty() && detail != text_at(*problem, "title")) text += (text.empty() ? "" : " - ") + detail;
  if (const json::value* errors = problem->if_contains("errors"); errors != nullptr && errors->is_array()) {
    for (const json::value& entry : errors->get_array()) {
      const json::object* one = entry.if_object();
      if (one == nullptr) continue;
      const std::string file = text_at(*one, "file");
      std::string place = file.empty() ? text_at(*one, "pointer") : file;
      if (const auto line = number_at(*one, "line"); line > 0) place += ":" + std::to_string(line);
      if (const auto column = number_at(*one, "column"); column > 0) place += ":" + std::to_string(column);
      text += "\n" + (place.empty() ? "" : place + ": ") + text_at(*one, "message");
    }
  }
  return {errc_of(status), text};
}

}  // namespace

std::string query_of(const std::vector<std::pair<std::string, std::string>>& entries) {
  std::string query;
  for (const auto& [key, value] : entries)
    if (!value.empty()) query += (query.empty() ? "?" : "&") + key + "=" + escaped(value, "-_.~");
  return query;
}

std::string segment_of(std::string_view text) { return escaped(text, "-_.~"); }

std::string path_of(std::string_view name) { return escaped(name, "-_.~/"); }

Result<AdminClient> AdminClient::find(const Common& common) {
  if (!common.socket.empty()) return AdminClient(common.socket);
  auto config = load_config(common.config);
  if (!config) return tl::unexpected(config.error());
  return AdminClient(config->admin_socket());
}

Result<json::value> AdminClient::get(const std::string& target) {
  if (shows_only_curl()) print_curl(socket_, "GET", target, nullptr, "");
  return ask("GET", target, "");
}

Result<json::value> AdminClient::send(std::string_view method, const std::string& target, const json::value& body) {
  if (shows_only_curl()) {
    // What changes something is only shown, with the state that it would name; a plan changes nothing and leads on to its apply.
    const auto present = method == "POST" && target != "/v1/apply" ? Result<std::string>("") : state_of(target.substr(0, target.find('?')));
    print_curl(socket_, method, target, body, present ? *present : "");
    if (target != "/v1/plan") std::exit(k_exit_ok);
  }
  return ask(method, target, body.is_null() ? "" : json::serialize(body));
}

namespace {

Result<Answer> exchange(const std::filesystem::path& socket, std::string_view method, const std::string& target, const std::string& body, const std::string& state) {
  auto fd = connect_to(socket);
  if (!fd) return tl::unexpected(fd.error());
  std::string request = std::string(method) + " " + target + " HTTP/1.1\r\nHost: sallyport\r\nConnection: close\r\nAccept: application/json\r\n";
  if (!state.empty()) request += "If-Match: " + state + "\r\n";
  // Who shows a token acts as its principal, root as well: an approval has a name.
  if (const char* token = std::getenv("SALLYPORT_TOKEN"); token != nullptr && *token != '\0') {
    const std::string_view shown(token);
    if (shown.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != std::string_view::npos)
      return fail(Errc::invalid, "SALLYPORT_TOKEN is no token");
    request += "Authorization: Bearer " + std::string(shown) + "\r\n";
  }
  if (!body.empty() || method != "GET") request += "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  request += "\r\n" + body;
  if (auto sent = send_all(*fd, request); !sent) return tl::unexpected(sent.error());
  return read_answer(*fd);
}

}  // namespace

Result<std::string> AdminClient::state_of(const std::string& path) {
  auto present = exchange(socket_, "GET", path, {}, {});
  if (!present) return tl::unexpected(present.error());
  return present->status < 300 ? present->etag : std::string();
}

Result<json::value> AdminClient::ask(std::string_view method, const std::string& target, const std::string& body) {
  auto answer = exchange(socket_, method, target, body, {});
  if (answer && answer->status == 428) {
    // The state that is changed has to be named: read it, then change exactly that.
    auto present = exchange(socket_, "GET", target.substr(0, target.find('?')), {}, {});
    if (!present) return tl::unexpected(present.error());
    answer = exchange(socket_, method, target, body, present->etag);
  }
  if (!answer) return tl::unexpected(answer.error());
  json::value parsed;
  if (!answer->body.empty()) {
    json::error_code wrong;
    parsed = json::parse(answer->body, wrong);
    if (wrong && answer->status < 400) return fail(Errc::corrupt, "the gateway's answer is not JSON");
  }
  if (answer->status >= 400) return tl::unexpected(error_of(answer->status, parsed));
  return parsed;
}

}  // namespace sallyport::app
