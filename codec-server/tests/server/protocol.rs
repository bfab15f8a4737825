//! Paths, methods, media types, bodies, and what comes back.

use codec_kit::{ENCODING, ENCRYPTED, Keyring, Payload, open};
use codec_server::{Kind, json::MOST_PAYLOADS};
use serde_json::json;

use crate::support::{JSON, Server, body, foreign, get, plain, post, request, sealed, send};

#[test]
fn what_is_encoded_is_decoded_and_in_between_it_is_encrypted() {
    let server = Server::start();
    let payloads = [plain("Hello"), plain(""), Payload::default()];
    let encoded = server.json("/encode", &body(&payloads)).payloads();
    assert_eq!(encoded.len(), payloads.len());
    for (encoded, payload) in encoded.iter().zip(&payloads) {
        assert_eq!(encoded.metadata[ENCODING], ENCRYPTED);
        assert_eq!(open(Keyring::test_key().keys(), encoded.clone()).unwrap(), *payload);
    }
    let answer = server.json("/decode", &body(&encoded));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.payloads(), payloads);
}

#[test]
fn what_other_sdks_wrote_is_decoded() {
    for vector in codec_kit::vectors::Vectors::load().opens_to {
        let keys = codec_kit::KeyService::new(vector.keyring());
        let codec = solutions::Step::BeyondAsync.codec(keys);
        let server = Server::with(codec_server::CodecServer::new(codec), Default::default());
        let decoded = server.json("/decode", &body(&[vector.encrypted])).payloads();
        assert_eq!(decoded, [vector.plain], "{}", vector.name);
    }
}

#[test]
fn the_last_segment_of_the_path_decides_and_queries_do_not() {
    let server = Server::start();
    let sealed = body(&[sealed("Hello")]);
    for path in [
        "/decode",
        "/default/decode",
        "/a%2Fb/decode",
        "/some/prefix/default/decode",
        "//decode",
        "/decode?preserveStorageRefs=true",
        "/decode?namespace=x&unknown=%zz&&=",
        "/decode?",
    ] {
        let answer = server.json(path, &sealed);
        assert_eq!((answer.status, answer.payloads()), (200, vec![plain("Hello")]), "{path}");
    }
    for path in
        ["/", "/decode/", "/Decode", "/download", "/x/download", "/decode/x", "/favicon.ico"]
    {
        assert_eq!(server.json(path, &sealed).status, 404, "{path}");
    }
    // As a proxy may send it.
    let absolute =
        request("POST", "http://127.0.0.1/decode", &[JSON], sealed.to_string().as_bytes());
    assert_eq!(send(server.address, &absolute).unwrap().payloads(), [plain("Hello")]);
}

#[test]
fn other_methods_are_405_and_name_those_there_are() {
    let server = Server::start();
    for method in ["GET", "PUT", "DELETE", "PATCH", "TRACE", "QUERY", "post"] {
        let answer = send(server.address, &request(method, "/decode", &[JSON], b"")).unwrap();
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some("POST, OPTIONS")),
            "{method}"
        );
    }
    for page in ["/metrics", "/healthz"] {
        let answer = post(server.address, page, &[], "");
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{page}");
        assert_eq!(answer.text(), "use GET\n");
        assert_eq!(get(server.address, page).status, 200);
    }
}

#[test]
fn other_media_types_are_415() {
    let server = Server::start();
    let body = body(&[sealed("Hello")]).to_string();
    for headers in [
        &[][..],
        &[("content-type", "text/plain")],
        &[("content-type", "application/x-www-form-urlencoded")],
        &[JSON, ("content-encoding", "gzip")],
        &[JSON, JSON],
    ] {
        assert_eq!(server.post("/decode", headers, &body).status, 415, "{headers:?}");
    }
    for media_type in ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON"] {
        assert_eq!(server.post("/decode", &[("content-type", media_type)], &body).status, 200);
    }
}

