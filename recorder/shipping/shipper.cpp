#include "recorder/shipping/shipper.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>

#include "platform/crypto/note.h"
#include "platform/model/json_text.h"
#include "platform/os/fd.h"
#include "recorder/journal/frame.h"
#include "recorder/journal/journal.h"

namespace sallyport::recorder {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::string_view k_first_line = "sallyport shipping 1";
constexpr milliseconds k_first_pause{500};
constexpr milliseconds k_longest_pause{15'000};
constexpr milliseconds k_idle{1'000};
constexpr std::string_view k_role = "role";
constexpr std::size_t k_most_logins = 4'096;  ///< whose session has not begun
constexpr std::int64_t k_announce_every_us = 24LL * 3600 * 1'000'000;

tl::unexpected<Error> failed(const std::string& what) { return fail(Errc::unavailable, what + ": " + std::strerror(errno)); }

Result<Bytes> read_part(const std::string& path, std::uint64_t from, std::uint64_t to) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return failed(path);
  Bytes bytes(static_cast<std::size_t>(to - from));
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::pread(file.get(), bytes.data() + done, bytes.size() - done, static_cast<off_t>(from + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return fail(Errc::corrupt, path + " is shorter than what was made durable");
    done += static_cast<std::size_t>(n);
  }
  return bytes;
}

std::uint64_t size_of(const std::string& path) {
  struct stat facts {};
  return ::stat(path.c_str(), &facts) == 0 ? static_cast<std::uint64_t>(facts.st_size) : 0;
}

std::optional<seconds> parse_keep(std::string_view text) {
  std::int64_t amount = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), amount);
  if (error != std::errc{} || amount < 1 || amount > 1'000'000'000) return std::nullopt;
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  if (unit == "s") return seconds(amount);
  if (unit == "h") return seconds(amount * 3600);
  if (unit == "d" && amount <= 36'500) return seconds(amount * 86'400);
  return std::nullopt;
}

}  // namespace

bool matches_pattern(std::string_view pattern, std::string_view text) {
  std::size_t p = 0, t = 0, star = std::string_view::npos, retry = 0;
  while (t < text.size()) {
    if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t]) && pattern[p] != '*') {
      ++p;
      ++t;
    } else if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      retry = t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++retry;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

Result<RetentionRule> parse_retention_rule(std::string_view text) {
  const std::size_t colon = text.find(':'), equals = text.rfind('=');
  if (colon == std::string_view::npos || equals == std::string_view::npos || equals < colon)
    return fail(Errc::invalid, "`" + std::string(text) + "`: a retention rule is FIELD:PATTERN=TIME, such as target:db-*=365d");
  RetentionRule rule{std::string(text.substr(0, colon)), std::string(text.substr(colon + 1, equals - colon - 1)), {}};
  if (rule.field != "target" && rule.field != "principal" && rule.field != "account" && rule.field != k_role)
    return fail(Errc::invalid, "`" + std::string(text) + "`: retention goes by target, principal, account or role");
  const auto keep = parse_keep(text.substr(equals + 1));
  if (!keep || rule.pattern.empty()) return fail(Errc::invalid, "`" + std::string(text) + "`: the time is a number with s, h or d");
  rule.keep = *keep;
  return rule;
}

Shipper::Shipper(ShipOptions options, ObjectStore& store, Clock& clock, Say say)
    : options_(std::move(options)), store_(&store), clock_(&clock), say_(std::move(say)) {}

Result<Shipper> Shipper::open(ShipOptions options, ObjectStore& store, Clock& clock, Say say) {
  Shipper shipper(std::move(options), store, clock, std::move(say));
  if (::mkdir(shipper.options_.state_dir.c_str(), 0700) != 0 && errno != EEXIST) return failed(shipper.options_.state_dir);
  if (auto loaded = shipper.load(); !loaded) return tl::unexpected(loaded.error());
  return shipper;
}

// ---------------------------------------------------------------------------------------------------- what it must not forget

