#include "gateway/ssh/written_files.h"

#include <algorithm>

#include "gateway/ssh/authority_client.h"

namespace sallyport::gateway {

void tell_written(AuthorityClient& authority, const WrittenFile& file) {
  const auto is_plain = [](char c) { return c >= ' ' && c <= '~'; };
  if (file.path.empty() || file.path.size() > 1024 || !std::all_of(file.path.begin(), file.path.end(), is_plain)) return;
  control::Envelope told;
  control::GuardFile* out = told.mutable_guard_files()->add_files();
  out->set_path(file.path);
  out->set_sha256(file.sha256);
  out->set_size(file.size);
  if (file.text && file.text->size() <= WrittenFile::k_most_text && file.text->find('\0') == std::string::npos) {
    out->set_text(*file.text);
    out->set_text_known(true);
  }
  authority.tell(std::move(told));
}

}  // namespace sallyport::gateway
