#include "app/verbs/text_keys.h"

#include <boost/json.hpp>
#include <fstream>
#include <memory>

#include "app/verbs/admin_client.h"
#include "app/verbs/recording_proof.h"
#include "app/verbs/verb.h"
#include "platform/crypto/base64.h"
#include "platform/crypto/cms.h"
#include "platform/crypto/hex.h"
#include "platform/model/json_text.h"
#include "platform/seal/sealed_text.h"

namespace sallyport::app {
namespace {

namespace json = boost::json;

Result<std::string> text_in_file(const std::string& file, const char* option) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return fail(Errc::invalid, "cannot read " + file + " (" + option + ")");
  return std::string(std::istreambuf_iterator<char>(in), {});
}

Result<Secret> by_file(const TextKeySource& source, std::string_view wrapped) {
  const auto key = text_in_file(source.recipient_key, "--recipient-key");
  if (!key) return tl::unexpected(key.error());
  const auto certificate = text_in_file(source.recipient_cert, "--recipient-cert");
  if (!certificate) return tl::unexpected(certificate.error());
  const auto der = crypto::certificate_der_of(*certificate);
  if (!der) return tl::unexpected(der.error());
  const auto cms = crypto::from_base64(wrapped);
  if (!cms) return tl::unexpected(cms.error());
  const auto content = crypto::unwrap_with(*cms, Secret(*key), *der);
  if (!content) return tl::unexpected(content.error());
  auto found = seal::text_key_in(*content);
  if (!found) return fail(Errc::corrupt, "not a key of event texts");
  return std::move(*found);
}

Result<Secret> by_gateway(const Common& common, const TextKeySource& source, std::string_view wrapped) {
  auto client = AdminClient::find(common);
  if (!client) return tl::unexpected(client.error());
  auto answer = client->send("POST", "/v1/events/key", json::object{{"reason", source.reason}, {"wrapped", wrapped}});
  if (!answer) return tl::unexpected(answer.error());
  const json::object* object = answer->if_object();
  const json::value* key = object == nullptr ? nullptr : object->if_contains("key");
  const auto bytes = key != nullptr && key->is_string() ? crypto::from_hex(std::string_view(key->get_string())) : Result<Bytes>(fail(Errc::corrupt, ""));
  if (!bytes || bytes->size() != 32) return fail(Errc::corrupt, "the gateway's answer has no key");
  return Secret(ByteView(*bytes));
}

}  // namespace

void TextReader::note_key(std::string_view text) {
  const auto fields = JsonFields::parse(text);
  if (fields) keys_.note(fields->get("key"), fields->get("wrapped"));
}

void TextReader::open(std::string_view event, std::string_view session, json::object& fields) {
  if (json::value* reported = fields.if_contains("reported"); reported != nullptr && reported->is_object()) open(event, session, reported->get_object());
  const json::value* held = fields.if_contains("sealed");
  if (held == nullptr || !held->is_string()) return;
  const auto text = keys_.open(event, session, std::string_view(held->get_string()));
  json::error_code wrong;
  const json::value texts = text ? json::parse(*text, wrong) : json::value();
  if (wrong || !texts.is_object()) return;
  fields.erase("sealed");
  for (const auto& [name, value] : texts.get_object()) fields.insert_or_assign(name, value);
}

std::string TextReader::opened(std::string_view event, std::string_view session, std::string_view text) {
  if (text.find("\"sealed\":") == std::string_view::npos) return std::string(text);
  json::error_code wrong;
  json::value parsed = json::parse(json::string_view(text.data(), text.size()), wrong);
  if (wrong || !parsed.is_object()) return std::string(text);
  open(event, session, parsed.get_object());
  return json::serialize(parsed);
}

seal::TextKeys::Unwrap text_keys_of(const Common& common, TextKeySource source) {
  return [&common, source = std::move(source), told = std::make_shared<bool>(false)](std::string_view wrapped) -> std::optional<Secret> {
    auto key = source.recipient_key.empty() ? by_gateway(common, source, wrapped) : by_file(source, wrapped);
    if (key) return std::move(*key);
    if (!std::exchange(*told, true)) note("sallyport: commands stay sealed: " + key.error().detail);
    return std::nullopt;
  };
}

void add_text_key_options(CLI::App& verb, TextKeySource& source) {
  CLI::Option* const key =
      verb.add_option("--recipient-key", source.recipient_key, "PEM private key of a recording recipient; then the gateway is not asked to unseal commands");
  CLI::Option* const certificate = verb.add_option("--recipient-cert", source.recipient_cert, "PEM certificate of that recipient");
  key->needs(certificate);
  certificate->needs(key);
}

}  // namespace sallyport::app
