// Who can reach what: the question of an access review, answered by the one engine.
import { query } from "../api";
import { setFilters, usePlace } from "../route";
import { clock, quoted } from "../text";
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
      <Review who={who} what={what} days={filters.get("unused") ?? ""} />
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

interface Reach {
  principal: string;
  target: string;
  account: string;
  second_factor: boolean;
  approval: boolean;
  last_used: string;
  sessions: number;
}

const UNUSED = ["", "30", "90", "180", "365"];

/** Who can reach what, and what nobody used: the list that a reviewer signs. */
function Review({ who, what, days }: { who: string; what: string; days: string }) {
  const path = query("/v1/access-review", { principal: who, target: what, unused_days: days, limit: 10_000 });
  const { data, problem } = useLoad<{ access: Reach[]; next: string }>(path);
  return (
    <section aria-labelledby="reach">
      <h2 id="reach">Who can reach what</h2>
      <div class="filters">
        <Filter label="Not used for days" value={days} list={UNUSED} onChange={(value) => setFilters({ unused: value })} />
      </div>
      <ProblemBox problem={problem} />
      {data && data.access.length === 0 ? (
        <Empty>{days ? `Everything that is allowed was used within ${days} days.` : "Nobody can reach anything: bind a role to somebody in your policy files and apply them."}</Empty>
      ) : (
        <Table
          caption="Who can reach what"
          file="access-review"
          id={(row) => `${row.principal} ${row.account} ${row.target}`}
          rows={data?.access ?? []}
          columns={[
            { name: "Principal", text: (row) => row.principal },
            { name: "Target", text: (row) => row.target },
            { name: "Account", text: (row) => row.account },
            { name: "Needs", text: (row) => [row.second_factor && "a second factor", row.approval && "an approval"].filter(Boolean).join(", ") || "nothing more", wide: true },
            { name: "Sessions", text: (row) => String(row.sessions), sort: (row) => row.sessions, right: true, wide: true },
            {
              name: "Last used",
              text: (row) => row.last_used || "never",
              show: (row) => (row.last_used ? <time dateTime={row.last_used}>{clock(row.last_used)}</time> : <Badge tone="warn">never</Badge>),
            },
          ]}
        />
      )}
      {data?.next && <p class="hint">There is more; choose a principal or a target, or read the rest from the API.</p>}
      <Equivalent cli={`curl --unix-socket RUN_DIR/admin.sock 'http://gateway${path}'`} api={`GET ${path}`} />
    </section>
  );
}
