"""The official Python SDK, with keyrings of the MPL, behind the protocol of ../README.md."""

import io
import json
import statistics
import sys
import threading
import time
from importlib.metadata import version

import aws_encryption_sdk
from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders
from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
from aws_cryptographic_material_providers.mpl.models import AesWrappingAlg, CreateRawAesKeyringInput
from aws_encryption_sdk import CommitmentPolicy
from aws_encryption_sdk.identifiers import AlgorithmSuite

SUITES = {
    "0478": AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY,
    "0578": AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384,
}
FRAME = 4096
CHUNK = 64 << 10
BATCH = 0.010
PERIOD = bytes((i ^ (i >> 8)) & 255 for i in range(1 << 16))


def pattern(size):
    return (PERIOD * (size // len(PERIOD) + 1))[:size]


class Pattern(io.RawIOBase):
    """The pattern as a stream, in no memory of its own."""

    def __init__(self, size):
        self.left, self.at = size, 0

    def readable(self):
        return True

    def readinto(self, buf):
        n = min(len(buf), self.left, len(PERIOD) - self.at)
        buf[:n] = PERIOD[self.at : self.at + n]
        self.left -= n
        self.at = (self.at + n) % len(PERIOD)
        return n


class Peer:
    def __init__(self):
        providers = AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())
        self.keyring = providers.create_raw_aes_keyring(
            input=CreateRawAesKeyringInput(
                key_namespace="bench",
                key_name="aes256",
                wrapping_key=bytes(range(32)),
                wrapping_alg=AesWrappingAlg.ALG_AES256_GCM_IV12_TAG16,
            )
        )
        self.client = aws_encryption_sdk.EncryptionSDKClient(
            commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
        )
        self.sample = None

    def how(self, request):
        """The arguments that encryption takes, in memory and as a stream."""
        return {
            "keyring": self.keyring,
            "algorithm": SUITES[request["suite"]],
            "frame_length": FRAME,
            "encryption_context": {"purpose": "bench"},
        }

    def encrypt(self, request, plaintext):
        return self.client.encrypt(source=plaintext, **self.how(request))[0]

    def decrypt(self, message):
        return self.client.decrypt(source=message, keyring=self.keyring)[0]

    def encrypt_stream(self, request, source, sink):
        with self.client.stream(mode="e", source=source, source_length=request["size"], **self.how(request)) as stream:
            return copy(stream, sink)

    def decrypt_stream(self, source, sink):
        with self.client.stream(mode="d", source=source, keyring=self.keyring) as stream:
            return copy(stream, sink)

    def prepare(self, request):
        """Makes a message for all requests of a suite and size, and checks that it comes back."""
        key = request["suite"], request["size"]
        if self.sample and self.sample[0] == key:
            return self.sample[1:]
        self.sample = None
        plaintext = pattern(request["size"])
        message = self.encrypt(request, plaintext)
        if self.decrypt(message) != plaintext:
            raise ValueError("another plaintext came back")
        self.sample = key, plaintext, message
        return plaintext, message

    def operation(self, request):
        plaintext, message = self.prepare(request)
        if request["op"] == "encrypt":
            if request.get("stream"):
                return lambda: self.encrypt_stream(request, io.BytesIO(plaintext), None)
            return lambda: self.encrypt(request, plaintext)
        if request.get("stream"):
            return lambda: self.decrypt_stream(io.BytesIO(message), None)
        return lambda: self.decrypt(message)

    def save(self, request):
        with open(request["path"], "wb") as sink:
            if request.get("stream"):
                self.encrypt_stream(request, io.BufferedReader(Pattern(request["size"]), CHUNK), sink)
            else:
                sink.write(self.encrypt(request, pattern(request["size"])))

    def load(self, request):
        with open(request["path"], "rb") as source:
            if request.get("stream"):
                size = self.decrypt_stream(source, None)
            else:
                size = len(self.decrypt(source.read()))
        if size != request["size"]:
            raise ValueError("a plaintext of %d bytes came back" % size)

    def answer(self, request):
        op = request["op"]
        if op == "version":
            names = "aws-encryption-sdk", "aws-cryptographic-material-providers"
            return {"version": "%s with MPL %s, Python %s" % (*map(version, names), sys.version.split()[0])}
        if op == "rss":
            return {"rss": peak_rss()}
        if op in ("save", "load"):
            getattr(self, op)(request)
            return {}
        if op not in ("encrypt", "decrypt"):
            return {"unsupported": "operation"}
        limit = request.get("millis", 0) / 1000
        work = self.operation(request)
        threads = request.get("threads", 0)
        return time_threads(work, threads, limit) if threads else time_one(work, limit)


def copy(stream, sink):
    size = 0
    while block := stream.read(CHUNK):
        size += len(block)
        if sink:
            sink.write(block)
    return size


def peak_rss():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM:"))


def time_one(work, limit):
    batches, iterations = [], 0
    start = time.perf_counter()
    while not batches or time.perf_counter() - start < limit:
        n, batch = 0, time.perf_counter()
        while n == 0 or time.perf_counter() - batch < BATCH:
            work()
            n += 1
        batches.append((time.perf_counter() - batch) / n)
        iterations += n
    return {"iterations": iterations, "best": min(batches), "median": statistics.median(batches)}


def time_threads(work, threads, limit):
    counts, start = [0] * threads, time.perf_counter()

    def loop(i):
        while counts[i] == 0 or time.perf_counter() - start < limit:
            work()
            counts[i] += 1

    workers = [threading.Thread(target=loop, args=(i,)) for i in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if 0 in counts:
        raise RuntimeError("a thread failed")
    each = (time.perf_counter() - start) / sum(counts)
    return {"iterations": sum(counts), "best": each, "median": each}


def main():
    peer = Peer()
    for line in sys.stdin:
        try:
            answer = peer.answer(json.loads(line))
        except Exception as e:  # whatever it is, the runner writes it down
            answer = {"error": "%s: %s" % (type(e).__name__, e)}
        print(json.dumps(answer), flush=True)


main()
