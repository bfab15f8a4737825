//! Reads pages by HTTP, with bounds on their size and on the time that they take.

use std::{
    fs, io,
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use base64::{Engine, prelude::BASE64_STANDARD};
use cli_kit::exit::Failure;
use ureq::{
    Agent, Error,
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
};

use crate::{
    anonymous::Anonymous,
    exposition::{LONGEST_PAGE, Page},
    recording::Line,
    scrape::{Scrape, Trouble},
};

/// Asks for plain text: OpenMetrics has nothing else that is needed here.
const ACCEPT: &str = "text/plain;version=0.0.4,*/*;q=0.1";
/// What a Prometheus answers may be larger than a page.
const LONGEST_ANSWER: u64 = 128 * 1024 * 1024;

/// A client's credentials and trusted certificates.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// A bearer token.
    pub bearer: Option<String>,
    /// `user:password`.
    pub basic: Option<String>,
    /// A file with certificates to trust, instead of the usual ones.
    pub ca: Option<std::path::PathBuf>,
    /// Whether any certificate is trusted.
    pub insecure: bool,
}

/// An answer that is not read yet.
#[derive(Debug)]
pub struct Raw {
    /// When, how long, and the status.
    pub line: Line,
    /// The page, or what came instead.
    pub body: Result<Vec<u8>, Trouble>,
}

impl Raw {
    /// Hashes the names in it.
    pub fn hide(&mut self, anonymous: &Anonymous) {
        if let Ok(body) = &mut self.body {
            *body = anonymous.page(body);
        }
    }

    /// Reads it.
    pub fn read(self) -> Scrape {
        let page = self.body.and_then(|body| Page::parse(&body).map_err(Trouble::from));
        Scrape { at_ms: self.line.at_ms, took_ms: self.line.took_ms, page }
    }
}

/// Reads pages.
#[derive(Clone, Debug)]
pub struct Fetcher {
    agent: Agent,
    authorization: Option<String>,
    timeout: Duration,
}

impl Fetcher {
    /// A client.
    ///
    /// # Errors
    /// When the certificates cannot be read.
    pub fn new(access: &Access, timeout: Duration) -> anyhow::Result<Self> {
        let mut tls = TlsConfig::builder().disable_verification(access.insecure);
        if let Some(path) = &access.ca {
            tls = tls.root_certs(RootCerts::from(certificates(path)?));
        }
        let config = Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(3)
            // A fleet has many connections, and the usual buffers have 256 KiB each.
            .input_buffer_size(16 * 1024)
            .output_buffer_size(4 * 1024)
            // Metrics are read within a network, where a web proxy would be in the way.
            .proxy(None)
            .tls_config(tls.build())
            .build();
        let authorization = match (&access.bearer, &access.basic) {
            (Some(token), _) => Some(format!("Bearer {token}")),
            (None, Some(pair)) => Some(format!("Basic {}", BASE64_STANDARD.encode(pair))),
            (None, None) => None,
        };
        Ok(Self { agent: config.into(), authorization, timeout })
    }

    /// The body at an address.
    fn body(&self, url: &str, limit: u64) -> Result<(u16, Vec<u8>), Trouble> {
        let mut request = self.agent.get(url).header("accept", ACCEPT);
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let answer = request.call().map_err(|error| self.trouble(error))?;
        let status = answer.status().as_u16();
        let reader = answer.into_body().into_with_config().limit(limit);
        let body = reader.read_to_vec().map_err(|error| self.trouble(error))?;
        Ok((status, body))
    }

    fn trouble(&self, error: Error) -> Trouble {
        match error {
            Error::Timeout(_) => Trouble::TooSlow(self.timeout.as_secs()),
            Error::BodyExceedsLimit(limit) => Trouble::TooLarge(limit >> 20),
            Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                Trouble::NoAnswer("connection refused: nothing listens there".into())
            }
            Error::HostNotFound => Trouble::NoAnswer("there is no host of that name".into()),
            other => Trouble::NoAnswer(other.to_string()),
        }
    }

    /// A page as it came, with when and how long.
    pub fn raw(&self, url: &str) -> Raw {
        let at_ms = now_ms();
        let since = Instant::now();
        let answer = self.body(url, LONGEST_PAGE as u64);
        let took_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        let status = answer.as_ref().map_or(0, |(status, _)| *status);
        let body = answer.and_then(|(status, body)| match status {
            200 => Ok(body),
            status => Err(Trouble::Status(status)),
        });
        Raw { line: Line { at_ms, took_ms, status }, body }
    }

    /// Text at an address, such as what Prometheus answers.
    ///
    /// # Errors
    /// When there is no answer. An HTTP status other than 200 is an answer, too.
    pub fn text(&self, url: &str) -> Result<(u16, String), Trouble> {
        let (status, body) = self.body(url, LONGEST_ANSWER)?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

fn certificates(path: &Path) -> anyhow::Result<Vec<Certificate<'static>>> {
    let pem = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let found: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if found.is_empty() {
        return Err(
            Failure::usage(format!("{} has no certificate in PEM form", path.display())).into()
        );
    }
    Ok(found)
}

/// Now, in milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// An address as a page's: `host:port` and `http://host:port` become `http://host:port/metrics`.
///
/// # Errors
/// When it is no address.
pub fn page_address(given: &str) -> Result<String, Failure> {
    let url = if given.contains("://") { given.to_owned() } else { format!("http://{given}") };
    let wrong = |why: &str| {
        Failure::usage(format!(
            "{given} is not an address: {why}. Write it as http://HOST:PORT/metrics"
        ))
    };
    let uri: ureq::http::Uri = url.parse().map_err(|_| wrong("it cannot be read"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(wrong("only http and https are read"));
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err(wrong("the host is missing"));
    }
    let has_path = !matches!(uri.path(), "" | "/") || uri.query().is_some();
    Ok(if has_path { url } else { format!("{}/metrics", url.trim_end_matches('/')) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_path_gets_the_usual_one() {
        for (given, url) in [
            ("127.0.0.1:9464", "http://127.0.0.1:9464/metrics"),
            ("https://worker:9464/", "https://worker:9464/metrics"),
            ("http://app/actuator/prometheus", "http://app/actuator/prometheus"),
            ("http://prometheus/federate?match[]=x", "http://prometheus/federate?match[]=x"),
        ] {
            assert_eq!(page_address(given).unwrap(), url);
        }
        for wrong in ["ftp://x/metrics", "http://", "a b"] {
            let error = page_address(wrong).unwrap_err().to_string();
            assert!(error.contains("http://HOST:PORT/metrics"), "{error}");
        }
    }
}
