// The one-time code of an authenticator app: scanned here, and counting once the app has shown a right code; recovery codes beside it.
import { useState } from "preact/hooks";

import { call, session } from "../../api";
import type { OneTimeCode } from "../../types";
import { Empty, Equivalent, ProblemBox } from "../../ui";
import { useAction, useLoad } from "../../use";
import { RecoveryCodes, ScanThis } from "./qr";
import type { ShownCode } from "./qr";

export function OneTimeCodes({ name }: { name: string }) {
  const { data, problem, again } = useLoad<OneTimeCode>("/v1/one-time-code");
  const [shown, setShown] = useState<ShownCode>();
  const [code, setCode] = useState("");
  const [codes, setCodes] = useState<string[]>([]);
  const begin = useAction(async () => {
    setCodes([]);
    setShown(await call<ShownCode>("/v1/one-time-code", { method: "POST" }));
  });
  const confirm = useAction(async () => {
    const typed = code.trim();
    setCode("");
    setShown(undefined); // one try: a wrong code begins again
    setCodes((await call<{ recovery_codes: string[] }>("/v1/one-time-code/confirm", { method: "POST", body: { code: typed } })).recovery_codes);
    again();
  });
  const renew = useAction(async () => {
    setCodes((await call<{ recovery_codes: string[] }>("/v1/recovery-codes", { method: "POST" })).recovery_codes);
    again();
  });
  const may = !!data?.may_enrol && session.is();
  const state = data?.in_policy ? "set in the policy" : data?.enrolled ? "enrolled" : "none";
  return (
    <section aria-labelledby="one-time-code">
      <h2 id="one-time-code">One-time code</h2>
      {data && (
        <dl class="facts">
          <div>
            <dt>One-time code</dt>
            <dd>{state}</dd>
          </div>
          <div>
            <dt>Recovery codes left</dt>
            <dd>{data.recovery_codes}</dd>
          </div>
        </dl>
      )}
      {data && !may && (
        <Empty>
          {data.in_policy
            ? "Your one-time code is set in the policy; it is changed there."
            : data.may_enrol
              ? "Sign in with your name, not with a token, to enrol an authenticator app."
              : "The policy does not let you enrol a one-time code. Ask an administrator to add totp to `enrol` in your entry."}
        </Empty>
      )}
      {shown && (
        <form
          class="card"
          aria-label="Confirm the new one-time code"
          onSubmit={(event) => {
            event.preventDefault();
            void confirm.run();
          }}
        >
          <p class="hint">Scan this with your authenticator app, within 15 minutes. It counts once you have given a code of it; {data?.enrolled ? "until then the old one does." : "nothing else changes until then."}</p>
          <ScanThis shown={shown} />
          <label>
            What the app shows
            <input type="text" inputMode="numeric" autocomplete="one-time-code" required pattern="[0-9]{6,8}" value={code} onInput={(event) => setCode(event.currentTarget.value)} />
          </label>
          <div class="acts">
            <button type="submit" disabled={confirm.busy || !code.trim()}>
              Confirm
            </button>
            <button type="button" class="quiet" onClick={() => setShown(undefined)}>
              Leave it
            </button>
          </div>
        </form>
      )}
      <RecoveryCodes codes={codes}>
        These are your recovery codes from now on. Keep them where your phone is not; each is good once in place of a one-time code, and they are not shown again.
      </RecoveryCodes>
      {!shown && (
        <div class="acts">
          {may && (
            <button type="button" disabled={begin.busy} onClick={() => void begin.run()}>
              {data?.enrolled ? "Enrol a new app" : "Enrol an authenticator app"}
            </button>
          )}
          {session.is() && data && data.recovery_codes > 0 && (
            <button type="button" disabled={renew.busy} onClick={() => void renew.run()}>
              New recovery codes
            </button>
          )}
        </div>
      )}
      <ProblemBox problem={begin.problem ?? confirm.problem ?? renew.problem ?? problem} />
      <Equivalent cli={`ssh ${name || "NAME"}@gateway enrol totp --code 123456`} api="GET, POST /v1/one-time-code, POST /v1/one-time-code/confirm, POST /v1/recovery-codes" />
    </section>
  );
}
