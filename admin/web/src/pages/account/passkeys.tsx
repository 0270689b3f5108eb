// Passkeys: the second factor of a sign-in on this page.
import { useState } from "preact/hooks";

import { change, session } from "../../api";
import { canPasskey, makePasskey } from "../../passkeys";
import { clock } from "../../text";
import type { PasskeyRow } from "../../types";
import { Empty, Equivalent, ProblemBox, Table } from "../../ui";
import { useAction, useLoad } from "../../use";
import { RecoveryCodes } from "./qr";

export function Passkeys({ name, onChanged }: { name: string; onChanged: () => void }) {
  const { data, problem, again } = useLoad<{ items: PasskeyRow[]; may_enrol: boolean }>("/v1/passkeys");
  const [label, setLabel] = useState("");
  const [codes, setCodes] = useState<string[]>([]);
  const make = useAction(async () => {
    setCodes(await makePasskey(label.trim()));
    setLabel("");
    again();
    onChanged();
  });
  const remove = useAction(async (id: string) => {
    await change(`/v1/passkeys/${id}`, "DELETE");
    again();
  });
  const offered = data?.may_enrol && session.is() && canPasskey();
  return (
    <section aria-labelledby="passkeys">
      <h2 id="passkeys">Passkeys</h2>
      <p class="hint">A passkey is the second factor of a sign-in on this page, and proves again that it is you before a change of policy, keys, locks or recordings.</p>
      {offered && (
        <form
          class="filters"
          aria-label="Add a passkey"
          onSubmit={(event) => {
            event.preventDefault();
            void make.run();
          }}
        >
          <label class="filter">
            <span>Name of the device</span>
            <input required maxLength={60} value={label} onInput={(event) => setLabel(event.currentTarget.value)} />
          </label>
          <button type="submit" disabled={make.busy || !label.trim()}>
            {make.busy ? "Waiting for the device" : "Add a passkey"}
          </button>
        </form>
      )}
      <RecoveryCodes codes={codes}>
        Added. Keep these recovery codes where the device is not; each is good once in place of a second factor, and they are not shown again.
      </RecoveryCodes>
      <ProblemBox problem={make.problem ?? remove.problem ?? problem} />
      {data && data.items.length === 0 ? (
        <Empty>
          {offered
            ? "You have no passkey. Name the device that you hold, then add it."
            : !data.may_enrol
              ? "The policy does not let you enrol passkeys, or the gateway has no admin.origin. Ask an administrator to add passkeys to `enrol` in your entry."
              : "Sign in with your name, not with a token, to add a passkey."}
        </Empty>
      ) : (
        <Table
          caption="Passkeys"
          file="passkeys"
          id={(row) => row.id}
          rows={data?.items ?? []}
          columns={[
            { name: "Device", text: (row) => row.name },
            { name: "Added", text: (row) => row.enrolled, show: (row) => <time dateTime={row.enrolled}>{clock(row.enrolled)}</time>, wide: true },
            { name: "Used", text: (row) => row.used ?? "", show: (row) => (row.used ? <time dateTime={row.used}>{clock(row.used)}</time> : "never") },
            {
              name: "Act",
              text: () => "",
              show: (row) => (
                <button type="button" class="danger" disabled={remove.busy} onClick={() => void remove.run(row.id)} aria-label={`Remove the passkey ${row.name}`}>
                  Remove
                </button>
              ),
            },
          ]}
        />
      )}
      <Equivalent cli={`ssh ${name || "NAME"}@gateway keys`} api="GET /v1/passkeys, POST /v1/passkeys/challenge, POST /v1/passkeys, DELETE /v1/passkeys/{id}" />
    </section>
  );
}
