// A terminal in the page: the same session, guard and recording as by ssh.
import { useEffect, useRef, useState } from "preact/hooks";

import { call } from "../api";
import { setFilters, usePlace } from "../route";
import { Connection } from "../terminal/connection";
import { makeScreen } from "../terminal/screen";
import type { OpenedTerminal, WhoAmI } from "../types";
import { Badge, Equivalent, Page, ProblemBox } from "../ui";
import { useAction } from "../use";

export function TerminalPage({ who }: { who: WhoAmI }) {
  const { query: filters } = usePlace();
  const target = filters.get("target") ?? "";
  const account = filters.get("account") ?? "";
  const [opened, setOpened] = useState<OpenedTerminal>();
  const { run, busy, problem } = useAction(async () => {
    setOpened(await call<OpenedTerminal>("/v1/terminals", { method: "POST", body: account ? { target, account } : { target } }));
  });
  const user = [who.principal || "YOU", account, target || "TARGET"].filter(Boolean).join("+");
  return (
    <Page title={opened ? `${account ? `${account}@` : ""}${target}` : "Terminal"}>
      {opened ? (
        <Running opened={opened} onAgain={() => setOpened(undefined)} />
      ) : (
        <form
          class="card"
          onSubmit={(event) => {
            event.preventDefault();
            void run();
          }}
        >
          <p class="hint">A shell on a target, in this page. It is decided, guarded and recorded as any session by ssh.</p>
          <label>
            Target
            <input value={target} required autocomplete="off" onInput={(event) => setFilters({ target: event.currentTarget.value })} />
          </label>
          <label>
            Account (may be empty when you have one only)
            <input value={account} autocomplete="off" onInput={(event) => setFilters({ account: event.currentTarget.value })} />
          </label>
          <ProblemBox problem={problem} />
          <div class="buttons">
            <button type="submit" disabled={busy || !target}>
              {busy ? "Opening" : "Open a terminal"}
            </button>
          </div>
        </form>
      )}
      <Equivalent cli={`ssh ${user}@${location.hostname}`} api={`POST /v1/terminals {"target": ${JSON.stringify(target)}}`} />
    </Page>
  );
}

function Running({ opened, onAgain }: { opened: OpenedTerminal; onAgain: () => void }) {
  const box = useRef<HTMLDivElement>(null);
  const link = useRef<Connection>();
  const [state, setState] = useState<{ word: string; tone: "good" | "bad" | "warn" | "plain"; over: boolean }>({ word: "connecting", tone: "plain", over: false });
  useEffect(() => {
    const place = box.current;
    if (!place) return;
    const screen = makeScreen(place, { cursorBlink: true, macOptionIsMeta: true });
    const { terminal } = screen;
    const connection = new Connection(opened, {
      bytes: (data) => terminal.write(data),
      begins: (again) => {
        if (again) terminal.reset();
        setState({ word: "connected", tone: "good", over: false });
        terminal.focus();
      },
      ends: ({ failed, why, exit }) => {
        const text = failed ? `ended: ${failed} ${why ?? ""}` : `ended${why ? `: ${why}` : exit === undefined || exit < 0 ? "" : ` with status ${exit}`}`;
        setState({ word: text.trim(), tone: failed ? "bad" : "plain", over: true });
      },
      lost: (seconds) => setState({ word: `connection lost, trying again for ${seconds} s`, tone: "warn", over: false }),
    });
    link.current = connection;
    const fit = () => {
      const { columns, rows } = screen.room();
      terminal.resize(columns, rows);
      connection.resize(columns, rows);
    };
    fit();
    terminal.onData((data) => connection.type(data));
    terminal.onBinary((data) => connection.type(Uint8Array.from(data, (c) => c.charCodeAt(0))));
    const watch = new ResizeObserver(fit);
    watch.observe(place);
    return () => {
      watch.disconnect();
      connection.close();
      screen.dispose();
    };
  }, [opened.id]);
  return (
    <>
      <p class="proof" role="status">
        <Badge tone={state.tone}>{state.word}</Badge> Session <a href={`/sessions/${opened.session}`}>{opened.session.slice(-8)}</a>. Ctrl-Shift-C and Ctrl-Shift-V copy and paste; Tab stays in the
        terminal, <kbd>Ctrl-Shift-F6</kbd> leaves it.
      </p>
      <div
        class="terminal live"
        ref={box}
        onKeyDown={(event) => {
          if (event.key === "F6" && event.ctrlKey && event.shiftKey) document.getElementById("terminal-acts")?.focus();
        }}
      />
      <div class="buttons" id="terminal-acts" tabIndex={-1}>
        <button type="button" class="quiet" onClick={() => link.current?.drop()} disabled={state.over}>
          Connect again
        </button>
        <button type="button" onClick={onAgain}>
          {state.over ? "Open another" : "Close"}
        </button>
      </div>
    </>
  );
}
