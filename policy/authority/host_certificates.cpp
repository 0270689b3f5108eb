#include "policy/authority/host_certificates.h"

#include <algorithm>
#include <memory>
#include <utility>

namespace sallyport::authority {
namespace {

constexpr std::chrono::hours k_keep{1};
constexpr std::chrono::hours k_valid{24};
constexpr std::chrono::seconds k_backdate{240};
constexpr std::size_t k_most_kept = 10'000;

}  // namespace

void HostCertificates::with(std::vector<std::string> names, Use use) {
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  const auto found = kept_.find(names);
  if (found != kept_.end() && found->second.until > clock_.boot()) return use(found->second.certificates);
  if (kept_.size() >= k_most_kept) kept_.clear();
  vault_.with_keys([this, names = std::move(names), use = std::move(use)](const Result<control::PublicKeySet>& keys) mutable {
    if (!keys) return use({});
    sign(*keys, std::move(names), std::move(use));
  });
}

void HostCertificates::sign(const control::PublicKeySet& keys, std::vector<std::string> names, Use use) {
  struct Signing {
    std::vector<std::string> certificates;
    int left = 0;
    std::vector<std::string> names;
    Use use;
  };
  auto signing = std::make_shared<Signing>();
  signing->left = keys.host_keys_size();
  signing->names = std::move(names);
  signing->use = std::move(use);
  if (signing->left == 0) return signing->use({});
  const std::int64_t now = std::chrono::duration_cast<std::chrono::seconds>(clock_.wall().time_since_epoch()).count();
  for (const std::string& key : keys.host_keys()) {
    control::Envelope question;
    auto* body = question.mutable_sign_certificate();
    body->set_session("inner:" + signing->names.front());
    body->set_public_key(key);
    for (const std::string& name : signing->names) body->add_principals(name);
    body->set_valid_after(now - k_backdate.count());
    body->set_valid_before(now + std::chrono::seconds(k_valid).count());
    body->set_ca("host");
    body->set_host(true);
    vault_.ask(std::move(question), [this, signing](Result<control::Received> answer) {
      if (answer && answer->envelope.has_signed_certificate())
        signing->certificates.push_back(answer->envelope.signed_certificate().certificate());
      if (--signing->left > 0) return;
      if (!signing->certificates.empty()) kept_[signing->names] = Kept{signing->certificates, clock_.boot() + k_keep};
      signing->use(std::move(signing->certificates));
    });
  }
}

}  // namespace sallyport::authority