Result<void> Shipper::load() {
  std::ifstream in(options_.state_dir + "/position");
  if (!in) return {};  // the first start: from the journal's beginning
  std::string line;
  const auto broken = [&] { return fail(Errc::corrupt, options_.state_dir + "/position is not right: `" + line + "`"); };
  if (!std::getline(in, line) || line != k_first_line) return broken();
  while (std::getline(in, line)) {
    std::istringstream words(line);
    std::string word;
    words >> word;
    if (word == "next") {
      if (!(words >> file_ >> offset_) || file_ == 0) return broken();
    } else if (word == "sending") {
      Intent intent;
      if (!(words >> intent.span.file >> intent.span.from >> intent.span.to >> intent.wall_us) || intent.span.from >= intent.span.to) return broken();
      intent_ = intent;
      may_be_there_ = true;
    } else if (word == "session") {
      std::string label;
      std::int64_t keep = 0;
      if (!(words >> label >> keep)) return broken();
      sessions_[label] = seconds(keep);
    } else if (word == "login") {
      std::string label;
      std::int64_t keep = 0;
      if (!(words >> label >> keep)) return broken();
      logins_[label] = keep < 0 ? std::nullopt : std::optional(seconds(keep));
    } else if (word == "class") {
      std::int64_t keep = 0, first = 0;
      if (!(words >> keep >> first)) return broken();
      first_expiry_[seconds(keep)] = first;
    } else if (word == "announced") {
      if (!(words >> announced_us_)) return broken();
    } else {
      return broken();
    }
  }
  return {};
}

Result<void> Shipper::save() {
  std::string text = std::string(k_first_line) + "\nnext " + std::to_string(file_) + " " + std::to_string(offset_) + "\n";
  if (intent_)
    text += "sending " + std::to_string(intent_->span.file) + " " + std::to_string(intent_->span.from) + " " + std::to_string(intent_->span.to) + " " +
            std::to_string(intent_->wall_us) + "\n";
  for (const auto& [label, keep] : sessions_) text += "session " + label + " " + std::to_string(keep.count()) + "\n";
  for (const auto& [label, keep] : logins_) text += "login " + label + " " + std::to_string(keep ? keep->count() : -1) + "\n";
  for (const auto& [keep, first] : first_expiry_) text += "class " + std::to_string(keep.count()) + " " + std::to_string(first) + "\n";
  if (announced_us_ != 0) text += "announced " + std::to_string(announced_us_) + "\n";
  const std::string place = options_.state_dir + "/position", beside = place + ".new";
  {
    const Fd file(::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) || ::fdatasync(file.get()) != 0) return failed(beside);
  }
  reach("state-written");
  if (::rename(beside.c_str(), place.c_str()) != 0) return failed(place);
  const Fd folder(::open(options_.state_dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder || ::fsync(folder.get()) != 0) return failed(options_.state_dir);
  reach("state-saved");
  return {};
}

// ---------------------------------------------------------------------------------------------------- what goes next

void Shipper::durable_up_to(std::uint64_t file, std::uint64_t offset) {
  if (file < durable_file_ || (file == durable_file_ && offset <= durable_offset_)) return;
  durable_file_ = file;
  durable_offset_ = offset;
  measure();
}

void Shipper::measure() {
  std::uint64_t waiting = 0;
  for (std::uint64_t file = file_; file <= durable_file_; ++file) {
    const std::uint64_t end = file == durable_file_ ? durable_offset_ : size_of(options_.journal_dir + "/" + journal_file_name(file));
    const std::uint64_t begin = file == file_ ? offset_ : 0;
    if (end > begin) waiting += end - begin;
  }
  progress_.file = file_;
  progress_.offset = offset_;
  progress_.waiting_bytes = waiting;
  progress_.spool_percent = options_.spool_bytes == 0 ? 0 : static_cast<unsigned>(std::min<std::uint64_t>(waiting * 100 / options_.spool_bytes, 100));
  if (waiting == 0) waiting_since_.reset();
  else if (!waiting_since_) waiting_since_ = clock_->boot();
  unsigned step = 0;
  for (const unsigned level : {80U, 90U, 95U, 100U})
    if (progress_.spool_percent >= level) step = level;
  const auto json = [&] { return "{\"percent\":" + std::to_string(progress_.spool_percent) + ",\"bytes\":" + std::to_string(waiting) + "}"; };
  if (step > told_percent_) say_(step == 100 ? "store.spool_full" : "store.spool_warning", {}, json());
  if (step == 0 && told_percent_ > 0) say_("store.spool_normal", {}, json());
  if (step > told_percent_ || progress_.spool_percent < 70) told_percent_ = step;
}

