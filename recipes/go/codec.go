package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"io"
	"net/http"

	commonpb "go.temporal.io/api/common/v1"
)

// codec asks the key service for its key in each call, and encrypts in the format of Temporal's samples.
type codec struct {
	keys string // the key service's address
}

const (
	encoding = "binary/encrypted"
	keyID    = "test-key-id"
)

// cipher waits for the key, on the goroutine that calls it.
func (c codec) cipher() (cipher.AEAD, error) {
	response, err := http.Get(c.keys)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	key, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func (c codec) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	aead, err := c.cipher()
	if err != nil {
		return nil, err
	}
	sealed := make([]*commonpb.Payload, len(payloads))
	for i, payload := range payloads {
		plain, err := payload.Marshal()
		if err != nil {
			return nil, err
		}
		nonce := make([]byte, aead.NonceSize())
		if _, err := rand.Read(nonce); err != nil {
			return nil, err
		}
		sealed[i] = &commonpb.Payload{
			Metadata: map[string][]byte{"encoding": []byte(encoding), "encryption-key-id": []byte(keyID)},
			Data:     aead.Seal(nonce, nonce, plain, nil),
		}
	}
	return sealed, nil
}

func (c codec) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	aead, err := c.cipher()
	if err != nil {
		return nil, err
	}
	opened := make([]*commonpb.Payload, len(payloads))
	for i, payload := range payloads {
		if string(payload.Metadata["encoding"]) != encoding {
			opened[i] = payload
			continue
		}
		if len(payload.Data) < aead.NonceSize() {
			return nil, errors.New("the payload is too short to hold a nonce")
		}
		nonce, sealed := payload.Data[:aead.NonceSize()], payload.Data[aead.NonceSize():]
		plain, err := aead.Open(nil, nonce, sealed, nil)
		if err != nil {
			return nil, err
		}
		opened[i] = &commonpb.Payload{}
		if err := opened[i].Unmarshal(plain); err != nil {
			return nil, err
		}
	}
	return opened, nil
}
