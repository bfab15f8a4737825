"""Two payload codecs in the format of Temporal's encryption samples: one encrypts, one asks a codec server to."""

import base64
import os

import httpx
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.json_format import MessageToDict, ParseDict
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.converter import PayloadCodec

# As the Rust worker takes it: an id and a key in base64. By default, the public test key of Temporal's samples.
KEY_ID, _, KEY = os.environ.get(
    "CODEC_KEYS", "test-key-id=dGVzdC1rZXktdGVzdC1rZXktdGVzdC1rZXktdGVzdCE="
).partition("=")

ENCRYPTED = b"binary/encrypted"
NONCE = 12  # bytes


class Encrypting(PayloadCodec):
    """AES-256-GCM over the serialized payload: nonce, ciphertext, tag."""

    def __init__(self) -> None:
        self.cipher = AESGCM(base64.b64decode(KEY))

    async def encode(self, payloads):
        return [self.encrypt(payload) for payload in payloads]

    async def decode(self, payloads):
        return [self.decrypt(payload) for payload in payloads]

    def encrypt(self, payload: Payload) -> Payload:
        nonce = os.urandom(NONCE)
        data = nonce + self.cipher.encrypt(nonce, payload.SerializeToString(), None)
        return Payload(metadata={"encoding": ENCRYPTED, "encryption-key-id": KEY_ID.encode()}, data=data)

    def decrypt(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCRYPTED:
            return payload
        key_id = payload.metadata.get("encryption-key-id", b"").decode()
        if key_id != KEY_ID:
            raise ValueError(f"the payload is encrypted with key id {key_id!r}, not {KEY_ID!r}")
        plain = self.cipher.decrypt(payload.data[:NONCE], payload.data[NONCE:], None)
        return Payload.FromString(plain)


class Remote(PayloadCodec):
    """Holds no key: a codec server encrypts and decrypts."""

    def __init__(self, url: str) -> None:
        self.client = httpx.AsyncClient(base_url=url, timeout=30)  # seconds

    async def encode(self, payloads):
        return await self.post("/encode", payloads)

    async def decode(self, payloads):
        return await self.post("/decode", payloads)

    async def post(self, path: str, payloads) -> list[Payload]:
        response = await self.client.post(path, json=MessageToDict(Payloads(payloads=payloads)))
        answer = ParseDict(response.raise_for_status().json(), Payloads())
        if len(answer.payloads) != len(payloads):
            raise ValueError(f"{len(payloads)} payloads went to {path}, {len(answer.payloads)} came back")
        return list(answer.payloads)