/// The next stretch of the journal that is worth sending, if there is one.
Result<std::optional<ParcelSpan>> Shipper::plan(bool now) {
  for (;;) {
    if (file_ > durable_file_) return std::optional<ParcelSpan>();
    const std::string path = options_.journal_dir + "/" + journal_file_name(file_);
    const std::uint64_t end = file_ == durable_file_ ? durable_offset_ : size_of(path);
    if (offset_ >= end) {
      if (file_ == durable_file_) return std::optional<ParcelSpan>();
      ++file_;
      offset_ = 0;
      continue;
    }
    const bool has_aged = waiting_since_ && clock_->boot() - *waiting_since_ >= options_.parcel_every;
    if (!now && file_ == durable_file_ && end - offset_ < options_.parcel_bytes && !has_aged) return std::optional<ParcelSpan>();
    const std::uint64_t look = std::min(end - offset_, options_.parcel_bytes + k_max_payload + k_frame_header_bytes);
    auto bytes = read_part(path, offset_, offset_ + look);
    if (!bytes) return tl::unexpected(bytes.error());
    const std::size_t head = offset_ == 0 ? std::min<std::size_t>(k_file_header_bytes, bytes->size()) : 0;
    FrameReader reader(ByteView(*bytes).subspan(head));
    Frame frame;
    while (reader.offset() + head < options_.parcel_bytes) {
      const auto next = reader.next(frame);
      if (next == FrameReader::Next::damaged)
        return fail(Errc::corrupt, path + " at byte " + std::to_string(offset_ + head + reader.offset()) + ": no frame of the journal stands there");
      if (next != FrameReader::Next::frame) break;
    }
    const std::uint64_t size = head + reader.offset();
    if (size == head && head == 0) return std::optional<ParcelSpan>();  // half a frame
    return std::optional(ParcelSpan{file_, offset_, offset_ + size});
  }
}

std::chrono::seconds Shipper::longest_keep() const {
  seconds longest = options_.keep;
  for (const auto& rule : options_.rules) longest = std::max(longest, rule.keep);
  return longest;
}

std::chrono::seconds Shipper::keep_of_entries(ByteView payload) {
  auto entries = EntriesReader::open(payload);
  if (!entries) return longest_keep();
  const std::string label(seal::text_of(entries->label()));
  if (const auto known = sessions_.find(label); known != sessions_.end()) return known->second;
  seconds keep = options_.keep;
  const auto first = entries->next();
  const auto header = first ? SessionTrail::header_of(*first) : std::nullopt;
  if (!header || header->sequence != 1) return longest_keep();  // whose beginning it did not see is kept longest
  const ByteView body = first->subspan(seal::k_entry_header_bytes, header->size);
  const std::uint32_t length = body.size() < 4 ? 0 : seal::get_number<std::uint32_t>(body.data());
  boost::system::error_code error;
  const auto json = length <= body.size() - std::min<std::size_t>(4, body.size()) ? boost::json::parse(text_of(body.subspan(4, length)), error) : boost::json::value();
  const auto* const object = error ? nullptr : json.if_object();
  if (object == nullptr) return longest_keep();
  bool matched = false;
  const auto take = [&](seconds time) {
    keep = matched ? std::max(keep, time) : time;
    matched = true;
  };
  const auto login = logins_.find(label);
  for (const auto& rule : options_.rules) {
    if (rule.field == k_role) {
      if (login == logins_.end()) take(rule.keep);  // whose login it did not see may have had that role
      continue;
    }
    const auto* const value = object->if_contains(rule.field);
    if (value != nullptr && value->is_string() && matches_pattern(rule.pattern, std::string_view(value->get_string()))) take(rule.keep);
  }
  if (login != logins_.end()) {
    if (login->second) take(*login->second);
    logins_.erase(login);
  }
  sessions_[label] = keep;
  begun_.emplace_back(label, keep);
  return keep;
}

/// A login is stored before its session's first entry, so its roles are known when that one comes.
void Shipper::take_login(ByteView payload) {
  const auto event = read_event(payload);
  if (!event || event->name != "auth.succeeded" || event->said_by != SaidBy::authority || event->session.empty()) return;
  boost::system::error_code error;
  const auto json = boost::json::parse(event->json, error);
  const auto* const object = error ? nullptr : json.if_object();
  const auto* const roles = object == nullptr ? nullptr : object->if_contains("roles");
  if (roles == nullptr || !roles->is_array()) return;
  std::optional<seconds> keep;
  for (const auto& rule : options_.rules)
    if (rule.field == k_role && std::any_of(roles->get_array().begin(), roles->get_array().end(), [&](const auto& role) {
          return role.is_string() && matches_pattern(rule.pattern, std::string_view(role.get_string()));
        }))
      keep = std::max(keep.value_or(rule.keep), rule.keep);
  logins_[event->session] = keep;
  if (logins_.size() > k_most_logins) logins_.erase(logins_.begin());  // labels begin with their time
}

