// Signing on by the organisation's identity provider: there and back, and what it says on the way back.
import { useEffect, useState } from "preact/hooks";

import { call } from "../api";
import { go } from "../route";
import type { Problem } from "../types";
import { ProblemBox } from "../ui";
import { problemOf } from "../use";

const told: Record<string, [title: string, remedy: string]> = {
  "SP-1001": ["you are not let in", "Another way to log in may be open to you."],
  "SP-1008": ["you are locked", "An administrator can tell why."],
  "SP-1009": ["your entry in the policy has expired", "An administrator can renew it."],
  "SP-1010": ["you may not come from this network", "Use a network that the policy lists for you."],
  "SP-2012": ["too many sessions of yours are open", "Sign out of one."],
  "SP-9701": ["the identity provider does not answer", "Use another way to log in, or try again later."],
  "SP-9702": ["the sign-on is not accepted", "Sign on again; if it stays so, tell an administrator."],
  "SP-9703": ["this identity is nobody here", "Ask an administrator whether the policy has you under the name that the provider gives you."],
  "SP-9704": ["this sign-on was given up", "Begin again, in one browser, within ten minutes."],
  "SP-9705": ["the identity provider refused", "Sign on again, or ask who runs the identity provider."],
  "SP-9707": ["too many sign-ons wait", "Try again in a few minutes."],
};

export interface CameBack {
  problem?: Problem;
  login?: string;
  ways?: string[];
}

/** What the gateway said when the browser came back from the provider; it is taken out of the address. */
export function cameBack(): CameBack {
  const query = new URLSearchParams(location.search);
  const word = query.get("sign_on");
  if (!word) return {};
  const [login, ...ways] = word === "code" ? location.hash.slice(1).split(".") : [];
  go(location.pathname, true);
  if (word === "done") return {};
  if (login && /^[0-9a-f]{64}$/.test(login)) return { login, ways };
  const [title, remedy] = told[word] ?? ["the sign-on did not succeed", "Begin again."];
  return { problem: { title, remedy, status: 0, code: told[word] ? word : undefined } };
}

/** Leaves the page for the provider's. */
export async function signOn(again = false): Promise<void> {
  const { location: there } = await call<{ location: string }>("/v1/login/oidc", { method: "POST", body: again ? { again } : {} });
  window.location.assign(there);
}

export function SignOn({ problem: before }: { problem?: Problem }) {
  const [offered, setOffered] = useState(false);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(before);
  useEffect(() => {
    call<{ available: boolean }>("/v1/login/oidc").then(
      (answer) => setOffered(answer.available),
      () => setOffered(false),
    );
  }, []);
  if (!offered && !problem) return null;
  return (
    <div class="sign-on">
      <ProblemBox problem={problem} />
      {offered && (
        <button
          type="button"
          disabled={busy}
          onClick={() => {
            setBusy(true);
            setProblem(undefined);
            signOn().catch((error: unknown) => {
              setProblem(problemOf(error));
              setBusy(false);
            });
          }}
        >
          {busy ? "One moment" : "Single sign-on"}
        </button>
      )}
    </div>
  );
}
