#!/usr/bin/env python3
"""Reads and verifies a Sallyport journal, from docs/format/journal.md alone and with none of Sallyport's code.
  sallyport_reader.py JOURNAL_FOLDER [--vkey LINE|FILE] [--checkpoint FILE]           verify, list the sessions
  sallyport_reader.py JOURNAL_FOLDER --session LABEL --key HEX                        ... and decode one, as JSON lines;
  sallyport_reader.py --bundle FILE [--vkey LINE|FILE]                                a slice, with sallyport_bundle.py beside this file
  sallyport_reader.py JOURNAL_FOLDER --session LABEL --recipient-key K.pem --recipient-cert C.pem
Needs Python 3.8, libcrypto 3, libzstd and, to unwrap keys, the `openssl` command. Exit status: 0 verified, 8 something was found.
"""
import argparse, base64, ctypes, ctypes.util, functools, glob, hashlib, hmac, json, os, re, struct, subprocess, sys

crypto, zstd = (ctypes.CDLL(ctypes.util.find_library(name)) for name in ("crypto", "zstd"))
for name in ("EVP_PKEY_new_raw_public_key", "EVP_MD_CTX_new", "EVP_CIPHER_CTX_new", "EVP_aes_256_gcm"): getattr(crypto, name).restype = ctypes.c_void_p
P, Z = ctypes.c_void_p, ctypes.c_size_t
zstd.ZSTD_getFrameContentSize.restype, zstd.ZSTD_decompress.restype = ctypes.c_ulonglong, Z
KINDS = ["?", "header", "event", "data_in", "data_out", "data_err", "typed", "line_key", "line_dropped", "bulk_marker", "resize", "exit", "end"]
HEADER, findings = "<QBBHIqqIIQ", []
CRC = [functools.reduce(lambda crc, _: (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0), range(8), byte) for byte in range(256)]
find = lambda text: (findings.append(text), print("FOUND", text, file=sys.stderr))
crc32c = lambda data: functools.reduce(lambda crc, byte: CRC[(crc ^ byte) & 255] ^ (crc >> 8), data, 0xFFFFFFFF) ^ 0xFFFFFFFF
sha = lambda data: hashlib.sha256(data).digest()
mac = lambda key, data: hmac.new(key, data, hashlib.sha256).digest()
hkdf = lambda key, salt, info: mac(mac(salt or bytes(32), key), info + b"\1")  # RFC 5869, 32 bytes
checkpoint = lambda note: (int(note.split("\n")[1]), base64.b64decode(note.split("\n")[2]))  # its size and root

class Tree:  # RFC 9162 section 2.1; the roots of the perfect subtrees, and the root at every size so far
    def __init__(self):
        self.peaks, self.roots, self.clock = [], [sha(b"")], []
    def append(self, leaf):
        node, size = sha(b"\0" + leaf), len(self.roots) - 1
        while size & 1: node, size = sha(b"\1" + self.peaks.pop() + node), size >> 1
        self.peaks.append(node)
        self.roots.append(functools.reduce(lambda root, peak: sha(b"\1" + peak + root), reversed(self.peaks)))

def gcm_open(key, sequence, aad, body, tag):  # None: broken
    context, out, got, nonce = P(crypto.EVP_CIPHER_CTX_new()), ctypes.create_string_buffer(len(body) + 16), ctypes.c_int(), struct.pack("<Q", sequence) + bytes(4)
    right = crypto.EVP_DecryptInit_ex(context, P(crypto.EVP_aes_256_gcm()), None, key, nonce) == crypto.EVP_CIPHER_CTX_ctrl(context, 0x11, 16, tag) == 1
    right = right and crypto.EVP_DecryptUpdate(context, None, ctypes.byref(got), aad, len(aad)) == 1
    right = right and (not body or crypto.EVP_DecryptUpdate(context, out, ctypes.byref(got), body, len(body)) == 1)
    right = right and crypto.EVP_DecryptFinal_ex(context, ctypes.create_string_buffer(16), ctypes.byref(ctypes.c_int())) == 1
    crypto.EVP_CIPHER_CTX_free(context)
    return out.raw[:len(body)] if right else None

def unzstd(frame):
    size = zstd.ZSTD_getFrameContentSize(frame, Z(len(frame)))  # or an error, as a huge number
    out = ctypes.create_string_buffer(min(size, 32768) + 1)
    return out.raw[:size] if size <= 32768 and zstd.ZSTD_decompress(out, Z(size), frame, Z(len(frame))) == size else None

def signed_by(note, vkey):  # C2SP signed-note, Ed25519
    name, key_id, key = vkey.split("+", 2)
    raw, body = base64.b64decode(key), note[:note.rindex("\n\n") + 1]
    if raw[0] != 1 or sha(name.encode() + b"\n" + raw)[:4].hex() != key_id: return False
    for line in note[len(body) + 1:].splitlines():
        words = line.split(" ")
        blob = base64.b64decode(words[2]) if len(words) == 3 and words[:2] == ["\u2014", name] else b""
        if len(blob) == 68 and blob[:4].hex() == key_id:
            pkey, context = P(crypto.EVP_PKEY_new_raw_public_key(1087, None, raw[1:], Z(32))), P(crypto.EVP_MD_CTX_new())
            crypto.EVP_DigestVerifyInit(context, None, None, None, pkey)
            return crypto.EVP_DigestVerify(context, blob[4:], Z(64), body.encode(), Z(len(body.encode()))) == 1
    return False

