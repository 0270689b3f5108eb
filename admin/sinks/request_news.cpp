#include "admin/sinks/request_news.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <fstream>
#include <sstream>

#include "policy/authority/glass.h"
#include "policy/authority/requests.h"

namespace sallyport::admin {
namespace {

Result<Secret> read_key(const std::string& path, std::string_view setting) {
  if (path.empty()) return Secret();
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  if (!in) return fail(Errc::invalid, std::string(setting) + ": " + path + " cannot be read");
  std::string value = text.str();
  while (!value.empty() && (value.back() == '\n' || value.back() == '\r')) value.pop_back();
  return Secret(std::string_view(value));
}

Notification notification_of(const authority::RequestRow& row, const std::string& event, const std::string& gateway) {
  Notification out;
  out.id = row.id + "." + event.substr(event.find('.') + 1) + "." + std::to_string(row.votes.size());
  out.event = event;
  authority::EventJson json;
  json.text("event", event).text("delivery", out.id).text("request", row.id).text("state", row.state).text("kind", row.kind).text("principal", row.principal);
  json.text("role", row.role).text("target", row.target).text("account", row.account).text("text", row.text.substr(0, 1000)).text("reason", row.reason);
  json.text("approvers", row.approvers).number("needed", row.needed).text("decide_by", authority::utc_line(row.decide_by_us));
  if (!row.votes.empty()) json.text("by", row.votes.back().by).text("vote_reason", row.votes.back().reason);
  out.json = json.str();
  const std::string what = row.kind == "access" ? row.account + "@" + row.target : row.kind + " on " + row.account + "@" + row.target;
  if (event == "request.created") {
    out.subject = row.principal + " asks for " + what;
    out.text = row.principal + " asks for " + what + (row.role.empty() ? "" : " by the role " + row.role) +
               ".\n\nReason: " + (row.reason.empty() ? "(none)" : authority::in_her_words(row.reason)) + "\n" +
               (row.text.empty() ? ""
                                 : "Held: " + authority::in_her_words(row.text.substr(0, 1000)) +
                                       (row.text.size() > 1000 ? " ... (cut; see all of it before you say yes)" : "") + "\n") +
               "Needed: " + std::to_string(row.needed) + (row.approvers.empty() ? " who may approve" : " of " + row.approvers) + ", until " +
               authority::utc_line(row.decide_by_us) + "\n\nSay yes:  ssh YOU@" + gateway + " approve " + row.id + "\nSay no:   ssh YOU@" + gateway + " deny " +
               row.id + " --reason WHY\n";
  } else {
    out.subject = "Request of " + row.principal + " for " + what + ": " + event.substr(event.find('.') + 1);
    out.text = out.subject + "\n";
    for (const authority::Vote& vote : row.votes)
      out.text += vote.by + (vote.approve ? " said yes" : " said no") + (vote.reason.empty() ? "" : ": " + authority::in_her_words(vote.reason)) + "\n";
  }
  return out;
}

Notification notification_of(const authority::GlassNews& news) {
  Notification out;
  out.id = news.id + ".glass";
  out.event = news.event;
  authority::EventJson json;
  json.text("event", news.event).text("delivery", out.id).text("envelope", news.envelope).text("principal", news.principal).text("text", news.text);
  if (news.drill) json.flag("drill", true);
  out.json = json.flag("alarm", true).str();
  out.subject = std::string(news.drill ? "Drill: b" : "ALARM: b") + "reak-glass, " + news.event.substr(news.event.find('.') + 1) + (news.principal.empty() ? "" : " (" + news.principal + ")");
  out.text = news.text + "\n\nAudit event: " + news.id + "\n";
  return out;
}

}  // namespace

Result<std::unique_ptr<Notifier>> tell_of_requests(boost::asio::io_context& io, authority::Administration& administration, const Settings& settings) {
  NotifyOptions options;
  options.webhooks = settings.list("notify_webhooks");
  options.smtp = settings.text("notify_smtp");
  if (options.webhooks.empty() && options.smtp.empty()) return std::unique_ptr<Notifier>();
  auto key = read_key(settings.text("notify_webhook_key_file"), "notify.webhook_key_file");
  if (!key) return tl::unexpected(key.error());
  options.webhook_key = std::move(*key);
  auto password = read_key(settings.text("notify_smtp_password_file"), "notify.smtp_password_file");
  if (!password) return tl::unexpected(password.error());
  options.smtp_password = std::move(*password);
  options.smtp_from = settings.text("notify_smtp_from");
  options.smtp_to = settings.list("notify_smtp_to");
  options.smtp_user = settings.text("notify_smtp_user");
  options.smtp_plain = settings.text("notify_smtp_plain") == "true";
  options.ca_file = settings.text("notify_ca_file");
  options.first_pause = std::chrono::duration_cast<std::chrono::milliseconds>(settings.duration("notify_retry_ms", std::chrono::seconds(1)));
  if (auto right = Notifier::check(options); !right) return tl::unexpected(right.error());
  auto& authority = administration.authority();
  auto notifier = std::make_unique<Notifier>(std::move(options), [&io, &authority](Delivery delivery) {
    boost::asio::post(io, [&authority, delivery = std::move(delivery)] {
      authority::EventJson json;
      json.text("delivery", delivery.id).text("about", delivery.event).text("to", delivery.to).number("tries", delivery.tries).text("why", delivery.problem);
      authority.note(delivery.delivered ? "notify.delivered" : "notify.given_up", json);
    });
  });
  const std::string gateway = settings.text("public_address", settings.text("node", "gateway"));
  auto tell = [&authority, to = notifier.get(), gateway](const authority::RequestRow& row, const std::string& event) {
    if (auto sent = to->send(notification_of(row, event, gateway)); !sent)
      authority.note("notify.given_up", authority::EventJson().text("about", event).text("request", row.id).text("why", sent.error().detail));
  };
  // Told again after a restart: who decides may not have heard of it.
  for (const authority::RequestRow& row : administration.requests().list_open())
    if (row.state == "pending") tell(row, "request.created");
  administration.requests().on_change = std::move(tell);
  authority.glass->on_news = [&authority, to = notifier.get()](const authority::GlassNews& news) {
    if (auto sent = to->send(notification_of(news)); !sent)
      authority.note("notify.given_up", authority::EventJson().text("about", news.event).text("envelope", news.envelope).text("why", sent.error().detail));
  };
  return notifier;
}

}  // namespace sallyport::admin
