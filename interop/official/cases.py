"""Decides what each SDK has to write, and publishes what they wrote.

cases.py keys WORK PEMS   keys.json out of the PEM and raw key files that openssl made
cases.py plan WORK        plaintexts/ and plan/SDK.json, one entry for every message
cases.py make WORK BIN    ciphertexts/, which the peers in BIN write and decrypt again
cases.py publish WORK     tampered copies and SDK.json, one decrypt manifest for every SDK
cases.py check WORK BIN   each peer goes through all manifests

Needs the standard library only. Every choice is a function of the case's position, so that two
runs differ in nothing but the random parts of the messages.
"""
import base64
import json
import pathlib
import subprocess
import sys

SUITES = ["0014", "0046", "0078", "0114", "0146", "0178", "0214", "0346", "0378", "0478", "0578"]
PADDINGS = ["pkcs1", "oaep-sha1", "oaep-sha256", "oaep-sha384", "oaep-sha512"]
CURVES = {"p256": "ecc-256", "p384": "ecc-384", "p521": "ecc-521"}
SDKS = {
    "python": ("aws-encryption-sdk-python", "4.0.7"),
    "java": ("aws-encryption-sdk-java", "3.0.2"),
    "javascript": ("aws-encryption-sdk-javascript", "5.0.2"),
}

# (frame length, plaintext length). Seven shapes against eleven suites and five contexts: no two of
# these counts share a factor, so every key type meets every shape and every context.
SHAPES = [(16, 75), (100, 0), (100, 437), (4096, 1), (128, 384), (100, 100), (4096, 1000)]
# Python encrypts only frame lengths that are multiples of 128.
PYTHON_SHAPES = [(128, 441), (128, 0), (256, 600), (4096, 1), (128, 384), (128, 128), (4096, 1000)]
UNFRAMED = [0, 1, 437, 128, 1000]

CONTEXTS = {
    "no context": {},
    "an ASCII context": {"purpose": "interop", "tenant": "42"},
    # The capital letters sort before the key that signing suites add, in byte order only.
    "a mixed-case context": {"Zone": "b", "alpha": "A", "Beta": "2", "beta": "3"},
    "a non-ASCII context": {"größe": "süß", "日本": "語", "z": "é"},
    # In UTF-16 order U+1F511 comes before U+FF5E, in UTF-8 order after it.
    "a context beyond U+FFFF": {"\U0001f511": "\U0001d11e", "\uff5e": "wave", "key": "\U0001f512"},
}
# (context, required keys, whether decryption is given the whole context or the required keys only)
REQUIRED = [
    ({"account": "12", "stage": "test"}, ["account"], False),
    ({"Account": "12", "stage": "test"}, ["Account", "stage"], True),
    ({"größe": "süß", "stage": "test"}, ["größe"], True),
    ({"stage": "test", "Zone": "b", "\U0001f511": "key"}, ["Zone", "\U0001f511"], False),
]
TAMPERINGS = {
    "last-byte-flipped": "the last byte is changed",
    "truncated": "the last byte is missing",
    "truncated-between-frames": "all after the first frame is missing",
    "header-byte-flipped": "a byte of the message ID is changed",
    "frame-tag-flipped": "a byte of the first frame's tag is changed",
}
TAMPERED_SUITES = ["0178", "0478", "0578"]


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="ascii")


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


# --- keys

def make_keys(work, pems):
    def pem(name):
        return (pems / name).read_text(encoding="ascii").strip()

    def der(name):
        return "".join(pem(name).splitlines()[1:-1])

    keys = {}
    for bits in (128, 192, 256):
        raw = (pems / f"aes-{bits}").read_bytes()
        assert len(raw) * 8 == bits
        keys[f"aes-{bits}"] = {
            "encrypt": True, "decrypt": True, "algorithm": "aes", "type": "symmetric", "bits": bits,
            "encoding": "base64", "material": base64.b64encode(raw).decode(), "key-id": f"aes-{bits}"}
    for kind in ("private", "public"):
        keys[f"rsa-2048-{kind}"] = {
            "encrypt": True, "decrypt": kind == "private", "algorithm": "rsa", "type": kind, "bits": 2048,
            "encoding": "pem", "material": pem(f"rsa-{kind}.pem"), "key-id": "rsa-2048"}
    for name in CURVES.values():
        keys[f"{name}-private"] = {
            "encrypt": True, "decrypt": True, "algorithm": "ecdh", "type": "ecc-private",
            "bits": int(name[4:]), "encoding": "pem",
            "sender-material": pem(f"{name}-sender.pem"),
            "recipient-material": pem(f"{name}-recipient.pem"),
            "public-key-encoding": "base64-der",
            "sender-material-public-key": der(f"{name}-sender.pub"),
            "recipient-material-public-key": der(f"{name}-recipient.pub"),
            "key-id": name}
    write_json(work / "keys.json", {"manifest": {"type": "keys", "version": 2}, "keys": keys})


