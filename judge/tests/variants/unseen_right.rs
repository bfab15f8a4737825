//! Codecs that wait without blocking: with retries, with I/O, with threads and tasks of their own.

use std::{
    io,
    net::SocketAddr,
    os::unix::net::UnixStream as StdUnixStream,
    sync::{Arc, Mutex as StdMutex, mpsc as std_mpsc},
    thread,
    time::{Duration, Instant},
};

use codec_kit::{
    AnyCodec, DataKey, DataKeys, KeyService, KeyServiceError, Payload, key_ids, open_all, seal_all,
};
use futures::{FutureExt, future::select_ok};
use judge::promises::{NEEDS_NO_THREAD, STALLS_TOGETHER};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    runtime,
    sync::{Mutex, OnceCell, mpsc, oneshot},
    task::{JoinSet, LocalSet, spawn_blocking},
    time::{sleep, timeout},
};

use super::{Counter, good, lock, second};
use crate::{
    AnyError, Variant,
    Verdict::{AtACost, Right, RightAtAnyCost, Wrong},
    both, codec, each, encodes, opens,
};

pub(super) fn variants() -> Vec<Variant> {
    [retries(), made_slowly(), input_and_output(), threads()].into_iter().flatten().collect()
}

fn retries() -> Vec<Variant> {
    vec![
        Variant {
            name: "right: two more tries, after 0.5 s and 1 s",
            make: |keys| tries_again(keys, |_| [500, 1000]),
            expected: both(Right),
        },
        Variant {
            name: "right: two more tries, after 1 s and 2 s",
            make: |keys| tries_again(keys, |_| [1000, 2000]),
            expected: both(Right),
        },
        Variant {
            name: "right: two more tries, after pauses that are random",
            make: |keys| tries_again(keys, |random| [random.u64(10..100), random.u64(100..300)]),
            expected: both(Right),
        },
        Variant {
            name: "right: a deadline of 5 s for each call, then an error",
            make: |keys| {
                const LIMIT: Duration = Duration::from_secs(5);
                codec(
                    keys,
                    |keys, payloads| async { timeout(LIMIT, good(keys, payloads)).await? },
                    |keys, payloads| async { timeout(LIMIT, opens(keys, payloads)).await? },
                )
            },
            expected: both(Right),
        },
        Variant {
            name: "right: a deadline of 5 s for a call and one more try",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let key = async {
                        let first = keys.data_key().await;
                        if first.is_ok() { first } else { keys.data_key().await }
                    };
                    Ok(seal_all(&timeout(Duration::from_secs(5), key).await??, payloads)?)
                })
            },
            expected: both(Right),
        },
        Variant {
            name: "right: a second request to decode when the first is late, the sooner one counts",
            make: |keys| {
                codec(keys, good, |keys, payloads| async move {
                    let second = async {
                        sleep(Duration::from_millis(80)).await;
                        opens(keys.clone(), payloads.clone()).await
                    };
                    let first = opens(keys.clone(), payloads.clone());
                    Ok(select_ok([first.boxed(), second.boxed()]).await?.0)
                })
            },
            expected: both(Right),
        },
        Variant {
            name: "right: after every fifth error, the next 100 ms of calls are errors at once",
            make: |keys| {
                let errors = Counter::default();
                let open_until = Arc::new(StdMutex::new(None::<Instant>));
                encodes(keys, move |keys, payloads| {
                    let (errors, open_until) = (errors.clone(), Arc::clone(&open_until));
                    async move {
                        if lock(&open_until).is_some_and(|until| until > Instant::now()) {
                            return Err("the key service has failed five times".into());
                        }
                        let sealed = good(keys, payloads).await;
                        if sealed.is_err() && errors.is_every(5) {
                            let pause = Duration::from_millis(100);
                            *lock(&open_until) = Some(Instant::now() + pause);
                        }
                        sealed
                    }
                })
            },
            // We are not sure: step 4 alone asks to cache no error, and the key service has not
            // given this one.
            expected: both(RightAtAnyCost),
        },
    ]
}

