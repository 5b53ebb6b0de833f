"""The official command line, aws-encryption-cli, behind the protocol of ../../README.md.

It runs in this process, which saves the second that it takes to start, through the function that its program calls.
"""
import json
import os
import pathlib
import platform
import sys
import tempfile
from importlib import metadata

from aws_encryption_sdk.identifiers import AlgorithmSuite
from aws_encryption_sdk_cli import cli

SUITES = {"%04x" % suite.algorithm_id: suite.name for suite in AlgorithmSuite}
COMMITTING = ("0478", "0578")


class Unsupported(Exception):
    pass


class Peer:
    def __init__(self, keys, folder):
        self.keys, self.folder = keys, folder

    def answer(self, request):
        return getattr(self, request["op"])(request)

    def hello(self, _):
        return {"name": "aws-encryption-sdk-cli", "version": metadata.version("aws-encryption-sdk-cli"),
                "with": f"aws-encryption-sdk {metadata.version('aws-encryption-sdk')}, Python {platform.python_version()}"}

    def store(self, _):
        raise Unsupported("no key stores")

    def wrapping_keys(self, d):
        """The parameters of --wrapping-keys, one group of them for each key."""
        if d["type"] == "multi-keyring":
            members = ([d["generator"]] if d.get("generator") else []) + d["childKeyrings"]
            return [parameters for member in members for parameters in self.wrapping_keys(member)]
        if d["type"] == "raw":
            return [self.raw(d)]
        if d["type"] == "aws-kms":
            return [["provider=aws-kms", f"key={self.keys[d['key']]['key-id']}"]]
        if d["type"] == "aws-kms-discovery":
            wanted = d["aws-kms-discovery-filter"]
            accounts = [f"discovery-account={a}" for a in wanted["account-ids"]]
            return [["provider=aws-kms", "discovery=true", f"discovery-partition={wanted['partition']}",
                     f"region={d['region']}", *accounts]]
        raise Unsupported(f"no key provider for {d['type']}")

    def raw(self, d):
        entry = self.keys[d["key"]]
        algorithm = "aes"
        if d["encryption-algorithm"] == "rsa":
            algorithm = ("RSA_PKCS1" if d["padding-algorithm"] == "pkcs1"
                         else f"RSA_OAEP_{d['padding-hash'].upper()}_MGF1")
        path = self.folder / "-".join((d["key"], d["provider-id"], algorithm))
        path.write_text(json.dumps({"provider-id": d["provider-id"], "algorithm": algorithm, "type": entry["type"],
                                    "material": entry["material"]}), encoding="utf-8")
        return ["provider=esdk-interop-raw", f"key={entry['key-id']}", f"description={path}"]

    def encrypt(self, request):
        # The command has no option for a body without frames, but that a frame length of 0 means one.
        options = ["--algorithm", SUITES[request["suite"]], "--frame-length", str(request["frame"])]
        if request["frame"] % 128:
            raise Unsupported("encrypts only frame lengths that are multiples of 128")
        self.run("--encrypt", request, "require-encrypt-require-decrypt" if request["suite"] in COMMITTING
                 else "forbid-encrypt-allow-decrypt", options, request["context"])
        return {}

    def decrypt(self, request):
        if request.get("reproduced"):
            raise Unsupported("no reproduced encryption context")
        header = self.run("--decrypt", request, "require-encrypt-require-decrypt" if request["suite"] in COMMITTING
                          else "require-encrypt-allow-decrypt", [], {})
        return {"context": header["encryption_context"]}

    def run(self, verb, request, policy, options, context):
        if request.get("api") != "master-key":
            raise Unsupported("no keyrings, only master key providers")
        out = pathlib.Path(request["out"])
        report = self.folder / "metadata"
        arguments = [verb, "--input", request["in"], "--output", str(out), "--commitment-policy", policy,
                     "--metadata-output", str(report), "--overwrite-metadata", *options]
        for parameters in self.wrapping_keys(request["key"]):
            arguments += ["--wrapping-keys", *parameters]
        if context:
            arguments += ["--encryption-context", *(f"{k}={v}" for k, v in context.items())]
        failure = cli(arguments)
        if failure is not None:
            raise RuntimeError(failure)
        if not out.exists():
            raise RuntimeError("nothing was written")
        return json.loads(report.read_text(encoding="utf-8").splitlines()[-1])["header"]


def main():
    keys = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))["keys"]
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # what the command prints is no answer
    with tempfile.TemporaryDirectory() as folder:
        peer = Peer(keys, pathlib.Path(folder))
        for line in sys.stdin.buffer:
            try:
                answer = peer.answer(json.loads(line))
            except Unsupported as e:
                answer = {"unsupported": str(e)}
            except (Exception, SystemExit) as e:  # the command exits at arguments that it does not like
                answer = {"error": f"{type(e).__name__}: {' '.join(str(e).split())[:500]}"}
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


if __name__ == "__main__":
    main()
