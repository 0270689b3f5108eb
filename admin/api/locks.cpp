// GET, POST, DELETE /v1/locks, DELETE /v1/locks/{id}
#include <algorithm>
#include <boost/json.hpp>

#include "admin/api/call.h"
#include "admin/api/paging.h"

namespace sallyport::admin {
namespace {

json::object object_of(const policy::Lock& lock) {
  const char* kind = !lock.principal.empty() ? "principal" : !lock.target.empty() ? (lock.account.empty() ? "target" : "account") : "account";
  std::string name = !lock.principal.empty() ? lock.principal : lock.target;
  if (!lock.account.empty()) name = lock.account + (name.empty() ? "" : "@" + name);
  return json::object{{"id", lock.id},
                      {"kind", kind},
                      {"name", name},
                      {"principal", lock.principal},
                      {"target", lock.target},
                      {"account", lock.account},
                      {"reason", lock.reason},
                      {"by", lock.created_by},
                      {"since", utc_text(lock.created)},
                      {"expires", lock.expires ? utc_text(*lock.expires) : std::string()}};
}

void add(const CallPtr& call) {
  const auto body = call->body({{"principal", Field::Type::text, false, 255},
                                {"target", Field::Type::text, false, 255},
                                {"account", Field::Type::text, false, 255},
                                {"reason", Field::Type::text, false, 1024},
                                {"expires", Field::Type::text, false, 64}});
  if (!body) return;
  policy::Lock lock;
  lock.principal = text_of(*body, "principal");
  lock.target = text_of(*body, "target");
  lock.account = text_of(*body, "account");
  lock.reason = text_of(*body, "reason");
  if (lock.reason.empty()) return call->refuse(Error{Errc::invalid, ""}, "SP-7005");
  if (const std::string expires = text_of(*body, "expires"); !expires.empty()) {
    auto when = parse_utc(expires);
    if (!when) return call->refuse(when.error());
    lock.expires = *when;
  }
  call->administration.set_lock(call->who, std::move(lock), [call](const Result<policy::Lock>& set) {
    if (!set) return call->refuse(set.error());
    call->reply(object_of(*set), 201);
  });
}

/// By id, or all locks that name exactly the same.
std::vector<std::string> chosen(const CallPtr& call, const json::object& body) {
  std::vector<std::string> ids;
  const std::string id = call->parts.size() == 3 ? call->parts[2] : text_of(body, "id");
  for (const policy::Lock& lock : call->administration.locks()) {
    const bool same = !id.empty() ? lock.id == id
                                  : lock.principal == text_of(body, "principal") && lock.target == text_of(body, "target") &&
                                        lock.account == text_of(body, "account");
    if (same) ids.push_back(lock.id);
  }
  return ids;
}

void remove(const CallPtr& call) {
  const auto body = call->body({{"id", Field::Type::text, false, 64},
                                {"principal", Field::Type::text, false, 255},
                                {"target", Field::Type::text, false, 255},
                                {"account", Field::Type::text, false, 255},
                                {"reason", Field::Type::text, false, 1024}});
  if (!body) return;
  auto ids = std::make_shared<std::vector<std::string>>(chosen(call, *body));
  if (ids->empty()) return call->refuse(Error{Errc::not_found, "there is no such lock"});
  const std::string reason = text_of(*body, "reason");
  auto left = std::make_shared<std::size_t>(ids->size());
  auto first_error = std::make_shared<std::optional<Error>>();
  for (const std::string& id : *ids) {
    call->administration.remove_lock(call->who, id, reason, [call, ids, left, first_error](const Result<void>& removed) {
      if (!removed && !*first_error) *first_error = removed.error();
      if (--*left > 0) return;
      if (*first_error) return call->refuse(**first_error);
      call->reply(json::object{{"removed", json::array(ids->begin(), ids->end())}});
    });
  }
}

}  // namespace

void serve_locks(const CallPtr& call) {
  if (call->request.method == "GET") {
    if (!call->may(policy::AdminRight::audit)) return;
    if (call->parts.size() == 3) {
      for (const policy::Lock& lock : call->administration.locks())
        if (lock.id == call->parts[2]) return call->reply(object_of(lock));
      return call->refuse(Error{Errc::not_found, "no lock " + call->parts[2]});
    }
    json::array rows;
    for (const policy::Lock& lock : call->administration.locks()) rows.push_back(object_of(lock));
    return reply_page(call, "locks", std::move(rows), "id");
  }
  if (!call->may(policy::AdminRight::lock)) return;
  if (call->request.method == "POST") return add(call);
  remove(call);
}

}  // namespace sallyport::admin
