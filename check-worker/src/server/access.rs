//! How to reach a Temporal server: its address, TLS, and the API key, from the variables that Temporal's SDKs
//! and CLI read.

use std::{fs, sync::Arc};

use anyhow::Context;
use cli_kit::exit::Failure;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};

/// The port of a Temporal server.
const PORT: u16 = 7233;

/// How to reach a server.
#[derive(Clone, Debug)]
pub struct Access {
    /// Its name or IP address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The namespace.
    pub namespace: String,
    /// Sent as a bearer token.
    pub api_key: Option<String>,
    /// With TLS: how, and the name in the server's certificate.
    pub tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Access {
    /// Reads an address, and the variables `TEMPORAL_NAMESPACE`, `TEMPORAL_API_KEY`, `TEMPORAL_TLS` and
    /// `TEMPORAL_TLS_*` with `variable`. TLS is on if one of the latter is set, or an API key, or if the
    /// address starts with https://.
    ///
    /// # Errors
    /// When one of them cannot be read, or is not supported.
    pub fn of(
        address: &str,
        namespace: &str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Self> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let (https, rest) = match address.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            Some(_) => return Err(wrong_address(address).into()),
            None => (false, address),
        };
        let rest = rest.trim_end_matches('/');
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !host.ends_with(':') && !port.ends_with(']') => {
                (host, port.parse().map_err(|_| wrong_address(address))?)
            }
            _ => (rest, PORT),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(wrong_address(address).into());
        }
        let api_key = set("TEMPORAL_API_KEY");
        let pem = |name: &str| -> anyhow::Result<Option<Vec<u8>>> {
            if let Some(data) = set(&format!("{name}_DATA")) {
                return Ok(Some(data.into_bytes()));
            }
            let Some(path) = set(&format!("{name}_PATH")) else { return Ok(None) };
            fs::read(&path).map(Some).with_context(|| format!("cannot read {path} of {name}_PATH"))
        };
        let ca = pem("TEMPORAL_TLS_SERVER_CA_CERT")?;
        let certificate = pem("TEMPORAL_TLS_CLIENT_CERT")?;
        let key = pem("TEMPORAL_TLS_CLIENT_KEY")?;
        let name = set("TEMPORAL_TLS_SERVER_NAME");
        let asked = set("TEMPORAL_TLS").map(|value| matches!(value.as_str(), "true" | "1"));
        let implied = https
            || api_key.is_some()
            || ca.is_some()
            || certificate.is_some()
            || key.is_some()
            || name.is_some();
        let tls = if asked.unwrap_or(implied) {
            if set("TEMPORAL_TLS_DISABLE_HOST_VERIFICATION").is_some_and(|value| value != "false") {
                return Err(Failure::usage(
                    "TEMPORAL_TLS_DISABLE_HOST_VERIFICATION is not supported here; name the server's \
                     certificate with TEMPORAL_TLS_SERVER_CA_CERT_PATH",
                )
                .into());
            }
            let config = config(ca.as_deref(), certificate.as_deref(), key.as_deref())?;
            let name = name.unwrap_or_else(|| host.to_owned());
            let name = ServerName::try_from(name.clone())
                .map_err(|_| Failure::usage(format!("{name} cannot be a server's name")))?;
            Some((Arc::new(config), name))
        } else {
            None
        };
        let namespace = set("TEMPORAL_NAMESPACE").unwrap_or_else(|| namespace.to_owned());
        Ok(Self { host: host.to_owned(), port, namespace, api_key, tls })
    }

    /// `host:port`, as a URL has it.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

fn wrong_address(given: &str) -> Failure {
    Failure::usage(format!("{given} is not a server's address; write it as --server HOST:PORT"))
}

fn config(
    ca: Option<&[u8]>,
    certificate: Option<&[u8]>,
    key: Option<&[u8]>,
) -> anyhow::Result<ClientConfig> {
    let certificates =
        |pem: &[u8], variable: &str| -> anyhow::Result<Vec<CertificateDer<'static>>> {
            let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
            let found = found.unwrap_or_default();
            let none = || Failure::usage(format!("{variable} has no certificate in PEM form"));
            if found.is_empty() { Err(none().into()) } else { Ok(found) }
        };
    let mut roots = RootCertStore::empty();
    match ca {
        Some(pem) => {
            for root in certificates(pem, "TEMPORAL_TLS_SERVER_CA_CERT")? {
                roots.add(root).context("a certificate of TEMPORAL_TLS_SERVER_CA_CERT is wrong")?;
            }
        }
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let mut config = match (certificate, key) {
        (Some(certificate), Some(key)) => {
            let chain = certificates(certificate, "TEMPORAL_TLS_CLIENT_CERT")?;
            let key = PrivateKeyDer::from_pem_slice(key)
                .map_err(|_| Failure::usage("TEMPORAL_TLS_CLIENT_KEY has no key in PEM form"))?;
            builder
                .with_client_auth_cert(chain, key)
                .context("TEMPORAL_TLS_CLIENT_CERT and TEMPORAL_TLS_CLIENT_KEY do not fit")?
        }
        (None, None) => builder.with_no_client_auth(),
        _ => {
            return Err(Failure::usage(
                "a client's certificate needs its key: set both TEMPORAL_TLS_CLIENT_CERT_PATH and \
                 TEMPORAL_TLS_CLIENT_KEY_PATH",
            )
            .into());
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str, variables: &[(&str, &str)]) -> anyhow::Result<Access> {
        let given: Vec<(String, String)> = variables
            .iter()
            .map(|(name, value)| (format!("TEMPORAL_{name}"), (*value).to_owned()))
            .collect();
        Access::of(address, "default", |name| {
            given.iter().find(|(given, _)| given == name).map(|(_, value)| value.clone())
        })
    }

    #[test]
    fn addresses_are_read() {
        for (given, address, tls) in [
            ("127.0.0.1:7000", "127.0.0.1:7000", false),
            ("http://server", "server:7233", false),
            ("https://server:443/", "server:443", true),
            ("[::1]:7000", "[::1]:7000", false),
        ] {
            let access = of(given, &[]).unwrap();
            assert_eq!(
                (access.address().as_str(), access.tls.is_some()),
                (address, tls),
                "{given}"
            );
        }
        for wrong in ["", "ftp://server", "server:x"] {
            let error = of(wrong, &[]).unwrap_err().to_string();
            assert!(error.contains("--server HOST:PORT"), "{error}");
        }
    }

    #[test]
    fn a_key_or_a_name_switches_tls_on_unless_it_is_off() {
        assert!(of("a", &[("API_KEY", "k")]).unwrap().tls.is_some());
        assert!(of("a", &[("API_KEY", "k"), ("TLS", "false")]).unwrap().tls.is_none());
        let (_, name) = of("a", &[("TLS_SERVER_NAME", "b")]).unwrap().tls.unwrap();
        assert_eq!(name, ServerName::try_from("b").unwrap());
        assert_eq!(of("a", &[("NAMESPACE", "shop")]).unwrap().namespace, "shop");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (variables, word) in [
            (&[("TLS_SERVER_CA_CERT_DATA", "x")][..], "no certificate"),
            (&[("TLS_CLIENT_KEY_DATA", "x")], "both"),
            (&[("TLS_CLIENT_CERT_PATH", "/does/not/exist")], "cannot read"),
            (&[("TLS", "true"), ("TLS_DISABLE_HOST_VERIFICATION", "true")], "not supported"),
        ] {
            let error = format!("{:#}", of("a", variables).unwrap_err());
            assert!(error.contains(word), "{error}");
        }
    }
}
