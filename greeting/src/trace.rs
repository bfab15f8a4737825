//! The thread's timeline in Chrome's trace event format, which <https://ui.perfetto.dev> opens: each poll of the
//! codec of 1 ms or longer is a complete event (`"ph":"X"`), in microseconds, on the thread that it held. The
//! format: <https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU>.

use std::{collections::BTreeMap, fs, path::Path, process, time::SystemTime};

use anyhow::Context;
use codec_kit::LongPoll;
use serde_json::{Value, json};

/// Writes it to a file.
///
/// # Errors
/// When the file can't be written.
pub fn write(file: &Path, polls: &[LongPoll]) -> anyhow::Result<()> {
    let text = serde_json::to_string(&events(polls))?;
    fs::write(file, text).with_context(|| format!("can't write the trace to {}", file.display()))
}

fn events(polls: &[LongPoll]) -> Value {
    let pid = process::id();
    let mut threads = BTreeMap::new();
    for poll in polls {
        let next = threads.len() + 1;
        threads.entry(&*poll.thread).or_insert(next);
    }
    let names = threads.iter().map(|(name, tid)| {
        json!({"ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": {"name": name}})
    });
    let micros = |at: SystemTime| {
        at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1e6
    };
    let polls = polls.iter().map(|poll| {
        json!({
            "ph": "X",
            "cat": "codec",
            "name": poll.operation,
            "pid": pid,
            "tid": threads[&*poll.thread],
            "ts": micros(poll.started),
            "dur": poll.lasted.as_secs_f64() * 1e6,
            "args": {"payloads": poll.payloads, "bytes": poll.bytes},
        })
    });
    json!({"displayTimeUnit": "ms", "traceEvents": names.chain(polls).collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    use codec_kit::{
        CodecFuture, Error, Figures, Observed, Payload, PayloadCodec, SerializationContextData,
        codec_future,
    };

    use super::*;

    struct Blocks;

    impl PayloadCodec for Blocks {
        fn encode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
            thread::sleep(Duration::from_millis(5));
            codec_future(async move { Ok::<_, Error>(payloads) })
        }
        fn decode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
            codec_future(async move { Ok::<_, Error>(payloads) })
        }
    }

    #[test]
    fn each_poll_is_an_event_on_its_thread() {
        let codec = Observed::with_figures(Blocks, Figures::default());
        let payload = Payload { data: vec![0; 7], ..Payload::default() };
        drop(codec.encode(&SerializationContextData::None, vec![payload]));
        let folder = std::env::temp_dir().join(format!("trace-{}.json", process::id()));
        write(&folder, &codec.figures().long_polls()).unwrap();
        let trace: Value = serde_json::from_str(&fs::read_to_string(&folder).unwrap()).unwrap();
        fs::remove_file(folder).unwrap();
        let [name, poll] = &trace["traceEvents"].as_array().unwrap()[..] else {
            panic!("{trace:#}")
        };
        assert_eq!((&name["ph"], &name["tid"]), (&"M".into(), &1.into()));
        assert_eq!(name["args"]["name"], thread::current().name().unwrap());
        assert_eq!(
            (&poll["ph"], &poll["name"], &poll["tid"]),
            (&"X".into(), &"encode".into(), &1.into())
        );
        assert_eq!(poll["args"], json!({"payloads": 1, "bytes": 7}));
        assert!(poll["dur"].as_f64().unwrap() >= 5_000.0, "{poll:#}");
    }
}
