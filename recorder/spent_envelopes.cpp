#include "recorder/spent_envelopes.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>

#include "platform/crypto/ulid.h"
#include "platform/model/json_text.h"
#include "platform/os/fd.h"
#include "recorder/journal/frame.h"
#include "recorder/journal/journal.h"

namespace sallyport::recorder {
namespace {

bool spends(std::string_view name) { return name == "glass.opened" || name == "glass.revoked"; }

std::string envelope_in(std::string_view json) {
  const auto fields = JsonFields::parse(json);
  const std::string id = fields ? std::string(fields->get("envelope")) : std::string();
  return crypto::is_ulid(id) ? id : std::string();
}

}  // namespace

SpentEnvelopes::SpentEnvelopes(const std::string& journal_dir, std::string file) : file_(std::move(file)) {
  std::ifstream in(file_);
  if (!in) read_journal(journal_dir);
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string id;
    std::string how;
    if (words >> id >> how) spent_.emplace(id, how);
  }
}

void SpentEnvelopes::read_journal(const std::string& journal_dir) {
  std::string lines;
  for (const std::uint64_t number : journal_files(journal_dir)) {
    std::ifstream in(journal_dir + "/" + journal_file_name(number), std::ios::binary);
    const std::string content{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    if (content.size() <= k_file_header_bytes) continue;
    FrameReader frames(bytes_of(content).subspan(k_file_header_bytes));
    for (Frame frame; frames.next(frame) == FrameReader::Next::frame;) {
      if (frame.type != FrameType::event) continue;
      const auto event = read_event(frame.payload);
      if (!event || event->said_by != SaidBy::authority || !spends(event->name)) continue;
      if (const std::string id = envelope_in(event->json); !id.empty() && spent_.emplace(id, event->name).second) lines += id + " " + event->name + "\n";
    }
  }
  static_cast<void>(keep(lines));  // else it is read again at the next start
}

Result<void> SpentEnvelopes::keep(const std::string& lines) const {
  const Fd out(::open(file_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!out || ::write(out.get(), lines.data(), lines.size()) != static_cast<ssize_t>(lines.size()) || ::fsync(out.get()) != 0)
    return fail(Errc::unavailable, file_ + ": " + std::strerror(errno));
  return {};
}

Result<void> SpentEnvelopes::take_event(std::string_view name, std::string_view json) {
  if (!spends(name)) return {};
  const std::string id = envelope_in(json);
  if (id.empty() || spent_.contains(id)) return {};
  if (auto kept = keep(id + " " + std::string(name) + "\n"); !kept) return kept;
  spent_.emplace(id, name);
  return {};
}

std::string SpentEnvelopes::how(const std::string& envelope) const {
  const auto found = spent_.find(envelope);
  return found == spent_.end() ? std::string() : found->second;
}

}  // namespace sallyport::recorder
