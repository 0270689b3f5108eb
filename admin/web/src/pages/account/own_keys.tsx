// One's own ssh keys: those that one enrolled are added and removed here, those of the policy stand beside them.
import { useState } from "preact/hooks";

import { call, change, session } from "../../api";
import type { OwnKey, OwnKeys } from "../../types";
import { Badge, Empty, Equivalent, ProblemBox, Table } from "../../ui";
import { useAction, useLoad } from "../../use";

type Row = OwnKey & { from: "enrolled" | "policy" };

export function SshKeys({ name }: { name: string }) {
  const { data, problem, again } = useLoad<OwnKeys>("/v1/own-keys");
  const [line, setLine] = useState("");
  const add = useAction(async () => {
    await call("/v1/own-keys", { method: "POST", body: { public_key: line.trim() } });
    setLine("");
    again();
  });
  const remove = useAction(async (id: string) => {
    await change(`/v1/own-keys/${id}`, "DELETE");
    again();
  });
  const mayChange = !!data?.may_enrol && session.is();
  const rows: Row[] = [...(data?.items ?? []).map((key) => ({ ...key, from: "enrolled" as const })), ...(data?.in_policy ?? []).map((key) => ({ ...key, from: "policy" as const }))];
  return (
    <section aria-labelledby="ssh-keys">
      <h2 id="ssh-keys">SSH keys</h2>
      {mayChange && (
        <form
          class="card"
          aria-label="Add an ssh key"
          onSubmit={(event) => {
            event.preventDefault();
            void add.run();
          }}
        >
          <label>
            Public key (the line of the .pub file)
            <textarea class="key-line" rows={3} required maxLength={8192} spellcheck={false} placeholder="ssh-ed25519 AAAA... laptop" value={line} onInput={(event) => setLine(event.currentTarget.value)} />
          </label>
          <div>
            <button type="submit" disabled={add.busy || !line.trim()}>
              Add the key
            </button>
          </div>
        </form>
      )}
      <ProblemBox problem={add.problem ?? remove.problem ?? problem} />
      {data && rows.length === 0 ? (
        <Empty>
          {mayChange
            ? "No key proves that it is you. Make one with ssh-keygen -t ed25519 and paste its .pub file above."
            : data.may_enrol
              ? "No key proves that it is you. Sign in with your name, not with a token, to add one."
              : "The policy does not let you enrol ssh keys. Ask an administrator to add keys to `enrol` in your entry."}
        </Empty>
      ) : (
        <Table
          caption="SSH keys"
          file="ssh-keys"
          id={(row) => `${row.from}-${row.id}`}
          rows={rows}
          columns={[
            { name: "Comment", text: (row) => row.comment || "none" },
            { name: "Kind", text: (row) => row.algorithm, wide: true },
            { name: "Fingerprint", text: (row) => row.fingerprint, show: (row) => <code class="long">{row.fingerprint}</code> },
            {
              name: "From",
              text: (row) => (row.from === "policy" ? "the policy" : row.counts ? "you" : "you, does not count"),
              show: (row) => (row.from === "policy" ? "the policy" : row.counts ? "you" : <Badge tone="warn">does not count: the policy forbids it</Badge>),
            },
            {
              name: "Act",
              text: () => "",
              show: (row) =>
                row.from === "enrolled" && session.is() && data?.may_enrol ? (
                  <button type="button" class="danger" disabled={remove.busy} onClick={() => void remove.run(row.id)} aria-label={`Remove the key ${row.comment || row.fingerprint}; sessions by it end`}>
                    Remove
                  </button>
                ) : null,
            },
          ]}
        />
      )}
      <Equivalent cli={`ssh ${name || "NAME"}@gateway keys add "$(cat new.pub)" --code 123456`} api="GET /v1/own-keys, POST /v1/own-keys, DELETE /v1/own-keys/{id}" />
    </section>
  );
}