fn made_slowly() -> Vec<Variant> {
    vec![
        Variant {
            name: "right: 400 ms to make it",
            make: |keys| {
                thread::sleep(Duration::from_millis(400));
                encodes(keys, good)
            },
            expected: both(Right),
        },
        Variant {
            name: "right: 1 s to make it",
            make: |keys| {
                thread::sleep(Duration::from_secs(1));
                encodes(keys, good)
            },
            expected: both(Right),
        },
        Variant {
            name: "right: the first call takes 300 ms to connect, without blocking",
            make: |keys| {
                let connected = Arc::new(OnceCell::new());
                encodes(keys, move |keys, payloads| {
                    let connected = Arc::clone(&connected);
                    async move {
                        connected.get_or_init(|| sleep(Duration::from_millis(300))).await;
                        good(keys, payloads).await
                    }
                })
            },
            expected: both(Right),
        },
    ]
}

/// They use the runtime's I/O: it has to be enabled, as it is in a worker.
fn input_and_output() -> Vec<Variant> {
    vec![
        Variant {
            name: "right: a socket pair made with the codec, on the runtime from the first call on",
            make: |keys| {
                let pair = StdUnixStream::pair().expect("the system has socket pairs");
                let pair = StdMutex::new(Some(pair));
                let echo = Arc::new(OnceCell::new());
                let pair = Arc::new(pair);
                encodes(keys, move |keys, payloads| {
                    let (echo, pair): (Arc<OnceCell<Mutex<UnixStream>>>, _) =
                        (Arc::clone(&echo), Arc::clone(&pair));
                    async move {
                        let near = echo.get_or_try_init(async || {
                            let (near, far) = lock(&pair).take().ok_or("the pair is gone")?;
                            near.set_nonblocking(true)?;
                            far.set_nonblocking(true)?;
                            tokio::spawn(echoes(UnixStream::from_std(far)?));
                            Ok::<_, AnyError>(Mutex::new(UnixStream::from_std(near)?))
                        });
                        // One byte there and back, before the key is asked for.
                        ping(&mut *near.await?.lock().await).await?;
                        good(keys, payloads).await
                    }
                })
            },
            expected: both(Right),
        },
        Variant {
            // For that, `codec()` has to be called on the runtime. Today's worker makes the codec
            // before it enters its runtime: this one panics there.
            name: "right: a socket pair and a task that are made with the codec, on its runtime",
            make: |keys| {
                let (near, far) = UnixStream::pair().expect("the system has socket pairs");
                tokio::spawn(echoes(far));
                let near = Arc::new(Mutex::new(near));
                encodes(keys, move |keys, payloads| {
                    let near = Arc::clone(&near);
                    async move {
                        ping(&mut *near.lock().await).await?;
                        good(keys, payloads).await
                    }
                })
            },
            expected: both(Right),
        },
        Variant {
            name: "right: a TCP connection for each call",
            make: |keys| {
                let server = Arc::new(OnceCell::new());
                encodes(keys, move |keys, payloads| {
                    let server: Arc<OnceCell<SocketAddr>> = Arc::clone(&server);
                    async move {
                        let address = server.get_or_try_init(serve_echoes).await?;
                        ping(&mut TcpStream::connect(address).await?).await?;
                        good(keys, payloads).await
                    }
                })
            },
            // Its server is a task for as long as the runtime lives, and one for each connection.
            expected: both(Right),
        },
    ]
}

