#include "policy/authority/guard_files.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <utility>

namespace sallyport::authority {
namespace {

std::string key_of(std::string_view principal, std::string_view target) {
  std::string key(principal);
  key += '\n';
  key += target;
  return key;
}

}  // namespace

GuardFileTable::~GuardFileTable() {
  while (!places_.empty()) drop_place(places_.begin());
}

void GuardFileTable::forget(Place& place, std::map<std::string, File, std::less<>>::iterator file) {
  place.text -= file->second.text.size();
  text_ -= file->second.text.size();
  OPENSSL_cleanse(file->second.text.data(), file->second.text.size());
  place.files.erase(file);
}

void GuardFileTable::drop_place(std::map<std::string, Place, std::less<>>::iterator place) {
  while (!place->second.files.empty()) forget(place->second, place->second.files.begin());
  turns_.erase(place->second.turn);
  places_.erase(place);
}

void GuardFileTable::drop_old(Place& place, WallTime now) {
  for (auto file = place.files.begin(); file != place.files.end();) {
    const auto next = std::next(file);
    if (now - file->second.at > k_life) forget(place, file);
    file = next;
  }
}

void GuardFileTable::drop_oldest(Place& place) {
  const auto oldest = std::min_element(place.files.begin(), place.files.end(), [](const auto& a, const auto& b) { return a.second.at < b.second.at; });
  if (oldest != place.files.end()) forget(place, oldest);
}

void GuardFileTable::note(std::string_view principal, std::string_view target, const control::GuardFile& file, WallTime now) {
  if (file.path().empty()) return;
  const std::string key = key_of(principal, target);
  auto found = places_.find(key);
  if (found == places_.end()) {
    if (places_.size() >= k_most_places) drop_place(places_.find(turns_.back()));
    turns_.push_front(key);
    found = places_.emplace(key, Place{}).first;
    found->second.turn = turns_.begin();
  } else {
    turns_.splice(turns_.begin(), turns_, found->second.turn);
  }
  Place& place = found->second;
  if (const auto before = place.files.find(file.path()); before != place.files.end()) forget(place, before);
  drop_old(place, now);
  const bool keeps_text = file.text_known() && file.text().size() <= k_most_text;
  const std::size_t size = keeps_text ? file.text().size() : 0;
  while (!place.files.empty() && (place.files.size() >= k_most_files || place.text + size > k_most_place_text)) drop_oldest(place);
  while (text_ + size > k_most_all_text && turns_.back() != key) drop_place(places_.find(turns_.back()));
  File made;
  made.sha256 = file.sha256();
  made.size = file.size();
  made.text_known = keeps_text;
  if (keeps_text) made.text = file.text();
  made.at = now;
  place.text += size;
  text_ += size;
  place.files.emplace(file.path(), std::move(made));
}

void GuardFileTable::tell(std::string_view principal, std::string_view target, WallTime now, control::ChannelAnswer& answer) {
  const auto found = places_.find(key_of(principal, target));
  if (found == places_.end()) return;
  drop_old(found->second, now);
  if (found->second.files.empty()) return drop_place(found);
  for (const auto& [path, file] : found->second.files) {
    control::GuardFile* out = answer.add_guard_files();
    out->set_path(path);
    out->set_sha256(file.sha256);
    out->set_size(file.size);
    out->set_text(file.text);
    out->set_text_known(file.text_known);
  }
}

}  // namespace sallyport::authority
