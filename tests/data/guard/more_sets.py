"""The third to ninth set: lists of plain and disguised commands by an author who had not read the rules when writing them.

Half of each is open, half is aside, by a hash of the command (of the seventh by a mark of its author); rules were tuned on the open half only.
The fifth is open as a whole."""
import hashlib, os

HERE = os.path.dirname(os.path.abspath(__file__))
LETTER = {"dangerous": "d", "disguised": "o", "benign": "b"}
FIRST = {"third": "s", "fourth": "n", "fifth": "f", "sixth": "x", "seventh": "v", "eighth": "e", "ninth": "i"}


def groups(path):
    name = ""
    with open(os.path.join(HERE, path), encoding="utf-8") as file:
        for line in file.read().split("\n"):
            if line.startswith("## "):
                name = line[3:]
            elif line and not line.startswith("# "):
                yield name, line.replace("\u2424", "\n")


def sets(which):
    """Items of "third" to "ninth"; `kind` is dangerous, disguised or benign."""
    out = []
    for kind in ("dangerous", "disguised", "benign"):
        for group, command in groups(f"{which}_{kind}.txt"):
            is_marked = which == "seventh" and command.startswith("~ ")
            command = command[2:] if is_marked else command
            name = FIRST[which] + (kind[:2] if which in ("sixth", "seventh", "eighth", "ninth") else LETTER[kind]) + hashlib.sha256(command.encode()).hexdigest()[:10]
            half = ("open" if is_marked else "aside") if which == "seventh" else "aside" if which != "fifth" and hashlib.sha256(name.encode()).digest()[0] & 1 else "open"
            out.append({"id": name, "command": command, "group": group, "kind": kind, "half": half})
    return out
