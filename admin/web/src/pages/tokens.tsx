// Tokens for programs and for this page: made once, shown once.
import { useState } from "preact/hooks";

import { call, change } from "../api";
import { clock, quoted } from "../text";
import type { Token } from "../types";
import { CopyLine, Empty, Equivalent, Page, ProblemBox, Table } from "../ui";
import { useAction, useLoad } from "../use";

export function Tokens() {
  const { data, problem, again } = useLoad<{ tokens: Token[] }>("/v1/tokens");
  const [name, setName] = useState("");
  const [lasts, setLasts] = useState("24h");
  const [made, setMade] = useState("");
  const make = useAction(async () => {
    const answer = await call<{ token: string }>("/v1/tokens", { method: "POST", body: { name, lasts } });
    setMade(answer.token);
    setName("");
    again();
  });
  const revoke = useAction(async (id: string) => {
    await change(`/v1/tokens/${id}`, "DELETE");
    again();
  });
  return (
    <Page title="Tokens">
      <form
        class="filters"
        aria-label="Make a token"
        onSubmit={(event) => {
          event.preventDefault();
          void make.run();
        }}
      >
        <label class="filter">
          <span>What it is for</span>
          <input required maxLength={255} value={name} onInput={(event) => setName(event.currentTarget.value)} />
        </label>
        <label class="filter">
          <span>Valid for</span>
          <input required value={lasts} onInput={(event) => setLasts(event.currentTarget.value)} />
        </label>
        <button type="submit" disabled={make.busy || !name}>
          Make
        </button>
      </form>
      {made && (
        <div role="status">
          <p>This is the only time that the token is shown. The gateway keeps a hash of it.</p>
          <CopyLine label="token" text={made} />
        </div>
      )}
      <ProblemBox problem={make.problem ?? revoke.problem ?? problem} />
      {data?.tokens.length === 0 ? (
        <Empty>No token is valid. Say above what one is for and make it: a program shows it as `Authorization: Bearer`.</Empty>
      ) : (
        <Table
          caption="Tokens"
          file="tokens"
          id={(row) => row.id}
          rows={data?.tokens ?? []}
          columns={[
            { name: "For", text: (row) => row.name },
            { name: "Principal", text: (row) => row.principal },
            { name: "Scopes", text: (row) => row.scopes.join(" ") || "all of hers", wide: true },
            { name: "Networks", text: (row) => row.networks.join(" ") || "any", wide: true },
            { name: "Expires", text: (row) => row.expires, show: (row) => <time dateTime={row.expires}>{clock(row.expires)}</time> },
            {
              name: "Act",
              text: () => "",
              show: (row) => (
                <button type="button" class="danger" disabled={revoke.busy} onClick={() => void revoke.run(row.id)} aria-label={`Revoke the token ${row.name}`}>
                  Revoke
                </button>
              ),
            },
          ]}
        />
      )}
      <Equivalent cli={`sallyport token create --name ${quoted(name || "NAME")} --lasts ${lasts}`} api="POST /v1/tokens" />
    </Page>
  );
}