def frames(folder):  # (type, payload) of every frame, in order
    expected = 1
    for number, path in enumerate(sorted(glob.glob(os.path.join(folder, "*.journal"))), 1):
        data = open(path, "rb").read()
        if int(os.path.basename(path).split(".")[0]) != number or len(data) < 64 or data[:8] != b"SPJRNL01" or \
                struct.unpack_from("<I", data, 60)[0] != crc32c(data[:60]) or struct.unpack_from("<QQ", data, 16) != (number, expected):
            find(f"{path}: missing files before it, or a wrong file header")
        at = 64
        while at < len(data):
            magic, crc, size, kind, frame = struct.unpack_from("<IIIIQ", data.ljust(at + 24, b"\0"), at)
            if magic != 0x31465053 or at + 24 + size > len(data):
                find(f"{path}: no whole frame at byte {at}")
                break
            if crc32c(data[at + 8:at + 24 + size]) != crc or frame != expected:
                find(f"{path}: frame {frame} at byte {at}: wrong checksum or number")
            yield kind, data[at + 24:at + 24 + size]
            at, expected = at + 24 + size, expected + 1

class Session:
    def __init__(self, label):
        self.label, self.tree, self.entries, self.previous, self.final, self.info, self.clock = label, Tree(), [], bytes(16), None, {}, []
    def add(self, raw):
        sequence, kind, flags, _, channel, wall, boot, segment, size, extra = struct.unpack_from(HEADER, raw)
        if len(raw) != 64 + size or sequence != len(self.entries) + 1:
            find(f"session {self.label}: entry {sequence} where {len(self.entries) + 1} belongs")
        aad, body, tag = self.label.encode() + raw[:48] + self.previous, raw[48:48 + size], raw[48 + size:]
        if not flags & 2 and sha(b"sallyport plain entry v1" + aad + body)[:16] != tag:
            find(f"session {self.label}: entry {sequence}: the tag is wrong")
        if kind == 1:
            end = 4 + struct.unpack_from("<I", body)[0]
            self.info, self.wrapped = json.loads(body[4:end]), body[end:]
        self.entries.append((sequence, kind, flags, channel, wall, segment, extra, aad, body, tag))
        self.previous = tag
        self.clock.append(wall - boot)
        self.tree.append(raw)
    def decode(self, key):
        chain, at, segments, lines = hkdf(key, self.label.encode(), b"sallyport chain v1"), 0, {}, {}
        for segment in sorted({entry[5] for entry in self.entries}):
            while at <= segment: segments[at], chain, at = hkdf(chain, b"", b"sallyport segment v1"), hkdf(chain, b"", b"sallyport next v1"), at + 1
        for sequence, kind, _, channel, _, segment, extra, *sealed in (entry for entry in self.entries if entry[1] in (7, 8)):
            lines[channel, extra] = (kind, gcm_open(segments[segment], sequence, *sealed))
        for sequence, kind, flags, channel, wall, segment, extra, aad, body, tag in self.entries:
            out = {"sequence": sequence, "kind": KINDS[kind] if kind < len(KINDS) else kind, "channel": channel, "wall": wall, "extra": extra}
            fate, line_key = lines.get((channel, extra), (0, None)) if kind in (6, 50) else (7, segments[segment])
            if flags & 2 and fate == 7:
                body = gcm_open(line_key, sequence, aad, body, tag)
                body = unzstd(body) if body is not None and flags & 1 else body
                if body is None:
                    find(f"session {self.label}: entry {sequence}: the seal is broken")
            elif flags & 2:
                body, out["state"] = None, "not_echoed" if fate == 8 else "unsettled"
            shown = {} if body is None or kind == 7 else {"body": base64.b64encode(body).decode()}
            print(json.dumps({**out, **({"header": self.info} if kind == 1 else shown)}))

