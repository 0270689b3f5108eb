// A terminal in the page: the same session, guard and recording as by ssh.
import { useEffect, useRef, useState } from "preact/hooks";

import { call } from "../api";
import { setFilters, usePlace } from "../route";
import { Connection } from "../terminal/connection";
import { Files, type Progress } from "../terminal/files";
import { makeScreen } from "../terminal/screen";
import { bytes } from "../text";
import type { OpenedTerminal, Reachable, WhoAmI } from "../types";
import { Badge, Equivalent, Page, ProblemBox } from "../ui";
import { useAction, useLoad } from "../use";

export function TerminalPage({ who }: { who: WhoAmI }) {
  const { query: filters } = usePlace();
  const target = filters.get("target") ?? "";
  const account = filters.get("account") ?? "";
  const [opened, setOpened] = useState<OpenedTerminal>();
  const { run, busy, problem } = useAction(async () => {
    setOpened(await call<OpenedTerminal>("/v1/terminals", { method: "POST", body: account ? { target, account } : { target } }));
  });
  const mine = useLoad<{ reachable: Reachable[] }>("/v1/reachable");
  const rows = mine.data?.reachable ?? [];
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
            <input value={target} required autocomplete="off" list="my-targets" onInput={(event) => setFilters({ target: event.currentTarget.value })} />
          </label>
          <label>
            Account (may be empty when you have one only)
            <input value={account} autocomplete="off" list="my-accounts" onInput={(event) => setFilters({ account: event.currentTarget.value })} />
          </label>
          <datalist id="my-targets">
            {[...new Set(rows.map((row) => row.target))].map((name) => (
              <option value={name} />
            ))}
          </datalist>
          <datalist id="my-accounts">
            {rows
              .filter((row) => row.target === target)
              .map((row) => (
                <option value={row.account} />
              ))}
          </datalist>
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
  const [files, setFiles] = useState<Files>();
  const [progress, setProgress] = useState<Progress>();
  const [state, setState] = useState<{ word: string; tone: "good" | "bad" | "warn" | "plain"; over: boolean }>({ word: "connecting", tone: "plain", over: false });
  useEffect(() => {
    const place = box.current;
    if (!place) return;
    const screen = makeScreen(place, { cursorBlink: true, macOptionIsMeta: true });
    const { terminal } = screen;
    const carrier = new Files((step) => link.current?.file(step) ?? false, setProgress);
    setFiles(carrier);
    const connection = new Connection(opened, {
      file: (step) => carrier.hear(step),
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
      lost: (seconds) => {
        carrier.lost();
        setState({ word: `connection lost, trying again for ${seconds} s`, tone: "warn", over: false });
      },
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
      {files && <Transfers files={files} progress={progress} over={state.over} />}
    </>
  );
}

function Transfers({ files, progress, over }: { files: Files; progress?: Progress; over: boolean }) {
  const [chosen, setChosen] = useState<File>();
  const [to, setTo] = useState("");
  const [replace, setReplace] = useState(false);
  const [from, setFrom] = useState("");
  const [dropping, setDropping] = useState(false);
  const busy = progress?.state === "running";
  const choose = (file?: File) => {
    setChosen(file);
    if (file) setTo((before) => (before.includes("/") ? before.slice(0, before.lastIndexOf("/") + 1) : "/tmp/") + file.name);
  };
  return (
    <section
      class={`card transfers${dropping ? " dropping" : ""}`}
      aria-label="Files"
      onDragOver={(event) => {
        event.preventDefault();
        setDropping(true);
      }}
      onDragLeave={() => setDropping(false)}
      onDrop={(event) => {
        event.preventDefault();
        setDropping(false);
        choose(event.dataTransfer?.files[0]);
      }}
    >
      <h2>Files</h2>
      <p class="hint">By sftp in this session: your role's file rules hold, and every byte is recorded. Up to 1 GiB up, 256 MiB down; a file may be dropped here.</p>
      <form
        class="transfer"
        onSubmit={(event) => {
          event.preventDefault();
          if (chosen) files.upload(chosen, to, replace);
        }}
      >
        <label>
          File to upload
          <input type="file" onChange={(event) => choose(event.currentTarget.files?.[0])} />
        </label>
        <label>
          Upload to
          <input value={to} placeholder="/tmp/name" autocomplete="off" onInput={(event) => setTo(event.currentTarget.value)} />
        </label>
        <label class="check">
          <input type="checkbox" checked={replace} onChange={(event) => setReplace(event.currentTarget.checked)} /> Replace what is there
        </label>
        <button type="submit" disabled={busy || over || !chosen || !to}>
          Upload
        </button>
      </form>
      <form
        class="transfer"
        onSubmit={(event) => {
          event.preventDefault();
          files.download(from);
        }}
      >
        <label>
          Download from
          <input value={from} placeholder="/var/log/syslog" autocomplete="off" onInput={(event) => setFrom(event.currentTarget.value)} />
        </label>
        <button type="submit" disabled={busy || over || !from}>
          Download
        </button>
      </form>
      {progress && (
        <div class="transfer-state">
          <p role="status">
            <Badge tone={progress.state === "done" ? "good" : progress.state === "failed" ? "bad" : "plain"}>
              {progress.state === "running" ? (progress.up ? "uploading" : "downloading") : progress.state === "done" ? (progress.up ? "uploaded" : "downloaded") : "not transferred"}
            </Badge>{" "}
            {progress.name}
            {progress.state === "failed" ? `: ${progress.why}` : progress.state === "done" ? `, ${bytes(progress.bytes)}` : ""}
          </p>
          {busy && (
            <>
              <progress aria-label="Progress" max={progress.size || 1} value={progress.bytes} /> {bytes(progress.bytes)} of {progress.size === undefined ? "?" : bytes(progress.size)}{" "}
              <button type="button" class="quiet" onClick={() => files.stop()}>
                Stop
              </button>
            </>
          )}
        </div>
      )}
    </section>
  );
}
