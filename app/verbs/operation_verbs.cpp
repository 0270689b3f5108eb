#include <cstdio>

#include "app/verbs/audit_export.h"
#include "app/verbs/completion.h"
#include "app/verbs/exit_codes.h"
#include "app/verbs/reports.h"
#include "app/verbs/verb.h"

namespace sallyport::app {
namespace {

void add_report_verbs(CLI::App& app, Common& common, Outcome& outcome) {
  static ReportOptions options;
  static std::string journal;
  CLI::App& reports = add_verb(app, "report", "Print evidence for auditors; each row names its event.",
                               "  sallyport report access-review -o csv\n  sallyport report privileged-use --since 30d -o csv\n  sallyport report auth-failures --since 7d\n");
  reports.require_subcommand(1);
  const auto add = [&](const char* name, const char* summary, const char* example, int (*run)(const Common&, const ReportOptions&)) -> CLI::App& {
    CLI::App& verb = add_verb(reports, name, summary, example);
    verb.add_option("--since", options.since, "moment, or how long ago: 90d (default: the whole journal)");
    verb.add_option("--until", options.until, "moment, or how long ago");
    verb.add_option("--principal", options.principal, "only hers");
    verb.add_option("--target", options.target, "only there");
    verb.add_option("--journal", journal, "folder of journal files (default: the gateway's)");
    verb.callback([&outcome, &common, run] {
      options.journal = journal;
      outcome.status = run(common, options);
    });
    return verb;
  };
  add("access-review", "Who may reach what, by which rule, and when she last did.", "  sallyport report access-review --since 90d --unused -o csv\n", run_access_review)
      .add_flag("--unused", options.unused, "only rights that were not used since");
  CLI::App& uses = add("privileged-use", "What was opened on targets, lent from the vault, changed and looked at.",
                       "  sallyport report privileged-use --since 30d -o csv\n  sallyport report privileged-use --unseal --reason 'yearly audit' -o csv\n",
                       run_privileged_use);
  uses.add_flag("--unseal", options.unseal, "show what was run, which is sealed to the recording recipients; an event of its own");
  uses.add_option("--reason", options.text_keys.reason, "why, for --unseal");
  add_text_key_options(uses, options.text_keys);
  add("auth-failures", "Logins, tokens and invitations that were refused.", "  sallyport report auth-failures --since 7d -o csv\n", run_auth_failures);
}

void add_audit_verbs(CLI::App& app, Common& common, Outcome& outcome) {
  static AuditExportOptions options;
  static std::string journal;
  static std::string cursor;
  CLI::App& audit = add_verb(app, "audit", "Send the audit log elsewhere.", "  sallyport audit export --to https://siem.example/in --cursor /var/lib/sallyport/export/siem --follow\n");
  audit.require_subcommand(1);
  CLI::App& verb = add_verb(audit, "export", "Send audit events to a receiver, at least once and in order.",
                            "  sallyport audit export --to syslog+tls://siem.example:6514 --ca ca.pem --certificate us.pem --key us.key --cursor siem.cursor --follow\n"
                            "  sallyport audit export --to https://siem.example/in --webhook-key-file key --cursor siem.cursor --follow\n"
                            "  sallyport audit export --to - --format cef\n");
  verb.add_option("--to", options.to, "syslog+tls://HOST:PORT, https://..., file:PATH, or - for standard output")->required();
  verb.add_option("--format", options.format, "ocsf, cef or json")->check(CLI::IsMember({"ocsf", "cef", "json"}));
  verb.add_option("--cursor", cursor, "file that keeps how far it came; without it everything is sent");
  verb.add_option("--ca", options.ca_file, "PEM file: who signed the receiver's certificate");
  verb.add_option("--certificate", options.certificate, "PEM file: our certificate");
  verb.add_option("--key", options.key, "PEM file: its key");
  verb.add_option("--webhook-key-file", options.webhook_key_file, "file with the key that signs deliveries");
  verb.add_option("--journal", journal, "folder of journal files (default: the gateway's)");
  verb.add_flag("--follow", options.follow, "go on with what is written from now on; wait while the receiver is away");
  verb.callback([&] {
    options.journal = journal;
    options.cursor = cursor;
    outcome.status = run_audit_export(common, options);
  });
}

}  // namespace

void add_operation_verbs(CLI::App& app, Common& common, Outcome& outcome) {
  static std::string shell;
  CLI::App& completion = add_verb(app, "completion", "Print the completion script of a shell.",
                                  "  source <(sallyport completion bash)\n  source <(sallyport completion zsh)\n  sallyport completion fish | source\n");
  completion.add_option("shell", shell, "bash, zsh or fish")->required()->check(CLI::IsMember({"bash", "zsh", "fish"}));
  completion.callback([&] {
    std::printf("%s", completion_script(shell).c_str());
    outcome.status = k_exit_ok;
  });
  add_report_verbs(app, common, outcome);
  add_audit_verbs(app, common, outcome);
}

}  // namespace sallyport::app
