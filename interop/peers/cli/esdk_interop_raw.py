"""Raw keys for aws-encryption-cli: --wrapping-keys provider=esdk-interop-raw key=NAME description=FILE."""
import base64
import json
import pathlib

from aws_encryption_sdk.identifiers import EncryptionKeyType, WrappingAlgorithm
from aws_encryption_sdk.internal.crypto.wrapping_keys import WrappingKey
from aws_encryption_sdk.key_providers.raw import RawMasterKeyProvider


class Provider(RawMasterKeyProvider):
    provider_id = None  # of each its own

    def __new__(cls, **_):
        # The base class would make a configuration of its own from the parameters.
        return super().__new__(cls)

    def __init__(self, description, **_):
        self._key = json.loads(pathlib.Path(description[0]).read_text(encoding="utf-8"))
        self.provider_id = self._key["provider-id"]

    def _get_raw_key(self, key_id):
        if self._key["algorithm"] == "aes":
            material, kind = base64.b64decode(self._key["material"]), EncryptionKeyType.SYMMETRIC
            algorithm = f"AES_{8 * len(material)}_GCM_IV12_TAG16_NO_PADDING"
        else:
            material, kind = self._key["material"].encode("ascii"), EncryptionKeyType[self._key["type"].upper()]
            algorithm = self._key["algorithm"]
        return WrappingKey(wrapping_algorithm=WrappingAlgorithm[algorithm], wrapping_key=material,
                           wrapping_key_type=kind)
