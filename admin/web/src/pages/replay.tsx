// A recording: verified first, then played; with its commands, what was seen, its transcript and its files.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

import { call, query } from "../api";
import { setFilters, usePlace } from "../route";
import { jsonLines, wholeText } from "../stream";
import { type Frame, Player, type PlayerState } from "../terminal/player";
import { Keyboard } from "../terminal/keyboard";
import { makeScreen, type Screen } from "../terminal/screen";
import { bytes, clock, moment, quoted } from "../text";
import type { Problem, SeenLine, Viewing, WhoAmI } from "../types";
import { Badge, CopyLine, Empty, Filter, Page, ProblemBox, Table } from "../ui";
import { problemOf, useAction } from "../use";

const MOST_BYTES = 48 * 1024 * 1024; // kept in the page at once; what is behind is loaded when it is sought
const SPEEDS = ["0.5", "1", "2", "4", "8", "16"];
const IDLE = { "2 s": 2000, "10 s": 10_000, "as it was": 0 } as const;
type IdleName = keyof typeof IDLE;

export function Replay({ id, who }: { id: string; who: WhoAmI }) {
  const [viewing, setViewing] = useState<Viewing>();
  useEffect(() => {
    setViewing(undefined);
  }, [id]);
  useEffect(() => {
    const opened = viewing?.id;
    if (!opened) return;
    return () => void call(`/v1/viewings/${opened}`, { method: "DELETE" }).catch(() => undefined);
  }, [viewing?.id]);
  if (!viewing) return <AskToLook id={id} who={who} onOpened={setViewing} />;
  return <Shown viewing={viewing} />;
}

function AskToLook({ id, who, onOpened }: { id: string; who: WhoAmI; onOpened: (viewing: Viewing) => void }) {
  const [reason, setReason] = useState("");
  const [input, setInput] = useState(false);
  const [damaged, setDamaged] = useState(false);
  const { run, busy, problem } = useAction(async () => {
    onOpened(await call<Viewing>(`/v1/recordings/${id}/viewings`, { method: "POST", body: { reason, input, damaged } }));
  });
  const mayInput = who.is_root || who.rights.includes("input");
  return (
    <Page title="Look at a recording">
      <form
        class="card"
        onSubmit={(event) => {
          event.preventDefault();
          void run();
        }}
      >
        <p class="hint">
          Session <code>{id}</code>. Looking at a recording is an event of its own; the reason stands beside it in the audit log.
        </p>
        <label>
          Reason
          <input value={reason} required maxLength={200} onInput={(event) => setReason(event.currentTarget.value)} />
        </label>
        {mayInput && (
          <label class="check">
            <input type="checkbox" checked={input} onChange={(event) => setInput(event.currentTarget.checked)} /> with what was typed (the right to input is used)
          </label>
        )}
        {problem?.code === "SP-8001" && (
          <label class="check">
            <input type="checkbox" checked={damaged} onChange={(event) => setDamaged(event.currentTarget.checked)} /> show what is readable nevertheless
          </label>
        )}
        <ProblemBox problem={problem} />
        <div class="buttons">
          <button type="submit" disabled={busy || !reason.trim()}>
            {busy ? "Verifying" : "Verify and open"}
          </button>
        </div>
      </form>
      <CopyLine label="same from a terminal" text={`sallyport play ${quoted(id)} --reason ${quoted(reason || "why you look")}`} />
      <CopyLine label="API" text={`POST /v1/recordings/${id}/viewings {"reason": "..."}`} />
    </Page>
  );
}

function Proof({ viewing }: { viewing: Viewing }) {
  const { badge } = viewing;
  const tone = !badge.verified ? "bad" : badge.signed && badge.proven > 0 ? "good" : "warn";
  return (
    <p class="proof" role="status">
      <Badge tone={tone}>{!badge.verified ? "not verified" : tone === "good" ? "verified" : "chained, not yet signed"}</Badge> {badge.text.replace(/^verified: /, "")}
    </p>
  );
}

