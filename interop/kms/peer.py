"""Encrypts and decrypts with the AWS KMS keyrings of the official Python SDK, and manages its key stores.

peer.py keys FOLDER                             makes the KMS keys: prints names and ARNs, writes NAME.pem
peer.py encrypt --key KEY [--suite HEX] [-c K=V]... IN OUT
peer.py decrypt --key KEY [-c K=V]... IN OUT
peer.py store create|key TABLE KMS-ARN          makes the table; makes a branch key and prints its id
peer.py store version|active TABLE KMS-ARN ID   makes a new version; prints the id of the newest

KEY is written as for cmd/esdk: arn:…, kms-discovery:PARTITION/ACCOUNT[@REGION], kms-rsa:ARN[@PUBLIC-FILE],
kms-ecdh:ARN[@PEER-FILE] or branch:TABLE/ID?kms=ARN. The endpoints are those of the environment.
"""
import argparse
import logging
import pathlib
import sys

import aws_encryption_sdk
import boto3
from aws_cryptographic_material_providers.keystore import models as stores
from aws_cryptographic_material_providers.keystore.client import KeyStore
from aws_cryptographic_material_providers.keystore.config import KeyStoreConfig
from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders, models
from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
from aws_encryption_sdk import CommitmentPolicy
from aws_encryption_sdk.identifiers import AlgorithmSuite
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key, load_pem_public_key

HOME, REPLICA = "us-west-2", "eu-west-1"
CURVE = "ECC_NIST_P384"


def kms(arn):
    return boto3.client("kms", region_name=arn.split(":")[3])


def make_keys(folder):
    client = boto3.client("kms", region_name=HOME)
    wanted = {"one": {}, "multi": {"MultiRegion": True},
              "rsa": {"KeySpec": "RSA_2048", "KeyUsage": "ENCRYPT_DECRYPT"},
              "alice": {"KeySpec": CURVE, "KeyUsage": "KEY_AGREEMENT"},
              "bob": {"KeySpec": CURVE, "KeyUsage": "KEY_AGREEMENT"}}
    for name, options in wanted.items():
        arn = client.create_key(**options)["KeyMetadata"]["Arn"]
        print(name, arn)
        if "KeySpec" in options:
            public = load_der_public_key(client.get_public_key(KeyId=arn)["PublicKey"])
            pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            (folder / f"{name}.pem").write_bytes(pem)
        if name == "multi":
            print("replica", client.replicate_key(KeyId=arn, ReplicaRegion=REPLICA)["ReplicaKeyMetadata"]["Arn"])


def key_store(table, arn):
    return KeyStore(config=KeyStoreConfig(
        ddb_table_name=table, logical_key_store_name=table,
        kms_configuration=stores.KMSConfigurationKmsKeyArn(arn),
        kms_client=kms(arn), ddb_client=boto3.client("dynamodb", region_name=HOME)))


