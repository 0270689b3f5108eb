// Shipping: parcels, crash points, outages, retention lanes; the S3 store against a scripted server.
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <deque>
#include <fstream>
#include <map>
#include <random>
#include <set>

#include "platform/crypto/hex.h"
#include "recorder/journal/journal.h"
#include "recorder/local_files.h"
#include "recorder/replay/far_journal.h"
#include "recorder/replay/seek_index.h"
#include "recorder/replay/shown_proof.h"
#include "recorder/replay/store_copy.h"
#include "recorder/replay/verify.h"
#include "recorder/shipping/directory_store.h"
#include "recorder/shipping/s3_store.h"
#include "recorder/shipping/shipper.h"
#include "tests/unit/recorder/journal_maker.h"

using namespace sallyport;
using namespace sallyport::recorder;
using namespace sallyport::test;

namespace {

std::string bytes_in(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

struct Killed {};

/// Journal files as a recorder leaves them, with a state frame at each file's beginning not needed here.
struct Node {
  /// `logins`: what the first sessions' logins say in the log, before them.
  explicit Node(const std::vector<std::string>& logins = {}) {
    for (const char* target : {"recs-1", "db-1"}) {
      auto& session = made.begin(std::string(R"({"principal":"engineer","account":"deploy","target":")") + target + "\"}");
      if (made.sessions.size() <= logins.size()) made.event("auth.succeeded", logins[made.sessions.size() - 1], session.id.str());
      for (int i = 0; i < 40; ++i) {
        REQUIRE(session.log->append_data(0, seal::Stream::out, bytes_of(std::string(400, static_cast<char>('a' + i % 26)) + std::to_string(i))) == seal::SessionLog::Put::stored);
        if (i % 4 == 3) made.drain(session);
      }
      made.end(session);
    }
    made.checkpoint();
    made.write(journal(), 12);
    ::mkdir(shipping().c_str(), 0700);
  }
  [[nodiscard]] std::filesystem::path journal() const { return folder.path() / "journal"; }
  [[nodiscard]] std::filesystem::path shipping() const { return folder.path() / "shipping"; }
  [[nodiscard]] std::uint64_t files() const { return journal_files(journal().string()).size(); }

  ShipOptions options() const {
    ShipOptions options;
    options.journal_dir = journal().string();
    options.state_dir = shipping().string();
    options.node = "gw-1";
    options.parcel_bytes = 4096;
    return options;
  }
  Shipper open(ShipOptions options, ObjectStore& store) {
    auto shipper = Shipper::open(std::move(options), store, made.clock, [this](std::string_view name, const std::string&, const std::string& json) {
      events.emplace_back(std::string(name) + " " + json);
    });
    REQUIRE(shipper);
    const std::uint64_t last = files();
    shipper->durable_up_to(last, std::filesystem::file_size(journal() / journal_file_name(last)));
    return std::move(*shipper);
  }
  void run(Shipper& shipper) {
    for (int i = 0; i < 10'000 && shipper.progress().waiting_bytes > 0; ++i) made.clock.pass(std::chrono::microseconds(shipper.step()).count() + 1000);
  }
  void check_copy(ObjectStore& store) const {
    const auto copy = replay::fetch_journal(store, "gw-1", folder.path() / "copy", true);
    REQUIRE(copy);
    CHECK(copy->missing.empty());
    for (std::uint64_t file = 1; file <= files(); ++file) CHECK(bytes_in(copy->folder / journal_file_name(file)) == bytes_in(journal() / journal_file_name(file)));
    CHECK(copy->checkpoints.size() == 1);
  }

  TemporaryFolder folder;
  JournalMaker made;
  std::vector<std::string> events;
};

/// Notes how long objects are to be kept; a folder cannot hold them.
class Held final : public ObjectStore {
 public:
  explicit Held(ObjectStore& inner) : inner_(inner) {}
  using ObjectStore::put;
  Result<void> put(std::string_view key, ByteView body, const ObjectKeep& keep) override {
    keeps[std::string(key)] = keep;
    return inner_.put(key, body, ObjectKeep{});
  }
  Result<Bytes> get(std::string_view key) override { return inner_.get(key); }
  Result<Bytes> get_range(std::string_view key, std::uint64_t offset, std::uint64_t length) override { return inner_.get_range(key, offset, length); }
  Result<ObjectFacts> head(std::string_view key) override { return inner_.head(key); }
  Result<std::vector<std::string>> list(std::string_view prefix) override { return inner_.list(prefix); }
  std::map<std::string, ObjectKeep> keeps;

 private:
  ObjectStore& inner_;
};

}  // namespace

TEST_CASE("what is shipped comes back byte for byte, and verifies from the store alone", "[recorder][shipping]") {
  Node node;
  DirectoryStore store((node.folder.path() / "store").string());
  auto shipper = node.open(node.options(), store);
  node.run(shipper);
  CHECK(shipper.progress().waiting_bytes == 0);
  CHECK(shipper.progress().parcels > 3);
  node.check_copy(store);
  const auto copy = replay::fetch_journal(store, "gw-1", node.folder.path() / "copy", false);
  REQUIRE(copy);
  CHECK(copy->bytes == 0);  // nothing is fetched twice
  replay::VerifyOptions options;
  options.journal = copy->folder;
  options.checkpoint_keys = {node.made.note_key()};
  options.outside = {{crypto::parse_checkpoint(copy->checkpoints.front().body).value(), "store", copy->checkpoints.front()}};
  const auto report = replay::verify_journal(options);
  REQUIRE(report);
  CHECK(report->is_clean());
}

TEST_CASE("files that left the machine are read from the store by ranges, and proven", "[recorder][shipping]") {
  Node node;
  const auto root = node.folder.path() / "store";
  DirectoryStore store(root.string());
  auto shipper = node.open(node.options(), store);
  node.run(shipper);
  const auto far = std::make_shared<replay::StoreJournal>([&]() -> Result<std::unique_ptr<ObjectStore>> { return std::make_unique<DirectoryStore>(root.string()); }, "gw-1",
                                                          node.folder.path() / "names");
  const auto whole = bytes_in(node.journal() / journal_file_name(1));
  for (const std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{63}, std::uint64_t{1000}, std::uint64_t{4000}}) {
    const auto part = far->read(1, offset, 5000);
    REQUIRE(part);
    CHECK(text_of(*part) == whole.substr(offset, 5000));
  }
  CHECK(far->read(1, whole.size(), 10).value().empty());
  CHECK(far->read(99, 0, 10).error().code == Errc::not_found);
  CHECK(far->holes(1).value().empty());
  // The first files leave, then all of them.
  for (const std::uint64_t last : {std::uint64_t{2}, node.files()}) {
    for (std::uint64_t file = 1; file <= last; ++file) std::filesystem::remove(node.journal() / journal_file_name(file));
    replay::VerifyOptions options;
    options.journal = replay::JournalPlace(node.journal(), far);
    options.checkpoint_keys = {node.made.note_key()};
    options.patience = std::chrono::milliseconds(0);
    const auto report = replay::verify_journal(options);
    REQUIRE(report);
    for (const auto& finding : report->findings) UNSCOPED_INFO(finding.kind << ": " << finding.text);
    CHECK(report->is_clean());
    CHECK(report->sessions.size() == 2);
    auto index = replay::SeekIndex::open(":memory:", options.journal);
    REQUIRE(index);
    REQUIRE(index->catch_up());
    CHECK(index->file_trouble().empty());
    CHECK(index->sessions({}).value().size() == 2);
    CHECK(index->newest_session().value().has_value());
    const auto summary = index->find_session(node.made.sessions[0]->id.view(), {});
    REQUIRE(summary);
    const auto proof = replay::ShownProof::make(*index, *summary, options.checkpoint_keys, {});
    REQUIRE(proof);
    std::uint64_t entries = 0;
    REQUIRE(proof->read(*index, 1, [&](const replay::StoredEntry&, const std::optional<crypto::Tag>&) { return ++entries > 0; }));
    CHECK(entries == summary->entries);
    options.journal = node.journal();  // without the store they are missing, and that is said
    const auto alone = replay::verify_journal(options);
    CHECK((!alone || !alone->is_clean()));
  }
  // A byte changed in the store is found.
  auto key = store.list("gw-1/journal/00000002/").value().front();
  auto body = bytes_in(root / key);
  body[body.size() / 2] = static_cast<char>(body[body.size() / 2] ^ 1);
  std::ofstream(root / key, std::ios::binary) << body;
  replay::VerifyOptions options;
  options.journal = replay::JournalPlace(node.journal(), std::make_shared<replay::StoreJournal>([&]() -> Result<std::unique_ptr<ObjectStore>> { return std::make_unique<DirectoryStore>(root.string()); },
                                                                                                "gw-1", std::filesystem::path()));
  options.checkpoint_keys = {node.made.note_key()};
  options.patience = std::chrono::milliseconds(0);
  CHECK_FALSE(replay::verify_journal(options)->is_clean());
}

TEST_CASE("journal files leave the disk when they are shipped, old or many, and under no legal hold", "[recorder][shipping]") {
  Node node;
  node.made.write(node.journal(), 4);
  const std::string holds = (node.folder.path() / "holds").string();
  LocalFiles local(node.journal().string(), holds);
  const WallTime now = std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
  const auto count = [&](LocalKeep keep, std::uint64_t shipped, WallTime when) { return local.due(keep, shipped, when).size(); };
  const std::uint64_t files = node.files();
  REQUIRE(files >= 4);
  using std::chrono::hours;
  CHECK(count({0, {}}, files, now + hours(1000)) == 0);                  // nothing is asked for
  CHECK(count({0, hours(1)}, files, now) == 0);                           // not old enough
  CHECK(count({0, hours(1)}, files, now + hours(2)) == files - 2);        // the newest two stay
  CHECK(count({0, hours(1)}, 2, now + hours(2)) == 1);                    // not shipped yet
  CHECK(count({0, hours(1)}, 1, now + hours(2)) == 0);
  CHECK(count({1, {}}, files, now) == files - 2);                         // too many bytes
  CHECK(count({1ULL << 40, {}}, files, now) == 0);
  const std::string held = node.made.sessions[0]->id.str();
  CHECK(local.take_event("recording.held", R"({"session":")" + held + R"(","first_file":2,"last_file":3})").value());
  CHECK(count({1, {}}, files, now) == 1);  // file 1; what is held stays, and what follows
  CHECK(LocalFiles(node.journal().string(), holds).held_sessions() == std::vector<std::string>{held});
  CHECK_FALSE(local.take_event("recording.viewed", R"({"session":"x"})").value());
  CHECK(local.take_event("recording.released", R"({"session":")" + held + R"("})").value());
  CHECK(count({1, {}}, files, now) == files - 2);
  REQUIRE(local.remove(1));
  CHECK_FALSE(std::filesystem::exists(node.journal() / journal_file_name(1)));
}

TEST_CASE("killed at any point, shipping loses and doubles nothing", "[recorder][shipping]") {
  // The n-th point that is reached ends the process; then it begins anew, until it gets through.
  std::size_t points = 0;
  for (std::size_t n = 1;; ++n) {
    Node node;
    DirectoryStore store((node.folder.path() / "store").string());
    std::size_t reached = 0;
    auto options = node.options();
    options.parcel_bytes = 16'384;
    options.at = [&](std::string_view) {
      if (++reached % n == 0 && reached <= n * 3) throw Killed{};
    };
    bool was_killed = false;
    for (int lives = 0; lives < 20; ++lives) {
      try {
        auto shipper = node.open(options, store);
        node.run(shipper);
        break;
      } catch (const Killed&) {
        was_killed = true;
      }
    }
    INFO("killed at point " << n);
    node.check_copy(store);
    std::uint64_t total = 0, journal_total = 0;
    const auto keys = store.list("gw-1/journal/").value();
    for (const auto& key : keys) {
      const auto parsed = parse_parcel_key(key);
      REQUIRE(parsed);
      total += parsed->span.to - parsed->span.from;
    }
    for (std::uint64_t file = 1; file <= node.files(); ++file) journal_total += std::filesystem::file_size(node.journal() / journal_file_name(file));
    CHECK(total == journal_total);
    if (!was_killed) break;
    points = n;
    if (n > 8) n += n / 3;
  }
  CHECK(points > 8);
}

TEST_CASE("while the store is away the spool fills, is announced, and is caught up in order", "[recorder][shipping]") {
  class Away final : public ObjectStore {
   public:
    explicit Away(ObjectStore& inner) : inner_(inner) {}
    using ObjectStore::put;
    Result<void> put(std::string_view key, ByteView body, const ObjectKeep& keep) override {
      if (is_away) return fail(Errc::unavailable, "away");
      order.emplace_back(key);
      return inner_.put(key, body, keep);
    }
    Result<Bytes> get(std::string_view key) override { return inner_.get(key); }
    Result<Bytes> get_range(std::string_view key, std::uint64_t offset, std::uint64_t length) override { return inner_.get_range(key, offset, length); }
    Result<ObjectFacts> head(std::string_view key) override { return inner_.head(key); }
    Result<std::vector<std::string>> list(std::string_view prefix) override { return inner_.list(prefix); }
    bool is_away = true;
    std::vector<std::string> order;

   private:
    ObjectStore& inner_;
  };
  Node node;
  DirectoryStore inner((node.folder.path() / "store").string());
  Away store(inner);
  std::uint64_t total = 0;
  for (std::uint64_t file = 1; file <= node.files(); ++file) total += std::filesystem::file_size(node.journal() / journal_file_name(file));
  auto options = node.options();
  options.spool_bytes = total * 100 / 92;
  auto shipper = node.open(options, store);
  for (int i = 0; i < 20; ++i) node.made.clock.pass(std::chrono::microseconds(shipper.step()).count());
  CHECK(shipper.progress().spool_percent >= 90);
  CHECK_FALSE(shipper.progress().trouble.empty());
  const auto said = [&](std::string_view what) {
    return std::count_if(node.events.begin(), node.events.end(), [&](const std::string& event) { return event.starts_with(what); });
  };
  CHECK(said("store.spool_warning") == 1);
  CHECK(said("store.unreachable") == 1);
  store.is_away = false;
  node.run(shipper);
  CHECK(said("store.reachable") == 1);
  std::vector<std::string> parcels;
  for (const auto& key : store.order)
    if (parse_parcel_key(key)) parcels.push_back(key);
  CHECK(std::is_sorted(parcels.begin(), parcels.end()));
  node.check_copy(inner);
}

TEST_CASE("sessions with a time of their own travel in a lane of their own", "[recorder][shipping]") {
  Node node;
  DirectoryStore inner((node.folder.path() / "store").string());
  Held store(inner);
  auto options = node.options();
  options.keep = std::chrono::hours(24);
  options.rules = {parse_retention_rule("target:db-*=365d").value()};
  options.parcel_bytes = 1 << 20;
  auto shipper = node.open(options, store);
  node.run(shipper);
  node.check_copy(inner);
  std::set<std::int64_t> days;
  for (const auto& [key, keep] : store.keeps) {
    REQUIRE(keep.until);
    days.insert(std::chrono::duration_cast<std::chrono::hours>(*keep.until - node.made.clock.wall() + std::chrono::hours(12)).count() / 24);
  }
  CHECK(days == std::set<std::int64_t>{1, 365});
  CHECK(std::count_if(node.events.begin(), node.events.end(), [](const std::string& event) { return event.starts_with("recording.retention"); }) == 2);
}

TEST_CASE("retention goes by the roles of a login, and by the longest time where the login was not seen", "[recorder][shipping]") {
  const auto keeps_of = [](Node& node, const char* crash) {
    DirectoryStore inner((node.folder.path() / "store").string());
    Held store(inner);
    auto options = node.options();
    options.keep = std::chrono::hours(24);
    options.rules = {parse_retention_rule("role:prod-*=365d").value(), parse_retention_rule("role:lab=7d").value(), parse_retention_rule("target:none=9d").value()};
    options.parcel_bytes = 64;  // a login and what follows are never in one parcel
    int deaths = 0;
    options.at = [&](std::string_view point) {
      if (crash == nullptr || point != crash) return;
      ++deaths;
      throw Killed{};
    };
    for (bool done = false; !done && deaths < 5'000;) {
      try {
        auto shipper = node.open(options, store);
        node.run(shipper);
        done = true;
      } catch (const Killed&) {
      }
    }
    CHECK((deaths > 0) == (crash != nullptr));
    node.check_copy(inner);
    std::vector<std::string> keeps;
    for (const std::string& event : node.events)
      if (event.starts_with("recording.retention")) keeps.push_back(event.substr(event.find(':') + 1));
    std::sort(keeps.begin(), keeps.end());
    keeps.erase(std::unique(keeps.begin(), keeps.end()), keeps.end());  // a death may make one be told again
    return keeps;
  };
  const std::string year = "31536000}", week = "604800}", day = "86400}";
  Node both({R"({"roles":["lab","prod-db"]})", R"({"roles":["lab"]})"});
  CHECK(keeps_of(both, nullptr) == std::vector{year, week});
  Node none({R"({"roles":[]})", R"({"roles":["operator"]})"});
  CHECK(keeps_of(none, nullptr) == std::vector{day});
  Node unseen({R"({"roles":["lab"]})"});
  CHECK(keeps_of(unseen, nullptr) == std::vector{year, week});
  Node older({R"({"factors":"publickey"})"});  // of a build that did not say them
  CHECK(keeps_of(older, nullptr) == std::vector{year});
  Node crashed({R"({"roles":["lab"]})", R"({"roles":["operator"]})"});  // what a login said is known beyond any restart
  CHECK(keeps_of(crashed, "state-saved") == std::vector{week, day});
}

TEST_CASE("retention rules and parcels that are not right are refused by name", "[recorder][shipping]") {
  for (const char* text : {"", "target", "target:x", "target:=3d", "rolle:x=3d", "role:=3d", "target:x=3", "target:x=3w", "target:x=-3d", "target:x=99999999999d"}) {
    INFO(text);
    CHECK(parse_retention_rule(text).error().code == Errc::invalid);
  }
  CHECK(matches_pattern("db-*", "db-1"));
  CHECK(matches_pattern("*", ""));
  CHECK(matches_pattern("a*b?c", "axxbyc"));
  CHECK_FALSE(matches_pattern("a*b?c", "axxbc"));
  std::mt19937 random(7);
  Parcel parcel{{3, 100, 200}, 1, 2, {{100, bytes_of("hello")}, {150, bytes_of("world")}}};
  const Bytes good = pack_parcel(parcel);
  REQUIRE(unpack_parcel(good));
  CHECK(text_of(unpack_parcel(good)->pieces[1].bytes) == "world");
  for (int i = 0; i < 20'000; ++i) {
    Bytes bad = good;
    if (i % 3 == 0) bad.resize(random() % good.size());
    if (!bad.empty()) bad[random() % bad.size()] ^= static_cast<std::byte>(1 << random() % 8);
    if (const auto read = unpack_parcel(bad))
      for (const auto& piece : read->pieces) CHECK(piece.offset + piece.bytes.size() <= read->span.to);
  }
  for (const char* key : {"", "x", "n/journal/", "n/journal/00000001/1-0.1of1.0123456789abcdef0123456789abcdef", "n/journal/00000001/0-9.2of1.0123456789abcdef0123456789abcdef",
                          "n/journal/00000000/0-9.1of1.0123456789abcdef0123456789abcdef", "n/journal/00000001/0-9.1of1.012345"})
    CHECK_FALSE(parse_parcel_key(key));
}

namespace {

/// Answers from a list; remembers what was asked.
class Script final : public S3Transport {
 public:
  struct Said {
    std::string method, path, query;
    net::HttpHeaders headers;
    Bytes body;
  };
  Result<S3Answer> exchange(const S3Call& call) override {
    asked.push_back({call.method, call.path, call.query, call.headers, copy_of(call.body)});
    if (answers.empty()) return fail(Errc::unavailable, "no more answers");
    auto next = std::move(answers.front());
    answers.pop_front();
    return next;
  }
  std::deque<Result<S3Answer>> answers;
  std::vector<Said> asked;
};

struct Client {
  Client() {
    auto own = std::make_unique<Script>();
    script = own.get();
    S3Options options;
    options.endpoint.origin = "https://store.example:443";
    options.bucket = "records";
    options.prefix = "p/";
    options.access_key = "KEY";
    options.secret_key = Secret(std::string_view("secret"));
    options.part_bytes = 10;
    store = std::make_unique<S3Store>(std::move(options), clock, crypto::system_random(), std::move(own), [this](std::chrono::milliseconds pause) { pauses.push_back(pause); });
  }
  void answer(unsigned status, std::map<std::string, std::string> headers = {}, std::string_view body = {}) {
    script->answers.emplace_back(S3Answer{status, std::move(headers), copy_of(bytes_of(body))});
  }
  void lose() { script->answers.emplace_back(fail(Errc::unavailable, "connection reset")); }
  StepClock clock;
  Script* script = nullptr;
  std::unique_ptr<S3Store> store;
  std::vector<std::chrono::milliseconds> pauses;
};

}  // namespace

TEST_CASE("an S3 put is conditional and signed; a lost answer is settled by what stands there", "[recorder][s3]") {
  Client client;
  const std::string hash = crypto::to_hex(crypto::sha256("body"));
  client.lose();
  client.answer(200, {{"content-length", "4"}, {"x-amz-meta-sha256", hash}});
  REQUIRE(client.store->put("a/b", bytes_of("body")));
  REQUIRE(client.script->asked.size() == 2);
  CHECK(client.script->asked[1].method == "HEAD");

  client.lose();
  client.answer(404);
  client.answer(412);
  client.answer(200, {{"content-length", "4"}, {"x-amz-meta-sha256", hash}});
  REQUIRE(client.store->put("a/b", bytes_of("body")));
  CHECK(client.script->asked[0].path == "/records/p/a/b");
  CHECK(client.pauses.size() == 2);
  const auto has = [&](const std::string& name, const std::string& value) {
    return std::any_of(client.script->asked[0].headers.begin(), client.script->asked[0].headers.end(), [&](const auto& header) { return header.first == name && header.second == value; });
  };
  CHECK(has("if-none-match", "*"));
  CHECK(has("x-amz-content-sha256", hash));
  CHECK(has("host", "store.example"));

  client.answer(412);
  client.answer(200, {{"content-length", "4"}, {"x-amz-meta-sha256", crypto::to_hex(crypto::sha256("evil"))}});
  CHECK(client.store->put("a/b", bytes_of("body")).error().code == Errc::conflict);

  client.answer(412);  // a credential that may only write: the hash in the key settles it
  client.answer(403);
  CHECK(client.store->put("a/b." + hash.substr(0, 32), bytes_of("body")));
  client.answer(412);
  client.answer(403);
  CHECK_FALSE(client.store->put("a/b.0123", bytes_of("body")));
}

TEST_CASE("S3 refusals are named: skew, key, quota; busy stores are asked again with growing pauses", "[recorder][s3]") {
  Client client;
  client.answer(403, {{"date", "Fri, 15 Jan 2027 08:30:00 GMT"}}, "<Error><Code>RequestTimeTooSkewed</Code><Message>x</Message></Error>");
  const auto skewed = client.store->put("k", bytes_of("b"));
  CHECK(skewed.error().code == Errc::denied);
  CHECK(skewed.error().detail.find("the clocks differ by 1800 s (this machine is behind)") != std::string::npos);
  client.answer(403, {}, "<Error><Code>SignatureDoesNotMatch</Code></Error>");
  CHECK(client.store->put("k", bytes_of("b")).error().detail.find("secret key is not the one of KEY") != std::string::npos);
  client.answer(403, {}, "<Error><Code>QuotaExceeded</Code></Error>");
  CHECK(client.store->put("k", bytes_of("b")).error().code == Errc::unavailable);
  client.pauses.clear();
  for (int i = 0; i < 4; ++i) client.answer(503, {}, "<Error><Code>SlowDown</Code><Message>\x1b[31m</Message></Error>");
  const auto busy = client.store->put("k", bytes_of("b"));
  CHECK(busy.error().code == Errc::unavailable);
  CHECK(busy.error().detail.find('\x1b') == std::string::npos);
  REQUIRE(client.pauses.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(client.pauses[i] >= std::chrono::milliseconds(100 << i));
    CHECK(client.pauses[i] <= std::chrono::milliseconds(200 << i));
  }
}

TEST_CASE("large S3 objects go in parts, lists in pages, ranges within bounds", "[recorder][s3]") {
  Client client;
  const std::string body = "0123456789abcdefghijKLMNO";
  client.answer(404);
  client.answer(200, {}, "<X><UploadId>up&amp;1</UploadId></X>");
  for (int i = 0; i < 3; ++i) client.answer(200, {{"etag", "\"e\""}});
  client.answer(200, {}, "<CompleteMultipartUploadResult/>");
  REQUIRE(client.store->put("big", bytes_of(body)));
  REQUIRE(client.script->asked.size() == 6);
  CHECK(client.script->asked[2].query == "partNumber=1&uploadId=up%261");
  CHECK(client.script->asked[4].body.size() == 5);

  client.answer(200, {}, "<L><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken><Contents><Key>p/b</Key></Contents><Contents><Key>p/../x</Key></Contents></L>");
  client.answer(200, {}, "<L><IsTruncated>false</IsTruncated><Contents><Key>p/a</Key></Contents><Contents><Key>q/a</Key></Contents></L>");
  CHECK(client.store->list("").value() == std::vector<std::string>{"a", "b"});
  client.answer(200, {}, "<L><IsTruncated>true</IsTruncated></L>");
  CHECK(client.store->list("").error().code == Errc::corrupt);
  client.answer(206, {}, "abc");
  CHECK(text_of(client.store->get_range("k", 5, 3).value()) == "abc");
  client.answer(206, {}, "abcd");
  CHECK(client.store->get_range("k", 5, 3).error().code == Errc::corrupt);
  client.answer(416);
  CHECK(client.store->get_range("k", 50, 3).value().empty());
}