function Shown({ viewing }: { viewing: Viewing }) {
  const { query: filters } = usePlace();
  const { recording } = viewing;
  const channel = Number(filters.get("channel") ?? viewing.usual_channel);
  const wanted = Number(filters.get("t") ?? 0) * 1000;
  const live = recording.state === "live";
  const [state, setState] = useState<PlayerState>({ at: 0, playing: false, loaded: 0 });
  const [problem, setProblem] = useState<Problem>();
  const [loading, setLoading] = useState(true);
  const [follow, setFollow] = useState(live && wanted === 0);
  const [speed, setSpeed] = useState("1");
  const [idle, setIdle] = useState<IdleName>("2 s");
  const [duration, setDuration] = useState(recording.duration_ms);
  const box = useRef<HTMLDivElement>(null);
  const player = useRef<Player>();
  const shownOn = useRef<Screen>(null);
  const loader = useRef<(at: number) => void>(() => undefined);
  const mine = recording.channels.find((each) => each.channel === channel);
  const [framesDone, setFramesDone] = useState(0);

  useLayoutEffect(() => {
    const place = box.current;
    if (!place) return;
    const screen: Screen = makeScreen(place, { disableStdin: true, convertEol: mine ? !mine.pty : false, cursorBlink: false });
    shownOn.current = screen;
    const play = new Player(screen, viewing.zero, (now) => {
      setState(now);
      setDuration((old) => Math.max(old, now.loaded));
    });
    player.current = play;
    let stop = new AbortController();
    const load = (at: number) => {
      stop.abort();
      stop = new AbortController();
      const { signal } = stop;
      play.clear(at);
      setLoading(true);
      setProblem(undefined);
      let got = 0;
      let shown = false;
      const path = query(`/v1/viewings/${viewing.id}/frames`, { channel, at_ms: at > 0 ? Math.floor(at) : undefined, follow: live ? "true" : undefined });
      void jsonLines<Frame>(path, signal, (frame) => {
        got += frame.d?.length ?? 0;
        play.add(frame);
        if (!shown && play.loaded.to >= wanted) {
          shown = true;
          if (wanted > 0 && at === 0) play.seek(wanted);
        }
        if (got > MOST_BYTES) stop.abort();
      })
        .catch((error: unknown) => {
          if (!signal.aborted) setProblem(problemOf(error));
        })
        .finally(() => {
          if (signal !== stop.signal) return;
          play.finish();
          if (!shown && wanted > 0 && at === 0) play.seek(wanted);
          setLoading(false);
          setFramesDone((n) => n + 1);
        });
    };
    loader.current = load;
    load(0);
    if (live && wanted === 0) play.follow(true);
    return () => {
      stop.abort();
      play.dispose();
      screen.dispose();
    };
  }, [viewing.id, channel]);

  const seek = (at: number) => {
    const play = player.current;
    if (!play) return;
    setFollow(false);
    play.follow(false);
    const inside = at >= play.loaded.from && (at <= play.loaded.to || !loading);
    if (!inside || !play.seek(at)) loader.current(at);
    setFilters({ t: (at / 1000).toFixed(1) });
  };
  const toggle = () => (state.playing ? player.current?.pause() : player.current?.play());
  useEffect(() => {
    if (player.current) player.current.speed = Number(speed);
  }, [speed, channel]);
  useEffect(() => {
    if (player.current) player.current.idleLimit = IDLE[idle];
  }, [idle, channel]);

  return (
    <Page title={`${recording.principal || "Nobody"} on ${recording.account}@${recording.target}`} aside={<Badge tone={live ? "good" : recording.state === "complete" ? "plain" : "bad"}>{recording.state}</Badge>}>
      <Proof viewing={viewing} />
      {recording.channels.length > 1 && (
        <div class="filters">
          <label class="filter">
            <span>Channel</span>
            <select value={String(channel)} onChange={(event) => setFilters({ channel: event.currentTarget.value, t: "" })}>
              {recording.channels.map((each) => (
                <option value={String(each.channel)}>
                  {each.channel}: {each.kind} {each.command.slice(0, 60)} ({bytes(each.bytes_out + each.bytes_err)})
                </option>
              ))}
            </select>
          </label>
        </div>
      )}
      <div class="player">
        <div class="terminal" ref={box} role="region" aria-label="The terminal as it was seen" tabIndex={0} />
        <div class="controls">
          <button type="button" onClick={toggle} disabled={follow}>
            {state.playing ? "Pause" : "Play"}
          </button>
          <input
            type="range"
            class="timeline"
            aria-label="Moment of the recording"
            aria-valuetext={moment(state.at)}
            min={0}
            max={Math.max(1, Math.ceil(duration))}
            step={100}
            value={state.at}
            onInput={(event) => seek(Number(event.currentTarget.value))}
          />
          <output class="time">
            {moment(state.at)} / {moment(duration)}
          </output>
          <Filter label="Speed" value={speed} list={SPEEDS} onChange={setSpeed} />
          <Filter label="Pauses at most" value={idle} list={Object.keys(IDLE)} onChange={(value) => setIdle(value as IdleName)} />
          {live && (
            <label class="check">
              <input
                type="checkbox"
                checked={follow}
                onChange={(event) => {
                  setFollow(event.currentTarget.checked);
                  player.current?.follow(event.currentTarget.checked);
                }}
              />{" "}
              follow
            </label>
          )}
        </div>
        {live && <Keyboard session={recording.session} screen={shownOn} />}
        {mine && !mine.pty && (mine.kind === "exec" || mine.kind === "shell") && <p class="hint">Without a terminal: standard output, and standard error in red.</p>}
      </div>
      <ProblemBox problem={problem} />
      <Beside viewing={viewing} channel={channel} at={state.at} ready={framesDone} live={live} onSeek={seek} />
      <section aria-labelledby="elsewhere">
        <h2 id="elsewhere">Elsewhere</h2>
        <p>
          <a href={`/sessions/${recording.session}`}>The session</a> · began <time dateTime={recording.began}>{clock(recording.began)}</time>
        </p>
        <CopyLine label="replay" text={`sallyport play ${recording.session} --at ${(state.at / 1000).toFixed(0)} --reason 'why you look'`} />
        <CopyLine label="verify" text={`sallyport verify ${recording.session}`} />
        <CopyLine label="API" text={`GET /v1/viewings/${viewing.id}/frames?channel=${channel}`} />
      </section>
    </Page>
  );
}