/// They have threads, or tasks, that live on.
fn threads() -> Vec<Variant> {
    vec![
        Variant {
            name: "right: a thread with a runtime and a LocalSet of its own asks for all keys",
            make: |keys| {
                let ask = local_thread();
                encodes(keys, move |keys, payloads| {
                    let ask = ask.clone();
                    async move {
                        let (answer, key) = oneshot::channel();
                        ask.send((keys, answer)).map_err(|_| "the thread is gone")?;
                        Ok(seal_all(&key.await??, payloads)?)
                    }
                })
            },
            expected: both(Right),
        },
        Variant {
            name: "right: four threads of its own, with a std channel, to encode and to decode",
            make: |keys| {
                let pool = Pool::start(4);
                let opening = pool.clone();
                codec(
                    keys,
                    move |keys, payloads| {
                        let key = pool.run(move || keys.data_key_blocking());
                        async move { Ok(seal_all(&key.await??, payloads)?) }
                    },
                    move |keys, payloads| {
                        let pool = opening.clone();
                        async move {
                            let mut found = DataKeys::default();
                            for id in key_ids(&payloads) {
                                let keys = keys.clone();
                                let key = pool.run(move || keys.data_key_by_id_blocking(&id));
                                found.insert(key.await??);
                            }
                            Ok(open_all(&found, payloads)?)
                        }
                    },
                )
            },
            expected: each(
                AtACost("stalls wait for each other"),
                Wrong(&[NEEDS_NO_THREAD, STALLS_TOGETHER]),
            ),
        },
        Variant {
            name: "right: a thread of its own answers all who wait with one key",
            make: |keys| {
                let (ask, asked) = std_mpsc::channel::<oneshot::Sender<Result<DataKey, String>>>();
                let service = keys.clone();
                thread::spawn(move || {
                    while let Ok(first) = asked.recv() {
                        let together: Vec<_> =
                            [first].into_iter().chain(asked.try_iter()).collect();
                        let key = service.data_key_blocking().map_err(|error| error.to_string());
                        for answer in together {
                            answer.send(key.clone()).ok();
                        }
                    }
                });
                encodes(keys, move |_, payloads| {
                    let ask = ask.clone();
                    async move {
                        let (answer, key) = oneshot::channel();
                        ask.send(answer)?;
                        Ok(seal_all(&key.await??, payloads)?)
                    }
                })
            },
            expected: second(AtACost("keys are shared")),
        },
        Variant {
            name: "right: spawn_blocking to encode and to decode, all of a call's keys at once",
            make: |keys| {
                codec(
                    keys,
                    |keys, payloads| async move {
                        let key = spawn_blocking(move || keys.data_key_blocking()).await??;
                        Ok(seal_all(&key, payloads)?)
                    },
                    |keys, payloads| async move {
                        let mut calls = JoinSet::new();
                        for id in key_ids(&payloads) {
                            let keys = keys.clone();
                            calls.spawn_blocking(move || keys.data_key_by_id_blocking(&id));
                        }
                        let found: Result<DataKeys, _> =
                            calls.join_all().await.into_iter().collect();
                        Ok(open_all(&found?, payloads)?)
                    },
                )
            },
            expected: each(Right, Wrong(&[NEEDS_NO_THREAD])),
        },
        Variant {
            name: "right: encrypts a call's payloads on two threads, after an async wait",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let key = keys.data_key().await?;
                    spawn_blocking(move || {
                        let (some, others) = payloads.split_at(payloads.len() / 2);
                        let seal = |part: &[Payload]| seal_all(&key, part.to_vec());
                        let (some, others) = thread::scope(|scope| {
                            let some = scope.spawn(|| seal(some));
                            (some.join(), seal(others))
                        });
                        let some = some.map_err(|_| "a thread panicked")?;
                        Ok::<_, AnyError>([some?, others?].concat())
                    })
                    .await?
                })
            },
            expected: both(Right),
        },
        Variant {
            name: "right: large payloads are encrypted and decrypted on the blocking pool",
            make: |keys| {
                let large = |payloads: &[Payload]| payloads.iter().any(|p| p.data.len() > 64 << 10);
                codec(
                    keys,
                    move |keys, payloads| async move {
                        let key = keys.data_key().await?;
                        if !large(&payloads) {
                            return Ok(seal_all(&key, payloads)?);
                        }
                        Ok(spawn_blocking(move || seal_all(&key, payloads)).await??)
                    },
                    move |keys, payloads| async move {
                        let mut found = DataKeys::default();
                        for id in key_ids(&payloads) {
                            found.insert(keys.data_key_by_id(&id).await?);
                        }
                        if !large(&payloads) {
                            return Ok(open_all(&found, payloads)?);
                        }
                        Ok(spawn_blocking(move || open_all(&found, payloads)).await??)
                    },
                )
            },
            expected: both(Right),
        },
        Variant {
            name: "right: a task that lives as long as the runtime asks for keys one by one",
            make: |keys| {
                let actor = Arc::new(OnceCell::new());
                encodes(keys, move |keys, payloads| {
                    let actor: Arc<OnceCell<mpsc::Sender<Ask>>> = Arc::clone(&actor);
                    async move {
                        let ask = actor.get_or_init(async || one_by_one()).await;
                        let (answer, key) = oneshot::channel();
                        ask.send((keys, answer)).await.map_err(|_| "the task is gone")?;
                        Ok(seal_all(&key.await??, payloads)?)
                    }
                })
            },
            expected: each(AtACost("stalls wait for each other"), Wrong(&[STALLS_TOGETHER])),
        },
        Variant {
            name: "right: a task that lives as long as the runtime counts calls every 50 ms",
            make: |keys| {
                let counter = Counter::default();
                let started = Arc::new(OnceCell::new());
                encodes(keys, move |keys, payloads| {
                    let (counter, started) = (counter.clone(), Arc::clone(&started));
                    async move {
                        counter.count();
                        started
                            .get_or_init(async || {
                                let counts = async move {
                                    loop {
                                        sleep(Duration::from_millis(50)).await;
                                        tracing::debug!(calls = ?counter.0, "so far");
                                    }
                                };
                                tokio::spawn(counts).abort_handle()
                            })
                            .await;
                        good(keys, payloads).await
                    }
                })
            },
            expected: both(Right),
        },
    ]
}

