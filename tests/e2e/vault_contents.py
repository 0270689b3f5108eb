"""What a vault's database holds, opened with its master key by other means than the program: for tests that look for leaks.

The layers are those of docs/explanation/vault.md. Needs python3-cryptography.
"""
import base64, pathlib, sqlite3, struct, sys

sys.path.append("/usr/lib/python3/dist-packages")
try:
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
except ImportError:
    AESGCM = None


def text(value):
    value = value.encode() if isinstance(value, str) else value
    return struct.pack(">I", len(value)) + value


def opened(key, sealed, additional):
    return AESGCM(key).decrypt(sealed[:12], sealed[12:], additional)


def keys_of(state):
    """(material as it stands in the file, sealing key, key-encryption key)."""
    material = (state / "seal.key").read_bytes()
    head, _, key_line = (state / "vault" / "seal.header").read_text().partition("key: ")
    salt = base64.b64decode(head.split("salt: ")[1].split()[0])
    for candidate in (material, material.strip(), base64.b64decode(material)):
        sealing = HKDF(hashes.SHA256(), 32, salt, b"sallyport vault seal v1").derive(candidate)
        try:
            return candidate, sealing, opened(sealing, base64.b64decode(key_line), head.encode())
        except Exception:  # not this reading of the file
            continue
    raise ValueError("the master key does not open the header")


def contents(state):
    """{name: plaintext of its newest version}, and the keys above it under names in angle brackets."""
    state = pathlib.Path(state)
    material, sealing, key = keys_of(state)
    found = {"<master key>": material, "<sealing key>": sealing, "<key-encryption key>": key}
    with sqlite3.connect(f"file:{state}/vault/vault.db?mode=ro", uri=True) as database:
        rows = database.execute("SELECT v.name, v.version, s.kind, v.data_key, v.value FROM secret_version v JOIN secret s ON s.name = v.name").fetchall()
    for name, version, kind, data_key, value in rows:
        binding = lambda what: text("sallyport vault 1") + text(what) + text(name) + struct.pack(">I", version) + text(kind)
        found[name] = opened(opened(key, data_key, binding("data key")), value, binding("value"))
    return found


def big(number):
    """As integers lie in memory, either end first, and without leading zeros."""
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return [raw, raw[::-1]]


def needles(plain):
    """Byte strings whose presence in a memory gives a private key away."""
    if b"PRIVATE KEY-----" not in plain:
        return [plain]
    pem = plain[:plain.index(b"-----BEGIN CERTIFICATE")] if b"-----BEGIN CERTIFICATE" in plain else plain
    loader = serialization.load_ssh_private_key if b"OPENSSH" in pem else serialization.load_pem_private_key
    key = loader(pem, None)
    lines = pem.split(b"\n")
    found = [lines[len(lines) // 2]]  # the text itself, from its middle
    if hasattr(key, "private_bytes") and hasattr(key, "sign") and not hasattr(key, "private_numbers"):
        found.append(key.private_bytes(serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()))
    else:
        numbers = key.private_numbers()
        for value in (getattr(numbers, n) for n in ("d", "p", "q", "private_value") if hasattr(numbers, n)):
            found += big(value)
    return found
