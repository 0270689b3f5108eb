#include "policy/authority/vault_client.h"

#include <utility>

namespace sallyport::authority {

VaultClient::VaultClient(boost::asio::io_context& io, Deadlines& deadlines) : io_(io), deadlines_(deadlines) {}

void VaultClient::attach(Fd socket, ExchangeSigned exchange_signed) {
  exchange_signed_ = std::move(exchange_signed);
  auto fresh = std::make_unique<LinkPort>(io_, deadlines_, std::move(socket), 10'000);
  if (link_) fresh->inherit(*link_);
  link_ = std::move(fresh);
  keys_.reset();
  link_->start(
      [this](control::Received received) {
        if (received.envelope.has_resume()) {
          keys_.reset();
          link_->ask_again();
        } else if (received.envelope.has_exchange_signed() && exchange_signed_) {
          exchange_signed_(received.envelope.exchange_signed());
        }
      },
      nullptr);
}

void VaultClient::ask(control::Envelope question, LinkPort::Answer answer, std::chrono::milliseconds deadline) {
  if (!link_) {
    answer(fail(Errc::unavailable, "the vault is not there yet"));
    return;
  }
  link_->ask(std::move(question), deadline, std::move(answer));
}

void VaultClient::tell(control::Envelope statement) {
  if (link_) link_->send(std::move(statement));
}

void VaultClient::drain() {
  if (link_) link_->drain();
}

void VaultClient::with_keys(std::function<void(Result<control::PublicKeySet>)> use) {
  if (keys_) {
    use(*keys_);
    return;
  }
  control::Envelope question;
  question.mutable_public_keys();
  ask(std::move(question), [this, use = std::move(use)](Result<control::Received> answer) {
    if (!answer) {
      use(tl::unexpected(answer.error()));
      return;
    }
    if (!answer->envelope.has_public_key_set()) {
      use(fail(Errc::internal, "the vault gave no public keys"));
      return;
    }
    keys_ = std::make_unique<control::PublicKeySet>(answer->envelope.public_key_set());
    use(*keys_);
  });
}

std::string vault_code(const Error& error) {
  switch (error.code) {
    case Errc::sealed: return "SP-3011";
    case Errc::not_found: return "SP-3010";
    case Errc::unavailable:
    case Errc::cancelled: return "SP-5007";
    default: return "SP-3010";
  }
}

}  // namespace sallyport::authority
