// The small parsers of hostile text: JSON fields, signed notes, terminal output.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "platform/crypto/base64.h"
#include "platform/crypto/note.h"
#include "platform/crypto/ulid.h"
#include "platform/model/json_text.h"
#include "recorder/replay/escape_parser.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sallyport;
  const std::string_view text(reinterpret_cast<const char*>(data), size);

  if (const auto fields = JsonFields::parse(text))
    for (const auto& [name, value] : fields->all()) (void)fields->number(name);
  // What was quoted comes back as it was shown.
  const auto again = JsonFields::parse("{\"a\":" + json_quote(text) + "}");
  if (!again || json_quote(again->get("a")) != json_quote(text)) std::abort();

  if (const auto note = crypto::parse_note(text)) (void)crypto::parse_checkpoint(note->body);
  if (const auto checkpoint = crypto::parse_checkpoint(text); checkpoint && crypto::checkpoint_body(*checkpoint) != text) std::abort();
  if (const auto key = crypto::parse_vkey(text)) (void)crypto::vkey_of(*key);
  if (const auto decoded = crypto::from_base64(text); decoded && crypto::to_base64(*decoded) != text) std::abort();
  if (crypto::is_ulid(text)) (void)crypto::ulid_time(text);

  // The filter lets nothing through that a second filter would still take away, in whatever pieces it comes.
  replay::TerminalFilter whole, pieces, second;
  std::string out, out_in_pieces, twice;
  whole.feed(text, out);
  for (const char c : text) pieces.feed(std::string_view(&c, 1), out_in_pieces);
  second.feed(out, twice);
  if (out != out_in_pieces || twice != out) std::abort();
  replay::PlainText plain;
  std::string lines;
  plain.feed(text, lines);
  plain.finish(lines);
  return 0;
}
