// What the vault holds, by name; values are never shown here.
import { setFilters, usePlace } from "../route";
import { Empty, Equivalent, Filter, Page, ProblemBox, Table } from "../ui";
import { useLoad } from "../use";

interface Secret {
  name: string;
  kind: string;
  version?: number;
  versions?: number;
  leases?: number;
  created?: string;
}

export function Secrets() {
  const { query } = usePlace();
  const text = (query.get("q") ?? "").toLowerCase();
  const { data, problem } = useLoad<{ secrets: Secret[] }>("/v1/secrets");
  const rows = (data?.secrets ?? []).filter((row) => !text || row.name.toLowerCase().includes(text));
  return (
    <Page title="Secrets">
      <div class="filters" role="search">
        <Filter label="Name" value={query.get("q") ?? ""} onChange={(value) => setFilters({ q: value })} />
      </div>
      <ProblemBox problem={problem} />
      {data && rows.length === 0 ? (
        <Empty>
          {text ? "No secret has such a name." : "The vault holds no secret of yours."} Put one with <code>sallyport secret put NAME --kind password</code>: the value is asked for, never an argument.
        </Empty>
      ) : (
        <Table
          caption="Secrets"
          file="secrets"
          id={(row) => row.name}
          rows={rows}
          columns={[
            { name: "Name", text: (row) => row.name },
            { name: "Kind", text: (row) => row.kind },
            { name: "Version", text: (row) => String(row.version ?? row.versions ?? ""), right: true },
            { name: "Lent now", text: (row) => String(row.leases ?? 0), sort: (row) => row.leases ?? 0, right: true },
          ]}
        />
      )}
      <Equivalent cli="sallyport secret list" api="GET /v1/secrets" />
    </Page>
  );
}
