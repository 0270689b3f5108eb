#include "recorder/shipping/store_options.h"

#include <sys/stat.h>

#include <fstream>

#include "platform/crypto/hex.h"
#include "recorder/shipping/directory_store.h"

namespace sallyport::recorder {
namespace {

struct KeyPair {
  std::string access;
  Secret secret;
};

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r')) text.remove_suffix(1);
  return text;
}

/// Lines NAME = VALUE, as AWS's own tools write them or with our shorter names.
Result<KeyPair> read_credentials(const std::string& path) {
  if (path.empty()) return fail(Errc::invalid, "an S3 store needs store.credentials: a file with access_key and secret_key");
  struct stat facts {};
  if (::stat(path.c_str(), &facts) != 0) return fail(Errc::invalid, path + ": the store's credentials cannot be read");
  if ((facts.st_mode & 077) != 0) return fail(Errc::invalid, path + " is open to others: chmod 600");
  std::ifstream in(path);
  KeyPair pair;
  std::string line;
  while (std::getline(in, line)) {
    const std::size_t equals = line.find('=');
    if (equals == std::string::npos) continue;
    const std::string_view name = trim(std::string_view(line).substr(0, equals)), value = trim(std::string_view(line).substr(equals + 1));
    if (name == "access_key" || name == "aws_access_key_id") pair.access = value;
    if (name == "secret_key" || name == "aws_secret_access_key") pair.secret = Secret(value);
    OPENSSL_cleanse(line.data(), line.size());
  }
  if (pair.access.empty() || pair.secret.empty()) return fail(Errc::invalid, path + " has no access_key and secret_key");
  return pair;
}

std::string probe_key(const std::string& node, const std::string& body, crypto::Random& random) {
  return node + "/probe/" + crypto::to_hex(crypto::random_bytes(random, 4)) + "." + crypto::to_hex(crypto::sha256(body)).substr(0, 32);
}

}  // namespace

StoreSettings store_settings(const Settings& settings) {
  StoreSettings out;
  out.url = settings.text("store_url");
  out.endpoint = settings.text("store_endpoint");
  out.region = settings.text("store_region", "us-east-1");
  out.virtual_host = settings.text("store_addressing") == "virtual-host";
  out.ca_file = settings.text("store_ca_file");
  out.credentials = settings.text("store_credentials");
  out.read_credentials = settings.text("store_read_credentials");
  return out;
}

Result<OpenedStore> open_store(const StoreSettings& settings, StoreUse use, Clock& clock, crypto::Random& random, unsigned attempts) {
  OpenedStore opened;
  if (settings.url.starts_with("dir:/")) {
    opened.store = std::make_unique<DirectoryStore>(settings.url.substr(4));
    return opened;
  }
  constexpr std::string_view k_s3 = "s3://";
  if (!settings.url.starts_with(k_s3)) return fail(Errc::invalid, "`" + settings.url + "` is no store: s3://BUCKET/PREFIX or dir:/PATH");
  S3Options options;
  std::string place = settings.url.substr(k_s3.size());
  while (place.ends_with('/')) place.pop_back();
  options.bucket = place.substr(0, place.find('/'));
  if (place.find('/') != std::string::npos) options.prefix = place.substr(place.find('/') + 1) + "/";
  if (options.bucket.size() < 3 || options.bucket.size() > 63 || !is_object_key(options.bucket)) return fail(Errc::invalid, "`" + settings.url + "` names no bucket");
  if (!options.prefix.empty() && !is_object_key(options.prefix.substr(0, options.prefix.size() - 1))) return fail(Errc::invalid, "`" + settings.url + "` has a prefix that is no key");
  options.endpoint.origin = settings.endpoint.empty() ? "https://s3." + settings.region + ".amazonaws.com" : settings.endpoint;
  if (!options.endpoint.origin.starts_with("https://") && !options.endpoint.origin.starts_with("http://"))
    return fail(Errc::invalid, "`" + settings.endpoint + "`: the store's endpoint begins with https:// (or http:// for a test)");
  options.endpoint.ca_file = settings.ca_file;
  options.region = settings.region;
  options.virtual_host = settings.virtual_host;
  options.attempts = attempts;
  if (options.region.empty()) options.region = "us-east-1";
  const bool reads = use == StoreUse::read && !settings.read_credentials.empty();
  auto pair = read_credentials(reads ? settings.read_credentials : settings.credentials);
  if (!pair) return tl::unexpected(pair.error());
  options.access_key = std::move(pair->access);
  options.secret_key = std::move(pair->secret);
  auto s3 = std::make_unique<S3Store>(std::move(options), clock, random);
  opened.s3 = s3.get();
  opened.store = std::move(s3);
  return opened;
}

