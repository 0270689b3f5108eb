// One session: who, where, how it was proven, what it did.
import { useState } from "preact/hooks";

import { actsIn, joinSession, leaveSession, takesOverIn, usePresence } from "../presence";
import { bytes, clock, factors, quoted, since } from "../text";
import type { AuditEvent, Explanation, Session } from "../types";
import { AskReason, CopyLine, Decision, Empty, Equivalent, Fields, Page, ProblemBox, Table } from "../ui";
import { useAction, useLoad } from "../use";
import { ActLines, Acts } from "./acts";
import { Outcome } from "./sessions";

export function SessionPage({ id, mayAct }: { id: string; mayAct: boolean }) {
  const { data: session, problem } = useLoad<Session>(`/v1/sessions/${id}`, 3);
  const events = useLoad<{ events: AuditEvent[]; complete: boolean }>(`/v1/events?limit=4096&session=${id}`, 3);
  const acts = usePresence().includes(id) && actsIn(id);
  const why = useLoad<Explanation>(`/v1/explain?session=${id}`);
  const mine = events.data?.events ?? [];
  const facts: [string, string | undefined][] = session
    ? [
        ["Principal", session.principal],
        ["Target", session.target && `${session.account}@${session.target}`],
        ["Address", session.address],
        ["From", session.peer],
        ["Started", clock(session.started)],
        ["Lasted", since(session.started, session.ended ? Date.parse(session.ended) : Date.now())],
        ["Proven by", factors(session.factors ?? "")],
        ["Key", session.key],
        ["Credential at the target", session.credential],
        ["Algorithms, client", session.client_algorithms],
        ["Algorithms, target", session.target_algorithms],
        ["Channels", String(session.channels)],
        ["To target", bytes(session.bytes_in)],
        ["From target", bytes(session.bytes_out)],
        ["Inside of", session.outer],
      ]
    : [];
  return (
    <Page title={session ? `${session.principal || "Unproven client"}${session.target ? ` on ${session.target}` : ""}` : "Session"} aside={session && <Outcome row={session} />}>
      <ProblemBox problem={problem} />
      <dl class="facts">
        {facts
          .filter(([, value]) => value)
          .map(([name, value]) => (
            <div>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
      </dl>
      {session && !session.ended && session.principal && (mayAct || acts) && <Now id={id} />}
      {!session?.ended && <Presence id={id} />}
      {why.data?.text && (
        <section aria-labelledby="why">
          <h2 id="why">Why</h2>
          <pre tabIndex={0}>{why.data.text}</pre>
        </section>
      )}
      <section aria-labelledby="did">
        <h2 id="did">Audit events</h2>
        {mine.length > 0 && events.data && !events.data.complete && <p>These are the ones that the gateway's memory holds. Older ones are in the journal; read it with the lines below.</p>}
        {mine.length === 0 ? (
          <Empty>The gateway's memory holds no event of this session any more; the journal does. Read it with the lines below.</Empty>
        ) : (
          <Table
            caption="Audit events of this session"
            file={`session-${id}`}
            id={(row) => String(row.number)}
            rows={mine}
            columns={[
              { name: "At", text: (row) => row.at, show: (row) => <time dateTime={row.at}>{clock(row.at)}</time> },
              { name: "Event", text: (row) => row.name },
              {
                name: "Decision",
                text: (row) => String(row.fields?.decision ?? ""),
                show: (row) => <Decision value={row.fields?.decision} />,
              },
              { name: "Fields", text: (row) => JSON.stringify(row.fields), show: (row) => <Fields fields={row.fields} without={["session", "decision"]} />, wide: true },
            ]}
          />
        )}
      </section>
      <section aria-labelledby="lines">
        <h2 id="lines">Recording</h2>
        <p>
          <a href={`/sessions/${id}/replay`}>{session && !session.ended ? "Watch it now" : "Replay it"}</a>
        </p>
        <CopyLine label="replay" text={`sallyport play ${quoted(id)} --reason 'why you look'`} />
        <CopyLine label="verify" text={`sallyport verify ${quoted(id)}`} />
        <CopyLine label="export" text={`sallyport export ${quoted(id)} > ${id}.cast`} />
      </section>
      <Equivalent cli={`sallyport events --session ${quoted(id)}`} api={`GET /v1/sessions/${id}, GET /v1/events?session=${id}, GET /v1/explain?session=${id}`} />
    </Page>
  );
}

/** Being there: as the session's moderator, or to watch. */
function Presence({ id }: { id: string }) {
  const [asking, setAsking] = useState(false);
  const present = usePresence().includes(id);
  const join = useAction(async (reason: string) => {
    await joinSession(id, reason);
    setAsking(false);
  });
  const leave = useAction(async () => leaveSession(id));
  return (
    <section aria-labelledby="presence">
      <h2 id="presence">Presence</h2>
      <p role="status">{present ? "You are present in this session, also while you watch it. Closing this tab is leaving it." : "You are not present in this session."}</p>
      <div class="acts">
        {present ? (
          <button type="button" disabled={leave.busy} onClick={() => void leave.run()}>
            Leave the session
          </button>
        ) : (
          <button type="button" onClick={() => setAsking(true)}>
            Join the session
          </button>
        )}
      </div>
      {present && takesOverIn(id) && (
        <p>
          You may take its keyboard: <a href={`/sessions/${id}/replay`}>watch it</a> and press <b>Take the keyboard</b> below the terminal.
        </p>
      )}
      <ProblemBox problem={leave.problem} />
      <CopyLine label="ssh" text={`ssh -t YOU@gateway join ${id}`} />
      <CopyLine label="CLI" text={`sallyport session join ${quoted(id)} --reason 'why'`} />
      {asking && (
        <AskReason title="Join this session? Its people are told" act="Join it" busy={join.busy} problem={join.problem} onDo={(reason) => void join.run(reason)} onLeave={() => setAsking(false)} />
      )}
    </section>
  );
}

/** What somebody who watches may do. */
function Now({ id }: { id: string }) {
  return (
    <section aria-labelledby="acts">
      <h2 id="acts">Now</h2>
      <Acts id={id} />
      <ActLines id={id} />
    </section>
  );
}
