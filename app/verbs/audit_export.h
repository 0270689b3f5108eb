// app/verbs/audit_export.h -- `sallyport audit export`: audit events to a SIEM, from the journal's own files.
//
// The journal is the queue: nothing is kept beside it but a cursor, so an outage of any length loses nothing and costs no memory. The
// cursor is written after the receiver has the events; a crash in between sends them again, with the same ids: at least once.
#pragma once

#include <filesystem>
#include <string>

#include "app/verbs/console.h"

namespace sallyport::app {

struct AuditExportOptions {
  std::string to;               ///< see admin/sinks/event_sink.h
  std::string format = "ocsf";  ///< ocsf, cef, json
  std::filesystem::path journal;  ///< empty: the gateway's
  std::filesystem::path cursor;   ///< file; empty: from the beginning, nothing is kept
  std::string ca_file;
  std::string certificate;
  std::string key;
  std::string webhook_key_file;
  bool follow = false;          ///< go on with what is written from now on, and wait for a receiver that is away
};
/// 0: everything that stood there was delivered. 7: the receiver was not reached; the next run goes on there. 130: stopped.
int run_audit_export(const Common& common, const AuditExportOptions& options);

}  // namespace sallyport::app
