#include "app/verbs/policy_files.h"

#include <algorithm>
#include <boost/json.hpp>

#include "platform/crypto/base64.h"
#include "policy/access/load.h"

namespace sallyport::app {

namespace json = boost::json;

Result<json::value> send_policy(AdminClient& client, const std::string& verb, const std::string& folder, const std::string& plan, const std::string& reason) {
  auto files = policy::read_policy_folder(folder);
  if (!files) return tl::unexpected(files.error());
  json::array list;
  for (const policy::SourceFile& file : *files) {
    // A revocation list is binary; JSON is text.
    const bool is_text = file.name.ends_with(".yaml") || file.name.ends_with(".yml") || file.name.ends_with(".json");
    json::object entry{{"name", file.name}};
    if (is_text) entry.emplace("content", file.content);
    else entry.emplace("content_base64", crypto::to_base64(std::as_bytes(std::span(file.content.data(), file.content.size()))));
    list.push_back(std::move(entry));
  }
  json::object body{{"files", std::move(list)}};
  if (!plan.empty()) body.emplace("plan", plan);
  if (!reason.empty()) body.emplace("reason", reason);
  return client.send("POST", "/v1/" + verb, body);
}

}  // namespace sallyport::app
