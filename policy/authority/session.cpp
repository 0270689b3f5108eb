#include "policy/authority/session.h"

namespace sallyport::authority {

policy::LoginIdentity identity_of(const SessionRow& row) {
  policy::LoginIdentity identity;
  identity.principal = PrincipalId(row.principal);
  identity.display = row.display;
  identity.account = AccountName(row.account);
  identity.target = TargetId(row.target);
  identity.bare = row.bare;
  identity.factors = policy::decode_factors(row.factors);
  identity.certificate = policy::decode_certificate(row.certificate);
  identity.key_fingerprint = row.key_fingerprint;
  identity.problem_code = row.problem_code;
  identity.problem = row.problem;
  return identity;
}

void remember_identity(SessionRow& row, const policy::LoginIdentity& identity) {
  row.principal = identity.principal.str();
  row.display = identity.display;
  row.account = identity.account.str();
  row.target = identity.target.str();
  row.bare = identity.bare;
  row.factors = policy::encode_factors(identity.factors);
  row.certificate = policy::encode_certificate(identity.certificate);
  row.key_fingerprint = identity.key_fingerprint;
  row.problem_code = identity.problem_code;
  row.problem = identity.problem;
}

}  // namespace sallyport::authority
