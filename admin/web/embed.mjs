// embed.mjs DIST OUT: writes OUT/web_assets.S and OUT/web_assets.cpp, which hold every file of DIST, plain and gzipped.
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { extname, join, relative, resolve } from "node:path";
import { gzipSync } from "node:zlib";

const [dist, out] = process.argv.slice(2).map((path) => resolve(path));
const types = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".woff2": "font/woff2" };

function files(folder) {
  return readdirSync(folder)
    .sort()
    .flatMap((name) => (statSync(join(folder, name)).isDirectory() ? files(join(folder, name)) : [join(folder, name)]));
}

mkdirSync(join(out, "gz"), { recursive: true });
const assembly = ["/* Made by admin/web/embed.mjs. */", '  .section .rodata.web,"a"'];
const rows = [];
files(dist).forEach((file, index) => {
  const type = types[extname(file)];
  if (!type) throw new Error(`embed: no content type is known for ${file}`);
  const bytes = readFileSync(file);
  const packed = gzipSync(bytes, { level: 9 });
  const gz = join(out, "gz", `${index}.gz`);
  writeFileSync(gz, packed);
  for (const [name, path] of [["plain", file], ["gzip", gz]]) {
    assembly.push(`  .balign 16`, `  .globl sallyport_web_${name}_${index}`, `sallyport_web_${name}_${index}:`, `  .incbin "${path}"`);
  }
  const path = `/${relative(dist, file)}`;
  const tag = createHash("sha256").update(bytes).digest("hex").slice(0, 24);
  rows.push({ index, path, type, tag, plain: bytes.length, gzip: packed.length, fixed: path.startsWith("/assets/") });
});
assembly.push('  .section .note.GNU-stack,"",@progbits', "");
writeFileSync(join(out, "web_assets.S"), assembly.join("\n"));
writeFileSync(
  join(out, "web_assets.cpp"),
  `// Made by admin/web/embed.mjs.
#include "admin/web/assets.h"

extern "C" {
${rows.map((row) => `extern const char sallyport_web_plain_${row.index}[];\nextern const char sallyport_web_gzip_${row.index}[];`).join("\n")}
}

namespace sallyport::admin::web {

std::span<const Asset> assets() {
  static const Asset all[] = {
${rows
  .map(
    (row) =>
      `      {"${row.path}", "${row.type}", "\\"${row.tag}\\"", {sallyport_web_plain_${row.index}, ${row.plain}}, {sallyport_web_gzip_${row.index}, ${row.gzip}}, ${row.fixed}},`,
  )
  .join("\n")}
  };
  return all;
}

}  // namespace sallyport::admin::web
`,
);
