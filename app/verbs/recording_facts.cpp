#include "app/verbs/recording_facts.h"

#include <map>

#include "platform/model/json_text.h"
#include "recorder/replay/journal_files.h"

namespace sallyport::app {
namespace {

/// One cell: no tab, no newline, nothing that drives a terminal.
std::string cell(std::string_view text) {
  std::string clean = sallyport::printable(text);
  for (char& c : clean)
    if (c == '\t' || c == '\n') c = ' ';
  return clean.empty() ? "-" : clean;
}

}  // namespace

Result<void> write_file_list(const RecordingPlace& place, RecordingView& view, const replay::Sink& sink) {
  if (!sink("time\tchannel\tevent\tdirection\tsize\tcomplete\tresult\tsha256\tpath\n")) return {};
  return view.read(place, 1, [&](const replay::StoredEntry& entry, const std::optional<crypto::Tag>&) {
    if (entry.header.kind != seal::EntryKind::event) return true;
    const auto fields = JsonFields::parse(text_of(entry.body()));
    if (!fields) return true;
    const std::string_view name = fields->get("event");
    if (!name.starts_with("file.") && !name.starts_with("rsync.")) return true;
    std::string hash(fields->get("sha256"));
    if (hash.empty() && !fields->get("from_client_sha256").empty())
      hash = "client:" + std::string(fields->get("from_client_sha256")) + " target:" + std::string(fields->get("from_target_sha256"));
    if (hash.empty()) hash = fields->get("ranges");
    const std::string_view path = fields->get("path").empty() ? fields->get("paths") : fields->get("path");
    const std::string_view what = fields->get("direction").empty() ? fields->get("operation") : fields->get("direction");
    return sink(replay::time_text(entry.header.wall_us) + "\t" + cell(fields->get("channel")) + "\t" + cell(name) + "\t" + cell(what) + "\t" + cell(fields->get("size")) +
                "\t" + cell(fields->get("complete")) + "\t" + cell(fields->get("decision") == "deny" ? fields->get("code") : fields->get("result")) + "\t" + cell(hash) +
                "\t" + cell(path) + "\n");
  });
}

Result<void> write_ledger(const RecordingPlace& place, const RecordingView& view, const replay::Sink& sink) {
  auto files = replay::JournalFiles::open(place.journal);
  if (!files) return tl::unexpected(files.error());
  files->set_checks({.crc = true, .at_rest = false});
  struct Row {
    std::string opened, closed, kind, where, origin, decision, in, out, full, hashed, exit;
  };
  std::map<std::int64_t, Row> rows;
  while (const auto frame = files->next()) {
    if (static_cast<replay::FrameType>(frame->header.type) != replay::FrameType::audit_event || !frame->crc_right) continue;
    const auto event = replay::parse_audit_event(frame->payload);
    if (!event || event->session != view.session.session.view()) continue;
    const auto fields = JsonFields::parse(event->json);
    if (!fields || !fields->number("channel")) continue;
    if (event->name != "channel.decided" && event->name != "channel.closed" && event->name != "tunnel.opened" && event->name != "tunnel.onward_hop_refused") continue;
    Row& row = rows[*fields->number("channel")];
    const auto keep = [&](std::string& to, std::string_view name) {
      if (!fields->get(name).empty()) to = fields->get(name);
    };
    if (event->name == "channel.closed") {
      row.closed = replay::time_text(event->wall_us);
      keep(row.in, "bytes_in");
      keep(row.out, "bytes_out");
      keep(row.full, "recorded_full");
      keep(row.hashed, "recorded_hashed");
      keep(row.exit, "exit_status");
      continue;
    }
    if (row.opened.empty()) row.opened = replay::time_text(event->wall_us);
    if (row.kind.empty() || fields->get("kind") != "pty") keep(row.kind, "kind");
    if (!fields->get("host").empty()) row.where = std::string(fields->get("host")) + ":" + std::string(fields->get("port"));
    else if (!fields->get("path").empty()) row.where = fields->get("path");
    else if (!fields->get("command").empty()) row.where = fields->get("command");
    keep(row.origin, "origin");
    row.decision = event->name == "tunnel.onward_hop_refused" ? "onward hop refused" : fields->get("decision");
  }
  if (!sink("channel\tkind\topened\tclosed\tdecision\tbytes_in\tbytes_out\trecorded_full\trecorded_hashed\texit\torigin\twhere\n")) return {};
  for (const auto& [channel, row] : rows)
    if (!sink(std::to_string(channel) + "\t" + cell(row.kind) + "\t" + cell(row.opened) + "\t" + cell(row.closed) + "\t" + cell(row.decision) + "\t" + cell(row.in) + "\t" +
              cell(row.out) + "\t" + cell(row.full) + "\t" + cell(row.hashed) + "\t" + cell(row.exit) + "\t" + cell(row.origin) + "\t" + cell(row.where) + "\n"))
      return {};
  return {};
}

}  // namespace sallyport::app
