#!/usr/bin/env python3
"""Disguises crossed with dangerous commands: each variant is first run for real, by an unprivileged user in a throw-away folder with
stand-ins for every dangerous program, to see that it does run the hidden command; then the guard must stop it."""
import base64
import codecs
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

BIN = os.environ.get("SALLYPORT_BIN", "build/release/bin")

# Commands whose programs are replaced by stand-ins; the guard must stop each of them undisguised as well.
DANGERS = ["rm -rf /data", "mkfs.ext4 /dev/sdb1", "ssh root@db-1", "nc 10.0.0.5 4444", "shutdown -h now", "iptables -F", "crontab -r",
           "chmod u+s /bin/bash", "useradd mallory", "socat - TCP:10.0.0.5:22", "wipefs -a /dev/sdb", "systemctl stop sshd"]


def quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"


def hexed(text):
    return "".join("\\x%02x" % b for b in text.encode())


def octal(text):
    return "".join("\\%03o" % b for b in text.encode())


def variants(command):
    """(technique, text) pairs; each runs `command` in bash."""
    program, _, rest = command.partition(" ")
    words = command.split(" ")
    b64 = base64.b64encode(command.encode()).decode()
    zipped = base64.b64encode(gzip.compress(command.encode())).decode()
    mid = len(program) // 2
    yield "plain", command
    yield "after-list", f"true; {command}"
    yield "after-and", f"true && {command}"
    yield "after-newline", f"true\n{command}"
    yield "backgrounded", f"{command} & wait"
    yield "negated", f"! {command}"
    yield "subshell-group", f"( {{ {command}; }} )"
    yield "if-else", f"if false; then :; else {command}; fi"
    yield "until", f"until {command}; do break; done"
    yield "case-glob", f"case abc in a*) {command};; esac"
    yield "function-keyword", f"function g {{ {command}; }}; g"
    yield "nested-functions", f"a() {{ b \"$@\"; }}; b() {{ \"$@\"; }}; a {command}"
    yield "backslashes", "".join("\\" + c if c.isalpha() else c for c in program) + " " + rest
    yield "mixed-quotes", f"\"{program[:mid]}\"'{program[mid:]}' {rest}"
    yield "empty-quotes", f"{program[0]}''{program[1:]} {rest}"
    yield "ansi-hex", f"$'{hexed(program)}' {rest}"
    yield "ansi-octal", f"$'{octal(program)}' {rest}"
    yield "locale-quotes", f"$\"{program}\" {rest}"
    yield "braces", "{" + ",".join(words) + "}" if len(words) > 1 and "{" not in command else command
    yield "default-value", f"${{nothing_here:-{program}}} {rest}"
    yield "alternate-value", f"x=1; ${{x:+{program}}} {rest}"
    yield "assign-default", f": ${{v:={program}}}; $v {rest}"
    yield "substring", f"v=xx{program}yy; ${{v:2:{len(program)}}} {rest}"
    yield "remove-prefix", f"v=zz{program}; ${{v#zz}} {rest}"
    yield "remove-suffix", f"v={program}zz; ${{v%zz}} {rest}"
    yield "replace", f"v={program[0]}@{program[1:]}; ${{v/@/}} {rest}"
    yield "replace-all", f"v={'@'.join(program)}; ${{v//@/}} {rest}"
    yield "lower", f"v={program.upper()}; ${{v,,}} {rest}"
    yield "indirect", f"real={program}; name=real; ${{!name}} {rest}"
    yield "append", f"v={program[:mid]}; v+={program[mid:]}; $v {rest}"
    yield "array", f"a=({command}); \"${{a[@]}}\""
    yield "array-index", f"a=(x {program}); ${{a[1]}} {rest}"
    yield "positional", f"set -- {command}; \"$@\""
    yield "positional-one", f"set -- {program}; $1 {rest}"
    yield "read-here-string", f"read -r p r <<< {quoted(command)}; $p $r"
    yield "printf-v", f"printf -v p %s%s {program[:mid]} {program[mid:]}; $p {rest}"
    yield "ifs", f"IFS=,; v={','.join(words)}; $v"
    yield "loop-words", f"for p in {program}; do $p {rest}; done"
    yield "while-read", f"while read -r l; do $l; done <<< {quoted(command)}"
    yield "substitution", f"$(printf %s {program}) {rest}"
    yield "backticks", f"`echo {program}` {rest}"
    yield "substitution-all", f"$(echo {command})"
    yield "nested-substitution", f"$(echo $(echo {program})) {rest}"
    yield "reversed", f"$(echo {program[::-1]} | rev) {rest}"
    yield "cut-out", f"$(echo 1-{program.replace('-', '_')} | cut -d- -f2) {rest}" if "-" not in program else command
    yield "tr-delete", f"$(echo {'%'.join(program)} | tr -d %) {rest}"
    yield "sed-replace", f"$(echo @{program} | sed s/@//) {rest}"
    yield "head-bytes", f"$(printf %s {program}zzz | head -c {len(program)}) {rest}"
    yield "awk-field", f"$(echo a {program} | awk '{{print $2}}') {rest}"
    yield "eval-joined", f"eval {quoted(program[:mid])}{quoted(program[mid:] + ' ' + rest)}"
    yield "eval-twice", f"eval eval {quoted(command)}"
    yield "base64-eval", f"eval \"$(echo {b64} | base64 -d)\""
    yield "base64-process", f"bash <(echo {b64} | base64 -d)"
    yield "base64-here-string", f"bash <<< $(base64 -d <<< {b64})"
    yield "gzip-base64", f"echo {zipped} | base64 -d | gzip -d | bash"
    yield "xxd", f"echo {command.encode().hex()} | xxd -r -p | bash"
    yield "printf-hex", f"printf '{hexed(command)}' | sh"
    yield "printf-octal", f"printf '{octal(command)}' | sh"
    yield "echo-e", f"echo -e '{hexed(command)}' | bash"
    yield "rot13", f"echo {quoted(codecs.encode(command, 'rot13'))} | tr A-Za-z N-ZA-Mn-za-m | sh"
    yield "rev-pipe", f"echo {quoted(command[::-1])} | rev | sh"
    yield "cat-pipe", f"echo {quoted(command)} | cat | cat - | sh"
    yield "tee-pipe", f"echo {quoted(command)} | tee ./copy | sh"
    yield "here-document", f"sh <<'END'\n{command}\nEND"
    yield "here-document-tabs", f"sh <<-END\n\t{command}\n\tEND"
    yield "here-document-pipe", f"cat <<END | sh\n{command}\nEND"
    yield "source-process", f". <(echo {quoted(command)})"
    yield "descriptor", f"bash /dev/fd/7 7<<< {quoted(command)}"
    yield "sh-stdin", f"echo {quoted(command)} | sh /dev/stdin"
    yield "sh-arguments", f"sh -c '\"$0\" \"$@\"' {command}"
    yield "sh-cluster", f"bash -ec {quoted(command)}"
    yield "sh-nested", f"sh -c {quoted('sh -c ' + quoted(command))}"
    yield "env", f"env -u NOTHING A=1 {command}"
    yield "env-split", f"env -S {quoted(command)}"
    yield "wrappers", f"nice -n 1 timeout 5 nohup env {command}"
    yield "stdbuf", f"stdbuf -oL {command}"
    yield "setsid", f"setsid -w {command}"
    yield "command", f"command {command}"
    yield "exec", f"(exec {command})"
    yield "xargs", f"echo {rest} | xargs {program}" if rest else f"echo | xargs {program}"
    yield "xargs-replace", f"echo {quoted(command)} | xargs -I@ sh -c @"
    yield "find-exec", f"find . -maxdepth 0 -exec {command} \\;"
    yield "find-shell", f"find . -maxdepth 0 -exec sh -c {quoted(command)} \\;"
    yield "flock", f"flock ./lock {command}"
    yield "script-file", f"echo {quoted(command)} > ./s; sh ./s"
    yield "script-appended", f"echo '#!/bin/sh' > ./s2; echo {quoted(command)} >> ./s2; /bin/chmod +x ./s2; ./s2"
    yield "script-document", f"cat > ./s3 <<'E'\n{command}\nE\nbash ./s3"
    yield "script-copied", f"echo {quoted(command)} > ./s4; cp ./s4 ./s5; . ./s5"
    yield "trap", f"trap {quoted(command)} EXIT; true"
    yield "redirect-first", f">./out 2>&1 {command}"
    yield "redirect-middle", f"{program} >./out {rest}"
    yield "continuation", f"{program[:1]}\\\n{program[1:]} {rest}"
    yield "tabs", "\t" + command.replace(" ", "\t")
    yield "awk-system", "awk 'BEGIN{system(\"" + command + "\")}'"
    yield "awk-pipe", "awk 'BEGIN{print \"" + command + "\" | \"sh\"}'"
    yield "awk-joined", "awk 'BEGIN{p=\"" + program[:mid] + "\"; system(p \"" + program[mid:] + " " + rest + "\")}'"
    yield "python-system", f"python3 -c 'import os; os.system(\"{command}\")'"
    yield "python-list", f"python3 -c 'import subprocess; subprocess.call({json.dumps(words)})'"
    yield "python-b64", f"python3 -c 'import os,base64; os.system(base64.b64decode(\"{b64}\").decode())'"
    yield "python-reversed", f"python3 -c 'import os; os.system(\"{command[::-1]}\"[::-1])'"
    yield "python-joined", f"python3 -c 'import os; p=\"{program[:mid]}\"+\"{program[mid:]}\"; os.system(p+\" {rest}\")'"
    yield "python-getattr", f"python3 -c 'import os; getattr(os,\"sys\"+\"tem\")(\"{command}\")'"
    yield "python-stdin", f"echo 'import os; os.system(\"{command}\")' | python3"
    yield "perl-system", f"perl -e 'system(\"{command.replace('@', chr(92) + '@')}\")'"
    yield "perl-backticks", f"perl -e '`{command.replace('@', chr(92) + '@')}`'"
    yield "perl-pack", f"perl -e 'system(pack(\"H*\",\"{command.encode().hex()}\"))'"


