// Locks: a principal, target or account that nobody gets through, now.
import { useState } from "preact/hooks";

import { call, change } from "../api";
import { quoted } from "../text";
import type { Lock } from "../types";
import { Empty, Equivalent, Page, ProblemBox, Table } from "../ui";
import { useAction, useLoad } from "../use";

export function Locks() {
  const { data, problem, again } = useLoad<{ locks: Lock[] }>("/v1/locks", 5);
  const [draft, setDraft] = useState({ principal: "", target: "", account: "", reason: "" });
  const set = useAction(async () => {
    const named = Object.fromEntries(Object.entries(draft).filter(([, value]) => value.trim()));
    await call("/v1/locks", { method: "POST", body: named });
    setDraft({ principal: "", target: "", account: "", reason: "" });
    again();
  });
  const lift = useAction(async (id: string) => {
    await change(`/v1/locks/${encodeURIComponent(id)}`, "DELETE");
    again();
  });
  const fields = ["principal", "target", "account", "reason"] as const;
  const empty = !draft.principal && !draft.target && !draft.account;
  const cli = fields.filter((name) => draft[name]).map((name) => `--${name} ${quoted(draft[name])}`);
  return (
    <Page title="Locks">
      <form
        class="filters"
        aria-label="Set a lock"
        onSubmit={(event) => {
          event.preventDefault();
          void set.run();
        }}
      >
        {fields.map((name) => (
          <label class="filter">
            <span>{name === "reason" ? "Reason" : name[0]?.toUpperCase() + name.slice(1)}</span>
            <input value={draft[name]} required={name === "reason"} onInput={(event) => setDraft({ ...draft, [name]: event.currentTarget.value })} />
          </label>
        ))}
        <button type="submit" class="danger" disabled={set.busy || empty || !draft.reason}>
          Lock
        </button>
      </form>
      <p class="hint">A lock applies where every given name matches. Live sessions that match end within a second.</p>
      <ProblemBox problem={set.problem ?? lift.problem ?? problem} />
      {data?.locks.length === 0 ? (
        <Empty>Nothing is locked.</Empty>
      ) : (
        <Table
          caption="Locks"
          file="locks"
          id={(row) => row.id}
          rows={data?.locks ?? []}
          columns={[
            { name: "Principal", text: (row) => row.principal || "any" },
            { name: "Target", text: (row) => row.target || "any" },
            { name: "Account", text: (row) => row.account || "any" },
            { name: "Reason", text: (row) => row.reason },
            { name: "Until", text: (row) => row.expires || "lifted", wide: true },
            {
              name: "Act",
              text: () => "",
              show: (row) => (
                <button type="button" disabled={lift.busy} onClick={() => void lift.run(row.id)} aria-label={`Lift the lock: ${row.reason}`}>
                  Lift
                </button>
              ),
            },
          ]}
        />
      )}
      <Equivalent cli={`sallyport lock set ${cli.join(" ")}`.trim()} api="POST /v1/locks" />
    </Page>
  );
}
