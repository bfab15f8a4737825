//! Recordings without the names of queues, namespaces, workflows and activities.

use ring::{
    digest,
    rand::{SecureRandom, SystemRandom},
};

use crate::metric::recognise;

/// Labels whose values the SDKs choose, so they reveal nothing about the user.
const KEPT: [&str; 17] = [
    "le",
    "quantile",
    "operation",
    "status_code",
    "poller_type",
    "worker_type",
    "failure_reason",
    "cause",
    "service_name",
    "client_name",
    "eager",
    "query_type",
    "otel_scope_name",
    "otel_scope_version",
    "exception",
    "slot_supplier_kind",
    "systemworker",
];

/// Replaces names by digests. Within a run, the same name has the same digest. Another run has other digests,
/// so a digest can't be looked up in a list of names.
#[derive(Debug)]
pub struct Anonymous {
    salt: [u8; 16],
}

impl Anonymous {
    /// With digests of its own.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn new() -> anyhow::Result<Self> {
        let mut salt = [0; 16];
        SystemRandom::new()
            .fill(&mut salt)
            .map_err(|_| anyhow::anyhow!("the system gave no random numbers"))?;
        Ok(Self { salt })
    }

    fn digest(&self, value: &str) -> String {
        let bytes = [self.salt.as_slice(), value.as_bytes()].concat();
        let digest = digest::digest(&digest::SHA256, &bytes);
        digest.as_ref()[..6].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The page with digests for names. Series that are not an SDK's are left out, because they may contain
    /// anything.
    pub fn page(&self, body: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(body);
        let mut page = String::with_capacity(text.len());
        for line in text.lines() {
            let name = if let Some(comment) = line.strip_prefix("# ") {
                comment.split(' ').nth(1).unwrap_or("")
            } else {
                line.split(['{', ' ']).next().unwrap_or("")
            };
            if recognise(name).is_none() && !is_family(name) {
                continue;
            }
            // A HELP is the SDK's, unless the application wrote it.
            if line.starts_with('#') && !line.starts_with("# TYPE") {
                continue;
            }
            page.push_str(&self.line(line));
            page.push('\n');
        }
        page.into_bytes()
    }

    fn line(&self, line: &str) -> String {
        let Some((name, rest)) = line.split_once('{').filter(|_| !line.starts_with('#')) else {
            return line.to_owned();
        };
        let mut out = format!("{name}{{");
        let mut rest = rest;
        loop {
            rest = rest.trim_start_matches([',', ' ']);
            if let Some(after) = rest.strip_prefix('}') {
                // An exemplar may contain a trace id.
                let value = after.split(" # ").next().unwrap_or(after);
                return format!("{}}}{value}", out.trim_end_matches(','));
            }
            let Some((label, after)) = rest.split_once("=\"") else { return String::new() };
            let Some(end) = end_of_quoted(after) else { return String::new() };
            let value = &after[..end];
            let keeps = KEPT.contains(&label) || matches!(value, "" | "none");
            let value = if keeps { value.to_owned() } else { self.digest(value) };
            out.push_str(&format!("{label}=\"{value}\","));
            rest = &after[end + 1..];
        }
    }
}

/// `# TYPE` names a histogram without `_bucket`, `_count` and `_sum`.
fn is_family(name: &str) -> bool {
    recognise(&format!("{name}_count")).is_some()
}

fn end_of_quoted(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, char)| {
        let ends = char == '"' && !escaped;
        escaped = char == '\\' && !escaped;
        ends.then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::Page;

    #[test]
    fn names_are_hashed_and_the_rest_reads_as_before() {
        let anonymous = Anonymous::new().unwrap();
        let page = "# TYPE temporal_request_latency histogram\n\
                    temporal_request_latency_bucket{operation=\"Poll\",task_queue=\"secret \\\" q\",le=\"50\"} 3 # {trace=\"secret\"} 1\n\
                    temporal_num_pollers{namespace=\"secret\",task_queue=\"none\"} 5\n\
                    shop_secret_orders{customer=\"secret\"} 5\n";
        let hidden = String::from_utf8(anonymous.page(page.as_bytes())).unwrap();
        assert!(!hidden.contains("secret"), "{hidden}");
        let (before, after) =
            (Page::parse(page.as_bytes()).unwrap(), Page::parse(hidden.as_bytes()).unwrap());
        assert_eq!(after.samples.len(), before.samples.len());
        for (before, after) in before.samples.iter().zip(&after.samples) {
            assert_eq!((before.name, before.value), (after.name, after.value));
            assert_eq!(before.label("operation"), after.label("operation"));
        }
        assert_eq!(after.samples[1].label("task_queue"), "");
        assert_eq!(anonymous.digest("a"), anonymous.digest("a"));
        assert_ne!(anonymous.digest("a"), Anonymous::new().unwrap().digest("a"));
    }
}
