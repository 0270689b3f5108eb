import { useEffect, useState } from "preact/hooks";

import { onSignedOut, token } from "./api";
import { Access } from "./pages/access";
import { Audit } from "./pages/audit";
import { Health } from "./pages/health";
import { Live } from "./pages/live";
import { Locks } from "./pages/locks";
import { Policy } from "./pages/policy";
import { Secrets } from "./pages/secrets";
import { SessionPage } from "./pages/session";
import { Sessions } from "./pages/sessions";
import { SignIn } from "./pages/sign_in";
import { Targets } from "./pages/targets";
import { follow, usePlace } from "./route";
import { Empty, Page } from "./ui";

const places = [
  { path: "/", name: "Live", view: Live },
  { path: "/sessions", name: "Sessions", view: Sessions },
  { path: "/targets", name: "Targets", view: Targets },
  { path: "/access", name: "Access review", view: Access },
  { path: "/policy", name: "Policy", view: Policy },
  { path: "/locks", name: "Locks", view: Locks },
  { path: "/secrets", name: "Secrets", view: Secrets },
  { path: "/audit", name: "Audit", view: Audit },
  { path: "/health", name: "Health", view: Health },
];

function View({ path }: { path: string }) {
  const place = places.find((each) => each.path === path);
  if (place) return <place.view />;
  const session = /^\/sessions\/([0-9A-Za-z]+)$/.exec(path)?.[1];
  if (session) return <SessionPage id={session} />;
  return (
    <Page title="Nothing here">
      <Empty>
        There is no page <code>{path}</code>. Everything begins at <a href="/">Live</a>.
      </Empty>
    </Page>
  );
}

export function App() {
  const { path } = usePlace();
  const [signedIn, setSignedIn] = useState(token.get() !== "");
  useEffect(() => onSignedOut(() => setSignedIn(false)), []);
  if (!signedIn) return <SignIn onSignedIn={() => setSignedIn(true)} />;
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
          {places.map((place) => {
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
        <button
          type="button"
          class="quiet"
          onClick={() => {
            token.clear();
            setSignedIn(false);
          }}
        >
          Sign out
        </button>
      </nav>
      <main id="main" tabIndex={-1}>
        <View path={path} />
      </main>
    </div>
  );
}