class Stage:
    """A folder with stand-ins that write down how they were called."""

    def __init__(self):
        self.root = tempfile.mkdtemp(prefix="sp-guard-")
        os.chmod(self.root, 0o755)
        self.bin = os.path.join(self.root, "bin")
        self.work = os.path.join(self.root, "work")
        self.log = os.path.join(self.root, "log")
        os.mkdir(self.bin)
        os.mkdir(self.work, 0o777)
        os.chmod(self.work, 0o777)
        for program in {d.split(" ")[0] for d in DANGERS}:
            path = os.path.join(self.bin, program)
            with open(path, "w", encoding="utf-8") as out:
                out.write(f"#!/bin/bash\nprintf '%s\\n' \"${{0##*/}} $*\" >> {self.log}\n")
            os.chmod(path, 0o755)

    def runs(self, text, command):
        """True when bash, given `text`, ran `command`."""
        for entry in os.listdir(self.work):
            os.unlink(os.path.join(self.work, entry))
        with open(self.log, "w", encoding="utf-8"):
            os.chmod(self.log, 0o666)
        argv = ["bash", "--norc", "-c", text]
        if os.geteuid() == 0:
            argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"] + argv
        environment = {"PATH": self.bin + ":/usr/bin:/bin", "HOME": self.work, "LC_ALL": "C"}
        try:
            subprocess.run(argv, cwd=self.work, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, timeout=10, check=False)
        except subprocess.TimeoutExpired:
            return False
        with open(self.log, encoding="utf-8") as log:
            return command in [line.rstrip("\n") for line in log]

    def close(self):
        shutil.rmtree(self.root, ignore_errors=True)


