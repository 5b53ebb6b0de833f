"""The official Python SDK behind the protocol of ../../README.md."""
import base64
import json
import logging
import os
import pathlib
import platform
import sys
from importlib import metadata

import aws_encryption_sdk
import boto3
from aws_cryptographic_material_providers.keystore import models as stores
from aws_cryptographic_material_providers.keystore.client import KeyStore
from aws_cryptographic_material_providers.keystore.config import KeyStoreConfig
from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders, models
from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
from aws_encryption_sdk import CommitmentPolicy
from aws_encryption_sdk.identifiers import AlgorithmSuite, EncryptionKeyType, WrappingAlgorithm
from aws_encryption_sdk.internal.crypto.wrapping_keys import WrappingKey
from aws_encryption_sdk.key_providers import kms as providers
from aws_encryption_sdk.key_providers.raw import RawMasterKeyProvider

MPL = AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())
SUITES = {"%04x" % suite.algorithm_id: suite for suite in AlgorithmSuite}
COMMITTING = ("0478", "0578")
CHUNK = 1 << 16


class Unsupported(Exception):
    pass


def client(service, region=None):
    # This AWS SDK alone does not read AWS_REGION.
    return boto3.client(service, region_name=region or os.environ["AWS_REGION"])


def kms(arn):
    return client("kms", arn.split(":")[3])


def key_store(table, arn):
    discovers = arn == "discovery"
    return KeyStore(config=KeyStoreConfig(
        ddb_table_name=table, logical_key_store_name=table, ddb_client=client("dynamodb"),
        kms_client=client("kms") if discovers else kms(arn),
        kms_configuration=stores.KMSConfigurationDiscovery(stores.Discovery()) if discovers else stores.KMSConfigurationKmsKeyArn(arn)))


class Keyrings:
    """Makes keyrings of descriptions."""

    def __init__(self, keys):
        self.keys = keys

    def make(self, d):
        return getattr(self, d["type"].replace("-", "_"))(d)

    def id(self, d):
        return self.keys[d["key"]]["key-id"]

    def raw(self, d):
        entry = self.keys[d["key"]]
        names = {"key_namespace": d["provider-id"], "key_name": entry["key-id"]}
        if d["encryption-algorithm"] == "aes":
            key = base64.b64decode(entry["material"])
            return MPL.create_raw_aes_keyring(input=models.CreateRawAesKeyringInput(
                wrapping_key=key, wrapping_alg=f"ALG_AES{8 * len(key)}_GCM_IV12_TAG16", **names))
        padding = "PKCS1" if d["padding-algorithm"] == "pkcs1" else f"OAEP_{d['padding-hash'].upper()}_MGF1"
        part = {entry["type"] + "_key": pem(entry["material"])}
        return MPL.create_raw_rsa_keyring(input=models.CreateRawRsaKeyringInput(padding_scheme=padding, **part, **names))

    def raw_ecdh(self, d):
        entry = self.keys[d["recipient"]]
        recipient = base64.b64decode(entry["recipient-material-public-key"])
        if d["schema"] == "static":
            scheme = models.RawEcdhStaticConfigurationsRawPrivateKeyToStaticPublicKey(
                models.RawPrivateKeyToStaticPublicKeyInput(
                    sender_static_private_key=pem(self.keys[d["sender"]]["sender-material"]),
                    recipient_public_key=recipient))
        elif d["schema"] == "ephemeral":
            scheme = models.RawEcdhStaticConfigurationsEphemeralPrivateKeyToStaticPublicKey(
                models.EphemeralPrivateKeyToStaticPublicKeyInput(recipient_public_key=recipient))
        else:
            scheme = models.RawEcdhStaticConfigurationsPublicKeyDiscovery(
                models.PublicKeyDiscoveryInput(recipient_static_private_key=pem(entry["recipient-material"])))
        return MPL.create_raw_ecdh_keyring(input=models.CreateRawEcdhKeyringInput(
            curve_spec="ECC_NIST_P" + d["ecc-curve"][4:], key_agreement_scheme=scheme))

    def multi_keyring(self, d):
        generator = {"generator": self.make(d["generator"])} if d.get("generator") else {}
        return MPL.create_multi_keyring(input=models.CreateMultiKeyringInput(
            child_keyrings=[self.make(child) for child in d["childKeyrings"]], **generator))

    def aws_kms(self, d):
        arn = self.id(d)
        return MPL.create_aws_kms_keyring(input=models.CreateAwsKmsKeyringInput(kms_key_id=arn, kms_client=kms(arn)))

    def aws_kms_mrk_aware(self, d):
        arn = self.id(d)
        return MPL.create_aws_kms_mrk_keyring(input=models.CreateAwsKmsMrkKeyringInput(
            kms_key_id=arn, kms_client=kms(arn)))

    def aws_kms_discovery(self, d):
        return MPL.create_aws_kms_discovery_keyring(input=models.CreateAwsKmsDiscoveryKeyringInput(
            kms_client=client("kms", d["region"]), discovery_filter=discovery_filter(d, models.DiscoveryFilter)))

    def aws_kms_mrk_aware_discovery(self, d):
        region = d["default-mrk-region"]
        return MPL.create_aws_kms_mrk_discovery_keyring(input=models.CreateAwsKmsMrkDiscoveryKeyringInput(
            kms_client=client("kms", region), region=region,
            discovery_filter=discovery_filter(d, models.DiscoveryFilter)))

    def aws_kms_rsa(self, d):
        entry = self.keys[d["key"]]
        return MPL.create_aws_kms_rsa_keyring(input=models.CreateAwsKmsRsaKeyringInput(
            kms_key_id=entry["key-id"], kms_client=kms(entry["key-id"]), public_key=pem(entry["material"]),
            encryption_algorithm=d["encryption-algorithm"]))

    def aws_kms_ecdh(self, d):
        entry = self.keys[d["recipient"]]
        if d["schema"] == "static":
            arn = self.keys[d["sender"]]["sender-material"]
            scheme = models.KmsEcdhStaticConfigurationsKmsPrivateKeyToStaticPublicKey(
                models.KmsPrivateKeyToStaticPublicKeyInput(
                    sender_kms_identifier=arn,
                    recipient_public_key=base64.b64decode(entry["recipient-material-public-key"])))
        else:
            arn = entry["recipient-material"]
            scheme = models.KmsEcdhStaticConfigurationsKmsPublicKeyDiscovery(
                models.KmsPublicKeyDiscoveryInput(recipient_kms_identifier=arn))
        return MPL.create_aws_kms_ecdh_keyring(input=models.CreateAwsKmsEcdhKeyringInput(
            kms_client=kms(arn), curve_spec="ECC_NIST_P" + d["ecc-curve"][4:], key_agreement_scheme=scheme))

    def branch_key(self, d):
        return MPL.create_aws_kms_hierarchical_keyring(input=models.CreateAwsKmsHierarchicalKeyringInput(
            key_store=key_store(d["table"], d["kms"]), branch_key_id=d["id"], ttl_seconds=600))


