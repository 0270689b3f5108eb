// The fleet, or of it what one may reach, with lines to copy for the tools people already have.
import type { ComponentChildren } from "preact";

import { setFilters, usePlace } from "../route";
import type { Reachable, Target, WhoAmI } from "../types";
import { Badge, CopyLine, Empty, Equivalent, Filter, Page, ProblemBox, Table } from "../ui";
import { useLoad } from "../use";

function accountNames(target: Target): string[] {
  return target.accounts.map((each) => (typeof each === "string" ? each : each.name));
}

const labelsText = (labels: Record<string, string>) =>
  Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(" ");

export function Targets({ who }: { who: WhoAmI }) {
  return who.is_root || who.rights.includes("audit") ? <Fleet who={who} /> : <Mine who={who} />;
}

/** Everything there is: for those who oversee it. */
function Fleet({ who }: { who: WhoAmI }) {
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
            { name: "Labels", text: (row) => labelsText(row.labels), wide: true },
            { name: "Recording", text: (row) => row.durability, wide: true },
          ]}
        />
      )}
      {target && (
        <Lines who={who} name={target.name} account={accountNames(target)[0] ?? "ACCOUNT"}>
          <h3>Host keys</h3>
          <ul class="plain">
            {[...target.host_keys, ...target.host_cas].map((key) => (
              <li>
                <code>{key}</code>
              </li>
            ))}
          </ul>
          <CopyLine label="lines for its sshd" text={`sallyport target setup ${target.name}`} />
        </Lines>
      )}
      <Equivalent cli="sallyport get targets" api="GET /v1/targets" />
    </Page>
  );
}

/** What she may reach herself. */
function Mine({ who }: { who: WhoAmI }) {
  const { query: filters } = usePlace();
  const text = (filters.get("q") ?? "").toLowerCase();
  const { data, problem } = useLoad<{ reachable: Reachable[] }>("/v1/reachable");
  const all = data?.reachable ?? [];
  const rows = all.filter((row) => !text || `${row.target} ${row.account} ${labelsText(row.labels)}`.toLowerCase().includes(text));
  const chosen = all.find((row) => row.target === filters.get("target") && row.account === filters.get("account"));
  return (
    <Page title="Targets">
      <div class="filters" role="search">
        <Filter label="Name, account or label" value={filters.get("q") ?? ""} onChange={(value) => setFilters({ q: value })} />
      </div>
      <ProblemBox problem={problem} />
      {data && all.length === 0 ? (
        <Empty>
          You may reach nothing yet. <a href="/requests">Ask for access</a>, or ask those who write the policy.
        </Empty>
      ) : (
        <Table
          caption="Targets"
          file="targets"
          id={(row) => `${row.account}@${row.target}`}
          rows={rows}
          columns={[
            { name: "Name", text: (row) => row.target, show: (row) => <a href={`/targets?target=${encodeURIComponent(row.target)}&account=${encodeURIComponent(row.account)}`}>{row.target}</a> },
            { name: "Account", text: (row) => row.account },
            { name: "Labels", text: (row) => labelsText(row.labels), wide: true },
            { name: "Asks for", text: asksFor, show: (row) => (asksFor(row) ? <Badge tone="warn">{asksFor(row)}</Badge> : null) },
          ]}
        />
      )}
      {chosen && <Lines who={who} name={chosen.target} account={chosen.account} />}
      <Equivalent cli="ssh GATEWAY ls" api="GET /v1/reachable" />
    </Page>
  );
}

function asksFor(row: Reachable): string {
  return [row.second_factor && "a second factor", row.approval && "an approval"].filter(Boolean).join(" and ");
}

function Lines({ who, name, account, children }: { who: WhoAmI; name: string; account: string; children?: ComponentChildren }) {
  const gateway = who.ssh.host || location.hostname;
  const me = who.principal || "YOU";
  const user = `${me}+${account}+${name}`;
  const [lower, upper] = who.ssh.port === "22" ? ["", ""] : [`-p ${who.ssh.port} `, `-P ${who.ssh.port} `];
  const jump = who.ssh.port === "22" ? `${me}@${gateway}` : `${me}@${gateway}:${who.ssh.port}`;
  return (
    <section aria-labelledby="use">
      <h2 id="use">Reach {name}</h2>
      {!who.principal && <p class="hint">YOU is your name at the gateway.</p>}
      <p>
        <a href={`/terminal?target=${encodeURIComponent(name)}&account=${encodeURIComponent(account)}`}>Open a terminal here</a>
      </p>
      <CopyLine label="shell" text={`ssh ${lower}${user}@${gateway}`} />
      <CopyLine label="through a jump" text={`ssh -J ${jump} ${account}@${name}`} />
      <CopyLine label="copy" text={`scp ${upper}FILE ${user}@${gateway}:`} />
      <CopyLine label="files" text={`sftp ${upper}${user}@${gateway}`} />
      <CopyLine label="rsync" text={`rsync -a ${lower && `-e 'ssh ${lower.trim()}' `}FOLDER/ ${user}@${gateway}:FOLDER/`} />
      <CopyLine label="VS Code" text={`code --remote ssh-remote+${user}@${gateway}${lower && `:${who.ssh.port}`} /home/${account}`} />
      <CopyLine label="Ansible" text={`${name} ansible_host=${gateway} ${lower && `ansible_port=${who.ssh.port} `}ansible_user=${user}`} />
      {children}
    </section>
  );
}
