// Policy files: choose them, see the plan, apply the plan that was shown. Versions below.
import { useState } from "preact/hooks";

import { call } from "../api";
import { clock } from "../text";
import type { PlanAnswer, PolicyVersion } from "../types";
import { Badge, Empty, Equivalent, Page, ProblemBox, Table } from "../ui";
import { useAction, useLoad } from "../use";

interface PolicyFile {
  name: string;
  content?: string;
  content_base64?: string;
}

async function read(file: File): Promise<PolicyFile> {
  if (/\.ya?ml$/i.test(file.name)) return { name: file.name, content: await file.text() };
  const raw = new Uint8Array(await file.arrayBuffer());
  let binary = "";
  for (const byte of raw) binary += String.fromCharCode(byte);
  return { name: file.name, content_base64: btoa(binary) };
}

export function Policy() {
  const versions = useLoad<{ versions: PolicyVersion[] }>("/v1/policy");
  const [files, setFiles] = useState<PolicyFile[]>([]);
  const [open, setOpen] = useState(0);
  const [plan, setPlan] = useState<PlanAnswer>();
  const [reason, setReason] = useState("");
  const [done, setDone] = useState("");
  const check = useAction(async () => {
    setDone("");
    setPlan(undefined);
    setPlan(await call<PlanAnswer>("/v1/plan", { method: "POST", body: { files } }));
  });
  const apply = useAction(async () => {
    const body = { files, reason, plan: plan?.plan };
    const answer = await call<PlanAnswer>("/v1/apply", { method: "POST", body });
    setPlan(undefined);
    setDone(answer.applied ? `Applied as version ${answer.version}.` : "These files mean what is in force already; nothing changed.");
    versions.again();
  });
  const draw = useAction(async (version: number) => {
    const { files: kept } = await call<{ files: PolicyFile[] }>(`/v1/policy/${version}`);
    setFiles(kept.map(({ name, content, content_base64 }) => (content === undefined ? { name, content_base64 } : { name, content })));
    setOpen(0);
    setPlan(undefined);
    setDone("");
  });
  const newest = versions.data?.versions[0]?.version;
  const edit = (content: string) => {
    setPlan(undefined);
    setFiles(files.map((file, index) => (index === open ? { ...file, content } : file)));
  };
  const current = files[open];
  return (
    <Page title="Policy">
      <section aria-labelledby="draft">
        <h2 id="draft">Draft</h2>
        <label class="pick">
          Policy files (a whole set: what is not in it is removed)
          <input
            type="file"
            multiple
            accept=".yaml,.yml,.bin,.krl"
            onChange={(event) => {
              const chosen = [...(event.currentTarget.files ?? [])];
              event.currentTarget.value = ""; // or the same files, changed meanwhile, could not be chosen again
              setFiles([]); // until they are read, nothing can be checked
              void Promise.all(chosen.map(read)).then((all) => {
                setFiles(all);
                setOpen(0);
                setPlan(undefined);
                setDone("");
              });
            }}
          />
        </label>
        {files.length === 0 ? (
          <Empty>
            Choose the YAML files of your policy folder
            {newest !== undefined && (
              <>
                , or{" "}
                <button type="button" disabled={draw.busy} onClick={() => void draw.run(newest)}>
                  edit version {newest}
                </button>
                , which is in force
              </>
            )}
            . Nothing is changed before you have seen the plan and said so.
          </Empty>
        ) : (
          <>
            <div class="tabs" role="tablist" aria-label="Files">
              {files.map((file, index) => (
                <button type="button" role="tab" aria-selected={index === open} onClick={() => setOpen(index)}>
                  {file.name}
                </button>
              ))}
            </div>
            {current?.content !== undefined && (
              <textarea aria-label={`Text of ${current.name}`} spellcheck={false} rows={18} value={current.content} onInput={(event) => edit(event.currentTarget.value)} />
            )}
            <div class="buttons">
              <button type="button" disabled={check.busy} onClick={() => void check.run()}>
                {check.busy ? "Checking" : "Check and plan"}
              </button>
            </div>
          </>
        )}
        <ProblemBox problem={check.problem ?? draw.problem} />
        {done && <p role="status">{done}</p>}
        {plan && (
          <div class="plan">
            <h3>Plan</h3>
            <pre tabIndex={0}>{plan.text}</pre>
            {plan.ending.length > 0 && (
              <p>
                <Badge tone="warn">{plan.ending.length} live sessions would end</Badge>
              </p>
            )}
            {!plan.no_changes && (
              <form
                onSubmit={(event) => {
                  event.preventDefault();
                  void apply.run();
                }}
              >
                <label>
                  Reason
                  <input required maxLength={200} value={reason} onInput={(event) => setReason(event.currentTarget.value)} />
                </label>
                <button type="submit" class="danger" disabled={apply.busy || !reason.trim()}>
                  Apply exactly this plan
                </button>
              </form>
            )}
            <ProblemBox problem={apply.problem} />
          </div>
        )}
        <Equivalent cli="sallyport plan -f policy/ && sallyport apply -f policy/" api="POST /v1/plan, POST /v1/apply" />
      </section>
      <section aria-labelledby="versions">
        <h2 id="versions">Versions</h2>
        <ProblemBox problem={versions.problem} />
        <Table
          caption="Versions of the policy"
          file="policy-versions"
          id={(row) => String(row.version)}
          rows={versions.data?.versions ?? []}
          columns={[
            { name: "Version", text: (row) => String(row.version), sort: (row) => row.version, right: true },
            { name: "Applied", text: (row) => row.applied, show: (row) => clock(row.applied) },
            { name: "By", text: (row) => row.by },
            { name: "Reason", text: (row) => row.reason },
            { name: "Digest", text: (row) => row.digest, show: (row) => <code>{row.digest.slice(0, 16)}</code>, wide: true },
            {
              name: "Draft",
              text: () => "",
              wide: true,
              show: (row) => (
                <button type="button" disabled={draw.busy} aria-label={`Take version ${row.version} as draft`} onClick={() => void draw.run(row.version)}>
                  Take as draft
                </button>
              ),
            },
          ]}
        />
      </section>
    </Page>
  );
}
