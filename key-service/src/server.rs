//! Starts the service on a thread of its own, and stops it.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::core::Collector;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream},
    runtime,
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    Credentials, Faults, Keys, KeysError, WrongFaults, admin,
    connection::{Open, Reset, Socket},
    faults::Dealer,
    metrics::Metrics,
    operations::Vault,
    service::Service,
};

/// How long calls under way have to end when the service stops.
const GRACE: Duration = Duration::from_secs(1);
/// How long a client may take to send a request's head, or leave a connection unused.
const IDLE: Duration = Duration::from_secs(120);
/// More connections wait until one of these ends.
const MOST_CONNECTIONS: usize = 4096;
const BACKLOG: u32 = 1024;
/// How long to wait before the system is asked again for what it refused: a connection, or the port.
const AGAIN: Duration = Duration::from_millis(20);

/// What a service is started with.
#[derive(Debug)]
pub struct Options {
    /// Where it listens: a loopback address. Port 0 is any free port.
    pub address: SocketAddr,
    /// Where faults are set and metrics read: a loopback address.
    pub admin_address: SocketAddr,
    /// The credentials that it accepts.
    pub credentials: Vec<Credentials>,
    /// Its keys; [`Keys::random`] if there are none.
    pub keys: Option<Keys>,
    /// The region that requests must be signed for.
    pub region: String,
    /// What goes wrong from the start.
    pub faults: Faults,
}

impl Options {
    /// The region unless another is chosen.
    pub const REGION: &str = "us-east-1";

    /// Free ports, a key made at the start, no faults.
    pub fn new(credentials: Credentials) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            address: any,
            admin_address: any,
            credentials: vec![credentials],
            keys: None,
            region: Self::REGION.to_owned(),
            faults: Faults::default(),
        }
    }
}

/// Why a service did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address can be reached from elsewhere.
    #[error(
        "{0} is not a loopback address: the key service has no TLS, so it is for this machine only"
    )]
    NotLoopback(SocketAddr),
    /// The port is taken, or not allowed.
    #[error("the key service can't listen on {address}: {source}; choose another port")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The region is no name of one.
    #[error(
        "{0:?} is not a region: it has small letters, digits and hyphens only, as in us-east-1"
    )]
    Region(String),
    /// The keys can't be made.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The faults can't be.
    #[error("the faults can't be used: {0}")]
    Faults(#[from] WrongFaults),
    /// The system gives no thread.
    #[error("the key service's thread can't be started: {0}")]
    Thread(#[source] io::Error),
    /// The metrics can't be registered.
    #[error("the key service's metrics can't be registered: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// A service that runs. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    admin: SocketAddr,
    service: Arc<Service>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts it. Once this returns, it takes calls.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(options: Options) -> Result<Self, StartError> {
        let Options { address, admin_address, credentials, keys, region, faults } = options;
        for address in [address, admin_address] {
            if !address.ip().is_loopback() {
                return Err(StartError::NotLoopback(address));
            }
        }
        let is_allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        if region.is_empty() || !region.bytes().all(is_allowed) {
            return Err(StartError::Region(region));
        }
        faults.check()?;
        let keys = keys.map_or_else(Keys::random, Ok)?;
        let service = Arc::new(Service {
            vault: Vault::new(keys, region),
            credentials,
            dealer: Dealer::new(faults),
            metrics: Metrics::new()?,
        });
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(StartError::Thread)?;
        let listen = |wanted: SocketAddr| {
            let _inside = runtime.enter();
            let listener = bind(wanted).and_then(|socket| socket.listen(BACKLOG));
            let found = listener.and_then(|listener| Ok((listener.local_addr()?, listener)));
            found.map_err(|source| StartError::Listen { address: wanted, source })
        };
        let (address, listener) = listen(address)?;
        let (admin, admin_listener) = listen(admin_address)?;
        let (stop, stopped) = watch::channel(false);
        let run = {
            let service = service.clone();
            move || runtime.block_on(run(service, address, listener, admin_listener, stopped))
        };
        let thread = thread::Builder::new().name("key-service".to_owned()).spawn(run);
        let thread = Some(thread.map_err(StartError::Thread)?);
        Ok(Self { address, admin, service, stop, thread })
    }

    /// The address of the service.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the service as `AWS_ENDPOINT_URL_KMS` has it.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address of the admin port: `/faults`, `/metrics`, `/health`.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// What goes wrong now.
    pub fn faults(&self) -> Faults {
        self.service.dealer.faults()
    }

    /// From now on, this goes wrong. It concerns calls that start later.
    ///
    /// # Errors
    /// When the faults can't be; then nothing changes.
    pub fn set_faults(&self, faults: Faults) -> Result<(), WrongFaults> {
        faults.check()?;
        self.service.dealer.set(faults);
        Ok(())
    }

    /// Enables the key of this alias, or disables it, as `EnableKey` and `DisableKey` do.
    ///
    /// # Errors
    /// When there is no such key.
    pub fn enable_key(&self, alias: &str, enabled: bool) -> Result<(), KeysError> {
        self.service.vault.enable_alias(alias, enabled)
    }

    /// The metrics, in Prometheus' text format.
    pub fn metrics(&self) -> String {
        self.service.metrics.page()
    }

    /// The metrics, for the registry of the program that it runs in.
    pub fn collector(&self) -> Box<dyn Collector> {
        Box::new(self.service.metrics.clone())
    }

    /// The connections that are open.
    pub fn connections(&self) -> usize {
        usize::try_from(self.service.metrics.connections.get()).unwrap_or_default()
    }

    /// Stops it: calls under way have a second to end.
    pub fn stop(self) {}
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // A panic there was printed by then.
            let _ = thread.join();
        }
    }
}

