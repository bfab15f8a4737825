//! Every operation, and every error that it has.

use key_service::Faults;
use serde_json::json;

use crate::support::{base64, call, refused, server};

#[test]
fn what_is_encrypted_is_decrypted_with_the_same_context() {
    let server = server(Faults::default());
    let context = json!({"b": "2", "a": "1"});
    let sealed = call(
        &server,
        "Encrypt",
        json!({"KeyId": "alias/workshop", "Plaintext": base64("text"), "EncryptionContext": context}),
    );
    let arn = sealed["KeyId"].as_str().unwrap();
    assert!(arn.starts_with("arn:aws:kms:us-east-1:000000000000:key/"), "{arn}");
    assert_eq!(sealed["EncryptionAlgorithm"], "SYMMETRIC_DEFAULT");
    let blob = &sealed["CiphertextBlob"];
    for key in [None, Some(arn), Some("alias/workshop")] {
        let mut request =
            json!({"CiphertextBlob": blob, "EncryptionContext": {"a": "1", "b": "2"}});
        if let Some(key) = key {
            request["KeyId"] = json!(key);
        }
        let opened = call(&server, "Decrypt", request);
        assert_eq!(
            (&opened["Plaintext"], &opened["KeyId"]),
            (&json!(base64("text")), &sealed["KeyId"])
        );
    }
    let refused = |request: serde_json::Value| refused(&server, "Decrypt", &request.to_string());
    assert_eq!(refused(json!({"CiphertextBlob": blob})), "InvalidCiphertextException");
    let other_key =
        json!({"CiphertextBlob": blob, "EncryptionContext": context, "KeyId": "alias/other"});
    assert_eq!(refused(other_key), "IncorrectKeyException");
}

#[test]
fn a_data_key_comes_in_plaintext_and_encrypted() {
    let server = server(Faults::default());
    for (wanted, length) in [
        (json!({"KeySpec": "AES_256"}), 32),
        (json!({"KeySpec": "AES_128"}), 16),
        (json!({"NumberOfBytes": 1024}), 1024),
    ] {
        let mut request = wanted.clone();
        request["KeyId"] = json!("alias/workshop");
        let made = call(&server, "GenerateDataKey", request);
        let opened = call(&server, "Decrypt", json!({"CiphertextBlob": made["CiphertextBlob"]}));
        assert_eq!(opened["Plaintext"], made["Plaintext"]);
        assert_eq!(made["Plaintext"].as_str().unwrap().len(), base64(vec![0; length]).len());
    }
}

