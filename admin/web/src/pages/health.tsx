// Is the gateway well, and what to do when it is not.
import { bytes } from "../text";
import type { Status } from "../types";
import { Badge, Equivalent, Page, ProblemBox } from "../ui";
import { useLoad } from "../use";

interface Check {
  name: string;
  good: boolean;
  says: string;
  remedy: string;
}

function checks(status: Status): Check[] {
  return [
    { name: "Gateway", good: status.state === "serving", says: status.state, remedy: "Run `sallyport doctor`; it names what is missing." },
    { name: "Recorder", good: status.recorder === "healthy", says: status.recorder, remedy: "No session starts while nothing can be recorded. Free space at the journal, or see the recorder's log." },
    { name: "Vault", good: status.vault === "unsealed", says: status.vault, remedy: "Unseal it: sallyport vault unseal" },
    { name: "Policy", good: status.policy_version > 0, says: `version ${status.policy_version}`, remedy: "Apply a policy: sallyport apply -f policy/" },
    { name: "Space of the journal", good: status.journal_free_bytes > 1 << 30, says: `${bytes(status.journal_free_bytes)} free`, remedy: "Below 1 GiB: move old journals to the store, or give the volume more room." },
    { name: "Checkpoint", good: status.newest_checkpoint !== "", says: status.newest_checkpoint ? "signed" : "none yet", remedy: "The first one is written a minute after the start; it needs an unsealed vault." },
  ];
}

export function Health() {
  const { data, problem } = useLoad<Status>("/v1/status", 5);
  return (
    <Page title="Health">
      <ProblemBox problem={problem} />
      {data?.trouble && <p class="problem">{data.trouble}</p>}
      <ul class="checks">
        {(data ? checks(data) : []).map((check) => (
          <li>
            <Badge tone={check.good ? "good" : "bad"}>{check.good ? "well" : "look"}</Badge>
            <strong>{check.name}</strong> <span>{check.says}</span>
            {!check.good && <p>{check.remedy}</p>}
          </li>
        ))}
      </ul>
      {data && (
        <p class="hint">
          Node <code>{data.node}</code>, journal at entry {data.journal_sequence}, policy digest <code>{data.policy_digest.slice(0, 16)}</code>
        </p>
      )}
      <Equivalent cli="sallyport status && sallyport doctor" api="GET /v1/status" />
    </Page>
  );
}