/// A socket with this address, which does not listen yet.
fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections of a service that ran here before may still be closing.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn run(
    service: Arc<Service>,
    address: SocketAddr,
    listener: TcpListener,
    admin_listener: TcpListener,
    stopped: watch::Receiver<bool>,
) {
    let stop = until(stopped.clone());
    let admin = axum::serve(admin_listener, admin::router(service.clone()))
        .with_graceful_shutdown(stop)
        .into_future();
    let admin = tokio::spawn(admin);
    accept(&service, address, listener, stopped).await;
    timeout(GRACE, admin).await.ok();
}

/// Waits until the service is to stop.
async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the server's handle is gone.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// What the port does.
enum Port {
    /// Connections are accepted.
    Open(TcpListener),
    /// Connections are refused. The socket keeps the port, or the system could give it to another program
    /// that asks for any free one.
    Refusing(Option<TcpSocket>),
}

async fn accept(
    service: &Arc<Service>,
    address: SocketAddr,
    listener: TcpListener,
    stopped: watch::Receiver<bool>,
) {
    let mut refuse = service.dealer.refuse();
    let mut port = Port::Open(listener);
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(until(stopped.clone()));
    loop {
        let is_refusing = *refuse.borrow_and_update();
        port = match port {
            Port::Open(listener) if is_refusing => {
                drop(listener);
                connections.shutdown().await;
                Port::Refusing(bind(address).ok())
            }
            Port::Refusing(socket) if !is_refusing => {
                let socket = socket.map_or_else(|| bind(address), Ok);
                match socket.and_then(|socket| socket.listen(BACKLOG)) {
                    Ok(listener) => Port::Open(listener),
                    Err(_) => {
                        // Another program has the port. It may let go of it.
                        tokio::select! {
                            () = sleep(AGAIN) => {}
                            () = &mut stop => return,
                        }
                        Port::Refusing(None)
                    }
                }
            }
            port => port,
        };
        if matches!(port, Port::Refusing(_)) && !is_refusing {
            continue;
        }
        tokio::select! {
            () = &mut stop => break,
            _ = refuse.changed() => {}
            _ = connections.join_next(), if !connections.is_empty() => {}
            accepted = next(&port), if connections.len() < MOST_CONNECTIONS => match accepted {
                Ok(stream) => {
                    service.metrics.accepted.inc();
                    connections.spawn(serve(service.clone(), stream, stopped.clone()));
                }
                // Too many files are open, say.
                Err(_) => sleep(AGAIN).await,
            },
        }
    }
    drop(port);
    let ended = async { while connections.join_next().await.is_some() {} };
    timeout(GRACE, ended).await.ok();
    connections.shutdown().await;
}

async fn next(port: &Port) -> io::Result<TcpStream> {
    match port {
        Port::Open(listener) => Ok(listener.accept().await?.0),
        Port::Refusing(_) => std::future::pending().await,
    }
}

/// Serves one connection, until its client closes it or the service stops.
async fn serve(service: Arc<Service>, stream: TcpStream, stopped: watch::Receiver<bool>) {
    // Dropped last: a connection is open until its calls have ended and are counted.
    let _open = Open::new(&service.metrics.connections);
    let reset = Reset::default();
    let socket = Socket::new(stream, reset.clone());
    answer_all(&service, socket, reset, stopped).await;
}

