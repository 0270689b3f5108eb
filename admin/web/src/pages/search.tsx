// What people saw, over all recordings; a hit opens its recording at that second.
import { useEffect, useState } from "preact/hooks";

import { call, query } from "../api";
import { setFilters, usePlace } from "../route";
import { clock, moment, quoted } from "../text";
import type { Hit } from "../types";
import { Badge, DayFilter, Empty, Equivalent, Filter, Page, ProblemBox, Table } from "../ui";
import { useAction } from "../use";

export function Search() {
  const { query: filters } = usePlace();
  const get = (name: string) => filters.get(name) ?? "";
  const [reason, setReason] = useState("");
  const [answer, setAnswer] = useState<{ hits: Hit[]; complete: boolean }>();
  const since = get("since");
  const { run, busy, problem } = useAction(async () => {
    setAnswer(undefined);
    const body: Record<string, unknown> = { text: get("q"), reason };
    if (get("principal")) body.principal = get("principal");
    if (get("target")) body.target = get("target");
    if (since) body.since = `${since}T00:00:00Z`;
    if (get("commands") === "yes") body.commands = true;
    if (get("regex") === "yes") body.regex = true;
    setAnswer(await call("/v1/search", { method: "POST", body }));
  });
  useEffect(() => setAnswer(undefined), [filters.toString()]);
  const cli = ["sallyport search", quoted(get("q") || "TEXT"), get("principal") && `--principal ${quoted(get("principal"))}`, get("target") && `--target ${quoted(get("target"))}`, since && `--since ${since}`, `--reason ${quoted(reason || "why you look")}`];
  return (
    <Page title="Search">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void run();
        }}
      >
        <div class="filters" role="search">
          <Filter label="Text" value={get("q")} onChange={(value) => setFilters({ q: value })} />
          <Filter label="Principal" value={get("principal")} onChange={(value) => setFilters({ principal: value })} />
          <Filter label="Target" value={get("target")} onChange={(value) => setFilters({ target: value })} />
          <DayFilter label="Since" value={since} onChange={(value) => setFilters({ since: value })} />
          <Filter label="Only commands" value={get("commands")} list={["", "yes"]} onChange={(value) => setFilters({ commands: value })} />
          <Filter label="Expression" value={get("regex")} list={["", "yes"]} onChange={(value) => setFilters({ regex: value })} />
          <label class="filter">
            <span>Reason</span>
            <input value={reason} required maxLength={200} onInput={(event) => setReason(event.currentTarget.value)} />
          </label>
          <button type="submit" disabled={busy || !get("q").trim() || !reason.trim()}>
            {busy ? "Searching" : "Search"}
          </button>
        </div>
      </form>
      <ProblemBox problem={problem} />
      {!answer && !problem && <Empty>Name what somebody saw on a screen or typed as a command, and why you look: a search is an event of its own.</Empty>}
      {answer && answer.hits.length === 0 && <Empty>Nobody saw that. Take a filter away, or see that the index is up to date: sallyport index --follow.</Empty>}
      {answer && answer.hits.length > 0 && (
        <>
          {!answer.complete && <p class="hint">There is more: these are the first {answer.hits.length}.</p>}
          <Table
            caption="Hits"
            file="search"
            id={(row) => `${row.session} ${row.channel} ${row.at} ${row.line}`}
            rows={answer.hits}
            columns={[
              { name: "At", text: (row) => row.at, show: (row) => <time dateTime={row.at}>{clock(row.at)}</time> },
              { name: "Principal", text: (row) => row.principal },
              { name: "Target", text: (row) => `${row.account}@${row.target}`, wide: true },
              {
                name: "Line",
                text: (row) => row.line,
                show: (row) => (
                  <>
                    {row.command && <Badge tone="plain">command</Badge>} <code>{row.line}</code>
                  </>
                ),
              },
              {
                name: "Replay",
                text: (row) => moment(row.offset_ms),
                show: (row) => <a href={query(`/sessions/${row.session}/replay`, { channel: row.channel, t: (row.offset_ms / 1000 + 0.05).toFixed(2) })}>from {moment(row.offset_ms)}</a>,
              },
            ]}
          />
        </>
      )}
      <Equivalent cli={cli.filter(Boolean).join(" ")} api={`POST /v1/search {"text": ${JSON.stringify(get("q"))}, "reason": ${JSON.stringify(reason)}}`} />
    </Page>
  );
}
