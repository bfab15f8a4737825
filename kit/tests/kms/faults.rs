//! What the clients do when the service is slow, fails, throttles, cuts, falls silent or is not there.

use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use codec_kit::kms::{AsyncClient, BlockingClient, KmsError, Settings};
use key_service::{Faults, Server};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
};

use crate::support::{
    ALIAS, Client, LIMIT, context, credentials, metric, server, settings, wait_for,
};

/// Every call is asked three times, and then fails with an error that says so.
fn is_asked_again(faults: Faults, fault: &str, says: &str) {
    let server = server(faults);
    for client in &Client::both(&settings(&server.endpoint())) {
        let error = client.encrypt(ALIAS, b"x", &context(&[])).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("asked 3 times"), "{error}");
        assert_eq!((client.attempts().calls, client.attempts().retries), (1, 2));
    }
    // Three from each client, and the fault is in the metrics.
    let labels = [format!("fault=\"{fault}\""), "operation=\"Encrypt\"".to_owned()];
    let dealt = metric(&server, "faults_total", &[&labels[0], &labels[1]]);
    assert_eq!(dealt, 6.0, "{}", server.metrics());
}

#[test]
fn a_failure_is_asked_again_twice() {
    let faults = Faults { failure_rate: 1.0, ..Faults::default() };
    is_asked_again(faults, "failure", "KMSInternalException");
}

#[test]
fn a_reset_in_the_middle_of_an_answer_is_asked_again_twice() {
    let faults = Faults { reset_rate: 1.0, ..Faults::default() };
    is_asked_again(faults, "reset", "got no answer from http://127.0.0.1:");
}

#[test]
fn throttled_calls_are_asked_again_until_one_is_answered() {
    let server = server(Faults { throttle_per_second: Some(1), ..Faults::default() });
    for client in &Client::both(&settings(&server.endpoint())) {
        // The first uses what was saved up, unless the other client has.
        let results: Vec<_> = (0..5).map(|_| client.encrypt(ALIAS, b"x", &context(&[]))).collect();
        let throttled = results.iter().filter_map(|result| result.as_ref().err());
        let names: Vec<_> = throttled.map(|error| error.name().unwrap().to_owned()).collect();
        assert!(!names.is_empty() && names.iter().all(|name| name == "ThrottlingException"));
        assert!(client.attempts().retries >= 2 * names.len() as u64);
    }
    assert!(metric(&server, "faults_total", &["fault=\"throttle\""]) >= 4.0);
}

/// With one failure in three a call succeeds all the same, nearly always.
#[test]
fn asking_again_helps() {
    let server = server(Faults { failure_rate: 0.3, ..Faults::default() });
    for client in &Client::both(&settings(&server.endpoint())) {
        let ok = (0..100).filter(|_| client.encrypt(ALIAS, b"x", &context(&[])).is_ok()).count();
        // 0.3 * 0.3 * 0.3 is 2.7%. The seed is fixed, so this is no matter of chance.
        assert!(ok >= 90, "{ok} of 100");
        assert!(client.attempts().retries >= 20, "{:?}", client.attempts());
    }
}

#[test]
fn a_refused_connection_is_an_error_and_the_service_comes_back() {
    let server = server(Faults::default());
    let clients = Client::both(&settings(&server.endpoint()));
    for client in &clients {
        client.encrypt(ALIAS, b"x", &context(&[])).unwrap();
    }
    server.set_faults(Faults { refuse: true, ..Faults::default() }).unwrap();
    wait_for("the end of all connections", || server.connections() == 0);
    for client in &clients {
        let error = client.encrypt(ALIAS, b"x", &context(&[])).unwrap_err();
        assert!(matches!(error, KmsError::NoAnswer { attempts: 3, .. }), "{error}");
        assert!(error.to_string().contains("refused"), "{error}");
    }
    server.set_faults(Faults::default()).unwrap();
    for client in &clients {
        wait_for("the service", || client.encrypt(ALIAS, b"x", &context(&[])).is_ok());
    }
}

