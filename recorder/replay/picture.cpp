#include "recorder/replay/picture.h"

#include <algorithm>

#include "platform/crypto/aead.h"
#include "platform/crypto/hkdf.h"
#include "platform/crypto/random.h"
#include "platform/seal/entry.h"

namespace sallyport::replay {
namespace {

using seal::get_number;
using seal::put_number;

constexpr std::size_t k_salt_bytes = 16;

Bytes screen_context(const SessionId& session, const KeyFrame& where) {
  Bytes context = copy_of(bytes_of(session.view()));
  context.resize(context.size() + 24);
  std::byte* at = context.data() + context.size() - 24;
  put_number(at, where.channel);
  put_number(at + 4, where.sequence);
  put_number(at + 12, where.boot_us);
  put_number(at + 20, where.segment);
  return context;
}

crypto::Aes256Gcm screen_cipher(const Secret& session_key, ByteView salt) {
  const Secret key = crypto::hkdf_sha256(session_key.reveal(), salt, "sallyport key frame v1", crypto::k_aead_key_size);
  return crypto::Aes256Gcm(key.reveal());
}

}  // namespace

void Pen::feed(std::string_view bytes) {
  for (const char byte : bytes) {
    const auto token = parser_.feed(byte);
    in_sequence_ = token == EscapeParser::Token::none;
    if (token == EscapeParser::Token::csi) csi();
    else if (token == EscapeParser::Token::escape) escape();
    else if (token == EscapeParser::Token::control && (byte == '\x0e' || byte == '\x0f')) shift_ = byte;
  }
}

void Pen::csi() {
  const std::string_view parameters = parser_.parameters();
  if (parser_.final_byte() == 'r' && parameters.find_first_not_of("0123456789;") == std::string_view::npos) region_ = parameters;
  if (parser_.final_byte() != 'm' || parameters.find_first_not_of("0123456789;:") != std::string_view::npos) return;
  if (parameters.empty() || parameters == "0" || pen_.size() > 256) pen_.clear();
  if (!parameters.empty() && parameters != "0") pen_ += "\x1b[" + std::string(parameters) + "m";
}

void Pen::escape() {
  const std::string_view raw = parser_.raw();
  if (raw ==
      "\x1b"
      "c")
    *this = Pen();
  if (raw.size() == 3 && raw[1] == '(') charset_ = raw;
}

ScreenState Picture::state() const {
  const auto cursor = screen_.cursor();
  const std::uint64_t row = cursor.line >= screen_.top() ? cursor.line - screen_.top() : 0;
  std::string paint =
      screen_.repaint() + pen_.before_cursor() + "\x1b[" + std::to_string(row + 1) + ";" + std::to_string(cursor.column + 1) + "H" + pen_.after_cursor();
  return {screen_.columns(), screen_.rows(), std::move(paint)};
}

Bytes seal_screen(const Secret& session_key, const SessionId& session, const KeyFrame& where, const ScreenState& state) {
  Bytes sealed(k_salt_bytes + 8 + state.paint.size() + crypto::k_aead_tag_size);
  const std::span<std::byte> all(sealed);
  crypto::system_random().fill(all.first(k_salt_bytes));  // a key of its own for each frame: its nonce is always zero
  const auto plain = all.subspan(k_salt_bytes, 8 + state.paint.size());
  put_number(plain.data(), state.columns);
  put_number(plain.data() + 4, state.rows);
  std::copy_n(bytes_of(state.paint).begin(), state.paint.size(), plain.begin() + 8);
  crypto::Aes256Gcm cipher = screen_cipher(session_key, all.first(k_salt_bytes));
  cipher.seal(crypto::nonce_of(0), screen_context(session, where), plain, plain.data(), all.last<crypto::k_aead_tag_size>());
  return sealed;
}

Result<ScreenState> open_screen(const Secret& session_key, const SessionId& session, const KeyFrame& frame) {
  if (frame.sealed.size() < k_salt_bytes + 8 + crypto::k_aead_tag_size) return fail(Errc::corrupt, "a key frame is damaged");
  const ByteView all(frame.sealed);
  Bytes plain(all.size() - k_salt_bytes - crypto::k_aead_tag_size);
  crypto::Aes256Gcm cipher = screen_cipher(session_key, all.first(k_salt_bytes));
  if (!cipher.open(crypto::nonce_of(0), screen_context(session, frame), all.subspan(k_salt_bytes, plain.size()), all.last<crypto::k_aead_tag_size>(),
                   plain.data()))
    return fail(Errc::corrupt, "a key frame is damaged");
  ScreenState state{get_number<std::uint32_t>(plain.data()), get_number<std::uint32_t>(plain.data() + 4), std::string(text_of(ByteView(plain).subspan(8)))};
  if (state.columns == 0 || state.columns > terminal::k_most_columns || state.rows == 0 || state.rows > terminal::k_most_rows)
    return fail(Errc::corrupt, "a key frame is damaged");
  return state;
}

}  // namespace sallyport::replay
