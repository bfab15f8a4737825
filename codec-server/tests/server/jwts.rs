//! JWTs: which are accepted, and what they permit.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use axum::http::header::AUTHORIZATION;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use codec_server::{
    Auth, CodecServer,
    auth::{
        jwks::Place,
        jwt::{Expected, Jwts},
    },
    protocol::Operation,
};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use serde_json::{Value, json};

use crate::support::{JSON, Server, Setup, body, codec, plain, sealed};

const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "codec-server";
const EMAIL: &str = "https://claims.example/email";

/// Made once with Python's `cryptography`; valid until the year 2100. The private key was thrown away.
const RSA: &str = include_str!("rsa.json");

/// An identity provider's key of P-256.
struct Signer {
    id: &'static str,
    key: EcdsaKeyPair,
}

impl Signer {
    fn new(id: &'static str) -> Self {
        let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self { id, key: EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap() }
    }

    fn jwk(&self) -> Value {
        let point = self.key.public_key().as_ref();
        let [x, y] = [&point[1..33], &point[33..]].map(|part| URL_SAFE_NO_PAD.encode(part));
        json!({"kty": "EC", "crv": "P-256", "kid": self.id, "use": "sig", "alg": "ES256", "x": x, "y": y})
    }

    fn sign(&self, claims: &Value) -> String {
        self.sign_with_header(&json!({"alg": "ES256", "typ": "JWT", "kid": self.id}), claims)
    }

    fn sign_with_header(&self, header: &Value, claims: &Value) -> String {
        token(header, claims, |message| {
            self.key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
        })
    }
}

fn token(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn claims(permissions: &[&str]) -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": now(), "exp": now() + 300,
        "permissions": permissions,
    })
}

/// The same, with some claims changed; `null` removes one.
fn changed(changes: Value) -> Value {
    let mut claims = claims(&["orders:read"]);
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    claims
}

fn expected() -> Expected {
    Expected {
        issuer: ISSUER.into(),
        audience: AUDIENCE.into(),
        permissions_claim: "permissions".into(),
        identity_claim: EMAIL.into(),
    }
}

fn with_keys(keys: &Value) -> Jwts {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), json!({"keys": keys}).to_string()).unwrap();
    Jwts::new(expected(), Place::new(file.path().to_str().unwrap(), None).unwrap()).unwrap()
}

fn server(jwts: Jwts) -> Server {
    Server::with(CodecServer::new(codec()).auth(Auth::Jwts(jwts)), Setup::default())
}

fn status(server: &Server, path: &str, namespace: &str, token: &str) -> u16 {
    let authorization = format!("Bearer {token}");
    let mut headers = vec![JSON, ("authorization", &*authorization)];
    if !namespace.is_empty() {
        headers.push(("x-namespace", namespace));
    }
    server.post(path, &headers, body(&[plain("Hello")]).to_string()).status
}

