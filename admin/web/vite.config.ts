import preact from "@preact/preset-vite";
import { defineConfig } from "vite";

// Everything is embedded in the gateway's program and served from its own origin: no source maps, no inlined scripts (the
// content security policy forbids them), names with a hash so that they can be cached for ever.
export default defineConfig({
  plugins: [preact({ prefreshEnabled: false })],
  base: "/",
  build: { target: "es2021", sourcemap: false, assetsInlineLimit: 0, modulePreload: { polyfill: false }, chunkSizeWarningLimit: 600 },
});
