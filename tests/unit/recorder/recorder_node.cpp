#include "recorder_node.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "platform/crypto/hkdf.h"
#include "platform/crypto/merkle.h"
#include "platform/crypto/random.h"
#include "platform/crypto/ulid.h"
#include "platform/crypto/zstd.h"
#include "recorder/journal/journal.h"
#include "recorder/service.h"

namespace sallyport::recorder::test {
namespace {

constexpr const char* k_origin = "test-node";

int until_ms(std::chrono::steady_clock::time_point until) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
  return static_cast<int>(std::max<std::int64_t>(left, 0));
}

/// In the recorder's process: what a fork+exec would not have inherited.
void close_others(int kept) {
  for (int fd = 3; fd < 4096; ++fd)
    if (fd != kept) ::close(fd);
}

}  // namespace

RecorderNode::RecorderNode(std::string ring_root) {
  std::string pattern = (std::filesystem::temp_directory_path() / "sallyport-recorder-XXXXXX").string();
  folder = ::mkdtemp(pattern.data());
  ring_dir = (ring_root.empty() ? folder : ring_root) + "/rings";
  journal_dir = folder + "/state/journal";
  std::filesystem::create_directories(ring_dir);
  std::filesystem::create_directories(folder + "/state");
  settings.set("state_dir", folder + "/state");
  settings.set("ring_dir", ring_dir);
  settings.set("node", k_origin);
  settings.set("syslog", "false");
  settings.set("min_free_bytes", "0");
  settings.set("witness_files", folder + "/witness");
  settings.set("leftover_grace_ms", "300");
  signer_ = crypto::Ed25519PrivateKey::generate(crypto::system_random());
  checkpoint_key = crypto::make_note_key(k_origin, signer_->public_key());
}

RecorderNode::~RecorderNode() {
  if (pid_ > 0) kill9();
  std::filesystem::remove_all(folder);
}

void RecorderNode::attach_service(control::Peer peer, const Fd& service_end, bool again) {
  control::Envelope envelope;
  envelope.mutable_attach()->set_peer(peer);
  envelope.mutable_attach()->set_again(again);
  const int fd = service_end.get();
  REQUIRE(keeper_.send(envelope, std::span(&fd, 1)));
}

