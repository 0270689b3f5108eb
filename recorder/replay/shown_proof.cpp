#include "recorder/replay/shown_proof.h"

#include <algorithm>

#include "platform/crypto/merkle.h"

namespace sallyport::replay {
namespace {

constexpr std::size_t k_checkpoints_tried = 16;
constexpr std::size_t k_checkpoints_walked = 2'000'000;

/// A tree cut back to `size` leaves. Nothing when the leaf hashes at the cut are not at hand.
std::optional<SeekIndex::Tree> cut_back(SeekIndex& index, const SeekIndex::Tree& tree, std::uint64_t size, const SessionId* session) {
  if (size > tree.size()) return std::nullopt;
  SeekIndex::Tree cut;
  const std::uint64_t blocks = size / k_block_leaves, rest = size % k_block_leaves;
  cut.blocks.assign(tree.blocks.begin(), tree.blocks.begin() + static_cast<std::ptrdiff_t>(blocks));
  if (rest == 0) return cut;
  std::vector<crypto::Hash256> leaves;
  if (blocks == tree.blocks.size()) {
    leaves = tree.rest;
  } else if (session == nullptr) {
    auto kept = index.log_block(blocks);
    if (!kept) return std::nullopt;
    leaves = std::move(*kept);
  } else {
    const auto spots = index.spots(*session, blocks * k_block_leaves + 1);
    if (!spots) return std::nullopt;
    for (const Spot& spot : *spots) {
      if (leaves.size() >= rest) break;
      const auto payload = index.read_frame(spot.file, spot.offset, spot.size);
      auto entries = payload ? EntriesFrame::parse(*payload) : std::nullopt;
      if (!entries) return std::nullopt;
      while (const auto entry = entries->next())
        if (entry->header.sequence == blocks * k_block_leaves + leaves.size() + 1) leaves.push_back(crypto::merkle_leaf(entry->whole));
    }
  }
  if (leaves.size() < rest) return std::nullopt;
  cut.rest.assign(leaves.begin(), leaves.begin() + static_cast<std::ptrdiff_t>(rest));
  return cut;
}

Result<crypto::Hash256> log_root(SeekIndex& index, const SeekIndex::Tree& log, std::uint64_t size) {
  const auto cut = cut_back(index, log, size, nullptr);
  if (!cut) return fail(Errc::corrupt, "the journal has " + std::to_string(log.size()) + " leaves, a checkpoint knows " + std::to_string(size));
  return root_of_blocks(cut->blocks, cut->rest);
}

/// The leaf hash of the node log with that number (from 1), as the index has it and as its block's hash confirms.
Result<crypto::Hash256> log_leaf(SeekIndex& index, const SeekIndex::Tree& log, std::uint64_t leaf) {
  if (leaf == 0 || leaf > log.size()) return fail(Errc::corrupt, "a session's head names leaf " + std::to_string(leaf));
  const std::uint64_t block = (leaf - 1) / k_block_leaves, at = (leaf - 1) % k_block_leaves;
  if (block == log.blocks.size()) return log.rest[at];
  const auto leaves = index.log_block(block);
  if (!leaves) return tl::unexpected(leaves.error());
  if (crypto::merkle_root(*leaves) != log.blocks[block]) return fail(Errc::corrupt, "the seek index contradicts itself");
  return (*leaves)[at];
}

/// The keys given, and those that the log's handovers lead to. Short where nothing was handed over: then the first note is enough.
Result<std::vector<crypto::NoteKey>> signers_of(SeekIndex& index, std::span<const crypto::NoteKey> keys) {
  std::vector<crypto::NoteKey> signers(keys.begin(), keys.end());
  auto newest = index.checkpoints(1);
  if (!newest) return tl::unexpected(newest.error());
  const auto first = newest->empty() ? Result<crypto::Note>(fail(Errc::not_found, "")) : crypto::parse_note(newest->front());
  if (keys.empty() || !first || crypto::verify_note(*first, signers)) return signers;
  const auto notes = index.checkpoints(k_checkpoints_walked);
  if (!notes) return tl::unexpected(notes.error());
  for (auto text = notes->rbegin(); text != notes->rend(); ++text) {
    if (text->find("\nnext-key ") == std::string::npos) continue;
    const auto note = crypto::parse_note(*text);
    const auto checkpoint = note && crypto::verify_note(*note, signers) ? crypto::parse_checkpoint(note->body) : Result<crypto::Checkpoint>(fail(Errc::corrupt, ""));
    if (checkpoint)
      if (auto next = crypto::next_key_of(*checkpoint)) signers.push_back(std::move(*next));
  }
  return signers;
}

/// The newest checkpoint with a right signature (any, when no key is known) that the journal's leaves reach.
Result<std::optional<std::pair<crypto::Note, crypto::Checkpoint>>> newest_checkpoint(SeekIndex& index, std::span<const crypto::NoteKey> keys,
                                                                                         const std::vector<crypto::NoteKey>& signers) {
  const auto notes = index.checkpoints(k_checkpoints_tried);
  if (!notes) return tl::unexpected(notes.error());
  for (const std::string& text : *notes) {
    auto note = crypto::parse_note(text);
    if (!note) return fail(Errc::corrupt, "a checkpoint in the journal is not readable");
    if (!keys.empty() && !crypto::verify_note(*note, signers)) return fail(Errc::corrupt, "the newest checkpoint is not signed by the known checkpoint key");
    auto checkpoint = crypto::parse_checkpoint(note->body);
    if (!checkpoint) return fail(Errc::corrupt, "a checkpoint in the journal is not readable");
    return std::optional(std::make_pair(std::move(*note), std::move(*checkpoint)));
  }
  return std::optional<std::pair<crypto::Note, crypto::Checkpoint>>();
}

}  // namespace

std::string Badge::text() const {
  std::string text;
  if (proven == 0) {
    text = "not yet under a checkpoint: " + std::to_string(entries) + " entries, sealed and chained to each other";
  } else {
    text = "verified: " + std::to_string(proven) + " of " + std::to_string(entries) + " entries under head " + std::to_string(head_leaf) + " and checkpoint " +
           checkpoint_origin + " of " + std::to_string(checkpoint_size) + " leaves, " + (is_signed ? "signature right" : "signature NOT checked: no checkpoint key");
    if (proven < entries) text += "; the last " + std::to_string(entries - proven) + " are not yet under it";
  }
  for (const std::string& where : outside) text += "; agrees with " + where;
  return text;
}

Result<ShownProof> ShownProof::make(SeekIndex& index, const SessionSummary& session, std::span<const crypto::NoteKey> keys,
                                    std::span<const OutsideCheckpoint> outside) {
  ShownProof proof;
  proof.session_ = session.session;
  proof.badge_.entries = session.entries;
  const auto whole = index.is_whole(session.session);
  if (!whole) return tl::unexpected(whole.error());
  if (!*whole) return fail(Errc::corrupt, "entries of session " + session.session.str() + " are missing or damaged");
  // The newest head, signed for or not yet, must fit what is there.
  const auto own = index.tree(session.session.view());
  if (!own) return tl::unexpected(own.error());
  const auto newest_head = index.head_before(session.session, INT64_MAX);
  if (!newest_head) return tl::unexpected(newest_head.error());
  if (*newest_head && (*newest_head)->entries > own->size())
    return fail(Errc::corrupt, "entries up to " + std::to_string((*newest_head)->entries) + " were logged, " + std::to_string(own->size()) + " are there");
  const auto log = index.tree("");
  if (!log) return tl::unexpected(log.error());
  const auto signers = signers_of(index, keys);
  if (!signers) return tl::unexpected(signers.error());
  for (const OutsideCheckpoint& known : outside) {
    if (known.note && !keys.empty() && !crypto::verify_note(*known.note, *signers)) continue;  // nobody of this log signed it
    const auto root = log_root(index, *log, known.checkpoint.size);
    if (!root) return fail(Errc::corrupt, root.error().detail + " (" + known.where + "): the journal was rolled back or cut");
    if (*root != known.checkpoint.root) return fail(Errc::corrupt, "the journal contradicts the checkpoint of " + std::to_string(known.checkpoint.size) + " leaves from " + known.where);
    proof.badge_.outside.push_back(known.where);
  }
  auto newest = newest_checkpoint(index, keys, *signers);
  if (!newest) return tl::unexpected(newest.error());
  if (!*newest) return proof;
  const crypto::Checkpoint& checkpoint = (*newest)->second;
  const auto root = log_root(index, *log, checkpoint.size);
  if (!root) return tl::unexpected(root.error());
  if (*root != checkpoint.root) return fail(Errc::corrupt, "the journal's leaves do not give the root of its checkpoint of " + std::to_string(checkpoint.size));
  proof.checkpoint_ = (*newest)->first;
  const auto head_spot = index.head_before(session.session, checkpoint.size);
  if (!head_spot) return tl::unexpected(head_spot.error());
  if (!*head_spot) return proof;
  const auto payload = index.read_frame((*head_spot)->file, (*head_spot)->offset, (*head_spot)->size);
  if (!payload) return tl::unexpected(payload.error());
  const auto head = parse_session_head(*payload);
  if (!head || seal::text_of(head->label) != session.session.view()) return fail(Errc::corrupt, "the head of the session is damaged");
  Bytes leaf{std::byte{static_cast<unsigned char>(FrameType::session_head)}};
  leaf.insert(leaf.end(), payload->begin(), payload->end());
  const auto in_log = log_leaf(index, *log, head->leaf);
  if (!in_log) return tl::unexpected(in_log.error());
  if (*in_log != crypto::merkle_leaf(leaf)) return fail(Errc::corrupt, "the session's head is not the one that was logged");
  const auto* tree = &*own;
  auto covered = cut_back(index, *tree, head->entries, &session.session);
  if (!covered) return fail(Errc::corrupt, "entries up to " + std::to_string(head->entries) + " were logged, " + std::to_string(tree->size()) + " are there");
  if (root_of_blocks(covered->blocks, covered->rest) != head->root)
    return fail(Errc::corrupt, "entries 1 to " + std::to_string(head->entries) + " are not those that were recorded");
  if ((head->why == SessionHead::Why::end || head->why == SessionHead::Why::truncated) && head->entries != tree->size())
    return fail(Errc::corrupt, "entries stand behind the session's last head");
  proof.tree_ = std::move(*covered);
  proof.badge_.proven = head->entries;
  proof.badge_.head_leaf = head->leaf;
  proof.badge_.checkpoint_size = checkpoint.size;
  proof.badge_.checkpoint_origin = checkpoint.origin;
  proof.badge_.is_signed = !keys.empty();
  return proof;
}

Result<void> ShownProof::read(SeekIndex& index, std::uint64_t from, const Visit& visit) const {
  from = std::max<std::uint64_t>(from, 1);
  const std::uint64_t covered = tree_.size();
  // A block is proven as a whole, so reading begins where one begins.
  std::uint64_t due = from <= covered ? (from - 1) / k_block_leaves * k_block_leaves + 1 : from;
  const std::uint64_t begin = due;
  const auto spots = index.spots(session_, due > 1 ? due - 1 : due);
  if (!spots) return tl::unexpected(spots.error());
  std::vector<Bytes> held;  // of a block that is not whole yet
  std::vector<crypto::Hash256> leaves;
  std::optional<crypto::Tag> previous;
  if (due == 1) previous.emplace();
  bool wanted = true;
  const auto give = [&](const StoredEntry& entry) {
    if (entry.header.sequence >= from) wanted = visit(entry, previous);
    previous = entry.tag();
    return wanted;
  };
  const auto changed = [&](std::uint64_t first, std::uint64_t last) {
    return fail(Errc::corrupt, "entries " + std::to_string(first) + " to " + std::to_string(last) + " of session " + session_.str() + " are not those that were recorded");
  };
  for (const Spot& spot : *spots) {
    const auto payload = index.read_frame(spot.file, spot.offset, spot.size);
    if (!payload) return tl::unexpected(payload.error());
    auto entries = EntriesFrame::parse(*payload);
    if (!entries || seal::text_of(entries->label()) != session_.view()) return fail(Errc::corrupt, "the seek index names a frame that is not this session's");
    while (const auto entry = entries->next()) {
      const std::uint64_t sequence = entry->header.sequence;
      if (sequence + 1 == begin) previous = entry->tag();
      if (sequence < due) continue;
      if (sequence != due) return changed(due, sequence - 1);
      ++due;
      if (sequence > covered) {
        if (!give(*entry)) return {};
        continue;
      }
      const std::uint64_t block = (sequence - 1) / k_block_leaves;
      const auto leaf = crypto::merkle_leaf(entry->whole);
      if (block == tree_.blocks.size()) {
        if (leaf != tree_.rest[(sequence - 1) % k_block_leaves]) return changed(sequence, sequence);
        if (!give(*entry)) return {};
        continue;
      }
      held.push_back(copy_of(entry->whole));
      leaves.push_back(leaf);
      if (leaves.size() < k_block_leaves) continue;
      if (crypto::merkle_root(leaves) != tree_.blocks[block]) return changed(sequence - k_block_leaves + 1, sequence);
      for (const Bytes& whole : held) {
        StoredEntry proven;
        proven.whole = whole;
        proven.header = *seal::read_entry_header(proven.header_bytes());
        if (!give(proven)) return {};
      }
      held.clear();
      leaves.clear();
    }
    if (!entries->is_sound()) return fail(Errc::corrupt, "a frame of session " + session_.str() + " is damaged");
  }
  if (due <= covered) return changed(due, covered);
  return {};
}

}  // namespace sallyport::replay
