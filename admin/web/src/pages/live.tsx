// What happens now: running sessions with a way to end them, the state of the gateway, the newest decisions.
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

import { bytes, clock, since } from "../text";
import type { AuditEvent, Session, Status, WhoAmI } from "../types";
import { Badge, Decision, Empty, Equivalent, Page, ProblemBox, Table } from "../ui";
import { useLoad } from "../use";
import { Acts } from "./acts";
import { Outcome, standstill } from "./sessions";

const POLL_S = 2;
const KEPT = 300; // points of the chart: ten minutes
const LEAST_S = 60; // that the chart spans

function spanOf(times: number[]): [number, number] {
  const now = Date.now() / 1000;
  return [Math.min(times[0] ?? now, now - LEAST_S), now];
}

export function Live({ who }: { who: WhoAmI }) {
  const status = useLoad<Status>("/v1/status", POLL_S);
  const sessions = useLoad<{ sessions: Session[] }>("/v1/sessions?state=live&limit=1000&brief=true", POLL_S);
  const events = useLoad<{ events: AuditEvent[] }>("/v1/events?limit=4096", POLL_S);
  const mayAct = who.is_root || who.rights.includes("lock");
  const decided = (events.data?.events ?? []).filter((event) => event.fields?.decision).slice(-12).reverse();
  return (
    <Page title="Live" aside={<Standing status={status.data} />}>
      <ProblemBox problem={status.problem ?? sessions.problem} />
      <Numbers status={status.data} sessions={sessions.data?.sessions} />
      <Trend count={status.data?.live_sessions} />
      <section aria-labelledby="running">
        <h2 id="running">Running sessions</h2>
        {sessions.data?.sessions.length === 0 ? (
          <Empty>
            Nobody is connected. Try <code>ssh -p PORT engineer+target@gateway</code>; the lines to copy stand under <a href="/targets">Targets</a>.
          </Empty>
        ) : (
          <Table
            caption="Running sessions"
            file="live-sessions"
            id={(row) => row.session}
            rows={sessions.data?.sessions ?? []}
            columns={[
              { name: "Principal", text: (row) => row.principal || "not yet proven", show: (row) => <a href={`/sessions/${row.session}`}>{row.principal || "not yet proven"}</a> },
              { name: "Target", text: (row) => (row.target ? `${row.account}@${row.target}` : "none") },
              { name: "State", text: (row) => standstill(row) || "live", show: (row) => <Outcome row={row} /> },
              { name: "From", text: (row) => row.peer, wide: true },
              { name: "Since", text: (row) => since(row.started), sort: (row) => -new Date(row.started).getTime(), right: true },
              { name: "To target", text: (row) => bytes(row.bytes_in), sort: (row) => row.bytes_in, wide: true, right: true },
              { name: "From target", text: (row) => bytes(row.bytes_out), sort: (row) => row.bytes_out, wide: true, right: true },
              {
                name: "Act",
                text: () => "",
                show: (row) => (
                  <span class="acts">
                    <a href={`/sessions/${row.session}/replay`} aria-label={`Watch the session of ${row.principal} on ${row.target}`}>
                      Watch
                    </a>
                    {mayAct && row.principal && <Acts id={row.session} of={`${row.principal}${row.target ? ` on ${row.target}` : ""}`} onDone={sessions.again} />}
                  </span>
                ),
              },
            ]}
          />
        )}
        <Equivalent cli="sallyport sessions --live -o json" api="GET /v1/sessions?state=live, POST /v1/sessions/{session}/message|hold|release, DELETE /v1/sessions/{session}" />
      </section>
      <section aria-labelledby="decisions">
        <h2 id="decisions">Newest decisions</h2>
        {decided.length === 0 ? (
          <Empty>No decision since the gateway started.</Empty>
        ) : (
          <ul class="feed" aria-live="off">
            {decided.map((event) => (
              <li key={event.number}>
                <time dateTime={event.at}>{clock(event.at)}</time>
                <Decision value={event.fields?.decision} />
                <span>
                  {event.name} {String(event.fields?.principal ?? "")} {String(event.fields?.target ?? "")} {String(event.fields?.code ?? "")}
                </span>
              </li>
            ))}
          </ul>
        )}
      </section>
    </Page>
  );
}

function Standing({ status }: { status?: Status }) {
  if (!status) return null;
  return <Badge tone={status.state === "serving" ? "good" : "bad"}>{status.state}</Badge>;
}

function Numbers({ status, sessions }: { status?: Status; sessions?: Session[] }) {
  const moved = (sessions ?? []).reduce((sum, each) => sum + each.bytes_in + each.bytes_out, 0);
  const cards: [string, string, string?][] = [
    ["Sessions", String(status?.live_sessions ?? "–")],
    ["Not yet proven", String(status?.unproven_connections ?? "–")],
    ["Moved by running sessions", bytes(moved)],
    ["Recorder", status?.recorder ?? "–", status && status.recorder !== "healthy" ? "bad" : undefined],
    ["Events not yet recorded", String(status?.recorder_waiting ?? "–"), status && status.recorder_waiting > 1000 ? "bad" : undefined],
    ["Object store", status ? status.store || "none" : "–", status && /refused|trouble/.test(status.store) ? "bad" : undefined],
    ["Guard hits", String(status?.guard_hits ?? "–")],
    ["Denied", String(status?.denied ?? "–")],
    ["Vault", status?.vault ?? "–", status && status.vault !== "unsealed" ? "bad" : undefined],
    ["Locks", String(status?.locks ?? "–")],
  ];
  return (
    <dl class="cards">
      {cards.map(([name, value, tone]) => (
        <div class={tone ?? ""}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Sessions over the time that this page has been open. */
function Trend({ count }: { count?: number }) {
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot>();
  const points = useRef<[number[], number[]]>([[], []]);
  useEffect(() => {
    const box = place.current;
    if (!box) return;
    const color = getComputedStyle(document.documentElement).getPropertyValue("--accent").trim();
    const ink = getComputedStyle(document.documentElement).getPropertyValue("--soft").trim();
    const axis = { stroke: ink, grid: { show: false }, ticks: { show: false } };
    chart.current = new uPlot(
      {
        width: box.clientWidth,
        height: 120,
        legend: { show: false },
        cursor: { show: false },
        scales: { x: { range: () => spanOf(points.current[0]) }, y: { range: (_, __, max) => [0, Math.max(4, max * 1.2)] } },
        axes: [axis, { ...axis, size: 36, space: 18, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] }],
        series: [{}, { stroke: color, width: 2, fill: `${color}22`, points: { show: false } }],
      },
      points.current,
      box,
    );
    const resize = new ResizeObserver(() => chart.current?.setSize({ width: box.clientWidth, height: 120 }));
    resize.observe(box);
    return () => {
      resize.disconnect();
      chart.current?.destroy();
    };
  }, []);
  useEffect(() => {
    if (count === undefined) return;
    const timer = window.setInterval(add, POLL_S * 1000);
    add();
    function add() {
      const [times, counts] = points.current;
      times.push(Date.now() / 1000);
      counts.push(count ?? 0);
      if (times.length > KEPT) {
        times.shift();
        counts.shift();
      }
      chart.current?.setData(points.current);
    }
    return () => clearInterval(timer);
  }, [count]);
  return (
    <figure class="trend">
      <figcaption>Sessions since this page was opened{count === undefined ? "" : `: now ${count}`}</figcaption>
      <div ref={place} aria-hidden="true" />
    </figure>
  );
}
