//! Codecs that grow with every call.
//!
//! Most grow with every tenth call only, so that those that we start do not use up the machine.

use std::{
    collections::HashMap,
    fs::File,
    future::pending,
    mem,
    net::TcpListener,
    os::unix::net::UnixStream,
    process::{Command, Stdio},
    sync::{Arc, Mutex as StdMutex},
    thread,
    time::Duration,
};

use codec_kit::{AnyCodec, KeyService, Observed, Payload};
use judge::promises::{DOES_NOT_GROW, LEAVES_NOTHING};
use solutions::Step;
use tokio::time::sleep;

use super::{Counter, blocking, first, good, last, lock};
use crate::{
    Variant,
    Verdict::{Wrong, WrongSomehow},
    both, codec, encodes, opens,
};

/// How long an unwanted child process lives, in seconds: long enough for the checks to see it, short enough
/// for the machine.
const CHILD: &str = "20";

pub(super) fn variants() -> Vec<Variant> {
    [memory(), files(), children(), threads_and_tasks()].into_iter().flatten().collect()
}

fn memory() -> Vec<Variant> {
    vec![
        Variant {
            name: "encode stores every payload for ever",
            make: |keys| {
                let all = Arc::new(StdMutex::new(Vec::new()));
                encodes(keys, move |keys, payloads| {
                    lock(&all).extend(payloads.iter().cloned());
                    good(keys, payloads)
                })
            },
            expected: both(WrongSomehow),
        },
        Variant {
            name: "decode stores every payload for ever",
            make: |keys| {
                let all = Arc::new(StdMutex::new(HashMap::new()));
                codec(keys, good, move |keys, payloads| {
                    let all: Arc<StdMutex<HashMap<Vec<u8>, Payload>>> = Arc::clone(&all);
                    async move {
                        let data: Vec<_> =
                            payloads.iter().map(|payload| payload.data.clone()).collect();
                        let opened = opens(keys, payloads).await?;
                        lock(&all).extend(data.into_iter().zip(opened.iter().cloned()));
                        Ok(opened)
                    }
                })
            },
            expected: both(WrongSomehow),
        },
        Variant {
            name: "decode leaks a copy of the payloads",
            make: |keys| {
                codec(keys, good, |keys, payloads| {
                    mem::forget(payloads.clone());
                    opens(keys, payloads)
                })
            },
            expected: both(WrongSomehow),
        },
        Variant {
            name: "each call leaks 64 KiB",
            make: |keys| {
                encodes(keys, |keys, payloads| {
                    Box::leak(vec![7_u8; 64 << 10].into_boxed_slice());
                    good(keys, payloads)
                })
            },
            expected: both(WrongSomehow),
        },
        Variant {
            name: "a task stores each call's payloads for an hour",
            make: |keys| {
                encodes(keys, |keys, payloads| {
                    let copy = payloads.clone();
                    tokio::spawn(async move {
                        sleep(Duration::from_secs(3600)).await;
                        drop(copy);
                    });
                    good(keys, payloads)
                })
            },
            expected: both(Wrong(&[LEAVES_NOTHING])),
        },
        Variant {
            name: "exercise 1: stores every payload for ever",
            make: |keys| {
                let all = Arc::new(StdMutex::new(Vec::new()));
                observed(keys, move |keys, payloads| {
                    lock(&all).extend(payloads.iter().cloned());
                    blocking(keys, payloads)
                })
            },
            expected: first(WrongSomehow),
        },
    ]
}

fn files() -> Vec<Variant> {
    vec![
        Variant {
            name: "each call opens a file and never closes it",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    mem::forget(File::open("/dev/null"));
                    good(keys, payloads).await
                })
            },
            expected: both(WrongSomehow),
        },
        Variant {
            name: "each call that decodes opens two sockets and never closes them",
            make: |keys| {
                let sockets = Arc::new(StdMutex::new(Vec::new()));
                codec(keys, good, move |keys, payloads| {
                    lock(&sockets).extend(UnixStream::pair().ok());
                    opens(keys, payloads)
                })
            },
            expected: both(WrongSomehow),
        },
        Variant {
            name: "a call that fails leaves a listening port behind",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let port = TcpListener::bind("127.0.0.1:0")?;
                    let sealed = good(keys, payloads).await;
                    if sealed.is_err() {
                        mem::forget(port);
                    }
                    sealed
                })
            },
            expected: both(WrongSomehow),
        },
        Variant {
            name: "exercise 1: each call opens a file and never closes it",
            make: |keys| {
                observed(keys, |keys, payloads| {
                    mem::forget(File::open("/dev/null"));
                    blocking(keys, payloads)
                })
            },
            expected: first(WrongSomehow),
        },
    ]
}