#[test]
fn a_stall_takes_its_time_and_is_counted() {
    let stall = Duration::from_millis(60);
    let stalls = vec!["Decrypt=1@60ms".parse().unwrap()];
    let server = server(Faults { stalls, ..Faults::default() });
    for client in &Client::both(&settings(&server.endpoint())) {
        let blob = client.encrypt(ALIAS, b"x", &context(&[])).unwrap();
        let start = Instant::now();
        client.decrypt(&blob, &context(&[])).unwrap();
        assert!(start.elapsed() >= stall);
    }
    let labels = ["operation=\"Decrypt\"", "fault=\"stall\""];
    assert_eq!(metric(&server, "faults_total", &labels), 2.0);
    assert!(
        metric(&server, "call_duration_seconds_sum", &labels[..1]) >= 2.0 * stall.as_secs_f64()
    );
}

#[test]
fn an_answer_that_never_comes_ends_with_the_time_limit() {
    let limit = Duration::from_secs(2);
    let server = server(Faults { hang_rate: 1.0, ..Faults::default() });
    let settings = settings(&server.endpoint()).with_timeouts(LIMIT, limit);
    for client in &Client::both(&settings) {
        let start = Instant::now();
        let error = client.encrypt(ALIAS, b"x", &context(&[])).unwrap_err();
        assert!((limit..LIMIT).contains(&start.elapsed()), "{:?}", start.elapsed());
        assert!(matches!(error, KmsError::TooSlow { attempts: 1, .. }), "{error}");
        assert!(error.to_string().contains("within 2 s"), "{error}");
        assert_eq!(client.attempts().retries, 0);
    }
    wait_for("the end of both calls", || {
        metric(&server, "calls_total", &["result=\"cancelled\""]) == 2.0
    });
}

/// A port that takes no connection: its queue is full.
#[test]
fn a_connection_that_never_comes_has_a_limit_of_its_own() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    // Filled once a connection is not made at once.
    let mut queue = Vec::new();
    while let Ok(stream) =
        std::net::TcpStream::connect_timeout(&address, Duration::from_millis(300))
    {
        queue.push(stream);
        assert!(queue.len() < 1000, "the queue has no end");
    }
    let limit = Duration::from_millis(100);
    for client in &Client::both(&settings(&format!("http://{address}")).with_timeouts(limit, LIMIT))
    {
        let start = Instant::now();
        let error = client.encrypt(ALIAS, b"x", &context(&[])).unwrap_err();
        assert!(error.to_string().contains("no connection within 0.1 s; asked 3 times"), "{error}");
        assert!(start.elapsed() >= 3 * limit && start.elapsed() < LIMIT);
    }
}

#[test]
fn wrong_credentials_are_not_asked_again_and_right_ones_work() {
    let server = server(Faults::default());
    let with = |id: &str, secret: &str| {
        let credentials = codec_kit::kms::Credentials::new(id, secret).unwrap();
        let settings = Settings::new("us-east-1", credentials).unwrap();
        settings.with_endpoint(&server.endpoint()).unwrap()
    };
    for (settings, name, says) in [
        (with("workshop", "another"), "InvalidSignatureException", "check AWS_SECRET_ACCESS_KEY"),
        (with("another", "not-a-secret"), "UnrecognizedClientException", "check AWS_ACCESS_KEY_ID"),
        (
            Settings::new("eu-west-1", credentials())
                .unwrap()
                .with_endpoint(&server.endpoint())
                .unwrap(),
            "InvalidSignatureException",
            "us-east-1",
        ),
    ] {
        for client in &Client::both(&settings) {
            let error = client.encrypt(ALIAS, b"x", &context(&[])).unwrap_err();
            assert_eq!(error.name(), Some(name), "{error}");
            assert!(error.to_string().contains(says), "{error}");
            assert!(!error.to_string().contains("not-a-secret"), "{error}");
            assert_eq!(client.attempts().retries, 0);
        }
    }
    for client in &Client::both(&with("workshop", "not-a-secret")) {
        client.encrypt(ALIAS, b"x", &context(&[])).unwrap();
    }
}

/// A service, an async client of it, and a runtime with one thread.
fn async_client(faults: Faults) -> (Server, AsyncClient, Runtime) {
    let server = server(faults);
    let client = AsyncClient::new(&settings(&server.endpoint())).unwrap();
    (server, client, Builder::new_current_thread().enable_all().build().unwrap())
}

/// Polls a call until that is so, and drops it.
async fn dropped_once<T>(call: impl Future<Output = T>, is_so: impl Fn() -> bool) {
    let mut call = std::pin::pin!(call);
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LIMIT);
        let _ = tokio::time::timeout(Duration::from_millis(1), &mut call).await;
    }
}

