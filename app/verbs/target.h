// app/verbs/target.h -- bringing a machine under the gateway: read its host keys, write its policy entry, prepare its sshd.
#pragma once

#include <string>
#include <vector>

#include "app/verbs/console.h"

namespace sallyport::app {

struct TargetOptions {
  std::string name;
  std::string address;
  int port = 22;
  std::vector<std::string> accounts;
  std::vector<std::string> labels;     ///< "env=prod"
  std::vector<std::string> host_keys;  ///< known from elsewhere; then nothing is scanned
  std::string folder;                  ///< policy folder; empty: print only
  std::string inventory;               ///< `target import`: an Ansible inventory, "-" for standard input
  std::vector<std::string> host_cas;   ///< public key lines of CAs that certify host keys
  bool scan = false;                   ///< ask each machine for its host keys
  bool dry_run = false;                ///< `target import`: only say what is new, changed and gone
  bool yes = false;                    ///< the shown fingerprint needs no confirmation
};

/// `target scan`: the host keys that answer there, with fingerprints. What answers may be anybody: compare with the machine's console.
int run_target_scan(const Common& common, TargetOptions options);
/// `target add`: the policy entry, printed or written to FOLDER/target-NAME.yaml (conflict when that exists).
int run_target_add(TargetOptions options);
/// `target import`: the policy entries of an inventory's hosts, printed or written to FOLDER/inventory.yaml.
int run_target_import(const TargetOptions& options);
/// `target setup`: the sshd lines and commands that make the machine accept our certificates, for a target of the policy in force.
int run_target_setup(const Common& common, const TargetOptions& options);

}  // namespace sallyport::app
