import { useEffect, useState } from "preact/hooks";

import { call, onSignedOut, session, token } from "./api";
import { Access } from "./pages/access";
import { Account } from "./pages/account";
import { Audit } from "./pages/audit";
import { Health } from "./pages/health";
import { Invited } from "./pages/invited";
import { Live } from "./pages/live";
import { Locks } from "./pages/locks";
import { Invites } from "./pages/invites";
import { Policy } from "./pages/policy";
import { Replay } from "./pages/replay";
import { Requests } from "./pages/requests";
import { Search } from "./pages/search";
import { Secrets } from "./pages/secrets";
import { SessionPage } from "./pages/session";
import { Sessions } from "./pages/sessions";
import { SignIn } from "./pages/sign_in";
import { cameBack } from "./pages/sign_on";
import { Targets } from "./pages/targets";
import { TerminalPage } from "./pages/terminal";
import { Tokens } from "./pages/tokens";
import { follow, go, usePlace } from "./route";
import { leaveAll, usePresence } from "./presence";
import { ProveAgain } from "./prove_again";
import type { WhoAmI } from "./types";
import { Empty, Page, ProblemBox } from "./ui";

// `right`: who lacks it would see nothing but a refusal there, so it is not offered.
const places = [
  { path: "/", name: "Live", view: Live, right: "audit" },
  { path: "/requests", name: "Requests", view: Requests },
  { path: "/sessions", name: "Sessions", view: Sessions, right: "audit" },
  { path: "/search", name: "Search", view: Search, right: "view" },
  { path: "/terminal", name: "Terminal", view: TerminalPage },
  { path: "/targets", name: "Targets", view: Targets },
  { path: "/access", name: "Access review", view: Access, right: "audit" },
  { path: "/policy", name: "Policy", view: Policy, right: "policy" },
  { path: "/invites", name: "Invites", view: Invites, right: "policy" },
  { path: "/locks", name: "Locks", view: Locks, right: "lock" },
  { path: "/secrets", name: "Secrets", view: Secrets, right: "secret" },
  { path: "/tokens", name: "Tokens", view: Tokens },
  { path: "/account", name: "Account", view: Account },
  { path: "/audit", name: "Audit", view: Audit, right: "audit" },
  { path: "/health", name: "Health", view: Health, right: "audit" },
];

function isOffered(place: { right?: string }, who?: WhoAmI): boolean {
  return !place.right || !!who?.is_root || !!who?.rights.includes(place.right);
}

function View({ path, who }: { path: string; who: WhoAmI }) {
  const place = places.find((each) => each.path === path);
  // What would only be refused is not asked for: a refusal is an event, and counts as a denial.
  if (place && !isOffered(place, who))
    return (
      <Page title={place.name}>
        <Empty>
          This page needs the admin right <code>{place.right}</code>, which no role of yours gives. Ask those who write the policy.
        </Empty>
      </Page>
    );
  if (place) return <place.view who={who} />;
  const session = /^\/sessions\/([0-9A-Za-z]+)$/.exec(path)?.[1];
  if (session) return <SessionPage id={session} mayAct={who.is_root || who.rights.includes("lock")} />;
  const replay = /^\/sessions\/([0-9A-Za-z]+)\/replay$/.exec(path)?.[1];
  if (replay) return <Replay id={replay} who={who} />;
  return (
    <Page title="Nothing here">
      <Empty>
        There is no page <code>{path}</code>. Everything begins at <a href="/">Live</a>.
      </Empty>
    </Page>
  );
}

/** Who comes with an invite is nobody yet; everybody else is, or signs in. */
export function App() {
  const { path } = usePlace();
  return path === "/invited" ? <Invited /> : <SignedIn path={path} />;
}

function SignedIn({ path }: { path: string }) {
  const present = usePresence();
  const [who, setWho] = useState<WhoAmI>();
  const [asking, setAsking] = useState(true);
  const [back] = useState(cameBack);
  useEffect(() => onSignedOut(() => setWho(undefined)), []);
  useEffect(() => {
    if (!asking) return;
    (token.get() ? Promise.resolve(true) : session.find())
      .then((known) => (known ? call<WhoAmI>("/v1/whoami").then(setWho) : undefined))
      .catch(() => token.clear())
      .finally(() => setAsking(false));
  }, [asking]);
  const offered = places.filter((place) => isOffered(place, who));
  const first = offered[0]?.path;
  useEffect(() => {
    // An effect runs late: whoever has moved on meanwhile is not called back.
    if (who && path === "/" && location.pathname === "/" && first && first !== "/") go(first, true);
  }, [who, path, first]);
  // On a narrow screen the pages stand in one row that scrolls. scrollIntoView would also move the place where Tab goes on.
  useEffect(() => {
    const row = document.querySelector("nav ul");
    const mine = row?.querySelector<HTMLElement>('a[aria-current="page"]');
    if (row && mine) row.scrollLeft += mine.getBoundingClientRect().left - row.getBoundingClientRect().left - (row.clientWidth - mine.offsetWidth) / 2;
  }, [who, path]);
  if (asking) return <p class="hint">One moment</p>;
  if (!who) return <SignIn onSignedIn={setWho} back={back} />;
  return (
    <div class="shell" onClick={follow}>
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <nav aria-label="Pages">
        <a class="brand" href="/">
          <img src="/icon.svg" alt="" width="20" height="20" /> Sallyport
        </a>
        <ul>
          {offered.map((place) => {
            const mine = place.path === "/" ? path === "/" : path.startsWith(place.path);
            return (
              <li>
                <a href={place.path} aria-current={mine ? "page" : undefined}>
                  {place.name}
                </a>
              </li>
            );
          })}
        </ul>
        <p class="whoami">{who.name}</p>
        <button
          type="button"
          class="quiet"
          onClick={() => {
            void leaveAll().then(session.end);
            token.clear();
            setWho(undefined);
          }}
        >
          Sign out
        </button>
      </nav>
      <ProveAgain />
      <main id="main" tabIndex={-1}>
        <ProblemBox problem={back.problem} />
        {present.length > 0 && (
          <p class="present" role="status">
            You are present in{" "}
            {present.map((id) => (
              <a href={`/sessions/${id}`}>{id}</a>
            ))}
            . Closing this tab is leaving.
          </p>
        )}
        <View path={path} who={who} />
      </main>
    </div>
  );
}
