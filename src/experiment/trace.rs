//! `--trace`: the threads of several workers in one file, in Chrome's trace event format. Each worker has written
//! its own, see `greeting::trace`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::codec::Codec;

/// What a worker has written, or all of them together.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Trace {
    display_time_unit: String,
    trace_events: Vec<Value>,
}

/// Writes the traces of these codecs' workers to `file`, each as a process with the codec's name.
///
/// # Errors
/// When one of them can't be read, or `file` can't be written.
pub fn merge(traces: &[(Codec, PathBuf)], file: &Path) -> anyhow::Result<()> {
    let mut all = Trace { display_time_unit: "ms".to_owned(), trace_events: Vec::new() };
    for (number, (codec, path)) in (1..).zip(traces) {
        let text = fs::read_to_string(path)
            .with_context(|| format!("can't read the trace {}", path.display()))?;
        let trace: Trace = serde_json::from_str(&text)
            .with_context(|| format!("{} is not a trace", path.display()))?;
        for (name, args) in [
            ("process_name", json!({"name": codec.to_string()})),
            ("process_sort_index", json!({"sort_index": number})),
        ] {
            let event = json!({"ph": "M", "name": name, "pid": number, "tid": 0, "args": args});
            all.trace_events.push(event);
        }
        for mut event in trace.trace_events {
            // The system may give one worker's process id to another.
            event["pid"] = number.into();
            all.trace_events.push(event);
        }
    }
    let text = serde_json::to_string(&all)?;
    fs::write(file, text).with_context(|| format!("can't write the trace to {}", file.display()))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::{super::codec::Reference, *};

    #[test]
    fn each_worker_becomes_a_process_of_its_own() {
        let folder = TempDir::new().unwrap();
        let traces = [Reference::Blocking, Reference::Async].map(|codec| {
            let path = folder.path().join(format!("{codec:?}"));
            let poll = json!({"ph": "X", "name": "encode", "pid": 7, "tid": 1, "ts": 1, "dur": 2});
            let trace = json!({"displayTimeUnit": "ms", "traceEvents": [poll]});
            fs::write(&path, trace.to_string()).unwrap();
            (Codec::Reference(codec), path)
        });
        let file = folder.path().join("all.json");
        merge(&traces, &file).unwrap();
        let all: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let events = all["traceEvents"].as_array().unwrap();
        let of = |pid: u64| events.iter().filter(move |event| event["pid"] == pid);
        for (pid, name) in [(1, "blocking"), (2, "async")] {
            let named = |event: &&Value| event["args"]["name"] == name;
            assert_eq!(of(pid).filter(named).count(), 1, "{all:#}");
            assert_eq!(of(pid).filter(|event| event["ph"] == "X").count(), 1, "{all:#}");
        }
        assert_eq!(events.len(), 6, "{all:#}");
    }
}
