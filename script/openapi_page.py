#!/usr/bin/python3
"""Makes a C++ file that holds openapi.yaml and a page of it (plain HTML, no script). Called by the build.

    openapi_page.py openapi.yaml OUT.cpp
"""
import html, pathlib, re, sys

import yaml

STYLE = ("body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem;color:#1a1a1a;background:#fff}"
         "code{font-family:ui-monospace,monospace;font-size:.9em}h1{margin:.5em 0}section{border-top:1px solid #bbb;margin-top:1.5rem}"
         "table{border-collapse:collapse;width:100%}td,th{border:1px solid #bbb;padding:.25rem .5rem;text-align:left;vertical-align:top}"
         ".m{display:inline-block;min-width:4.5em;font-weight:600}@media(prefers-color-scheme:dark){body{color:#eee;background:#161616}"
         "a{color:#8ab4ff}td,th,section{border-color:#555}}")


def resolve(document, node):
    while "$ref" in node:
        found = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = found
    return node


def type_of(document, schema):
    schema = resolve(document, schema)
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return "list of " + type_of(document, schema.get("items", {}))
    return schema.get("type", "any")


def page(document):
    text = lambda value: html.escape(str(value))
    out = [f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'><title>{text(document['info']['title'])}</title>"
           f"<style>{STYLE}</style><h1>{text(document['info']['title'])}</h1><p>{text(document['info']['description'])}</p><p><a href=/openapi.yaml>openapi.yaml</a></p><nav><ul>"]
    for tag in document["tags"]:
        out.append(f"<li><a href='#{text(tag['name'])}'>{text(tag['name'])}</a>")
    out.append("</ul></nav><main>")
    for tag in document["tags"]:
        out.append(f"<h2 id='{text(tag['name'])}'>{text(tag['name'])}</h2>")
        for path, item in document["paths"].items():
            for method in ("get", "post", "put", "delete"):
                operation = item.get(method)
                if not operation or tag["name"] not in operation["tags"]:
                    continue
                out.append(f"<section><h3 id='{text(operation['operationId'])}'><span class=m>{method.upper()}</span> <code>{text(path)}</code></h3>"
                           f"<p>{text(operation['summary'])}. Right: <code>{text(operation['x-right'])}</code>.</p>")
                rows = []
                for parameter in map(lambda p: resolve(document, p), item.get("parameters", []) + operation.get("parameters", [])):
                    rows.append((parameter["name"], parameter["in"], type_of(document, parameter["schema"]), parameter.get("description", "")))
                schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
                for name, field in schema.get("properties", {}).items():
                    need = "body, required" if name in schema.get("required", []) else "body"
                    rows.append((name, need, type_of(document, field), resolve(document, field).get("description", "")))
                if rows:
                    out.append("<table><tr><th>Name<th>Where<th>What<th>")
                    out += [f"<tr><td><code>{text(a)}</code><td>{text(b)}<td>{text(c)}<td>{text(d)}" for a, b, c, d in rows]
                    out.append("</table>")
                out.append("</section>")
    return "".join(out) + "</main></html>\n"


def literal(text):
    """As a C++ string: pieces below the length that every compiler must take."""
    pieces = [text[i:i + 8000] for i in range(0, len(text), 8000)]
    return "\n".join(f'    R"__({piece})__"' for piece in pieces)


source = pathlib.Path(sys.argv[1]).read_text()
assert ")__" not in source
made = page(yaml.safe_load(source))
assert re.search(r"<script|https?://", made) is None
pathlib.Path(sys.argv[2]).write_text(
    '#include "admin/api/pages.h"\n\nnamespace sallyport::admin {\n\nstd::string_view openapi_text() {\n  return\n' + literal(source) +
    ";\n}\n\nstd::string_view openapi_page() {\n  return\n" + literal(made) + ";\n}\n\n}  // namespace sallyport::admin\n")
