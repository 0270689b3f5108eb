// Where we are: path and query are the whole state of a view, so every page and every filter has an address of its own.
import { useEffect, useState } from "preact/hooks";

export interface Place {
  path: string;
  query: URLSearchParams;
}

function here(): Place {
  return { path: location.pathname, query: new URLSearchParams(location.search) };
}

const moved = new EventTarget();

export function go(to: string, replace = false): void {
  if (to === location.pathname + location.search) return;
  if (replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  moved.dispatchEvent(new Event("moved"));
}

/** Changes one or more filters of the current page; an empty value takes the filter away. */
export function setFilters(values: Record<string, string>): void {
  const place = here();
  for (const [key, value] of Object.entries(values)) {
    if (value) place.query.set(key, value);
    else place.query.delete(key);
  }
  const text = place.query.toString();
  go(text ? `${place.path}?${text}` : place.path, true);
}

export function usePlace(): Place {
  const [place, setPlace] = useState(here);
  const [first] = useState(() => location.href);
  useEffect(() => {
    const update = () => setPlace(here());
    if (location.href !== first) update(); // moved on between the first picture and now
    addEventListener("popstate", update);
    moved.addEventListener("moved", update);
    return () => {
      removeEventListener("popstate", update);
      moved.removeEventListener("moved", update);
    };
  }, []);
  return place;
}

/** Links stay links (open in a new tab, copy address); a plain click changes the place without loading the page again. */
export function follow(event: MouseEvent): void {
  const anchor = (event.target as Element | null)?.closest("a");
  if (!anchor || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (anchor.origin !== location.origin || anchor.hasAttribute("download") || anchor.target || anchor.getAttribute("href")?.startsWith("#")) return;
  event.preventDefault();
  go(anchor.pathname + anchor.search);
  document.getElementById("main")?.focus();
}
