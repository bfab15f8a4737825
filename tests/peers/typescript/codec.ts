// Two payload codecs in the format of Temporal's encryption samples: one encrypts, one asks a codec server to.

import { webcrypto } from 'node:crypto';
import type { Payload, PayloadCodec } from '@temporalio/common';
import { temporal } from '@temporalio/proto';

const proto = temporal.api.common.v1;

// As the Rust worker takes it: an id and a key in base64. By default, the public test key of Temporal's samples.
const KEYS = process.env.CODEC_KEYS ?? 'test-key-id=dGVzdC1rZXktdGVzdC1rZXktdGVzdC1rZXktdGVzdCE=';
const KEY_ID = KEYS.slice(0, KEYS.indexOf('='));

const ENCRYPTED = 'binary/encrypted';
const NONCE = 12; // bytes

const text = (bytes?: Uint8Array | null) => Buffer.from(bytes ?? []).toString();

/** AES-256-GCM over the serialized payload: nonce, ciphertext, tag. */
export class Encrypting implements PayloadCodec {
  private constructor(private readonly key: webcrypto.CryptoKey) {}

  static async create(): Promise<Encrypting> {
    const key = Buffer.from(KEYS.slice(KEY_ID.length + 1), 'base64');
    return new Encrypting(await webcrypto.subtle.importKey('raw', key, 'AES-GCM', false, ['encrypt', 'decrypt']));
  }

  encode(payloads: Payload[]): Promise<Payload[]> {
    return Promise.all(payloads.map((payload) => this.encrypt(payload)));
  }

  decode(payloads: Payload[]): Promise<Payload[]> {
    return Promise.all(payloads.map((payload) => this.decrypt(payload)));
  }

  private async encrypt(payload: Payload): Promise<Payload> {
    const iv = webcrypto.getRandomValues(new Uint8Array(NONCE));
    const plain = proto.Payload.encode(payload).finish();
    const data = await webcrypto.subtle.encrypt({ name: 'AES-GCM', iv }, this.key, plain);
    return {
      metadata: { encoding: Buffer.from(ENCRYPTED), 'encryption-key-id': Buffer.from(KEY_ID) },
      data: Buffer.concat([iv, new Uint8Array(data)]),
    };
  }

  private async decrypt(payload: Payload): Promise<Payload> {
    if (text(payload.metadata?.encoding) !== ENCRYPTED) return payload;
    const id = text(payload.metadata?.['encryption-key-id']);
    if (id !== KEY_ID) throw new Error(`the payload is encrypted with key id "${id}", not "${KEY_ID}"`);
    const data = payload.data ?? new Uint8Array();
    const iv = data.subarray(0, NONCE);
    const plain = await webcrypto.subtle.decrypt({ name: 'AES-GCM', iv }, this.key, data.subarray(NONCE));
    return proto.Payload.decode(new Uint8Array(plain));
  }
}

/** Holds no key: a codec server encrypts and decrypts. */
export class Remote implements PayloadCodec {
  constructor(private readonly url: string) {}

  encode(payloads: Payload[]): Promise<Payload[]> {
    return this.post('/encode', payloads);
  }

  decode(payloads: Payload[]): Promise<Payload[]> {
    return this.post('/decode', payloads);
  }

  private async post(path: string, payloads: Payload[]): Promise<Payload[]> {
    // With `bytes: String`, bytes are base64, as in proto3's JSON.
    const body = proto.Payloads.toObject(proto.Payloads.create({ payloads }), { bytes: String });
    const response = await fetch(this.url + path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(30_000),
    });
    if (!response.ok) throw new Error(`${path}: ${response.status}`);
    const answer = proto.Payloads.fromObject((await response.json()) as object).payloads;
    if (answer.length !== payloads.length) {
      throw new Error(`${payloads.length} payloads went to ${path}, ${answer.length} came back`);
    }
    return answer;
  }
}
