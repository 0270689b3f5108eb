// app/verbs/text_keys.h -- the keys of sealed event texts: by a recipient's key file, else from the gateway.
#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <string_view>

#include "app/verbs/console.h"
#include "platform/seal/sealed_text.h"

namespace CLI {
class App;
}

namespace sallyport::app {

struct TextKeySource {
  std::string recipient_key;   ///< PEM file; with it nothing is asked of the gateway
  std::string recipient_cert;  ///< PEM file
  std::string reason;          ///< stands in the audit log
};

/// Opens sealed texts of events that are read in their order.
class TextReader {
 public:
  explicit TextReader(seal::TextKeys::Unwrap unwrap) : keys_(std::move(unwrap)) {}
  /// Fields of an `audit.text_key`.
  void note_key(std::string_view json);
  /// Puts the texts where `sealed` stands, also in what a session reported; leaves it there when they do not open.
  void open(std::string_view event, std::string_view session, boost::json::object& fields);
  /// The same with the event's JSON.
  [[nodiscard]] std::string opened(std::string_view event, std::string_view session, std::string_view text);

 private:
  seal::TextKeys keys_;
};

/// Says on stderr, once, why a key was not given; what it would open stays sealed. `common` must outlive it.
[[nodiscard]] seal::TextKeys::Unwrap text_keys_of(const Common& common, TextKeySource source);
/// --unseal without a way to do it.
constexpr const char* k_unseal_needs = "--unseal needs --reason, which stands in the audit log, or --recipient-key and --recipient-cert";
/// --recipient-key and --recipient-cert.
void add_text_key_options(CLI::App& verb, TextKeySource& source);

}  // namespace sallyport::app
