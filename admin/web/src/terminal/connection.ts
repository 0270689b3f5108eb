// The WebSocket behind a terminal: opened with a ticket, opened again when it is lost, goes on where it was.
import { call } from "../api";
import type { OpenedTerminal } from "../types";

export interface Heard {
  bytes: (data: Uint8Array) => void;
  begins: (again: boolean) => void;
  ends: (how: { failed?: string; why?: string; exit?: number }) => void;
  lost: (seconds: number) => void;
  file: (step: FileStep) => void;
}

/** What the gateway says of a file on its way; see terminal/files.ts. */
export interface FileStep {
  id: number;
  state: "go" | "at" | "size" | "data" | "done" | "failed";
  bytes?: number;
  b64?: string;
  why?: string;
}

const GIVE_UP_MS = 30_000;

export class Connection {
  private socket?: WebSocket;
  private have = 0;
  private over = false;
  private lostAt = 0;
  private timer = 0;
  private size = { columns: 80, rows: 24 };

  constructor(
    private readonly terminal: OpenedTerminal,
    private readonly heard: Heard,
  ) {
    this.open(terminal.ticket);
  }

  type(data: string | Uint8Array): void {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    for (let i = 0; i < bytes.length; i += 32_768) this.socket.send(bytes.slice(i, i + 32_768));
  }

  resize(columns: number, rows: number): void {
    this.size = { columns, rows };
    this.say({ k: "resize", columns, rows });
  }

  /** Drops the socket as a lost network does. */
  drop(): void {
    this.socket?.close();
  }

  close(): void {
    this.over = true;
    clearTimeout(this.timer);
    this.socket?.close(1000);
    void call(`/v1/terminals/${this.terminal.id}`, { method: "DELETE" }).catch(() => undefined);
  }

  /** False: nobody is connected who could hear it. */
  file(step: Record<string, unknown>): boolean {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.say({ k: "file", ...step });
    return true;
  }

  private say(value: unknown): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(value));
  }

  private open(ticket: string): void {
    const socket = new WebSocket(`wss://${location.host}/v1/terminals/${this.terminal.id}/socket`, ["sallyport.terminal", `ticket.${ticket}`]);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onopen = () => {
      this.lostAt = 0;
      this.say({ k: "hello", have: this.have });
      this.resize(this.size.columns, this.size.rows);
    };
    socket.onmessage = (message: MessageEvent<ArrayBuffer | string>) => {
      if (typeof message.data !== "string") {
        const bytes = new Uint8Array(message.data);
        this.have += bytes.length;
        this.heard.bytes(bytes);
        return;
      }
      const said = JSON.parse(message.data) as { k: string; from?: number; again?: boolean; failed?: string; why?: string; exit?: number };
      if (said.k === "begin") {
        this.have = said.from ?? 0;
        this.heard.begins(said.again ?? false);
      } else if (said.k === "file") {
        this.heard.file(said as unknown as FileStep);
      } else if (said.k === "end") {
        this.over = true;
        this.heard.ends(said);
      }
    };
    socket.onclose = (event) => {
      if (this.over || this.socket !== socket) return;
      if (event.code === 4001) {
        this.over = true;
        this.heard.ends({ why: "it was opened elsewhere" });
        return;
      }
      this.lostAt ||= Date.now();
      this.again();
    };
  }

  private again(): void {
    const gone = Date.now() - this.lostAt;
    if (gone > GIVE_UP_MS) {
      this.over = true;
      this.heard.ends({ failed: "SP-9403", why: "the gateway was not reached for 30 seconds" });
      return;
    }
    this.heard.lost(Math.round((GIVE_UP_MS - gone) / 1000));
    this.timer = window.setTimeout(() => {
      call<{ ticket: string }>(`/v1/terminals/${this.terminal.id}/ticket`, { method: "POST", body: {} }).then(
        ({ ticket }) => !this.over && this.open(ticket),
        (error: { problem?: { status: number } }) => {
          if (error.problem?.status === 404) {
            this.over = true;
            this.heard.ends({ failed: "SP-9403", why: "its session has ended" });
          } else {
            this.again();
          }
        },
      );
    }, 1000);
  }
}