/// The promise of the async client: what is dropped leaves nothing behind.
#[test]
fn dropping_a_call_closes_its_connection_and_leaves_no_task() {
    let (server, client, runtime) = async_client(Faults { hang_rate: 1.0, ..Faults::default() });
    let calls = 50;
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for _ in 0..calls {
            let client = client.clone();
            tasks.spawn(async move { client.encrypt(ALIAS, b"x", &context(&[])).await });
        }
        let start = Instant::now();
        while metric(&server, "faults_total", &["fault=\"hang\""]) < f64::from(calls) {
            assert!(start.elapsed() < LIMIT, "{}", server.metrics());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(server.connections(), 50);
        tasks.shutdown().await;
        let metrics = tokio::runtime::Handle::current().metrics();
        while server.connections() > 0 || metrics.num_alive_tasks() > 0 {
            let tasks = metrics.num_alive_tasks();
            assert!(start.elapsed() < LIMIT, "{tasks} tasks, {}", server.metrics());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert_eq!(metric(&server, "calls_total", &["result=\"cancelled\""]), f64::from(calls));
    // The client is as good as new.
    server.set_faults(Faults::default()).unwrap();
    runtime.block_on(client.encrypt(ALIAS, b"x", &context(&[]))).unwrap();
}

/// A service whose last connection has ended has counted every call, also those it answered to no client.
#[test]
fn a_connection_is_open_until_its_call_is_counted() {
    let (server, client, runtime) = async_client(Faults { hang_rate: 1.0, ..Faults::default() });
    let calls = 100;
    for dropped in 1..=calls {
        runtime.block_on(async {
            let nothing = context(&[]);
            let hang = || metric(&server, "faults_total", &["fault=\"hang\""]);
            dropped_once(client.encrypt(ALIAS, b"x", &nothing), || hang() >= f64::from(dropped))
                .await;
        });
        // Without a pause, to look as soon as it has ended.
        let start = Instant::now();
        while server.connections() > 0 {
            assert!(start.elapsed() < LIMIT, "{}", server.metrics());
            runtime.block_on(tokio::task::yield_now());
        }
        let cancelled = metric(&server, "calls_total", &["result=\"cancelled\""]);
        assert_eq!(cancelled, f64::from(dropped));
    }
}

/// A call that is dropped while it pauses before it asks again is asked no more.
#[test]
fn dropping_a_call_ends_its_retries() {
    let (server, client, runtime) = async_client(Faults { failure_rate: 1.0, ..Faults::default() });
    runtime.block_on(async {
        let nothing = context(&[]);
        let call = client.encrypt(ALIAS, b"x", &nothing);
        dropped_once(call, || client.attempts().retries > 0).await;
        let before = client.attempts();
        assert!(before.retries <= 2 && before.calls == 1, "{before:?}");
        // Other calls, with all their pauses: the first one's next pause would end before these do.
        for _ in 0..5 {
            client.encrypt(ALIAS, b"x", &nothing).await.unwrap_err();
        }
        let after = client.attempts();
        assert_eq!((after.calls, after.retries), (before.calls + 5, before.retries + 2 * 5));
    });
    // Three of the first call, and of each other.
    let seen = metric(&server, "faults_total", &["fault=\"failure\""]);
    assert!(seen <= 3.0 * 6.0, "{seen}");
}

#[test]
fn many_calls_at_a_time_share_connections_and_all_come_back() {
    let server = server(Faults::default());
    let settings = settings(&server.endpoint());
    let blocking = BlockingClient::new(&settings).unwrap();
    let threads = 16;
    let start = Barrier::new(threads);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                start.wait();
                for _ in 0..20 {
                    blocking.encrypt(ALIAS, b"x", &context(&[])).unwrap();
                }
            });
        }
    });
    assert!(server.connections() <= threads, "{}", server.metrics());
    let client = AsyncClient::new(&settings).unwrap();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for _ in 0..320 {
            let client = client.clone();
            tasks.spawn(async move { client.encrypt(ALIAS, b"x", &context(&[])).await.is_ok() });
        }
        assert!(tasks.join_all().await.into_iter().all(|ok| ok));
    });
    assert_eq!(metric(&server, "calls_total", &["result=\"ok\""]), 640.0);
    drop((blocking, client, runtime));
    wait_for("the end of all connections", || server.connections() == 0);
}
