#!/usr/bin/env python3
"""Sums up gcov's counters below a build folder: lines of our sources that ran, by folder, and the files with the most that did not."""
import collections, json, pathlib, subprocess, sys

ROOMS = ("platform", "policy", "vault", "recorder", "gateway", "admin", "app")


def lines_of(build):
    """{file: {line: ran}} of everything that was compiled with counters; a line counts as run when any program ran it."""
    root = pathlib.Path(__file__).resolve().parents[1]
    seen = collections.defaultdict(dict)
    for data in sorted(build.rglob("*.gcda")):
        done = subprocess.run(["gcov", "--json-format", "--stdout", data.resolve()], cwd=root, capture_output=True, text=True)
        for text in done.stdout.splitlines():
            for file in json.loads(text)["files"]:
                path = pathlib.Path(file["file"])
                path = path if path.is_absolute() else root / path
                if not path.is_relative_to(root) or path.relative_to(root).parts[0] not in ROOMS:
                    continue
                lines = seen[str(path.relative_to(root))]
                for line in file["lines"]:
                    lines[line["line_number"]] = lines.get(line["line_number"], False) or line["count"] > 0
    return seen


def main(build):
    seen = lines_of(pathlib.Path(build))
    if not seen:
        sys.exit("coverage: no counters below " + build)
    folders = collections.defaultdict(lambda: [0, 0])
    for file, lines in seen.items():
        folder = folders["/".join(file.split("/")[:2]) if file.count("/") > 1 else file.split("/")[0]]
        folder[0] += sum(lines.values())
        folder[1] += len(lines)
    for name, (ran, all_lines) in sorted(folders.items()):
        print(f"{100 * ran / all_lines:6.1f} %  {ran:6} of {all_lines:6} lines  {name}")
    ran, all_lines = (sum(one[i] for one in folders.values()) for i in (0, 1))
    print(f"{100 * ran / all_lines:6.1f} %  {ran:6} of {all_lines:6} lines  in all\n")
    missed = sorted(((len(lines) - sum(lines.values()), file) for file, lines in seen.items()), reverse=True)
    for count, file in missed[:15]:
        print(f"{count:6} lines not reached  {file}")


if __name__ == "__main__":
    main(sys.argv[1])
