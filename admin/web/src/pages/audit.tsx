// The audit log as it grows, newest first.
import { setFilters, usePlace } from "../route";
import { clock } from "../text";
import type { AuditEvent, Status } from "../types";
import { Decision, Empty, Equivalent, Fields, Filter, Page, ProblemBox, Table } from "../ui";
import { useLoad } from "../use";

export function Audit() {
  const { query: filters } = usePlace();
  const text = (filters.get("q") ?? "").toLowerCase();
  const decision = filters.get("decision") ?? "";
  const { data, problem } = useLoad<{ events: AuditEvent[] }>("/v1/events?limit=4096", 3);
  const status = useLoad<Status>("/v1/status", 10);
  const rows = (data?.events ?? [])
    .filter((row) => !decision || row.fields?.decision === decision)
    .filter((row) => !text || `${row.name} ${row.session} ${JSON.stringify(row.fields)}`.toLowerCase().includes(text))
    .reverse();
  return (
    <Page title="Audit">
      <p class="checkpoint">
        Newest checkpoint:{" "}
        {status.data?.newest_checkpoint ? <code>{status.data.newest_checkpoint.split("\n").slice(0, 3).join(" · ")}</code> : "none yet; the first is written within a minute"}
      </p>
      <div class="filters" role="search">
        <Filter label="Text" value={filters.get("q") ?? ""} onChange={(value) => setFilters({ q: value })} />
        <Filter label="Decision" value={decision} list={["", "allow", "deny"]} onChange={(value) => setFilters({ decision: value })} />
      </div>
      <ProblemBox problem={problem} />
      {data && rows.length === 0 ? (
        <Empty>No event fits. The page shows what this gateway wrote since it started; `sallyport verify` checks the whole journal.</Empty>
      ) : (
        <Table
          caption="Audit events"
          file="audit-events"
          id={(row) => String(row.number)}
          rows={rows}
          columns={[
            { name: "At", text: (row) => row.at, show: (row) => <time dateTime={row.at}>{clock(row.at)}</time> },
            { name: "Event", text: (row) => row.name },
            {
              name: "Decision",
              text: (row) => String(row.fields?.decision ?? ""),
              show: (row) => <Decision value={row.fields?.decision} />,
            },
            { name: "Session", text: (row) => row.session, show: (row) => (row.session ? <a href={`/sessions/${row.session}`}>{row.session.slice(-8)}</a> : ""), wide: true },
            { name: "Fields", text: (row) => JSON.stringify(row.fields), show: (row) => <Fields fields={row.fields} without={["session", "decision"]} />, wide: true },
          ]}
        />
      )}
      <Equivalent cli="sallyport verify" api="GET /v1/events?limit=4096" />
    </Page>
  );
}
