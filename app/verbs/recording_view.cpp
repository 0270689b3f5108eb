#include "app/verbs/recording_view.h"

#include "recorder/replay/session_walk.h"

namespace sallyport::app {

Result<replay::SeekIndex> open_index(const RecordingPlace& place) {
  std::vector<std::filesystem::path> folders{place.index, replay::KeptCheckpoints::usual_folder()};
  for (const auto& folder : folders) {
    std::error_code error;
    if (folder.empty() || !place.keep) continue;
    if (std::filesystem::create_directories(folder, error)) std::filesystem::permissions(folder, std::filesystem::perms::owner_all, error);
    auto index = replay::SeekIndex::open(replay::seek_index_file(folder, place.journal).string(), place.journal);
    if (!index) continue;
    if (auto caught = index->catch_up(); caught) return index;
    else if (caught.error().code == Errc::not_found) return tl::unexpected(caught.error());
  }
  auto index = replay::SeekIndex::open(":memory:", place.journal);
  if (!index) return index;
  if (auto caught = index->catch_up(); !caught) return tl::unexpected(caught.error());
  return index;
}

Result<void> RecordingView::read(const RecordingPlace& place, std::uint64_t from, const replay::ShownProof::Visit& visit) {
  if (proof) return proof->read(index, from, visit);
  return replay::read_stored(place.journal, session.session, false, {}, [&](const replay::StoredEntry& entry, const std::optional<crypto::Tag>& previous) {
    return entry.header.sequence < from || visit(entry, previous);
  });
}

Result<RecordingView> open_view(const RecordingPlace& place, const std::string& name, bool show_damaged) {
  auto index = open_index(place);
  if (!index) return tl::unexpected(index.error());
  auto known = checkpoint_keys(place);
  if (!known) return tl::unexpected(known.error());
  const auto outside = outside_checkpoints(place, {}, *known);
  if (!outside) return tl::unexpected(outside.error());
  Error trouble;
  for (const bool anew : {false, true}) {
    if (anew) {  // what the cache says did not fit: the journal itself is asked once
      if (auto emptied = index->begin_anew(); !emptied) return tl::unexpected(emptied.error());
      if (auto caught = index->catch_up(); !caught) return tl::unexpected(caught.error());
    }
    if (!index->file_trouble().empty() && !show_damaged)
      return fail(Errc::corrupt, "SP-8001 the journal cannot be read as a whole: " + index->file_trouble() + "; `sallyport verify` says more, --damaged shows what is readable");
    auto session = index->find_session(name, liveness(place));
    if (!session) return tl::unexpected(session.error());
    auto proof = replay::ShownProof::make(*index, *session, known->keys, *outside);
    if (!proof) {
      trouble = proof.error();
      if (anew && show_damaged) {
        note("sallyport: NOT VERIFIED: " + trouble.detail);
        return RecordingView{std::move(*index), std::move(*session), std::nullopt};
      }
      continue;
    }
    if (!known->changed.empty()) note("sallyport: SP-8001 " + known->changed);
    note("sallyport: " + proof->badge().text());
    keep_checkpoint(place, *known, proof->checkpoint());
    return RecordingView{std::move(*index), std::move(*session), std::move(*proof)};
  }
  // The long way says where and since when.
  if (const auto verified = verify(place, {}, {}, {})) print_findings(stderr, verified->report.findings, 20);
  return fail(Errc::corrupt, "SP-8001 the recording or journal was changed: " + trouble.detail + "; `sallyport verify` says more, --damaged shows it nevertheless");
}

Result<void> watch_session(const RecordingPlace& place, RecordingView& view, const Secret& key, const std::function<void(const ViewedLine&)>& give,
                           const std::function<bool()>& interrupted) {
  replay::ViewJob job;
  job.kind = replay::ViewJob::Kind::index;
  job.session = view.session;
  // Kept when all is read: the index is one transaction shorter then than frames.
  std::vector<replay::KeyFrame> frames;
  auto process = ViewingProcess::start(job, key, {.out = {}, .err = {}, .screen = [&](replay::KeyFrame frame) { frames.push_back(std::move(frame)); }, .line = give, .interrupted = interrupted});
  if (!process) return tl::unexpected(process.error());
  std::uint64_t count = 0;
  auto read = view.read(place, 1, [&](const replay::StoredEntry& entry, const std::optional<crypto::Tag>& previous) {
    return process->send_entry(entry, previous) && (++count % 16 != 0 || process->pump(0));
  });
  const auto done = process->finish();
  if (!read) return read;
  if (!done) return tl::unexpected(done.error());
  if (!view.proof) return {};
  return view.index.keep_key_frames(view.session.session, frames, view.session.entries);
}

}  // namespace sallyport::app
