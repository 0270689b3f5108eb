#!/usr/bin/env python3
"""Reads every #include of our sources and fails on a wrong arrow.

Floors: platform < policy, vault, recorder (which never include each other) < gateway, admin (never each other) < app.
Also: headers that cost a lot, or that only one place may see, stay where they belong.
"""
import os
import re
import sys

ROOMS = ["platform", "policy", "vault", "recorder", "gateway", "admin", "app"]
ALLOWED = {
    "platform": {"platform"},
    "policy": {"platform", "policy"},
    "vault": {"platform", "vault"},
    "recorder": {"platform", "recorder"},
    "gateway": {"platform", "policy", "vault", "recorder", "gateway"},
    "admin": {"platform", "policy", "vault", "recorder", "admin"},
    "app": set(ROOMS),
}
# (pattern of the included header, pattern of the files that may include it, why)
RESTRICTED = [
    (r"^spdlog/", r"^platform/", "logging is behind platform/"),
    (r"^boost/beast", r"^platform/net/.*\.cpp$", "Beast costs seconds per file: only platform/net/*.cpp"),
    (r"^boost/json/src\.hpp$", r"^platform/model/json_impl\.cpp$", "Boost.JSON is compiled once"),
    (r"^boost/json\.hpp$", r"\.cpp$", "headers use boost/json/fwd.hpp or value.hpp"),
    (r"^boost/asio/impl/src\.hpp$", r"^platform/net/asio_impl\.cpp$", "Asio is compiled once"),
    (r"^libssh/", r"^(gateway/(ssh|listener)/|platform/net/|tests/)", "libssh is for the SSH legs"),
    (r"^CLI/", r"^app/verbs/", "CLI11 is for the command line"),
    (r"^yaml-cpp/", r"^(policy/.*\.cpp|app/config\.cpp|tests/.*)$", "YAML stays in .cpp files of policy and the configuration"),
    (r"^sqlite3\.h$", r"^platform/sql/.*\.cpp$", "SQLite is behind platform/sql"),
    (r"^curl/", r"^(recorder/shipping|admin/sinks|admin/oidc)/.*\.cpp$", "libcurl carries objects to the store, notices to webhooks and mail, and sign-ons to the identity provider"),
    (r"^catch2/", r"^tests/", "test frameworks are for tests"),
]
# The session process is hostile ground: of the floor below it may use only the pure parts of policy.
SESSION_SIDE = re.compile(r"^gateway/")
SESSION_FORBIDDEN = re.compile(r"^(vault|recorder|policy/(?!access/|guard/))")
# Pure rooms: no clock, no file, no network of their own.
PURE = re.compile(r"^policy/(guard|access)/")
PURE_FORBIDDEN = re.compile(r"^(sys/socket\.h|netdb\.h|fcntl\.h|unistd\.h|fstream|boost/asio)")
PURE_EXCEPT = {"policy/access/read_folder.cpp", "policy/access/load.cpp", "policy/access/load_files.cpp"}

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')


def sources(root):
    for room in ROOMS + ["tests", "bench"]:
        for folder, _, names in os.walk(os.path.join(root, room)):
            for name in sorted(names):
                if name.endswith((".h", ".cpp", ".c", ".hpp")):
                    yield os.path.relpath(os.path.join(folder, name), root)


def check_line(path, quote, header):
    room = path.split("/")[0]
    target = header.split("/")[0] if "/" in header else ""
    if room in ALLOWED and target in ROOMS and target not in ALLOWED[room]:
        yield f"{room} must not include {header}"
    if quote == '"' and room in ALLOWED and target not in ROOMS:
        yield f'"{header}": own headers are written from the root of the tree'
    if SESSION_SIDE.match(path) and SESSION_FORBIDDEN.match(header):
        yield f"the session's side must not include {header}"
    if target == "tests" and room != "tests":
        yield f"{room} must not include {header}"
    for pattern, allowed, why in RESTRICTED:
        if re.search(pattern, header) and not re.search(allowed, path):
            yield f"{header}: {why}"
    if PURE.match(path) and path not in PURE_EXCEPT and PURE_FORBIDDEN.match(header):
        yield f"{header}: this room is pure"


def check(root):
    problems, files = [], 0
    for path in sources(root):
        files += 1
        with open(os.path.join(root, path), encoding="utf-8", errors="replace") as source:
            for number, line in enumerate(source, 1):
                found = INCLUDE.match(line)
                if found:
                    problems += [f"{path}:{number}: {what}" for what in check_line(path, found.group(1), found.group(2))]
    return files, problems


def self_test():
    """The check must be able to fail: one wrong arrow of each kind."""
    wrong = [
        ("platform/os/x.h", '"', "policy/access/engine.h"), ("policy/x.cpp", '"', "vault/barrier.h"), ("vault/x.cpp", '"', "recorder/recorder.h"),
        ("gateway/ssh/x.cpp", '"', "admin/api/x.h"), ("admin/api/x.cpp", '"', "gateway/ssh/session.h"), ("vault/x.h", '"', "policy/x.h"),
        ("gateway/ssh/x.cpp", '"', "vault/barrier.h"), ("gateway/ssh/x.cpp", '"', "policy/identity/login.h"), ("recorder/x.h", "<", "spdlog/spdlog.h"), ("recorder/x.h", '"', "barrier.h"),
        ("policy/access/engine.cpp", "<", "unistd.h"), ("app/keeper/x.cpp", "<", "CLI/CLI.hpp"), ("platform/x.cpp", '"', "tests/fakes/clock.h"),
    ]
    right = [("app/wiring.cpp", '"', "vault/service.h"), ("gateway/ssh/x.cpp", '"', "platform/os/fd.h"), ("policy/x.cpp", "<", "vector")]
    return [f"self-test: {case} was not refused" for case in wrong if not list(check_line(*case))] + [
        f"self-test: {case} was refused" for case in right if list(check_line(*case))]


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    files, problems = check(root)
    problems += self_test()
    for problem in problems:
        print(problem)
    print(f"{files} files, {len(problems)} problems")
    return 1 if problems or files == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
