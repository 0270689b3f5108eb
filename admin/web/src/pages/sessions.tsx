// Past and running sessions; the filters are the address.
import { query } from "../api";
import { go, setFilters, usePlace } from "../route";
import { bytes, clock, quoted, since as lasted } from "../text";
import type { Session } from "../types";
import { Badge, DayFilter, Empty, Equivalent, Filter, Page, ProblemBox, Table } from "../ui";
import { useLoad } from "../use";

const PAGE = 100;

export function Sessions() {
  const { query: filters } = usePlace();
  const principal = filters.get("principal") ?? "";
  const target = filters.get("target") ?? "";
  const state = filters.get("state") ?? "all";
  const before = filters.get("before") ?? "";
  const since = filters.get("since") ?? "";
  const until = filters.get("until") ?? "";
  const days = { since: since && `${since}T00:00:00Z`, until: until && `${until}T23:59:59Z` };
  const path = query("/v1/sessions", { state, principal, target, ...days, before, limit: PAGE, brief: "true" });
  const { data, problem, loading } = useLoad<{ sessions: Session[] }>(path);
  const rows = data?.sessions ?? [];
  const oldest = rows.at(-1)?.session;
  const cli = ["sallyport sessions", state === "live" ? "--state live" : "", principal && `--principal ${quoted(principal)}`, target && `--target ${quoted(target)}`, since && `--since ${since}`, until && `--until ${until}T23:59:59Z`];
  return (
    <Page title="Sessions">
      <div class="filters" role="search">
        <Filter label="State" value={state} list={["all", "live", "ended"]} onChange={(value) => setFilters({ state: value, before: "" })} />
        <Filter label="Principal" value={principal} onChange={(value) => setFilters({ principal: value, before: "" })} />
        <Filter label="Target" value={target} onChange={(value) => setFilters({ target: value, before: "" })} />
        <DayFilter label="Since" value={since} onChange={(value) => setFilters({ since: value, before: "" })} />
        <DayFilter label="Until" value={until} onChange={(value) => setFilters({ until: value, before: "" })} />
      </div>
      <ProblemBox problem={problem} />
      {rows.length === 0 && !loading && !problem ? (
        <Empty>No session fits. Take a filter away, or go back to the {before ? <a href="/sessions">newest</a> : "beginning"}.</Empty>
      ) : (
        <Table
          caption="Sessions"
          file="sessions"
          id={(row) => row.session}
          rows={rows}
          columns={[
            { name: "Started", text: (row) => row.started, show: (row) => <a href={`/sessions/${row.session}`}>{clock(row.started)}</a> },
            { name: "Principal", text: (row) => row.principal || "nobody" },
            { name: "Target", text: (row) => (row.target ? `${row.account}@${row.target}` : "none") },
            { name: "From", text: (row) => row.peer, wide: true },
            { name: "Lasted", text: (row) => lasted(row.started, row.ended ? Date.parse(row.ended) : Date.now()), wide: true, right: true },
            { name: "Bytes", text: (row) => String(row.bytes_in + row.bytes_out), show: (row) => bytes(row.bytes_in + row.bytes_out), sort: (row) => row.bytes_in + row.bytes_out, wide: true, right: true },
            { name: "Outcome", text: (row) => (row.ended ? (row.outcome ?? "") : standstill(row) || "live"), show: (row) => <Outcome row={row} /> },
          ]}
        />
      )}
      {rows.length === PAGE && oldest && (
        <p>
          <button type="button" onClick={() => go(query("/sessions", { state, principal, target, since, until, before: oldest }))}>
            Older
          </button>
        </p>
      )}
      <Equivalent cli={cli.filter(Boolean).join(" ")} api={`GET ${path}`} />
    </Page>
  );
}

/** What `row` waits for, in words; empty: it goes on. */
export function standstill(row: Session): string {
  const waits = row.waiting_for === "presence" ? "waits for a moderator" : row.waiting_for ? `waits for approval (${row.waiting_for})` : "";
  return [row.held && "held", waits].filter(Boolean).join(", ");
}

function Running({ row }: { row: Session }) {
  const still = standstill(row);
  return (
    <>
      <Badge tone={still ? "warn" : "good"}>{still || "live"}</Badge>
      {row.waiting_for && (
        <>
          {" "}
          <a href="/requests">Requests</a>
        </>
      )}
    </>
  );
}

export function Outcome({ row }: { row: Session }) {
  if (!row.ended) return <Running row={row} />;
  return (
    <>
      <Badge tone={row.code ? "bad" : "plain"}>{row.code || row.outcome || "ended"}</Badge>{" "}
      {row.recorded === "incomplete" && <Badge tone="bad">recording incomplete</Badge>}
    </>
  );
}
