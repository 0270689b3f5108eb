#include "app/verbs/witnessing.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "app/verbs/exit_codes.h"
#include "app/verbs/recording_proof.h"
#include "platform/crypto/base64.h"
#include "platform/crypto/ed25519.h"
#include "platform/crypto/random.h"
#include "platform/os/fd.h"

namespace sallyport::app {
namespace {

namespace json = boost::json;

constexpr std::string_view k_prefix = "sallyport witness key 1 ";

std::optional<std::string> load_text(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(in), {});
}

Result<void> write_all(const Fd& file, std::string_view text, const std::string& name) {
  const bool is_written = file && ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(file.get()) == 0;
  if (!is_written) return fail(errno == EEXIST ? Errc::conflict : Errc::unavailable, "writing " + name + ": " + std::strerror(errno));
  return {};
}

struct WitnessKey {
  std::string name;
  crypto::Ed25519PrivateKey key;
};

Result<WitnessKey> load_key(const std::string& file) {
  auto text = load_text(file);
  if (!text) return fail(Errc::not_found, "cannot read " + file + "; make a key with `sallyport witness key`");
  const std::string_view line(*text);
  const std::size_t space = line.find(' ', k_prefix.size());
  const std::size_t end = line.find('\n');
  if (!line.starts_with(k_prefix) || space == std::string_view::npos || end == std::string_view::npos || end < space)
    return fail(Errc::invalid, file + " is no key of a witness");
  std::string name(line.substr(k_prefix.size(), space - k_prefix.size()));
  const auto seed = crypto::from_base64(line.substr(space + 1, end - space - 1));
  auto key = seed ? crypto::Ed25519PrivateKey::from_seed(*seed) : Result<crypto::Ed25519PrivateKey>(fail(Errc::invalid, ""));
  if (!key) return fail(Errc::invalid, file + " is no key of a witness");
  return WitnessKey{std::move(name), std::move(*key)};
}

/// Co-signed there already.
bool is_in(const std::string& file, const crypto::Note& note) {
  const auto notes = replay::read_checkpoint_file(file);
  return notes && std::any_of(notes->begin(), notes->end(), [&](const auto& each) { return each.body == note.body; });
}

}  // namespace

int run_witness_key(const WitnessOptions& options) {
  const auto key = crypto::Ed25519PrivateKey::generate(crypto::system_random());
  const auto vkey = crypto::vkey_of(crypto::make_note_key(options.name, key.public_key()));
  if (!crypto::parse_vkey(vkey)) return report(Error{Errc::invalid, "a witness's name has no spaces and no plus sign: " + options.name});
  const Fd file(::open(options.key.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  const Secret seed = key.seed();
  if (auto written = write_all(file, std::string(k_prefix) + options.name + " " + crypto::to_base64(seed.reveal()) + "\n", options.key); !written)
    return report(written.error());
  std::printf("%s\n", vkey.c_str());
  return k_exit_ok;
}

int run_witness_sign(const WitnessOptions& options) {
  auto own = load_key(options.key);
  if (!own) return report(own.error());
  RecordingPlace place = options.place;
  if (!options.state.empty()) place.kept = options.state;
  if (!may_keep(place)) return report(Error{Errc::invalid, "a witness remembers what it saw: give it a folder with --state, and no --forget"});
  const auto verified = verify(place, {}, {}, {});
  if (!verified) return report(verified.error());
  const auto& result = verified->report;
  if (verified->known.keys.empty()) return report(Error{Errc::invalid, "whose log is it? give the gateway's checkpoint key with --checkpoint-key"});
  if (!result.is_clean()) {
    print_findings(stderr, result.findings, 20);
    note("sallyport: nothing was signed: the log is not the one this witness saw before, or it is damaged");
    return k_exit_verification_failed;
  }
  if (!result.newest_checkpoint || !result.newest_parsed) return report(Error{Errc::not_found, "the log has no checkpoint yet"});
  // A verifier that could not remember would sign another past the next time.
  const auto kept = kept_of(place).newest(verified->known.keys.front().name, verified->known.keys.front().id);
  if (!kept || kept->body != result.newest_checkpoint->body)
    return report(Error{Errc::unavailable, "nothing was signed: the newest checkpoint could not be kept, or an older one than before was shown"});
  const bool is_new = !is_in(options.into, *result.newest_checkpoint);
  if (is_new) {
    auto co_signed = crypto::parse_note(crypto::join_note(result.newest_checkpoint->body, crypto::sign_note_line(result.newest_checkpoint->body, own->name, own->key)));
    if (!co_signed) return report(co_signed.error());
    crypto::Note both = *result.newest_checkpoint;
    both.signatures.push_back(co_signed->signatures.front());
    const Fd file(::open(options.into.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
    if (auto written = write_all(file, replay::text_of_note(both) + "\n", options.into); !written) return report(written.error());
  }
  if (options.common.format != Format::table)
    print_object(options.common, json::object{{"signed", is_new}, {"leaves", result.newest_parsed->size}, {"witness", own->name}});
  else
    std::printf(is_new ? "signed: %llu leaves\n" : "nothing new since %llu leaves\n", static_cast<unsigned long long>(result.newest_parsed->size));
  return k_exit_ok;
}

}  // namespace sallyport::app
