// Answers that come piece by piece: JSON lines and long texts.
import { ApiProblem, token } from "./api";
import type { Problem } from "./types";

async function open(path: string, signal: AbortSignal): Promise<Response> {
  const headers: Record<string, string> = {};
  if (token.get()) headers.Authorization = `Bearer ${token.get()}`;
  const response = await fetch(path, { headers, credentials: "same-origin", signal });
  if (response.ok) return response;
  const problem = (await response.json().catch(() => ({}))) as Partial<Problem>;
  throw new ApiProblem({ ...problem, title: problem.title ?? response.statusText, status: response.status });
}

interface EndLine {
  k?: string;
  code?: string;
  detail?: string;
}

/** Gives each JSON line as it comes. Ends without an error only when the gateway said that this was all. */
export async function jsonLines<T>(path: string, signal: AbortSignal, give: (line: T) => void): Promise<void> {
  const response = await open(path, signal);
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const text of lines) {
      if (!text) continue;
      const line = JSON.parse(text) as T & EndLine;
      if (line.k === "end") {
        await reader.cancel();
        return;
      }
      if (line.k === "trouble") throw new ApiProblem({ title: "the recording cannot be shown further", status: 0, code: line.code, detail: line.detail });
      give(line);
    }
  }
  throw new ApiProblem({ title: "the connection to the gateway broke off", status: 0, detail: "what is shown is not all", remedy: "Load the page again." });
}

export async function wholeText(path: string, signal: AbortSignal): Promise<string> {
  return (await open(path, signal)).text();
}

export function bytesOf(base64: string): Uint8Array {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
