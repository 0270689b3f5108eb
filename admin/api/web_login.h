// admin/api/web_login.h -- people in a browser: the cookie, what protects it, and the resources for signing in and out.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "admin/api/call.h"
#include "policy/authority/web_sessions.h"
#include "policy/identity/login.h"

namespace sallyport::admin {

/// The prefix makes browsers insist on Secure, Path=/ and no Domain (RFC 6265bis section 4.1.3.2).
inline constexpr std::string_view k_cookie_name = "__Host-sallyport";

/// A cookie of a request; empty: none.
[[nodiscard]] std::string cookie_value(const net::HttpRequest& request, std::string_view name);
/// The session cookie of a request; empty: none.
[[nodiscard]] std::string cookie_of(const net::HttpRequest& request);
[[nodiscard]] IpAddress source_of(const net::HttpPeer& peer);
/// Does a browser say that another site's page is behind this?
[[nodiscard]] bool is_from_elsewhere(const net::HttpRequest& request);

/// The whole Set-Cookie of a new session.
[[nodiscard]] std::string session_cookie(const Secret& cookie);
/// Does the request show what only the page of this session was told?
[[nodiscard]] bool shows_csrf_of(const net::HttpRequest& request, const authority::WebSession& session);

/// Answers with a new session's cookie, or with the refusal.
void open_web_session(const CallPtr& call, const policy::Principal& principal, std::vector<policy::ProvenFactor> factors, std::string method);
/// Her factor is of the last minutes, or she has no session of a browser.
[[nodiscard]] bool has_fresh_factor(const Call& call);
/// For acts that want that: false, and answered, when a person in a browser has none.
[[nodiscard]] bool is_fresh_enough(const CallPtr& call);

/// Answers a step of a login: the cookie, what is wanted next, or the refusal.
void answer_login(const CallPtr& call, authority::WebLoginAnswer answer);
void answer_own_session(const CallPtr& call);

/// Before anybody is known.
void serve_login(const CallPtr& call);
void serve_passkey_login(const CallPtr& call);
void serve_invited(const CallPtr& call);
void serve_passkey_again(const CallPtr& call);
void serve_own_session(const CallPtr& call);

}  // namespace sallyport::admin
