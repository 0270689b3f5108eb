// Somebody with an invite: nobody knows her yet. The code stands behind the # of the link, which no browser sends to a server.
import { useEffect, useState } from "preact/hooks";

import { call } from "../api";
import { clock, sshLine } from "../text";
import { ProblemBox } from "../ui";
import { useAction } from "../use";
import { RecoveryCodes, ScanThis } from "./account/qr";
import type { ShownCode } from "./account/qr";

interface Welcome {
  principal: string;
  display: string;
  expires: string;
  keys: boolean;
  one_time_code: boolean;
  ssh: { host: string; port: string };
}

/** Out of the address as soon as it is read: not in the history, not on the screen. */
function takeCode(): string {
  const code = decodeURIComponent(location.hash.slice(1));
  if (code) history.replaceState(null, "", location.pathname);
  return code;
}

export function Invited() {
  const [code, setCode] = useState(takeCode);
  const [welcome, setWelcome] = useState<Welcome>();
  const [shown, setShown] = useState<ShownCode>();
  const [key, setKey] = useState("");
  const [digits, setDigits] = useState("");
  const [done, setDone] = useState<string[]>();
  useEffect(() => {
    document.title = "Invite - Sallyport";
    // Another link in the same tab changes only what stands behind the #.
    const another = () => location.hash && location.reload();
    addEventListener("hashchange", another);
    return () => removeEventListener("hashchange", another);
  }, []);
  const post = <T,>(path: string, more: Record<string, string> = {}) => call<T>(path, { method: "POST", body: { code: code.trim(), ...more } });
  const look = useAction(async () => {
    const found = await post<Welcome>("/v1/invited");
    if (found.one_time_code) setShown(await post<ShownCode>("/v1/invited/one-time-code"));
    setWelcome(found);
  });
  const enrol = useAction(async () => {
    const typed = digits.trim();
    setDigits("");
    const more: Record<string, string> = {};
    if (key.trim()) more.public_key = key.trim();
    if (typed) more.one_time_code = typed;
    setDone((await post<{ recovery_codes: string[] }>("/v1/invited/enrol", more)).recovery_codes);
  });
  const { run } = look;
  useEffect(() => {
    if (code) void run();
    // Once, with the code of the link.
  }, []);
  const brand = (
    <h1>
      <img src="/icon.svg" alt="" width="28" height="28" /> {welcome ? `Welcome, ${welcome.display || welcome.principal}` : "You are invited"}
    </h1>
  );
  if (done && welcome)
    return (
      <main class="sign-in">
        <div class="card">
          {brand}
          <p role="status">Enrolled. From now on this is how you come in:</p>
          <pre tabIndex={0}>{sshLine(welcome.principal, welcome.ssh)}</pre>
          <RecoveryCodes codes={done}>Keep these recovery codes where your phone is not. Each is good once in place of a one-time code, and they are not shown again.</RecoveryCodes>
          <p>
            <a href="/">Go to the sign-in</a>
          </p>
        </div>
      </main>
    );
  return (
    <main class="sign-in">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void (welcome ? enrol.run() : look.run());
        }}
      >
        {brand}
        {!welcome ? (
          <>
            <label>
              Your invite
              <input required maxLength={64} autocomplete="off" spellcheck={false} placeholder="invite-xxxxx-xxxxx-xxxxx-xxxxx" value={code} onInput={(event) => setCode(event.currentTarget.value)} />
            </label>
            <ProblemBox problem={look.problem} />
            <button type="submit" disabled={look.busy || !code.trim()}>
              {look.busy ? "One moment" : "Go on"}
            </button>
          </>
        ) : (
          <>
            <p class="hint">
              Your name here is <code>{welcome.principal}</code>. What you give now proves from then on that it is you. The invite is good once, until <time dateTime={welcome.expires}>{clock(welcome.expires)}</time>.
            </p>
            {welcome.keys && (
              <label>
                Your public ssh key (the line of the .pub file){welcome.one_time_code ? "; may be left empty" : ""}
                <textarea class="key-line" rows={3} maxLength={8192} spellcheck={false} required={!welcome.one_time_code} placeholder="ssh-ed25519 AAAA... laptop" value={key} onInput={(event) => setKey(event.currentTarget.value)} />
              </label>
            )}
            {shown && (
              <>
                <p class="hint">Scan this with your authenticator app, then give the code that it shows.</p>
                <ScanThis shown={shown} />
                <label>
                  What the app shows
                  <input type="text" inputMode="numeric" autocomplete="one-time-code" required pattern="[0-9]{6,8}" value={digits} onInput={(event) => setDigits(event.currentTarget.value)} />
                </label>
              </>
            )}
            {!welcome.keys && !shown && <p>There is nothing that you may enrol here. Ask who invited you.</p>}
            <ProblemBox problem={enrol.problem} />
            <button type="submit" disabled={enrol.busy}>
              {enrol.busy ? "One moment" : "Enrol"}
            </button>
          </>
        )}
      </form>
    </main>
  );
}
