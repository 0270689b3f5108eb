// One file up or down through a terminal's socket. The session decides and records it; here it is only cut into pieces.
import type { FileStep } from "./connection";

const PIECE = 24 * 1024;
const AHEAD = 16 * PIECE;
const MOST_UPLOAD = 1024 ** 3;

export interface Progress {
  name: string;
  up: boolean;
  bytes: number;
  size?: number;
  state: "running" | "done" | "failed";
  why?: string;
}

export class Files {
  private id = 0;
  private now?: Progress;
  private file?: File;
  private sent = 0;
  private sending = false;
  private pieces: Uint8Array<ArrayBuffer>[] = [];

  constructor(
    private readonly say: (step: Record<string, unknown>) => boolean,
    private readonly show: (progress: Progress) => void,
  ) {}

  upload(file: File, path: string, over: boolean): void {
    if (this.now?.state === "running") return;
    this.begin({ name: path, up: true, bytes: 0, size: file.size, state: "running" });
    this.file = file;
    this.sent = 0;
    if (file.size > MOST_UPLOAD) return this.fail("more than 1 GiB: use sftp or scp");
    this.tell({ do: "put", path, size: file.size, over });
  }

  download(path: string): void {
    if (this.now?.state === "running") return;
    this.begin({ name: path, up: false, bytes: 0, state: "running" });
    this.pieces = [];
    this.tell({ do: "get", path });
  }

  stop(): void {
    if (this.now?.state === "running") this.tell({ do: "stop" });
  }

  /** The socket was lost: what was on its way may have been lost with it. */
  lost(): void {
    if (this.now?.state !== "running") return;
    this.fail("the connection was lost on the way");
    this.say({ id: this.id, do: "stop" });
  }

  hear(step: FileStep): void {
    if (step.id !== this.id || this.now?.state !== "running") return;
    if (step.state === "go") void this.send();
    else if (step.state === "at") {
      this.update({ bytes: step.bytes ?? 0 });
      void this.send();
    } else if (step.state === "size") this.update({ size: step.bytes ?? 0 });
    else if (step.state === "data") {
      const piece = Uint8Array.from(atob(step.b64 ?? ""), (c) => c.charCodeAt(0));
      this.pieces.push(piece);
      this.update({ bytes: this.now.bytes + piece.length });
      this.tell({ do: "more", bytes: this.now.bytes });
    } else if (step.state === "done") {
      if (!this.now.up) this.save();
      this.update({ state: "done", bytes: step.bytes ?? this.now.bytes });
    } else if (step.state === "failed") this.fail(step.why ?? "");
  }

  private begin(progress: Progress): void {
    this.id += 1;
    this.now = progress;
    this.show(progress);
  }

  private update(change: Partial<Progress>): void {
    if (!this.now) return;
    this.now = { ...this.now, ...change };
    this.show(this.now);
  }

  private fail(why: string): void {
    this.pieces = [];
    this.update({ state: "failed", why });
  }

  private tell(step: Record<string, unknown>): void {
    if (!this.say({ id: this.id, ...step })) this.fail("the terminal is not connected");
  }

  private async send(): Promise<void> {
    if (this.sending || !this.file || !this.now?.up) return;
    this.sending = true;
    const id = this.id;
    try {
      while (this.now?.state === "running" && this.id === id && this.sent < this.file.size && this.sent - this.now.bytes < AHEAD) {
        const bytes = new Uint8Array(await this.file.slice(this.sent, this.sent + PIECE).arrayBuffer());
        let text = "";
        for (const byte of bytes) text += String.fromCharCode(byte);
        this.tell({ do: "data", b64: btoa(text) });
        this.sent += bytes.length;
      }
      if (this.now?.state === "running" && this.id === id && this.sent >= this.file.size) {
        this.file = undefined;
        this.tell({ do: "end" });
      }
    } catch {
      this.stop();
      this.fail("the file could not be read");
    } finally {
      this.sending = false;
    }
  }

  private save(): void {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(this.pieces, { type: "application/octet-stream" }));
    link.download = this.now?.name.split("/").pop() || "file";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    this.pieces = [];
  }
}
