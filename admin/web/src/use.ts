import { useCallback, useEffect, useRef, useState } from "preact/hooks";

import { ApiProblem, call } from "./api";
import type { Problem } from "./types";

export interface Loaded<T> {
  data?: T;
  problem?: Problem;
  loading: boolean;
  again: () => void;
}

/** Loads `path` now, again whenever it changes, and every `seconds` while the page can be seen. Old data stays in view while new is fetched. */
export function useLoad<T>(path: string, seconds = 0): Loaded<T> {
  const [state, setState] = useState<{ path: string; data?: T; problem?: Problem; loading: boolean }>({ path, loading: true });
  const [turn, setTurn] = useState(0);
  const again = useCallback(() => setTurn((n) => n + 1), []);
  useEffect(() => {
    const stop = new AbortController();
    let timer = 0;
    const load = async () => {
      try {
        const data = await call<T>(path, { signal: stop.signal });
        setState({ path, data, loading: false });
      } catch (error) {
        if (stop.signal.aborted) return;
        setState((old) => ({ path, data: old.path === path ? old.data : undefined, problem: problemOf(error), loading: false }));
      }
      if (seconds > 0 && !stop.signal.aborted) timer = window.setTimeout(next, seconds * 1000);
    };
    const next = () => {
      if (document.hidden) timer = window.setTimeout(next, seconds * 1000);
      else void load();
    };
    void load();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [path, seconds, turn]);
  return state.path === path ? { ...state, again } : { loading: true, again };
}

export function problemOf(error: unknown): Problem {
  return error instanceof ApiProblem ? error.problem : { title: "the page met an error", status: 0, detail: String(error) };
}

/** Runs an action once at a time and keeps what went wrong. */
export function useAction<A extends unknown[]>(action: (...values: A) => Promise<void>) {
  const [problem, setProblem] = useState<Problem>();
  const [busy, setBusy] = useState(false);
  const latest = useRef(action);
  latest.current = action;
  const run = useCallback(async (...values: A) => {
    setBusy(true);
    setProblem(undefined);
    try {
      await latest.current(...values);
    } catch (error) {
      setProblem(problemOf(error));
    } finally {
      setBusy(false);
    }
  }, []);
  return { run, busy, problem };
}
