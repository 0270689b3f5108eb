// `tests:` of a policy file.
#include "policy/access/read_documents.h"

namespace sallyport::policy {
namespace {

constexpr std::int64_t k_usual_moment_us = 1'704'110'400'000'000;  // 2024-01-01T12:00:00Z, a Monday

}  // namespace

void read_test(ReadState& state, const Spot& spot) {
  if (!spot.is_map_of({"name", "who", "target", "account", "channel", "command", "host", "port", "path", "direction", "from", "at", "mfa", "approved", "moderated", "expect", "code"})) return;
  PolicyTest test;
  test.place = spot.place();
  test.pointer = spot.pointer();
  const auto text = [&](std::string_view key, bool required) {
    const auto field = spot.field(key);
    if (!field && required) spot.complain("a test needs `" + std::string(key) + "`");
    return field ? field->text().value_or("") : std::string();
  };
  AccessRequest& request = test.request;
  test.name = text("name", true);
  if (const auto who = spot.field("who")) {
    request.principal = PrincipalId(who->text().value_or(""));
  } else {
    spot.complain("a test needs `who`");
  }
  request.target = TargetId(text("target", true));
  request.account = AccountName(text("account", true));
  request.command = text("command", false);
  request.host = text("host", false);
  request.path = text("path", false);
  if (const auto channel = spot.field("channel")) {
    const auto kind = parse_channel_kind(channel->text().value_or(""));
    if (kind) request.kind = *kind;
    else channel->complain("there is no such channel");
  }
  if (const auto port = spot.field("port")) request.port = static_cast<std::uint16_t>(port->number(1, 65535).value_or(0));
  if (const auto direction = spot.field("direction")) {
    const std::string word = direction->text().value_or("");
    request.up = word == "up";
    request.down = word == "down";
    if (!request.up && !request.down) direction->complain("up or down");
  }
  request.now = WallTime(std::chrono::microseconds(k_usual_moment_us));
  if (const auto at = spot.field("at")) request.now = at->moment().value_or(request.now);
  request.source = IpAddress::parse("127.0.0.1").value_or(IpAddress());
  if (const auto from = spot.field("from")) {
    const auto address = IpAddress::parse(from->text().value_or(""));
    if (address) request.source = *address;
    else from->complain("this is no address");
  }
  request.factors = {{FactorKind::key, request.now, false}};
  if (const auto mfa = spot.field("mfa"); mfa && mfa->flag().value_or(false)) request.factors.push_back({FactorKind::totp, request.now, false});
  if (const auto approved = spot.field("approved")) request.approvals = approved->texts();
  if (const auto moderated = spot.field("moderated")) request.moderated = moderated->texts();
  test.expect = text("expect", true);
  test.code = text("code", false);
  if (!test.expect.empty() && test.expect != "allow" && test.expect != "deny" && test.expect != "ask") spot.complain("`expect` is allow, deny or ask");
  state.documents->tests.push_back(std::move(test));
}

}  // namespace sallyport::policy