class RawKey(RawMasterKeyProvider):
    """A provider of one raw key."""
    provider_id = None  # of each its own

    def __new__(cls, *_):
        # The base class would make a configuration of its own from the parameters.
        return super().__new__(cls)

    def __init__(self, provider_id, key):
        self.provider_id, self._key = provider_id, key

    def _get_raw_key(self, key_id):
        return self._key


class MasterKeys:
    """Makes master keys, or providers of them, of descriptions."""

    def __init__(self, keys):
        self.keys = keys

    def make(self, d):
        method = getattr(self, d["type"].replace("-", "_"), None)
        if method is None:
            raise Unsupported(f"no master key provider for {d['type']}")
        return method(d)

    def raw(self, d):
        entry = self.keys[d["key"]]
        if d["encryption-algorithm"] == "aes":
            material, kind = base64.b64decode(entry["material"]), EncryptionKeyType.SYMMETRIC
            algorithm = f"AES_{8 * len(material)}_GCM_IV12_TAG16_NO_PADDING"
        else:
            material, kind = pem(entry["material"]), EncryptionKeyType[entry["type"].upper()]
            algorithm = ("RSA_PKCS1" if d["padding-algorithm"] == "pkcs1"
                         else f"RSA_OAEP_{d['padding-hash'].upper()}_MGF1")
        provider = RawKey(d["provider-id"], WrappingKey(
            wrapping_algorithm=WrappingAlgorithm[algorithm], wrapping_key=material, wrapping_key_type=kind))
        provider.add_master_key(entry["key-id"])
        return provider

    def multi_keyring(self, d):
        members = ([d["generator"]] if d.get("generator") else []) + d["childKeyrings"]
        first, *rest = [self.make(member) for member in members]
        for provider in rest:
            first.add_master_key_provider(provider)
        return first

    def aws_kms(self, d):
        return providers.StrictAwsKmsMasterKeyProvider(key_ids=[self.keys[d["key"]]["key-id"]])

    def aws_kms_mrk_aware(self, d):
        return providers.MRKAwareStrictAwsKmsMasterKeyProvider(key_ids=[self.keys[d["key"]]["key-id"]])

    def aws_kms_discovery(self, d):
        return providers.DiscoveryAwsKmsMasterKeyProvider(
            discovery_filter=discovery_filter(d, providers.DiscoveryFilter), region_names=[d["region"]])

    def aws_kms_mrk_aware_discovery(self, d):
        return providers.MRKAwareDiscoveryAwsKmsMasterKeyProvider(
            discovery_filter=discovery_filter(d, providers.DiscoveryFilter), discovery_region=d["default-mrk-region"])