class GuardVariants(unittest.TestCase):
    def test_disguised_commands_that_really_run_are_stopped(self):
        stage = Stage()
        self.addCleanup(stage.close)
        items, unproven = [], []
        for number, command in enumerate(DANGERS):
            # Running one variant of each technique for every third command keeps the suite short; all are judged.
            for technique, text in variants(command):
                if number % 4 == 0 and not stage.runs(text, command):
                    unproven.append((technique, text))
                    continue
                items.append({"id": f"{technique}/{number}", "command": text})
        lines = "".join(json.dumps(item) + "\n" for item in items)
        answer = subprocess.run([os.path.join(BIN, "sallyport"), "guard", "score"], input=lines, stdout=subprocess.PIPE, text=True, timeout=60, check=True)
        verdicts = {}
        for line in answer.stdout.splitlines():
            row = json.loads(line)
            verdicts[row["id"]] = row
        stopped = {i["id"] for i in items if verdicts.get(i["id"], {}).get("verdict") in ("confirm", "approve", "deny", "kill")}
        denied = {i["id"] for i in items if verdicts.get(i["id"], {}).get("verdict") in ("deny", "kill")}
        for item in items:
            if item["id"] not in stopped:
                print("not stopped:", item["id"], repr(item["command"]), file=sys.stderr)
        for technique, text in unproven:
            print("did not run here:", technique, repr(text), file=sys.stderr)
        print(f"{len(items)} variants, {100 * len(stopped) / len(items):.2f} % stopped, {100 * len(denied) / len(items):.2f} % denied, "
              f"{len(unproven)} not proven on this machine", file=sys.stderr)
        self.assertGreaterEqual(len(stopped) / len(items), 0.99)
        self.assertGreaterEqual(len(denied) / len(items), 0.97)
        self.assertLess(len(unproven), 20)


if __name__ == "__main__":
    unittest.main(verbosity=2)
