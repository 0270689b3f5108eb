// vault/answers.h -- small words that every answer of the vault is made of.
#pragma once

#include <openssl/crypto.h>

#include <string>

#include "platform/control/link.h"
#include "platform/model/bytes.h"
#include "vault/switchboard.h"

namespace sallyport::vault {

inline void refuse(Switchboard& board, LineId to, const control::Envelope& question, const Error& error) { board.send(to, control::failure_reply(question, error)); }

/// Sends the error, if there is one, as the answer.
template <class T>
bool refused(Switchboard& board, LineId to, const control::Envelope& question, const Result<T>& result) {
  if (result) return false;
  refuse(board, to, question, result.error());
  return true;
}

inline void wipe(std::string* text) {
  if (!text->empty()) OPENSSL_cleanse(text->data(), text->size());
  text->clear();
}

inline std::string text_copy(ByteView bytes) { return std::string(text_of(bytes)); }
inline Bytes bytes_copy(const std::string& text) { return copy_of(bytes_of(text)); }

}  // namespace sallyport::vault