void RecorderNode::start(bool with_sessions) {
  REQUIRE(pid_ == -1);
  auto pair = control::Link::make_pair().value();
  keeper_ = control::Link(std::move(pair.first));
  pid_ = ::fork();
  REQUIRE(pid_ >= 0);
  if (pid_ == 0) {
    close_others(pair.second.get());
    if (in_child) in_child();
    ::_exit(run_service(std::move(pair.second)));
  }
  pair.second.reset();
  ready_ = false;
  control::Envelope reload;
  reload.mutable_reload()->set_config_yaml(settings.render());
  REQUIRE(keeper_.send(reload));
  if (!started_before_) {
    auto vault = control::Link::make_pair().value();
    vault_ = control::Link(std::move(vault.first));
    vault_service_end_ = std::move(vault.second);
    auto authority = control::Link::make_pair().value();
    authority_ = control::Link(std::move(authority.first));
    authority_service_end_ = std::move(authority.second);
    auto events = control::Link::make_pair().value();
    keeper_events_ = control::Link(std::move(events.first));
    keeper_service_end_ = std::move(events.second);
  }
  attach_service(control::PEER_VAULT, vault_service_end_, started_before_);
  attach_service(control::PEER_AUTHORITY, authority_service_end_, started_before_);
  attach_service(control::PEER_KEEPER, keeper_service_end_, started_before_);
  if (with_sessions) attach_sessions();
  started_before_ = true;
  REQUIRE(pump_until([this] { return ready_; }, 20'000));
}

void RecorderNode::attach_sessions() {
  for (const auto& [label, session] : sessions_) {
    control::Envelope envelope;
    envelope.mutable_attach()->set_peer(control::PEER_SESSION);
    envelope.mutable_attach()->set_session(label);
    envelope.mutable_attach()->set_again(true);
    const std::array fds{session->service_end.get(), session->ring_file.get()};
    REQUIRE(pump_until([&] { return static_cast<bool>(keeper_.send(envelope, fds)); }, 20'000));
  }
}

void RecorderNode::kill9() {
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
  keeper_.close();
}

int RecorderNode::stop() {
  control::Envelope envelope;
  envelope.mutable_shutdown()->set_grace_ms(3000);
  REQUIRE(keeper_.send(envelope));
  int status = 0;
  const bool ended = pump_until([&] { return ::waitpid(pid_, &status, WNOHANG) == pid_; }, 15'000);
  REQUIRE(ended);
  take(authority_, "authority");
  pid_ = -1;
  keeper_.close();
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

std::unique_ptr<PlayedSession> RecorderNode::make_session(bool with_log, std::size_t ring_bytes) {
  auto session = std::make_unique<PlayedSession>();
  session->id = crypto::make_session_id(system_clock(), crypto::system_random());
  session->ring_file = seal::create_ring_file(ring_dir + "/" + session->id.str() + ".ring", session->id, ring_bytes).value();
  auto pair = control::Link::make_pair().value();
  session->link = control::Link(std::move(pair.first));
  session->service_end = std::move(pair.second);
  session->key = crypto::random_bytes(crypto::system_random(), 32);
  if (with_log) {
    session->mapping = seal::RingMapping::map(session->ring_file.get()).value();
    session->log.emplace(seal::RingProducer::adopt(session->mapping.span()).value(), session->id, Secret(session->key), system_clock());
  }
  sessions_[session->id.str()] = session.get();
  control::Envelope envelope;
  envelope.mutable_attach()->set_peer(control::PEER_SESSION);
  envelope.mutable_attach()->set_session(session->id.str());
  const std::array fds{session->service_end.get(), session->ring_file.get()};
  if (keeper_.is_open()) REQUIRE(pump_until([&] { return static_cast<bool>(keeper_.send(envelope, fds)); }));
  return session;
}

void RecorderNode::session_gone(PlayedSession& session) {
  sessions_.erase(session.id.str());
  session.link.close();
  session.service_end.reset();
  session.ring_file.reset();
  session.log.reset();
  session.mapping = {};
}

void RecorderNode::take(control::Link& link, const char* who) {
  if (!link.is_open()) return;
  for (;;) {
    auto received = link.receive();
    if (!received || !*received) return;
    const control::Envelope& envelope = (*received)->envelope;
    if (envelope.has_sign_checkpoint() && signs) {
      auto answer = control::reply_to(envelope);
      answer.mutable_checkpoint_signature()->set_line(crypto::sign_note_line(envelope.sign_checkpoint().body(), k_origin, *signer_));
      REQUIRE(link.send(answer));
      ++checkpoints_signed;
    }
    if (envelope.has_session_recorded()) recorded.push_back(envelope.session_recorded());
    if (envelope.has_notice()) notices.push_back(envelope.notice().text());
    if (envelope.has_recorder_status() && !envelope.reply()) told_status.push_back(envelope.recorder_status());
    if (envelope.has_ready()) ready_ = true;
    if (envelope.reply() && std::string_view(who) == "authority") answers_.push_back(envelope);
  }
}

bool RecorderNode::pump_until(const std::function<bool()>& done, int milliseconds) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
  for (;;) {
    take(keeper_, "keeper");
    take(vault_, "vault");
    take(authority_, "authority");
    if (done()) return true;
    const int left = until_ms(until);
    if (left == 0) return false;
    std::array<pollfd, 3> waiting{pollfd{keeper_.native(), POLLIN, 0}, pollfd{vault_.native(), POLLIN, 0}, pollfd{authority_.native(), POLLIN, 0}};
    ::poll(waiting.data(), waiting.size(), std::min(left, 2));
  }
}

control::Envelope RecorderNode::append(const std::string& name, const std::string& json, bool durable) {
  control::Envelope envelope;
  const std::uint64_t call = authority_.next_call();
  envelope.set_call(call);
  envelope.mutable_append_event()->set_name(name);
  envelope.mutable_append_event()->set_json(json);
  envelope.mutable_append_event()->set_durable(durable);
  REQUIRE(authority_.send(envelope));
  control::Envelope answer;
  REQUIRE(pump_until([&] {
    for (const auto& candidate : answers_) {
      if (candidate.call() != call) continue;
      answer = candidate;
      return true;
    }
    return false;
  }));
  return answer;
}

void RecorderNode::append_as_keeper(const std::string& name) {
  control::Envelope envelope;
  envelope.mutable_append_event()->set_name(name);
  envelope.mutable_append_event()->set_json("{}");
  REQUIRE(keeper_events_.send(envelope));
}

control::RecorderStatus RecorderNode::status() {
  control::Envelope envelope;
  const std::uint64_t call = authority_.next_call();
  envelope.set_call(call);
  envelope.mutable_recorder_status_ask();
  REQUIRE(authority_.send(envelope));
  control::RecorderStatus status;
  REQUIRE(pump_until([&] {
    for (const auto& candidate : answers_) {
      if (candidate.call() != call) continue;
      status = candidate.recorder_status();
      return true;
    }
    return false;
  }));
  return status;
}

std::size_t ReadJournal::count_events(std::string_view name) const {
  return static_cast<std::size_t>(std::count_if(events.begin(), events.end(), [&](const auto& event) { return event.name == name; }));
}

ReadJournal read_journal(const std::string& directory) {
  ReadJournal journal;
  std::map<std::string, crypto::MerkleTree> trees;
  crypto::MerkleTree log;
  std::uint64_t frame_number = 1;
  std::uint64_t file_number = 1;
  for (const std::uint64_t number : journal_files(directory)) {
    if (number != file_number++) journal.wrong.push_back("a file is missing");
    std::ifstream file(directory + "/" + journal_file_name(number), std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    const ByteView bytes = bytes_of(text);
    const auto header = read_file_header(bytes);
    if (!header || header->number != number || header->first_frame != frame_number) {
      journal.wrong.push_back("a file's header");
      break;
    }
    FrameReader reader(bytes.subspan(k_file_header_bytes));
    Frame frame;
    auto next = FrameReader::Next::end;
    while ((next = reader.next(frame)) == FrameReader::Next::frame) {
      if (frame.number != frame_number++) journal.wrong.push_back("frame number");
      if (frame.type == FrameType::entries) {
        auto entries = EntriesReader::open(frame.payload);
        const std::string label(seal::text_of(entries->label()));
        while (const auto entry = entries->next()) {
          journal.entries[label].push_back(copy_of(*entry));
          trees[label].append(*entry);
          const auto sequence = seal::get_number<std::uint64_t>(entry->data());
          if (sequence != journal.entries[label].size()) journal.wrong.push_back("sequence " + std::to_string(sequence) + " of " + label);
        }
      } else if (frame.type == FrameType::event || frame.type == FrameType::head) {
        log.append_leaf(leaf_of(frame.type, frame.payload));
        if (const auto event = read_event(frame.payload); frame.type == FrameType::event) {
          if (!event || event->leaf != log.size()) journal.wrong.push_back("event leaf");
          if (event) journal.events.push_back(*event);
        } else if (const auto head = read_head(frame.payload)) {
          const std::string label(seal::text_of(head->label));
          if (head->leaf != log.size()) journal.wrong.push_back("head leaf");
          if (head->entries != trees[label].size() || head->root != trees[label].root()) journal.wrong.push_back("head root of " + label);
          if (!journal.heads[label].empty() && journal.heads[label].back().why >= HeadWhy::end) journal.wrong.push_back("head after the end");
          journal.heads[label].push_back(*head);
        } else {
          journal.wrong.push_back("unreadable head");
        }
      } else if (frame.type == FrameType::checkpoint) {
        journal.checkpoints.emplace_back(text_of(frame.payload));
      }
    }
    if (next == FrameReader::Next::incomplete) journal.tail = "incomplete";
    if (next == FrameReader::Next::damaged) journal.tail = "damaged";
  }
  journal.leaves = log.size();
  return journal;
}

ReadSession open_session(const std::string& label, const Bytes& key, const std::vector<Bytes>& entries) {
  ReadSession read;
  const auto name = *seal::label_of(label);
  Secret chain = crypto::hkdf_sha256(key, bytes_of(label), "sallyport chain v1", 32);
  Secret segment_key;
  int segment = -1;
  crypto::Tag previous{};
  crypto::ZstdDecompressor zstd;
  for (const Bytes& entry : entries) {
    const auto header = seal::read_entry_header(ByteView(entry).first<seal::k_entry_header_bytes>());
    REQUIRE(header);
    read.headers.push_back(*header);
    const auto additional = seal::additional_data(name, ByteView(entry).first<seal::k_entry_header_bytes>(), previous);
    std::copy(entry.end() - 16, entry.end(), previous.begin());
    if ((header->flags & seal::k_flag_sealed) == 0 || header->kind == seal::EntryKind::typed) continue;
    for (; segment < static_cast<int>(header->segment); ++segment) {
      segment_key = crypto::hkdf_sha256(chain.reveal(), {}, "sallyport segment v1", 32);
      chain = crypto::hkdf_sha256(chain.reveal(), {}, "sallyport next v1", 32);
    }
    Bytes body(header->size);
    crypto::Aes256Gcm cipher(segment_key.reveal());
    REQUIRE(cipher.open(crypto::nonce_of(header->sequence), additional, ByteView(entry).subspan(seal::k_entry_header_bytes, header->size),
                        previous, body.data()));
    if ((header->flags & seal::k_flag_compressed) != 0) {
      Bytes plain(seal::k_max_data);
      plain.resize(zstd.decompress(body, plain).value());
      body = std::move(plain);
    }
    if (header->kind == seal::EntryKind::data_in) read.in += text_of(body);
    if (header->kind == seal::EntryKind::data_out) read.out += text_of(body);
    if (header->kind == seal::EntryKind::data_err) read.err += text_of(body);
  }
  return read;
}

}  // namespace sallyport::recorder::test
