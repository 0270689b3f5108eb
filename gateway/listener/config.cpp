#include "gateway/listener/config.h"

#include "platform/crypto/base64.h"

namespace sallyport::gateway {
namespace {

Result<std::vector<Bytes>> blobs(const Settings& settings, std::string_view key) {
  std::vector<Bytes> list;
  for (const std::string& text : settings.list(key)) {
    auto blob = crypto::from_base64(text);
    if (!blob) return fail(Errc::invalid, std::string(key) + ": not base64");
    list.push_back(std::move(*blob));
  }
  return list;
}

std::size_t count(const Settings& settings, std::string_view key, std::size_t fallback) {
  return static_cast<std::size_t>(settings.number(key, fallback));
}

}  // namespace

Result<ListenerConfig> parse_listener_config(std::string_view lines) {
  auto settings = Settings::parse(lines);
  if (!settings) return tl::unexpected(settings.error());
  ListenerConfig config;
  auto keys = blobs(*settings, "host_keys");
  if (!keys) return tl::unexpected(keys.error());
  auto certificates = blobs(*settings, "host_certificates");
  if (!certificates) return tl::unexpected(certificates.error());
  for (const std::string& text : settings->list("proxy_protocol_from")) {
    const auto network = Network::parse(text);
    if (!network) return fail(Errc::invalid, "proxy_protocol_from: " + text + " is no network");
    config.proxy_peers.push_back(*network);
  }
  config.max_unproven = count(*settings, "max_unauthenticated", config.max_unproven);
  config.drop_from = count(*settings, "early_drop_from", config.drop_from);
  config.max_per_source = count(*settings, "max_unauthenticated_per_source", config.max_per_source);
  config.max_sessions = count(*settings, "max_sessions", config.max_sessions);
  config.inner_live = count(*settings, "max_jumps_per_session", config.inner_live);
  config.inner_rate = count(*settings, "jumps_per_second", config.inner_rate);
  config.kits_low = count(*settings, "kits_low", config.kits_low);
  config.kits_high = count(*settings, "kits_high", config.kits_high);
  config.kit_wait = settings->duration("kit_wait_ms", config.kit_wait);
  config.proxy_wait = settings->duration("proxy_wait_ms", config.proxy_wait);
  config.renew = settings->duration("fork_server_age_ms", config.renew);
  config.orphan = settings->duration("drain_ms", config.orphan);
  if (config.max_unproven == 0 || config.max_per_source == 0 || config.max_sessions == 0 || config.kits_high == 0)
    return fail(Errc::invalid, "a limit of 0 would serve nobody");
  if (config.kits_low > config.kits_high) return fail(Errc::invalid, "kits_low is above kits_high");
  config.session = SessionOptions{std::move(*keys), std::move(*certificates), std::move(*settings)};
  return config;
}

}  // namespace sallyport::gateway
