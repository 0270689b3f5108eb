import { useState } from "preact/hooks";

import { call, token } from "../api";
import type { WhoAmI } from "../types";
import { ProblemBox } from "../ui";
import { useAction } from "../use";

export function SignIn({ onSignedIn }: { onSignedIn: (who: WhoAmI) => void }) {
  const [value, setValue] = useState("");
  const { run, busy, problem } = useAction(async () => {
    token.set(value.trim());
    try {
      onSignedIn(await call<WhoAmI>("/v1/whoami"));
    } catch (error) {
      token.clear();
      throw error;
    }
  });
  return (
    <main class="sign-in">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void run();
        }}
      >
        <h1>
          <img src="/icon.svg" alt="" width="28" height="28" /> Sallyport
        </h1>
        <label>
          Your token
          <input type="password" autocomplete="current-password" required value={value} onInput={(event) => setValue(event.currentTarget.value)} />
        </label>
        <p class="hint">
          Made on the gateway: <code>sallyport token create --for YOU --name web</code>. It is kept in this tab only and forgotten when the tab is closed.
        </p>
        <ProblemBox problem={problem} />
        <button type="submit" disabled={busy || !value.trim()}>
          {busy ? "Signing in" : "Sign in"}
        </button>
      </form>
    </main>
  );
}