/// Two more tries, after pauses of so many milliseconds, to encode and to decode.
fn tries_again(keys: KeyService, pauses: fn(&mut fastrand::Rng) -> [u64; 2]) -> AnyCodec {
    codec(
        keys,
        move |keys, payloads| async move {
            for pause in pauses(&mut fastrand::Rng::new()) {
                match keys.data_key().await {
                    Ok(key) => return Ok(seal_all(&key, payloads)?),
                    Err(_) => sleep(Duration::from_millis(pause)).await,
                }
            }
            good(keys, payloads).await
        },
        move |keys, payloads| async move {
            for pause in pauses(&mut fastrand::Rng::new()) {
                match opens(keys.clone(), payloads.clone()).await {
                    // What is not for the key service to mend is not tried again.
                    Err(error) if error.to_string().contains("key service failed") => {}
                    done => return done,
                }
                sleep(Duration::from_millis(pause)).await;
            }
            opens(keys, payloads).await
        },
    )
}

/// Answers each byte with itself, until the other side is closed.
async fn echoes(mut far: impl AsyncReadExt + AsyncWriteExt + Unpin) -> io::Result<()> {
    loop {
        let byte = far.read_u8().await?;
        far.write_u8(byte).await?;
    }
}

async fn ping(near: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin)) -> io::Result<u8> {
    near.write_u8(7).await?;
    near.read_u8().await
}

/// A server on this machine that echoes.
async fn serve_echoes() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(echoes(connection));
        }
    });
    Ok(address)
}

type Key = Result<DataKey, KeyServiceError>;
type Ask = (KeyService, oneshot::Sender<Key>);

/// A thread with a runtime, where each request is a local task. It ends with the codec.
fn local_thread() -> mpsc::UnboundedSender<Ask> {
    let (ask, mut asked) = mpsc::unbounded_channel::<Ask>();
    thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_time().build();
        let local = LocalSet::new();
        local.block_on(&runtime.expect("a runtime can be started"), async {
            while let Some((keys, mut answer)) = asked.recv().await {
                tokio::task::spawn_local(async move {
                    tokio::select! {
                        key = keys.data_key() => drop(answer.send(key)),
                        () = answer.closed() => {}
                    }
                });
            }
        });
    });
    ask
}

/// A task that has one request at a time under way.
fn one_by_one() -> mpsc::Sender<Ask> {
    let (ask, mut asked) = mpsc::channel::<Ask>(100);
    tokio::spawn(async move {
        while let Some((keys, mut answer)) = asked.recv().await {
            tokio::select! {
                key = keys.data_key() => drop(answer.send(key)),
                () = answer.closed() => {}
            }
        }
    });
    ask
}

type Job = Box<dyn FnOnce() + Send>;

/// Threads that end with the codec.
#[derive(Clone)]
struct Pool(std_mpsc::Sender<Job>);

impl Pool {
    fn start(threads: usize) -> Self {
        let (jobs, waiting) = std_mpsc::channel::<Job>();
        let waiting = Arc::new(StdMutex::new(waiting));
        for _ in 0..threads {
            let waiting = Arc::clone(&waiting);
            thread::spawn(move || {
                let next = || lock(&waiting).recv().ok();
                while let Some(job) = next() {
                    job();
                }
            });
        }
        Self(jobs)
    }

    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (done, result) = oneshot::channel();
        let job = move || {
            // Nothing waits for a call that was cancelled.
            if !done.is_closed() {
                done.send(work()).ok();
            }
        };
        // The threads live as long as this sender.
        self.0.send(Box::new(job)).ok();
        result
    }
}
