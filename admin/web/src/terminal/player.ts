// Plays frames of a recording on a screen with a clock of its own: pause, speed, idle skip, any moment.
import { bytesOf } from "../stream";
import type { Screen } from "./screen";

/** One line of GET /v1/viewings/{id}/frames. */
export interface Frame {
  b: number; // microseconds of the gateway's boot clock
  c: number;
  k: string;
  d?: string;
  w?: number;
  h?: number;
  n?: number;
  pty?: boolean;
  text?: string;
}

interface Event {
  at: number; // milliseconds since the recording's beginning
  kind: string;
  data?: Uint8Array;
  columns?: number;
  rows?: number;
}

const RED = new TextEncoder().encode("\x1b[31m");
const PLAIN = new TextEncoder().encode("\x1b[39m");
const TICK_MS = 40;

export interface PlayerState {
  at: number;
  playing: boolean;
  loaded: number;
}

export class Player {
  speed = 1;
  idleLimit = 2000; // 0: none
  private events: Event[] = [];
  private next = 0;
  private position = 0;
  private begin = 0;
  private playing = false;
  private timer = 0;
  private last = 0;
  private following = false;
  private complete = false;

  constructor(
    private readonly screen: Screen,
    private readonly zero: number,
    private readonly onChange: (state: PlayerState) => void,
  ) {}

  /** Forgets what was loaded: what comes now begins at `at`. */
  clear(at: number): void {
    this.complete = false;
    this.events = [];
    this.next = 0;
    this.begin = at;
    this.position = at;
    this.screen.terminal.reset();
  }

  get loaded(): { from: number; to: number } {
    return { from: this.begin, to: this.events.at(-1)?.at ?? this.begin };
  }

  add(frame: Frame): void {
    const event: Event = { at: Math.max(this.begin, (frame.b - this.zero) / 1000), kind: frame.k };
    if (frame.d !== undefined) event.data = bytesOf(frame.d);
    if (frame.w !== undefined && frame.h !== undefined) [event.columns, event.rows] = [frame.w, frame.h];
    this.events.push(event);
    if (this.following) this.go(event.at);
  }

  /** No more will be added. */
  finish(): void {
    this.complete = true;
  }

  /** What is added is shown at once. */
  follow(on: boolean): void {
    this.following = on;
    if (on) {
      this.pause();
      this.go(this.loaded.to);
    }
  }

  play(): void {
    if (this.playing) return;
    this.following = false;
    if (this.complete && this.next >= this.events.length && this.begin === 0) this.rewind();
    this.playing = true;
    this.last = performance.now();
    this.timer = window.setInterval(() => this.tick(), TICK_MS);
    this.tell();
  }

  pause(): void {
    this.playing = false;
    clearInterval(this.timer);
    this.tell();
  }

  /** Shows the recording as it stood at `at`. False: that is not loaded. */
  seek(at: number): boolean {
    if (at < this.begin) return false;
    if (at < this.position) this.rewind();
    this.go(at);
    return true;
  }

  dispose(): void {
    clearInterval(this.timer);
  }

  private rewind(): void {
    this.screen.terminal.reset();
    this.next = 0;
    this.position = this.begin;
  }

  private tick(): void {
    const now = performance.now();
    let to = this.position + (now - this.last) * this.speed;
    this.last = now;
    const coming = this.events[this.next];
    if (coming && this.idleLimit > 0 && coming.at - this.position > this.idleLimit) to = Math.max(to, coming.at - 300);
    this.go(to);
    if (this.complete && !this.events[this.next]) this.pause();
  }

  private go(to: number): void {
    this.position = Math.max(this.position, to);
    for (let event = this.events[this.next]; event && event.at <= this.position; event = this.events[this.next]) {
      this.show(event);
      this.next++;
    }
    const last = this.events.at(-1);
    if (this.next >= this.events.length && last) this.position = Math.min(this.position, Math.max(last.at, this.begin));
    this.tell();
  }

  private show(event: Event): void {
    const { terminal } = this.screen;
    if (event.columns && event.rows) this.screen.fit(event.columns, event.rows);
    if (!event.data) return;
    if (event.kind === "e") {
      terminal.write(RED);
      terminal.write(event.data);
      terminal.write(PLAIN);
    } else if (event.kind === "o" || event.kind === "p") {
      terminal.write(event.data);
    }
  }

  private tell(): void {
    this.onChange({ at: this.position, playing: this.playing, loaded: this.loaded.to });
  }
}
