// The one place that talks to the gateway. A failure is an ApiProblem: what, why and what to do, never a bare status.
import type { Problem } from "./types";

export class ApiProblem extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail ?? problem.title);
  }
}

const TOKEN = "sallyport.token";

/** The token lives as long as the tab: closing it signs out. */
export const token = {
  get: (): string => sessionStorage.getItem(TOKEN) ?? "",
  set: (value: string): void => sessionStorage.setItem(TOKEN, value),
  clear: (): void => sessionStorage.removeItem(TOKEN),
};

/** The session that the browser's cookie stands for; the CSRF token lives in this page's memory only. */
export interface WebSession {
  principal: string;
  csrf: string;
  expires: string;
  fresh_until: string;
  step_up: "" | "totp" | "passkey" | "password" | "sign-on";
  passkey: boolean;
}
let csrf = "";
export const session = {
  take: (value: WebSession): void => {
    csrf = value.csrf;
  },
  is: (): boolean => csrf !== "",
  /** Is there one? Learns its CSRF token after a reload. */
  find: async (): Promise<boolean> => {
    try {
      session.take(await call<WebSession>("/v1/session"));
      return true;
    } catch {
      return false;
    }
  },
  end: async (): Promise<void> => {
    try {
      if (!csrf) return;
      const { provider } = await call<{ provider?: string }>("/v1/session", { method: "DELETE" });
      if (provider) window.location.assign(provider);
    } finally {
      csrf = "";
    }
  },
};

/** Asks the person for a factor again; true when she gave a right one. Set by the page. */
type StepUp = () => Promise<boolean>;
let stepUp: StepUp = () => Promise.resolve(false);
export function onStepUp(ask: StepUp): void {
  stepUp = ask;
}

const WAIT_MS = 20_000;
type Listener = () => void;
const signedOut = new Set<Listener>();
export function onSignedOut(listener: Listener): () => void {
  signedOut.add(listener);
  return () => signedOut.delete(listener);
}

function unreachable(detail: string): ApiProblem {
  return new ApiProblem({
    title: "the gateway did not answer",
    status: 0,
    detail,
    remedy: "Check that `sallyport serve` runs and that this address reaches it; the page tries again by itself.",
  });
}

export interface Call {
  method?: string;
  body?: unknown;
  signal?: AbortSignal;
  headers?: Record<string, string>;
  repeats?: boolean; // may be sent twice: it needs no Idempotency-Key
}

interface Reply<T> {
  body: T;
  etag: string;
}

export async function call<T>(path: string, options: Call = {}): Promise<T> {
  return (await exchange<T>(path, options)).body;
}

/** Changes exactly what is there now: reads it first, and the gateway refuses when somebody else was faster (If-Match). */
export async function change<T>(path: string, method: "PUT" | "DELETE", body?: unknown): Promise<T> {
  const { etag } = await exchange<unknown>(path, {});
  return call<T>(path, { method, body, headers: etag ? { "If-Match": etag } : {} });
}

async function exchange<T>(path: string, options: Call): Promise<Reply<T>> {
  try {
    return await attempt<T>(path, options);
  } catch (error) {
    // What wants a factor of the last minutes is tried again once she has given one.
    if (error instanceof ApiProblem && error.problem.code === "SP-9303" && (await stepUp())) return attempt<T>(path, options);
    throw error;
  }
}

async function attempt<T>(path: string, { method = "GET", body, signal, headers = {}, repeats = false }: Call): Promise<Reply<T>> {
  const out: Record<string, string> = { Accept: "application/json", ...headers };
  if (csrf && method !== "GET") out["X-CSRF-Token"] = csrf;
  if (token.get()) out.Authorization = `Bearer ${token.get()}`;
  if (body !== undefined) out["Content-Type"] = "application/json";
  if (method === "POST" && !repeats) out["Idempotency-Key"] = crypto.randomUUID();
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), WAIT_MS);
  signal?.addEventListener("abort", () => limit.abort());
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers: out,
      credentials: "same-origin",
      signal: limit.signal,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw unreachable(limit.signal.aborted ? "no answer within 20 s" : String(error));
  } finally {
    clearTimeout(timer);
  }
  const text = await response.text();
  let parsed: unknown = null;
  try {
    parsed = text ? JSON.parse(text) : null;
  } catch {
    throw unreachable(`the answer to ${method} ${path} is not JSON (status ${response.status})`);
  }
  if (response.ok) return { body: parsed as T, etag: response.headers.get("ETag") ?? "" };
  // A wrong invite is no end of the session that this browser may have.
  if (response.status === 401 && !path.startsWith("/v1/invited")) {
    token.clear();
    csrf = "";
    signedOut.forEach((listener) => listener());
  }
  const problem = (parsed ?? {}) as Partial<Problem>;
  throw new ApiProblem({ ...problem, title: problem.title ?? response.statusText, status: response.status });
}

export function query(path: string, values: Record<string, string | number | undefined>): string {
  const pairs = Object.entries(values).filter(([, value]) => value !== undefined && value !== "");
  return pairs.length ? `${path}?${new URLSearchParams(pairs.map(([key, value]) => [key, String(value)]))}` : path;
}
