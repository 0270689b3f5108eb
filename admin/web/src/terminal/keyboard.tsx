// The keyboard of a session that one has joined: taken, typed on, and returned; what is typed goes in order, a few times in a second.
import type { RefObject } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { hasKeyboardOf, takeKeyboard, takesOverIn, typeInto, usePresence } from "../presence";
import type { Problem } from "../types";
import { ProblemBox } from "../ui";
import { problemOf, useAction } from "../use";
import type { Screen } from "./screen";

const EVERY_MS = 200; // the gateway counts requests, and people type faster
const MOST = 4000; // letters in one request

export function Keyboard({ session, screen }: { session: string; screen: RefObject<Screen> }) {
  const present = usePresence().includes(session);
  const taken = present && hasKeyboardOf(session);
  const [lost, setLost] = useState<Problem>();
  const queue = useRef("");
  const turn = useAction(async (on: boolean) => {
    setLost(undefined);
    await takeKeyboard(session, on);
  });
  useEffect(() => {
    const terminal = screen.current?.terminal;
    if (!taken || !terminal) return;
    let busy = false;
    const flush = async () => {
      if (busy || !queue.current) return;
      busy = true;
      const keys = queue.current.slice(0, MOST);
      queue.current = queue.current.slice(MOST);
      try {
        await typeInto(session, keys);
      } catch (error) {
        queue.current = "";
        setLost(problemOf(error));
      } finally {
        busy = false;
      }
    };
    const timer = window.setInterval(() => void flush(), EVERY_MS);
    const typed = terminal.onData((data) => {
      queue.current += data;
    });
    terminal.options.disableStdin = false;
    terminal.options.cursorBlink = true;
    terminal.focus();
    return () => {
      clearInterval(timer);
      typed.dispose();
      queue.current = "";
      terminal.options.disableStdin = true;
      terminal.options.cursorBlink = false;
    };
  }, [taken, session]);
  if (!present || !takesOverIn(session)) return null;
  return (
    <div class="controls">
      <button type="button" aria-pressed={taken} disabled={turn.busy} onClick={() => void turn.run(!taken)}>
        {taken ? "Return the keyboard" : "Take the keyboard"}
      </button>
      <span role="status">{taken ? "You have the keyboard: what you type in the terminal reaches the target, with your name beside it." : ""}</span>
      <ProblemBox problem={turn.problem ?? lost} />
    </div>
  );
}