def keyring(key):
    mpl = AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())
    if key.startswith("arn:"):
        if ":key/mrk-" in key:
            return mpl.create_aws_kms_mrk_keyring(input=models.CreateAwsKmsMrkKeyringInput(
                kms_key_id=key, kms_client=kms(key)))
        return mpl.create_aws_kms_keyring(input=models.CreateAwsKmsKeyringInput(kms_key_id=key, kms_client=kms(key)))

    kind, _, rest = key.partition(":")
    if kind == "branch":
        name, _, arn = rest.partition("?kms=")
        table, _, branch_key = name.partition("/")
        return mpl.create_aws_kms_hierarchical_keyring(input=models.CreateAwsKmsHierarchicalKeyringInput(
            key_store=key_store(table, arn), branch_key_id=branch_key, ttl_seconds=600))

    what, _, where = rest.partition("@")
    if kind == "kms-discovery":
        partition, _, account = what.partition("/")
        only = models.DiscoveryFilter(partition=partition, account_ids=[account])
        if where:
            return mpl.create_aws_kms_mrk_discovery_keyring(input=models.CreateAwsKmsMrkDiscoveryKeyringInput(
                kms_client=boto3.client("kms", region_name=where), region=where, discovery_filter=only))
        return mpl.create_aws_kms_discovery_keyring(input=models.CreateAwsKmsDiscoveryKeyringInput(
            kms_client=boto3.client("kms", region_name=HOME), discovery_filter=only))

    public = pathlib.Path(where).read_bytes() if where else None
    if kind == "kms-rsa":
        return mpl.create_aws_kms_rsa_keyring(input=models.CreateAwsKmsRsaKeyringInput(
            kms_key_id=what, kms_client=kms(what), encryption_algorithm="RSAES_OAEP_SHA_256", public_key=public))
    if kind == "kms-ecdh":
        if public:
            der = load_pem_public_key(public).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            scheme = models.KmsEcdhStaticConfigurationsKmsPrivateKeyToStaticPublicKey(
                models.KmsPrivateKeyToStaticPublicKeyInput(sender_kms_identifier=what, recipient_public_key=der))
        else:
            scheme = models.KmsEcdhStaticConfigurationsKmsPublicKeyDiscovery(
                models.KmsPublicKeyDiscoveryInput(recipient_kms_identifier=what))
        return mpl.create_aws_kms_ecdh_keyring(input=models.CreateAwsKmsEcdhKeyringInput(
            kms_client=kms(what), curve_spec=CURVE, key_agreement_scheme=scheme))
    raise ValueError(f"bad key {key!r}")


def encrypt(a):
    suite = next(s for s in AlgorithmSuite if s.algorithm_id == a.suite)
    client = aws_encryption_sdk.EncryptionSDKClient(commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT)
    out, _ = client.encrypt(source=a.source.read_bytes(), keyring=keyring(a.key), algorithm=suite,
                            encryption_context=dict(a.context))
    a.target.write_bytes(out)


def decrypt(a):
    client = aws_encryption_sdk.EncryptionSDKClient(commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT)
    out, header = client.decrypt(source=a.source.read_bytes(), keyring=keyring(a.key))
    if not dict(a.context).items() <= header.encryption_context.items():
        raise ValueError("the message has another encryption context")
    a.target.write_bytes(out)


def store(a):
    s = key_store(a.table, a.arn)
    if a.action == "create":
        s.create_key_store(input=stores.CreateKeyStoreInput())
    elif a.action == "key":
        print(s.create_key(input=stores.CreateKeyInput()).branch_key_identifier)
    elif a.action == "version":
        s.version_key(input=stores.VersionKeyInput(branch_key_identifier=a.id))
    else:
        # Its beacon key is read as well, which no message needs.
        s.get_beacon_key(input=stores.GetBeaconKeyInput(branch_key_identifier=a.id))
        got = s.get_active_branch_key(input=stores.GetActiveBranchKeyInput(branch_key_identifier=a.id))
        print(got.branch_key_materials.branch_key_version)


def pair(text):
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not K=V")
    return key, value


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    p = commands.add_parser("keys")
    p.add_argument("folder", type=pathlib.Path)
    p.set_defaults(run=lambda a: make_keys(a.folder))
    for run in (encrypt, decrypt):
        p = commands.add_parser(run.__name__)
        p.add_argument("--key", required=True)
        p.add_argument("--suite", default=0x0578, type=lambda s: int(s, 16))
        p.add_argument("-c", dest="context", action="append", default=[], type=pair)
        p.add_argument("source", type=pathlib.Path)
        p.add_argument("target", type=pathlib.Path)
        p.set_defaults(run=run)
    p = commands.add_parser("store")
    p.add_argument("action", choices=["create", "key", "version", "active"])
    p.add_argument("table")
    p.add_argument("arn")
    p.add_argument("id", nargs="?")
    p.set_defaults(run=store)
    a = parser.parse_args()
    a.run(a)


if __name__ == "__main__":
    # The SDK logs a failure with its traceback; one line is enough.
    logging.disable(logging.CRITICAL)
    try:
        main()
    except Exception as e:  # whatever fails, the caller needs a status and a line
        sys.exit(f"peer.py: {type(e).__name__}: {e}".replace("\n", " "))
