// app/verbs/verb.h -- how a verb is put onto the command line. Only verbs/*.cpp that parse options include this (CLI11 is heavy).
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "app/verbs/console.h"

namespace sallyport::app {

/// What the chosen verb left behind.
struct Outcome {
  int status = 0;
};

/// Adds `name`; its help begins with `examples` (one command per line).
inline CLI::App& add_verb(CLI::App& parent, const std::string& name, const std::string& summary, const std::string& examples) {
  CLI::App* verb = parent.add_subcommand(name, summary);
  verb->footer("Of every verb: -c,--config FILE  --socket PATH  -o,--output table|json|jsonl|csv");
  verb->fallthrough();
  verb->description("Examples:\n" + examples + "\n" + summary);
  return *verb;
}

/// The one-line summary is kept for the list of verbs; see command_line.cpp.
[[nodiscard]] inline std::string summary_of(const CLI::App& verb) {
  const std::string text = verb.get_description();
  const std::size_t last = text.rfind('\n');
  return last == std::string::npos ? text : text.substr(last + 1);
}

void add_process_verbs(CLI::App& app, Common& common, Outcome& outcome);  ///< serve, service, upgrade, init, config, demo
void add_policy_verbs(CLI::App& app, Common& common, Outcome& outcome);   ///< plan, apply, get, explain
void add_admin_verbs(CLI::App& app, Common& common, Outcome& outcome);    ///< status, lock, secret, session, vault, target
void add_recording_verbs(CLI::App& app, Common& common, Outcome& outcome);  ///< sessions, play, export, events, verify
void add_guard_verbs(CLI::App& app, Common& common, Outcome& outcome);    ///< guard check, score, test, packs
void add_history_verbs(CLI::App& app, Common& common, Outcome& outcome);  ///< policy, reach
void add_request_verbs(CLI::App& app, Common& common, Outcome& outcome);  ///< request, token
void add_sign_on_verbs(CLI::App& app, Common& common, Outcome& outcome);  ///< principal, login
void add_operation_verbs(CLI::App& app, Common& common, Outcome& outcome);  ///< completion, report, audit
void add_glass_verbs(CLI::App& app, Common& common, Outcome& outcome);    ///< glass
void add_check_verbs(CLI::App& app, Common& common, Outcome& outcome);    ///< doctor, bench

}  // namespace sallyport::app
