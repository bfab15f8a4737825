import com.google.protobuf.ByteString;
import io.temporal.api.common.v1.Payload;
import io.temporal.payload.codec.PayloadCodec;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.security.GeneralSecurityException;
import java.security.SecureRandom;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import javax.crypto.Cipher;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/**
 * Encrypts in the format of Temporal's encryption samples: AES-256-GCM over the serialized payload, with the nonce
 * before the ciphertext. As in the sample for Java, a payload also names the cipher.
 */
final class Encrypting implements PayloadCodec {
  // As the Rust worker takes it: an id and a key in base64. By default, the public test key of Temporal's samples.
  private static final String[] KEYS =
      System.getenv()
          .getOrDefault("CODEC_KEYS", "test-key-id=dGVzdC1rZXktdGVzdC1rZXktdGVzdC1rZXktdGVzdCE=")
          .split("=", 2);
  private static final ByteString KEY_ID = ByteString.copyFromUtf8(KEYS[0]);
  private static final byte[] KEY = Base64.getDecoder().decode(KEYS[1]);

  private static final ByteString ENCRYPTED = ByteString.copyFromUtf8("binary/encrypted");
  private static final String CIPHER = "AES/GCM/NoPadding";
  private static final int NONCE = 12; // bytes
  private static final int TAG = 128; // bits

  @Override
  public List<Payload> encode(List<Payload> payloads) {
    return payloads.stream().map(this::encrypt).toList();
  }

  @Override
  public List<Payload> decode(List<Payload> payloads) {
    return payloads.stream().map(this::decrypt).toList();
  }

  private Payload encrypt(Payload payload) {
    // As in Temporal's sample: a source of random numbers, a cipher and a key for each payload.
    var nonce = new byte[NONCE];
    new SecureRandom().nextBytes(nonce);
    try {
      var sealed = cipher(Cipher.ENCRYPT_MODE, nonce).doFinal(payload.toByteArray());
      var data = ByteBuffer.allocate(NONCE + sealed.length).put(nonce).put(sealed).array();
      return Payload.newBuilder()
          .putMetadata("encoding", ENCRYPTED)
          .putMetadata("encryption-key-id", KEY_ID)
          .putMetadata("encryption-cipher", ByteString.copyFromUtf8(CIPHER))
          .setData(ByteString.copyFrom(data))
          .build();
    } catch (GeneralSecurityException error) {
      throw new IllegalStateException(error);
    }
  }

  private Payload decrypt(Payload payload) {
    if (!ENCRYPTED.equals(payload.getMetadataMap().get("encoding"))) {
      return payload;
    }
    var id = payload.getMetadataMap().get("encryption-key-id");
    if (!KEY_ID.equals(id)) {
      throw new IllegalStateException("the payload is encrypted with another key than " + KEY_ID.toStringUtf8());
    }
    var data = payload.getData().toByteArray();
    try {
      var nonce = Arrays.copyOf(data, NONCE);
      return Payload.parseFrom(cipher(Cipher.DECRYPT_MODE, nonce).doFinal(data, NONCE, data.length - NONCE));
    } catch (GeneralSecurityException | IOException error) {
      throw new IllegalStateException(error);
    }
  }

  private static Cipher cipher(int mode, byte[] nonce) throws GeneralSecurityException {
    var cipher = Cipher.getInstance(CIPHER);
    cipher.init(mode, new SecretKeySpec(KEY, "AES"), new GCMParameterSpec(TAG, nonce));
    return cipher;
  }
}
