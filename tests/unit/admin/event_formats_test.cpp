#include "admin/sinks/event_formats.h"

#include <boost/json.hpp>
#include <catch2/catch.hpp>

using namespace sallyport;
using namespace sallyport::admin;
namespace json = boost::json;

namespace {

OutgoingEvent event_of(std::string name, std::string fields) {
  return {41, 1'795'392'000'123'456, "01JC3W9M6T5X1Q8Z7R4N2K0HFA", "01JC3W9M6T5X1Q8Z7R4N2K0HFB", std::move(name), std::move(fields)};
}

json::object ocsf(const OutgoingEvent& event) { return json::parse(format_event(event, EventFormat::ocsf, "gw-1", "0.1.0")).as_object(); }

}  // namespace

TEST_CASE("events fall into the classes of OCSF that SIEMs look for", "[admin][sinks]") {
  CHECK(ocsf_class_of("auth.attempted") == OcsfClass::authentication);
  CHECK(ocsf_class_of("api.token_refused") == OcsfClass::authentication);
  CHECK(ocsf_class_of("lock.set") == OcsfClass::account_change);
  CHECK(ocsf_class_of("secret.put") == OcsfClass::account_change);
  CHECK(ocsf_class_of("policy.applied") == OcsfClass::api_activity);
  CHECK(ocsf_class_of("channel.decided") == OcsfClass::ssh_activity);
  CHECK(ocsf_class_of("file.written") == OcsfClass::ssh_activity);
}

TEST_CASE("an OCSF event has what its class requires and keeps every field", "[admin][sinks]") {
  const auto login = ocsf(event_of("auth.attempted", R"({"user":"engineer","principal":"engineer","source":"10.0.0.9","source_port":51234,"method":"publickey","result":"refused"})"));
  CHECK(login.at("class_uid") == 3002);
  CHECK(login.at("activity_id") == 1);
  CHECK(login.at("type_uid") == 300201);
  CHECK(login.at("category_uid") == 3);
  CHECK(login.at("status_id") == 2);
  CHECK(login.at("time") == 1'795'392'000'123);
  CHECK(login.at("user").at("name") == "engineer");
  CHECK(login.at("src_endpoint").at("ip") == "10.0.0.9");
  CHECK(login.at("src_endpoint").at("port") == 51234);
  CHECK(login.at("metadata").at("version") == "1.3.0");
  CHECK(login.at("metadata").at("uid") == "01JC3W9M6T5X1Q8Z7R4N2K0HFA");
  CHECK(login.at("unmapped").at("method") == "publickey");

  const auto denied = ocsf(event_of("channel.decided", R"({"principal":"engineer","target":"recs-1","account":"deploy","decision":"deny","code":"SP-2001","command":"id"})"));
  CHECK(denied.at("class_uid") == 4007);
  CHECK(denied.at("type_uid") == 400705);
  CHECK(denied.at("severity_id") == 3);
  CHECK(denied.at("status_code") == "SP-2001");
  CHECK(denied.at("dst_endpoint").at("hostname") == "recs-1");
  CHECK(denied.at("actor").at("session").at("uid") == "01JC3W9M6T5X1Q8Z7R4N2K0HFB");

  // What the class has no attribute for stands in `unmapped` only: strict receivers refuse unknown attributes.
  CHECK_FALSE(denied.contains("remote_user"));
  CHECK_FALSE(denied.contains("session"));
  CHECK(denied.at("unmapped").at("account") == "deploy");

  const auto own = ocsf(event_of("vault.unsealed", "{}"));
  CHECK(own.at("actor").at("user").at("name") == "sallyport");
  CHECK(own.at("actor").at("user").at("type_id") == 3);

  const auto lock = ocsf(event_of("lock.set", R"({"by":"admin","locked_principal":"engineer","reason":"laptop lost"})"));
  CHECK(lock.at("class_uid") == 3001);
  CHECK(lock.at("activity_id") == 9);
  CHECK(lock.at("user").at("name") == "engineer");
  CHECK(lock.at("actor").at("user").at("name") == "admin");

  const auto applied = ocsf(event_of("policy.applied", R"({"by":"admin","version":12})"));
  CHECK(applied.at("class_uid") == 6003);
  CHECK(applied.at("api").at("operation") == "policy.applied");

  const auto alarm = ocsf(event_of("target.hostkey_refused", R"({"target":"recs-1","alarm":true})"));
  CHECK(alarm.at("severity_id") == 5);
}

TEST_CASE("what is no JSON is sent all the same", "[admin][sinks]") {
  const auto broken = ocsf(event_of("channel.closed", "{\"a\": \x1b["));
  CHECK(broken.at("unmapped").as_object().contains("unreadable"));
}

TEST_CASE("CEF escapes what would end a field", "[admin][sinks]") {
  const std::string line = format_event(event_of("channel.decided", R"({"principal":"a=b","target":"recs-1","decision":"deny","code":"SP-2001","command":"x\\y|z\nrm -rf /"})"), EventFormat::cef, "gw|1", "0|1");
  CHECK(line.starts_with("CEF:0|Sallyport|Sallyport|0\\|1|channel.decided|channel.decided|6|rt=1795392000123 externalId=01JC3W9M6T5X1Q8Z7R4N2K0HFA"));
  CHECK(line.find("suser=a\\=b") != std::string::npos);
  CHECK(line.find("msg=x\\\\y|z\\nrm -rf /") != std::string::npos);
  CHECK(line.find("reason=SP-2001") != std::string::npos);
  CHECK(line.find('\n') == std::string::npos);
  CHECK(line.find("outcome=failure") != std::string::npos);
}

TEST_CASE("a locale that was not passed on is no refusal", "[admin][sinks]") {
  const auto noise = ocsf(event_of("relay.refused", R"({"reported":{"request":"env LANG","decision":"ignore","code":"SP-2027"}})"));
  const auto asked = ocsf(event_of("relay.refused", R"({"reported":{"request":"env LD_PRELOAD","decision":"deny","code":"SP-2027"}})"));
  CHECK(noise.at("severity_id").as_int64() == 1);
  CHECK(asked.at("severity_id").as_int64() == 3);
}

TEST_CASE("a format that does not exist is refused", "[admin][sinks]") {
  CHECK_FALSE(event_format_of("leef"));
  CHECK(event_format_of("cef").value() == EventFormat::cef);
}
