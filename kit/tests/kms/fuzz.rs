//! Answers and keyrings of any bytes. [`inputs`] says how to run more of them.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use codec_kit::{AnyKeyring, Keyring, WrappedKeyring, kms::check_answer};

use crate::{
    inputs::{self, changed, nearly},
    limits::http,
    support::{Client, context, settings},
};

#[test]
fn no_answer_is_too_strange() {
    let pieces = [
        "{",
        "}",
        "\"Plaintext\":",
        "\"CiphertextBlob\":",
        "\"AQEB\"",
        "\"__type\":",
        "\"message\":",
        ",",
        "null",
        "\"A#B:C\"",
        "[",
        "]",
        "\\u0000",
        "1e999",
        "\"",
        "true",
        "\"Plaintext\": \"AQEB\"",
    ];
    let whole = [
        r#"{"Plaintext": "AQEB", "CiphertextBlob": "AQEB", "KeyId": "arn:aws:kms:us-east-1:1:key/a"}"#,
        r#"{"__type": "com.amazonaws.kms#DisabledException:http://a/", "message": "it is disabled"}"#,
        r#"{"__type": "ThrottlingException", "Message": null}"#,
    ];
    let mut read = 0_u64;
    inputs::each("answers", |u| {
        let status = *u.choose(&[200, 200, 200, 400, 409, 429, 500])?;
        let body = match u.ratio(1, 2)? {
            true => nearly(u, &pieces)?,
            false => {
                let whole = u.choose(&whole)?.as_bytes().to_vec();
                if u.ratio(7, 8)? { changed(u, whole)? } else { whole }
            }
        };
        match check_answer(status, &body) {
            Ok(_) => read += 1,
            Err(error) => assert!(error.to_string().len() < 4000, "{error}"),
        }
        Ok(())
    });
    println!("answers: {read} read");
    assert!(read > 0);
}

#[test]
fn no_keyring_is_too_strange() {
    let key = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    let pieces = [
        "a",
        "b",
        "=",
        ",",
        "kms:",
        key,
        "AQEB",
        "\n",
        " ",
        "\u{feff}",
        "\u{200b}",
        "#",
        "a=kms:AQEB",
        "a=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
        "b=AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=",
        "\u{fc}=kms:AQIDBA==",
        "==",
        "%",
    ];
    let mut read = 0_u64;
    inputs::each("keyrings", |u| {
        let text = String::from_utf8_lossy(&nearly(u, &pieces)?).into_owned();
        let active = *u.choose(&[None, Some("a"), Some("")])?;
        let plain = Keyring::parse(&text, active);
        let wrapped = WrappedKeyring::parse(&text, active);
        if let Ok(keyring) = &wrapped {
            // What was read can be written and read again.
            assert_eq!(&WrappedKeyring::parse(&keyring.to_string(), None).unwrap(), keyring);
        }
        assert!(plain.is_err() || wrapped.is_err(), "{text:?} is of both kinds");
        let any = AnyKeyring::parse(&text, active);
        assert_eq!(any.is_ok(), plain.is_ok() || wrapped.is_ok(), "{text:?}");
        read += u64::from(any.is_ok());
        // An id is quoted, so a key that someone took for one is, too.
        let is_id = |entry: &str| matches!(entry.split_once('='), Some((id, key)) if id.contains("AQEBAQEB") && !key.is_empty());
        let has_such_id = text.split(|c: char| c == ',' || c.is_whitespace()).any(is_id);
        for error in [plain.err(), wrapped.err()].into_iter().flatten() {
            assert!(has_such_id || !error.to_string().contains("AQEBAQEB"), "{error}");
        }
        Ok(())
    });
    println!("keyrings: {read} read");
    assert!(read > 0);
}

/// HTTP included, for both clients.
#[test]
fn no_answer_over_a_socket_is_too_strange() {
    let pieces = [
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 200\r\n",
        "HTTP/1.1 503 No\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 307 Moved\r\nlocation: http://127.0.0.1:1/\r\n",
        "content-length: 22\r\n",
        "content-length: 0\r\n",
        "content-length: 18446744073709551615\r\n",
        "content-length: -1\r\n",
        "transfer-encoding: chunked\r\n",
        "content-encoding: gzip\r\n",
        "connection: close\r\n",
        "connection: upgrade\r\nupgrade: h2c\r\n",
        "x: \u{fc}\r\n",
        "\r\n",
        "16\r\n",
        "ffffffffffffffff\r\n",
        "0\r\n\r\n",
        r#"{"Plaintext": "AQEB"} "#,
        r#"{"__type": "X"}"#,
    ];
    let whole = &http("200 OK", r#"{"Plaintext": "AQEB"}"#);
    // So short that few calls are made again: the pauses would take most of the time.
    let short = Duration::from_millis(10);
    let read = AtomicU64::new(0);
    let read = &read;
    inputs::each_on_threads("answers over a socket", THREADS, || {
        let answer = Arc::new(Mutex::new(Vec::new()));
        let clients = Client::both(&settings(&answers_with(&answer)).with_timeouts(short, short));
        move |u| {
            *answer.lock().unwrap() = match u.ratio(1, 2)? {
                true => nearly(u, &pieces)?,
                false if u.ratio(7, 8)? => changed(u, whole.clone())?,
                false => whole.clone(),
            };
            for client in &clients {
                match client.decrypt(b"x", &context(&[])) {
                    Ok(_) => _ = read.fetch_add(1, Relaxed),
                    Err(error) => assert!(error.to_string().len() < 4000, "{error}"),
                }
            }
            Ok(())
        }
    });
    let read = read.load(Relaxed);
    println!("answers over a socket: {read} read");
}

/// Most inputs wait for a timeout.
const THREADS: u64 = 16;

/// The endpoint of a server that gives this answer to every call, and closes the connection.
fn answers_with(answer: &Arc<Mutex<Vec<u8>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let given = answer.clone();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(std::result::Result::ok) {
            let _ = stream.read(&mut [0; 16 * 1024]);
            let _ = stream.write_all(&given.lock().unwrap());
        }
    });
    endpoint
}
