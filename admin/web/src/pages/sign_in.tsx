import { useState } from "preact/hooks";

import { call, session, token } from "../api";
import { canPasskey, showPasskey } from "../passkeys";
import type { WebSession } from "../api";
import type { WhoAmI } from "../types";
import { ProblemBox } from "../ui";
import { useAction } from "../use";
import { SignOn } from "./sign_on";
import type { CameBack } from "./sign_on";

type LoginAnswer = { state: "code"; login: string; ways: string[] } | ({ state: "done" } & WebSession);

function Person({ onSignedIn, begun = "", waysBegun = [] }: { onSignedIn: (who: WhoAmI) => void; begun?: string; waysBegun?: string[] }) {
  const [user, setUser] = useState("");
  const [password, setPassword] = useState("");
  const [login, setLogin] = useState(begun);
  const [code, setCode] = useState("");
  const [ways, setWays] = useState(waysBegun);
  const take = async (answer: LoginAnswer) => {
    if (answer.state === "code") {
      setWays(answer.ways);
      return setLogin(answer.login);
    }
    setPassword("");
    session.take(answer);
    onSignedIn(await call<WhoAmI>("/v1/whoami"));
  };
  const byPasskey = useAction(async () => take(await showPasskey<LoginAnswer>("/v1/login/passkey", { login })));
  const asksPasskey = login !== "" && ways.includes("passkey") && canPasskey();
  const { run, busy, problem } = useAction(async () => {
    const body = login ? { login, code: code.trim() } : { user: user.trim(), password };
    setCode("");
    await take(await call<LoginAnswer>("/v1/login", { method: "POST", body }));
  });
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void run();
      }}
    >
      <h1>
        <img src="/icon.svg" alt="" width="28" height="28" /> Sallyport
      </h1>
      {asksPasskey && (
        <>
          <button type="button" autofocus disabled={byPasskey.busy} onClick={() => void byPasskey.run()}>
            {byPasskey.busy ? "Waiting for the device" : "Use a passkey"}
          </button>
          <ProblemBox problem={byPasskey.problem} />
        </>
      )}
      {login ? (
        <label>
          {asksPasskey ? "Or a one-time or recovery code" : "One-time code"}
          <input
            type="text"
            inputMode={asksPasskey ? "text" : "numeric"}
            autocomplete="one-time-code"
            required
            autofocus={!asksPasskey}
            value={code}
            onInput={(event) => setCode(event.currentTarget.value)}
          />
        </label>
      ) : (
        <>
          <label>
            Name
            <input type="text" autocomplete="username" required value={user} onInput={(event) => setUser(event.currentTarget.value)} />
          </label>
          <label>
            Password
            <input type="password" autocomplete="current-password" required value={password} onInput={(event) => setPassword(event.currentTarget.value)} />
          </label>
        </>
      )}
      <ProblemBox problem={problem} />
      <button type="submit" disabled={busy}>
        {busy ? "One moment" : login ? "Confirm" : "Log in"}
      </button>
      {login && (
        <button type="button" class="quiet" onClick={() => setLogin("")}>
          Begin again
        </button>
      )}
    </form>
  );
}

function ByToken({ onSignedIn }: { onSignedIn: (who: WhoAmI) => void }) {
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
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void run();
      }}
    >
      <label>
        Your token
        <input type="password" autocomplete="off" required value={value} onInput={(event) => setValue(event.currentTarget.value)} />
      </label>
      <p class="hint">
        Made on the gateway: <code>sallyport token create --for YOU --name web</code>. It is kept in this tab only and forgotten when the tab is closed.
      </p>
      <ProblemBox problem={problem} />
      <button type="submit" disabled={busy || !value.trim()}>
        {busy ? "Signing in" : "Sign in with a token"}
      </button>
    </form>
  );
}

export function SignIn({ onSignedIn, back }: { onSignedIn: (who: WhoAmI) => void; back: CameBack }) {
  return (
    <main class="sign-in">
      <SignOn problem={back.problem} />
      <div class="ways">
        <Person onSignedIn={onSignedIn} begun={back.login} waysBegun={back.ways} />
        <ByToken onSignedIn={onSignedIn} />
      </div>
    </main>
  );
}
