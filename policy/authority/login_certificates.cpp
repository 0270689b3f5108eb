#include "policy/authority/login_certificates.h"

#include <charconv>
#include <utility>

#include "platform/crypto/base64.h"
#include "platform/crypto/ssh_public_key.h"
#include "platform/crypto/ssh_wire.h"
#include "platform/model/bytes.h"
#include "platform/os/log.h"
#include "policy/authority/row_text.h"
#include "policy/authority/sign_on.h"

namespace sallyport::authority {

void LoginCertificates::learn_ca() {
  if (!authority_.sign_on->enrolled.login_ca().empty()) return;
  authority_.vault.with_keys([this](const Result<control::PublicKeySet>& keys) {
    if (keys && !keys->login_ca().empty()) authority_.sign_on->enrolled.set_login_ca(keys->login_ca());
  });
}

bool LoginCertificates::remember(const EnrolmentRow& row) {
  const auto parts = split_row(row.value, 4);
  if (parts.size() != 4) return true;
  policy::IssuedCertificate certificate;
  certificate.serial = static_cast<std::uint64_t>(row_number(row.id));
  certificate.principal = row.principal;
  certificate.fingerprint = parts[0];
  certificate.issued = WallTime(std::chrono::microseconds(row.at_us));
  certificate.expires = WallTime(std::chrono::microseconds(row_number(parts[1])));
  certificate.revoked = parts[2] == "1";
  certificate.factors = policy::decode_factors(parts[3]);
  last_serial_ = std::max(last_serial_, row_number(row.id));
  if (certificate.expires <= authority_.now()) return false;
  authority_.sign_on->enrolled.add_certificate(std::move(certificate));
  return true;
}

void LoginCertificates::certify(const std::string& principal, const std::string& key_line, std::chrono::seconds lasts, const std::string& source,
                                std::vector<policy::ProvenFactor> factors, Done<std::string> done) {
  const policy::Principal* person = authority_.snapshot->find_principal(principal);
  if (person == nullptr || person->type != policy::PrincipalType::person) return done(fail(Errc::denied, "certificates are for people of the policy"));
  const auto key = crypto::SshPublicKey::parse_line(key_line);
  if (!key) return done(fail(Errc::invalid, "this is no plain public key: " + key.error().detail));
  if (!source.empty() && !Network::parse(source) && !IpAddress::parse(source))
    return done(fail(Errc::invalid, "`" + printable(source.substr(0, 60)) + "` is no network"));
  const auto longest = std::chrono::duration_cast<std::chrono::seconds>(authority_.settings.duration("login_certificate_ms", std::chrono::hours(8)));
  if (lasts > longest) return done(fail(Errc::invalid, "a certificate lasts " + std::to_string(longest.count() / 60) + " minutes at most here"));
  const WallTime now = authority_.clock.wall();
  policy::IssuedCertificate certificate;
  certificate.principal = principal;
  certificate.fingerprint = key->fingerprint();
  certificate.issued = now;
  certificate.expires = now + (lasts.count() > 0 ? lasts : longest);
  if (person->expires) certificate.expires = std::min(certificate.expires, *person->expires);
  std::erase_if(factors, [](const policy::ProvenFactor& f) { return f.kind == policy::FactorKind::key || f.kind == policy::FactorKind::certificate; });
  certificate.factors = std::move(factors);
  last_serial_ = std::max(last_serial_ + 1, authority_.now_us());
  certificate.serial = static_cast<std::uint64_t>(last_serial_);
  control::Envelope question;
  auto* body = question.mutable_sign_certificate();
  body->set_session("login:" + principal);
  body->set_public_key(std::string(text_of(key->blob())));
  body->add_principals(principal);
  body->set_serial(certificate.serial);
  const auto seconds = [](WallTime moment) { return std::chrono::duration_cast<std::chrono::seconds>(moment.time_since_epoch()).count(); };
  body->set_valid_after(seconds(now) - 60);
  body->set_valid_before(seconds(certificate.expires));
  if (!source.empty()) body->add_source_addresses(source);
  for (const char* extension : {"permit-X11-forwarding", "permit-agent-forwarding", "permit-port-forwarding", "permit-pty"}) body->add_extensions(extension);
  body->set_ca("login");
  EventJson details;
  details.text("for", principal)
      .text("fingerprint", certificate.fingerprint)
      .number("serial", last_serial_)
      .number("expires_us", certificate.expires.time_since_epoch().count())
      .text("source_address", source);
  auto line = std::make_shared<std::string>();
  auto asked = std::make_shared<control::Envelope>(std::move(question));
  run_act(
      authority_, herself(principal, source), "certificate.issue", details,
      [this, asked, certificate, details, line](const std::string& intent, std::uint64_t, const std::function<void(Result<EventJson>)>& outcome) {
        authority_.vault.ask(std::move(*asked), [this, intent, certificate, details, line, outcome](Result<control::Received> answer) {
          if (!answer) return outcome(tl::unexpected(answer.error()));
          const std::string& blob = answer->envelope.signed_certificate().certificate();
          crypto::SshReader reader(blob);
          *line = std::string(reader.text()) + " " + crypto::to_base64(bytes_of(blob)) + " login:" + certificate.principal;
          EnrolmentRow row{"certificate", certificate.principal, std::to_string(certificate.serial),
                           certificate.fingerprint + " " + std::to_string(certificate.expires.time_since_epoch().count()) + " 0 " +
                               policy::encode_factors(certificate.factors),
                           authority_.now_us()};
          authority_.store->change_enrolments({std::move(row)}, {}, intent, [this, certificate, details, outcome](const Result<void>& stored) {
            if (!stored) return outcome(tl::unexpected(stored.error()));
            authority_.sign_on->enrolled.forget_certificates_before(authority_.now());
            authority_.sign_on->enrolled.add_certificate(certificate);
            learn_ca();
            outcome(details);
          });
        });
      },
      [line, done = std::move(done)](const Result<void>& issued) {
        if (!issued) return done(tl::unexpected(issued.error()));
        done(*line);
      });
}

void LoginCertificates::revoke_all(const std::string& principal) {
  policy::Enrolments& enrolled = authority_.sign_on->enrolled;
  std::vector<EnrolmentRow> revoked;
  for (const auto& [serial, certificate] : enrolled.certificates())
    if (certificate.principal == principal && !certificate.revoked)
      revoked.push_back(
          {"certificate", principal, std::to_string(serial),
           certificate.fingerprint + " " + std::to_string(certificate.expires.time_since_epoch().count()) + " 1 " + policy::encode_factors(certificate.factors),
           certificate.issued.time_since_epoch().count()});
  if (revoked.empty()) return;
  enrolled.revoke_certificates(principal);
  authority_.note("certificate.revoked", EventJson().text("principal", principal).number("count", static_cast<std::int64_t>(revoked.size())));
  authority_.store->change_enrolments(std::move(revoked), {}, {}, [](const Result<void>& stored) {
    if (!stored) os::log_line(os::LogEvent::authority_store_failed, "revoked certificates could not be stored: " + stored.error().detail);
  });
}

}  // namespace sallyport::authority
