// A QR code, drawn here: what an authenticator app scans goes to nobody else.
const BORDER = 4; // ISO/IEC 18004: four bright modules around it

export function Qr({ rows, label }: { rows: string[]; label: string }) {
  const size = rows.length + 2 * BORDER;
  const dark = rows.flatMap((row, y) => [...row].map((module, x) => (module === "1" ? `M${x + BORDER} ${y + BORDER}h1v1h-1z` : ""))).join("");
  return (
    <svg class="qr" viewBox={`0 0 ${size} ${size}`} role="img" aria-label={label} shape-rendering="crispEdges">
      <rect width={size} height={size} fill="#fff" />
      <path d={dark} fill="#000" />
    </svg>
  );
}

/** Shown once: what an app is given, as a picture to scan and as a line for an app without a camera. */
export interface ShownCode {
  uri: string;
  qr: string[];
}

export function ScanThis({ shown }: { shown: ShownCode }) {
  return (
    <>
      {shown.qr.length > 0 && <Qr rows={shown.qr} label="QR code for your authenticator app" />}
      <details>
        <summary>The app has no camera</summary>
        <p class="hint">Give it this key, as a time-based code of six digits:</p>
        <code class="seed" tabIndex={0}>
          {(new URL(shown.uri).searchParams.get("secret") ?? "").replace(/(.{4})(?=.)/g, "$1 ")}
        </code>
      </details>
    </>
  );
}

export function RecoveryCodes({ codes, children }: { codes: string[]; children: string }) {
  if (codes.length === 0) return null;
  return (
    <div role="status">
      <p>{children}</p>
      <pre class="codes" tabIndex={0} aria-label="Recovery codes">
        {codes.join("\n")}
      </pre>
    </div>
  );
}
