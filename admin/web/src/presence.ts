// In which sessions one is present: kept while the pages change, and told to the gateway every few seconds. Closing the tab is leaving.
import { useEffect, useState } from "preact/hooks";

import { call } from "./api";

interface Seat {
  seat: string;
  mayAct: boolean;
  timer: number;
}
const seats = new Map<string, Seat>();
const listeners = new Set<() => void>();
const EVERY_MS = 4000;

const path = (session: string): string => `/v1/sessions/${session}/join`;
const tell = (): void => listeners.forEach((listener) => listener());

function forget(session: string): void {
  clearInterval(seats.get(session)?.timer);
  seats.delete(session);
  tell();
}

export async function joinSession(session: string, reason: string): Promise<void> {
  const { seat, may_act } = await call<{ seat: string; may_act: boolean }>(path(session), { method: "POST", body: { reason } });
  const still = () => call(path(session), { method: "POST", body: { seat } }).catch(() => forget(session));
  seats.set(session, { seat, mayAct: may_act, timer: window.setInterval(() => void still(), EVERY_MS) });
  tell();
}

export async function leaveSession(session: string): Promise<void> {
  const seat = seats.get(session)?.seat;
  forget(session);
  if (seat) await call(path(session), { method: "DELETE", body: { seat } });
}

/** Present as more than a watcher. */
export const actsIn = (session: string): boolean => seats.get(session)?.mayAct ?? false;

export async function leaveAll(): Promise<void> {
  await Promise.allSettled([...seats.keys()].map(leaveSession));
}

/** The sessions in which one is present. */
export function usePresence(): string[] {
  const [here, setHere] = useState([...seats.keys()]);
  useEffect(() => {
    const listener = () => setHere([...seats.keys()]);
    listeners.add(listener);
    listener();
    return () => {
      listeners.delete(listener);
    };
  }, []);
  return here;
}