#[test]
fn keys_and_aliases_are_listed_and_described() {
    let server = server(Faults::default());
    let keys = call(&server, "ListKeys", json!({}));
    assert_eq!(keys["Truncated"], false);
    let ids: Vec<_> =
        keys["Keys"].as_array().unwrap().iter().map(|key| key["KeyId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 2);
    let first = call(&server, "ListKeys", json!({"Limit": 1}));
    assert_eq!((&first["Truncated"], first["Keys"].as_array().unwrap().len()), (&json!(true), 1));
    let second = call(&server, "ListKeys", json!({"Limit": 1, "Marker": first["NextMarker"]}));
    assert_eq!(
        (&second["Truncated"], &second["Keys"][0]["KeyId"]),
        (&json!(false), &json!(ids[1]))
    );

    let aliases = call(&server, "ListAliases", json!({"KeyId": ids[1]}));
    assert_eq!(aliases["Aliases"].as_array().unwrap().len(), 1);
    assert_eq!(aliases["Aliases"][0]["AliasName"], "alias/other");
    let all = call(&server, "ListAliases", json!({}));
    assert_eq!(all["Aliases"].as_array().unwrap().len(), 2);

    let arn = &all["Aliases"][0]["AliasArn"];
    let described = call(&server, "DescribeKey", json!({"KeyId": arn}));
    let metadata = &described["KeyMetadata"];
    assert_eq!((&metadata["KeyId"], &metadata["KeyState"]), (&json!(ids[0]), &json!("Enabled")));
    assert!(metadata["CreationDate"].as_f64().unwrap() > 1.7e9);
}

#[test]
fn a_disabled_key_does_nothing_until_it_is_enabled() {
    let server = server(Faults::default());
    let text = json!({"KeyId": "alias/workshop", "Plaintext": base64("text")});
    let blob = call(&server, "Encrypt", text.clone())["CiphertextBlob"].clone();
    let key = call(&server, "DescribeKey", json!({"KeyId": "alias/workshop"}));
    let key = json!({"KeyId": key["KeyMetadata"]["KeyId"]});
    call(&server, "DisableKey", key.clone());
    let data_key = json!({"KeyId": "alias/workshop", "KeySpec": "AES_256"});
    for (operation, request) in [
        ("Encrypt", &text),
        ("Decrypt", &json!({"CiphertextBlob": blob})),
        ("GenerateDataKey", &data_key),
    ] {
        assert_eq!(refused(&server, operation, &request.to_string()), "DisabledException");
    }
    let described = call(&server, "DescribeKey", key.clone());
    assert_eq!(described["KeyMetadata"]["KeyState"], "Disabled");
    // The other key is not concerned.
    call(&server, "Encrypt", json!({"KeyId": "alias/other", "Plaintext": base64("text")}));
    call(&server, "EnableKey", key);
    call(&server, "Decrypt", json!({"CiphertextBlob": blob}));
}

#[test]
fn what_is_wrong_has_kmss_name() {
    let server = server(Faults::default());
    let text = base64("text");
    let long = base64([0; 4097]);
    let blob = call(&server, "Encrypt", json!({"KeyId": "alias/workshop", "Plaintext": text}));
    let blob = blob["CiphertextBlob"].as_str().unwrap();
    let mut elsewhere =
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, blob).unwrap();
    elsewhere[1] ^= 1;
    let elsewhere = base64(elsewhere);
    let context = "x".repeat(8193);
    for (operation, request, wanted) in [
        ("Encrypt", "{".to_owned(), "SerializationException"),
        ("Encrypt", "[]".to_owned(), "SerializationException"),
        ("Encrypt", json!({"KeyId": 1}).to_string(), "SerializationException"),
        ("Encrypt", json!({"KeyId": "alias/workshop", "Plaintext": "%"}).to_string(), "SerializationException"),
        ("Encrypt", json!({"KeyId": "alias/workshop"}).to_string(), "ValidationException"),
        ("Encrypt", json!({"Plaintext": text}).to_string(), "ValidationException"),
        ("Encrypt", json!({"KeyId": "alias/workshop", "Plaintext": long}).to_string(), "ValidationException"),
        ("Encrypt", json!({"KeyId": "alias/workshop", "Plaintext": ""}).to_string(), "ValidationException"),
        (
            "Encrypt",
            json!({"KeyId": "alias/workshop", "Plaintext": text, "EncryptionContext": {"a": context}}).to_string(),
            "ValidationException",
        ),
        (
            "Encrypt",
            json!({"KeyId": "alias/workshop", "Plaintext": text, "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"})
                .to_string(),
            "ValidationException",
        ),
        (
            "Encrypt",
            json!({"KeyId": "alias/workshop", "Plaintext": text, "DryRun": true}).to_string(),
            "UnsupportedOperationException",
        ),
        ("Encrypt", json!({"KeyId": "alias/no", "Plaintext": text}).to_string(), "NotFoundException"),
        ("Encrypt", json!({"KeyId": "no", "Plaintext": text}).to_string(), "NotFoundException"),
        (
            "DescribeKey",
            json!({"KeyId": "arn:aws:kms:eu-west-1:000000000000:alias/workshop"}).to_string(),
            "NotFoundException",
        ),
        ("Decrypt", json!({}).to_string(), "ValidationException"),
        ("Decrypt", json!({"CiphertextBlob": text}).to_string(), "InvalidCiphertextException"),
        ("Decrypt", json!({"CiphertextBlob": elsewhere}).to_string(), "AccessDeniedException"),
        ("GenerateDataKey", json!({"KeyId": "alias/workshop"}).to_string(), "ValidationException"),
        (
            "GenerateDataKey",
            json!({"KeyId": "alias/workshop", "KeySpec": "AES_256", "NumberOfBytes": 32}).to_string(),
            "ValidationException",
        ),
        (
            "GenerateDataKey",
            json!({"KeyId": "alias/workshop", "NumberOfBytes": 1025}).to_string(),
            "ValidationException",
        ),
        ("GenerateDataKey", json!({"KeyId": "alias/workshop", "KeySpec": "RSA"}).to_string(), "ValidationException"),
        ("DisableKey", json!({"KeyId": "alias/workshop"}).to_string(), "ValidationException"),
        ("ListKeys", json!({"Limit": 0}).to_string(), "ValidationException"),
        ("ListKeys", json!({"Marker": "x"}).to_string(), "InvalidMarkerException"),
        ("ListKeys", json!({"Marker": "2"}).to_string(), "InvalidMarkerException"),
        ("CreateKey", "{}".to_owned(), "UnknownOperationException"),
        ("", "{}".to_owned(), "UnknownOperationException"),
    ] {
        assert_eq!(refused(&server, operation, &request), wanted, "{operation} {request}");
    }
    // No request adds a series of its own making to the metrics.
    assert!(
        server.metrics().contains("operation=\"other\"") && !server.metrics().contains("CreateKey")
    );
}
