// policy/authority/vault_client.h -- the vault as the authority sees it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "policy/authority/link_port.h"

namespace sallyport::authority {

/// Typed questions in flight at once, answered in any order. One thread. A vault that restarts gets its questions again,
/// except those that carried descriptors.
class VaultClient {
 public:
  VaultClient(boost::asio::io_context& io, Deadlines& deadlines);

  using ExchangeSigned = std::function<void(const control::ExchangeSigned&)>;
  void attach(Fd socket, ExchangeSigned exchange_signed);
  [[nodiscard]] bool is_attached() const noexcept { return link_ != nullptr; }

  void ask(control::Envelope question, LinkPort::Answer answer, std::chrono::milliseconds deadline = std::chrono::seconds(5));
  void tell(control::Envelope statement);
  /// Hears now what the vault has said already (an exchange hash that was signed a moment ago).
  void drain();
  /// The gateway's public keys; asked once, and again after `forget_keys`.
  void with_keys(std::function<void(Result<control::PublicKeySet>)> use);
  void forget_keys() { keys_.reset(); }

 private:
  boost::asio::io_context& io_;
  Deadlines& deadlines_;
  std::unique_ptr<LinkPort> link_;
  ExchangeSigned exchange_signed_;
  std::unique_ptr<control::PublicKeySet> keys_;
};

/// The message code that tells a person why the vault did not do it.
[[nodiscard]] std::string vault_code(const Error& error);

}  // namespace sallyport::authority
