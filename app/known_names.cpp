// app/known_names.cpp -- OpenSSL 3.0 walks through all names of all algorithms whenever a key gets its type, some ten times in one SSH
// connection. The names of a method never change, so the session program asks once for each (linked with --wrap).
#include <openssl/evp.h>

#include <string>
#include <utility>
#include <vector>

// NOLINTBEGIN(bugprone-reserved-identifier): these names are what the linker's --wrap looks for
extern "C" {
int __real_EVP_KEYMGMT_names_do_all(const EVP_KEYMGMT* method, void (*visit)(const char* name, void* data), void* data);
int __wrap_EVP_KEYMGMT_names_do_all(const EVP_KEYMGMT* method, void (*visit)(const char* name, void* data), void* data);
}
// NOLINTEND(bugprone-reserved-identifier)

namespace {

struct Known {
  EVP_KEYMGMT* method = nullptr;  ///< held for good: its address must not come to mean another one
  std::vector<std::string> names;
};

void keep(const char* name, void* names) { static_cast<std::vector<std::string>*>(names)->emplace_back(name); }

}  // namespace

/// One thread only, as everything in that program.
// NOLINTNEXTLINE(bugprone-reserved-identifier): as above
__attribute__((used)) int __wrap_EVP_KEYMGMT_names_do_all(const EVP_KEYMGMT* method, void (*visit)(const char* name, void* data), void* data) {
  static std::vector<Known> known;
  const Known* found = nullptr;
  for (const Known& one : known)
    if (one.method == method) found = &one;
  if (found == nullptr) {
    auto* const own = const_cast<EVP_KEYMGMT*>(method);
    Known fresh{own, {}};
    if (__real_EVP_KEYMGMT_names_do_all(method, keep, &fresh.names) != 1 || EVP_KEYMGMT_up_ref(own) != 1)
      return __real_EVP_KEYMGMT_names_do_all(method, visit, data);
    found = &known.emplace_back(std::move(fresh));
  }
  for (const std::string& name : found->names) visit(name.c_str(), data);
  return 1;
}
