//! Where the service is, and as whom to ask: from the usual `AWS_*` variables.

use std::{
    env, fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use rustls::pki_types::{CertificateDer, pem::PemObject};
use sigv4::{Credentials, SECRET_NEEDED};
use url::{Host, Url};

/// How long a connection is kept that is not in use.
pub(super) const IDLE: Duration = Duration::from_secs(20);
/// A codec on a pool of threads makes many calls at a time.
pub(super) const IDLE_CONNECTIONS: usize = 64;

const ENDPOINT: &str = "AWS_ENDPOINT_URL_KMS";
const ANY_ENDPOINT: &str = "AWS_ENDPOINT_URL";
const REGION: &str = "AWS_REGION";
const DEFAULT_REGION: &str = "AWS_DEFAULT_REGION";
const ACCESS_KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET_ACCESS_KEY: &str = "AWS_SECRET_ACCESS_KEY";
const SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";
const CA_BUNDLE: &str = "AWS_CA_BUNDLE";

/// Limits of what a whole call may take.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(172_800);

/// Where AWS's SDKs would look for credentials, too.
const OTHER_CREDENTIALS: [(&str, &str); 5] = [
    ("AWS_PROFILE", "profiles and SSO"),
    ("AWS_DEFAULT_PROFILE", "profiles and SSO"),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", "web identities"),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "a container's credentials"),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "a container's credentials"),
];

/// How a client reaches a key management service. `Debug` shows no secret.
#[derive(Clone)]
pub struct Settings {
    pub(super) endpoint: Url,
    pub(super) region: String,
    pub(super) credentials: Credentials,
    pub(super) connect_timeout: Duration,
    pub(super) timeout: Duration,
    /// The certificates to trust instead of the usual ones.
    pub(super) certificates: Option<Vec<CertificateDer<'static>>>,
}

/// Settings that can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// There is no region.
    #[error(
        "which region? Set {REGION}, as in {REGION}=us-east-1, with {ACCESS_KEY_ID} and {SECRET_ACCESS_KEY}, and \
         {ENDPOINT} for a service that is not AWS"
    )]
    NoRegion,
    /// A region has characters that no region has.
    #[error("{0:?} is not a region: it has small letters, digits and hyphens only")]
    WrongRegion(String),
    /// There are no credentials, or only half of them.
    #[error(
        "no credentials: set {ACCESS_KEY_ID} and {SECRET_ACCESS_KEY}, and {SESSION_TOKEN} for temporary ones. \
         {}With the AWS CLI: eval \"$(aws configure export-credentials --format env)\"",
        unsupported(*found)
    )]
    NoCredentials {
        /// The variable that AWS's SDKs would follow, and what it stands for.
        found: Option<(&'static str, &'static str)>,
    },
    /// The credentials can't be put in a header.
    #[error(
        "{ACCESS_KEY_ID}, {SECRET_ACCESS_KEY} or {SESSION_TOKEN} can't be used: {SECRET_NEEDED}"
    )]
    WrongCredentials,
    /// The endpoint is no address of a service.
    #[error(
        "{endpoint:?} is not an endpoint: {reason}. Write it as https://HOST or http://127.0.0.1:PORT"
    )]
    WrongEndpoint {
        /// What was given, without a password.
        endpoint: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Requests would cross a network without TLS.
    #[error(
        "{0} is not on this machine, so http would send data keys across the network in the clear: use https"
    )]
    NoTls(String),
    /// The time for a call is no such time.
    #[error(
        "{variable}={0} is not a number of seconds from {shortest} to {longest}",
        variable = Settings::TIMEOUT_VARIABLE,
        shortest = SHORTEST.as_secs_f64(),
        longest = LONGEST.as_secs()
    )]
    WrongTimeout(String),
    /// The certificates can't be read.
    #[error("the certificates in {} ({CA_BUNDLE}) can't be used: {reason}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The HTTP or TLS library refuses.
    #[error("no client can be made: {0}")]
    Client(String),
}

fn unsupported(found: Option<(&str, &str)>) -> String {
    match found {
        Some((variable, what)) => {
            format!("{variable} is set, but {what} are not supported here. ")
        }
        None => "Profiles, SSO, web identities and instance metadata are not supported here. "
            .to_owned(),
    }
}

impl Settings {
    /// The time that a connection may take by default.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
    /// The time that a whole call may take by default, with its retries. A workflow task has 10 s in all.
    pub const TIMEOUT: Duration = Duration::from_secs(5);
    /// The variable for that time, in seconds. It is ours: AWS's SDKs have none.
    pub const TIMEOUT_VARIABLE: &str = "CODEC_KMS_TIMEOUT_SECONDS";