#[test]
fn only_a_signed_token_of_this_issuer_for_this_audience_and_time_is_accepted() {
    let signer = Signer::new("now");
    let server = server(with_keys(&json!([signer.jwk()])));
    let decode = |token: &str| status(&server, "/decode", "orders", token);
    for (changes, expected) in [
        (json!({}), 200),
        (json!({"exp": now() - 5}), 200), // the clocks may differ by 30 s
        (json!({"exp": now() - 60}), 401),
        (json!({"exp": null}), 401),
        (json!({"exp": "tomorrow"}), 401),
        (json!({"exp": -1}), 401),
        (json!({"nbf": now() + 5}), 200),
        (json!({"nbf": now() + 60}), 401),
        (json!({"nbf": "now"}), 401),
        (json!({"iss": "https://other.example"}), 401),
        (json!({"iss": format!("{ISSUER}/")}), 401),
        (json!({"iss": null}), 401),
        (json!({"iss": 7}), 401),
        (json!({"aud": ["other", AUDIENCE]}), 200),
        (json!({"aud": "other"}), 401),
        (json!({"aud": ["other"]}), 401),
        (json!({"aud": []}), 401),
        (json!({"aud": null}), 401),
        (json!({"aud": "codec-server2"}), 401),
    ] {
        assert_eq!(decode(&signer.sign(&changed(changes.clone()))), expected, "{changes}");
    }
    let good = signer.sign(&claims(&["orders:read"]));
    assert_eq!(decode(&good), 200);
    let parts: Vec<_> = good.split('.').collect();
    let other = Signer::new("now").sign(&claims(&["orders:read"]));
    let foreign_signature = other.rsplit('.').next().unwrap();
    for wrong in [
        other.clone(),
        format!("{}.{}.{foreign_signature}", parts[0], parts[1]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{good}."),
        format!("{good}A"),
        format!("{}.{}.{}", parts[0], other.split('.').nth(1).unwrap(), parts[2]),
        "..".into(),
        "a.b.c".into(),
        String::new(),
    ] {
        // Another token's claims may be the same, if both were made in the same second.
        if wrong != good {
            assert_eq!(decode(&wrong), 401, "{wrong}");
        }
    }
}

/// A provider that sends the claim in another form gives no rights, and the log says why.
#[tokio::test]
async fn permissions_that_are_not_a_list_are_named() {
    let signer = Signer::new("now");
    let auth = Auth::Jwts(with_keys(&json!([signer.jwk()])));
    let refused = async |permissions: Value| {
        let token = signer.sign(&changed(json!({"permissions": permissions, EMAIL: "alice"})));
        let bearer = format!("Bearer {token}").parse().unwrap();
        let headers = [(AUTHORIZATION, bearer)].into_iter().collect();
        let refused = auth.authorize(&headers, Operation::Decode, Some("orders")).await;
        refused.unwrap_err().to_string()
    };
    assert_eq!(refused(json!([])).await, "\"alice\" may not decode in \"orders\"");
    let said = refused(json!("orders:read")).await;
    assert!(said.contains("\"alice\", whose permissions are not a list, may not decode"), "{said}");
}

/// Another character anywhere, and one less.
#[test]
fn every_change_of_a_token_is_refused() {
    let signer = Signer::new("now");
    let server = server(with_keys(&json!([signer.jwk()])));
    let good = signer.sign(&claims(&["orders:read"]));
    let mut dice = fastrand::Rng::with_seed(7);
    for at in 0..good.len() {
        let mut changed = good.clone().into_bytes();
        let before = changed[at];
        while changed[at] == before {
            changed[at] = *dice.choice(b"ABCXYZabcxyz0189-_.=").unwrap();
        }
        let changed = String::from_utf8(changed).unwrap();
        assert_eq!(status(&server, "/decode", "orders", &changed), 401, "{changed}");
        let mut shorter = good.clone();
        shorter.remove(at);
        assert_eq!(status(&server, "/decode", "orders", &shorter), 401, "{shorter}");
    }
    assert_eq!(status(&server, "/decode", "orders", &good), 200);
}

/// The token must not choose how it is verified.
#[test]
fn algorithms_that_are_not_the_keys_are_refused() {
    let signer = Signer::new("ec");
    let rsa: Value = serde_json::from_str(RSA).unwrap();
    let server = server(with_keys(&json!([signer.jwk(), rsa["key"]])));
    let claims = claims(&["orders:read"]);
    let decode = |token: &str| status(&server, "/decode", "orders", token);
    for alg in ["none", "None", "NONE", "", "HS256", "ES384", "RS256", "EdDSA", "es256", "ES256K"] {
        for id in ["ec", "rsa"] {
            let header = json!({"alg": alg, "typ": "JWT", "kid": id});
            assert_eq!(decode(&token(&header, &claims, |_| Vec::new())), 401, "{alg} {id}");
            assert_eq!(decode(&signer.sign_with_header(&header, &claims)), 401, "{alg} {id}");
        }
    }
    // The public key, which anyone can know, as the secret of an HMAC.
    let point = signer.key.public_key().as_ref();
    for secret in [
        point,
        signer.jwk()["x"].as_str().unwrap().as_bytes(),
        b"",
        rsa["key"]["n"].as_str().unwrap().as_bytes(),
    ] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        for id in [json!("ec"), json!("rsa"), Value::Null] {
            let header = json!({"alg": "HS256", "typ": "JWT", "kid": id});
            let forged =
                token(&header, &claims, |message| hmac::sign(&key, message).as_ref().to_vec());
            assert_eq!(decode(&forged), 401);
        }
    }
    // A key of the token's own.
    let own = Signer::new("own");
    for header in [
        json!({"alg": "ES256", "jwk": own.jwk()}),
        json!({"alg": "ES256", "kid": "ec", "jwk": own.jwk()}),
        json!({"alg": "ES256", "kid": "own", "jku": "http://127.0.0.1:1/jwks.json"}),
        json!({"alg": "ES256", "kid": "ec", "x5c": ["AAAA"]}),
        json!({"alg": "ES256", "kid": "../../../dev/null"}),
    ] {
        assert_eq!(decode(&own.sign_with_header(&header, &claims)), 401, "{header}");
    }
    // Extensions that must be understood, and are not.
    for header in [
        json!({"alg": "ES256", "kid": "ec", "crit": ["exp"], "exp": 1}),
        json!({"alg": "ES256", "kid": "ec", "crit": ["b64"], "b64": false}),
        json!({"alg": "ES256", "kid": "ec", "crit": []}),
    ] {
        assert_eq!(decode(&signer.sign_with_header(&header, &claims)), 401, "{header}");
    }
    // Without an id there is one candidate for this algorithm.
    let header = json!({"alg": "ES256"});
    assert_eq!(decode(&signer.sign_with_header(&header, &claims)), 200);
}

