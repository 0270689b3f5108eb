#!/usr/bin/env python3
"""The independent sets: reads dangerous.txt, later.txt and benign.txt, disguises the dangerous ones, and cuts everything into two halves.

Rules may be tuned on the half "open" only; "aside" is measured and not read. A command's half follows from a hash of the command, a disguise's
from a hash of its technique, and a disguise takes commands of its own half only: neither a command nor a technique of one half is in the other.

  sets.py open|aside|all [dangerous|disguised|benign]      prints {"id","command","category","technique","kind"} lines
"""
import base64, codecs, gzip, hashlib, json, os, random, re, sys

HERE = os.path.dirname(os.path.abspath(__file__))
KEYWORDS = set("for while if case function until select time coproc exec eval source trap alias set unset export history".split())


def quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"


def digest(text):
    return int(hashlib.sha256(text.encode()).hexdigest(), 16)


def b64(text):
    return base64.b64encode(text.encode()).decode()


def octal(text):
    return "".join("\\%03o" % byte for byte in text.encode())


def c_escape(text):
    return "$'" + "".join("\\x%02x" % byte for byte in text.encode()) + "'"


# Techniques on the whole text: any command goes in.
def whole():
    t = {}
    t["base64 into sh"] = lambda c: f"echo {b64(c)} | base64 -d | sh"
    t["base64 into bash by here-string"] = lambda c: f"bash <<< \"$(base64 -d <<< {b64(c)})\""
    t["base64 by openssl"] = lambda c: f"echo {b64(c)} | openssl base64 -d -A | bash"
    t["base64 decoded twice"] = lambda c: f"printf %s {b64(b64(c))} | base64 --decode | base64 --decode | bash -s"
    t["base64 by python"] = lambda c: f"python3 -c \"import os,base64; os.system(base64.b64decode('{b64(c)}').decode())\""
    t["base64 by perl"] = lambda c: f"perl -MMIME::Base64 -e 'system(decode_base64(\"{b64(c)}\"))'"
    t["base64 by ruby"] = lambda c: f"ruby -e 'system(\"{b64(c)}\".unpack1(\"m\"))'"
    t["base64 by node"] = lambda c: f"node -e \"require('child_process').execSync(Buffer.from('{b64(c)}','base64').toString())\""
    t["base64 by php"] = lambda c: f"php -r 'system(base64_decode(\"{b64(c)}\"));'"
    t["base32"] = lambda c: f"echo {base64.b32encode(c.encode()).decode()} | base32 -d | sh"
    t["hex by xxd"] = lambda c: f"echo {c.encode().hex()} | xxd -r -p | sh"
    t["hex in python"] = lambda c: f"python3 -c \"__import__('os').system(bytes.fromhex('{c.encode().hex()}').decode())\""
    t["char codes in python"] = lambda c: f"python3 -c \"import os; os.system(''.join(map(chr,{json.dumps(list(c.encode('latin1', 'ignore')))})))\""
    t["reversed in python"] = lambda c: f"python3 -c {quoted('import subprocess; subprocess.run(' + repr(c[::-1]) + '[::-1], shell=True)')}"
    t["hex in perl"] = lambda c: f"perl -e 'system(pack(\"H*\",\"{c.encode().hex()}\"))'"
    t["octal by printf"] = lambda c: f"printf '{octal(c)}' | sh"
    t["octal by printf %b"] = lambda c: f"sh -c \"$(printf %b '{octal(c)}')\""
    t["ansi-c quoted eval"] = lambda c: f"eval {c_escape(c)}"
    t["echo -e"] = lambda c: "echo -e '" + "".join("\\x%02x" % b for b in c.encode()) + "' | bash"
    t["rot13"] = lambda c: f"echo {quoted(codecs.encode(c, 'rot13'))} | tr 'A-Za-z' 'N-ZA-Mn-za-m' | sh"
    t["rev"] = lambda c: f"rev <<< {quoted(c[::-1])} | sh" if "\n" not in c else None
    t["gzip"] = lambda c: f"echo {base64.b64encode(gzip.compress(c.encode(), mtime=0)).decode()} | base64 -d | gunzip | sh"
    t["zcat"] = lambda c: f"eval \"$(echo {base64.b64encode(gzip.compress(c.encode(), mtime=0)).decode()} | base64 -d | zcat)\""
    t["marks taken out by tr"] = lambda c: f"echo {quoted('%'.join(c))} | tr -d % | bash" if "%" not in c and "\n" not in c else None
    t["marks taken out by sed"] = lambda c: f"sed 's/@//g' <<< {quoted('@'.join(c))} | sh" if "@" not in c and "\n" not in c else None
    t["eval in quotes"] = lambda c: f"eval {quoted(c)}"
    t["eval of a variable"] = lambda c: f"p={quoted(c)}; eval \"$p\""
    t["eval of pieces"] = lambda c: f"a={quoted(c[:len(c) // 2])}; b={quoted(c[len(c) // 2:])}; eval \"$a$b\""
    t["sh -c"] = lambda c: f"sh -c {quoted(c)}"
    t["sh -c in sh -c"] = lambda c: f"bash -c {quoted('dash -c ' + quoted(c))}"
    t["shell with options"] = lambda c: f"/usr/bin/env -S bash --noprofile --norc -c {quoted(c)}"
    t["here-document into sh"] = lambda c: f"sh <<'Q'\n{c}\nQ"
    t["here-document, tabs"] = lambda c: f"bash -s -- x <<-Q\n\t{c}\nQ" if not re.search(r"[$`\\\n]", c) else None
    t["source of stdin"] = lambda c: f". /dev/stdin <<< {quoted(c)}"
    t["source of a substitution"] = lambda c: f"source <(printf '%s\\n' {quoted(c)})"
    t["shell of a substitution"] = lambda c: f"bash <(cat <<'Q'\n{c}\nQ\n)"
    t["file written, then run"] = lambda c: f"printf '%s\\n' {quoted(c)} > /tmp/.t1; sh /tmp/.t1"
    t["file by here-document, then run"] = lambda c: f"cat > /tmp/run.sh <<'Q'\n#!/bin/sh\n{c}\nQ\nchmod +x /tmp/run.sh && /tmp/run.sh"
    t["file by tee, then sourced"] = lambda c: f"echo {quoted(c)} | tee /tmp/q >/dev/null && . /tmp/q" if "\\" not in c else None
    t["file copied, then run"] = lambda c: f"echo {quoted(c)} > a.txt; cp a.txt b.sh; bash ./b.sh" if "\\" not in c else None
    t["function"] = lambda c: f"deploy() {{ {c}\n}}; deploy"
    t["function, called behind a list"] = lambda c: f"x() {{\n{c}\n}}\ntrue && x"
    t["alias"] = lambda c: f"shopt -s expand_aliases\nalias ll={quoted(c)}\nll" if "\n" not in c and not c.endswith(("&", ")")) else None
    t["subshells"] = lambda c: f"( ( {c}\n) )"
    t["group in the background"] = lambda c: f"{{ {c}\n}} & wait"
    t["branch"] = lambda c: f"if [ -d / ]; then {c}\nfi"
    t["else branch"] = lambda c: f"if false; then :; else {c}\nfi"
    t["case"] = lambda c: f"case $HOME in *) {c}\n;; esac"
    t["loop once"] = lambda c: f"for i in 1; do {c}\ndone"
    t["while and break"] = lambda c: f"while :; do {c}\nbreak; done"
    t["behind a harmless list"] = lambda c: f"echo start; ls /tmp >/dev/null && {c}"
    t["behind a false or"] = lambda c: f"false || {c}"
    t["behind a comment"] = lambda c: f"# routine clean up\n{c}"
    t["in a substitution"] = lambda c: f"x=$({c}\n)"
    t["in backquotes"] = lambda c: f"echo `{c}`" if not re.search(r"[`\\$\n]", c) else None
    t["in an assignment's arithmetic"] = lambda c: f": $(( $({c}\n) + 0 ))"
    t["in a default value"] = lambda c: f": ${{nope:=$({c}\n)}}"
    t["xargs sh"] = lambda c: f"echo {quoted(c)} | xargs -I% sh -c %" if "%" not in c and not re.search(r"['\"\\\n]", c) else None
    t["find -exec sh"] = lambda c: f"find . -maxdepth 0 -exec sh -c {quoted(c)} \\;"
    t["awk system"] = lambda c: f"awk 'BEGIN {{ system(\"{c}\") }}'" if not re.search(r"['\"\\\n]", c) else None
    t["python os.system"] = lambda c: f"python3 -c {quoted('import os; os.system(' + repr(c) + ')')}"
    t["python from stdin"] = lambda c: f"python3 <<'Q'\nimport subprocess as s\ns.check_call({c!r}, shell=True)\nQ"
    t["python list"] = lambda c: f"python3 -c {quoted('import subprocess; subprocess.Popen([' + repr('/bin/sh') + ',' + repr('-c') + ',' + repr(c) + '])')}"
    t["python getattr"] = lambda c: f"python3 -c {quoted('import os; getattr(os, ' + repr('sys') + '+' + repr('tem') + ')(' + repr(c) + ')')}"
    t["perl system"] = lambda c: f"perl -e {quoted('system(q{' + c + '})')}" if c.count("{") == c.count("}") else None
    t["perl exec behind begin"] = lambda c: f"perl -e {quoted('BEGIN { exec q|' + c + '| }')}" if "|" not in c else None
    t["perl backquotes"] = lambda c: f"perl -e {quoted('print `' + c + '`')}" if not re.search(r"[`@$\\]", c) else None
    t["ruby backquotes"] = lambda c: f"ruby -e {quoted('puts `' + c + '`')}" if not re.search(r"[`#\\]", c) else None
    t["node spawn"] = lambda c: f"node -e {quoted('require(' + json.dumps('child_process') + ').spawnSync(' + json.dumps('sh') + ',[' + json.dumps('-c') + ',' + json.dumps(c) + '])')}"
    t["php passthru"] = lambda c: f"php -r {quoted('passthru(' + json.dumps(c) + ');')}" if "$" not in c else None
    t["lua os.execute"] = lambda c: f"lua -e {quoted('os.execute([==[' + c + ']==])')}"
    t["tclsh"] = lambda c: f"tclsh <<'Q'\nexec sh -c {{{c}}}\nQ" if c.count("{") == c.count("}") else None
    t["make from stdin"] = lambda c: f"printf 'all:\\n\\t%s\\n' {quoted(c)} | make -f -" if "\n" not in c and "$" not in c else None
    t["vim command"] = lambda c: f"vim -es -c {quoted(':!' + c)} -c q" if "\n" not in c else None
    t["git alias"] = lambda c: f"git -c {quoted('alias.x=!' + c)} x" if "\n" not in c else None
    t["tar checkpoint"] = lambda c: f"tar cf /dev/null /etc/hosts --checkpoint=1 --checkpoint-action={quoted('exec=' + c)}" if "\n" not in c else None
    t["script -c"] = lambda c: f"script -qec {quoted(c)} /dev/null"
    t["su -c"] = lambda c: f"su -s /bin/sh -c {quoted(c)} nobody"
    t["watch"] = lambda c: f"watch -n 600 {quoted(c)}"
    t["flock -c"] = lambda c: f"flock /tmp/l -c {quoted(c)}"
    t["systemd-run"] = lambda c: f"systemd-run --pipe sh -c {quoted(c)}"
    t["tmux detached"] = lambda c: f"tmux new-session -d {quoted(c)}"
    t["screen detached"] = lambda c: f"screen -dmS s bash -c {quoted(c)}"
    t["parallel"] = lambda c: f"parallel -N0 {quoted(c)} ::: 1" if "{" not in c else None
    t["at from stdin"] = lambda c: f"at now <<'Q'\n{c}\nQ"
    t["trap on exit"] = lambda c: f"trap {quoted(c)} EXIT; exit"
    t["trap of debug"] = lambda c: f"trap {quoted(c)} DEBUG; true"
    t["prompt command"] = lambda c: f"PROMPT_COMMAND={quoted(c)}"
    t["mapfile callback"] = lambda c: f"mapfile -c 1 -C {quoted(c + ' #')} z <<< y" if "\n" not in c else None
    t["nohup in the background"] = lambda c: f"nohup sh -c {quoted(c)} >/dev/null 2>&1 &"
    t["setsid and timeout"] = lambda c: f"setsid timeout 60 nice -n 5 bash -c {quoted(c)}"
    t["env -i"] = lambda c: f"env -i PATH=/bin:/usr/bin bash -c {quoted(c)}"
    t["busybox sh"] = lambda c: f"busybox sh -c {quoted(c)}"
    t["the loader"] = lambda c: f"/lib64/ld-linux-x86-64.so.2 /bin/bash -c {quoted(c)}"
    t["sudo sh"] = lambda c: f"sudo -n sh -c {quoted(c)}"
    t["coproc"] = lambda c: f"coproc {{ {c}\n}}"
    t["read and eval"] = lambda c: f"read -r line <<< {quoted(c)}; eval \"$line\"" if "\n" not in c else None
    t["printf -v"] = lambda c: f"printf -v z '%s' {quoted(c)}; eval \"$z\""
    t["array joined"] = lambda c: "q=(" + " ".join(quoted(w) for w in c.split(" ")) + "); eval \"${q[*]}\"" if "  " not in c else None
    t["prefix taken off"] = lambda c: f"v={quoted('note: ' + c)}; eval \"${{v#note: }}\""
    t["shell as a variable"] = lambda c: f"s=sh; $s -c {quoted(c)}"
    t["shell by which"] = lambda c: f"$(which bash) -c {quoted(c)}"
    t["dd of stdin"] = lambda c: f"echo {quoted(c)} | dd status=none | sh" if "\\" not in c else None
    t["tac of lines"] = lambda c: f"printf '%s\\n' {quoted(c)} | tac | sh" if "\n" not in c else None
    t["cut columns"] = lambda c: f"echo {quoted('zz:' + c)} | cut -c4- | sh" if "\n" not in c and "\\" not in c else None
    t["head of more"] = lambda c: f"printf '%s\\nls\\n' {quoted(c)} | head -n 1 | bash" if "\n" not in c else None
    t["awk print"] = lambda c: f"echo {quoted(c)} | awk '{{print $0}}' | sh" if "\\" not in c else None
    t["jq"] = lambda c: f"jq -rn {quoted(json.dumps(c))} | sh" if not re.search(r"\\\(", json.dumps(c)) else None
    t["python printing into sh"] = lambda c: f"python3 -c {quoted('print(' + repr(c) + ')')} | sh"
    t["perl printing into sh"] = lambda c: f"perl -e {quoted('print q~' + c + '~')} | bash" if "~" not in c else None
    return t


