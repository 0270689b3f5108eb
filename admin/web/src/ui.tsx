// The parts every page is made of.
import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import { csv, shown } from "./text";
import type { Problem } from "./types";

export function Page(props: { title: string; aside?: ComponentChildren; children: ComponentChildren }) {
  useEffect(() => {
    document.title = `${shown(props.title)} - Sallyport`;
  }, [props.title]);
  return (
    <>
      <header class="head">
        <h1>{props.title}</h1>
        {props.aside}
      </header>
      {props.children}
    </>
  );
}

export function ProblemBox({ problem }: { problem?: Problem }) {
  if (!problem) return null;
  return (
    <div class="problem" role="alert">
      <strong>
        {problem.code ? `${problem.code} ` : ""}
        {problem.title}
      </strong>
      {problem.detail && problem.detail !== problem.title && <p>{problem.detail}</p>}
      {problem.errors && problem.errors.length > 0 && (
        <ul>
          {problem.errors.map((each) => (
            <li>
              {each.file && (
                <code>
                  {each.file}:{each.line}:{each.column}
                </code>
              )}{" "}
              {each.message}
            </li>
          ))}
        </ul>
      )}
      {problem.remedy && <p>{problem.remedy}</p>}
    </div>
  );
}

export function Badge({ tone, children }: { tone: "good" | "bad" | "warn" | "plain"; children: ComponentChildren }) {
  return <span class={`badge ${tone}`}>{children}</span>;
}

/** allow, deny, or ask: somebody else has to say so first. */
export function Decision({ value }: { value: unknown }) {
  if (!value) return null;
  return <Badge tone={value === "allow" ? "good" : value === "deny" ? "bad" : "warn"}>{String(value)}</Badge>;
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}

/** The same thing done elsewhere: the command and the request behind this view. */
export function Equivalent({ cli, api }: { cli: string; api: string }) {
  return (
    <details class="equivalent">
      <summary>Same from a terminal</summary>
      <CopyLine text={cli} />
      <CopyLine text={api} />
    </details>
  );
}

export function CopyLine({ text, label }: { text: string; label?: string }) {
  const [copied, setCopied] = useState(false);
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    timer.current = window.setTimeout(() => setCopied(false), 2000);
  };
  return (
    <div class="copy">
      {label && <span class="copy-label">{label}</span>}
      <code tabIndex={0}>{text}</code>
      <button type="button" onClick={() => void copy()} aria-label={`Copy: ${text}`}>
        {copied ? "Copied" : "Copy"}
      </button>
      <span class="hidden" role="status">
        {copied ? "Copied" : ""}
      </span>
    </div>
  );
}

export interface Column<T> {
  name: string;
  text: (row: T) => string;
  show?: (row: T) => ComponentChildren;
  sort?: (row: T) => string | number;
  wide?: boolean; // hidden on a narrow screen
  right?: boolean;
}

const SHOWN = 100;

