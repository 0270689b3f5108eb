"""Verifies and decodes a slice of a session that was handed to you (docs/format/bundle.md): sallyport_reader.py --bundle FILE."""
import base64, json, re, struct, sys

from sallyport_reader import KINDS, checkpoint, find, findings, gcm_open, sha, signed_by, unzstd

def follow(note, keys, handovers):  # whether a key given, or one that the handovers lead to, signed it
    for handover in [None] + handovers:
        if handover and signed_by(handover, keys[-1]):
            keys = keys + re.findall(r"^next-key (.*)$", handover, re.M)
        if signed_by(note, keys[-1]):
            return True
    return False

def inclusion(leaf, index, size, path):  # RFC 9162 section 2.1.3.2
    last, node = size - 1, index
    for sibling in path:
        if node & 1 or node == last:
            leaf = sha(b"\1" + sibling + leaf)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            leaf = sha(b"\1" + leaf + sibling)
        node, last = node >> 1, last >> 1
    return leaf if last == 0 else None

def range_root(leaves, first, size, proof):  # leaves: {index: hash}; proof: hashes of the subtrees without any of them
    if not any(first <= index < first + size for index in leaves):
        return proof.pop(0)
    if size == 1:
        return leaves[first]
    split = 1 << (size - 1).bit_length() - 1
    left = range_root(leaves, first, split, proof)
    return sha(b"\1" + left + range_root(leaves, first + split, size - split, proof))

def bundle(path, vkey):  # docs/format/bundle.md
    data = json.load(open(path, encoding="utf-8"))
    unb = base64.b64decode
    label, proof, leaves, previous = data["session"], data["proof"], {}, None
    size, root = checkpoint(proof["checkpoint"])
    if data["format"] != "sallyport bundle 1" or (vkey and not follow(proof["checkpoint"], [vkey], data["handovers"])):
        find("the checkpoint is not signed by the key of this log")
    head = unb(proof["head"])
    entries, head_root, head_label = struct.unpack_from("<Q", head, 16)[0], head[24:56], head[62:88].decode()
    if head_label != label or inclusion(sha(b"\0\3" + head), proof["head_leaf"], size, list(map(unb, proof["head_inclusion"]))) != root:
        find("the session's head is not in the log of the checkpoint")
    for row in data["entries"]:
        if "leaf" in row:
            leaves[row["sequence"] - 1], previous = unb(row["leaf"]), None
            print(json.dumps({"sequence": row["sequence"], "redacted": True}))
            continue
        raw = unb(row["entry"])
        leaves[row["sequence"] - 1] = sha(b"\0" + raw)
        sequence, kind, flags, _, channel, wall, boot, segment, length, extra = struct.unpack_from("<QBBHIqqIIQ", raw)
        previous = bytes.fromhex(row["previous"]) if "previous" in row else previous
        aad, body, tag, key = label.encode() + raw[:48] + previous, raw[48:48 + length], raw[48 + length:], data["segment_keys"].get(str(segment))
        out = {"sequence": sequence, "kind": KINDS[kind] if kind < len(KINDS) else kind, "channel": channel, "wall": wall}
        if sequence != row["sequence"] or (not flags & 2 and sha(b"sallyport plain entry v1" + aad + body)[:16] != tag):
            find(f"entry {sequence}: the tag is wrong")
        if flags & 2:
            body = gcm_open(bytes.fromhex(key), sequence, aad, body, tag) if key and kind != 6 else None
            if body is None and key and kind != 6:
                find(f"entry {sequence}: the seal is broken")
            body = unzstd(body) if body is not None and flags & 1 else body
        if body is not None and kind != 7:
            out["body"] = base64.b64encode(body).decode()
        print(json.dumps(out))
        previous = tag
    rest = list(map(unb, proof["entries"]))
    try:
        right = range_root(leaves, 0, entries, rest) == head_root and not rest
    except (IndexError, KeyError):
        right = False
    if not right:
        find("the entries are not those of the session")
    print(f"{label}: {len(leaves)} entries under a checkpoint of {size} leaves:", f"{len(findings)} findings" if findings else "verified", "" if vkey else "(no checkpoint key: signature not checked)", file=sys.stderr)
    return 8 if findings else 0
