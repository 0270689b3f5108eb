// policy/identity/envelope.h -- a break-glass envelope: made and signed in advance, opened once. Pure: no I/O, no clock.
// docs/format/envelope.md is the format. For hostile input.
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "platform/crypto/random.h"
#include "platform/crypto/ssh_signature.h"
#include "platform/model/clock.h"
#include "platform/model/result.h"
#include "platform/model/secret.h"
#include "policy/access/snapshot.h"

namespace sallyport::policy {

/// For `ssh-keygen -Y sign -n`.
constexpr std::string_view k_envelope_namespace = "break-glass@sallyport";
constexpr std::size_t k_max_envelope = 64 * 1024;

struct Envelope {
  struct Approver {
    std::string name;
    std::string code_hash;  ///< see hash_code()
  };
  std::string id;
  std::string principal;
  std::vector<std::string> keys;  ///< blobs: she opens it with one of these
  std::vector<std::string> targets;
  std::vector<std::string> accounts;
  WallTime not_before{};
  WallTime not_after{};
  std::chrono::seconds lasts{};   ///< what it grants, from the opening on
  unsigned needed = 2;            ///< signatures, and codes
  std::vector<Approver> approvers;
  bool drill = false;             ///< made to be opened for practice
  std::string reason;

  /// What is signed. parse_envelope() gives the same envelope back.
  [[nodiscard]] std::string text() const;
};

/// An envelope as it is stored: its text, then signatures.
struct SignedEnvelope {
  Envelope envelope;
  std::string text;  ///< exactly the bytes that are signed
  std::vector<crypto::SshFileSignature> signatures;
};

/// Errc::invalid names the line.
[[nodiscard]] Result<SignedEnvelope> parse_envelope(std::string_view file);

/// Errc::denied: why it opens nothing. The error's detail begins with the code of the message catalogue ("SP-9902 ...").
/// Only the policy's keys count, each approver once, never the principal, neither by name nor by key.
[[nodiscard]] Result<std::vector<std::string>> check_signatures(const SignedEnvelope& sealed, const Snapshot& policy, WallTime now);
/// The same for its times, and for what the policy must still say: principal, targets, accounts.
[[nodiscard]] Result<void> check_envelope(const Envelope& envelope, const Snapshot& policy, WallTime now);

/// A code for one approver, "XXXX-XXXX-XXXX-XXXX-XXXX": 100 bits.
[[nodiscard]] Secret make_code(crypto::Random& random);
/// What the envelope holds of it. Case, spaces and dashes of the code do not matter.
[[nodiscard]] std::string hash_code(std::string_view envelope, std::string_view approver, const Secret& code);
/// Whose codes these are: names, each once, the principal's not among them.
[[nodiscard]] std::vector<std::string> codes_of(const Envelope& envelope, std::span<const Secret> codes);

}  // namespace sallyport::policy