# --- key descriptions, for encryption and for decryption

def aes(bits):
    d = {"type": "raw", "key": f"aes-{bits}", "provider-id": "interop-aes", "encryption-algorithm": "aes"}
    return d, d


def rsa(padding):
    def d(kind):
        return {
            "type": "raw", "key": f"rsa-2048-{kind}", "provider-id": "interop-rsa",
            "encryption-algorithm": "rsa",
            "padding-algorithm": "pkcs1" if padding == "pkcs1" else "oaep-mgf1",
            # The format wants a hash for PKCS #1 v1.5 too, where it means nothing.
            "padding-hash": "sha1" if padding == "pkcs1" else padding[5:]}
    return d("public"), d("private")


def ecdh(curve, schema):
    name = CURVES[curve]

    def d(how):
        known = how == "static"
        return {
            "type": "raw-ecdh", "schema": how, "ecc-curve": name, "provider-id": "raw-ecdh",
            "sender": f"{name}-private" if known else how, "recipient": f"{name}-private",
            "sender-public-key": "sender-material-public-key" if known else how,
            "recipient-public-key": "recipient-material-public-key"}
    return d(schema), d("static" if schema == "static" else "discovery")


def multi(generator, *children):
    return {"type": "multi-keyring", "generator": generator, "childKeyrings": list(children)}


# --- the plan

def plan_for(sdk):
    mpl = sdk != "javascript"
    shapes = PYTHON_SHAPES if sdk == "python" else SHAPES
    cases = []

    def add(suite, name, keys, shape, context, note, required=None, reproduced=None, api="keyring", also=None):
        cases.append({
            "id": f"{sdk}-{suite}-{name}", "suite": suite, "api": api, "frame-size": shape[0],
            "plaintext": f"bytes-{shape[1]}", "context": context, "reproduced": reproduced or {},
            "required": required or [], "encrypt": keys[0], "decrypt": keys[1], "also": also or [],
            "description": f"{note}, {shape[1]} bytes in "
                           + (f"frames of {shape[0]}" if shape[0] else "a body without frames")})

    keyrings = [(f"raw-aes-{b}", f"raw AES-{b}", aes(b), []) for b in (128, 192, 256)]
    keyrings += [(f"raw-rsa-{p}", f"raw RSA {p}", rsa(p), []) for p in PADDINGS]
    if mpl:
        for c in CURVES:
            # Whoever holds the recipient's private key may also find the sender in the message.
            keyrings.append((f"raw-ecdh-static-{c}", f"raw ECDH static {c}", ecdh(c, "static"),
                             [("by-discovery", ecdh(c, "discovery")[1])]))
        keyrings += [(f"raw-ecdh-ephemeral-{c}", f"raw ECDH ephemeral {c}", ecdh(c, "ephemeral"), [])
                     for c in CURVES]

    for s, suite in enumerate(SUITES):
        def pick(k):
            name, context = list(CONTEXTS.items())[(2 * s + k) % len(CONTEXTS)]
            return shapes[(s + k) % len(shapes)], context, name

        for k, (name, note, keys, also) in enumerate(keyrings):
            shape, context, words = pick(k)
            add(suite, name, keys, shape, context, f"{note}, {words}", also=also)
        if not mpl:
            continue

        a, r = aes((128, 192, 256)[s % 3]), rsa(PADDINGS[s % 5])
        shape, context, words = pick(20)
        opened = [multi(a[1], r[1]), a[1], r[1]][s % 3]
        opener = ["both", "the AES key", "the RSA key"][s % 3]
        add(suite, "multi-keyring", (multi(a[0], r[0]), opened), shape, context,
            f"multi-keyring of AES and RSA opened with {opener}, {words}")

        under = [aes(256), rsa("oaep-sha256"), ecdh("p384", "static"), aes(128), ecdh("p256", "ephemeral")][s % 5]
        context, required, whole = REQUIRED[s % 4]
        keys = [{"type": "required-encryption-context-cmm", "underlying": d,
                 "requiredEncryptionContextKeys": required} for d in under]
        add(suite, "required-context", keys, pick(21)[0], context, "required encryption context CMM",
            required=required, reproduced={k: v for k, v in context.items() if whole or k in required})

        shape, context, words = pick(22)
        keys = [aes(256), rsa("oaep-sha256"), aes(128), rsa("pkcs1"), aes(192)][s % 5]
        add(suite, "non-framed", keys, (0, UNFRAMED[s % 5]), context,
            f"{'master key' if s % 2 else 'keyring'}, {words}", api="master-key" if s % 2 else "keyring")

        shape, context, words = pick(23)
        add(suite, "master-key-aes-256", aes(256), shape, context, f"master key AES-256, {words}", api="master-key")
        shape, context, words = pick(24)
        p = PADDINGS[(s + 2) % 5]
        add(suite, f"master-key-rsa-{p}", rsa(p), shape, context, f"master key RSA {p}, {words}", api="master-key")
    return cases


