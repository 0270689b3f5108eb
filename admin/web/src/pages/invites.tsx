// People who are to enrol themselves: an invite is made here, its code and link are shown once.
import { useState } from "preact/hooks";

import { call } from "../api";
import { clock, quoted, sshLine } from "../text";
import type { InviteRow, WhoAmI } from "../types";
import { CopyLine, Empty, Equivalent, Page, ProblemBox, Table } from "../ui";
import { useAction, useLoad } from "../use";

type Made = InviteRow & { code: string; link?: string };

export function Invites({ who }: { who: WhoAmI }) {
  const { data, problem, again } = useLoad<{ invites: InviteRow[] }>("/v1/invites");
  const [name, setName] = useState("");
  const [lasts, setLasts] = useState("24h");
  const [made, setMade] = useState<Made>();
  const make = useAction(async () => {
    setMade(undefined);
    setMade(await call<Made>("/v1/invites", { method: "POST", body: { principal: name.trim(), lasts: lasts.trim() } }));
    setName("");
    again();
  });
  const revoke = useAction(async (id: string) => {
    await call(`/v1/invites/${id}`, { method: "DELETE" });
    if (made?.id === id) setMade(undefined);
    again();
  });
  // Without admin.origin the gateway does not know by which address its page is opened; here it was opened by this one.
  const link = made && (made.link ?? `${location.origin}/invited#${made.code}`);
  return (
    <Page title="Invites">
      <p class="hint">
        The policy says who exists and what she may enrol (<code>enrol: [keys, totp]</code> in her entry). An invite lets her do it once, in a browser or over ssh.
      </p>
      <form
        class="filters"
        aria-label="Make an invite"
        onSubmit={(event) => {
          event.preventDefault();
          void make.run();
        }}
      >
        <label class="filter">
          <span>Principal</span>
          <input required maxLength={63} value={name} onInput={(event) => setName(event.currentTarget.value)} />
        </label>
        <label class="filter">
          <span>Valid for (7d at most)</span>
          <input required maxLength={32} value={lasts} onInput={(event) => setLasts(event.currentTarget.value)} />
        </label>
        <button type="submit" disabled={make.busy || !name.trim()}>
          Invite
        </button>
      </form>
      {made && link && (
        <div role="status">
          <p>
            Send one of these to {made.principal}, by a way that nobody else reads. It is shown this once, and good once, until <time dateTime={made.expires}>{clock(made.expires)}</time>.
          </p>
          <CopyLine label="link" text={link} />
          <CopyLine label="ssh" text={sshLine(made.code, who.ssh)} />
        </div>
      )}
      <ProblemBox problem={make.problem ?? revoke.problem ?? problem} />
      {data?.invites.length === 0 ? (
        <Empty>No invite is open. Name a person of the policy above to invite her.</Empty>
      ) : (
        <Table
          caption="Open invites"
          file="invites"
          id={(row) => row.id}
          rows={data?.invites ?? []}
          columns={[
            { name: "Principal", text: (row) => row.principal },
            { name: "By", text: (row) => row.by },
            { name: "Expires", text: (row) => row.expires, show: (row) => <time dateTime={row.expires}>{clock(row.expires)}</time> },
            {
              name: "Act",
              text: () => "",
              show: (row) => (
                <button type="button" class="danger" disabled={revoke.busy} onClick={() => void revoke.run(row.id)} aria-label={`Take the invite of ${row.principal} back`}>
                  Take back
                </button>
              ),
            },
          ]}
        />
      )}
      <Equivalent cli={`sallyport principal invite ${quoted(name || "NAME")} --for ${lasts}`} api="GET /v1/invites, POST /v1/invites, DELETE /v1/invites/{id}" />
    </Page>
  );
}
