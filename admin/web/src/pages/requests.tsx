// Asking and approving: what waits for a second person, decided here, from the command line or over ssh alike.
import { useState } from "preact/hooks";

import { call, change } from "../api";
import { usePlace, setFilters } from "../route";
import { clock, quoted } from "../text";
import type { AccessRequest, Reachable, WhoAmI } from "../types";
import { AskReason, Badge, Empty, Equivalent, Filter, Page, ProblemBox, Table } from "../ui";
import { useAction, useLoad } from "../use";

const OPEN = "pending";

export function Requests({ who }: { who: WhoAmI }) {
  const { query: filters } = usePlace();
  const state = filters.get("state") ?? "open";
  const { data, problem, again } = useLoad<{ requests: AccessRequest[] }>(`/v1/requests?state=${state}`, 2);
  const [asked, setAsked] = useState<{ row: AccessRequest; approve: boolean }>();
  const vote = useAction(async (row: AccessRequest, approve: boolean, reason: string) => {
    await call(`/v1/requests/${row.id}/${approve ? "approve" : "deny"}`, { method: "POST", body: { reason } });
    setAsked(undefined);
    again();
  });
  const cancel = useAction(async (row: AccessRequest) => {
    await change(`/v1/requests/${row.id}`, "DELETE");
    again();
  });
  const rows = data?.requests ?? [];
  return (
    <Page title="Requests" aside={state === "open" && rows.length > 0 && <Badge tone="warn">{rows.filter((row) => row.state === OPEN).length} waiting</Badge>}>
      {who.principal && <Ask onAsked={again} />}
      <div class="filters">
        <Filter label="Show" value={state} list={["open", "all"]} onChange={(value) => setFilters({ state: value })} />
      </div>
      <ProblemBox problem={problem ?? cancel.problem} />
      {data && rows.length === 0 ? (
        <Empty>
          Nothing waits. Access that a role gives on approval is asked for above, with <code>ssh YOU@gateway request TARGET --for 1h --reason WHY</code>, or by simply connecting.
        </Empty>
      ) : (
        <Table
          caption="Requests"
          file="requests"
          id={(row) => row.id}
          rows={rows}
          columns={[
            { name: "Asked", text: (row) => row.created, show: (row) => <time dateTime={row.created}>{clock(row.created)}</time>, wide: true },
            { name: "Who", text: (row) => row.principal },
            { name: "For", text: (row) => `${row.kind} ${row.account ? `${row.account}@` : ""}${row.target}`, show: (row) => <What row={row} /> },
            { name: "Why", text: (row) => row.reason, wide: true },
            { name: "State", text: (row) => row.state, show: (row) => <State row={row} /> },
            {
              name: "Act",
              text: () => "",
              show: (row) =>
                row.state === OPEN && (
                  <span class="acts">
                    {row.principal !== who.principal && (
                      <>
                        {row.kind === "presence" ? (
                          <a href={`/sessions/${row.text.split(" ").pop() ?? ""}`} aria-label={`Join the session of ${row.principal}`}>
                            Join
                          </a>
                        ) : (
                          <button type="button" onClick={() => setAsked({ row, approve: true })} aria-label={`Approve the request of ${row.principal}`}>
                            Approve
                          </button>
                        )}
                        <button type="button" class="danger" onClick={() => setAsked({ row, approve: false })} aria-label={`Deny the request of ${row.principal}`}>
                          Deny
                        </button>
                      </>
                    )}
                    {row.principal === who.principal && (
                      <button type="button" disabled={cancel.busy} onClick={() => void cancel.run(row)}>
                        Take back
                      </button>
                    )}
                  </span>
                ),
            },
          ]}
        />
      )}
      <Equivalent cli={`sallyport request list${state === "all" ? " --all" : ""}`} api={`GET /v1/requests?state=${state}`} />
      {asked && (
        <AskReason
          title={`${asked.approve ? "Approve" : "Deny"} what ${asked.row.principal} asks: ${asked.row.text || asked.row.kind} on ${asked.row.target}?`}
          act={asked.approve ? "Approve" : "Deny"}
          busy={vote.busy}
          problem={vote.problem}
          onDo={(reason) => void vote.run(asked.row, asked.approve, reason)}
          onLeave={() => setAsked(undefined)}
        />
      )}
    </Page>
  );
}

function What({ row }: { row: AccessRequest }) {
  return (
    <>
      {row.kind} on {row.account ? `${row.account}@` : ""}
      {row.target}
      {row.text && (
        <pre class="held" tabIndex={0}>
          {row.text}
        </pre>
      )}
    </>
  );
}

function State({ row }: { row: AccessRequest }) {
  const yes = row.votes.filter((vote) => vote.approve).map((vote) => vote.by);
  const no = row.votes.filter((vote) => !vote.approve).map((vote) => vote.by);
  const tone = row.state === OPEN ? "warn" : row.state === "approved" ? "good" : "plain";
  return (
    <>
      <Badge tone={tone}>{row.state}</Badge>
      <div class="hint">
        {row.state === OPEN && `${yes.length} of ${row.needed} said yes, until ${clock(row.decide_by)}`}
        {row.state !== OPEN && yes.length > 0 && `yes: ${yes.join(", ")} `}
        {no.length > 0 && `no: ${no.join(", ")}`}
      </div>
    </>
  );
}

function Ask({ onAsked }: { onAsked: () => void }) {
  const mine = useLoad<{ reachable: Reachable[] }>("/v1/reachable");
  const [draft, setDraft] = useState({ target: "", account: "", reason: "", lasts: "1h" });
  const ask = useAction(async () => {
    const body = Object.fromEntries(Object.entries(draft).filter(([, value]) => value));
    await call("/v1/requests", { method: "POST", body });
    setDraft({ ...draft, target: "", account: "", reason: "" });
    onAsked();
  });
  const fields = [
    ["target", "Target"],
    ["account", "Account"],
    ["reason", "Reason"],
    ["lasts", "For how long"],
  ] as const;
  return (
    <section aria-labelledby="ask-access">
      <h2 id="ask-access">Ask for access</h2>
      <form
        class="filters"
        onSubmit={(event) => {
          event.preventDefault();
          void ask.run();
        }}
      >
        {fields.map(([name, label]) => (
          <label class="filter">
            <span>{label}</span>
            <input
              value={draft[name]}
              required={name === "target" || name === "reason"}
              list={name === "target" ? "target-names" : undefined}
              onInput={(event) => setDraft({ ...draft, [name]: event.currentTarget.value })}
            />
          </label>
        ))}
        <datalist id="target-names">
          {[...new Set(mine.data?.reachable.map((row) => row.target))].map((name) => (
            <option value={name} />
          ))}
        </datalist>
        <button type="submit" disabled={ask.busy || !draft.target || !draft.reason}>
          Ask
        </button>
      </form>
      <ProblemBox problem={ask.problem} />
      <Equivalent cli={`ssh YOU@gateway request ${quoted(draft.target || "TARGET")} --for ${draft.lasts || "1h"} --reason ${quoted(draft.reason || "WHY")}`} api="POST /v1/requests" />
    </section>
  );
}
