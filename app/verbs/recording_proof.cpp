#include "app/verbs/recording_proof.h"

#include <algorithm>
#include <fstream>

#include "app/verbs/console.h"
#include "platform/crypto/cms.h"
#include "platform/crypto/hex.h"
#include "recorder/replay/journal_files.h"
#include "recorder/replay/playback.h"

namespace sallyport::app {

using replay::KeptCheckpoints;

namespace {

std::optional<std::string> load_text(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(in), {});
}


Result<Secret> local_key(const KeySource& source, ByteView wrapped) {
  const auto key = load_text(source.recipient_key);
  const auto certificate = load_text(source.recipient_cert);
  if (!key) return fail(Errc::invalid, "cannot read " + source.recipient_key);
  if (!certificate) return fail(Errc::invalid, "cannot read " + source.recipient_cert + " (--recipient-cert)");
  const auto der = crypto::certificate_der_of(*certificate);
  if (!der) return tl::unexpected(der.error());
  const auto kept = source.wrapped_key.empty() ? std::nullopt : load_text(source.wrapped_key);
  if (!source.wrapped_key.empty() && !kept) return fail(Errc::invalid, "cannot read " + source.wrapped_key + " (--wrapped-key)");
  if (!kept && text_of(wrapped).starts_with("sallyport key in vault 1\n"))
    return fail(Errc::invalid, "the wrapped key of this session is kept in the vault: get it by `sallyport recording wrapped-key` and give it to --wrapped-key");
  return crypto::unwrap_with(kept ? bytes_of(*kept) : wrapped, Secret(*key), *der);
}

std::string place_text(const replay::Finding& finding) {
  std::string text;
  if (!finding.session.empty()) text += "session " + finding.session;
  if (finding.first_entry != 0)
    text += (text.empty() ? "" : ", ") +
            (finding.first_entry == finding.last_entry ? "entry " + std::to_string(finding.first_entry)
                                                       : "entries " + std::to_string(finding.first_entry) + " to " + std::to_string(finding.last_entry));
  if (finding.leaf != 0) text += (text.empty() ? "" : ", ") + ("leaf " + std::to_string(finding.leaf));
  if (finding.since_us != 0) text += (text.empty() ? "" : ", ") + ("since " + replay::time_text(finding.since_us));
  return text;
}

}  // namespace

std::function<bool(const SessionId&)> liveness(const RecordingPlace& place) {
  if (place.ring_dir.empty()) return {};
  return [folder = place.ring_dir](const SessionId& session) {
    std::error_code error;
    return std::filesystem::exists(folder / (session.str() + ".ring"), error);
  };
}

KeptCheckpoints kept_of(const RecordingPlace& place) { return KeptCheckpoints(place.kept.empty() ? KeptCheckpoints::usual_folder() : place.kept); }
bool may_keep(const RecordingPlace& place) { return place.keep && !(place.kept.empty() && KeptCheckpoints::usual_folder().empty()); }

void note(std::string_view text) { std::fprintf(stderr, "%s\n", printable(text).c_str()); }

Result<KnownKeys> checkpoint_keys(const RecordingPlace& place) {
  KnownKeys known;
  for (const std::string& given : place.checkpoint_keys) {
    const auto text = std::filesystem::exists(given) ? load_text(given) : std::optional(given);
    auto keys = text ? keys_in(*text) : Result<std::vector<crypto::NoteKey>>(fail(Errc::invalid, "cannot be read"));
    if (!keys) return fail(Errc::invalid, "--checkpoint-key " + given + " is neither a file nor a key: " + keys.error().detail);
    known.keys.insert(known.keys.end(), keys->begin(), keys->end());
  }
  if (!known.keys.empty()) return known;
  const auto own_text = place.default_key.empty() ? std::nullopt : load_text(place.default_key);
  auto own = own_text ? keys_in(*own_text) : Result<std::vector<crypto::NoteKey>>(std::vector<crypto::NoteKey>());
  const auto remembered = kept_of(place).key_of(place.journal);
  if (remembered) {
    known.keys.push_back(*remembered);
    if (own && !own->empty() && std::none_of(own->begin(), own->end(), [&](const auto& key) { return key.public_key == remembered->public_key; }))
      known.changed = "the gateway now names another checkpoint key than the one that was used for this journal before (" + crypto::vkey_of(*remembered) + ")";
  } else if (own && !own->empty()) {
    known.keys = *own;
    known.first_use = own->front();
  }
  return known;
}

