// xterm.js under a content policy that forbids inline style elements: what it would write into them goes into constructed sheets.
import "@xterm/xterm/css/xterm.css";

import { type ITerminalOptions, Terminal } from "@xterm/xterm";

const FONT = 'ui-monospace, "DejaVu Sans Mono", monospace';
const LARGEST = 15;
const SMALLEST = 6;

const dark = { background: "#0d1117", foreground: "#e6edf3", cursor: "#e6edf3", selectionBackground: "#3b5b7a" };

// Colours that are not of the palette are written as a style attribute, which the policy forbids; the same by the object model is allowed.
HTMLSpanElement.prototype.setAttribute = function (name: string, value: string) {
  if (name === "style") this.style.cssText = value;
  else Element.prototype.setAttribute.call(this, name, value);
};

export interface Screen {
  terminal: Terminal;
  /** As large as the letters may be so that `columns` fit the box. */
  fit: (columns: number, rows: number) => void;
  /** How many columns and rows fit the box at the usual size. */
  room: () => { columns: number; rows: number };
  dispose: () => void;
}

export function makeScreen(box: HTMLElement, options: ITerminalOptions): Screen {
  const terminal = new Terminal({
    fontFamily: FONT,
    fontSize: 13,
    scrollback: 5000,
    theme: dark,
    allowProposedApi: false,
    minimumContrastRatio: 4.5,
    screenReaderMode: false,
    ...options,
  });
  const sheets: CSSStyleSheet[] = [];
  const make = document.createElement.bind(document);
  const styled = ((name: string, more?: ElementCreationOptions) => {
    if (name !== "style") return make(name, more);
    const element = make("template"); // shows nothing; even an empty style element is a violation
    const sheet = new CSSStyleSheet();
    sheets.push(sheet);
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
    Object.defineProperty(element, "textContent", { set: (text: string) => sheet.replaceSync(text), get: () => "" });
    return element;
  }) as typeof document.createElement;
  document.createElement = styled;
  try {
    terminal.open(box);
  } finally {
    Reflect.deleteProperty(document, "createElement");
  }
  const cell = () => {
    const screen = box.querySelector<HTMLElement>(".xterm-screen");
    return { width: (screen?.clientWidth ?? 640) / terminal.cols, height: (screen?.clientHeight ?? 400) / terminal.rows };
  };
  return {
    terminal,
    fit(columns, rows) {
      terminal.resize(Math.max(2, columns), Math.max(1, rows));
      const size = terminal.options.fontSize ?? 13;
      const width = cell().width / size;
      const fits = Math.floor((box.clientWidth - 16) / (columns * width));
      terminal.options.fontSize = Math.min(LARGEST, Math.max(SMALLEST, fits));
    },
    room() {
      const { width, height } = cell();
      return { columns: Math.max(20, Math.floor((box.clientWidth - 20) / width)), rows: Math.max(5, Math.floor((box.clientHeight - 4) / height)) };
    },
    dispose() {
      terminal.dispose();
      document.adoptedStyleSheets = document.adoptedStyleSheets.filter((sheet) => !sheets.includes(sheet));
    },
  };
}
