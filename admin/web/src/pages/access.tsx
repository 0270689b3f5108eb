// Who can reach what: the question of an access review, answered by the one engine.
import { query } from "../api";
import { setFilters, usePlace } from "../route";
import { quoted } from "../text";
import type { Explanation, Principal, Target } from "../types";
import { Badge, Empty, Equivalent, Filter, Page, ProblemBox, Table } from "../ui";
import { useLoad } from "../use";

export function Access() {
  const { query: filters } = usePlace();
  const who = filters.get("principal") ?? "";
  const what = filters.get("target") ?? "";
  const account = filters.get("account") ?? "";
  const principals = useLoad<{ principals: Principal[] }>("/v1/principals");
  const targets = useLoad<{ targets: Target[] }>("/v1/targets");
  const text = (filters.get("q") ?? "").toLowerCase();
  const rows = (principals.data?.principals ?? []).filter((row) => !text || `${row.name} ${row.display} ${row.groups.join(" ")}`.toLowerCase().includes(text));
  return (
    <Page title="Access review">
      <section aria-labelledby="ask">
        <h2 id="ask">May they?</h2>
        <div class="filters">
          <Filter label="Principal" value={who} list={["", ...(principals.data?.principals ?? []).map((each) => each.name)]} onChange={(value) => setFilters({ principal: value })} />
          <Filter label="Target" value={what} list={["", ...(targets.data?.targets ?? []).map((each) => each.name)]} onChange={(value) => setFilters({ target: value })} />
          <Filter label="Account" value={account} onChange={(value) => setFilters({ account: value })} />
        </div>
        {who && what ? <Answer who={who} what={what} account={account} /> : <Empty>Choose a principal and a target to see the decision and every rule that was looked at.</Empty>}
      </section>
      <section aria-labelledby="people">
        <h2 id="people">Principals</h2>
        <div class="filters" role="search">
          <Filter label="Name or group" value={filters.get("q") ?? ""} onChange={(value) => setFilters({ q: value })} />
        </div>
        <ProblemBox problem={principals.problem} />
        <Table
          caption="Principals"
          file="principals"
          id={(row) => row.name}
          rows={rows}
          columns={[
            { name: "Name", text: (row) => row.name },
            { name: "Type", text: (row) => row.type },
            { name: "Groups", text: (row) => row.groups.join(" ") },
            { name: "Keys", text: (row) => String(row.keys.length), sort: (row) => row.keys.length, wide: true, right: true },
            { name: "Password", text: (row) => (row.password ? "yes" : "no"), wide: true },
            { name: "TOTP", text: (row) => (row.totp ? "yes" : "no"), wide: true },
            { name: "Expires", text: (row) => row.expires || "never", wide: true },
          ]}
        />
        <Equivalent cli="sallyport get principals" api="GET /v1/principals" />
      </section>
    </Page>
  );
}

function Answer({ who, what, account }: { who: string; what: string; account: string }) {
  const path = query("/v1/explain", { principal: who, target: what, account });
  const { data, problem } = useLoad<Explanation>(path);
  return (
    <>
      <ProblemBox problem={problem} />
      {data && (
        <>
          <p>
            <Badge tone={data.allowed ? "good" : "bad"}>{data.allowed ? "allowed" : "denied"}</Badge> {data.code} {data.why}
          </p>
          <pre tabIndex={0}>{data.text}</pre>
        </>
      )}
      <Equivalent cli={`sallyport explain --as ${quoted(who)} --target ${quoted(what)}${account ? ` --account ${quoted(account)}` : ""}`} api={`GET ${path}`} />
    </>
  );
}
