#include "tests/unit/recorder/journal_maker.h"

#include <catch2/catch.hpp>
#include <concepts>
#include <cstdlib>
#include <fstream>

#include "platform/crypto/crc32c.h"
#include "platform/crypto/ulid.h"
#include "recorder/journal/frame.h"
#include "recorder/replay/frames.h"

namespace sallyport::test {
namespace {

template <std::integral Number>
void put(Bytes& to, Number value) {
  to.resize(to.size() + sizeof value);
  seal::put_number(to.data() + to.size() - sizeof value, value);
}
void put(Bytes& to, ByteView bytes) { to.insert(to.end(), bytes.begin(), bytes.end()); }
void put(Bytes& to, std::string_view text) { put(to, bytes_of(text)); }

Bytes typed_leaf(const MadeFrame& frame) {
  Bytes leaf{static_cast<std::byte>(frame.type)};
  put(leaf, frame.payload);
  return leaf;
}

}  // namespace

std::vector<Bytes> entries_in(ByteView payload) {
  std::vector<Bytes> entries;
  if (auto frame = replay::EntriesFrame::parse(payload))
    while (const auto entry = frame->next()) entries.push_back(copy_of(entry->whole));
  return entries;
}

void put_entries(Bytes& payload, const std::vector<Bytes>& entries) {
  payload.resize(40);
  seal::put_number(payload.data() + 26, std::uint16_t{0});
  seal::put_number(payload.data() + 28, static_cast<std::uint32_t>(entries.size()));
  for (const Bytes& entry : entries) {
    put(payload, static_cast<std::uint32_t>(entry.size()));
    put(payload, entry);
  }
}

TemporaryFolder::TemporaryFolder() {
  char name[] = "/tmp/sallyport-test-XXXXXX";
  REQUIRE(mkdtemp(name) != nullptr);
  path_ = name;
}

void write_journal(const std::filesystem::path& folder, const std::vector<MadeFrame>& frames, std::size_t frames_per_file) {
  std::filesystem::create_directories(folder);
  Bytes file;
  std::uint64_t file_number = 0;
  const auto flush = [&] {
    if (file_number == 0) return;
    std::string name = std::to_string(file_number);
    name.insert(0, 8 - name.size(), '0');
    std::ofstream(folder / (name + ".journal"), std::ios::binary) << text_of(file);
  };
  for (std::size_t i = 0; i < frames.size(); ++i) {
    if (i % frames_per_file == 0) {
      flush();
      file.clear();
      put(file, std::string_view("SPJRNL01"));
      put(file, std::uint32_t{1});
      put(file, std::uint32_t{64});
      put(file, ++file_number);
      put(file, static_cast<std::uint64_t>(i + 1));
      put(file, std::int64_t{1'800'000'000'000'000});
      file.resize(60);
      put(file, crypto::crc32c(file));
    }
    Bytes body;
    put(body, static_cast<std::uint32_t>(frames[i].payload.size()));
    put(body, frames[i].type);
    put(body, static_cast<std::uint64_t>(i + 1));
    put(body, frames[i].payload);
    put(file, std::uint32_t{0x31465053});
    put(file, crypto::crc32c(body));
    put(file, body);
  }
  flush();
}

JournalMaker::JournalMaker(std::string name)
    : origin(std::move(name)),
      key(crypto::Ed25519PrivateKey::generate(crypto::system_random())),
      recipient(crypto::make_recipient("test recipient", system_clock().wall()).value()) {
  root = key.public_key();
  MadeFrame state{5, {}};
  put(state.payload, std::uint64_t{0});
  put(state.payload, std::uint32_t{0});
  put(state.payload, std::uint32_t{0});
  frames.push_back(state);
}

MadeSession& JournalMaker::begin(const std::string& header_json, std::size_t ring_bytes) {
  auto session = std::make_unique<MadeSession>();
  session->id = crypto::make_session_id(clock, crypto::system_random());
  session->key = crypto::random_secret(crypto::system_random(), 32);
  session->wrapped = crypto::wrap_to_recipients(session->key.reveal(), std::vector<Bytes>{recipient.certificate_der}).value();
  auto file = seal::create_ring_file((rings.path() / (session->id.str() + ".ring")).string(), session->id, ring_bytes);
  REQUIRE(file);
  session->producer_side = seal::RingMapping::map(file->get()).value();
  session->consumer_side = seal::RingMapping::map(file->get()).value();
  session->ring = std::make_unique<seal::RingConsumer>(seal::RingConsumer::adopt(session->consumer_side.span(), session->id, 0).value());
  session->log = std::make_unique<seal::SessionLog>(seal::RingProducer::adopt(session->producer_side.span()).value(), session->id,
                                                    session->key.clone(), clock);
  REQUIRE(session->log->append_header(header_json, session->wrapped) == seal::SessionLog::Put::stored);
  sessions.push_back(std::move(session));
  return *sessions.back();
}

void JournalMaker::drain(MadeSession& session) {
  const auto put_frame = [&](std::vector<Bytes>& entries) {
    MadeFrame frame{1, {}};
    if (short_form) {
      recorder::EntriesWriter writer(frame.payload, *seal::label_of(session.id.view()), 1);
      for (const Bytes& entry : entries) writer.add(entry);
      REQUIRE(writer.finish(session.ring->position()));
      frame.payload.erase(frame.payload.begin(), frame.payload.begin() + recorder::k_frame_header_bytes);
    } else {
      put(frame.payload, session.id.view());
      put(frame.payload, std::uint16_t{0});
      put(frame.payload, std::uint32_t{0});
      put(frame.payload, session.ring->position());
      put_entries(frame.payload, entries);
    }
    frames.push_back(std::move(frame));
    entries.clear();
  };
  for (;;) {
    std::vector<Bytes> entries;
    for (;;) {
      Bytes entry;
      const auto next = session.ring->next(entry);
      REQUIRE(next != seal::RingConsumer::Next::broken);
      if (next == seal::RingConsumer::Next::nothing) break;
      const auto header = *seal::read_entry_header(ByteView(entry).first<48>());
      if (header.segment > session.segment) {  // the head over what is before the new segment
        if (!entries.empty()) put_frame(entries);
        head(session, 1);
        session.segment = header.segment;
      }
      session.tree.append(entry);
      entries.push_back(std::move(entry));
    }
    session.ring->free_up_to(session.ring->position());
    if (entries.empty()) return;
    put_frame(entries);
  }
}

void JournalMaker::leaf(std::uint32_t type, Bytes payload) {
  frames.push_back({type, std::move(payload)});
  log.append(typed_leaf(frames.back()));
}

void JournalMaker::head(MadeSession& session, int why) {
  Bytes payload;
  put(payload, log.size() + 1);
  put(payload, clock.wall().time_since_epoch().count());
  put(payload, session.tree.size());
  put(payload, session.tree.root());
  put(payload, session.segment);
  payload.push_back(static_cast<std::byte>(why));
  payload.push_back(std::byte{0});
  put(payload, session.id.view());
  session.head_entries = session.tree.size();
  leaf(3, std::move(payload));
}

void JournalMaker::end(MadeSession& session) {
  REQUIRE(session.log->append_end("client closed") == seal::SessionLog::Put::stored);
  drain(session);
  head(session, 3);
}

void JournalMaker::event(const std::string& name, const std::string& json, const std::string& session) {
  Bytes payload;
  put(payload, log.size() + 1);
  put(payload, clock.wall().time_since_epoch().count());
  put(payload, clock.boot().count());
  put(payload, std::string_view(crypto::make_ulid(clock, crypto::system_random())));
  payload.push_back(name.starts_with("keeper.") ? std::byte{1} : std::byte{3});
  payload.push_back(static_cast<std::byte>(session.size()));
  put(payload, static_cast<std::uint16_t>(name.size()));
  put(payload, std::uint16_t{0});
  put(payload, static_cast<std::uint32_t>(json.size()));
  put(payload, std::string_view(session));
  put(payload, std::string_view(name));
  put(payload, std::string_view(json));
  leaf(2, std::move(payload));
}

std::string JournalMaker::checkpoint() {
  for (auto& session : sessions)
    if (session->tree.size() > session->head_entries) head(*session, 2);
  const std::string body = crypto::checkpoint_body({origin, log.size(), log.root(), {}});
  const std::string note = crypto::join_note(body, crypto::sign_note_line(body, origin, key));
  frames.push_back({4, copy_of(bytes_of(note))});
  return note;
}

std::string JournalMaker::hand_over() {
  for (auto& session : sessions)
    if (session->tree.size() > session->head_entries) head(*session, 2);
  auto next = crypto::Ed25519PrivateKey::generate(crypto::system_random());
  const std::string body = crypto::checkpoint_body({origin, log.size(), log.root(), {"next-key " + crypto::vkey_of(crypto::make_note_key(origin, next.public_key()))}});
  const std::string note = crypto::join_note(body, crypto::sign_note_line(body, origin, key));
  frames.push_back({4, copy_of(bytes_of(note))});
  key = std::move(next);
  return note;
}

void rebuild_log(std::vector<MadeFrame>& frames, const std::string& origin, const crypto::Ed25519PrivateKey& key) {
  crypto::MerkleTree log;
  std::map<std::string, crypto::MerkleTree> sessions;
  for (MadeFrame& frame : frames) {
    if (frame.type == 1) {
      auto& tree = sessions[std::string(text_of(ByteView(frame.payload).first(26)))];
      for (const Bytes& entry : entries_in(frame.payload)) tree.append(entry);
    } else if (frame.type == 2 || frame.type == 3) {
      seal::put_number(frame.payload.data(), log.size() + 1);
      if (frame.type == 3) {
        auto& tree = sessions[std::string(text_of(ByteView(frame.payload).subspan(62, 26)))];
        const auto root = tree.root();
        seal::put_number(frame.payload.data() + 16, tree.size());
        std::copy(root.begin(), root.end(), frame.payload.begin() + 24);
      }
      log.append(typed_leaf(frame));
    } else if (frame.type == 4) {
      const std::string body = crypto::checkpoint_body({origin, log.size(), log.root(), {}});
      frame.payload = copy_of(bytes_of(crypto::join_note(body, crypto::sign_note_line(body, origin, key))));
    }
  }
}

}  // namespace sallyport::test
