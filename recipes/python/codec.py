"""A payload codec that asks for its key in every call, in the format of Temporal's encryption samples."""

import os

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

NONCE = 12
ENCRYPTED = {"encoding": b"binary/encrypted", "encryption-key-id": b"test-key-id"}


class Codec(PayloadCodec):
    """Waits for its key wherever `keys` waits."""

    def __init__(self, keys) -> None:
        self.keys = keys

    async def encode(self, payloads):
        cipher = AESGCM(await self.keys.key())
        return [encrypt(cipher, payload) for payload in payloads]

    async def decode(self, payloads):
        cipher = AESGCM(await self.keys.key())
        return [decrypt(cipher, payload) for payload in payloads]


def encrypt(cipher: AESGCM, payload: Payload) -> Payload:
    nonce = os.urandom(NONCE)
    data = nonce + cipher.encrypt(nonce, payload.SerializeToString(), None)
    return Payload(metadata=ENCRYPTED, data=data)


def decrypt(cipher: AESGCM, payload: Payload) -> Payload:
    if payload.metadata.get("encoding") != ENCRYPTED["encoding"]:
        return payload
    plain = cipher.decrypt(payload.data[:NONCE], payload.data[NONCE:], None)
    return Payload.FromString(plain)