Result<std::vector<replay::OutsideCheckpoint>> outside_checkpoints(const RecordingPlace& place, const std::vector<std::string>& files, const KnownKeys& known) {
  std::vector<replay::OutsideCheckpoint> outside;
  for (const std::string& file : files) {
    auto notes = replay::read_checkpoint_file(file);
    if (!notes) return tl::unexpected(notes.error());
    for (const auto& each : *notes) outside.push_back({crypto::parse_checkpoint(each.body).value(), file, each});
  }
  for (const auto& each : place.store_notes)
    if (auto checkpoint = crypto::parse_checkpoint(each.body)) outside.push_back({std::move(*checkpoint), "the object store", each});
  const KeptCheckpoints kept = kept_of(place);
  for (const auto& key : known.keys)
    if (const auto newest = kept.newest(key.name, key.id); newest && crypto::parse_checkpoint(newest->body))
      outside.push_back({crypto::parse_checkpoint(newest->body).value(), kept.file_of(key.name, key.id).string(), *newest});
  return outside;
}

Result<Secret> session_key(const KeySource& source, const SessionId& session, ByteView wrapped) {
  if (!source.recipient_key.empty()) return local_key(source, wrapped);
  if (!source.ask_gateway) return fail(Errc::invalid, "no way to a session key: give --recipient-key and --recipient-cert");
  const auto digits = source.ask_gateway(session.str(), source.reason, source.input);
  if (!digits) return tl::unexpected(digits.error());
  const auto bytes = crypto::from_hex(*digits);
  if (!bytes || bytes->size() != 32) return fail(Errc::internal, "the gateway's answer is no session key");
  return Secret(ByteView(*bytes));
}

void print_findings(std::FILE* to, const std::vector<replay::Finding>& findings, std::size_t most) {
  for (std::size_t i = 0; i < findings.size() && i < most; ++i) {
    const auto& finding = findings[i];
    const std::string place = place_text(finding);
    std::fprintf(to, "FOUND %s: %s%s%s%s", finding.kind.c_str(), printable(place).c_str(), place.empty() ? "" : ": ", printable(finding.text).c_str(), "");
    if (finding.file != 0)
      std::fprintf(to, " (file %llu, byte %llu)", static_cast<unsigned long long>(finding.file), static_cast<unsigned long long>(finding.offset));
    std::fputc('\n', to);
  }
  if (findings.size() > most) std::fprintf(to, "... and %zu more findings\n", findings.size() - most);
}

void keep_checkpoint(const RecordingPlace& place, const KnownKeys& known, const std::optional<crypto::Note>& newest) {
  if (!may_keep(place) || known.keys.empty()) return;
  const KeptCheckpoints kept = kept_of(place);
  if (known.first_use)
    if (auto stored = kept.keep_key(place.journal, *known.first_use); !stored) note("sallyport: " + stored.error().detail);
  if (newest)
    if (auto stored = kept.keep(*newest, known.keys.front().id); !stored) note("sallyport: " + stored.error().detail);
}

Result<Verified> verify(const RecordingPlace& place, std::vector<SessionId> sessions, const std::vector<std::string>& checkpoint_files,
                        decltype(replay::VerifyOptions::unwrap) unwrap) {
  auto known = checkpoint_keys(place);
  if (!known) return tl::unexpected(known.error());
  std::vector<replay::Finding> findings;
  auto outside = outside_checkpoints(place, checkpoint_files, *known);
  if (!outside) return tl::unexpected(outside.error());
  replay::VerifyOptions options;
  options.journal = place.journal;
  options.sessions = std::move(sessions);
  options.checkpoint_keys = known->keys;
  options.outside = *outside;
  options.holes = place.holes;
  if (place.journal.far) {  // of files that are in the store only
    std::error_code error;
    for (std::uint64_t file = 1; !std::filesystem::exists(place.journal.folder / replay::journal_file_name(file), error); ++file) {
      const auto there = place.journal.far->file_after(file - 1);
      if (!there) return tl::unexpected(there.error());
      if (*there != file) break;
      const auto holes = place.journal.far->holes(file);
      if (!holes) return tl::unexpected(holes.error());
      options.holes.insert(options.holes.end(), holes->begin(), holes->end());
    }
  }
  options.unwrap = std::move(unwrap);
  options.is_live = liveness(place);
  if (!place.stamp_ca.empty()) {
    const auto certificates = load_text(place.stamp_ca);
    if (!certificates) return fail(Errc::invalid, "cannot read " + place.stamp_ca + " (--stamp-ca)");
    options.stamp_ca = *certificates;
  }
  auto report = replay::verify_journal(options);
  if (!report) return tl::unexpected(report.error());
  for (const std::string& text : place.store_missing) {
    replay::Finding finding;
    finding.kind = "store-parcel-missing";
    finding.text = text;
    findings.push_back(std::move(finding));
  }
  if (!known->changed.empty()) {
    replay::Finding finding;
    finding.kind = "checkpoint-key-changed";
    finding.text = known->changed;
    findings.push_back(std::move(finding));
  }
  report->findings.insert(report->findings.begin(), findings.begin(), findings.end());
  if (report->is_clean()) keep_checkpoint(place, *known, report->newest_checkpoint);
  return Verified{std::move(*report), std::move(*known), std::move(*outside)};
}

}  // namespace sallyport::app