fn children() -> Vec<Variant> {
    vec![
        Variant {
            name: "every tenth call starts a program that stays",
            make: |keys| starts_a_child(keys, |_| command("sleep", &[CHILD])),
            expected: both(WrongSomehow),
        },
        Variant {
            name: "every tenth call starts a program that stays, in a session of its own",
            make: |keys| starts_a_child(keys, |_| command("setsid", &["sleep", CHILD])),
            expected: both(WrongSomehow),
        },
        Variant {
            name: "every tenth call starts a program that starts one that stays",
            make: |keys| {
                starts_a_child(keys, |_| command("sh", &["-c", &format!("setsid sleep {CHILD} &")]))
            },
            expected: both(WrongSomehow),
        },
        Variant {
            // Each is a process that has exited, and whose status is never read.
            name: "every tenth call starts a program that nothing waits for",
            make: |keys| starts_a_child(keys, |_| command("true", &[])),
            expected: both(WrongSomehow),
        },
        Variant {
            name: "every tenth call shows its plaintext in the arguments of a program",
            make: |keys| {
                starts_a_child(keys, |payloads| {
                    let text =
                        payloads.first().map(|payload| payload.data.escape_ascii().to_string());
                    let text: String = text.unwrap_or_default().chars().take(60).collect();
                    command("sh", &["-c", "sleep 1; : \"$0\"", &text])
                })
            },
            expected: both(WrongSomehow),
        },
        Variant {
            name: "exercise 1: every tenth call starts a program that stays",
            make: |keys| {
                let calls = Counter::default();
                observed(keys, move |keys, payloads| {
                    if calls.is_every(10) {
                        command("sleep", &[CHILD]).spawn().ok();
                    }
                    blocking(keys, payloads)
                })
            },
            expected: first(WrongSomehow),
        },
    ]
}

fn threads_and_tasks() -> Vec<Variant> {
    vec![
        Variant {
            name: "every tenth call starts a thread that never ends",
            make: |keys| {
                let calls = Counter::default();
                encodes(keys, move |keys, payloads| {
                    if calls.is_every(10) {
                        never_ends();
                    }
                    good(keys, payloads)
                })
            },
            expected: both(Wrong(&[LEAVES_NOTHING, DOES_NOT_GROW])),
        },
        Variant {
            name: "every tenth call that decodes starts a thread that never ends",
            make: |keys| {
                let calls = Counter::default();
                codec(keys, good, move |keys, payloads| {
                    if calls.is_every(10) {
                        never_ends();
                    }
                    opens(keys, payloads)
                })
            },
            expected: both(Wrong(&[LEAVES_NOTHING, DOES_NOT_GROW])),
        },
        Variant {
            name: "each call that decodes starts a task that never ends",
            make: |keys| {
                codec(keys, good, |keys, payloads| {
                    tokio::spawn(pending::<()>());
                    opens(keys, payloads)
                })
            },
            expected: both(Wrong(&[LEAVES_NOTHING])),
        },
        Variant {
            name: "each call that succeeds starts a task that never ends",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let sealed = good(keys, payloads).await?;
                    tokio::spawn(pending::<()>());
                    Ok(sealed)
                })
            },
            expected: both(Wrong(&[LEAVES_NOTHING, DOES_NOT_GROW])),
        },
        Variant {
            name: "each call that fails starts a task that never ends",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let sealed = good(keys, payloads).await;
                    if sealed.is_err() {
                        tokio::spawn(pending::<()>());
                    }
                    sealed
                })
            },
            expected: both(WrongSomehow),
        },
        Variant {
            name: "a cache, and each call starts a task that never ends",
            make: |keys| {
                let cached = Step::BeyondAsync.codec(keys.clone());
                encodes(keys, move |_, payloads| {
                    tokio::spawn(pending::<()>());
                    let context = codec_kit::SerializationContextData::None;
                    let sealed = codec_kit::PayloadCodec::encode(&cached, &context, payloads);
                    async move { Ok(sealed.await?) }
                })
            },
            // decode caches nothing, which is wrong as well.
            expected: last(WrongSomehow),
        },
        Variant {
            name: "exercise 1: every tenth call starts a thread that never ends",
            make: |keys| {
                let calls = Counter::default();
                observed(keys, move |keys, payloads| {
                    if calls.is_every(10) {
                        never_ends();
                    }
                    blocking(keys, payloads)
                })
            },
            expected: first(WrongSomehow),
        },
        Variant {
            name: "exercise 1: each call starts a thread that never ends",
            make: |keys| {
                observed(keys, |keys, payloads| {
                    never_ends();
                    blocking(keys, payloads)
                })
            },
            expected: first(Wrong(&[DOES_NOT_GROW])),
        },
        Variant {
            name: "exercise 1: each call starts a task that never ends",
            make: |keys| {
                observed(keys, |keys, payloads| {
                    tokio::spawn(pending::<()>());
                    blocking(keys, payloads)
                })
            },
            expected: first(WrongSomehow),
        },
    ]
}

/// The codec of exercise 1 that encodes so.
fn observed<F>(
    keys: KeyService,
    encode: impl Fn(KeyService, Vec<Payload>) -> F + Send + Sync + 'static,
) -> AnyCodec
where
    F: Future<Output = crate::Done> + Send + 'static,
{
    AnyCodec::new(Observed::new(codec(keys, encode, super::opens_blocking)))
}

fn starts_a_child(keys: KeyService, child: fn(&[Payload]) -> Command) -> AnyCodec {
    let calls = Counter::default();
    encodes(keys, move |keys, payloads| {
        if calls.is_every(10) {
            child(&payloads).spawn().ok();
        }
        good(keys, payloads)
    })
}

/// A program that does not hold on to what the judge reads.
fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn never_ends() {
    let thread = thread::Builder::new().stack_size(16 << 10);
    thread
        .spawn(|| {
            loop {
                thread::park()
            }
        })
        .ok();
}