const TABS = ["Commands", "Lines", "Transcript", "Files"] as const;
type Tab = (typeof TABS)[number];

function Beside(props: { viewing: Viewing; channel: number; at: number; ready: number; live: boolean; onSeek: (at: number) => void }) {
  const { viewing, channel } = props;
  const { query: filters } = usePlace();
  const tab = (TABS as readonly string[]).includes(filters.get("tab") ?? "") ? (filters.get("tab") as Tab) : "Commands";
  const text = filters.get("q") ?? "";
  const [lines, setLines] = useState<SeenLine[]>();
  const [plain, setPlain] = useState<Record<string, string>>({});
  const [problem, setProblem] = useState<Problem>();
  // One answer of a viewing at a time: these wait until the frames are there.
  useEffect(() => {
    if (props.ready === 0 || props.live) return;
    const stop = new AbortController();
    const fail = (error: unknown) => !stop.signal.aborted && setProblem(problemOf(error));
    if ((tab === "Commands" || tab === "Lines") && !lines) {
      const found: SeenLine[] = [];
      jsonLines<SeenLine>(`/v1/viewings/${viewing.id}/lines`, stop.signal, (line) => found.push(line)).then(() => setLines(found), fail);
    } else if (tab === "Transcript" || tab === "Files") {
      const path = tab === "Files" ? `/v1/viewings/${viewing.id}/files` : `/v1/viewings/${viewing.id}/text?channel=${channel}`;
      if (plain[path] === undefined) wholeText(path, stop.signal).then((got) => setPlain((old) => ({ ...old, [path]: got })), fail);
    }
    return () => stop.abort();
  }, [tab, channel, props.ready, viewing.id, props.live]);
  const offset = (line: SeenLine) => (line.b - viewing.zero) / 1000;
  const wanted = (lines ?? []).filter((line) => line.c === channel && (tab === "Lines" || line.command) && (!text || line.text.toLowerCase().includes(text.toLowerCase())));
  return (
    <section aria-labelledby="what">
      <h2 id="what">What happened</h2>
      <div class="tabs" role="tablist" aria-label="What happened">
        {TABS.map((each) => (
          <button type="button" role="tab" id={`tab-${each}`} aria-selected={tab === each} aria-controls="tab-panel" onClick={() => setFilters({ tab: each })}>
            {each}
          </button>
        ))}
      </div>
      <ProblemBox problem={problem} />
      <div id="tab-panel" role="tabpanel" aria-labelledby={`tab-${tab}`}>
        {props.live && <Empty>The session is still running: commands, transcript and files can be listed when it is over. What is typed and seen is shown above as it happens.</Empty>}
        {!props.live && (tab === "Commands" || tab === "Lines") && (
          <>
            <div class="filters" role="search">
              <Filter label="Text" value={text} onChange={(value) => setFilters({ q: value })} />
            </div>
            {lines && wanted.length === 0 ? (
              <Empty>{tab === "Commands" ? "No command was recognised; Lines has everything that was seen." : "No line was seen."}</Empty>
            ) : (
              <ol class="seen">
                {wanted.slice(0, 2000).map((line) => (
                  <li>
                    <button type="button" onClick={() => props.onSeek(offset(line))} aria-current={Math.abs(offset(line) - props.at) < 500 ? "time" : undefined}>
                      <span class="time">{moment(offset(line))}</span> <code>{line.text}</code>
                      {line.command && line.status > 0 && <Badge tone="bad">exit {line.status}</Badge>}
                    </button>
                  </li>
                ))}
              </ol>
            )}
          </>
        )}
        {!props.live && tab === "Transcript" && <pre tabIndex={0}>{plain[`/v1/viewings/${viewing.id}/text?channel=${channel}`] ?? ""}</pre>}
        {!props.live && tab === "Files" && <Files text={plain[`/v1/viewings/${viewing.id}/files`]} id={viewing.recording.session} />}
      </div>
    </section>
  );
}

interface FileRow {
  cells: string[];
  number: number;
}

function Files({ text, id }: { text?: string; id: string }) {
  if (text === undefined) return null;
  const [head, ...rest] = text.trimEnd().split("\n").map((line) => line.split("\t"));
  const rows: FileRow[] = rest.map((cells, number) => ({ cells, number }));
  if (rows.length === 0) return <Empty>No file was moved in this session.</Empty>;
  return (
    <Table
      caption="Files"
      file={`files-${id}`}
      id={(row) => String(row.number)}
      rows={rows}
      columns={(head ?? []).map((name, index) => ({ name, text: (row: FileRow) => row.cells[index] ?? "", wide: !["event", "size", "path"].includes(name) }))}
    />
  );
}
