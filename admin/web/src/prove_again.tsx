// A change of policy, keys, locks or recordings wants a factor of the last minutes: this dialog asks for it, then the change goes on.
import { useEffect, useRef, useState } from "preact/hooks";

import { call, onStepUp, session } from "./api";
import type { WebSession } from "./api";
import { canPasskey, showPasskey } from "./passkeys";
import { signOn } from "./pages/sign_on";
import { ProblemBox } from "./ui";
import { useAction } from "./use";

export function ProveAgain() {
  const dialog = useRef<HTMLDialogElement>(null);
  const settle = useRef<(right: boolean) => void>();
  const [kind, setKind] = useState<WebSession["step_up"]>("");
  const [factor, setFactor] = useState("");
  const [passkey, setPasskey] = useState(false);
  useEffect(
    () =>
      onStepUp(async () => {
        const known = await call<WebSession>("/v1/session");
        setKind(known.step_up);
        setPasskey(known.passkey && canPasskey());
        setFactor("");
        dialog.current?.showModal();
        return new Promise<boolean>((resolve) => {
          settle.current?.(false);
          settle.current = resolve;
        });
      }),
    [],
  );
  const leave = (right: boolean) => {
    settle.current?.(right);
    settle.current = undefined;
    if (dialog.current?.open) dialog.current.close();
  };
  const { run, busy, problem } = useAction(async () => {
    if (kind === "sign-on") return signOn(true);
    const body = { factor: kind === "totp" || kind === "passkey" ? factor.trim() : factor };
    setFactor("");
    session.take(await call<WebSession>("/v1/session/factor", { method: "POST", body }));
    leave(true);
  });
  const byPasskey = useAction(async () => {
    session.take(await showPasskey<WebSession>("/v1/session/passkey"));
    leave(true);
  });
  const isCode = kind === "totp" || kind === "passkey";
  return (
    <dialog ref={dialog} aria-labelledby="prove-again" onClose={() => leave(false)}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void run();
        }}
      >
        <h2 id="prove-again">Prove it is you</h2>
        {kind === "sign-on" ? (
          <p class="hint">This change wants proof of the last few minutes: sign on again at the identity provider, then make the change once more.</p>
        ) : (
          <p class="hint">This change wants proof of the last few minutes. After it, the change goes on by itself.</p>
        )}
        {passkey && (
          <>
            <button type="button" autofocus disabled={byPasskey.busy} onClick={() => void byPasskey.run()}>
              {byPasskey.busy ? "Waiting for the device" : "Use a passkey"}
            </button>
            <ProblemBox problem={byPasskey.problem} />
          </>
        )}
        {kind !== "sign-on" && (
        <label>
          {kind === "totp" ? "Fresh one-time code" : kind === "passkey" ? "Or a recovery code" : "Password again"}
          <input
            type={isCode ? "text" : "password"}
            inputMode={kind === "totp" ? "numeric" : "text"}
            autocomplete={isCode ? "one-time-code" : "current-password"}
            required
            autofocus={!passkey}
            value={factor}
            onInput={(event) => setFactor(event.currentTarget.value)}
          />
        </label>
        )}
        <ProblemBox problem={problem} />
        <button type="submit" disabled={busy}>
          {busy ? "One moment" : kind === "sign-on" ? "Sign on again" : "Prove and go on"}
        </button>
        <button type="button" class="quiet" onClick={() => leave(false)}>
          Leave it
        </button>
      </form>
    </dialog>
  );
}
