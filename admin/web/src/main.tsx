import "./style.css";

import { options, render } from "preact";

import { App } from "./app";
import { shown } from "./text";

// Names, commands and reasons come from people and targets who may want to be misread. No view can forget it: every text that is put on
// the page is made harmless here. Values of fields are not changed, as they go back to the gateway.
const READ_ALOUD = ["title", "aria-label", "alt", "placeholder"];
const before = options.vnode;
options.vnode = (vnode) => {
  const props = vnode.props as unknown;
  if (typeof props === "string") vnode.props = shown(props) as never;
  else if (typeof vnode.type === "string") {
    const attributes = props as Record<string, unknown>;
    for (const name of READ_ALOUD) if (typeof attributes[name] === "string") attributes[name] = shown(attributes[name]);
  }
  before?.(vnode);
};

const root = document.getElementById("root");
if (root) render(<App />, root);
