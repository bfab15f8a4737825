//! TLS: a certificate that is trusted, one that is not, and none.
//!
//! `certificate/` was made for these tests and protects nothing: `openssl req -x509 -newkey ec -pkeyopt
//! ec_paramgen_curve:prime256v1 -nodes -days 36500 -subj /CN=localhost -addext
//! subjectAltName=DNS:localhost,IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE`.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use key_service::Faults;
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::support::{ALIAS, Client, context, server, settings};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kms/certificate").join(name)
}

/// One message with a `content-length`.
fn message(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
            if bytes.len() >= head.len() + 4 + length {
                return Ok(bytes);
            }
        }
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}

/// Takes TLS off, one call for each connection. Returns the port.
fn terminator(service: SocketAddr) -> u16 {
    let chain = vec![CertificateDer::from_pem_file(file("certificate.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(file("key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let config = config.clone();
            thread::spawn(move || {
                let mut client = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
                let request = message(&mut client)?;
                let mut service = TcpStream::connect(service)?;
                service.write_all(&request)?;
                client.write_all(&message(&mut service)?)?;
                client.conn.send_close_notify();
                client.flush()
            });
        }
    });
    port
}

#[test]
fn a_certificate_that_is_trusted_is_enough_and_another_is_an_error_at_once() {
    let server = server(Faults::default());
    let port = terminator(server.address());
    for host in ["localhost", "127.0.0.1"] {
        let settings = settings(&format!("https://{host}:{port}"));
        let trusting = settings.clone().with_certificates(&file("certificate.pem")).unwrap();
        for client in &Client::both(&trusting) {
            let blob = client.encrypt(ALIAS, b"x", &context(&[])).unwrap();
            assert_eq!(&**client.decrypt(&blob, &context(&[])).unwrap(), b"x");
        }
        for client in &Client::both(&settings) {
            let error = client.encrypt(ALIAS, b"x", &context(&[])).unwrap_err().to_string();
            assert!(error.contains("certificate") && !error.contains("asked"), "{error}");
        }
    }
}

#[test]
fn a_service_without_tls_is_an_error() {
    let server = server(Faults::default());
    let port = server.address().port();
    for client in &Client::both(&settings(&format!("https://127.0.0.1:{port}"))) {
        let error = client.encrypt(ALIAS, b"x", &context(&[])).unwrap_err().to_string();
        assert!(error.contains("got no answer from https://127.0.0.1"), "{error}");
    }
}
