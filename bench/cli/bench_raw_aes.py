"""Raw AES-256 for aws-encryption-cli: --wrapping-keys provider=bench-raw-aes key=NAME file=FILE."""
import pathlib

from aws_encryption_sdk.identifiers import EncryptionKeyType, WrappingAlgorithm
from aws_encryption_sdk.internal.crypto.wrapping_keys import WrappingKey
from aws_encryption_sdk.key_providers.raw import RawMasterKeyProvider


class Provider(RawMasterKeyProvider):
    provider_id = "bench"

    def __new__(cls, **_):
        # The base class would make a configuration of its own from the parameters.
        return super().__new__(cls)

    def __init__(self, file, **_):
        self._key = pathlib.Path(file[0] if isinstance(file, list) else file).read_bytes()

    def _get_raw_key(self, key_id):
        return WrappingKey(
            wrapping_algorithm=WrappingAlgorithm.AES_256_GCM_IV12_TAG16_NO_PADDING,
            wrapping_key=self._key, wrapping_key_type=EncryptionKeyType.SYMMETRIC)
