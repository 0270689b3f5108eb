#include "app/verbs/bench.h"
#include "app/verbs/doctor.h"
#include "app/verbs/verb.h"

namespace sallyport::app {

void add_check_verbs(CLI::App& app, Common& common, Outcome& outcome) {
  static BenchOptions bench_options;

  add_verb(app, "doctor", "Say what of this machine helps and what is missing.", "  sallyport doctor\n").callback([&] { outcome.status = run_doctor(common); });

  CLI::App& bench = add_verb(app, "bench", "Measure a gateway against a direct connection, with your own ssh.",
                             "  sallyport bench --direct 'ssh deploy@10.0.0.7' --gateway 'ssh -p 2222 engineer+deploy+recs-1@gateway'\n");
  bench.add_option("--direct", bench_options.direct, "ssh command line to the target itself")->required();
  bench.add_option("--gateway", bench_options.gateway, "ssh command line to the same target through the gateway")->required();
  bench.add_option("--rounds", bench_options.rounds, "set-ups one after another")->check(CLI::Range(1, 10000));
  bench.add_option("--parallel", bench_options.parallel, "set-ups at once")->check(CLI::Range(1, 256));
  bench.add_option("--mib", bench_options.mib, "MiB moved each way")->check(CLI::Range(1, 65536));
  bench.add_option("--keys", bench_options.keys, "keystrokes")->check(CLI::Range(1, 100000));
  bench.callback([&] { outcome.status = run_bench(common, bench_options); });
}

}  // namespace sallyport::app
