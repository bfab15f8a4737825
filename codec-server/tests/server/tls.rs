//! TLS, with a certificate that is replaced while the server runs.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    sync::Arc,
};

use codec_server::{CodecServer, Connections, Tls};
use rcgen::CertifiedKey;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, ServerName},
    version::{TLS12, TLS13},
};

use crate::support::{
    Answer, JSON, Server, Setup, body, codec, connect, plain, read_answer, request, sealed,
    wait_until,
};

fn certificate(folder: &Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.join("cert.pem"), cert.pem()).unwrap();
    fs::write(folder.join("key.pem"), signing_key.serialize_pem()).unwrap();
    cert.der().clone()
}

fn ask(
    server: &Server,
    trusted: &CertificateDer<'static>,
    version: &'static rustls::SupportedProtocolVersion,
) -> std::io::Result<Answer> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream: StreamOwned<ClientConnection, TcpStream> =
        StreamOwned::new(client, connect(server.address));
    let body = body(&[sealed("Hello")]).to_string();
    stream.write_all(&request("POST", "/decode", &[JSON], body.as_bytes()))?;
    read_answer(&mut stream)
}

#[test]
fn payloads_go_through_tls_and_a_new_certificate_is_used_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let old = certificate(folder.path());
    let tls = Tls::read(&folder.path().join("cert.pem"), &folder.path().join("key.pem")).unwrap();
    let setup = Setup { tls: Some(tls.clone()), ..Setup::default() };
    let server = Server::with(CodecServer::new(codec()), setup);
    for version in [&TLS12, &TLS13] {
        assert_eq!(ask(&server, &old, version).unwrap().payloads(), [plain("Hello")]);
    }
    let new = certificate(folder.path());
    tls.read_again().unwrap();
    assert_eq!(ask(&server, &new, &TLS13).unwrap().payloads(), [plain("Hello")]);
    assert!(ask(&server, &old, &TLS13).is_err());
}

#[test]
fn what_is_not_tls_is_dropped_and_so_is_a_handshake_that_never_ends() {
    let folder = tempfile::tempdir().unwrap();
    let trusted = certificate(folder.path());
    let tls = Tls::read(&folder.path().join("cert.pem"), &folder.path().join("key.pem")).unwrap();
    let head_time = std::time::Duration::from_millis(500);
    let connections = Connections { most: 10, head_time, ..Connections::default() };
    let server = Server::with(CodecServer::new(codec()), Setup { tls: Some(tls), connections });
    let mut plaintext = connect(server.address);
    plaintext.write_all(&request("GET", "/healthz", &[], b"")).unwrap();
    let mut answer = Vec::new();
    plaintext.read_to_end(&mut answer).ok();
    assert!(!String::from_utf8_lossy(&answer).contains("200"));
    let held: Vec<_> = (0..30).map(|_| connect(server.address)).collect();
    wait_until("there is a place again", || ask(&server, &trusted, &TLS13).is_ok());
    drop(held);
}