/// Answers the requests of a connection.
async fn answer_all(
    service: &Arc<Service>,
    socket: impl AsyncRead + AsyncWrite + Unpin,
    reset: Reset,
    stopped: watch::Receiver<bool>,
) {
    let answer = service_fn(|request| {
        let (service, reset) = (service.clone(), reset.clone());
        async move { service.answer(request, reset).await }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(socket), answer);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // What goes wrong with one connection is its client's to report.
        _ = connection.as_mut() => {}
        () = until(stopped) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arbtest::arbitrary::{Result, Unstructured};
    use jiff::Timestamp;
    use sigv4::{Request, Scope, sign};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        task::yield_now,
    };

    use super::*;
    use crate::inputs::{self, changed, nearly};

    const ACCESS: (&str, &str) = ("workshop", "not-a-secret");

    fn service() -> Arc<Service> {
        let keys = Keys::parse("workshop=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=").unwrap();
        Arc::new(Service {
            vault: Vault::new(keys, Options::REGION.to_owned()),
            credentials: vec![Credentials::new(ACCESS.0, ACCESS.1).unwrap()],
            dealer: Dealer::new(Faults::default()),
            metrics: Metrics::new().unwrap(),
        })
    }

    /// A request as a client sends it, signed now.
    fn signed(operation: &str, body: &[u8]) -> Vec<u8> {
        let target = format!("TrentService.{operation}");
        let headers = [("host", "127.0.0.1"), ("x-amz-target", target.as_str())];
        let request = Request { method: "POST", path: "/", query: "", headers: &headers, body };
        let scope = Scope { region: Options::REGION, service: "kms" };
        let credentials = Credentials::new(ACCESS.0, ACCESS.1).unwrap();
        let added = sign(&request, &scope, &credentials, Timestamp::now());
        let mut text = "POST / HTTP/1.1\r\nconnection: close\r\n".to_owned();
        text += &format!("content-length: {}\r\n", body.len());
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        for (name, value) in added {
            text += &format!("{name}: {value}\r\n");
        }
        [text.as_bytes(), b"\r\n", body].concat()
    }

    /// The bytes of one connection, and whether they are one request as a client sends it.
    fn connection(u: &mut Unstructured<'_>) -> Result<(Vec<u8>, bool)> {
        let pieces: [&[u8]; 20] = [
            b"POST / HTTP/1.1\r\n",
            b"GET /x?y HTTP/1.1\r\n",
            b"PUT / HTTP/1.0\r\n",
            b"host: a\r\n",
            b"x-amz-target: TrentService.Decrypt\r\n",
            b"x-amz-target: \xc3\xbc\r\n",
            b"user-agent: codec-kit (encrypt)\r\n",
            b"content-length: 2\r\n",
            b"content-length: 99999999999\r\n",
            b"transfer-encoding: chunked\r\n",
            b"connection: close\r\n",
            b"x-amz-date: 20260101T000000Z\r\n",
            b"expect: 100-continue\r\n",
            b"authorization: AWS4-HMAC-SHA256 Credential=workshop/20260101/us-east-1/kms/aws4_request, \
              SignedHeaders=host;x-amz-date, Signature=00\r\n",
            b"\r\n",
            b"{}",
            b"5\r\n",
            b"ffffffffffffffff\r\n",
            b"0\r\n\r\n",
            b" ",
        ];
        let bodies: [&[u8]; 5] = [
            br#"{"KeyId": "alias/workshop", "Plaintext": "c2VjcmV0"}"#,
            br#"{"KeyId": "alias/workshop", "KeySpec": "AES_256"}"#,
            br#"{"CiphertextBlob": "AQEB"}"#,
            b"{}",
            b"\xff",
        ];
        let operations = ["Encrypt", "GenerateDataKey", "Decrypt", "ListKeys", "DescribeKey", "No"];
        if u.ratio(1, 2)? {
            return Ok((nearly(u, &pieces)?, false));
        }
        let one = signed(u.choose(&operations)?, u.choose(&bodies)?);
        match u.ratio(1, 4)? {
            true => Ok((one, true)),
            false => Ok(([changed(u, one)?, nearly(u, &pieces)?].concat(), false)),
        }
    }

    /// Connections of any bytes, without a socket. [`inputs`] says how to run more of them.
    #[test]
    fn no_connection_is_too_strange() {
        let (service, mut statuses) = (service(), BTreeMap::new());
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (_running, stopped) = watch::channel(false);
        inputs::each("connections", |u| {
            let (bytes, is_right) = connection(u)?;
            let answer = runtime.block_on(async {
                let (mut client, socket) = duplex(64 * 1024);
                let client = async {
                    // The service may have closed the connection by then.
                    let _ = client.write_all(&bytes).await;
                    if !is_right {
                        // hyper answers nothing once it has seen the end, so it gets some turns before.
                        for _ in 0..4 {
                            yield_now().await;
                        }
                        let _ = client.shutdown().await;
                    }
                    let mut answer = Vec::new();
                    let _ = client.read_to_end(&mut answer).await;
                    answer
                };
                let answering = answer_all(&service, socket, Reset::default(), stopped.clone());
                tokio::join!(client, answering).0
            });
            let answer = String::from_utf8_lossy(&answer);
            let status = answer.get("HTTP/1.1 ".len()..).and_then(|rest| rest.get(..3));
            let status = status.unwrap_or("none").to_owned();
            assert!(!is_right || status == "200" || status == "400", "{answer}");
            assert!(!is_right || !answer.contains("Signature"), "{answer}");
            assert!(["none", "100", "200", "400", "409", "431"].contains(&&*status), "{answer}");
            assert!(!answer.contains("c2VjcmV0"), "a plaintext is quoted");
            *statuses.entry(status).or_insert(0_u64) += 1;
            Ok(())
        });
        println!("connections: statuses {statuses:?}");
        let page = service.metrics.page();
        assert!(page.contains("workshop_key_service_calls_in_flight 0\n"), "{page}");
    }
}
