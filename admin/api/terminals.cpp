#include "admin/api/terminals.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cerrno>
#include <cstring>
#include <optional>

#include "admin/api/desk_process.h"
#include "admin/api/web_login.h"
#include "platform/crypto/base64.h"
#include "platform/crypto/hex.h"
#include "platform/crypto/ulid.h"
#include "platform/model/bytes.h"
#include "platform/net/websocket.h"
#include "platform/seal/entry.h"
#include "policy/authority/authority.h"
#include "policy/authority/sign_on.h"
#include "policy/authority/web_terminals.h"

namespace sallyport::admin {
namespace {

constexpr std::size_t k_most_terminals = 128;
constexpr std::size_t k_most_of_one = 8;
constexpr std::chrono::seconds k_waits{30};           ///< for a browser that was lost
constexpr std::chrono::seconds k_ticket_lasts{30};
constexpr std::size_t k_most_message = 64 * 1024;
constexpr std::size_t k_kept = 256 * 1024;            ///< of what the terminal showed last
constexpr std::size_t k_much_unread = 256 * 1024;
constexpr std::size_t k_most_ahead = 1024 * 1024;     ///< typed, and not taken by the session
constexpr std::chrono::milliseconds k_look{50};
constexpr unsigned k_looks_between_rights = 20;
constexpr unsigned k_looks_between_pings = 300;       ///< 15 s
constexpr std::string_view k_protocol = "sallyport.terminal";
constexpr std::string_view k_ticket = "ticket.";

std::string owner_of(const authority::Operator& who) { return who.principal; }

std::uint16_t port_of(std::string_view address) {
  const auto colon = address.rfind(':');
  unsigned port = 0;
  for (const char c : colon == std::string_view::npos ? std::string_view() : address.substr(colon + 1)) port = c >= '0' && c <= '9' ? port * 10 + static_cast<unsigned>(c - '0') : 0;
  return static_cast<std::uint16_t>(port);
}

std::string ticket_in(const net::HttpRequest& request) {
  const auto shown = request.headers.find("sec-websocket-protocol");
  if (shown == request.headers.end()) return {};
  for (const std::string_view one : items_of(shown->second))
    if (one.starts_with(k_ticket)) return std::string(one.substr(k_ticket.size()));
  return {};
}

}  // namespace

struct Terminals::Terminal {
  std::string id;
  authority::Operator who;
  std::string user, target, session;
  std::unique_ptr<DeskProcess> desk;
  std::shared_ptr<net::HttpStream> to;  ///< null: nobody is connected
  std::uint64_t turn = 0;               ///< counts sockets
  std::optional<net::WebSocketReader> reader;
  std::string ticket;
  BootTime ticket_until{};
  std::string kept;                     ///< the last bytes that the terminal showed
  std::string over;                     ///< how it ended while no browser was connected: the next one is told
  std::uint64_t shown = 0;              ///< bytes in all
  bool said_hello = false;
  bool held = false;
  unsigned looks = 0;
  authority::Deadlines::Handle waiting = 0;
};

Terminals::~Terminals() {
  for (auto& [id, terminal] : terminals_) administration_.authority().deadlines.cancel(terminal->waiting);
}

std::string Terminals::new_ticket(Terminal& terminal) {
  std::array<std::byte, 24> bytes{};
  administration_.authority().random.fill(bytes);
  terminal.ticket = crypto::to_hex(bytes);
  terminal.ticket_until = administration_.authority().clock.boot() + k_ticket_lasts;
  return terminal.ticket;
}

std::optional<authority::Operator> Terminals::holder_of(const net::HttpRequest& request) const {
  if (!request.path.starts_with("/v1/terminals/") || !request.path.ends_with("/socket")) return std::nullopt;
  const std::string shown = ticket_in(request);
  const std::string_view id = std::string_view(request.path).substr(14, request.path.size() - 14 - 7);
  const auto found = terminals_.find(std::string(id));
  if (found == terminals_.end() || shown.empty()) return std::nullopt;
  Terminal& terminal = *found->second;
  const bool right = shown.size() == terminal.ticket.size() && CRYPTO_memcmp(shown.data(), terminal.ticket.data(), shown.size()) == 0;
  if (!right || administration_.authority().clock.boot() > terminal.ticket_until) return std::nullopt;
  return terminal.who;
}

Terminals::TerminalPtr Terminals::find(const Call& call, const std::string& id) const {
  const auto found = terminals_.find(id);
  return found == terminals_.end() || owner_of(found->second->who) != owner_of(call.who) ? nullptr : found->second;
}

void Terminals::serve(const CallPtr& call) {
  const std::string& method = call->request.method;
  if (call->who.principal.empty()) return call->refuse(Error{Errc::denied, "`" + call->who.name + "` is no principal; use a login or token of one"});
  if (!call->who.has_scope("terminal")) return call->refuse(Error{Errc::denied, "a token with scopes opens no terminal"});
  if (call->parts.size() == 2 && method == "POST") return create(call);
  if (call->parts.size() == 2 && method == "GET") {
    json::array rows;
    for (const auto& [id, terminal] : terminals_)
      if (owner_of(terminal->who) == owner_of(call->who)) rows.push_back(json::object{{"id", id}, {"session", terminal->session}, {"target", terminal->target}, {"connected", terminal->to != nullptr}});
    return call->reply(json::object{{"terminals", std::move(rows)}, {"next", ""}});
  }
  if (call->parts.size() < 3) return call->refuse(Error{Errc::not_found, "name one terminal"});
  const TerminalPtr terminal = find(*call, call->parts[2]);
  if (!terminal) return call->refuse(Error{Errc::not_found, "no terminal of yours has this id"}, "SP-9403");
  if (call->parts.size() == 3 && method == "DELETE") {
    end(terminal, "closed");
    return call->reply(json::object{{"id", terminal->id}, {"ended", true}});
  }
  if (call->parts.size() == 4 && call->parts[3] == "ticket" && method == "POST") {
    if (!call->body({})) return;
    terminal->who = call->who;  // from now on it hangs on the login or token that asked for this ticket
    return call->reply(json::object{{"id", terminal->id}, {"ticket", new_ticket(*terminal)}}, 201);
  }
  if (call->parts.size() == 4 && call->parts[3] == "socket" && method == "GET") return connect(call, terminal);
  call->refuse(Error{Errc::not_found, "there is nothing at " + call->request.path});
}

void Terminals::create(const CallPtr& call) {
  const auto body = call->body({{"target", Field::Type::text, true, 63}, {"account", Field::Type::text, false, 64}, {"columns", Field::Type::number, false, 1000}, {"rows", Field::Type::number, false, 1000}});
  if (!body) return;
  const std::string owner = owner_of(call->who);
  // One that is over and only waits to say so takes no place; of these the oldest goes.
  const auto is_over = [&](const auto& one) { return one.second->desk == nullptr && !one.second->over.empty() && owner_of(one.second->who) == owner; };
  if (static_cast<std::size_t>(std::count_if(terminals_.begin(), terminals_.end(), is_over)) >= k_most_of_one) forget(TerminalPtr(std::find_if(terminals_.begin(), terminals_.end(), is_over)->second));
  const auto mine = std::count_if(terminals_.begin(), terminals_.end(), [&](const auto& one) { return one.second->desk != nullptr && owner_of(one.second->who) == owner; });
  if (static_cast<std::size_t>(mine) >= k_most_of_one || terminals_.size() >= k_most_terminals) return call->refuse_status(429, "SP-9401", "", {{"Retry-After", "10"}});
  const std::string account = text_of(*body, "account");
  auto terminal = std::make_shared<Terminal>();
  auto& authority = administration_.authority();
  terminal->id = crypto::make_ulid(authority.clock, authority.random);
  terminal->who = call->who;
  terminal->target = text_of(*body, "target");
  if (!policy::is_name(terminal->target) || (!account.empty() && !policy::is_account_name(account))) return call->refuse(Error{Errc::invalid, "target and account are names as the policy has them"});
  terminal->user = owner + (account.empty() ? "" : "+" + account) + "+" + terminal->target;
  if (call->who.dry_run) return call->reply(json::object{{"dry_run", true}, {"user", terminal->user}}, 201);
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return call->refuse(Error{Errc::unavailable, std::string("a socket for the terminal: ") + std::strerror(errno)});
  const Fd ours(ends[0]);
  auto theirs = std::make_shared<Fd>(ends[1]);
  fcntl(ours.get(), F_SETFL, O_NONBLOCK);
  auto desk = DeskProcess::start(authority.io, "terminal-desk", ours);
  if (!desk) return call->refuse(desk.error());
  terminal->desk = std::move(*desk);
  terminals_[terminal->id] = terminal;
  const auto number = [&](std::string_view name, std::int64_t fallback) {
    const json::value* value = body->if_contains(name);
    return value != nullptr && value->is_int64() ? std::clamp<std::int64_t>(value->get_int64(), 1, 1000) : fallback;
  };
  const std::string job = json::serialize(json::object{{"do", "begin"}, {"user", terminal->user}, {"columns", number("columns", 80)}, {"rows", number("rows", 24)}});
  terminal->desk->ask("{\"do\":\"key\"}", {}, [this, call, terminal, theirs, job](const Result<std::string>& made) {
    json::error_code error;
    const json::value answer = made ? json::parse(*made, error) : json::value(nullptr);
    const auto blob = answer.is_object() ? crypto::from_base64(text_of(answer.get_object(), "key")) : Result<Bytes>(fail(Errc::internal, ""));
    if (!blob) {
      end(terminal, "no key");
      return call->refuse(Error{Errc::unavailable, "the terminal's helper did not start"}, "SP-9404");
    }
    administration_.authority().web_terminals->open(call->who, std::string(sallyport::text_of(*blob)), port_of(call->request.peer.address), *theirs, [this, call, terminal, job, theirs](const Result<std::string>& label) {
      if (!terminal->desk) return call->refuse(Error{Errc::cancelled, "the terminal was closed"});
      if (!label) {
        end(terminal, "not started");
        return call->refuse(label.error(), label.error().code == Errc::unavailable ? "SP-9404" : "");
      }
      terminal->session = *label;
      terminal->desk->on_file([terminal = std::weak_ptr(terminal)](std::string_view step) {
        const auto here = terminal.lock();
        if (here && here->to) here->to->push(net::websocket_frame(net::WsKind::text, step));
      });
      terminal->desk->ask(job, [this, terminal](std::string_view bytes) { show(terminal, bytes); },
                          [this, terminal](const Result<std::string>& done) { ended(terminal, done ? *done : "{\"failed\":\"SP-9404\"}"); });
      lose(terminal);  // until the browser comes
      call->reply(json::object{{"id", terminal->id}, {"session", *label}, {"ticket", new_ticket(*terminal)}}, 201);
    });
  });
}

void Terminals::connect(const CallPtr& call, const TerminalPtr& terminal) {
  const std::string shown = ticket_in(call->request);
  const bool wants = call->request.header("upgrade") == "websocket" && call->request.header("sec-websocket-version") == "13" && !shown.empty();
  const auto accept = net::websocket_accept(call->request.header("sec-websocket-key"));
  if (!wants || !accept) return call->refuse_status(426, "SP-7009", "this is a WebSocket (RFC 6455, version 13) with the subprotocols sallyport.terminal and ticket.TICKET", {{"Upgrade", "websocket"}});
  // No rule of browsers keeps another site's page from opening a socket here; the ticket does, and this says it twice.
  if (is_from_elsewhere(call->request)) {
    auto& authority = administration_.authority();
    authority.note("web.forged_request", authority::EventJson().text("principal", call->who.principal).text("path", call->request.path.substr(0, 200)).text("origin", call->request.header("origin").substr(0, 200))
                                             .text("decision", "deny").text("code", "SP-9302"));
    return call->refuse_status(403, "SP-9302", "");
  }
  if (!holder_of(call->request)) return call->refuse(Error{Errc::denied, "the ticket is not of this terminal, was used, or is too old"}, "SP-9403");
  terminal->ticket.clear();
  // A second browser takes over; the first is told.
  if (terminal->to) {
    terminal->to->push(net::websocket_close(4001, "opened elsewhere"));
    terminal->to->close();
  }
  net::HttpResponse response;
  response.status = 101;
  response.headers = {{"Upgrade", "websocket"}, {"Connection", "Upgrade"}, {"Sec-WebSocket-Accept", *accept}, {"Sec-WebSocket-Protocol", std::string(k_protocol)}};
  const std::uint64_t turn = ++terminal->turn;
  response.heard = [this, terminal, turn](std::string_view bytes) { hear(terminal, turn, bytes); };
  response.stream = [this, terminal, turn](std::shared_ptr<net::HttpStream> to) {
    if (terminal->turn == turn && !terminal->over.empty()) return tell_end(terminal, to);
    if (terminal->turn != turn || !terminal->desk) return to->close();
    administration_.authority().deadlines.cancel(terminal->waiting);
    terminal->to = std::move(to);
    terminal->reader.emplace(k_most_message);
    terminal->said_hello = false;
    look(terminal, turn);
  };
  call->answer(std::move(response));
}

void Terminals::hear(const TerminalPtr& terminal, std::uint64_t turn, std::string_view bytes) {
  if (terminal->turn != turn || !terminal->to || !terminal->reader) return;
  if (bytes.empty()) return lose(terminal);
  const auto fed = terminal->reader->feed(bytes, [&](net::WsKind kind, std::string_view payload) {
    if (!terminal->to || !terminal->desk) return;
    switch (kind) {
      case net::WsKind::binary:
        if (terminal->desk->unsent() > k_most_ahead) {
          terminal->to->push(net::websocket_close(1013, "more was typed than the session takes"));
          return lose(terminal);
        }
        if (!terminal->who.web_session.empty()) administration_.authority().sign_on->web.touch(terminal->who.web_session);
        return terminal->desk->say(replay::Part::entry, bytes_of(payload));
      case net::WsKind::text: return take(terminal, std::string(payload));
      case net::WsKind::ping: terminal->to->push(net::websocket_frame(net::WsKind::pong, payload)); return;
      case net::WsKind::pong: return;
      case net::WsKind::close:
        terminal->to->push(net::websocket_close(1000, ""));
        return lose(terminal);
    }
  });
  if (fed || !terminal->to) return;
  terminal->to->push(net::websocket_close(fed.error().code == Errc::unavailable ? 1009 : 1002, fed.error().detail));
  lose(terminal);
}

void Terminals::take(const TerminalPtr& terminal, const std::string& text) {
  json::error_code error;
  const json::value value = json::parse(text, error);
  if (error || !value.is_object()) return;
  const json::object& said = value.get_object();
  const auto number = [&](std::string_view name) {
    const json::value* found = said.if_contains(name);
    return found != nullptr && found->is_int64() ? found->get_int64() : 0;
  };
  const std::string kind = text_of(said, "k");
  if (kind == "resize") {
    Bytes body(8);
    seal::put_number(body.data(), static_cast<std::uint32_t>(std::clamp<std::int64_t>(number("columns"), 2, 1000)));
    seal::put_number(body.data() + 4, static_cast<std::uint32_t>(std::clamp<std::int64_t>(number("rows"), 1, 1000)));
    terminal->desk->say(replay::Part::settle, body);
  } else if (kind == "file") {
    if (terminal->desk->unsent() > k_most_ahead) {
      terminal->to->push(net::websocket_close(1013, "more was sent than the session takes"));
      return lose(terminal);
    }
    terminal->desk->say(replay::Part::file, bytes_of(text));
  } else if (kind == "hello" && !terminal->said_hello) {
    terminal->said_hello = true;
    // What it has not seen yet; a new page, or one that missed more than is kept, begins with an empty screen.
    const auto have = static_cast<std::uint64_t>(std::max<std::int64_t>(number("have"), 0));
    const std::uint64_t first = terminal->shown - terminal->kept.size();
    const bool goes_on = have >= first && have <= terminal->shown && have > 0;
    const std::uint64_t from = goes_on ? have : first;
    terminal->to->push(net::websocket_frame(net::WsKind::text, json::serialize(json::object{{"k", "begin"}, {"from", from}, {"again", !goes_on}, {"session", terminal->session}})));
    const std::string rest = terminal->kept.substr(static_cast<std::size_t>(from - first));
    if (!rest.empty()) terminal->to->push(net::websocket_frame(net::WsKind::binary, rest));
    terminal->held = false;
    terminal->desk->hold(false);
  }
}

void Terminals::show(const TerminalPtr& terminal, std::string_view bytes) {
  terminal->shown += bytes.size();
  terminal->kept.append(bytes);
  if (terminal->kept.size() > k_kept) terminal->kept.erase(0, terminal->kept.size() - k_kept);
  if (terminal->to && terminal->said_hello) {
    terminal->to->push(net::websocket_frame(net::WsKind::binary, bytes));
    if (terminal->to->unread() < k_much_unread) return;
  } else if (terminal->shown == 0 || terminal->kept.size() < k_kept / 2) {
    return;  // there is room for what nobody sees yet
  }
  terminal->held = true;
  terminal->desk->hold(true);
}

void Terminals::look(const TerminalPtr& terminal, std::uint64_t turn) {
  if (terminal->turn != turn || !terminal->to || !terminal->desk) return;
  ++terminal->looks;
  if (terminal->looks % k_looks_between_rights == 0) {
    Call as{{}, {}, terminal->who, {}, administration_};
    if (!still_may(as, std::nullopt)) return end(terminal, "{\"failed\":\"SP-7003\"}");
  }
  if (terminal->looks % k_looks_between_pings == 0 && !terminal->to->push(net::websocket_frame(net::WsKind::ping, ""))) return lose(terminal);
  if (terminal->held && terminal->said_hello && terminal->to->unread() < k_much_unread / 2) {
    terminal->held = false;
    terminal->desk->hold(false);
  }
  static_cast<void>(administration_.authority().deadlines.after(k_look, [this, terminal, turn] { look(terminal, turn); }));
}

void Terminals::lose(const TerminalPtr& terminal) {
  if (const auto to = std::exchange(terminal->to, nullptr)) to->close();
  terminal->reader.reset();
  auto& deadlines = administration_.authority().deadlines;
  deadlines.cancel(terminal->waiting);
  if (terminal->desk) terminal->waiting = deadlines.after(k_waits, [this, terminal] { end(terminal, "{\"failed\":\"SP-9403\"}"); });
}

namespace {

std::string end_message(const std::string& text) {
  json::error_code error;
  json::value how = json::parse(text, error);
  json::object said = !error && how.is_object() ? how.get_object() : json::object{};
  said["k"] = "end";
  return json::serialize(said);
}

}  // namespace

/// By itself: refused, for instance, before the browser that asked for it has come.
void Terminals::ended(const TerminalPtr& terminal, const std::string& text) {
  if (!terminal->desk || (terminal->to && terminal->said_hello)) return end(terminal, text);
  const auto desk = std::move(terminal->desk);
  terminal->over = end_message(text);
  terminal->reader.reset();
  // It has come and has not said hello yet: it shall read why, not only that it is over.
  if (const auto to = std::exchange(terminal->to, nullptr)) return tell_end(terminal, to);
  auto& deadlines = administration_.authority().deadlines;
  deadlines.cancel(terminal->waiting);
  terminal->waiting = deadlines.after(k_waits, [this, id = terminal->id] { terminals_.erase(id); });
}

void Terminals::tell_end(const TerminalPtr& terminal, const std::shared_ptr<net::HttpStream>& to) {
  to->push(net::websocket_frame(net::WsKind::text, json::serialize(json::object{{"k", "begin"}, {"from", terminal->shown - terminal->kept.size()}, {"again", true}, {"session", terminal->session}})));
  if (!terminal->kept.empty()) to->push(net::websocket_frame(net::WsKind::binary, terminal->kept));
  to->push(net::websocket_frame(net::WsKind::text, terminal->over));
  to->push(net::websocket_close(1000, "over"));
  to->close();
  forget(terminal);
}

void Terminals::forget(const TerminalPtr& terminal) {
  administration_.authority().deadlines.cancel(terminal->waiting);
  terminals_.erase(std::string(terminal->id));
}

void Terminals::end(const TerminalPtr& terminal, const std::string& text) {
  if (!terminal->desk) {
    if (!terminal->over.empty()) forget(terminal);
    return;
  }
  const auto desk = std::move(terminal->desk);
  if (const auto to = std::exchange(terminal->to, nullptr)) {
    to->push(net::websocket_frame(net::WsKind::text, end_message(text)));
    to->push(net::websocket_close(1000, "over"));
    to->close();
  }
  forget(terminal);
}

void serve_terminals(const CallPtr& call) { call->terminals->serve(call); }

}  // namespace sallyport::admin
