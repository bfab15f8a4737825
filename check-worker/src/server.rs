//! What a Temporal server says itself: its round trip, and the backlog and the pollers of task queues.

mod access;
mod api;
mod grpc;

use std::time::{Duration, Instant};

use anyhow::Context;
use cli_kit::errln;
use tokio::time::timeout;

pub use access::Access;
use api::{DescribeTaskQueueRequest, DescribeTaskQueueResponse, Empty, TaskQueue};
use grpc::Channel;

/// How long a call may take, with what it takes to connect.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The number of calls; their median is the result.
const CALLS: usize = 5;
/// Task queues that are asked for; a worker has one or two.
const MOST_QUEUES: usize = 20;
/// The kinds of tasks of a queue, with their numbers in the API.
const KINDS: [(&str, i32); 2] = [("workflow", 1), ("activity", 2)];

/// What the server said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// The median round trip of a few calls, in seconds.
    pub round_trip: f64,
    /// The task queues that it knows.
    pub queues: Vec<Queue>,
}

/// Tasks of one kind in a task queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// `workflow` or `activity`.
    pub kind: &'static str,
    /// Tasks that wait on the server, without those of sticky queues.
    pub backlog: f64,
    /// How long the oldest of them has waited, in seconds.
    pub oldest: f64,
    /// Tasks that came, and tasks that went to workers, in a second, over the last 30 s.
    pub rates: (f64, f64),
    /// Workers that polled in the last minutes.
    pub pollers: usize,
}

/// Asks the server. Task queues that it does not know, or does not describe, are left out.
///
/// # Errors
/// When it does not answer, refuses the caller, or is no Temporal server.
pub fn ask(access: &Access, queues: &[String]) -> anyhow::Result<Seen> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let failed = || {
            format!("no answer from the Temporal server at {}; check --server", access.address())
        };
        let late = || format!("no answer within {} s", TIMEOUT.as_secs());
        let opened = timeout(TIMEOUT, Channel::open(access)).await.with_context(late);
        let mut channel = opened.with_context(failed)?.with_context(failed)?;
        let mut times = Vec::new();
        for _ in 0..CALLS {
            let since = Instant::now();
            let call = channel.call::<_, Empty>("GetSystemInfo", &Empty {});
            let answer = timeout(TIMEOUT, call).await.with_context(late);
            answer.with_context(failed)?.with_context(failed)?;
            times.push(since.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        let mut seen = Seen { round_trip: times[times.len() / 2], queues: Vec::new() };
        for name in queues.iter().take(MOST_QUEUES) {
            for (kind, number) in KINDS {
                let request = DescribeTaskQueueRequest {
                    namespace: access.namespace.clone(),
                    task_queue: Some(TaskQueue { name: name.clone() }),
                    task_queue_type: number,
                    report_stats: true,
                };
                let call = channel.call("DescribeTaskQueue", &request);
                match timeout(TIMEOUT, call).await.with_context(late).and_then(|answer| answer) {
                    Ok(answer) => seen.queues.extend(queue(name, kind, &answer)),
                    Err(error) => {
                        errln!("the server does not describe task queue {name}: {error:#}");
                        return Ok(seen);
                    }
                }
            }
        }
        Ok(seen)
    })
}

/// A queue that no worker polls is not the worker's: tally changes names on the page.
fn queue(name: &str, kind: &'static str, answer: &DescribeTaskQueueResponse) -> Option<Queue> {
    let stats = answer.stats.clone().unwrap_or_default();
    let age = stats.approximate_backlog_age.unwrap_or_default();
    (!answer.pollers.is_empty()).then(|| Queue {
        name: name.to_owned(),
        kind,
        backlog: stats.approximate_backlog_count.max(0) as f64,
        oldest: age.seconds.max(0) as f64 + f64::from(age.nanos.max(0)) / 1e9,
        rates: (f64::from(stats.tasks_add_rate), f64::from(stats.tasks_dispatch_rate)),
        pollers: answer.pollers.len(),
    })
}

#[cfg(test)]
mod tests {
    use std::{io::Write, net::TcpListener, thread};

    use super::*;

    #[test]
    fn what_is_no_server_is_a_clear_error() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let serve = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        });
        let access = Access::of(&address, "default", |_| None).unwrap();
        let error = format!("{:#}", ask(&access, &[]).unwrap_err());
        serve.join().unwrap();
        assert!(error.contains(&address) && error.contains("--server"), "{error}");
    }

    #[test]
    fn a_queue_without_pollers_is_left_out() {
        let mut answer = DescribeTaskQueueResponse::default();
        assert_eq!(queue("a", "workflow", &answer), None);
        answer.pollers.push(Empty {});
        answer.stats = Some(api::TaskQueueStats {
            approximate_backlog_count: 3,
            approximate_backlog_age: Some(api::Length { seconds: 1, nanos: 500_000_000 }),
            tasks_add_rate: 2.0,
            tasks_dispatch_rate: 1.0,
        });
        let seen = queue("a", "workflow", &answer).unwrap();
        assert_eq!((seen.backlog, seen.oldest, seen.rates), (3.0, 1.5, (2.0, 1.0)));
        assert_eq!(seen.pollers, 1);
    }
}
