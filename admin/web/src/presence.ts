// In which sessions one is present: kept while the pages change, and told to the gateway every few seconds. Closing the tab is leaving.
import { useEffect, useState } from "preact/hooks";

import { call } from "./api";

interface Seat {
  seat: string;
  mayAct: boolean;
  mayTakeOver: boolean;
  hasKeyboard: boolean;
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
  const { seat, may_act, may_take_over } = await call<{ seat: string; may_act: boolean; may_take_over: boolean }>(path(session), { method: "POST", body: { reason } });
  const still = () => call(path(session), { method: "POST", body: { seat }, repeats: true }).catch(() => forget(session));
  seats.set(session, { seat, mayAct: may_act, mayTakeOver: may_take_over, hasKeyboard: false, timer: window.setInterval(() => void still(), EVERY_MS) });
  tell();
}

export async function leaveSession(session: string): Promise<void> {
  const seat = seats.get(session)?.seat;
  forget(session);
  if (seat) await call(path(session), { method: "DELETE", body: { seat } });
}

/** Present as more than a watcher. */
export const actsIn = (session: string): boolean => seats.get(session)?.mayAct ?? false;

/** Her role lets her type in the place of the session's person. */
export const takesOverIn = (session: string): boolean => seats.get(session)?.mayTakeOver ?? false;
export const hasKeyboardOf = (session: string): boolean => seats.get(session)?.hasKeyboard ?? false;

export async function takeKeyboard(session: string, taken: boolean): Promise<void> {
  const here = seats.get(session);
  if (!here) return;
  await call(`/v1/sessions/${session}/keyboard`, { method: "POST", body: { seat: here.seat, taken } });
  here.hasKeyboard = taken;
  tell();
}

/** Errors: she no longer has it. */
export async function typeInto(session: string, keys: string): Promise<void> {
  const here = seats.get(session);
  if (!here) return;
  try {
    await call(`/v1/sessions/${session}/keys`, { method: "POST", body: { seat: here.seat, keys }, repeats: true });
  } catch (error) {
    here.hasKeyboard = false;
    tell();
    throw error;
  }
}

export async function leaveAll(): Promise<void> {
  await Promise.allSettled([...seats.keys()].map(leaveSession));
}

/** The sessions in which one is present. */
export function usePresence(): string[] {
  const [here, setHere] = useState([...seats.keys()]);
  useEffect(() => {
    const listener = () => setHere([...seats.keys()]); // a new list each time: the page is drawn again, with what a seat may now
    listeners.add(listener);
    listener();
    return () => {
      listeners.delete(listener);
    };
  }, []);
  return here;
}