#[test]
fn rsa_and_ed25519_verify_too() {
    let rsa: Value = serde_json::from_str(RSA).unwrap();
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let edwards = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
    let x = URL_SAFE_NO_PAD.encode(edwards.public_key());
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": x});
    let server = server(with_keys(&json!([rsa["key"], jwk])));
    let tokens = rsa["tokens"].as_object().unwrap();
    assert_eq!(tokens.len(), 6);
    for (algorithm, token) in tokens {
        let token = token.as_str().unwrap();
        assert_eq!(status(&server, "/decode", "orders", token), 200, "{algorithm}");
        let (rest, signature) = token.rsplit_once('.').unwrap();
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        bytes[100] ^= 1;
        let changed = format!("{rest}.{}", URL_SAFE_NO_PAD.encode(bytes));
        assert_eq!(status(&server, "/decode", "orders", &changed), 401, "{algorithm}");
    }
    let header = json!({"alg": "EdDSA", "kid": "ed"});
    let sign = |message: &[u8]| edwards.sign(message).as_ref().to_vec();
    let token = token(&header, &claims(&["orders:read"]), sign);
    assert_eq!(status(&server, "/decode", "orders", &token), 200);
    // A key that may be used with one algorithm is not used with another.
    let mut only = rsa["key"].clone();
    only["alg"] = json!("PS256");
    let server = self::server(with_keys(&json!([only])));
    let with = |algorithm: &str| {
        status(&server, "/decode", "orders", rsa["tokens"][algorithm].as_str().unwrap())
    };
    assert_eq!((with("PS256"), with("RS256"), with("PS512")), (200, 401, 401));
}

#[test]
fn permissions_and_grants_say_what_a_token_may_do() {
    let signer = Signer::new("now");
    let jwts = with_keys(&json!([signer.jwk()]));
    let grants = tempfile::NamedTempFile::new().unwrap();
    fs::write(grants.path(), "alice@example.com billing:write\n").unwrap();
    jwts.read_grants(grants.path()).unwrap();
    let server = server(jwts);
    for (permissions, path, namespace, expected) in [
        (&["orders:read"][..], "/decode", "orders", 200),
        (&["orders:read"], "/encode", "orders", 403),
        (&["orders:read"], "/decode", "other", 403),
        (&["orders:read"], "/decode", "", 400),
        (&["orders:write"], "/encode", "orders", 200),
        (&["orders:write"], "/decode", "orders", 200),
        (&["orders:admin"], "/encode", "orders", 200),
        (&["orders:worker"], "/decode", "orders", 403),
        (&["orders:read", "other:write"], "/encode", "other", 200),
        (&["temporal-system:read"], "/decode", "anything", 200),
        (&["temporal-system:read"], "/decode", "", 200),
        (&["temporal-system:read"], "/encode", "anything", 403),
        (&["*:write"], "/decode", "anything", 403),
        (&[], "/decode", "orders", 403),
        (&["orders", ":read", "read", ""], "/decode", "orders", 403),
    ] {
        let token = signer.sign(&claims(permissions));
        assert_eq!(status(&server, path, namespace, &token), expected, "{permissions:?} {path}");
    }
    for (permissions, expected) in [
        (json!("orders:read"), 403),
        (json!({"orders": "read"}), 403),
        (json!([7, null, "orders:read"]), 200),
        (Value::Null, 403),
    ] {
        let token = signer.sign(&changed(json!({"permissions": permissions})));
        assert_eq!(status(&server, "/decode", "orders", &token), expected, "{permissions}");
    }
    let named = |email: Value| signer.sign(&changed(json!({EMAIL: email, "permissions": null})));
    let alice = named(json!("alice@example.com"));
    assert_eq!(status(&server, "/encode", "billing", &alice), 200);
    assert_eq!(status(&server, "/encode", "orders", &alice), 403);
    for other in
        [json!("ALICE@example.com"), json!("alice@example.com "), json!(["alice@example.com"])]
    {
        assert_eq!(status(&server, "/encode", "billing", &named(other.clone())), 403, "{other}");
    }
}

