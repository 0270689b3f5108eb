#include <boost/json.hpp>
#include <cstdlib>

#include "app/config.h"
#include "app/verbs/admin_client.h"
#include "app/verbs/events.h"
#include "app/verbs/recording_acts.h"
#include "app/verbs/recording_view.h"
#include "app/verbs/recordings.h"
#include "app/verbs/verb.h"
#include "app/verbs/witnessing.h"
#include "platform/crypto/base64.h"
#include "platform/crypto/hex.h"
#include "recorder/replay/session_list.h"
#include "recorder/search/search_place.h"
#include "recorder/shipping/store_options.h"

namespace sallyport::app {
namespace {

namespace json = boost::json;

/// --journal works without any configuration: an auditor has files, not a gateway.
struct PlaceOptions {
  std::string journal;
  std::vector<std::string> keys;
  std::string stamp_ca;
  bool forget = false;
  std::string store;  ///< "configured", or its URL
  std::string node;
  recorder::StoreSettings settings;
  bool whole = false;  ///< the verb reads everything anyway
  bool fresh = false;  ///< nothing fetched before is trusted
};

using StoreOpener = std::function<Result<recorder::OpenedStore>()>;

/// Journal files that are in the store, read by ranges when somebody wants them.
std::shared_ptr<replay::FarJournal> far_journal(const StoreOpener& open, const std::string& node, const std::filesystem::path& notes) {
  return std::make_shared<replay::StoreJournal>(
      [open]() -> Result<std::unique_ptr<recorder::ObjectStore>> {
        auto opened = open();
        if (!opened) return tl::unexpected(Error{opened.error().code, "older recordings are in the object store: " + opened.error().detail});
        return std::move(opened->store);
      },
      node, notes);
}

StoreOpener opener_of(const recorder::StoreSettings& settings) {
  return [settings] { return recorder::open_store(settings, recorder::StoreUse::read, system_clock(), crypto::system_random()); };
}

/// With `whole`: fetches what the store has and this machine does not; what is read afterwards are files like the gateway's own. Else what
/// is wanted is read where it is wanted.
Result<RecordingPlace> place_in_store(const Common& common, const PlaceOptions& options, RecordingPlace place) {
  recorder::StoreSettings settings = options.settings;
  std::string node = options.node;
  if (const auto config = load_config(common.config)) {
    const auto configured = recorder::store_settings(config->settings_for("recorder"));
    if (options.store == "configured") settings.url = configured.url;
    if (settings.endpoint.empty()) settings.endpoint = configured.endpoint;
    if (settings.ca_file.empty()) settings.ca_file = configured.ca_file;
    if (settings.read_credentials.empty()) settings.read_credentials = configured.read_credentials.empty() ? configured.credentials : configured.read_credentials;
    if (settings.region.empty()) settings.region = configured.region;
    settings.virtual_host = settings.virtual_host || configured.virtual_host;
    place.default_key = config->run_dir / "keys" / "checkpoint.vkey";
    if (node.empty()) node = recorder::node_key(config->node);
  } else if (options.store == "configured") {
    return tl::unexpected(config.error());
  }
  if (options.store != "configured") settings.url = options.store;
  if (settings.region.empty()) settings.region = "us-east-1";
  if (settings.url.empty()) return fail(Errc::invalid, "no store is configured: set store.url, or give its URL to --store");
  auto opened = recorder::open_store(settings, recorder::StoreUse::read, system_clock(), crypto::system_random());
  if (!opened) return tl::unexpected(opened.error());
  if (node.empty()) {
    const auto nodes = replay::nodes_in(*opened->store);
    if (!nodes) return tl::unexpected(nodes.error());
    if (nodes->size() != 1) return fail(Errc::invalid, "the store holds the journals of " + std::to_string(nodes->size()) + " nodes: name one with --node");
    node = nodes->front();
  }
  if (!options.whole) {
    std::filesystem::path folder = replay::usual_copy_folder(settings.url, node);
    folder += "-ranges";  // stays empty but for the names of parcels
    std::error_code ignored;
    if (options.fresh) std::filesystem::remove_all(folder, ignored);
    place.journal = replay::JournalPlace(folder, far_journal(opener_of(settings), node, folder / "names"));
    return place;
  }
  auto copy = replay::fetch_journal(*opened->store, node, replay::usual_copy_folder(settings.url, node), options.fresh);
  if (!copy) return tl::unexpected(copy.error());
  place.journal = copy->folder;
  place.store_notes = std::move(copy->checkpoints);
  place.store_missing = std::move(copy->missing);
  place.holes = std::move(copy->holes);
  return place;
}

Result<RecordingPlace> place_of(const Common& common, const PlaceOptions& options) {
  RecordingPlace place;
  place.stamp_ca = options.stamp_ca;
  place.checkpoint_keys = options.keys;
  place.keep = !options.forget;
  if (!options.store.empty()) return place_in_store(common, options, std::move(place));
  if (!options.journal.empty()) {
    place.journal = options.journal;
    return place;
  }
  auto config = load_config(common.config);
  if (!config) return tl::unexpected(config.error());
  if (place.stamp_ca.empty()) place.stamp_ca = config->settings_for("recorder").text("timestamp_ca");
  const auto settings = recorder::store_settings(config->settings_for("recorder"));
  place.journal = replay::JournalPlace(config->state_of("recorder") / "journal",
                                       settings.url.empty() ? nullptr : far_journal(opener_of(settings), recorder::node_key(config->node), config->index_dir() / "store-names"));
  place.ring_dir = config->ring_dir;
  place.default_key = config->run_dir / "keys" / "checkpoint.vkey";
  place.index = config->index_dir();
  for (const char* name : search::k_place_settings) place.search.set(name, config->settings.text(name));
  return place;
}

/// The vault unwraps; the wrapped key comes from the recording itself.
Result<std::string> ask_gateway_for_key(const Common& common, const RecordingPlace& place, const std::string& session, const std::string& reason,
                                        bool input) {
  auto index = open_index(place);
  if (!index) return tl::unexpected(index.error());
  auto summary = index->find_session(session, nullptr);
  if (!summary) return tl::unexpected(summary.error());
  auto client = AdminClient::find(common);
  if (!client) return tl::unexpected(client.error());
  const json::object body{{"reason", reason}, {"input", input}, {"wrapped", crypto::to_base64(summary->wrapped_key)}};
  auto answer = client->send("POST", "/v1/recordings/" + segment_of(session) + "/key", body);
  if (!answer) return tl::unexpected(answer.error());
  const json::object* object = answer->if_object();
  const json::value* key = object == nullptr ? nullptr : object->if_contains("key");
  if (key == nullptr || !key->is_string()) return fail(Errc::corrupt, "the gateway's answer has no key");
  return std::string(std::string_view(key->get_string()));
}

Result<std::string> ask_gateway_for_search_key(const Common& common, const std::string& reason) {
  auto client = AdminClient::find(common);
  if (!client) return tl::unexpected(client.error());
  auto answer = client->send("POST", "/v1/search/key", json::object{{"reason", reason}});
  if (!answer) return tl::unexpected(answer.error());
  const json::object* object = answer->if_object();
  const json::value* key = object == nullptr ? nullptr : object->if_contains("key");
  if (key == nullptr || !key->is_string()) return fail(Errc::corrupt, "the gateway's answer has no key");
  const json::value* password = object->if_contains("password");
  const auto behind = password != nullptr && password->is_string() ? crypto::to_hex(bytes_of(std::string_view(password->get_string()))) : std::string();
  return std::string(std::string_view(key->get_string())) + behind;
}

/// A second auditor lets a first one look at a session of her own.
int run_consent(const Common& common, const std::string& session, const std::string& principal, const std::string& reason) {
  auto client = AdminClient::find(common);
  if (!client) return report(client.error());
  auto answer = client->send("POST", "/v1/recordings/" + segment_of(session) + "/consent", json::object{{"principal", principal}, {"reason", reason}});
  if (!answer) return report(answer.error());
  std::printf("%s may look at session %s for an hour\n", printable(principal).c_str(), printable(session).c_str());
  return 0;
}

void add_place_options(CLI::App& verb, PlaceOptions& options) {
  verb.add_option("--journal", options.journal, "folder of journal files (default: the gateway's)");
  verb.add_option("--checkpoint-key", options.keys, "vkey line or file of who signs checkpoints; may be repeated");
  verb.add_option("--store", options.store, "read from the object store: `configured`, s3://BUCKET/PREFIX or dir:/PATH");
  verb.add_option("--node", options.node, "whose journal, when the store holds several");
  verb.add_option("--store-endpoint", options.settings.endpoint, "https://HOST:PORT of an S3 store that is not AWS");
  verb.add_option("--store-credentials", options.settings.read_credentials, "file with access_key and secret_key");
  verb.add_option("--store-ca", options.settings.ca_file, "PEM file of the store's certificate authority");
  verb.add_option("--store-region", options.settings.region, "default: us-east-1");
  verb.add_flag("--fresh", options.fresh, "fetch everything anew");
  verb.add_flag("--forget", options.forget, "do not keep the newest checkpoint in your own folder");
}

void add_key_options(CLI::App& verb, KeySource& keys) {
  CLI::Option* const key = verb.add_option("--recipient-key", keys.recipient_key, "PEM private key of a recording recipient; then the gateway is not asked");
  CLI::Option* const certificate = verb.add_option("--recipient-cert", keys.recipient_cert, "PEM certificate of that recipient");
  key->needs(certificate);
  certificate->needs(key);
  verb.add_option("--wrapped-key", keys.wrapped_key, "file of `sallyport recording wrapped-key`, when the recording does not hold its own")->needs(key);
  verb.add_option("--reason", keys.reason, "why you look at it; goes into the audit log");
}

/// `last` is the newest session; any other word stays what it is.
Result<void> resolve_last(const RecordingPlace& place, std::string& session) {
  if (session != "last") return {};
  auto index = open_index(place);
  if (!index) return tl::unexpected(index.error());
  const auto newest = index->newest_session();
  if (!newest) return tl::unexpected(newest.error());
  if (!*newest) return fail(Errc::not_found, "no session was recorded yet");
  session = (*newest)->str();
  return {};
}

/// Fills in what the configuration knows, then runs the verb.
template <class Options, class Run>
int run_at(const Common& common, const PlaceOptions& place_options, Options& options, Run run) {
  auto place = place_of(common, place_options);
  if (!place) return report(place.error());
  options.common = common;
  options.place = std::move(*place);
  if constexpr (requires { options.session; }) {
    if (auto resolved = resolve_last(options.place, options.session); !resolved) return report(resolved.error());
  } else if constexpr (requires { options.sessions; }) {
    for (std::string& session : options.sessions)
      if (auto resolved = resolve_last(options.place, session); !resolved) return report(resolved.error());
  }
  if constexpr (requires { options.keys; })
    options.keys.ask_gateway = [&common, place = options.place](const std::string& session, const std::string& reason, bool input) {
      return ask_gateway_for_key(common, place, session, reason, input);
    };
  if constexpr (requires { options.ask_search_key; })
    options.ask_search_key = [&common](const std::string& reason) { return ask_gateway_for_search_key(common, reason); };
  return run(options);
}

}  // namespace

void add_recording_verbs(CLI::App& app, Common& common, Outcome& outcome) {
  static PlaceOptions place;
  static SessionsOptions list;
  static PlayVerbOptions play;
  static ExportVerbOptions exporting;
  static VerifyVerbOptions verifying;
  static EventsOptions looking;

  CLI::App& sessions = add_verb(app, "sessions", "List recorded sessions.",
                                "  sallyport sessions\n  sallyport sessions --principal engineer --since 7d --limit 20\n  sallyport sessions 01JC3W --journal /mnt/backup/journal\n");
  sessions.add_option("session", list.session, "only this one, with its channels");
  sessions.add_option("--principal", list.principal, "only hers");
  sessions.add_option("--target", list.target, "only there");
  sessions.add_option("--state", list.state, "complete, live, truncated or open")->check(CLI::IsMember({"complete", "live", "truncated", "open"}));
  sessions.add_option("--since", list.since, "what was going on since then: 2026-11-22, 2026-11-22T10:00:00Z, 3h, 7d");
  sessions.add_option("--until", list.until, "as --since");
  sessions.add_option("--limit", list.limit, "the newest so many");
  add_place_options(sessions, place);
  sessions.callback([&] { outcome.status = run_at(common, place, list, run_sessions); });

  CLI::App& playing = add_verb(app, "play", "Play a recording in this terminal.",
                               "  sallyport play last\n  sallyport play 01JC3W --speed 4 --idle-limit 2 --reason 'ticket 4711'\n  sallyport play 01JC3W --at 1:02:03\n  sallyport play last --follow\n");
  playing.add_option("session", play.session, "its beginning is enough; `last` is the newest")->required();
  playing.add_option("--channel", play.channel, "only this channel");
  playing.add_option("--speed", play.speed, "2: twice as fast")
      ->check(CLI::Validator(
          [](const std::string& text) {
            const double speed = std::strtod(text.c_str(), nullptr);
            return speed > 0 && speed <= 1000 ? std::string() : "`" + text + "` is no number above 0 and up to 1000";
          },
          "", "speed"));
  playing.add_option("--idle-limit", play.idle_limit, "no pause longer than this many seconds");
  playing.add_option("--at", play.at, "begin there: seconds, m:s or h:m:s from its beginning");
  playing.add_option("--find", play.find, "begin where this text was first on the screen");
  playing.add_flag("--follow", play.follow, "go on with what is being recorded now");
  playing.add_flag("--raw", play.raw, "leave in what could drive your terminal");
  playing.add_flag("--damaged", play.damaged, "play although verification failed");
  add_key_options(playing, play.keys);
  add_place_options(playing, place);
  playing.callback([&] { outcome.status = run_at(common, place, play, run_play); });

  CLI::App& exports = add_verb(app, "export", "Write a recording as asciicast, text or JSON.",
                               "  sallyport export last > session.cast && asciinema play session.cast\n  sallyport export 01JC3W --format text --file session.txt\n");
  exports.add_option("session", exporting.session, "its beginning is enough; `last` is the newest")->required();
  exports.add_option("--format", exporting.format)
      ->check(CLI::IsMember({"asciicast", "text", "json", "stdout", "stderr", "files", "ledger", "pcapng"}));
  exports.add_option("--file", exporting.output, "where to (default: standard output)");
  exports.add_option("--channel", exporting.channel, "only this channel");
  exports.add_flag("--with-input", exporting.with_input, "what was typed, too");
  exports.add_option("--idle-limit", exporting.idle_limit, "no pause longer than this many seconds");
  exports.add_flag("--bundle", exporting.bundle, "a slice with its proof, that verifies by itself (docs/format/bundle.md)");
  exports.add_option("--from", exporting.from, "of a bundle: seconds since the session's beginning");
  exports.add_option("--to", exporting.to, "of a bundle: seconds since the session's beginning");
  exports.add_option("--redact", exporting.redact, "of a bundle: entries that stay out, such as 12 or 20-25; may be repeated");
  exports.add_flag("--damaged", exporting.damaged, "export although verification failed");
  add_key_options(exports, exporting.keys);
  add_place_options(exports, place);
  exports.callback([&] {
    place.whole = exporting.bundle;
    outcome.status = run_at(common, place, exporting, run_export);
  });

  static IndexVerbOptions indexing;
  static SearchVerbOptions searching;
  static std::string consent_session, consent_for, consent_reason;

  CLI::App& index = add_verb(app, "index", "Make ended sessions searchable, and seekable at once.",
                             "  sallyport index --reason 'nightly index'\n  sallyport index --follow --reason 'search index'\n  sallyport index --rebuild --reason 'new index'\n");
  index.add_flag("--follow", indexing.follow, "go on as sessions end");
  index.add_flag("--rebuild", indexing.rebuild, "forget the search index first");
  index.add_flag("--drop", indexing.drop, "forget the search index and stop");
  index.add_option("--database", indexing.database, "file of the search index, or postgresql://USER@HOST/DATABASE");
  add_key_options(index, indexing.keys);
  add_place_options(index, place);
  index.callback([&] { outcome.status = run_at(common, place, indexing, run_index); });

  CLI::App& search = add_verb(app, "search", "Find what people saw and entered.",
                              "  sallyport search 'connection refused' --since 7d --reason 'ticket 4711'\n  sallyport search 'rm -rf' --commands --target recs-1 --reason audit\n");
  search.add_option("text", searching.text, "words that stand together on one line")->required();
  search.add_option("--target", searching.target, "only there");
  search.add_option("--principal", searching.principal, "only hers");
  search.add_option("--since", searching.since, "2026-11-22, 2026-11-22T10:00:00Z, 3h, 7d");
  search.add_option("--until", searching.until, "as --since");
  search.add_flag("--regex", searching.regex, "the text is an expression (RE2)");
  search.add_flag("--commands", searching.commands, "only command lines");
  search.add_option("--limit", searching.limit, "at most so many hits");
  search.add_option("--reason", searching.reason, "why you search; goes into the audit log");
  search.add_option("--database", searching.database, "file of the search index, or postgresql://USER@HOST/DATABASE");
  add_place_options(search, place);
  search.callback([&] { outcome.status = run_at(common, place, searching, run_search); });

  CLI::App& consent = add_verb(app, "consent", "Let another auditor look at a session of her own.",
                               "  sallyport consent 01JC3W8Q5T3N6V9YB2K4M7P0RS --for auditor --reason 'ticket 4711'\n");
  consent.add_option("session", consent_session, "its whole name")->required();
  consent.add_option("--for", consent_for, "who may look")->required();
  consent.add_option("--reason", consent_reason, "goes into the audit log")->required();
  consent.callback([&] { outcome.status = run_consent(common, consent_session, consent_for, consent_reason); });

  static RecordingActOptions acting;
  CLI::App& recording = add_verb(app, "recording", "Erase a recording's key, wrap keys anew, set and end legal holds.",
                                 "  sallyport recording hold 01JC3W --reason 'case 4711'\n  sallyport recording holds\n  sallyport recording erase 01JC3W --reason 'GDPR request 12'\n"
                                 "  sallyport recording rewrap --all --reason 'new recording recipient'\n");
  recording.require_subcommand(1);
  const auto act = [&](const char* name, const char* summary, bool with_session, std::function<int(const RecordingActOptions&)> run) -> CLI::App& {
    CLI::App* const verb = recording.add_subcommand(name, summary);
    verb->fallthrough();
    if (with_session) {
      verb->add_option("session", acting.session, "its beginning is enough; `last` is the newest")->required(std::string_view(name) != "rewrap");
      verb->add_option("--reason", acting.reason, "goes into the audit log")->required();
    }
    verb->callback([&outcome, &common, run = std::move(run)] { outcome.status = run_at(common, place, acting, [&](RecordingActOptions& options) {
      if (const auto config = load_config(common.config)) {
        const auto settings = recorder::store_settings(config->settings_for("recorder"));
        options.node = recorder::node_key(config->node);
        if (!settings.url.empty())
          options.open_store = [settings](recorder::StoreUse use) { return recorder::open_store(settings, use, system_clock(), crypto::system_random()); };
      }
      return run(options);
    }); });
    return *verb;
  };
  act("erase", "erase the key of a session: nobody can read it any more, its place in the log stays", true, run_erase);
  act("rewrap", "wrap the key of a session to the present recipients", true, run_rewrap).add_flag("--all", acting.all, "of every session");
  act("wrapped-key", "write the wrapped key of a session into a file, for its recipients", true, run_wrapped_key).add_option("--file", acting.file)->required();
  act("hold", "put a session under legal hold, at the gateway and in the object store", true, [](const RecordingActOptions& options) { return run_hold(options, true); });
  act("release", "end the legal hold of a session", true, [](const RecordingActOptions& options) { return run_hold(options, false); });
  act("holds", "show what is under legal hold", false, run_holds);

  CLI::App& events = add_verb(app, "events", "Read the audit log.",
                              "  sallyport events\n  sallyport events --since 8h --denied\n  sallyport events --session 01JC3W --limit 0 -o jsonl\n"
                              "  sallyport events --name auth. --principal engineer --follow\n");
  events.add_option("--since", looking.since, "moment (2026-11-22T08:00:00Z), today, yesterday (UTC) or how long ago (90s, 30m, 8h, 7d)");
  events.add_option("--name", looking.name, "only this event; `auth.` is everything that begins so");
  events.add_option("--session", looking.session, "only of this session; its beginning is enough");
  events.add_option("--principal", looking.principal, "only hers");
  events.add_option("--target", looking.target, "only there");
  events.add_option("--code", looking.code, "only with this code (SP-2001)");
  events.add_flag("--denied", looking.denied, "only refusals");
  events.add_flag("--alarms", looking.alarms, "only alarms");
  events.add_option("--limit", looking.limit, "the newest so many; 0: all")->capture_default_str();
  events.add_flag("--unseal", looking.unseal, "show what was run and typed, which is sealed to the recording recipients; an event of its own");
  events.add_option("--reason", looking.text_keys.reason, "why, for --unseal");
  add_text_key_options(events, looking.text_keys);
  events.add_flag("--follow", looking.follow, "go on with what is written now");
  add_place_options(events, place);
  events.callback([&] { outcome.status = run_at(common, place, looking, run_events); });

  CLI::App& verify = add_verb(app, "verify", "Prove that recordings are whole and unchanged, from the files alone.",
                              "  sallyport verify\n  sallyport verify 01JC3W --checkpoint /mnt/witness/checkpoints\n  sallyport verify --journal /mnt/backup/journal --checkpoint-key gateway.vkey\n");
  verify.add_option("session", verifying.sessions, "only these (default: everything)");
  verify.add_option("--checkpoint", verifying.checkpoints, "file with checkpoints kept elsewhere; may be repeated");
  verify.add_option("--stamp-ca", place.stamp_ca, "PEM file of who signs time stamps of checkpoints (default: recording.timestamp_ca)");
  verify.add_flag("--seals", verifying.seals, "open every seal, too");
  verify.add_option("--witness-key", verifying.witness_keys, "vkey line or file of who co-signs checkpoints; may be repeated");
  verify.add_option("--witnesses", verifying.witnesses, "so many of them must have signed a checkpoint that is given (default: all)");
  add_key_options(verify, verifying.keys);
  add_place_options(verify, place);
  static std::string bundle;
  verify.add_option("--bundle", bundle, "a bundle instead of a journal; --checkpoint-key says whose log it must be of");
  verify.callback([&] {
    if (!bundle.empty()) {
      outcome.status = run_verify_bundle(common, bundle, place.keys);
      return;
    }
    place.fresh = place.whole = true;
    outcome.status = run_at(common, place, verifying, run_verify);
  });

  static WitnessOptions witnessing;
  CLI::App& witness = add_verb(app, "witness", "Co-sign another machine's checkpoints, when they fit what was seen before.",
                               "  sallyport witness key --key witness.key --name witness-1\n"
                               "  sallyport witness sign --key witness.key --into signed --store s3://BUCKET/PREFIX --checkpoint-key gateway.vkey\n");
  witness.require_subcommand(1);
  CLI::App& witness_key = *witness.add_subcommand("key", "make a key, and print the line by which verifiers know it");
  witness_key.fallthrough();
  witness_key.add_option("--key", witnessing.key, "file of the key to make")->required();
  witness_key.add_option("--name", witnessing.name, "the witness's")->required();
  witness_key.callback([&] { outcome.status = run_witness_key(witnessing); });
  CLI::App& witness_sign = *witness.add_subcommand("sign", "verify the whole log, then sign its newest checkpoint");
  witness_sign.fallthrough();
  witness_sign.add_option("--key", witnessing.key, "file of the witness's key")->required();
  witness_sign.add_option("--into", witnessing.into, "file that co-signed checkpoints are appended to")->required();
  witness_sign.add_option("--state", witnessing.state, "folder in which the witness remembers what it saw");
  add_place_options(witness_sign, place);
  witness_sign.callback([&] {
    place.fresh = place.whole = true;
    outcome.status = run_at(common, place, witnessing, run_witness_sign);
  });
}

}  // namespace sallyport::app
