# Writes known.json: the format of docs/format.md, from its description. Needs the package cryptography.
# Run it as: python3 known.py > known.json

import json, struct
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
hx = bytes.hex
def ser(ec):
    if not ec: return b""
    out = struct.pack(">H", len(ec))
    for k, v in sorted((k.encode(), v.encode()) for k, v in ec.items()):
        out += struct.pack(">H", len(k)) + k + struct.pack(">H", len(v)) + v
    return out
cases = []
for i, (name, suite, n, ec) in enumerate([
    ("orders", 0x0578, 32, {"tenant": "17", "purpose": "known answer"}),
    ("orders", 0x0478, 32, {}),
    ("gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k", 0x0346, 24, {"\U0001F600": "é", "\uffff": ""}),
    ("x", 0x0114, 16, {"a": "b"}),
]):
    key, kek, nonce = bytes([0x10 + i]) * 32, bytes(range(i, i + 32)), bytes([0x40 + i]) * 12
    data_key = bytes(range(0x80 + i, 0x80 + i + n))
    wrapped = nonce + AESGCM(key).encrypt(nonce, kek, None)
    info = b"\x01" + name.encode()
    head = struct.pack(">H", len(wrapped)) + wrapped
    aad = b"esdk-keeper" + struct.pack(">H", len(info)) + info + head + struct.pack(">H", suite) + ser(ec)
    cases.append(dict(serviceKey=hx(key), keyName=name, suite=suite, encryptionContext=ec, dataKey=hx(data_key),
        providerInfo=hx(info), ciphertext=hx(head + AESGCM(kek).encrypt(bytes(12), data_key, aad))))
print(json.dumps(cases, indent=2))