/// Lane 1: file headers, events, heads, checkpoints, states. Then one lane for each time that sessions' entries are kept.
Result<void> Shipper::sort_frames(ByteView bytes, std::vector<Lane>& lanes, std::vector<Note>& notes) {
  const ParcelSpan span = intent_->span;
  lanes.push_back({longest_keep(), {span, 1, 1, {}}});
  const auto add = [&](std::size_t lane, std::uint64_t offset, ByteView piece) {
    auto& pieces = lanes[lane].parcel.pieces;
    if (!pieces.empty() && pieces.back().offset + pieces.back().bytes.size() == offset)
      pieces.back().bytes = ByteView(pieces.back().bytes.data(), pieces.back().bytes.size() + piece.size());
    else pieces.push_back({offset, piece});
  };
  const std::size_t head = span.from == 0 ? std::min<std::size_t>(k_file_header_bytes, bytes.size()) : 0;
  if (head > 0) add(0, 0, bytes.first(head));
  const bool by_role = std::any_of(options_.rules.begin(), options_.rules.end(), [](const RetentionRule& rule) { return rule.field == k_role; });
  FrameReader reader(bytes.subspan(head));
  Frame frame;
  for (;;) {
    const std::size_t at = head + reader.offset();
    const auto next = reader.next(frame);
    if (next == FrameReader::Next::end) break;
    if (next != FrameReader::Next::frame) return fail(Errc::corrupt, "the journal changed behind its durable end");
    const ByteView whole = bytes.subspan(at, head + reader.offset() - at);
    std::size_t lane = 0;
    if (frame.type == FrameType::entries && !options_.rules.empty()) {
      const seconds keep = keep_of_entries(frame.payload);
      while (++lane < lanes.size() && lanes[lane].keep != keep) {
      }
      if (lane == lanes.size()) lanes.push_back({keep, {span, 1, 1, {}}});
    } else if (frame.type == FrameType::event && by_role) {
      take_login(frame.payload);
    } else if (frame.type == FrameType::head) {
      const auto session_head = read_head(frame.payload);
      if (session_head && (session_head->why == HeadWhy::end || session_head->why == HeadWhy::truncated)) {
        sessions_.erase(std::string(seal::text_of(session_head->label)));
        logins_.erase(std::string(seal::text_of(session_head->label)));
      }
    } else if (frame.type == FrameType::checkpoint) {
      const auto note = crypto::parse_note(text_of(frame.payload));
      const auto checkpoint = note ? crypto::parse_checkpoint(note->body) : Result<crypto::Checkpoint>(tl::unexpected(note.error()));
      if (checkpoint) notes.push_back({checkpoint->size, std::string(text_of(frame.payload))});
    }
    add(lane, span.from + at, whole);
    if (frame.type == FrameType::entries && !held_.empty())
      if (const auto entries = EntriesReader::open(frame.payload); entries && held_.contains(std::string(seal::text_of(entries->label())))) lanes[lane].is_held = true;
  }
  std::erase_if(lanes, [](const Lane& lane) { return lane.parcel.pieces.empty(); });
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    lanes[i].parcel.lane = static_cast<std::uint32_t>(i + 1);
    lanes[i].parcel.lanes = static_cast<std::uint32_t>(lanes.size());
  }
  return {};
}

// ---------------------------------------------------------------------------------------------------- sending

