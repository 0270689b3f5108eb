// The recorder's checkpoints: when one is due, asked of the vault, journalled and told to witnesses.
#include <algorithm>

#include "platform/crypto/note.h"
#include "recorder/pace.h"
#include "recorder/recorder.h"

namespace sallyport::recorder {
namespace {

constexpr BootTime k_signature_within = std::chrono::seconds(10);
constexpr std::uint32_t k_missed_alarm = 5;

}  // namespace

void Recorder::checkpoint_when_due() {
  if (!journal_) return;
  const BootTime now = clock_.boot();
  if (asked_ && now >= asked_->until) {
    asked_.reset();
    if (++checkpoints_missed_ == k_missed_alarm) ring_event({}, "checkpoint.overdue", "{\"missed\":5}");
    next_checkpoint_ = now + std::min(k_first_checkpoint, boot_of(options_.checkpoint_interval));
  }
  if (grew_ && !asked_ && now >= next_checkpoint_) ask_checkpoint();
}

void Recorder::ask_checkpoint() {
  const BootTime now = clock_.boot();
  next_checkpoint_ = now + boot_of(options_.checkpoint_interval);
  desk_->append_heads();
  flush();
  if (!journal_ || journal_->log().size() == 0 || journal_->log().size() == journal_->checkpointed_leaves()) {
    grew_ = false;
    return;
  }
  grew_ = false;
  asked_ = AskedCheckpoint{};
  asked_->call = ++last_call_;
  asked_->body = crypto::checkpoint_body({options_.origin, journal_->log().size(), journal_->log().root(), {}});
  asked_->is_covered = unsynced_.empty();
  if (asked_->is_covered && !syncer_->is_busy()) send_checkpoint();
}

/// Signed is only what no power loss can take back: a key that hands over is gone, and could not sign it a second time.
void Recorder::send_checkpoint() {
  const BootTime now = clock_.boot();
  Peer* const vault = peers_.service(control::PEER_VAULT);
  if (vault == nullptr) {  // nobody to sign: again soon
    asked_.reset();
    grew_ = true;
    next_checkpoint_ = now + k_first_checkpoint;
    return;
  }
  asked_->is_sent = true;
  asked_->until = now + k_signature_within;
  control::Envelope question;
  question.set_call(asked_->call);
  auto& checkpoint = *question.mutable_sign_checkpoint();
  checkpoint.set_body(asked_->body);
  checkpoint.set_newest(journal_->newest_checkpoint());
  checkpoint.set_may_rotate(true);
  say(vault, std::move(question));
}

void Recorder::on_checkpoint_answer(const control::Envelope& envelope) {
  const auto& given = envelope.checkpoint_signature();
  const bool names_next = given.body().starts_with(asked_->body + "next-key ") && given.body().find('\n', asked_->body.size()) == given.body().size() - 1;
  const std::string body = names_next ? given.body() : asked_->body;
  std::string line = envelope.checkpoint_signature().line();
  if (!line.empty() && line.back() != '\n') line += '\n';
  const std::string note = crypto::join_note(body, line);
  const auto parsed = crypto::parse_note(note);
  if (envelope.has_failure() || !envelope.has_checkpoint_signature() || !parsed || parsed->body != body || !journal_) {
    asked_->until = {};  // counts as missed
    grew_ = true;
    return;
  }
  asked_.reset();
  checkpoints_missed_ = 0;
  if (const auto handover = crypto::parse_note(given.handover())) {  // signed before a crash, and not journalled then
    journal_->append_checkpoint(given.handover());
    witness_->tell(given.handover());
  }
  journal_->append_checkpoint(note);
  witness_->tell(note);
  if (shipping_) shipping_->witness(body, line);
  if (names_next) ring_event({}, "checkpoint.key_handed_over", "{\"leaves\":" + std::to_string(journal_->checkpointed_leaves()) + "}");
  const bool grew_meanwhile = grew_ || journal_->log().size() > journal_->checkpointed_leaves();
  flush();
  grew_ = grew_meanwhile;
}

}  // namespace sallyport::recorder