    /// AWS's own service in a region.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn new(region: &str, credentials: Credentials) -> Result<Self, SettingsError> {
        let is_allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        if region.is_empty() || region.len() > 63 || !region.bytes().all(is_allowed) {
            return Err(SettingsError::WrongRegion(region.to_owned()));
        }
        let china = if region.starts_with("cn-") { ".cn" } else { "" };
        Ok(Self {
            endpoint: endpoint(&format!("https://kms.{region}.amazonaws.com{china}"))?,
            region: region.to_owned(),
            credentials,
            connect_timeout: Self::CONNECT_TIMEOUT,
            timeout: Self::TIMEOUT,
            certificates: None,
        })
    }

    /// What the environment says: `AWS_REGION` or `AWS_DEFAULT_REGION`; `AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`; `AWS_ENDPOINT_URL_KMS` or `AWS_ENDPOINT_URL`;
    /// `AWS_CA_BUNDLE`; and [`TIMEOUT_VARIABLE`](Self::TIMEOUT_VARIABLE).
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::from_variables(|name| env::var(name).ok())
    }

    /// As [`from_env`](Self::from_env), with variables from elsewhere.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn from_variables(get: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let set = |name: &str| get(name).filter(|value| !value.is_empty());
        let region = set(REGION).or_else(|| set(DEFAULT_REGION)).ok_or(SettingsError::NoRegion)?;
        let (Some(id), Some(secret)) = (set(ACCESS_KEY_ID), set(SECRET_ACCESS_KEY)) else {
            let found = OTHER_CREDENTIALS.into_iter().find(|(name, _)| set(name).is_some());
            return Err(SettingsError::NoCredentials { found });
        };
        let credentials = Credentials::new(id, secret);
        let credentials = match set(SESSION_TOKEN) {
            Some(token) => credentials.and_then(|credentials| credentials.with_token(token)),
            None => credentials,
        };
        let mut settings = Self::new(&region, credentials.ok_or(SettingsError::WrongCredentials)?)?;
        if let Some(endpoint) = set(ENDPOINT).or_else(|| set(ANY_ENDPOINT)) {
            settings = settings.with_endpoint(&endpoint)?;
        }
        if let Some(path) = set(CA_BUNDLE) {
            settings = settings.with_certificates(Path::new(&path))?;
        }
        if let Some(text) = set(Self::TIMEOUT_VARIABLE) {
            let timeout = text.parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
            let timeout = timeout.filter(|timeout| (SHORTEST..=LONGEST).contains(timeout));
            let timeout = timeout.ok_or(SettingsError::WrongTimeout(text))?;
            settings = settings.with_timeouts(Self::CONNECT_TIMEOUT.min(timeout), timeout);
        }
        Ok(settings)
    }

    /// Another service that speaks the same protocol.
    ///
    /// # Errors
    /// When it is no such address, or plain `http` to another machine.
    pub fn with_endpoint(self, address: &str) -> Result<Self, SettingsError> {
        Ok(Self { endpoint: endpoint(address)?, ..self })
    }

    /// Trusts the certificates in a PEM file, and no others.
    ///
    /// # Errors
    /// When the file has no certificate.
    pub fn with_certificates(self, path: &Path) -> Result<Self, SettingsError> {
        let wrong = |reason: String| SettingsError::Certificates { path: path.to_owned(), reason };
        let found =
            CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let found = found.map_err(|error| wrong(error.to_string()))?;
        match found.is_empty() {
            true => Err(wrong("there is no certificate in PEM form".to_owned())),
            false => Ok(Self { certificates: Some(found), ..self }),
        }
    }

    /// Other limits: for a connection, and for a whole call with its retries.
    #[must_use]
    pub fn with_timeouts(self, connect: Duration, whole: Duration) -> Self {
        Self { connect_timeout: connect, timeout: whole, ..self }
    }

    /// Where requests go.
    pub fn endpoint(&self) -> &str {
        self.endpoint.as_str().trim_end_matches('/')
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("endpoint", &self.endpoint())
            .field("region", &self.region)
            .field("credentials", &self.credentials)
            .field("connect_timeout", &self.connect_timeout)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

fn endpoint(text: &str) -> Result<Url, SettingsError> {
    // What stands before an @ may be a password.
    let shown = text.rsplit('@').next().unwrap_or_default().to_owned();
    let wrong = |reason| SettingsError::WrongEndpoint { endpoint: shown.clone(), reason };
    let url = Url::parse(text).map_err(|_| wrong("it can't be read"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("it must start with https:// or http://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("it must have no user and no password"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it must have nothing after the host and the port"));
    }
    let is_loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).to_canonical().is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match url.scheme() == "https" || is_loopback {
        true => Ok(url),
        false => Err(SettingsError::NoTls(shown)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: [(&str, &str); 3] =
        [(REGION, "eu-central-1"), (ACCESS_KEY_ID, "id"), (SECRET_ACCESS_KEY, "a-secret")];

    fn from(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        Settings::from_variables(|name| {
            let found = variables.iter().rev().find(|(other, _)| *other == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn with(more: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        from(&[&USUAL, more].concat())
    }

    #[test]
    fn the_usual_variables_are_enough() {
        let settings = with(&[]).unwrap();
        assert_eq!(settings.endpoint(), "https://kms.eu-central-1.amazonaws.com");
        let shown = format!("{settings:?}");
        assert!(shown.contains("eu-central-1") && !shown.contains("a-secret"), "{shown}");
        let china = with(&[(REGION, "cn-north-1")]).unwrap();
        assert_eq!(china.endpoint(), "https://kms.cn-north-1.amazonaws.com.cn");
        let region = with(&[(REGION, ""), (DEFAULT_REGION, "us-east-1")]).unwrap();
        assert_eq!(region.endpoint(), "https://kms.us-east-1.amazonaws.com");
        let local = [(ANY_ENDPOINT, "https://other.example"), (ENDPOINT, "http://127.0.0.1:8090")];
        assert_eq!(with(&local).unwrap().endpoint(), "http://127.0.0.1:8090");
        assert_eq!(with(&local[..1]).unwrap().endpoint(), "https://other.example");
        assert_eq!(with(&[]).unwrap().timeout, Settings::TIMEOUT);
        let quick = with(&[(Settings::TIMEOUT_VARIABLE, "0.5")]).unwrap();
        assert_eq!([quick.timeout, quick.connect_timeout], [Duration::from_millis(500); 2]);
    }

    #[test]
    fn what_is_missing_or_wrong_is_named_with_its_fix() {
        for (variables, says) in [
            (&[(REGION, "")][..], "Set AWS_REGION"),
            (&[(REGION, "eu central")], "is not a region"),
            (&[(REGION, "evil.example/")], "is not a region"),
            (&[(ACCESS_KEY_ID, "")], "instance metadata are not supported"),
            (
                &[(SECRET_ACCESS_KEY, ""), ("AWS_PROFILE", "dev")],
                "AWS_PROFILE is set, but profiles and SSO",
            ),
            (&[(SECRET_ACCESS_KEY, "a-secret\n")], "can't be used: an access key needs"),
            (&[(SESSION_TOKEN, "a token")], "can't be used"),
            (&[(ENDPOINT, "127.0.0.1:8090")], "is not an endpoint"),
            (&[(ENDPOINT, "ftp://127.0.0.1")], "must start with https://"),
            (&[(ENDPOINT, "https://user:a-secret@kms.example")], "no user and no password"),
            (&[(ENDPOINT, "https://kms.example/path")], "nothing after the host"),
            (&[(ENDPOINT, "http://kms.example")], "use https"),
            (&[(ENDPOINT, "http://192.0.2.7:8090")], "use https"),
            (&[(ENDPOINT, "http://localhost.example")], "use https"),
            (&[(CA_BUNDLE, "/no/such/file")], "AWS_CA_BUNDLE"),
            (&[(Settings::TIMEOUT_VARIABLE, "soon")], "CODEC_KMS_TIMEOUT_SECONDS=soon is not"),
            (&[(Settings::TIMEOUT_VARIABLE, "-1")], "from 0.001 to 172800"),
            (&[(Settings::TIMEOUT_VARIABLE, "NaN")], "from 0.001 to 172800"),
            (&[(Settings::TIMEOUT_VARIABLE, "1e9")], "from 0.001 to 172800"),
            (&[(CA_BUNDLE, "Cargo.toml")], "no certificate in PEM form"),
        ] {
            let error = with(variables).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
            assert!(!error.contains("a-secret"), "{error}");
        }
        for loopback in ["http://localhost:1", "http://127.9.9.9:1", "http://[::1]:1"] {
            assert!(with(&[(ENDPOINT, loopback)]).is_ok(), "{loopback}");
        }
    }
}
