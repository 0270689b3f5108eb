// How values read: one place for texts of others, times, sizes and durations.

// As platform/model/json_text.cpp has them, but for tab and line feed, which a page lays out harmlessly.
const STEERING = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;

/**
 * `text` as it is shown: what steers the line instead of being seen (control characters, those that turn its direction around, those that
 * nobody sees) is written as \u202e, so that a person reads the name, command or reason that there is. main.tsx has every text of the page
 * go through here.
 */
export function shown(text: string): string {
  return text.search(STEERING) < 0 ? text : text.replace(STEERING, (one) => `\\u${(one.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`);
}

// Made once: making one for each cell takes longer than everything else of a long table.
const CLOCK = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "medium" });

export function clock(utc: string): string {
  const at = new Date(utc);
  return Number.isNaN(at.getTime()) ? utc : CLOCK.format(at);
}

export function since(utc: string, until = Date.now()): string {
  const seconds = Math.max(0, Math.round((until - new Date(utc).getTime()) / 1000));
  if (Number.isNaN(seconds)) return "";
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3600)} h`;
}

/** "key:1700000000000000,totp:1700000001000000v": each factor and when it was given, in microseconds. */
export function factors(text: string): string {
  return text
    .split(",")
    .map((each) => /^([a-z-]+):(\d{13,17})(h?)(v?)$/.exec(each))
    .map((found) => (found ? `${found[1]}${found[4] ? ", its holder checked" : ""} at ${clock(new Date(Number(found[2]) / 1000).toISOString())}` : ""))
    .filter(Boolean)
    .join("; ");
}

export function bytes(count: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) {
    count /= 1024;
    unit++;
  }
  return `${unit === 0 ? count : count.toFixed(count < 10 ? 1 : 0)} ${units[unit]}`;
}

/** A shell word that means exactly `text`. */
export function quoted(text: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** RFC 4180; a cell that a spreadsheet would run as a formula gets a leading apostrophe. */
export function csv(rows: string[][]): string {
  const cell = (text: string) => {
    const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  return rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

/** "1:02:03.4" of milliseconds since a beginning. */
export function moment(milliseconds: number): string {
  const tenths = Math.max(0, Math.floor(milliseconds / 100));
  const seconds = Math.floor(tenths / 10);
  const two = (n: number) => String(n).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  return `${hours ? `${hours}:` : ""}${hours ? two(Math.floor(seconds / 60) % 60) : Math.floor(seconds / 60)}:${two(seconds % 60)}.${tenths % 10}`;
}

/** How `user` connects: the gateway's own address, or the one at which this page was opened. */
export function sshLine(user: string, ssh: { host: string; port: string }): string {
  return `ssh ${ssh.port === "22" ? "" : `-p ${ssh.port} `}${user}@${ssh.host || location.hostname}`;
}