def pem(text):
    return text.strip().encode("ascii") + b"\n"


def discovery_filter(d, kind):
    wanted = d["aws-kms-discovery-filter"]
    return kind(partition=wanted["partition"], account_ids=wanted["account-ids"])


class Peer:
    def __init__(self, keys):
        self.keyrings, self.master_keys = Keyrings(keys), MasterKeys(keys)

    def answer(self, request):
        return getattr(self, request["op"])(request)

    def hello(self, _):
        return {"name": "aws-encryption-sdk-python", "version": metadata.version("aws-encryption-sdk"),
                "with": f"material providers {metadata.version('aws-cryptographic-material-providers')}, "
                        f"Python {platform.python_version()}"}

    def materials(self, request):
        d = request["key"]
        if request.get("api") == "master-key":
            return {"key_provider": self.master_keys.make(d)}
        if d["type"] != "required-encryption-context-cmm":
            return {"keyring": self.keyrings.make(d)}
        default = MPL.create_default_cryptographic_materials_manager(
            input=models.CreateDefaultCryptographicMaterialsManagerInput(keyring=self.keyrings.make(d["underlying"])))
        return {"materials_manager": MPL.create_required_encryption_context_cmm(
            input=models.CreateRequiredEncryptionContextCMMInput(
                underlying_cmm=default, required_encryption_context_keys=d["requiredEncryptionContextKeys"]))}

    def encrypt(self, request):
        if request["frame"] % 128:
            raise Unsupported("encrypts only frame lengths that are multiples of 128")
        policy = (CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT if request["suite"] in COMMITTING
                  else CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT)
        self.run("e", request, policy, algorithm=SUITES[request["suite"]], frame_length=request["frame"],
                 encryption_context=dict(request["context"]))
        return {}

    def decrypt(self, request):
        policy = (CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT if request["suite"] in COMMITTING
                  else CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT)
        reproduced = request.get("reproduced")
        if reproduced and request.get("api") == "master-key":
            raise Unsupported("no reproduced context with master keys")
        header = self.run("d", request, policy, **({"encryption_context": reproduced} if reproduced else {}))
        return {"context": dict(header.encryption_context)}

    def run(self, mode, request, policy, **more):
        """Returns the header of the message; the output file is there only if all went well."""
        sdk = aws_encryption_sdk.EncryptionSDKClient(commitment_policy=policy)
        more.update(self.materials(request))
        out = pathlib.Path(request["out"])
        if not request.get("stream"):
            call = sdk.encrypt if mode == "e" else sdk.decrypt
            result, header = call(source=pathlib.Path(request["in"]).read_bytes(), **more)
            out.write_bytes(result)
            return header
        part = out.with_name(out.name + ".part")
        try:
            with open(request["in"], "rb") as source, open(part, "wb") as target:
                with sdk.stream(mode=mode, source=source, **more) as stream:
                    while chunk := stream.read(CHUNK):
                        target.write(chunk)
                    header = stream.header
            part.rename(out)
        finally:
            part.unlink(missing_ok=True)
        return header

    def store(self, request):
        store = key_store(request["table"], request["kms"])
        action = request["action"]
        if action == "create":
            store.create_key_store(input=stores.CreateKeyStoreInput())
        elif action == "key":
            return {"id": store.create_key(input=stores.CreateKeyInput()).branch_key_identifier}
        elif action == "version":
            store.version_key(input=stores.VersionKeyInput(branch_key_identifier=request["id"]))
        else:
            store.get_beacon_key(input=stores.GetBeaconKeyInput(branch_key_identifier=request["id"]))
            active = store.get_active_branch_key(input=stores.GetActiveBranchKeyInput(branch_key_identifier=request["id"]))
            return {"version": active.branch_key_materials.branch_key_version}
        return {}


def main():
    # The SDK logs every refusal with its traceback.
    logging.disable(logging.CRITICAL)
    peer = Peer(json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))["keys"])
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # what libraries print is no answer
    for line in sys.stdin.buffer:
        try:
            answer = peer.answer(json.loads(line))
        except Unsupported as e:
            answer = {"unsupported": str(e)}
        except Exception as e:  # every SDK error, and every parser's own, is an answer
            answer = {"error": f"{type(e).__name__}: {' '.join(str(e).split())[:500]}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
