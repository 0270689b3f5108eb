// Any bytes as a policy file: either problems that name the file, or a snapshot that decides without falling over.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "policy/access/engine.h"
#include "policy/access/load.h"
#include "policy/access/plan.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sallyport::policy;
  std::vector<SourceFile> files(1);
  files[0].name = "policy.yaml";
  files[0].content.assign(reinterpret_cast<const char*>(data), size);
  const Loaded loaded = load_policy(files);
  if ((loaded.snapshot == nullptr) == loaded.problems.empty()) std::abort();
  if (loaded.problems.size() > k_max_diagnostics) std::abort();
  for (const Diagnostic& problem : loaded.problems) {
    if (problem.message.empty()) std::abort();
  }
  if (!loaded.snapshot) return 0;
  for (const Principal& principal : loaded.snapshot->principals()) {
    for (const Target& target : loaded.snapshot->targets()) {
      AccessRequest request;
      request.principal = principal.name;
      request.target = target.name;
      request.account = target.accounts.front().name;
      for (std::size_t kind = 0; kind < k_channel_kinds; ++kind) {
        request.kind = static_cast<ChannelKind>(kind);
        const Decision decision = decide(*loaded.snapshot, Locks(), request);
        if (explain(*loaded.snapshot, Locks(), request).decision.code != decision.code) std::abort();
        // Nobody gets anywhere without a role.
        if (decision.allowed() && loaded.snapshot->bindings().empty()) std::abort();
      }
    }
  }
  if (!make_plan(*loaded.snapshot, *loaded.snapshot, Locks(), {}, {}).no_changes) std::abort();
  return 0;
}
