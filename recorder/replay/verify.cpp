#include "recorder/replay/verify.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <thread>
#include <utility>

#include "platform/crypto/base64.h"
#include "platform/crypto/timestamp.h"
#include "platform/model/json_text.h"
#include "recorder/replay/checked_tree.h"
#include "recorder/replay/frames_ahead.h"
#include "recorder/replay/journal_files.h"
#include "recorder/replay/session_check.h"

namespace sallyport::replay {
namespace {

constexpr std::int64_t k_stamp_apart_s = 120;  ///< of a time stamp and the moment it was put into the log
constexpr std::size_t k_most_notes = 4096;  ///< checkpoints that a time stamp may follow

std::string_view kind_name(FileDamage::Kind kind) {
  switch (kind) {
    case FileDamage::Kind::file_missing: return "file-missing";
    case FileDamage::Kind::file_header: return "file-header";
    case FileDamage::Kind::file_unreadable: return "file-unreadable";
    case FileDamage::Kind::bytes_unreadable: return "bytes-unreadable";
    case FileDamage::Kind::frame_checksum: return "frame-checksum";
    case FileDamage::Kind::frame_order: return "frames-missing";
    case FileDamage::Kind::tail_unfinished: return "tail-unfinished";
  }
  return "file-damaged";
}

std::string count_text(std::uint64_t count, std::string_view what) {
  return std::to_string(count) + " " + std::string(what) + (count == 1 ? "" : "s");
}

class Verifier {
 public:
  explicit Verifier(const VerifyOptions& options) : options_(options), keys_(options.checkpoint_keys), all_keys_(options.checkpoint_keys) {
    for (const auto& outside : options.outside) outside_.push_back(outside);
    std::sort(outside_.begin(), outside_.end(), [](const auto& a, const auto& b) { return a.checkpoint.size < b.checkpoint.size; });
    for (const auto& session : options.sessions) wanted_.insert(session.str());
  }

  Result<VerifyReport> run();

 private:
  void find(Finding finding);
  void find_in_log(std::string kind, std::uint64_t leaf, std::string text);
  void take(const Frame& frame, const ReadEntries* entries);
  void take_entries(const Frame& frame, const ReadEntries* entries);
  void take_leaf(const Frame& frame);
  void take_checkpoint(const Frame& frame);
  void check_outside_at_present_size();
  void check_outside_signatures();
  void take_stamp(const AuditEvent& event);
  void take_retention(const AuditEvent& event);
  void forgive_the_expired();
  void judge_log_clock();
  void take_handover(const crypto::Checkpoint& checkpoint);
  [[nodiscard]] bool in_hole(std::uint64_t file, std::uint64_t offset) const;
  void finish();
  [[nodiscard]] bool is_wanted(std::string_view session) const { return wanted_.empty() || wanted_.contains(std::string(session)); }
  SessionCheck& session(const seal::Label& label);

