// The fleet, with lines to copy for the tools people already have.
import { setFilters, usePlace } from "../route";
import type { Target } from "../types";
import { CopyLine, Empty, Equivalent, Filter, Page, ProblemBox, Table } from "../ui";
import { useLoad } from "../use";

function accountNames(target: Target): string[] {
  return target.accounts.map((each) => (typeof each === "string" ? each : each.name));
}

export function Targets() {
  const { query: filters } = usePlace();
  const text = (filters.get("q") ?? "").toLowerCase();
  const chosen = filters.get("target") ?? "";
  const { data, problem } = useLoad<{ targets: Target[] }>("/v1/targets");
  const all = data?.targets ?? [];
  const rows = all.filter((row) => !text || `${row.name} ${row.address} ${JSON.stringify(row.labels)}`.toLowerCase().includes(text));
  const target = all.find((row) => row.name === chosen);
  return (
    <Page title="Targets">
      <div class="filters" role="search">
        <Filter label="Name, address or label" value={filters.get("q") ?? ""} onChange={(value) => setFilters({ q: value })} />
      </div>
      <ProblemBox problem={problem} />
      {data && all.length === 0 ? (
        <Empty>
          No target yet. Add one with <code>sallyport target add NAME --address HOST</code>, or write it into your policy files and apply them.
        </Empty>
      ) : (
        <Table
          caption="Targets"
          file="targets"
          id={(row) => row.name}
          rows={rows}
          columns={[
            { name: "Name", text: (row) => row.name, show: (row) => <a href={`/targets?target=${encodeURIComponent(row.name)}`}>{row.name}</a> },
            { name: "Address", text: (row) => `${row.address}:${row.port}` },
            { name: "Accounts", text: (row) => accountNames(row).join(" "), wide: true },
            { name: "Labels", text: (row) => Object.entries(row.labels).map(([key, value]) => `${key}=${value}`).join(" "), wide: true },
            { name: "Recording", text: (row) => row.durability, wide: true },
          ]}
        />
      )}
      {target && <Lines target={target} />}
      <Equivalent cli="sallyport get targets" api="GET /v1/targets" />
    </Page>
  );
}

function Lines({ target }: { target: Target }) {
  const account = accountNames(target)[0] ?? "ACCOUNT";
  const gateway = location.hostname;
  const user = `YOU+${account}+${target.name}`;
  return (
    <section aria-labelledby="use">
      <h2 id="use">Reach {target.name}</h2>
      <p class="hint">
        YOU is your name at the gateway. Add <code>-p PORT</code> when the gateway does not listen at 22.
      </p>
      <p>
        <a href={`/terminal?target=${encodeURIComponent(target.name)}&account=${encodeURIComponent(account)}`}>Open a terminal here</a>
      </p>
      <CopyLine label="shell" text={`ssh ${user}@${gateway}`} />
      <CopyLine label="through a jump" text={`ssh -J YOU@${gateway} ${account}@${target.name}`} />
      <CopyLine label="copy" text={`scp FILE ${user}@${gateway}:`} />
      <CopyLine label="files" text={`sftp ${user}@${gateway}`} />
      <CopyLine label="rsync" text={`rsync -a FOLDER/ ${user}@${gateway}:FOLDER/`} />
      <CopyLine label="VS Code" text={`code --remote ssh-remote+${user}@${gateway} /home/${account}`} />
      <CopyLine label="Ansible" text={`${target.name} ansible_host=${gateway} ansible_user=${user}`} />
      <h3>Host keys</h3>
      <ul class="plain">
        {[...target.host_keys, ...target.host_cas].map((key) => (
          <li>
            <code>{key}</code>
          </li>
        ))}
      </ul>
      <CopyLine label="lines for its sshd" text={`sallyport target setup ${target.name}`} />
    </section>
  );
}