# Techniques on the first word: a plain program name goes in.
def words():
    half = lambda w: max(1, len(w) // 2)
    t = {}
    t["single quotes inside"] = lambda w: f"{w[:half(w)]}''{w[half(w):]}"
    t["double quotes around pieces"] = lambda w: f"\"{w[:half(w)]}\"'{w[half(w):]}'"
    t["every character quoted"] = lambda w: "".join(f"'{c}'" for c in w)
    t["backslash in front"] = lambda w: "\\" + w
    t["backslashes inside"] = lambda w: w[0] + "".join("\\" + c for c in w[1:])
    t["line continued inside"] = lambda w: f"{w[:half(w)]}\\\n{w[half(w):]}"
    t["ansi-c hex"] = lambda w: c_escape(w)
    t["ansi-c octal"] = lambda w: "$'" + octal(w) + "'"
    t["ansi-c unicode"] = lambda w: "$'" + "".join("\\u%04x" % ord(c) for c in w) + "'"
    t["empty positional"] = lambda w: f"{w[:half(w)]}$@{w[half(w):]}"
    t["empty variable"] = lambda w: f"{w[:half(w)]}${{zq}}{w[half(w):]}"
    t["empty substitution"] = lambda w: f"{w[:half(w)]}$(){w[half(w):]}"
    t["empty backquotes"] = lambda w: f"{w[:half(w)]}``{w[half(w):]}"
    t["full path"] = lambda w: f"/usr/bin/{w}"
    t["path with dots"] = lambda w: f"/usr/bin/../bin/./{w}"
    t["path with slashes"] = lambda w: f"//usr///bin//{w}"
    t["bracket glob"] = lambda w: f"/usr/bin/{w[:-1]}[{w[-1]}]"
    t["question mark"] = lambda w: f"/usr/bin/{w[:-1]}?"
    t["command builtin"] = lambda w: f"command -p {w}"
    t["exec"] = lambda w: f"exec -a ls {w}"
    t["env"] = lambda w: f"env -u LANG {w}"
    t["assignments in front"] = lambda w: f"LC_ALL=C A=1 {w}"
    t["redirection in front"] = lambda w: f"2>/dev/null {w}"
    t["negated and timed"] = lambda w: f"! time -p {w}"
    t["substituted name"] = lambda w: f"$(echo {w})"
    t["substituted by printf"] = lambda w: f"$(printf '%s%s' {w[:half(w)]} {w[half(w):]})"
    t["backquoted name"] = lambda w: f"`echo {w}`"
    t["reversed name"] = lambda w: f"$(rev <<< {w[::-1]})"
    t["decoded name"] = lambda w: f"$(base64 -d <<< {b64(w)})"
    t["translated name"] = lambda w: f"$(tr A-Z a-z <<< {w.upper()})"
    t["name in a variable"] = lambda w: f"k={w}; $k"
    t["name in two variables"] = lambda w: f"a={w[:half(w)]} b={w[half(w):]}; $a$b"
    t["default value"] = lambda w: f"${{undefined_x:-{w}}}"
    t["alternative value"] = lambda w: f"${{HOME:+{w}}}"
    t["substring"] = lambda w: f"j=xx{w}yy; ${{j:2:{len(w)}}}"
    t["replacement"] = lambda w: f"j={w[0]}_{w[1:]}; ${{j/_/}}"
    t["replacement of all"] = lambda w: f"j={'+'.join(w)}; ${{j//+}}"
    t["suffix off"] = lambda w: f"j={w}.txt; ${{j%.txt}}"
    t["lower case"] = lambda w: f"j={w.upper()}; ${{j,,}}"
    t["array element"] = lambda w: f"r=(ls {w} cat); ${{r[1]}}"
    t["associative array"] = lambda w: f"declare -A m=([k]={w}); ${{m[k]}}"
    t["indirect"] = lambda w: f"real={w} ref=real; ${{!ref}}"
    t["positional"] = lambda w: f"set -- {w}; $1"
    t["read name"] = lambda w: f"read -r n <<< {w}; $n"
    t["appended"] = lambda w: f"n={w[:half(w)]}; n+={w[half(w):]}; $n"
    t["loop of names"] = lambda w: f"for n in {w}; do :; done; $n"
    return t


def read(path):
    category = ""
    with open(os.path.join(HERE, path), encoding="utf-8") as file:
        lines = file.read().splitlines()
    for line in lines:
        if line.startswith("## "):
            category = line[3:]
        elif line and not line.startswith("# "):
            seen = line.startswith("~ ")
            line = line[2:] if seen else line
            command = line.replace("\u2424", "\n")
            yield category, command, "open" if seen or digest(command) % 2 == 0 else "aside"


def sets():
    out = []
    bases = list(read("dangerous.txt")) + list(read("later.txt"))
    for number, (category, command, half) in enumerate(bases):
        out.append({"id": f"id{number:04d}", "command": command, "category": category, "technique": "base", "kind": "dangerous",
                    "half": half})
    seen = set()
    for family, techniques in (("whole", whole()), ("word", words())):
        for name, change in techniques.items():
            draw = random.Random("sallyport " + name)
            half = "open" if digest(name) % 2 == 0 else "aside"
            made = 0
            for category, command, of in draw.sample(bases, len(bases)):
                if of != half:
                    continue
                if family == "word":
                    match = re.match(r"([a-z][a-z0-9]{1,14})(?= |$)(.*)$", command, re.S)
                    if not match or match.group(1) in KEYWORDS or match.group(1) == "exec":
                        continue
                    word = change(match.group(1))
                    text = None if word is None else word + match.group(2)
                else:
                    text = change(command)
                if text is None or text in seen:
                    continue
                seen.add(text)
                out.append({"id": f"io{len(out):05d}", "command": text, "category": category, "technique": "obf:" + name, "plain": command, "kind": "dangerous",
                            "half": half})
                made += 1
                if made == 8:
                    break
    for number, (category, command, half) in enumerate(read("benign.txt")):
        out.append({"id": f"ib{number:04d}", "command": command, "family": category, "technique": "", "kind": "benign",
                    "half": half})
    return out


def main():
    half = sys.argv[1] if len(sys.argv) > 1 else "all"
    kind = sys.argv[2] if len(sys.argv) > 2 else ""
    for item in sets():
        if half not in ("all", item["half"]):
            continue
        group = "benign" if item["kind"] == "benign" else "dangerous" if item["technique"] == "base" else "disguised"
        if kind in ("", group):
            print(json.dumps(item, ensure_ascii=False))


if __name__ == "__main__":
    main()
