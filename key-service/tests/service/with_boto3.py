"""Uses the key service as a program with AWS's own SDK would."""

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

kms = boto3.client("kms", config=Config(retries={"max_attempts": 1, "mode": "standard"}))
CONTEXT = {"b": "2", "a": "ä"}


def refused(call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"], type(error).__name__
    raise AssertionError(f"{call.__name__} was not refused")


aliases = [alias["AliasName"] for page in kms.get_paginator("list_aliases").paginate() for alias in page["Aliases"]]
assert aliases == ["alias/workshop", "alias/other"], aliases
keys = [key["KeyId"] for page in kms.get_paginator("list_keys").paginate(Limit=1) for key in page["Keys"]]
assert len(keys) == 2, keys

sealed = kms.encrypt(KeyId="alias/workshop", Plaintext=b"text", EncryptionContext=CONTEXT)
opened = kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext=CONTEXT)
assert opened["Plaintext"] == b"text" and opened["KeyId"] == sealed["KeyId"], opened

for wanted, length in [({"KeySpec": "AES_256"}, 32), ({"KeySpec": "AES_128"}, 16), ({"NumberOfBytes": 7}, 7)]:
    made = kms.generate_data_key(KeyId=keys[0], **wanted)
    assert len(made["Plaintext"]) == length
    assert kms.decrypt(CiphertextBlob=made["CiphertextBlob"])["Plaintext"] == made["Plaintext"]

metadata = kms.describe_key(KeyId="alias/workshop")["KeyMetadata"]
assert metadata["KeyState"] == "Enabled" and metadata["CreationDate"].year >= 2025, metadata

blob = sealed["CiphertextBlob"]
for call, arguments, wanted in [
    (kms.decrypt, {"CiphertextBlob": blob}, "InvalidCiphertextException"),
    (kms.decrypt, {"CiphertextBlob": b"x"}, "InvalidCiphertextException"),
    (kms.encrypt, {"KeyId": "alias/no", "Plaintext": b"x"}, "NotFoundException"),
    (kms.create_key, {}, "UnknownOperationException"),
]:
    found = refused(call, **arguments)
    assert found[0] == wanted, (found, wanted)
# boto3 has classes for the errors that KMS's model has.
assert isinstance(kms.exceptions.NotFoundException, type)

kms.disable_key(KeyId=metadata["KeyId"])
found = refused(kms.decrypt, CiphertextBlob=blob, EncryptionContext=CONTEXT)
assert found == ("DisabledException", "DisabledException"), found
kms.enable_key(KeyId=metadata["KeyId"])
assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=CONTEXT)["Plaintext"] == b"text"

for secret, key_id, wanted in [
    ("another", "workshop", "InvalidSignatureException"),
    ("not-a-secret", "another", "UnrecognizedClientException"),
]:
    stranger = boto3.client("kms", aws_access_key_id=key_id, aws_secret_access_key=secret)
    found = refused(stranger.list_keys)
    assert found[0] == wanted, (found, wanted)
print("done")
