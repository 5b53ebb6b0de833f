"""Writes the Python SDK's messages, and reads the published ones of every SDK.

generate.py make WORK    encrypt all of plan/python.json, decrypt each message again
generate.py check WORK   go through the published manifests
"""
import base64
import json
import logging
import pathlib
import sys

import aws_encryption_sdk
from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders
from aws_cryptographic_material_providers.mpl import models
from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
from aws_encryption_sdk import CommitmentPolicy
from aws_encryption_sdk.identifiers import AlgorithmSuite, EncryptionKeyType, WrappingAlgorithm
from aws_encryption_sdk.internal.crypto.wrapping_keys import WrappingKey
from aws_encryption_sdk.key_providers.raw import RawMasterKey

MPL = AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())
SUITES = {"%04x" % suite.algorithm_id: suite for suite in AlgorithmSuite}
COMMITTING = ("0478", "0578")


class Keys:
    def __init__(self, work):
        self.keys = json.loads((work / "keys.json").read_text(encoding="utf-8"))["keys"]

    def raw(self, name):
        return base64.b64decode(self.keys[name]["material"])

    def pem(self, name, field="material"):
        return self.keys[name][field].encode("ascii") + b"\n"

    def der(self, name, field):
        return base64.b64decode(self.keys[name][field])

    def key_id(self, name):
        return self.keys[name]["key-id"]

    def keyring(self, d):
        return {"raw": self.raw_keyring, "raw-ecdh": self.ecdh_keyring,
                "multi-keyring": self.multi_keyring}[d["type"]](d)

    def raw_keyring(self, d):
        names = {"key_namespace": d["provider-id"], "key_name": self.key_id(d["key"])}
        if d["encryption-algorithm"] == "aes":
            key = self.raw(d["key"])
            return MPL.create_raw_aes_keyring(input=models.CreateRawAesKeyringInput(
                wrapping_key=key, wrapping_alg=f"ALG_AES{8 * len(key)}_GCM_IV12_TAG16", **names))
        padding = "PKCS1" if d["padding-algorithm"] == "pkcs1" else f"OAEP_{d['padding-hash'].upper()}_MGF1"
        part = "private_key" if d["key"].endswith("-private") else "public_key"
        return MPL.create_raw_rsa_keyring(input=models.CreateRawRsaKeyringInput(
            padding_scheme=padding, **{part: self.pem(d["key"])}, **names))

    def ecdh_keyring(self, d):
        name = d["recipient"]
        recipient = self.der(name, "recipient-material-public-key")
        if d["schema"] == "static":
            scheme = models.RawEcdhStaticConfigurationsRawPrivateKeyToStaticPublicKey(
                models.RawPrivateKeyToStaticPublicKeyInput(
                    sender_static_private_key=self.pem(name, "sender-material"), recipient_public_key=recipient))
        elif d["schema"] == "ephemeral":
            scheme = models.RawEcdhStaticConfigurationsEphemeralPrivateKeyToStaticPublicKey(
                models.EphemeralPrivateKeyToStaticPublicKeyInput(recipient_public_key=recipient))
        else:
            scheme = models.RawEcdhStaticConfigurationsPublicKeyDiscovery(
                models.PublicKeyDiscoveryInput(recipient_static_private_key=self.pem(name, "recipient-material")))
        return MPL.create_raw_ecdh_keyring(input=models.CreateRawEcdhKeyringInput(
            curve_spec="ECC_NIST_P" + d["ecc-curve"][4:], key_agreement_scheme=scheme))

    def multi_keyring(self, d):
        return MPL.create_multi_keyring(input=models.CreateMultiKeyringInput(
            generator=self.keyring(d["generator"]),
            child_keyrings=[self.keyring(child) for child in d["childKeyrings"]]))

    def master_key(self, d):
        if d["encryption-algorithm"] == "aes":
            material, kind = self.raw(d["key"]), EncryptionKeyType.SYMMETRIC
            algorithm = f"AES_{8 * len(material)}_GCM_IV12_TAG16_NO_PADDING"
        else:
            material = self.pem(d["key"])
            kind = EncryptionKeyType.PRIVATE if d["key"].endswith("-private") else EncryptionKeyType.PUBLIC
            algorithm = ("RSA_PKCS1" if d["padding-algorithm"] == "pkcs1"
                         else f"RSA_OAEP_{d['padding-hash'].upper()}_MGF1")
        return RawMasterKey(
            provider_id=d["provider-id"], key_id=self.key_id(d["key"]),
            wrapping_key=WrappingKey(wrapping_algorithm=WrappingAlgorithm[algorithm], wrapping_key=material,
                                     wrapping_key_type=kind))

    def materials(self, d, api):
        if api == "master-key":
            return {"key_provider": self.master_key(d)}
        if d["type"] != "required-encryption-context-cmm":
            return {"keyring": self.keyring(d)}
        default = MPL.create_default_cryptographic_materials_manager(
            input=models.CreateDefaultCryptographicMaterialsManagerInput(keyring=self.keyring(d["underlying"])))
        return {"materials_manager": MPL.create_required_encryption_context_cmm(
            input=models.CreateRequiredEncryptionContextCMMInput(
                underlying_cmm=default, required_encryption_context_keys=d["requiredEncryptionContextKeys"]))}

    def decrypt(self, message, d, api, suite, reproduced):
        client = aws_encryption_sdk.EncryptionSDKClient(commitment_policy=(
            CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT if suite in COMMITTING
            else CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT))
        more = {"encryption_context": reproduced} if reproduced else {}
        plaintext, header = client.decrypt(source=message, **self.materials(d, api), **more)
        return plaintext, header


