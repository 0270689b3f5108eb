#include "admin/oidc/oidc_desk.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <utility>

#include "admin/api/desk_process.h"
#include "admin/oidc/oidc_wire.h"

namespace sallyport::admin {
namespace {

namespace json = boost::json;

constexpr std::size_t k_most_waiting = 40;  ///< for one helper

class OidcDesk final : public authority::IdentityProvider {
 public:
  OidcDesk(boost::asio::io_context& io, OidcOptions options) : io_(io), options_(std::move(options)) {}

  void begin_web(const std::string& state, const std::string& nonce, const std::string& challenge, bool again, Done<std::string> done) override {
    ask({{"do", "web"}, {"state", state}, {"nonce", nonce}, {"challenge", challenge}, {"again", again}}, [this, done = std::move(done)](const Result<json::object>& answer) {
      if (!answer) return done(tl::unexpected(answer.error()));
      sign_out_ = text_field(*answer, "sign_out");
      if (std::string address = text_field(*answer, "address"); !address.empty()) return done(std::move(address));
      done(misspoken());
    });
  }

  void redeem(const std::string& code, const std::string& verifier, const std::string& nonce, bool again, Done<policy::OidcIdentity> done) override {
    ask({{"do", "redeem"}, {"code", code}, {"verifier", verifier}, {"nonce", nonce}, {"again", again}}, [done = std::move(done)](const Result<json::object>& answer) {
      if (!answer) return done(tl::unexpected(answer.error()));
      if (auto identity = identity_of(*answer)) return done(std::move(*identity));
      done(misspoken());
    });
  }

  void begin_device(Done<authority::DeviceGrant> done) override {
    ask({{"do", "device"}}, [done = std::move(done)](const Result<json::object>& answer) {
      if (!answer) return done(tl::unexpected(answer.error()));
      if (auto grant = grant_of(*answer)) return done(std::move(*grant));
      done(misspoken());
    });
  }

  void poll_device(const std::string& device_code, Done<authority::DevicePoll> done) override {
    ask({{"do", "poll"}, {"device_code", device_code}}, [done = std::move(done)](const Result<json::object>& answer) {
      if (!answer) return done(tl::unexpected(answer.error()));
      if (auto poll = poll_of(*answer)) return done(std::move(*poll));
      done(misspoken());
    });
  }

  [[nodiscard]] std::string sign_out_address() const override { return sign_out_; }

 private:
  using Answered = std::function<void(const Result<json::object>&)>;
  struct Helper {
    std::unique_ptr<DeskProcess> process;
    std::size_t waiting = 0;
  };

  static tl::unexpected<Error> misspoken() { return fail(Errc::unavailable, "the OIDC helper misspoke"); }

  void ask(const json::object& job, Answered answered) {
    const auto helper = std::min_element(helpers_.begin(), helpers_.end(), [](const auto& a, const auto& b) { return a->waiting < b->waiting; });
    std::shared_ptr<Helper>& chosen = *helper;
    if (chosen->process && chosen->process->is_over()) chosen = std::make_shared<Helper>();
    if (chosen->waiting >= k_most_waiting) return answered(fail(Errc::unavailable, "too many questions wait for the identity provider"));
    if (!chosen->process) {
      auto started = DeskProcess::start(io_, "oidc-desk");
      if (!started) return answered(tl::unexpected(started.error()));
      chosen->process = std::move(*started);
      chosen->process->ask(options_.job().reveal_text(), nullptr, nullptr);
    }
    ++chosen->waiting;
    chosen->process->ask(json::serialize(job), nullptr, [one = std::weak_ptr(chosen), answered = std::move(answered)](Result<std::string> how) {
      if (const auto still = one.lock()) --still->waiting;
      if (!how) return answered(tl::unexpected(how.error()));
      json::error_code error;
      json::value value = json::parse(*how, error);
      if (error || !value.is_object()) return answered(misspoken());
      answered(value.get_object());
    });
  }

  boost::asio::io_context& io_;
  OidcOptions options_;
  std::array<std::shared_ptr<Helper>, 2> helpers_{std::make_shared<Helper>(), std::make_shared<Helper>()};
  std::string sign_out_;
};

}  // namespace

std::unique_ptr<authority::IdentityProvider> make_oidc_desk(boost::asio::io_context& io, OidcOptions options) { return std::make_unique<OidcDesk>(io, std::move(options)); }

}  // namespace sallyport::admin