Result<void> Shipper::send() {
  const ParcelSpan span = intent_->span;
  auto bytes = read_part(options_.journal_dir + "/" + journal_file_name(span.file), span.from, span.to);
  if (!bytes) return tl::unexpected(bytes.error());
  std::vector<Lane> lanes;
  std::vector<Note> notes;
  const auto sessions_before = sessions_;
  const auto logins_before = logins_;
  begun_.clear();
  if (auto sorted = sort_frames(*bytes, lanes, notes); !sorted) return sorted;
  const WallTime began{std::chrono::microseconds(intent_->wall_us)};
  const auto keep_for = [&](seconds keep) {
    ObjectKeep out;
    if (keep > seconds(0)) {
      out.until = began + keep;
      out.compliance = options_.compliance;
    }
    return out;
  };
  Result<void> done;
  for (const Lane& lane : lanes) {
    const Bytes body = pack_parcel(lane.parcel);
    const std::string key = parcel_key(options_.node, lane.parcel, crypto::sha256(body));
    if (may_be_there_) {  // not every store refuses a second object under one key
      const auto facts = store_->head(key);
      if (facts && facts->size == body.size() && (!facts->sha256 || *facts->sha256 == crypto::sha256(body))) continue;
    }
    ObjectKeep how = keep_for(lane.keep);
    how.legal_hold = lane.is_held;
    done = store_->put(key, body, how);
    if (!done && how.legal_hold && done.error().code == Errc::invalid) {  // a store without object lock: what is recorded still has to leave
      if (!std::exchange(told_no_hold_, true)) say_("store.hold_refused", {}, "{\"reason\":" + json_quote(done.error().detail) + "}");
      how.legal_hold = false;
      done = store_->put(key, body, how);
    }
    if (!done) break;
    reach("object-sent");
  }
  for (const Note& note : notes) {
    if (!done) break;
    done = store_->put(checkpoint_key(options_.node, note.size, note.text), bytes_of(note.text), keep_for(longest_keep()));
    reach("checkpoint-sent");
  }
  may_be_there_ = !done;
  if (!done) {
    sessions_ = sessions_before;
    logins_ = logins_before;
    return done;
  }
  for (const Lane& lane : lanes)
    if (lane.keep > seconds(0)) first_expiry_.try_emplace(lane.keep, keep_for(lane.keep).until->time_since_epoch().count());
  for (const auto& [label, keep] : begun_) say_("recording.retention", label, "{\"keep_seconds\":" + std::to_string(keep.count()) + "}");
  file_ = span.file;
  offset_ = span.to;
  intent_.reset();
  ++progress_.parcels;
  return save();
}

void Shipper::announce_expiries() {
  const std::int64_t now = clock_->wall().time_since_epoch().count();
  for (const auto& [keep, first] : first_expiry_) {
    const std::int64_t every = std::min<std::int64_t>(k_announce_every_us, std::chrono::microseconds(keep).count());
    if (now < first || now - announced_us_ < every) continue;
    // Signed by the next checkpoint: what was held until then may be gone, lawfully.
    say_("retention.expired", {}, "{\"until_us\":" + std::to_string(now) + "}");
    announced_us_ = now;
    static_cast<void>(save());
    return;
  }
}

milliseconds Shipper::step() {
  const BootTime now = clock_->boot();
  announce_expiries();
  if (now < next_try_) return std::chrono::ceil<milliseconds>(next_try_ - now);
  Result<void> done;
  if (!intent_) {
    auto next = plan(false);
    if (!next) done = tl::unexpected(next.error());
    else if (!*next) {
      if (!waiting_since_) return k_idle;
      return std::clamp(std::chrono::ceil<milliseconds>(*waiting_since_ + options_.parcel_every - now), milliseconds(1), k_idle);
    } else {
      intent_ = Intent{**next, clock_->wall().time_since_epoch().count()};
      done = save();
      if (!done) intent_.reset();
    }
  }
  if (done && intent_) {
    reach("before-send");
    done = send();
  }
  if (done) {
    pause_ = milliseconds(0);
    progress_.trouble.clear();
    if (std::exchange(told_trouble_, false)) say_("store.reachable", {}, "{\"waiting_bytes\":" + std::to_string(progress_.waiting_bytes) + "}");
    waiting_since_.reset();
    measure();
    return milliseconds(0);
  }
  pause_ = pause_ == milliseconds(0) ? k_first_pause : std::min(pause_ * 2, k_longest_pause);
  next_try_ = clock_->boot() + pause_;
  progress_.trouble = done.error().detail;
  if (!std::exchange(told_trouble_, true))
    say_("store.unreachable", {}, "{\"reason\":" + json_quote(done.error().detail) + ",\"kind\":\"" + std::string(name_of(done.error().code)) + "\"}");
  measure();
  return pause_;
}

bool Shipper::finish(milliseconds within) {
  const BootTime until = clock_->boot() + within;
  while (clock_->boot() < until) {
    if (!intent_) {
      const auto next = plan(true);
      if (!next) return false;
      if (!*next) return true;
      intent_ = Intent{**next, clock_->wall().time_since_epoch().count()};
      if (!save()) return false;
    }
    if (!send()) return false;
    measure();
  }
  return false;
}

}  // namespace sallyport::recorder
