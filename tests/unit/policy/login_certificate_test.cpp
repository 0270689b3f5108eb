#include "tests/unit/policy/login_client.h"

namespace sallyport::policy::test {

TEST_CASE("certificates are judged by type, CA, time, principal and options", "[policy][login][certificate]") {
  const auto result_of = [](const crypto::SshCertificateFields& fields, const SshPrivateKey& ca = keys().ca, const char* user = "engineer", const char* source = "10.1.2.3") {
    Client client(LoginContext{*IpAddress::parse(source), {}, {}});
    return client.sign_certificate(user, certificate(fields, ca), keys().unknown).result;
  };
  const auto changed = [](const std::function<void(crypto::SshCertificateFields&)>& change) {
    auto fields = good_fields();
    change(fields);
    return fields;
  };
  CHECK(result_of(good_fields()) == R::success);
  CHECK(result_of(good_fields(), keys().stray_ca) == R::refused);
  CHECK(result_of(good_fields(), keys().ca, "other") == R::refused);
  CHECK(result_of(good_fields(), keys().ca, "nobody") == R::refused);
  CHECK(result_of(changed([](auto& f) { f.principals = {"nobody"}; }), keys().ca, "nobody") == R::refused);
  CHECK(result_of(changed([](auto& f) { f.principals.clear(); })) == R::refused);
  CHECK(result_of(changed([](auto& f) { f.principals = {"engineer*"}; })) == R::refused);
  CHECK(result_of(changed([](auto& f) { f.type = crypto::SshCertificateType::host; })) == R::refused);
  CHECK(result_of(changed([](auto& f) { f.valid_before = 1'700'000'001; })) == R::refused);
  CHECK(result_of(changed([](auto& f) { f.valid_after = 1'900'000'000; })) == R::refused);
  CHECK(result_of(changed([](auto& f) { f.critical_options = {{"future-option@example", "x"}}; })) == R::refused);
  CHECK(result_of(changed([](auto& f) { f.critical_options = {{"source-address", "10.0.0.0/8"}}; })) == R::success);
  CHECK(result_of(changed([](auto& f) { f.critical_options = {{"source-address", "10.0.0.0/8"}}; }), keys().ca, "engineer", "192.0.2.1") == R::refused);
  CHECK(result_of(changed([](auto& f) { f.critical_options = {{"verify-required", ""}}; })) == R::refused);

  Client client;
  const auto fields = changed([](auto& f) { f.critical_options = {{"force-command", "backup --now"}}; });
  CHECK(client.offer("engineer", certificate(fields), "ssh-ed25519-cert-v01@openssh.com").result == R::key_ok);
  const LoginAnswer answer = client.sign_certificate("engineer", certificate(fields), keys().unknown);
  REQUIRE(answer.result == R::success);
  REQUIRE(answer.identity->certificate);
  CHECK(answer.identity->certificate->force_command == "backup --now");
  CHECK(answer.identity->certificate->permit_pty);
  CHECK_FALSE(answer.identity->certificate->permit_port_forwarding);
  CHECK(answer.identity->certificate_id == "ellen@corp serial 7");
  CHECK(answer.identity->factors.at(0).kind == FactorKind::certificate);
  CHECK(answer.event.method == "certificate");
  // The certified key alone is nobody's.
  CHECK(Client().sign("engineer", keys().unknown).result == R::refused);
}

TEST_CASE("a revoked certificate is refused", "[policy][login][certificate]") {
  const std::string with_krl = [] {
    std::string text = login_policy();
    const std::string entry = "{name: corp, key: \"" + keys().ca.public_key().line() + "\"}";
    return text.replace(text.find(entry), entry.size(), entry.substr(0, entry.size() - 1) + ", krl: revoked.krl}");
  }();
  const auto result_with = [&](const std::string& krl) {
    const std::vector<SourceFile> files{{"policy.yaml", with_krl}, {"revoked.krl", krl}};
    const Loaded loaded = load_policy(files);
    INFO(describe(loaded.problems));
    REQUIRE(loaded.snapshot);
    Client client;
    client.snapshot = loaded.snapshot;
    return client.sign_certificate("engineer", certificate(good_fields()), keys().unknown);
  };
  CHECK(result_with(keys().other.public_key().line() + "\n").result == R::success);
  const LoginAnswer revoked = result_with(keys().unknown.public_key().line() + "\n");
  CHECK(revoked.result == R::refused);
  CHECK(revoked.event.reason == "the certificate is revoked");

  const std::vector<SourceFile> missing{{"policy.yaml", with_krl}};
  CHECK(describe(load_policy(missing).problems).find("there is no file `revoked.krl`") != std::string::npos);
  const std::vector<SourceFile> broken{{"policy.yaml", with_krl}, {"revoked.krl", std::string("SSHKRL\n\0rubbish", 15)}};
  CHECK(load_policy(broken).snapshot == nullptr);
}

}  // namespace sallyport::policy::test