  const VerifyOptions& options_;
  const decltype(VerifyOptions::unwrap) no_unwrap_;
  VerifyReport report_;
  std::set<std::string> wanted_;
  std::vector<OutsideCheckpoint> outside_;
  std::size_t next_outside_ = 0;
  std::vector<std::pair<std::size_t, Finding>> outside_findings_;  ///< count only when the outside checkpoint is signed by a key of the chain
  std::vector<crypto::NoteKey> keys_;      ///< who may sign the next checkpoint
  std::vector<crypto::NoteKey> all_keys_;  ///< who ever might
  std::map<std::string, std::int64_t> keeps_;  ///< seconds, by session: recording.retention
  std::map<std::uint64_t, crypto::Hash256> right_notes_;  ///< the newest checkpoints: size, SHA-256 of the note
  std::uint64_t unchecked_stamps_ = 0;
  std::set<std::string> erased_;  ///< sessions whose key the vault says it erased
  std::map<std::string, std::int64_t> last_heads_;  ///< wall time, where something may have expired
  std::int64_t expired_until_us_ = 0;          ///< retention.expired
  std::map<seal::Label, SessionCheck> sessions_;
  CheckedTree log_;
  ClockWatch clock_;
  std::uint64_t missing_leaves_ = 0;  ///< leaves that were skipped: added to the tree's size
  bool log_broken_ = false;
  bool resigned_ = false;
  std::uint64_t largest_checkpoint_ = 0;
  std::uint64_t unsigned_checkpoints_ = 0;
  std::int64_t last_wall_us_ = 0;
  std::uint64_t file_ = 0;
  std::uint64_t offset_ = 0;
};

void Verifier::find(Finding finding) {
  if (!finding.session.empty() && !is_wanted(finding.session)) return;
  if (report_.findings.size() >= options_.most_findings) {
    report_.more_findings = true;
    return;
  }
  if (finding.file == 0) {
    finding.file = file_;
    finding.offset = offset_;
  }
  report_.findings.push_back(std::move(finding));
}

void Verifier::find_in_log(std::string kind, std::uint64_t leaf, std::string text) {
  Finding finding;
  finding.kind = std::move(kind);
  finding.leaf = leaf;
  finding.since_us = last_wall_us_;
  finding.text = std::move(text);
  find(std::move(finding));
}

SessionCheck& Verifier::session(const seal::Label& label) {
  auto known = sessions_.find(label);
  if (known == sessions_.end()) {
    const auto& unwrap = is_wanted(seal::text_of(label)) ? options_.unwrap : no_unwrap_;
    known = sessions_.emplace(label, SessionCheck(label, unwrap, [this](Finding finding) { find(std::move(finding)); })).first;
  }
  return known->second;
}

void Verifier::take_entries(const Frame& frame, const ReadEntries* entries) {
  if (entries == nullptr) {
    find_in_log("frame-malformed", 0, "frame " + std::to_string(frame.header.number) + " does not hold entries");
    return;
  }
  SessionCheck& check = session(entries->label());
  Finding damage;
  damage.session = seal::text_of(entries->label());
  damage.since_us = last_wall_us_;
  std::uint64_t first = 0, last = 0;
  for (std::size_t i = 0; i < entries->size(); ++i) {
    const StoredEntry entry = entries->entry(i);
    if (first == 0) first = entry.header.sequence;
    last = entry.header.sequence;
    last_wall_us_ = entry.header.wall_us;
    check.take(entry, entries->leaf(i));
  }
  damage.first_entry = first;
  damage.last_entry = last;
  if (!frame.crc_right) {
    damage.kind = "frame-checksum";
    damage.text = "the checksum of frame " + std::to_string(frame.header.number) + " is wrong";
    find(damage);
  }
  if (!entries->is_sound()) {
    damage.kind = "frame-malformed";
    damage.text = "frame " + std::to_string(frame.header.number) + " does not hold the entries it announces";
    find(damage);
  }
}

void Verifier::take_leaf(const Frame& frame) {
  const bool is_head = frame.header.type == static_cast<std::uint32_t>(FrameType::session_head);
  const std::uint64_t due = log_.size() + missing_leaves_ + 1;
  if (frame.payload.size() < 8) {
    find_in_log("frame-malformed", due, "frame " + std::to_string(frame.header.number) + " is no leaf of the log");
    return;
  }
  const auto leaf = seal::get_number<std::uint64_t>(frame.payload.data());
  if (leaf != due) {
    find_in_log(leaf > due ? "leaves-missing" : "leaves-reordered", due,
                leaf > due ? "leaves " + std::to_string(due) + " to " + std::to_string(leaf - 1) + " of the node log are missing"
                           : "leaf " + std::to_string(leaf) + " of the node log stands where " + std::to_string(due) + " belongs");
    log_broken_ = true;
    if (leaf > due && frame.crc_right) missing_leaves_ += leaf - due;
  }
  Bytes typed(1 + frame.payload.size());
  typed[0] = static_cast<std::byte>(frame.header.type);
  std::copy(frame.payload.begin(), frame.payload.end(), typed.begin() + 1);
  log_.append(crypto::merkle_leaf(typed));
  check_outside_at_present_size();
  if (is_head) {
    if (const auto head = parse_session_head(frame.payload)) {
      last_wall_us_ = head->wall_us;
      session(head->label).take(*head);
      if (!options_.holes.empty()) last_heads_[std::string(seal::text_of(head->label))] = head->wall_us;
      return;
    }
  } else if (const auto event = parse_audit_event(frame.payload)) {
    last_wall_us_ = event->wall_us;
    clock_.take(*event);
    if (event->name == "checkpoint.timestamped" && event->source == 4) take_stamp(*event);
    if (event->name == "recording.key_erased" && event->source == 2) erased_.emplace(event->session);
    if (event->name == "recording.retention" || event->name == "retention.expired") take_retention(*event);
    return;
  }
  find_in_log("frame-malformed", leaf, "leaf " + std::to_string(leaf) + " of the node log has a wrong form");
}

/// Outside checkpoints of exactly the present size.
void Verifier::check_outside_at_present_size() {
  const std::uint64_t size = log_.size() + missing_leaves_;
  for (; next_outside_ < outside_.size() && outside_[next_outside_].checkpoint.size <= size; ++next_outside_) {
    const auto& outside = outside_[next_outside_];
    const std::size_t findings_before = report_.findings.size();
    if (resigned_ || (outside.checkpoint.size < size && !log_broken_)) continue;  // said already; an empty log's
    if (log_broken_) {
      resigned_ = true;
      find_in_log("outside-mismatch", outside.checkpoint.size, "with leaves missing, the log cannot be the one of the checkpoint in " + outside.where);
    } else if (log_.root_at(size) != outside.checkpoint.root) {
      find_in_log("outside-mismatch", size,
                  "the first " + std::to_string(size) + " leaves of the log are not those of the checkpoint in " + outside.where + ": changed and signed anew");
      resigned_ = true;
    }
    if (report_.findings.size() > findings_before && outside.note) {
      outside_findings_.emplace_back(next_outside_, std::move(report_.findings.back()));
      report_.findings.pop_back();
    }
  }
}

void Verifier::take_checkpoint(const Frame& frame) {
  const std::string where = "the checkpoint in frame " + std::to_string(frame.header.number);
  auto note = crypto::parse_note(text_of(frame.payload));
  const auto checkpoint = note ? crypto::parse_checkpoint(note->body) : Result<crypto::Checkpoint>(tl::unexpected(note.error()));
  if (!checkpoint) {
    find_in_log("checkpoint-malformed", 0, where + " cannot be read: " + checkpoint.error().detail);
    return;
  }
  ++report_.checkpoints;
  if (right_notes_.size() >= k_most_notes) right_notes_.erase(right_notes_.begin());
  right_notes_[checkpoint->size] = crypto::sha256(text_of(frame.payload));
  const std::uint64_t size = checkpoint->size;
  bool right = true;
  if (!options_.checkpoint_keys.empty()) {
    if (const auto verified = crypto::verify_note(*note, keys_); !verified) {
      const bool by_another = crypto::verify_note(*note, all_keys_).has_value();
      find_in_log("checkpoint-signature", size, where + ": " + (by_another ? "signed by a key that had handed over before" : verified.error().detail));
      right = false;
    }
    const auto& keys = keys_;
    if (std::none_of(keys.begin(), keys.end(), [&](const auto& key) { return key.name == checkpoint->origin; })) {
      find_in_log("checkpoint-signature", size, where + " is of another log: " + checkpoint->origin);
      right = false;
    }
  } else {
    ++unsigned_checkpoints_;
  }
  if (size < largest_checkpoint_) {
    find_in_log("checkpoint-reordered", size, where + " is older than one before it");
    return;
  }
  largest_checkpoint_ = size;
  if (log_broken_) return;
  if (size > log_.size()) {
    find_in_log("leaves-missing", log_.size() + 1, where + " covers " + std::to_string(size) + " leaves, only " + std::to_string(log_.size()) + " stand before it");
    return;
  }
  if (log_.root_at(size) != checkpoint->root) {
    find_in_log("log-changed", log_.confirmed() + 1,
                "leaves " + std::to_string(log_.confirmed() + 1) + " to " + std::to_string(size) + " of the node log are not those of " + where);
    log_broken_ = true;
    return;
  }
  log_.confirm(size);
  if (!right) return;
  take_handover(*checkpoint);
  report_.signed_leaves = size;
  report_.newest_parsed = *checkpoint;
  report_.newest_checkpoint = std::move(*note);
}

void Verifier::take(const Frame& frame, const ReadEntries* entries) {
  file_ = frame.file;
  offset_ = frame.offset;
  const auto type = static_cast<FrameType>(frame.header.type);
  if (!frame.crc_right && type != FrameType::entries)
    find_in_log("frame-checksum", 0, "the checksum of frame " + std::to_string(frame.header.number) + " is wrong");
  switch (type) {
    case FrameType::entries: take_entries(frame, entries); return;
    case FrameType::audit_event:
    case FrameType::session_head: take_leaf(frame); return;
    case FrameType::checkpoint: take_checkpoint(frame); return;
    case FrameType::state: return;
  }
  find_in_log("frame-malformed", 0, "frame " + std::to_string(frame.header.number) + " is of an unknown type");
}

/// What the present key named as its successor signs from here on, and nobody else.
void Verifier::take_handover(const crypto::Checkpoint& checkpoint) {
  auto key = crypto::next_key_of(checkpoint);
  if (!key) return;
  ++report_.handovers;
  if (options_.checkpoint_keys.empty()) return;
  all_keys_.push_back(*key);
  keys_ = {std::move(*key)};
}

void Verifier::check_outside_signatures() {
  std::vector<bool> is_right(outside_.size(), true);
  for (std::size_t i = 0; i < outside_.size(); ++i) {
    if (!outside_[i].note || options_.checkpoint_keys.empty() || crypto::verify_note(*outside_[i].note, all_keys_)) continue;
    is_right[i] = false;
    find_in_log("outside-signature", outside_[i].checkpoint.size, "a checkpoint in " + outside_[i].where + " is not signed by a key of this log");
  }
  for (auto& [index, finding] : outside_findings_)
    if (is_right[index]) find(std::move(finding));
}

/// A stamp is of the checkpoint that the journal holds, and its authority signed it.
void Verifier::take_stamp(const AuditEvent& event) {
  const auto fields = JsonFields::parse(event.json);
  const std::int64_t size = fields ? fields->number("size").value_or(-1) : -1;
  const auto token = crypto::from_base64(fields ? fields->get("token") : std::string_view());
  if (size < 0 || !token) return find_in_log("timestamp-wrong", log_.size(), "a time stamp in the log cannot be read");
  const auto leaves = static_cast<std::uint64_t>(size);
  const auto known = right_notes_.find(leaves);
  if (known == right_notes_.end()) return find_in_log("timestamp-wrong", leaves, "the log has a time stamp of a checkpoint over " + std::to_string(leaves) + " leaves that it does not hold");
  if (options_.stamp_ca.empty()) {
    ++unchecked_stamps_;
    return;
  }
  const auto stamp = crypto::verify_timestamp(*token, known->second, options_.stamp_ca);
  if (!stamp) return find_in_log("timestamp-wrong", leaves, "the time stamp of the checkpoint over " + std::to_string(leaves) + " leaves: " + stamp.error().detail);
  ++report_.stamps;
  report_.stamped_leaves = leaves;
  report_.stamped_at_us = stamp->at_s * 1'000'000;
  // The authority's clock is one that nobody here can set.
  const std::int64_t ahead_s = event.wall_us / 1'000'000 - stamp->at_s;
  if (ahead_s > k_stamp_apart_s || ahead_s < -k_stamp_apart_s)
    find_in_log("clock-moved", event.leaf, "the wall clock is " + std::to_string(ahead_s) + " s from that of the authority that stamped the checkpoint over " + std::to_string(leaves) + " leaves");
}

/// Only the recorder's own word counts; it stands under the checkpoints like everything else.
void Verifier::take_retention(const AuditEvent& event) {
  if (event.source != 4) return;
  const auto number = [&](std::string_view name) -> std::int64_t {
    const std::string quoted = "\"" + std::string(name) + "\":";
    const std::size_t at = event.json.find(quoted);
    std::int64_t value = -1;
    if (at != std::string_view::npos) std::from_chars(event.json.data() + at + quoted.size(), event.json.data() + event.json.size(), value);
    return value;
  };
  if (event.name == "retention.expired") expired_until_us_ = std::max(expired_until_us_, number("until_us"));
  else if (!event.session.empty()) keeps_.try_emplace(std::string(event.session), number("keep_seconds"));
}

bool Verifier::in_hole(std::uint64_t file, std::uint64_t offset) const {
  return std::any_of(options_.holes.begin(), options_.holes.end(), [&](const auto& hole) { return hole.file == file && offset >= hole.from && offset <= hole.to; });
}

/// What is missing of a session whose time has run out, by events that stand under checkpoints, is no finding.
void Verifier::forgive_the_expired() {
  if (options_.holes.empty()) return;
  std::set<std::string> gone;
  std::erase_if(report_.findings, [&](const Finding& finding) {
    const auto keep = keeps_.find(finding.session);
    const bool is_loss = finding.kind == "entries-missing" || finding.kind == "entries-changed" || finding.kind == "session-missing" || finding.kind == "head-mismatch" ||
                         finding.kind == "stream-gap" || finding.kind == "entry-changed" || finding.kind == "seal-broken";
    if (finding.session.empty() || !is_loss || keep == keeps_.end() || keep->second < 0) return false;
    const auto last = last_heads_.find(finding.session);
    if (last == last_heads_.end() || last->second + keep->second * 1'000'000 > expired_until_us_) return false;
    gone.insert(finding.session);
    return true;
  });
  for (const auto& session : gone) report_.notices.push_back("session " + session + ": its time to be kept has ended, and its content is gone");
}

void Verifier::judge_log_clock() {
  for (const auto& move : clock_.judge_log()) {
    Finding finding;
    finding.kind = "clock-moved";
    finding.leaf = move.at;
    finding.since_us = move.since_us;
    finding.text = "the wall clock was moved by " + std::to_string(move.by_us / 1000) + " ms before leaf " + std::to_string(move.at) + " of the node log, and the log does not say so";
    find(std::move(finding));
  }
}

void Verifier::finish() {
  report_.leaves = log_.size() + missing_leaves_;
  check_outside_signatures();
  if (next_outside_ < outside_.size()) {
    const auto& outside = outside_.back();
    find_in_log("rolled-back", report_.leaves,
                "the checkpoint in " + outside.where + " covers " + std::to_string(outside.checkpoint.size) + " leaves, the files end after " +
                    std::to_string(report_.leaves) + ": cut or rolled back");
  }
  if (!outside_.empty() && !log_broken_ && !resigned_ && outside_.back().checkpoint.size > largest_checkpoint_ &&
      outside_.back().checkpoint.size <= report_.leaves)
    find_in_log("checkpoint-missing", outside_.back().checkpoint.size,
                "the files lack the checkpoint over " + std::to_string(outside_.back().checkpoint.size) + " leaves that is in " + outside_.back().where);

  auto& open_points = report_.not_checked;
  if (outside_.empty()) open_points.emplace_back("roll-back (no outside checkpoint)");
  if (options_.checkpoint_keys.empty()) open_points.emplace_back("signatures (no checkpoint key)");
  else if (report_.checkpoints == 0) open_points.emplace_back("signatures (no checkpoint in the files)");
  if (report_.signed_leaves < report_.leaves && report_.checkpoints > 0 && !log_broken_)
    open_points.push_back("leaves " + std::to_string(report_.signed_leaves + 1) + " to " + std::to_string(report_.leaves) + " (behind the newest checkpoint)");

  if (unchecked_stamps_ > 0) open_points.push_back(count_text(unchecked_stamps_, "time stamp") + " (no --stamp-ca)");

  judge_log_clock();
  std::uint64_t without_seals = 0, uncovered = 0, uncovered_sessions = 0;
  for (auto& [label, check] : sessions_) {
    const SessionId id{std::string(seal::text_of(label))};
    if (!is_wanted(id.view())) continue;
    check.judge_clock(clock_, report_.notices);
    const bool is_live = options_.is_live && options_.is_live(id);
    report_.sessions.push_back(check.finish(report_.signed_leaves, is_live, static_cast<bool>(options_.is_live)));
    SessionVerdict& verdict = report_.sessions.back();
    verdict.is_erased = erased_.contains(id.str());
    if (verdict.is_erased) report_.notices.push_back("session " + id.str() + ": its key was erased; it cannot be read, its entries are as they were recorded");
    else if (!verdict.seals_checked) ++without_seals;
    if (verdict.entries > verdict.covered && verdict.findings == 0) {
      uncovered += verdict.entries - verdict.covered;
      ++uncovered_sessions;
    }
  }
  if (uncovered > 0)
    open_points.push_back("the newest " + std::to_string(uncovered) + " entries of " + count_text(uncovered_sessions, "session") + " (under no head yet)");
  if (without_seals > 0)
    open_points.push_back(options_.unwrap ? "seals of " + count_text(without_seals, "session") + " (no key opens them)" : "seals (no session key given)");
}

Result<VerifyReport> Verifier::run() {
  auto files = JournalFiles::open(options_.journal);
  if (!files) return tl::unexpected(files.error());
  const auto on_damage = [this](const FileDamage& damage) {
    if (damage.kind == FileDamage::Kind::frame_checksum) return;  // said with the frame's content
    if (in_hole(damage.file, damage.offset)) return;              // the trees tell what is missing there
    Finding finding;
    finding.kind = kind_name(damage.kind);
    finding.since_us = last_wall_us_;
    finding.file = damage.file;
    finding.offset = damage.offset;
    finding.text = damage.text;
    find(std::move(finding));
  };
  const auto on_frame = [this](const Frame& frame, const ReadEntries* entries) { take(frame, entries); };
  FramesAhead::read_all(*files, on_frame, on_damage);
  files->on_damage(on_damage);
  if (files->unfinished()) {
    // A recorder may be in the middle of a write; what is still unfinished a moment later was left so.
    std::this_thread::sleep_for(options_.patience);
    bool grows = false;
    for (; const auto frame = files->next(); grows = true) FramesAhead::read_one(*frame, on_frame);
    if (!grows) files->set_checks({.crc = true, .at_rest = true});
    while (const auto frame = files->next()) FramesAhead::read_one(*frame, on_frame);
  }
  report_.bytes = files->bytes_read();
  finish();
  forgive_the_expired();
  for (const auto& wanted : wanted_) {
    const auto& found = report_.sessions;
    if (std::any_of(found.begin(), found.end(), [&](const auto& verdict) { return verdict.session.view() == wanted; })) continue;
    if (report_.is_clean()) return fail(Errc::not_found, "no session " + wanted + " in the journal");
    Finding finding;
    finding.kind = "session-missing";
    finding.session = wanted;
    finding.text = "no session " + wanted + " is in the journal, which is damaged";
    find(std::move(finding));
  }
  return std::move(report_);
}

}  // namespace

Result<VerifyReport> verify_journal(const VerifyOptions& options) { return Verifier(options).run(); }

}  // namespace sallyport::replay
