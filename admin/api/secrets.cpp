// GET /v1/secrets, PUT and DELETE /v1/secrets/{name}: a value goes in, metadata comes out.
// POST /v1/secrets/{name}/value: a person reads a password, by a right of its own and with a reason.
#include <openssl/crypto.h>

#include <boost/json.hpp>

#include "admin/api/call.h"
#include "admin/api/paging.h"
#include "platform/crypto/base64.h"
#include "platform/crypto/ssh_public_key.h"
#include "platform/model/bytes.h"

namespace sallyport::admin {
namespace {

std::string public_line(const std::string& blob) {
  const auto key = crypto::SshPublicKey::parse_blob(bytes_of(blob));
  return key ? key->line() : std::string();
}

std::string name_in(const Call& call) {
  std::string name;
  for (std::size_t i = 2; i < call.parts.size(); ++i) name += (i == 2 ? "" : "/") + call.parts[i];
  return name;
}

/// `only`: one secret, which is told by itself.
void list(const CallPtr& call, const std::string& only) {
  const std::string prefix = only.empty() ? call->request.argument("prefix") : only;
  call->administration.list_secrets(prefix, [call, only](const Result<std::vector<control::SecretRow>>& rows) {
    if (!rows) return call->refuse(rows.error());
    json::array out;
    for (const control::SecretRow& row : *rows) {
      if (!only.empty() && row.name() != only) continue;
      json::object labels;
      for (const auto& [key, value] : row.labels()) labels[key] = value;
      out.push_back(json::object{{"name", row.name()},
                                 {"kind", row.kind()},
                                 {"version", row.version()},
                                 {"changed", utc_text(row.changed_us())},
                                 {"leases", row.leases()},
                                 {"labels", std::move(labels)},
                                 {"public_key", public_line(row.public_key())}});
    }
    if (only.empty()) return reply_page(call, "secrets", std::move(out), "name");
    if (out.empty()) return call->refuse(Error{Errc::not_found, "no secret " + only});
    out.front().as_object().erase("leases");  // they come and go without a change of the secret
    call->reply(out.front());
  });
}

void put(const CallPtr& call, const std::string& name) {
  auto body = call->body({{"kind", Field::Type::text, false, 64},
                          {"value", Field::Type::text, false, 128 * 1024},
                          {"value_base64", Field::Type::text, false, 128 * 1024},
                          {"generate", Field::Type::flag},
                          {"labels", Field::Type::map, false, 64}});
  OPENSSL_cleanse(call->request.body.data(), call->request.body.size());
  call->request.body.clear();
  if (!body) return;
  control::SecretPut secret;
  secret.set_name(name);
  secret.set_kind(text_of(*body, "kind", "password"));
  const json::value* generate = body->if_contains("generate");
  secret.set_generate(generate != nullptr && generate->is_bool() && generate->get_bool());
  if (json::value* value = body->if_contains("value"); value != nullptr && value->is_string()) {
    auto& text = value->get_string();
    secret.set_value(text.data(), text.size());
    OPENSSL_cleanse(text.data(), text.size());
  } else if (json::value* encoded = body->if_contains("value_base64"); encoded != nullptr && encoded->is_string()) {
    auto bytes = crypto::from_base64(std::string_view(encoded->get_string()));
    if (!bytes) return call->refuse(bytes.error());
    secret.set_value(bytes->data(), bytes->size());
    OPENSSL_cleanse(bytes->data(), bytes->size());
  } else if (!secret.generate()) {
    return call->refuse(Error{Errc::invalid, "give `value`, `value_base64` or `generate`"});
  }
  if (const json::value* labels = body->if_contains("labels")) {
    for (const auto& [key, value] : labels->get_object()) {
      if (!value.is_string()) {
        json::array errors{json::object{{"pointer", "/labels/" + std::string(key)}, {"message", "this must be a text"}}};
        return call->refuse_with(Error{Errc::invalid, "labels are texts"}, "SP-7001", std::move(errors));
      }
      (*secret.mutable_labels())[std::string(key)] = std::string(std::string_view(value.get_string()));
    }
  }
  call->administration.put_secret(call->who, std::move(secret), [call](const Result<control::SecretStored>& stored) {
    if (!stored) return call->refuse(stored.error());
    call->reply(json::object{{"name", stored->name()}, {"version", stored->version()}, {"public_key", public_line(stored->public_key())}});
  });
}

void read_value(const CallPtr& call) {
  if (!call->may(policy::AdminRight::reveal)) return;
  std::string name = name_in(*call);
  if (!name.ends_with("/value") || name.size() == 6) return call->refuse(Error{Errc::not_found, "there is nothing to POST at " + call->request.path});
  name.resize(name.size() - 6);
  const auto body = call->body({{"reason", Field::Type::text, true, 1024}});
  if (!body) return;
  const std::string reason = text_of(*body, "reason");
  if (reason.empty()) return call->refuse(Error{Errc::invalid, ""}, "SP-7005");
  call->administration.read_secret(call->who, name, reason, [call, name](Result<Secret> value) {
    if (!value) return call->refuse(value.error());
    if (call->who.dry_run) return call->reply(json::object{{"name", name}, {"dry_run", true}});
    net::HttpResponse response;
    response.headers["Cache-Control"] = "no-store";
    json::object told{{"name", name}, {"value", value->reveal_text()}};
    response.body = json::serialize(told) + "\n";
    auto& text = told["value"].get_string();
    OPENSSL_cleanse(text.data(), text.size());
    call->answer(std::move(response));
  });
}

}  // namespace

void serve_secrets(const CallPtr& call) {
  if (call->request.method == "POST") return read_value(call);
  if (!call->may(policy::AdminRight::secret)) return;
  const std::string name = name_in(*call);
  if (call->request.method == "GET") return list(call, name);
  if (name.empty()) return call->refuse(Error{Errc::invalid, "name the secret: /v1/secrets/NAME"});
  if (call->request.method == "PUT") return put(call, name);
  call->administration.delete_secret(call->who, name, 0, [call, name](const Result<void>& deleted) {
    if (!deleted) return call->refuse(deleted.error());
    call->reply(json::object{{"name", name}, {"deleted", true}});
  });
}

}  // namespace sallyport::admin
