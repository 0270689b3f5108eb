#include "gateway/ssh/refusal.h"

#include <fmt/format.h>

#include <cstdint>

namespace sallyport::gateway {

Notice notice_of(const control::Refusal& refusal) {
  Notice notice = make_notice(refusal.code().empty() ? "SP-5000" : refusal.code(), refusal.why(), refusal.reference());
  if (!refusal.what().empty()) notice.what = refusal.what();
  if (!refusal.remedy().empty()) notice.remedy = refusal.remedy();
  return notice;
}

Notice notice_of_error(const Error& error) {
  switch (error.code) {
    case Errc::unavailable:
    case Errc::cancelled: return make_notice("SP-5004");
    case Errc::sealed: return make_notice("SP-3011");
    case Errc::denied: return make_notice("SP-2001", error.detail);
    case Errc::not_found:
    case Errc::conflict:
    case Errc::invalid:
    case Errc::corrupt:
    case Errc::internal: break;
  }
  return make_notice("SP-5000", error.detail);
}

Notice notice_of_answer(const Result<control::Received>& answer) {
  if (!answer) return notice_of_error(answer.error());
  if (!answer->envelope.has_channel_answer()) return make_notice("SP-5000", "the authority gave another answer than a decision");
  const auto& decision = answer->envelope.channel_answer();
  if (decision.allowed()) return {};
  return notice_of(decision.refusal());
}

Notice notice_of_filter(std::string_view error) {
  const Notice changed = make_notice("SP-6006");
  return error == render(changed) ? changed : make_notice("SP-5006", std::string(error));
}

std::string printable(std::string_view text, std::size_t limit) {
  std::string out(text.substr(0, limit));
  for (char& c : out)
    if (c < 0x20 || c > 0x7e) c = '?';
  return out;
}

std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (std::size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += text[i++];
    } else if (c < 0x20 || c == 0x7f) {
      out += fmt::format("\\u{:04x}", c);
      ++i;
    } else if (c < 0x80) {
      out += text[i++];
    } else {
      const std::size_t size = c >= 0xf0 && c < 0xf5 ? 4 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xc2 && c < 0xe0 ? 2 : 0;
      bool sound = size != 0 && i + size <= text.size();
      std::uint32_t point = size == 2 ? c & 0x1fu : size == 3 ? c & 0x0fu : c & 0x07u;
      for (std::size_t k = 1; sound && k < size; ++k) {
        const auto next = static_cast<unsigned char>(text[i + k]);
        sound = (next & 0xc0u) == 0x80;
        point = (point << 6) | (next & 0x3fu);
      }
      if (sound && size == 3) sound = point >= 0x800 && (point < 0xd800 || point > 0xdfff);
      if (sound && size == 4) sound = point >= 0x10000 && point <= 0x10ffff;
      if (sound) {
        out.append(text.substr(i, size));
        i += size;
      } else {
        out += "\xef\xbf\xbd";
        ++i;
      }
    }
  }
  out += '"';
  return out;
}

}  // namespace sallyport::gateway