def plan(work):
    for d in ("plan", "plaintexts", "ciphertexts"):
        (work / d).mkdir()
    for n in sorted({n for _, n in SHAPES + PYTHON_SHAPES} | set(UNFRAMED)):
        (work / "plaintexts" / f"bytes-{n}").write_bytes(bytes((31 * i + i // 256) % 256 for i in range(n)))
    for sdk in SDKS:
        write_json(work / "plan" / f"{sdk}.json", plan_for(sdk))


# --- publishing

class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def number(self, size):
        return int.from_bytes(self.skip(size), "big")

    def skip(self, size):
        start, self.at = self.at, self.at + size
        assert self.at <= len(self.data), "message too short"
        return self.data[start:self.at]


def layout(message):
    """Where the message ID begins and where the first frame, a regular one, begins and ends."""
    r = Reader(message)
    version = r.number(1)
    r.skip(3 if version == 1 else 2)
    message_id = r.at
    r.skip(16 if version == 1 else 32)
    r.skip(r.number(2))
    for _ in range(r.number(2)):
        for _ in range(3):
            r.skip(r.number(2))
    assert r.number(1) == 2, "not framed"
    if version == 1:
        r.skip(4 + 1)
    frame = r.number(4)
    r.skip(12 + 16 if version == 1 else 32 + 16)
    first = r.at
    assert r.number(4) == 1, "the first frame is the final one"
    r.skip(12 + frame + 16)
    return message_id, first, r.at


def tamper(message, how):
    message_id, _, end = layout(message)
    if how == "truncated":
        return message[:-1]
    if how == "truncated-between-frames":
        return message[:end]
    at = {"last-byte-flipped": len(message) - 1, "header-byte-flipped": message_id + 5,
          "frame-tag-flipped": end - 16}[how]
    return message[:at] + bytes([message[at] ^ 1]) + message[at + 1:]


def scenario(case, message, **more):
    return {"decryption-scenario": {
        "ciphertext": f"file://ciphertexts/{message}", "algorithmSuiteId": case["suite"],
        "frame-size": case["frame-size"], "decryptKeyDescription": case["decrypt"],
        "encryptionContext": case["context"], "reproduced-encryption-context": case["reproduced"], **more}}


def publish(work):
    for sdk, (name, version) in SDKS.items():
        tests, cases = {}, read_json(work / "plan" / f"{sdk}.json")
        for case in cases:
            positive = {"type": "positive-esdk", "result": f"file://plaintexts/{case['plaintext']}"}
            tests[case["id"]] = scenario(case, case["id"], description=case["description"], **positive)
            for suffix, decrypt in case["also"]:
                tests[f"{case['id']}-{suffix}"] = scenario(
                    {**case, "decrypt": decrypt}, case["id"],
                    description=f"{case['description']}, opened {suffix.replace('-', ' ')}", **positive)
        for suite in TAMPERED_SUITES:
            base = next(c for c in cases if c["suite"] == suite and c["api"] == "keyring"
                        and 0 < 2 * c["frame-size"] < int(c["plaintext"][6:]))
            message = (work / "ciphertexts" / base["id"]).read_bytes()
            for how, words in TAMPERINGS.items():
                test = f"{sdk}-{suite}-negative-{how}"
                (work / "ciphertexts" / test).write_bytes(tamper(message, how))
                tests[test] = scenario(base, test, type="negative-esdk", errorDescription=words,
                                       description=f"{base['id']} after tampering")
        write_json(work / f"{sdk}.json", {
            "manifest": {"type": "awses-decrypt", "version": 5},
            "client": {"name": name, "version": version},
            "keys": "file://keys.json", "tests": tests})


# --- the SDKs

class Peer:
    """A program around an SDK; see ../README.md."""

    def __init__(self, programs, sdk, keys):
        self.process = subprocess.Popen([programs / sdk, keys], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        encoding="utf-8")

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        while True:
            line = self.process.stdout.readline()
            if not line:
                sys.exit(f"{self.process.args[0]} has ended")
            if line.startswith("{"):  # Node.js greets whoever lets it decrypt PKCS #1 v1.5
                return json.loads(line)

    def done(self):
        self.process.stdin.close()
        self.process.wait()


def succeed(answer, case):
    if "error" in answer or "unsupported" in answer:
        sys.exit(f"{case}: {answer}")
    return answer


def make(work, programs):
    """Has each SDK encrypt its cases, and decrypt each message again."""
    for sdk in SDKS:
        peer, cases = Peer(programs, sdk, work / "keys.json"), read_json(work / "plan" / f"{sdk}.json")
        for case in cases:
            api = {"api": "master-key"} if case["api"] == "master-key" else {}
            plaintext, message = work / "plaintexts" / case["plaintext"], work / "ciphertexts" / case["id"]
            succeed(peer.ask(op="encrypt", key=case["encrypt"], suite=case["suite"], frame=case["frame-size"],
                             context=case["context"], **{"in": str(plaintext)}, out=str(message), **api), case["id"])
            for d in [case["decrypt"]] + [d for _, d in case["also"]]:
                succeed(peer.ask(op="decrypt", key=d, suite=case["suite"], reproduced=case["reproduced"],
                                 **{"in": str(message)}, out=str(work / "back"), **api), case["id"])
                if (work / "back").read_bytes() != plaintext.read_bytes():
                    sys.exit(f"{case['id']}: decrypts to something else")
        peer.done()
        print(f"{sdk}: {len(cases)} messages written and decrypted")
    (work / "back").unlink()


def check(work, programs):
    """Has each SDK go through all manifests."""
    def at(url):
        return work / url[len("file://"):]

    for sdk in SDKS:
        peer = Peer(programs, sdk, work / "keys.json")
        for writer in SDKS:
            counts = {"read": 0, "refused": 0, "skipped": 0}
            for name, test in read_json(work / f"{writer}.json")["tests"].items():
                s = test["decryption-scenario"]
                answer = peer.ask(op="decrypt", key=s["decryptKeyDescription"], suite=s["algorithmSuiteId"],
                                  reproduced=s["reproduced-encryption-context"],
                                  **{"in": str(at(s["ciphertext"]))}, out=str(work / "back"))
                if "unsupported" in answer:
                    counts["skipped"] += 1
                elif s["type"] == "negative-esdk":
                    if "error" not in answer:
                        sys.exit(f"{sdk}: {name}: not refused")
                    counts["refused"] += 1
                else:
                    found = {**succeed(answer, name)["context"], **s["reproduced-encryption-context"]}
                    found.pop("aws-crypto-public-key", None)
                    if found != s["encryptionContext"]:
                        sys.exit(f"{sdk}: {name}: another encryption context")
                    if (work / "back").read_bytes() != at(s["result"]).read_bytes():
                        sys.exit(f"{sdk}: {name}: decrypts to something else")
                    counts["read"] += 1
            print(f"{sdk}: {writer}.json: " + ", ".join(f"{n} {what}" for what, n in counts.items()))
        peer.done()
    (work / "back").unlink()


if __name__ == "__main__":
    command, arguments = sys.argv[1], [pathlib.Path(a) for a in sys.argv[2:]]
    {"keys": make_keys, "plan": plan, "make": make, "publish": publish, "check": check}[command](*arguments)