def make(work):
    keys, cases = Keys(work), json.loads((work / "plan" / "python.json").read_text(encoding="utf-8"))
    for case in cases:
        plaintext = (work / "plaintexts" / case["plaintext"]).read_bytes()
        client = aws_encryption_sdk.EncryptionSDKClient(commitment_policy=(
            CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT if case["suite"] in COMMITTING
            else CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT))
        message, _ = client.encrypt(
            source=plaintext, algorithm=SUITES[case["suite"]], frame_length=case["frame-size"],
            encryption_context=dict(case["context"]), **keys.materials(case["encrypt"], case["api"]))
        for d in [case["decrypt"]] + [d for _, d in case["also"]]:
            got, _ = keys.decrypt(message, d, case["api"], case["suite"], case["reproduced"])
            if got != plaintext:
                sys.exit(f"{case['id']}: decrypts to something else")
        (work / "ciphertexts" / case["id"]).write_bytes(message)
    print(f"python: {len(cases)} messages written and decrypted")


def check(work):
    # The SDK logs every refusal with its traceback.
    logging.disable(logging.CRITICAL)
    keys = Keys(work)
    for sdk in ("python", "java", "javascript"):
        read = refused = 0
        tests = json.loads((work / f"{sdk}.json").read_text(encoding="utf-8"))["tests"]
        for name, test in tests.items():
            s = test["decryption-scenario"]
            message = (work / s["ciphertext"][len("file://"):]).read_bytes()
            arguments = (message, s["decryptKeyDescription"], "keyring", s["algorithmSuiteId"],
                         s["reproduced-encryption-context"])
            if s["type"] == "negative-esdk":
                try:
                    keys.decrypt(*arguments)
                except Exception:  # every SDK error and every parser's own error is a refusal
                    refused += 1
                else:
                    sys.exit(f"python: {name}: not refused")
                continue
            plaintext, header = keys.decrypt(*arguments)
            if plaintext != (work / s["result"][len("file://"):]).read_bytes():
                sys.exit(f"python: {name}: decrypts to something else")
            stored = {**header.encryption_context, **s["reproduced-encryption-context"]}
            stored.pop("aws-crypto-public-key", None)
            if stored != s["encryptionContext"]:
                sys.exit(f"python: {name}: another encryption context")
            read += 1
        print(f"python: {sdk}.json: {read} read, {refused} refused")


if __name__ == "__main__":
    {"make": make, "check": check}[sys.argv[1]](pathlib.Path(sys.argv[2]))
