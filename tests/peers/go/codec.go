package main

import (
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"

	commonpb "go.temporal.io/api/common/v1"
)

const (
	// The public test key of Temporal's samples.
	testKey = "test-key-id=dGVzdC1rZXktdGVzdC1rZXktdGVzdC1rZXktdGVzdCE="

	encrypted = "binary/encrypted"
)

// codec encrypts in the format of Temporal's encryption samples: AES-256-GCM over the serialized payload, with the
// nonce before the ciphertext.
type codec struct {
	keyID string
	aead  func() (cipher.AEAD, error)
}

// newCodec takes the key from CODEC_KEYS, as the Rust worker does: an id and a key in base64.
func newCodec() (codec, error) {
	keyID, text, _ := strings.Cut(cmp.Or(os.Getenv("CODEC_KEYS"), testKey), "=")
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return codec{}, err
	}
	// As in Temporal's sample: a cipher for each payload.
	aead := func() (cipher.AEAD, error) {
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		return cipher.NewGCM(block)
	}
	return codec{keyID, aead}, nil
}

// withOneCipher makes the cipher now, for all payloads.
func (c codec) withOneCipher() (codec, error) {
	aead, err := c.aead()
	return codec{c.keyID, func() (cipher.AEAD, error) { return aead, nil }}, err
}

func (c codec) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	return each(payloads, c.encrypt)
}

func (c codec) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	return each(payloads, c.decrypt)
}

func (c codec) encrypt(payload *commonpb.Payload) (*commonpb.Payload, error) {
	plain, err := payload.Marshal()
	if err != nil {
		return nil, err
	}
	aead, err := c.aead()
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return &commonpb.Payload{
		Metadata: map[string][]byte{"encoding": []byte(encrypted), "encryption-key-id": []byte(c.keyID)},
		Data:     aead.Seal(nonce, nonce, plain, nil),
	}, nil
}

func (c codec) decrypt(payload *commonpb.Payload) (*commonpb.Payload, error) {
	if string(payload.Metadata["encoding"]) != encrypted {
		return payload, nil
	}
	if id := string(payload.Metadata["encryption-key-id"]); id != c.keyID {
		return nil, fmt.Errorf("the payload is encrypted with key id %q, not %q", id, c.keyID)
	}
	aead, err := c.aead()
	if err != nil {
		return nil, err
	}
	size := aead.NonceSize()
	if len(payload.Data) < size {
		return nil, errors.New("the payload is too short to hold a nonce")
	}
	plain, err := aead.Open(nil, payload.Data[:size], payload.Data[size:], nil)
	if err != nil {
		return nil, err
	}
	opened := &commonpb.Payload{}
	return opened, opened.Unmarshal(plain)
}

func each(
	payloads []*commonpb.Payload, one func(*commonpb.Payload) (*commonpb.Payload, error),
) (done []*commonpb.Payload, err error) {
	done = make([]*commonpb.Payload, len(payloads))
	for i, payload := range payloads {
		if done[i], err = one(payload); err != nil {
			return nil, err
		}
	}
	return done, nil
}