/// A page with a key set, which can be replaced.
struct Provider {
    url: String,
    set: Arc<Mutex<String>>,
    fetched: Arc<AtomicUsize>,
}

impl Provider {
    fn start(set: &Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/.well-known/jwks.json", listener.local_addr().unwrap());
        let set = Arc::new(Mutex::new(set.to_string()));
        let fetched = Arc::new(AtomicUsize::new(0));
        let (page, count) = (set.clone(), fetched.clone());
        // Ends with the process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
                count.fetch_add(1, SeqCst);
                let page = page.lock().unwrap().clone();
                let (status, location) = match page.strip_prefix("302 ") {
                    Some(to) => ("302 Found", format!("location: {to}\r\n")),
                    None => ("200 OK", String::new()),
                };
                let head =
                    format!("HTTP/1.1 {status}\r\n{location}connection: close\r\ncontent-length:");
                stream.write_all(format!("{head} {}\r\n\r\n{page}", page.len()).as_bytes()).ok();
            }
        });
        Self { url, set, fetched }
    }

    fn jwts(&self) -> Result<Jwts, codec_server::auth::jwks::JwksError> {
        Jwts::new(expected(), Place::new(&self.url, None).unwrap())
    }
}

#[test]
fn a_new_key_is_fetched_when_a_token_names_it_but_not_for_every_token() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let provider = Provider::start(&json!({"keys": [old.jwk()]}));
    let server = server(provider.jwts().unwrap());
    let decode = |signer: &Signer| {
        status(&server, "/decode", "orders", &signer.sign(&claims(&["orders:read"])))
    };
    assert_eq!((decode(&old), provider.fetched.load(SeqCst)), (200, 1));
    *provider.set.lock().unwrap() = json!({"keys": [new.jwk()]}).to_string();
    assert_eq!((decode(&new), provider.fetched.load(SeqCst)), (200, 2));
    // The old one was withdrawn. Made-up ids do not make us fetch again and again.
    assert_eq!(decode(&old), 401);
    for id in ["a", "b", "c"] {
        assert_eq!(decode(&Signer::new(id)), 401);
    }
    assert_eq!(provider.fetched.load(SeqCst), 2);
}

#[test]
fn a_provider_that_fails_changes_nothing() {
    let signer = Signer::new("now");
    let provider = Provider::start(&json!({"keys": [signer.jwk()]}));
    let jwts = provider.jwts().unwrap();
    for broken in ["not JSON", "{\"keys\": []}", &"x".repeat(2 << 20), "302 http://127.0.0.1:1/"] {
        broken.clone_into(&mut provider.set.lock().unwrap());
        assert!(jwts.read_keys().is_err(), "{}", &broken[..8]);
    }
    let server = server(jwts);
    let token = signer.sign(&claims(&["orders:read"]));
    assert_eq!(status(&server, "/decode", "orders", &token), 200);
    assert!(provider.jwts().is_err(), "without keys there is no start");
}

#[test]
fn what_the_token_permits_is_what_comes_back() {
    let signer = Signer::new("now");
    let server = server(with_keys(&json!([signer.jwk()])));
    let authorization = format!("Bearer {}", signer.sign(&claims(&["orders:read"])));
    let headers = [
        JSON,
        ("authorization", &*authorization),
        ("authorization-extras", "an id token, which is not looked at"),
        ("x-namespace", "orders"),
    ];
    let answer = server.post("/decode", &headers, body(&[sealed("Hello")]).to_string());
    assert_eq!(answer.payloads(), [plain("Hello")]);
}
