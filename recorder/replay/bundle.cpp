#include "recorder/replay/bundle.h"

#include <algorithm>
#include <boost/json.hpp>
#include <map>

#include "platform/crypto/aead.h"
#include "platform/crypto/base64.h"
#include "platform/crypto/hex.h"
#include "platform/crypto/hkdf.h"
#include "platform/crypto/merkle_range.h"
#include "recorder/replay/clock_watch.h"
#include "recorder/replay/journal_files.h"
#include "recorder/replay/session_opener.h"

namespace sallyport::replay {
namespace {

namespace json = boost::json;
using crypto::Hash256;

constexpr std::string_view k_format = "sallyport bundle 1";
constexpr std::size_t k_max_bundle = 1024ULL * 1024 * 1024;
constexpr std::size_t k_most_moves = 100;

struct Head {
  SessionHead head;
  Bytes payload;
  std::uint64_t index = 0;
};

struct Gathered {
  std::vector<Hash256> tree;  ///< the session's leaves
  std::vector<std::pair<std::uint64_t, Bytes>> slice;  ///< sequence, entry
  std::map<std::uint64_t, crypto::Tag> tags;           ///< of the slice and of the entries before it
  std::vector<Head> heads;
  std::vector<Hash256> log;
  std::vector<std::string> handovers;
  std::string newest;  ///< checkpoint note
  std::uint64_t newest_size = 0;
  std::vector<std::uint32_t> segments;  ///< of each entry
};

Hash256 leaf_of_frame(const Frame& frame) {
  Bytes typed(1 + frame.payload.size());
  typed[0] = static_cast<std::byte>(frame.header.type);
  std::copy(frame.payload.begin(), frame.payload.end(), typed.begin() + 1);
  return crypto::merkle_leaf(typed);
}

Result<Gathered> gather(const BundleOptions& options) {
  auto files = JournalFiles::open(options.journal);
  if (!files) return tl::unexpected(files.error());
  const auto label = seal::label_of(options.session.view());
  if (!label) return fail(Errc::invalid, "not a session's name");
  Gathered got;
  std::optional<std::int64_t> began;
  crypto::Tag before{};
  while (const auto frame = files->next()) {
    switch (static_cast<FrameType>(frame->header.type)) {
      case FrameType::entries: {
        auto entries = EntriesFrame::parse(frame->payload);
        if (!entries || entries->label() != *label) break;
        while (const auto entry = entries->next()) {
          got.tree.push_back(crypto::merkle_leaf(entry->whole));
          if (!began) began = entry->header.wall_us;
          const std::int64_t at = entry->header.wall_us - *began;
          const std::uint64_t sequence = entry->header.sequence;
          if (sequence == 1 || (at >= options.from.count() && at <= options.to.count())) {
            got.slice.emplace_back(sequence, copy_of(entry->whole));
            got.tags[sequence - 1] = before;
          }
          before = entry->tag();
        }
        break;
      }
      case FrameType::audit_event: got.log.push_back(leaf_of_frame(*frame)); break;
      case FrameType::session_head: {
        const auto head = parse_session_head(frame->payload);
        if (head && head->label == *label) got.heads.push_back({*head, copy_of(frame->payload), got.log.size()});
        got.log.push_back(leaf_of_frame(*frame));
        break;
      }
      case FrameType::checkpoint: {
        const auto note = crypto::parse_note(text_of(frame->payload));
        const auto checkpoint = note ? crypto::parse_checkpoint(note->body) : Result<crypto::Checkpoint>(tl::unexpected(note.error()));
        if (!checkpoint || checkpoint->size > got.log.size()) break;
        if (crypto::next_key_of(*checkpoint)) got.handovers.emplace_back(text_of(frame->payload));
        got.newest = text_of(frame->payload);
        got.newest_size = checkpoint->size;
        break;
      }
      default: break;
    }
  }
  if (got.tree.empty()) return fail(Errc::not_found, "no session " + options.session.str() + " in the journal");
  // One run of entries: wall clocks may be set back in the middle.
  for (std::size_t i = 2; i < got.slice.size(); ++i)
    if (got.slice[i].first != got.slice[i - 1].first + 1) return fail(Errc::invalid, "the wall clock was moved within that time; give a longer one");
  if (got.slice.size() < 2 && options.from.count() > 0) return fail(Errc::not_found, "nothing was recorded in that time");
  return got;
}

json::array hashes_of(std::span<const Hash256> hashes) {
  json::array out;
  for (const auto& hash : hashes) out.push_back(json::value(crypto::to_base64(hash)));
  return out;
}

json::object keys_of(const BundleOptions& options, const Gathered& got) {
  json::object keys;
  if (!options.key) return keys;
  std::set<std::uint32_t> wanted;
  for (const auto& [sequence, entry] : got.slice) {
    const auto flags = std::to_integer<std::uint8_t>(entry[9]);
    if ((flags & seal::k_flag_sealed) != 0 && !options.redacted.contains(sequence)) wanted.insert(seal::get_number<std::uint32_t>(entry.data() + 32));
  }
  if (wanted.empty()) return keys;
  Secret chain = crypto::hkdf_sha256(options.key->reveal(), bytes_of(options.session.view()), "sallyport chain v1", crypto::k_aead_key_size);
  for (std::uint32_t segment = 0; segment <= *wanted.rbegin(); ++segment) {
    if (wanted.contains(segment)) {
      const Secret key = crypto::hkdf_sha256(chain.reveal(), {}, "sallyport segment v1", crypto::k_aead_key_size);
      keys[std::to_string(segment)] = crypto::to_hex(key.reveal());
    }
    chain = crypto::hkdf_sha256(chain.reveal(), {}, "sallyport next v1", crypto::k_aead_key_size);
  }
  return keys;
}

std::optional<seal::EntryHeader> header_of(ByteView whole) {
  if (whole.size() < seal::k_entry_header_bytes) return std::nullopt;
  return seal::read_entry_header(whole.first<seal::k_entry_header_bytes>());
}

bool opens_with(const seal::Label& label, const StoredEntry& entry, const crypto::Tag& previous, const Secret& key) {
  Bytes plain(entry.body().size());
  const crypto::Tag tag = entry.tag();
  return crypto::Aes256Gcm(key.reveal()).open(crypto::nonce_of(entry.header.sequence), seal::additional_data(label, entry.header_bytes(), previous), entry.body(), tag, plain.data());
}

struct Reading {
  const json::object& object;
  [[nodiscard]] const json::value* find(const char* name) const { return object.if_contains(name); }
  [[nodiscard]] std::string_view text(const char* name) const {
    const auto* value = find(name);
    return value == nullptr || !value->is_string() ? std::string_view() : std::string_view(value->get_string());
  }
  [[nodiscard]] std::uint64_t number(const char* name) const {
    const auto* value = find(name);
    return value != nullptr && value->is_int64() && value->get_int64() >= 0 ? static_cast<std::uint64_t>(value->get_int64()) : 0;
  }
  [[nodiscard]] const json::array* list(const char* name) const {
    const auto* value = find(name);
    return value == nullptr ? nullptr : value->if_array();
  }
};

std::optional<std::vector<Hash256>> hashes_in(const json::array* list) {
  if (list == nullptr || list->size() > 4096) return std::nullopt;
  std::vector<Hash256> out;
  for (const auto& value : *list) {
    const auto bytes = value.is_string() ? crypto::from_base64(std::string_view(value.get_string())) : Result<Bytes>(fail(Errc::invalid, ""));
    if (!bytes || bytes->size() != 32) return std::nullopt;
    std::copy(bytes->begin(), bytes->end(), out.emplace_back().begin());
  }
  return out;
}

}  // namespace

Result<void> write_bundle(const BundleOptions& options, const Sink& out) {
  auto got = gather(options);
  if (!got) return tl::unexpected(got.error());
  const std::uint64_t last = got->slice.back().first;
  const auto head = std::find_if(got->heads.begin(), got->heads.end(), [&](const Head& each) { return each.head.entries >= last && each.index < got->newest_size; });
  if (head == got->heads.end()) return fail(Errc::unavailable, "no checkpoint covers that part of the session yet: one is made each minute");
  std::vector<std::uint64_t> included;
  for (const auto& [sequence, entry] : got->slice) included.push_back(sequence - 1);
  const auto size = static_cast<std::size_t>(head->head.entries);
  if (size > got->tree.size()) return fail(Errc::corrupt, "entries of the session are missing: run `sallyport verify`");
  const std::span<const Hash256> tree = std::span(got->tree).first(size);
  const std::span<const Hash256> log = std::span(got->log).first(static_cast<std::size_t>(got->newest_size));
  json::array handovers;
  for (const auto& note : got->handovers) handovers.push_back(json::value(note));
  const json::object proof{{"head", crypto::to_base64(head->payload)},
                           {"head_leaf", head->index},
                           {"head_inclusion", hashes_of(crypto::prove_inclusion(head->index, log))},
                           {"entries", hashes_of(crypto::prove_leaves(included, tree))},
                           {"checkpoint", got->newest}};
  if (!out("{\"format\":\"" + std::string(k_format) + "\",\n\"session\":\"" + options.session.str() + "\",\n\"proof\":" + json::serialize(proof) +
           ",\n\"handovers\":" + json::serialize(handovers) + ",\n\"segment_keys\":" + json::serialize(keys_of(options, *got)) + ",\n\"entries\":["))
    return {};
  bool first = true;
  std::uint64_t before = 0;
  for (const auto& [sequence, entry] : got->slice) {
    json::object row{{"sequence", sequence}};
    if (options.redacted.contains(sequence)) {
      row["leaf"] = crypto::to_base64(got->tree[static_cast<std::size_t>(sequence - 1)]);
      before = 0;
    } else {
      if (sequence != before + 1 || sequence == 1) row["previous"] = crypto::to_hex(got->tags[sequence - 1]);
      row["entry"] = crypto::to_base64(entry);
      before = sequence;
    }
    if (!out((first ? "\n" : ",\n") + json::serialize(row))) return {};
    first = false;
  }
  out("\n]}\n");
  return {};
}

Result<BundleReport> verify_bundle(std::string_view text, const std::vector<crypto::NoteKey>& keys) {
  if (text.size() > k_max_bundle) return fail(Errc::invalid, "a bundle of more than 1 GiB");
  boost::system::error_code error;
  const json::value parsed = json::parse(text, error);
  const json::object* const object = error ? nullptr : parsed.if_object();
  if (object == nullptr) return fail(Errc::invalid, "not a bundle: no JSON object");
  const Reading bundle{*object};
  if (bundle.text("format") != k_format) return fail(Errc::invalid, "not a bundle that this program reads: its format is `" + std::string(bundle.text("format").substr(0, 60)) + "`");
  const auto* const proof_value = bundle.find("proof");
  const json::object* const proof_object = proof_value == nullptr ? nullptr : proof_value->if_object();
  const json::array* const rows = bundle.list("entries");
  const auto label = seal::label_of(bundle.text("session"));
  if (proof_object == nullptr || rows == nullptr || !label) return fail(Errc::invalid, "not a bundle: it lacks its session, proof or entries");
  const Reading proof{*proof_object};
  BundleReport report;
  report.session = bundle.text("session");
  const auto find = [&](std::string finding) { report.findings.push_back(std::move(finding)); };

  // The checkpoint: signed by the first key, or by one that the handovers lead to.
  const auto note = crypto::parse_note(proof.text("checkpoint"));
  const auto checkpoint = note ? crypto::parse_checkpoint(note->body) : Result<crypto::Checkpoint>(tl::unexpected(note.error()));
  const auto payload = crypto::from_base64(proof.text("head"));
  const auto head = payload ? parse_session_head(*payload) : std::nullopt;
  const auto inclusion = hashes_in(proof.list("head_inclusion"));
  const auto range = hashes_in(proof.list("entries"));
  if (!checkpoint || !head || !inclusion || !range) return fail(Errc::invalid, "not a bundle: its proof cannot be read");
  report.proof_bytes = json::serialize(*proof_object).size();
  report.leaves = checkpoint->size;
  std::vector<crypto::NoteKey> signers = keys;
  bool is_signed = crypto::verify_note(*note, signers).has_value();
  if (const json::array* const handovers = bundle.list("handovers"))
    for (const auto& value : *handovers) {
      const auto handover = value.is_string() ? crypto::parse_note(std::string_view(value.get_string())) : Result<crypto::Note>(fail(Errc::invalid, ""));
      const auto body = handover ? crypto::parse_checkpoint(handover->body) : Result<crypto::Checkpoint>(fail(Errc::invalid, ""));
      if (!body || !crypto::verify_note(*handover, signers)) continue;
      if (auto next = crypto::next_key_of(*body)) signers = {std::move(*next)};
      is_signed = is_signed || crypto::verify_note(*note, signers).has_value();
    }
  if (keys.empty()) find("not checked: the checkpoint's signature (no checkpoint key)");
  else if (!is_signed) find("checkpoint-signature: the checkpoint is not signed by the key of this log");
  if (head->label != *label) find("head-mismatch: the head is of another session");
  Bytes typed{std::byte{3}};
  typed.insert(typed.end(), payload->begin(), payload->end());
  if (!crypto::verify_inclusion(crypto::merkle_leaf(typed), proof.number("head_leaf"), checkpoint->size, *inclusion, checkpoint->root))
    find("head-not-included: the session's head is not in the log of the checkpoint");

  // The entries: all leaves of the slice, in the tree of that head.
  std::vector<std::pair<std::uint64_t, Hash256>> leaves;
  auto opener_keys = bundle.find("segment_keys");
  const json::object* const segment_keys = opener_keys == nullptr ? nullptr : opener_keys->if_object();
  crypto::Tag previous{};
  bool previous_known = false;
  ClockRuns clock;
  for (const auto& value : *rows) {
    const json::object* const row_object = value.if_object();
    if (row_object == nullptr) return fail(Errc::invalid, "not a bundle: an entry that is none");
    const Reading row{*row_object};
    const std::uint64_t sequence = row.number("sequence");
    if (sequence == 0 || (!leaves.empty() && sequence <= leaves.back().first + 1)) return fail(Errc::invalid, "not a bundle: its entries are out of order");
    if (report.entries <= 1) report.first = sequence;
    report.last = sequence;
    ++report.entries;
    Hash256 leaf{};
    if (row.find("leaf") != nullptr) {
      const auto bytes = crypto::from_base64(row.text("leaf"));
      if (!bytes || bytes->size() != 32) return fail(Errc::invalid, "not a bundle: a leaf that is no hash");
      std::copy(bytes->begin(), bytes->end(), leaf.begin());
      ++report.redacted;
      previous_known = false;
      leaves.emplace_back(sequence - 1, leaf);
      continue;
    }
    const auto whole = crypto::from_base64(row.text("entry"));
    const auto header = whole ? header_of(*whole) : std::nullopt;
    if (!header || whole->size() != seal::k_entry_header_bytes + header->size + previous.size() || header->sequence != sequence)
      return fail(Errc::invalid, "not a bundle: entry " + std::to_string(sequence) + " has a wrong form");
    if (const auto given = crypto::from_hex(row.text("previous")); given && given->size() == previous.size() && row.find("previous") != nullptr) {
      std::copy(given->begin(), given->end(), previous.begin());
      previous_known = true;
    }
    const StoredEntry entry{*header, *whole};
    leaves.emplace_back(sequence - 1, crypto::merkle_leaf(*whole));
    clock.take(sequence, header->wall_us, header->boot_us);
    if (!previous_known) {
      find("entry " + std::to_string(sequence) + ": what stands before it is not given");
    } else if ((header->flags & seal::k_flag_sealed) == 0) {
      if (!plain_tag_is_right(*label, entry, previous)) find("entry-changed: the tag of entry " + std::to_string(sequence) + " is wrong");
      ++report.opened;
    } else if (segment_keys != nullptr && header->kind != seal::EntryKind::typed) {
      const auto* const digits = segment_keys->if_contains(std::to_string(header->segment));
      const auto key = digits != nullptr && digits->is_string() ? crypto::from_hex(std::string_view(digits->get_string())) : Result<Bytes>(fail(Errc::not_found, ""));
      if (key && key->size() == crypto::k_aead_key_size) {
        if (!opens_with(*label, entry, previous, Secret(ByteView(*key)))) find("seal-broken: entry " + std::to_string(sequence));
        ++report.opened;
      }
    }
    previous = entry.tag();
    previous_known = true;
  }
  const auto root = crypto::root_from_leaves(leaves, head->entries, *range);
  if (!root || *root != head->root) find("entries-not-included: the entries are not those of the session");
  for (const auto& move : ClockWatch().judge(clock))
    if (report.not_checked.size() < k_most_moves)
      report.not_checked.push_back("the wall clock was moved by " + std::to_string(move.by_us / 1000) + " ms before entry " + std::to_string(move.at) + ": whether the gateway said so stands in its log");
  return report;
}

}  // namespace sallyport::replay