def entries_of(payload):  # both forms of an entries frame (section 5.1)
    form, count, at, extras = *struct.unpack_from("<HI", payload, 26), 40, [0] * 256
    sequence = wall = boot = channel = segment = 0
    def varint():
        nonlocal at
        begin, at = at, [i for i in range(at, at + 10) if payload[i] < 128][0] + 1
        return sum((byte & 127) << 7 * i for i, byte in enumerate(payload[begin:at]))
    difference = lambda number: (number >> 1) ^ -(number & 1)
    for _ in range(count):
        if not form or payload[at] == 128:
            at += 5 if form else 4
            raw = payload[at:at + struct.unpack_from("<I", payload, at - 4)[0]]
            sequence, _, _, _, channel, wall, boot, segment, _, extras[raw[8]] = struct.unpack_from(HEADER, raw)
            at += len(raw)
        else:
            mark, kind, at = payload[at], payload[at + 1], at + 2
            sequence, moved = varint() if mark & 64 else sequence + 1, difference(varint())
            wall, boot = wall + moved, boot + moved + (difference(varint()) if mark & 32 else 0)
            channel, segment = varint() if mark & 4 else channel, varint() if mark & 8 else segment
            extras[kind], size = (extras[kind] + (difference(varint()) if mark & 16 else 0)) % 2**64, varint()
            raw = struct.pack(HEADER, sequence, kind, mark & 3, 0, channel, wall, boot, segment, size, extras[kind]) + payload[at:at + size + 16]
            at += size + 16
        yield raw

def take(kind, payload, sessions, log, newest, keys):
    if kind == 1:
        session = sessions.setdefault(payload[:26].decode("ascii"), Session(payload[:26].decode("ascii")))
        for raw in entries_of(payload): session.add(raw)
    elif kind in (2, 3):
        log.append(bytes([kind]) + payload)
        if struct.unpack_from("<Q", payload)[0] != len(log.roots) - 1:
            find(f"leaf {struct.unpack_from('<Q', payload)[0]} where {len(log.roots) - 1} belongs")
        if kind == 2:  # wall minus boot clock changes where the gateway says so, and with a start
            (wall, boot), end = struct.unpack_from("<qq", payload, 8), 60 + payload[51] + payload[52]
            log.clock += [wall - boot] * (not log.clock or payload[end - payload[52]:end] in (b"clock.stepped", b"keeper.started"))
        else:
            size, root, why, label = struct.unpack_from("<Q", payload, 16)[0], payload[24:56], payload[60], payload[62:88].decode("ascii")
            session = sessions.setdefault(label, Session(label))
            if size >= len(session.tree.roots) or session.tree.roots[size] != root:
                find(f"session {label}: its first {size} entries are not those that were recorded")
            session.final = why if why > 2 else session.final
    elif kind == 4:
        newest[0], root = checkpoint(payload.decode())
        if newest[0] >= len(log.roots) or log.roots[newest[0]] != root or (keys and not signed_by(payload.decode(), keys[-1])):
            find(f"the checkpoint over {newest[0]} leaves: wrong root or signature")
        elif keys:  # the key may name its successor, which alone signs from here on
            keys += re.findall(r"^next-key (.*)$", payload.decode(), re.M)

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("journal", nargs="?")
    for option in ("--bundle", "--vkey", "--checkpoint", "--session", "--key", "--recipient-key", "--recipient-cert"): parser.add_argument(option)
    args, sessions, log, newest = parser.parse_args(), {}, Tree(), [0]
    vkey = open(args.vkey).read().strip() if args.vkey and os.path.exists(args.vkey) else args.vkey
    if args.bundle:
        from sallyport_bundle import bundle
        return bundle(args.bundle, vkey)
    keys = [vkey] if vkey else []
    for number, (kind, payload) in enumerate(frames(args.journal), 1):
        try:
            take(kind, payload, sessions, log, newest, keys)
        except (struct.error, ValueError, IndexError) as error:
            find(f"frame {number} has a wrong form: {error}")
    for label, session in sessions.items():
        moved = [entry for entry, at in enumerate(session.clock, 1) if min(abs(at - level) for level in log.clock or session.clock[:1]) > 3_000_000]
        if moved: find(f"session {label}: entry {moved[0]}: its wall clock was moved, and the log does not say so")
    if args.checkpoint:
        for note in re.findall(r"(?:[^\n]+\n)+\n(?:\u2014 [^\n]+\n)+", open(args.checkpoint, encoding="utf-8").read()):
            size, root = checkpoint(note)
            if size >= len(log.roots) or log.roots[size] != root or (keys and not any(signed_by(note, key) for key in keys)):
                find(f"outside checkpoint over {size} leaves: the journal was rolled back, cut or signed anew")
    if args.session:
        session = sessions[args.session]
        if not args.key:
            args.key = subprocess.run(["openssl", "cms", "-decrypt", "-inform", "DER", "-binary", "-recip", args.recipient_cert, "-inkey", args.recipient_key],
                                      input=session.wrapped, check=True, capture_output=True).stdout.hex()
        session.decode(bytes.fromhex(args.key))
    for label, session in sessions.items() if not args.session else ():
        print(label, {3: "complete", 4: "truncated"}.get(session.final, "open"), len(session.entries), "entries", session.info.get("principal"), session.info.get("target"))
    for text in ["roll-back (no outside checkpoint)"] * (not args.checkpoint) + ["signatures (no checkpoint key)"] * (not vkey):
        print("not checked:", text, file=sys.stderr)
    print(f"{len(log.roots) - 1} leaves, {newest[0]} under checkpoints:", f"{len(findings)} findings" if findings else "verified", file=sys.stderr)
    return 8 if findings else 0

if __name__ == "__main__":
    sys.exit(main())
