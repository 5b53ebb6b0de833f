"""Encrypts or decrypts one file with the official Python SDK.

peer.py encrypt --key SPEC [--suite HEX] [-c K=V]... IN OUT
peer.py decrypt --key SPEC [-c K=V]... IN OUT

SPEC is aes:NAMESPACE/NAME@FILE, FILE holding 16, 24 or 32 raw bytes, or
rsa:NAMESPACE/NAME@FILE.pem[?pad=PADDING] with a public or private key and pkcs1, oaep-sha1,
oaep-sha256 (the default), oaep-sha384 or oaep-sha512. On decrypt every -c must be in the message.
"""
import argparse
import logging
import pathlib
import sys

import aws_encryption_sdk
from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders
from aws_cryptographic_material_providers.mpl import models
from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
from aws_encryption_sdk import CommitmentPolicy
from aws_encryption_sdk.identifiers import AlgorithmSuite
from cryptography.hazmat.primitives import serialization

PADDINGS = {"pkcs1": "PKCS1", "oaep-sha1": "OAEP_SHA1_MGF1", "oaep-sha256": "OAEP_SHA256_MGF1",
            "oaep-sha384": "OAEP_SHA384_MGF1", "oaep-sha512": "OAEP_SHA512_MGF1"}
COMMITTING = (0x0478, 0x0578)


def keyring(spec):
    mpl = AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())
    kind, _, rest = spec.partition(":")
    who, _, where = rest.partition("@")
    namespace, _, name = who.partition("/")
    where, _, option = where.partition("?")
    if kind not in ("aes", "rsa") or not (namespace and name and where) or (option and kind == "aes"):
        raise ValueError(f"bad key specification {spec!r}")
    key = pathlib.Path(where).read_bytes()
    if kind == "aes":
        return mpl.create_raw_aes_keyring(input=models.CreateRawAesKeyringInput(
            key_namespace=namespace, key_name=name, wrapping_key=key,
            wrapping_alg=f"ALG_AES{8 * len(key)}_GCM_IV12_TAG16"))

    field, _, padding = (option or "pad=oaep-sha256").partition("=")
    if field != "pad" or padding not in PADDINGS:
        raise ValueError(f"bad key specification {spec!r}")
    parts = {}
    if b"PRIVATE KEY" in key:
        # The MPL wants PKCS #8, and the public half apart from the private one.
        private = serialization.load_pem_private_key(key, password=None)
        parts["private_key"] = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        public = private.public_key()
    else:
        public = serialization.load_pem_public_key(key)
    parts["public_key"] = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return mpl.create_raw_rsa_keyring(input=models.CreateRawRsaKeyringInput(
        key_namespace=namespace, key_name=name, padding_scheme=PADDINGS[padding], **parts))


def pair(text):
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not K=V")
    return key, value


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["encrypt", "decrypt"])
    parser.add_argument("--key", required=True, metavar="SPEC")
    parser.add_argument("--suite", default=0x0578, type=lambda s: int(s, 16), metavar="HEX")
    parser.add_argument("-c", dest="context", action="append", default=[], type=pair, metavar="K=V")
    parser.add_argument("source", metavar="IN", type=pathlib.Path)
    parser.add_argument("target", metavar="OUT", type=pathlib.Path)
    a = parser.parse_intermixed_args()
    context = dict(a.context)
    if len(context) != len(a.context):
        parser.error("a context key is given twice")

    if a.command == "encrypt":
        suite = next((s for s in AlgorithmSuite if s.algorithm_id == a.suite), None)
        if suite is None:
            parser.error(f"no suite {a.suite:04x}")
        client = aws_encryption_sdk.EncryptionSDKClient(commitment_policy=(
            CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT if a.suite in COMMITTING
            else CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT))
        out, _ = client.encrypt(source=a.source.read_bytes(), keyring=keyring(a.key), algorithm=suite,
                                encryption_context=context)
    else:
        client = aws_encryption_sdk.EncryptionSDKClient(
            commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT)
        out, header = client.decrypt(source=a.source.read_bytes(), keyring=keyring(a.key))
        # The SDK takes a pair that the message lacks for one that was required but not stored.
        if not context.items() <= header.encryption_context.items():
            raise ValueError("the message has another encryption context")
    a.target.write_bytes(out)


if __name__ == "__main__":
    # The SDK logs a failure with its traceback; one line is enough.
    logging.disable(logging.CRITICAL)
    try:
        main()
    except Exception as e:  # whatever fails, the caller needs a status and a line
        sys.exit(f"peer.py: {type(e).__name__}: {e}")
