// What may be done to a session that runs: say something in it, hold it, let it go on, end it.
import { useState } from "preact/hooks";

import { call } from "../api";
import { quoted } from "../text";
import { AskReason, CopyLine } from "../ui";
import { useAction } from "../use";

const ACTS = {
  message: { button: "Say something", of: "Say something in the session of NAME", title: "Say something to the people of this session", act: "Say it", label: "Text (it is shown on their terminals with your name)", field: "text" },
  hold: { button: "Hold", of: "Hold the session of NAME", title: "Hold this session? Nothing that is typed reaches the target until it goes on", act: "Hold it", label: undefined, field: "reason" },
  release: { button: "Let it go on", of: "Let the session of NAME go on", title: "Let this session go on", act: "Go on", label: undefined, field: "reason" },
  end: { button: "End", of: "End the session of NAME", title: "End this session?", act: "End it now", label: undefined, field: "reason" },
} as const;
type Act = keyof typeof ACTS;

const KINDS = Object.keys(ACTS) as Act[];
const named = (act: Act, whose: string): string => ACTS[act].of.replace("NAME", () => whose);

/** The buttons, for who has the right `lock` or is present as its moderator. `of`: whose session, where there is more than one on the page. */
export function Acts({ id, of = "", onDone }: { id: string; of?: string; onDone?: () => void }) {
  const [asking, setAsking] = useState<Act>();
  const { run, busy, problem } = useAction(async (act: Act, words: string) => {
    if (act === "end") await call(`/v1/sessions/${id}`, { method: "DELETE", body: { reason: words } });
    else await call(`/v1/sessions/${id}/${act}`, { method: "POST", body: { [ACTS[act].field]: words } });
    setAsking(undefined);
    onDone?.();
  });
  return (
    <>
      <span class="acts">
        {KINDS.map((act) => (
          <button type="button" class={act === "end" ? "danger" : ""} onClick={() => setAsking(act)} aria-label={of && named(act, of)}>
            {ACTS[act].button}
          </button>
        ))}
      </span>
      {asking && (
        <AskReason
          title={of ? `${named(asking, of)}?` : ACTS[asking].title}
          act={ACTS[asking].act}
          label={ACTS[asking].label}
          busy={busy}
          problem={problem}
          onDo={(words) => void run(asking, words)}
          onLeave={() => setAsking(undefined)}
        />
      )}
    </>
  );
}

/** The same elsewhere. */
export function ActLines({ id }: { id: string }) {
  return (
    <>
      <CopyLine label="CLI" text={`sallyport session end ${quoted(id)} --reason 'why'`} />
      <CopyLine label="API" text={`POST /v1/sessions/${id}/message {"text": "..."}`} />
    </>
  );
}