/** A table that sorts by its headings and saves itself as CSV. Shows 100 rows and says so; the CSV has them all. */
export function Table<T>(props: { caption: string; columns: Column<T>[]; rows: T[]; id: (row: T) => string; file: string }) {
  const { columns, rows } = props;
  const [by, setBy] = useState<{ column: number; down: boolean }>();
  const [shown, setShown] = useState(SHOWN);
  const sorted = useMemo(() => {
    if (!by) return rows;
    const column = columns[by.column];
    if (!column) return rows;
    const key = column.sort ?? column.text;
    const compare = (a: T, b: T) => {
      const x = key(a);
      const y = key(b);
      return typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
    };
    return [...rows].sort((a, b) => (by.down ? compare(b, a) : compare(a, b)));
  }, [rows, columns, by]);
  const save = () => {
    const text = csv([columns.map((column) => column.name), ...sorted.map((row) => columns.map((column) => column.text(row)))]);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = `${props.file}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  };
  return (
    <div class="table">
      <div class="scroll" tabIndex={0} role="region" aria-label={props.caption}>
        <table role="table">
          <caption class="hidden">{props.caption}</caption>
          <thead role="rowgroup">
            <tr role="row">
              {columns.map((column, index) => {
                const mine = by?.column === index;
                return (
                  <th
                    scope="col"
                    role="columnheader"
                    class={`${column.wide ? "wide" : ""} ${column.right ? "right" : ""}`}
                    aria-sort={mine ? (by.down ? "descending" : "ascending") : "none"}
                  >
                    <button type="button" onClick={() => setBy({ column: index, down: mine ? !by.down : false })}>
                      {column.name}
                      <span aria-hidden="true">{mine ? (by.down ? " ▾" : " ▴") : ""}</span>
                    </button>
                  </th>
                );
              })}
            </tr>
          </thead>
          <tbody role="rowgroup">
            {sorted.slice(0, shown).map((row) => (
              <tr key={props.id(row)} role="row">
                {columns.map((column) => (
                  <td role="cell" data-name={column.name} class={`${column.wide ? "wide" : ""} ${column.right ? "right" : ""}`}>{column.show ? column.show(row) : column.text(row)}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <div class="under">
        <span>
          {Math.min(shown, sorted.length)} of {sorted.length}
        </span>
        {shown < sorted.length && (
          <button type="button" onClick={() => setShown(shown + SHOWN)}>
            Show more
          </button>
        )}
        <button type="button" onClick={save} disabled={rows.length === 0}>
          Save as CSV
        </button>
      </div>
    </div>
  );
}

export function Filter(props: { label: string; value: string; onChange: (value: string) => void; list?: string[] }) {
  const id = `filter-${props.label.replaceAll(" ", "-").toLowerCase()}`;
  return (
    <label class="filter" for={id}>
      <span>{props.label}</span>
      {props.list ? (
        <select id={id} value={props.value} onChange={(event) => props.onChange(event.currentTarget.value)}>
          {props.list.map((each) => (
            <option value={each}>{each || "any"}</option>
          ))}
        </select>
      ) : (
        <input id={id} type="search" value={props.value} onInput={(event) => props.onChange(event.currentTarget.value)} />
      )}
    </label>
  );
}

/** A day of UTC, as 2026-11-22. */
export function DayFilter(props: { label: string; value: string; onChange: (value: string) => void }) {
  return (
    <label class="filter">
      <span>{props.label}</span>
      <input type="date" value={props.value} onInput={(event) => props.onChange(event.currentTarget.value)} />
    </label>
  );
}

/** Asks for the reason that an action needs before it is done; Escape leaves it undone. */
export function AskReason(props: { title: string; act: string; label?: string; busy: boolean; problem?: Problem; onDo: (reason: string) => void; onLeave: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [reason, setReason] = useState("");
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  return (
    <dialog ref={dialog} onClose={props.onLeave} aria-labelledby="ask-title">
      <form
        method="dialog"
        onSubmit={(event) => {
          event.preventDefault();
          props.onDo(reason);
        }}
      >
        <h2 id="ask-title">{props.title}</h2>
        <label>
          {props.label ?? "Reason (it is shown to the person and stands in the audit log)"}
          <input value={reason} required maxLength={200} onInput={(event) => setReason(event.currentTarget.value)} />
        </label>
        <ProblemBox problem={props.problem} />
        <div class="buttons">
          <button type="button" onClick={() => dialog.current?.close()}>
            Leave it
          </button>
          <button type="submit" class="danger" disabled={props.busy || !reason.trim()}>
            {props.act}
          </button>
        </div>
      </form>
    </dialog>
  );
}

/** The fields of an audit event, one after the other; `without` is shown elsewhere. */
export function Fields({ fields, without = [] }: { fields: Record<string, unknown> | null; without?: string[] }) {
  const pairs = Object.entries(fields ?? {}).filter(([key, value]) => !without.includes(key) && value !== "" && value !== null);
  return (
    <span class="fields">
      {pairs.map(([key, value]) => (
        <span>
          <b>{key}</b> {typeof value === "string" ? value : JSON.stringify(value)}
        </span>
      ))}
    </span>
  );
}
