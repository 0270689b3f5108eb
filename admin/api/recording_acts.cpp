// POST /v1/recordings/{session}/erase, rewrap, wrapped-key, hold, release; GET /v1/recordings/holds
#include <boost/json.hpp>

#include "admin/api/call.h"
#include "platform/crypto/base64.h"
#include "platform/crypto/ulid.h"
#include "platform/model/bytes.h"

namespace sallyport::admin {
namespace {

using authority::RecordingOrder;

std::optional<RecordingOrder::Act> act_of(std::string_view word) {
  if (word == "erase") return RecordingOrder::Act::erase;
  if (word == "rewrap") return RecordingOrder::Act::rewrap;
  if (word == "wrapped-key") return RecordingOrder::Act::read;
  if (word == "hold") return RecordingOrder::Act::hold;
  if (word == "release") return RecordingOrder::Act::release;
  return std::nullopt;
}

std::string code_in(const Error& error) { return error.detail.starts_with("SP-") ? error.detail.substr(0, 7) : std::string(); }

std::uint64_t number_of(const json::object& body, std::string_view name) {
  const json::value* value = body.if_contains(name);
  return value != nullptr && value->is_int64() && value->get_int64() > 0 ? static_cast<std::uint64_t>(value->get_int64()) : 0;
}

}  // namespace

void serve_recording_holds(const CallPtr& call) {
  if (!call->may(policy::AdminRight::audit)) return;
  if (call->parts.size() != 3 || call->parts[2] != "holds") return call->refuse(Error{Errc::not_found, "GET /v1/recordings/holds"});
  const auto held = call->administration.holds();
  if (!held) return call->refuse(held.error());
  json::array rows;
  for (const auto& [session, reason] : (*held)->all()) rows.push_back(json::object{{"session", session}, {"reason", reason}});
  call->reply(json::object{{"holds", std::move(rows)}});
}

bool is_recording_act(const CallPtr& call) { return call->parts.size() == 4 && act_of(call->parts[3]) && crypto::is_ulid(call->parts[2]); }

void serve_recording_act(const CallPtr& call) {
  if (!call->may(policy::AdminRight::retention)) return;
  const auto act = act_of(call->parts[3]);
  const bool is_hold = *act == RecordingOrder::Act::hold, is_release = *act == RecordingOrder::Act::release;
  const auto body = is_hold      ? call->body({{"reason", Field::Type::text, false, 1024}, {"first_file", Field::Type::number, false, std::size_t{1} << 40}, {"last_file", Field::Type::number, false, std::size_t{1} << 40}})
                    : is_release ? call->body({{"reason", Field::Type::text, false, 1024}})
                                 : call->body({{"reason", Field::Type::text, false, 1024}, {"wrapped", Field::Type::text, true, 64 * 1024}});
  if (!body) return;
  RecordingOrder order;
  order.act = *act;
  order.session = call->parts[2];
  order.reason = text_of(*body, "reason");
  if (order.reason.empty()) return call->refuse(Error{Errc::invalid, ""}, "SP-7005");
  if (!is_hold && !is_release) {
    const auto wrapped = crypto::from_base64(text_of(*body, "wrapped"));
    if (!wrapped || wrapped->empty()) return call->refuse(Error{Errc::invalid, "`wrapped` must be the session's wrapped key, in base64"});
    order.wrapped = std::string(sallyport::text_of(*wrapped));
  }
  order.first_file = number_of(*body, "first_file");
  order.last_file = number_of(*body, "last_file");
  call->administration.recording_act(call->who, order, [call, order](const Result<std::string>& done) {
    if (!done && done.error().code == Errc::corrupt) return call->refuse(Error{Errc::invalid, "`wrapped` is no wrapped key: " + done.error().detail});
    if (!done) return call->refuse(done.error(), code_in(done.error()));
    json::object out{{"session", order.session}, {"done", call->parts[3]}};
    if (order.act == RecordingOrder::Act::rewrap) out["recipients"] = *done;
    if (order.act == RecordingOrder::Act::read) out["wrapped"] = crypto::to_base64(bytes_of(*done));
    call->reply(std::move(out));
  });
}

}  // namespace sallyport::admin