Result<ShipOptions> ship_options(const Settings& settings) {
  ShipOptions options;
  const std::string state_dir = settings.text("state_dir");
  options.journal_dir = state_dir + "/journal";
  options.state_dir = state_dir + "/shipping";
  options.node = node_key(settings.text("node"));
  options.parcel_bytes = settings.number("store_segment_bytes", options.parcel_bytes);
  options.parcel_every = settings.duration("store_segment_every_ms", options.parcel_every);
  options.spool_bytes = settings.number("store_spool_bytes", options.spool_bytes);
  options.keep = std::chrono::duration_cast<std::chrono::seconds>(settings.duration("store_retention_ms", std::chrono::milliseconds(0)));
  options.compliance = settings.text("store_retention_mode") == "compliance";
  for (const std::string& text : settings.list("store_retention_rules")) {
    auto rule = parse_retention_rule(text);
    if (!rule) return tl::unexpected(rule.error());
    options.rules.push_back(std::move(*rule));
  }
  return options;
}

std::vector<StoreCheck> check_store(OpenedStore& writer, OpenedStore& reader, const std::string& node, std::chrono::seconds keep, bool compliance, Clock& clock,
                                    crypto::Random& random) {
  std::vector<StoreCheck> checks;
  const auto add = [&](const char* name, bool good, bool required, std::string detail) { checks.push_back({name, good, required, std::move(detail)}); };
  const std::string body = "sallyport probe " + net::amz_date(clock.wall()) + " " + crypto::to_hex(crypto::random_bytes(random, 8)) + "\n";
  const std::string key = probe_key(node, body, random);
  ObjectKeep wanted;
  if (keep > std::chrono::seconds(0)) {
    wanted.until = std::chrono::floor<std::chrono::seconds>(clock.wall()) + std::min<std::chrono::seconds>(keep, std::chrono::minutes(10));
    wanted.compliance = compliance;
  }
  const auto written = writer.store->put(key, bytes_of(body), wanted);
  add("write", written.has_value(), true, written ? key : written.error().detail);
  if (!written) return checks;
  const auto back = reader.store->get(key);
  const bool may_read = back.has_value() || back.error().code != Errc::denied;
  add("read back", back && text_of(*back) == body, may_read, back ? text_of(*back) == body ? "the same bytes came back" : "other bytes came back" : back.error().detail);
  if (wanted.until) {
    const auto facts = reader.store->head(key);
    const bool held = facts && facts->keep.until && *facts->keep.until >= *wanted.until - std::chrono::seconds(1);
    add("lock", held, may_read,
        !facts ? facts.error().detail
        : held ? "held until " + iso_time(*facts->keep.until)
               : "the store took the object and ignored its lock: make the bucket with object lock, or set store.retention to 0");
  } else {
    add("lock", false, false, "store.retention is 0: nothing is held against removal");
  }
  if (writer.s3 != nullptr) {
    const auto removed = writer.s3->remove_version(key);
    const auto still = reader.store->head(key);
    const bool there = still.has_value() || still.error().code == Errc::denied;
    add("no delete", !removed && there, wanted.until.has_value(), removed ? "the credential that ships may remove what it shipped" : there ? "refused" : "refused, but the probe is gone");
  }
  // Last: where versions are kept it becomes the newest one.
  const auto again = writer.store->put(key, bytes_of("other"), wanted);
  add("write once", !again && again.error().code == Errc::conflict, false,
      !again && again.error().code == Errc::conflict ? "a second object under the same key was refused"
      : again ? "the store took a second object under the same key; versions keep the first one where the bucket has them" : again.error().detail);
  return checks;
}

}  // namespace sallyport::recorder