#[test]
fn unknown_encodings_come_back_untouched_and_in_the_same_order() {
    let server = Server::start();
    let mut stored = foreign("json/external-storage-reference", br#"{"driver":"s3"}"#);
    stored["externalPayloads"] = json!([{"sizeBytes": "123456789012"}]);
    let others = [
        foreign("binary/zlib", &[0x78, 0x9c, 0]),
        foreign("json/protobuf", b"{}"),
        foreign("", b"\0\xff"),
        json!({}),
        json!({"data": "AA=="}),
        json!({"metadata": {"encoding": "YmluYXJ5L251bGw="}}),
        stored,
    ];
    assert_eq!(
        server.json("/decode", &json!({"payloads": others})).value(),
        json!({"payloads": others})
    );
    // Between sealed ones.
    let mut mixed = Vec::new();
    let mut expected = Vec::new();
    for (number, other) in others.iter().enumerate() {
        let text = format!("number {number}");
        let payloads = body(&[sealed(&text), plain(&text)]);
        mixed.extend([payloads["payloads"][0].clone(), other.clone()]);
        expected.extend([payloads["payloads"][1].clone(), other.clone()]);
    }
    let decoded = server.json("/decode", &json!({"payloads": mixed})).value();
    assert_eq!(decoded, json!({"payloads": expected}));
}

#[test]
fn what_go_compressed_before_it_encrypted_is_decoded_to_what_it_was() {
    let server = Server::start();
    let (plain, encrypted): (Vec<_>, Vec<_>) = codec_kit::vectors::compressed()
        .into_iter()
        .map(|vector| (vector.plain, vector.encrypted))
        .unzip();
    assert!(!plain.is_empty());
    assert!(server.json("/decode", &body(&encrypted)).payloads() == plain);
}

#[test]
fn ten_thousand_payloads_come_back_in_order() {
    let server = Server::start();
    let payloads: Vec<_> = (0..10_000).map(|number| sealed(&number.to_string())).collect();
    let decoded = server.json("/decode", &body(&payloads)).payloads();
    let expected: Vec<_> = (0..10_000).map(|number| plain(&number.to_string())).collect();
    assert!(decoded == expected, "another order, or other payloads");
    assert_eq!(server.metric("codec_server_payloads_total{route=\"decode\"}"), 10_000.0);
}

#[test]
fn an_empty_list_is_answered_with_an_empty_list() {
    let server = Server::start();
    for empty in [json!({}), json!({"payloads": []}), json!({"payloads": null})] {
        for path in ["/encode", "/decode"] {
            assert_eq!(server.json(path, &empty).value(), json!({"payloads": []}));
        }
    }
}

#[test]
fn what_can_not_be_decoded_is_400_and_the_client_is_not_told_why() {
    let server = Server::start();
    let other =
        Keyring::parse("test-key-id=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", None).unwrap();
    let unknown =
        Keyring::parse("elsewhere=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", None).unwrap();
    let seal = |keyring: &Keyring| codec_kit::seal(keyring.active(), &plain("Hello")).unwrap();
    let mut changed = sealed("Hello");
    changed.data[20] ^= 1;
    let short = Payload { data: vec![1, 2, 3], ..sealed("Hello") };
    let mut nameless = sealed("Hello");
    nameless.metadata.remove("encryption-key-id");
    let mut texts = Vec::new();
    for wrong in [seal(&other), seal(&unknown), changed, short, nameless] {
        // One that can't be opened spoils the request: a list with a gap is of no use.
        let answer = server.json("/decode", &body(&[sealed("Hello"), wrong]));
        assert_eq!(answer.status, 400);
        texts.push(answer.text());
    }
    texts.dedup();
    assert_eq!(texts, [format!("{}\n", Kind::Codec.text())]);
    assert_eq!(server.metric("codec_server_errors_total{reason=\"codec\"}"), 5.0);
    assert_eq!(server.metric("codec_server_requests_total{code=\"400\",route=\"decode\"}"), 5.0);
}

#[test]
fn bodies_that_are_not_payloads_are_400_and_the_client_is_told_the_form() {
    let server = Server::start();
    for body in ["", "x", "[]", r#"{"payloads":7}"#, r#"{"payloads":[{"data":"!"}]}"#, "\u{0}"] {
        let answer = server.post("/decode", &[JSON], body);
        assert_eq!(
            (answer.status, answer.text()),
            (400, format!("{}\n", Kind::NotPayloads.text()))
        );
    }
}

#[test]
fn a_body_of_4_mib_is_accepted_and_one_byte_more_is_413() {
    let server = Server::start();
    let of_size = |size: usize| {
        let frame = r#"{"payloads":[{"data":""}]}"#.len();
        // Base64 without padding, of which any multiple of four is valid; spaces fill up the rest.
        let data = (size - frame) / 4 * 4;
        let rest = " ".repeat(size - frame - data);
        let body = format!(r#"{{"payloads":[{{"data":"{}"}}]}}{rest}"#, "A".repeat(data));
        assert_eq!(body.len(), size);
        body
    };
    const MOST: usize = 4 << 20;
    for size in [MOST - 1, MOST] {
        let answer = server.post("/decode", &[JSON], of_size(size));
        assert_eq!(answer.payloads()[0].data.len(), (size - 26) / 4 * 3, "{size}");
    }
    for size in [MOST + 1, 2 * MOST] {
        assert_eq!(server.post("/decode", &[JSON], of_size(size)).status, 413, "{size}");
        let answer = send(server.address, &chunked(of_size(size).as_bytes())).unwrap();
        assert_eq!(answer.status, 413, "{size}, in chunks");
    }
    let answer = send(server.address, &chunked(of_size(MOST).as_bytes())).unwrap();
    assert_eq!(answer.status, 200);
    // As many bytes as an encoded payload of 1.9 MB has: Temporal's limit for one is 2 MB.
    let large = Payload { data: vec![b'x'; 1_900_000], ..plain("") };
    let encoded = server.json("/encode", &body(std::slice::from_ref(&large))).payloads();
    assert!(server.json("/decode", &body(&encoded)).payloads() == [large]);
}

fn chunked(body: &[u8]) -> Vec<u8> {
    let mut bytes = b"POST /decode HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n\
          transfer-encoding: chunked\r\n\r\n"
        .to_vec();
    for chunk in body.chunks(100_000) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

#[test]
fn too_many_payloads_are_413() {
    let server = Server::start();
    let of = |count| format!(r#"{{"payloads":[{}]}}"#, vec!["{}"; count].join(","));
    assert_eq!(server.post("/decode", &[JSON], of(MOST_PAYLOADS)).status, 200);
    assert_eq!(server.post("/decode", &[JSON], of(MOST_PAYLOADS + 1)).status, 413);
}

#[test]
fn a_namespace_that_is_not_clear_is_400() {
    let server = Server::start();
    let sealed = body(&[sealed("Hello")]).to_string();
    let twice = [JSON, ("x-namespace", "a"), ("x-namespace", "b")];
    assert_eq!(server.post("/decode", &twice, &sealed).status, 400);
    assert_eq!(server.post("/%ff/decode", &[JSON], &sealed).status, 400);
    assert_eq!(server.post("/decode", &[JSON, ("x-namespace", "bücher")], &sealed).status, 200);
}

#[test]
fn a_client_that_asks_before_it_sends_is_answered() {
    use std::io::Write;

    let server = Server::start();
    let sealed = body(&[sealed("Hello")]).to_string();
    let head = |path: &str| {
        let mut bytes =
            request("POST", path, &[JSON, ("expect", "100-continue")], sealed.as_bytes());
        bytes.truncate(bytes.len() - sealed.len());
        bytes
    };
    // Refused by its head: no body is asked for.
    assert_eq!(send(server.address, &head("/unknown")).unwrap().status, 404);
    let mut stream = crate::support::connect(server.address);
    stream.write_all(&head("/decode")).unwrap();
    let mut line = [0; 25];
    std::io::Read::read_exact(&mut stream, &mut line).unwrap();
    assert_eq!(line, *b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(sealed.as_bytes()).unwrap();
    let answer = crate::support::read_answer(&mut stream).unwrap();
    assert_eq!(answer.payloads(), [plain("Hello")]);
}

#[test]
fn requests_are_counted_by_route_and_code() {
    let server = Server::start();
    server.json("/encode", &body(&[plain("Hello"), plain("World")]));
    server.json("/unknown", &json!({}));
    server.post("/encode", &[JSON], "x");
    for (line, expected) in [
        ("codec_server_requests_total{code=\"200\",route=\"encode\"}", 1.0),
        ("codec_server_requests_total{code=\"400\",route=\"encode\"}", 1.0),
        ("codec_server_requests_total{code=\"404\",route=\"other\"}", 1.0),
        ("codec_server_errors_total{reason=\"not_payloads\"}", 1.0),
        ("codec_server_errors_total{reason=\"unknown_path\"}", 1.0),
        ("codec_server_payloads_total{route=\"encode\"}", 2.0),
        ("codec_server_request_duration_seconds_count{route=\"encode\"}", 2.0),
    ] {
        assert_eq!(server.metric(line), expected, "{line}");
    }
    assert!(server.metric("codec_server_received_bytes_total{route=\"encode\"}") > 100.0);
    assert!(server.metric("codec_server_sent_bytes_total{route=\"encode\"}") > 200.0);
}
