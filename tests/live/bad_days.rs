//! Nothing is lost: workers and servers that are killed, a key service that fails in every way, keys that are
//! disabled, replaced and rotated. Each ends with every workflow completed and every result right, which the
//! starter checks.
//!
//! ```sh
//! cargo test --test live bad_days:: -- --ignored --nocapture
//! KILLS=20 cargo test --test live bad_days::a_worker -- --ignored --nocapture
//! ```

use std::{
    env,
    fs::File,
    io::{BufRead, BufReader},
    mem,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use codec_kit::{
    Keyring,
    kms::{BlockingClient, Credentials, Settings, wrap},
};
use greeting::{
    args::{KeyServiceArgs, defaults},
    keys::LocalKeyService,
};
use key_service::{DEFAULT_ALIAS, Faults, Options};
use rustix::process::Signal;
use serde_json::Value;
use stack::build::build;

use crate::support::{
    Process, ROOT, Stage, WORKSHOP, Worker, free_port, json, program, temporal, wait_for,
};

/// Two data keys. Workers start with the first one.
const KEYS: &str = "first=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=,\
                    second=ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
const WORKFLOWS: u64 = 20;

/// How much more memory a worker may have after two rounds of all faults than before the first one. The goal is a tenth
/// more, and the rest is room for a busy machine: it was 1.04 to 1.07. That is no more than without faults: over 34
/// loads of this kind, a worker grew from 57.3 to 60.5 MiB, and not during the last six.
const MEMORY_GROWTH: f64 = 1.15;

/// What can be wrong with a key service.
fn all_faults() -> [(&'static str, Faults); 4] {
    [
        ("outage", Faults { refuse: true, ..Faults::default() }),
        ("throttle", Faults { throttle_per_second: Some(1), ..Faults::default() }),
        ("reset", Faults { reset_rate: 0.8, ..Faults::default() }),
        ("hang", Faults { hang_rate: 1.0, ..Faults::default() }),
    ]
}

/// A key service without faults, which has wrapped the data keys.
fn key_service() -> LocalKeyService {
    let never = KeyServiceArgs { stall_probability: 0.0, ..defaults() };
    LocalKeyService::start(&Keyring::parse(KEYS, None).unwrap(), &never).unwrap()
}

/// A worker with the codec of that step and those keys; `more` variables override the usual ones.
fn worker(
    keys: &impl GivesKeys,
    address: &str,
    folder: &Path,
    name: &str,
    step: u8,
    more: &[(&str, &str)],
) -> Worker {
    let mut command = program(WORKSHOP);
    command.args(["worker", "--solution", &step.to_string(), "--address", address]);
    // So short that the fourth codec, which caches keys, asks again and again.
    command.args(["--metrics-address", "127.0.0.1:0", "--key-lifetime-seconds", "0.2"]);
    keys.give_to(&mut command);
    // A call that hangs does not hold up the test for long.
    command.env("CODEC_KMS_TIMEOUT_SECONDS", "1").envs(more.iter().copied());
    Worker::start(command, folder, name)
}

/// A key service that a worker in another process can use.
trait GivesKeys {
    fn give_to(&self, worker: &mut Command);
}

impl GivesKeys for LocalKeyService {
    fn give_to(&self, worker: &mut Command) {
        LocalKeyService::give_to(self, worker);
    }
}

/// The program `key-service`, which can be killed and started again at the same ports, with the keys of its file.
struct KeyServiceProgram {
    program: PathBuf,
    keys: PathBuf,
    ports: [u16; 2],
    wrapped: String,
}

impl KeyServiceProgram {
    const VARIABLES: [(&str, &str); 3] = [
        ("AWS_REGION", Options::REGION),
        ("AWS_ACCESS_KEY_ID", "workshop"),
        ("AWS_SECRET_ACCESS_KEY", "not-a-secret"),
    ];

    /// A running one, which has wrapped the data keys.
    fn start(folder: &Path) -> (Self, Process) {
        let built = build(&["key-service"], Path::new(ROOT)).unwrap();
        let [(_, program)] = &built[..] else { panic!("{built:?}") };
        let mut service = Self {
            program: program.clone(),
            keys: folder.join("keys"),
            ports: [free_port(), free_port()],
            wrapped: String::new(),
        };
        let process = service.run();
        let [(_, region), (_, id), (_, secret)] = Self::VARIABLES;
        let credentials = Credentials::new(id, secret).unwrap();
        let settings = Settings::new(region, credentials).unwrap();
        let settings = settings.with_endpoint(&service.endpoint()).unwrap();
        let client = BlockingClient::new(&settings).unwrap();
        let keyring = Keyring::parse(KEYS, None).unwrap();
        let wrapped = wrap(&client, &format!("alias/{DEFAULT_ALIAS}"), &keyring).unwrap();
        service.wrapped = wrapped.to_string();
        (service, process)
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[0])
    }

    /// Its process, once it answers.
    fn run(&self) -> Process {
        wait_for("the key service to listen", || {
            let mut command = program(self.program.to_str().unwrap());
            for (flag, port) in ["--address", "--admin-address"].iter().zip(self.ports) {
                command.arg(flag).arg(format!("127.0.0.1:{port}"));
            }
            command.arg("--keys").arg(&self.keys).envs(Self::VARIABLES);
            command.stdout(Stdio::piped()).stderr(Stdio::null());
            let mut child = command.spawn().unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let process = Process::new(child);
            // Both ports are open when it has printed both. Without a line, it has ended: a port is in use.
            lines.nth(1).map(|_| process)
        })
    }
}

impl GivesKeys for KeyServiceProgram {
    fn give_to(&self, worker: &mut Command) {
        worker
            .env("CODEC_KEYS", &self.wrapped)
            .env("AWS_ENDPOINT_URL_KMS", self.endpoint())
            .envs(Self::VARIABLES);
    }
}

/// A starter whose workflows are under way, which prints JSON.
fn load(address: &str, activities: &str) -> Process {
    let mut starter = program(crate::support::STARTER);
    starter.args(["--address", address, "--metrics-address", "127.0.0.1:0", "--json"]);
    starter.args(["--workflows", &WORKFLOWS.to_string(), "--activities", activities]);
    starter
        .args(["--activity-seconds", "0.5", "--workflow-task-timeout", "2"])
        .env("CODEC_KEYS", KEYS);
    Process::new(starter.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
}

/// Waits for the load's end. Every workflow has completed, with the right result. Returns a line of a table: how long
/// that took, in seconds.
fn all_is_well(load: Process, what: &str) -> String {
    let report: Value = json(&load.output());
    assert_eq!(report["workflows"]["completed"], WORKFLOWS, "{what}: {report:#}");
    format!("| {what} | {:.1} |", report["wall_seconds"].as_f64().unwrap())
}

fn calls(worker: &Worker) -> f64 {
    worker.metric("codec_call_seconds_count")
}

fn errors(worker: &Worker) -> f64 {
    worker.metric("codec_errors_total")
}

/// So many calls more than there were.
fn wait_for_calls(worker: &Worker, more: f64) {
    worker.wait_for_metric("codec_call_seconds_count", calls(worker) + more);
}

#[test]
#[ignore = "takes a minute"]
fn a_worker_that_is_killed_again_and_again_loses_nothing() {
    let kills: u32 = env::var("KILLS").map_or(3, |kills| kills.parse().unwrap());
    let (stage, keys) = (Stage::new(), key_service());
    let start = |name: String| worker(&keys, &stage.address(), stage.folder.path(), &name, 3, &[]);
    let load = load(&stage.address(), "10");
    for kill in 0..kills {
        let mut worker = start(format!("worker-{kill}"));
        worker.wait_for_metric("codec_call_seconds_count", 10.0);
        worker.process.signal(Signal::KILL);
        worker.process.wait();
    }
    let _last = start("last".to_owned());
    let started = Instant::now();
    println!("{}", all_is_well(load, &format!("worker killed {kills} times")));
    println!("|   recovered within | {:.1} |", started.elapsed().as_secs_f64());
}

#[test]
#[ignore = "takes a minute"]
fn a_temporal_server_that_is_killed_and_restarted_on_its_database_loses_nothing() {
    let (folder, keys, port) = (tempfile::tempdir().unwrap(), key_service(), free_port());
    let address = format!("127.0.0.1:{port}");
    let server = |name: &str| {
        let log = File::create(folder.path().join(name)).unwrap();
        let mut command = Command::new(temporal());
        command.args(["server", "start-dev", "--headless", "--port", &port.to_string()]);
        command.arg("--db-filename").arg(folder.path().join("temporal.db"));
        let server =
            Process::new(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
        wait_for("a Temporal server", || {
            let mut asked = Command::new(temporal());
            asked.args(["operator", "cluster", "health", "--address", &address]);
            asked
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .unwrap()
                .success()
                .then_some(())
        });
        server
    };
    let mut first = server("first.log");
    let worker = worker(&keys, &address, folder.path(), "worker", 3, &[]);
    let load = load(&address, "10");
    worker.wait_for_metric("codec_call_seconds_count", 60.0);
    first.signal(Signal::KILL);
    first.wait();
    let _second = server("second.log");
    println!("{}", all_is_well(load, "Temporal server killed, and restarted on its database"));
}

/// What a worker has in use, apart from the connections in a client's pool, which wait for the next call.
struct Used {
    files: f64,
    threads: f64,
    memory_mib: f64,
}

impl Used {
    fn of(worker: &Worker, keys: &LocalKeyService) -> Self {
        Self {
            files: worker.metric("process_open_fds") - keys.server().connections() as f64,
            threads: worker.metric("process_threads"),
            memory_mib: worker.metric("process_resident_memory_bytes") / 1_048_576.0,
        }
    }
}

/// Has glibc's allocator return free memory to the system. Otherwise it keeps up to 25 MiB of it for later. How much
/// differs by up to 14 MiB from load to load, even without a fault: more than the tenth that is looked for. Other
/// allocators do not read these.
const NOTHING_KEPT: [(&str, &str); 3] =
    [("MALLOC_ARENA_MAX", "1"), ("MALLOC_TOP_PAD_", "0"), ("MALLOC_TRIM_THRESHOLD_", "0")];

/// And afterwards no thread, connection, file or memory of the worker is left over.
#[test]
#[ignore = "takes minutes"]
fn a_key_service_that_fails_in_every_way_loses_nothing_with_any_codec() {
    for step in 1..=4 {
        let (stage, keys, more) = (Stage::new(), key_service(), &NOTHING_KEPT);
        let worker = worker(&keys, &stage.address(), stage.folder.path(), "worker", step, more);
        let round = |name: &str| {
            for (fault, faults) in all_faults() {
                let start = || load(&stage.address(), "8");
                let mut load = start();
                wait_for_calls(&worker, 10.0);
                let failed = errors(&worker);
                keys.server().set_faults(faults).unwrap();
                wait_for(&format!("codec {step} to see {fault}"), || {
                    // A codec that caches keys asks so rarely that a whole load may pass before it is throttled.
                    if !load.is_running() {
                        let what = format!("codec {step}, little of {fault}, {name}");
                        println!("{}", all_is_well(mem::replace(&mut load, start()), &what));
                    }
                    (errors(&worker) >= failed + 3.0).then_some(())
                });
                keys.server().set_faults(Faults::default()).unwrap();
                let recovered = Instant::now();
                println!("{}", all_is_well(load, &format!("codec {step}, {fault}, {name}")));
                println!("|   recovered within | {:.1} |", recovered.elapsed().as_secs_f64());
            }
        };
        println!(
            "{}",
            all_is_well(load(&stage.address(), "2"), &format!("codec {step}, no fault"))
        );
        // What a worker opens once and keeps.
        let opened = Used::of(&worker, &keys);
        // Twice, so that what comes with the first fault of its kind is seen apart from what comes with each.
        round("first round");
        let between = Used::of(&worker, &keys);
        round("second round");

        // The blocking pool's threads end after ten seconds without work.
        wait_for(&format!("codec {step} to leave no file and no thread behind"), || {
            let now = Used::of(&worker, &keys);
            (now.files <= opened.files + 3.0 && now.threads <= opened.threads + 2.0).then_some(())
        });
        let after = Used::of(&worker, &keys);
        println!("|   files | {} {} {} |", opened.files, between.files, after.files);
        println!("|   threads | {} {} {} |", opened.threads, between.threads, after.threads);
        let memory = [&opened, &between, &after].map(|used| used.memory_mib);
        println!("|   MiB | {:.1} {:.1} {:.1} |", memory[0], memory[1], memory[2]);
        assert!(keys.server().connections() <= 64, "{}", keys.server().connections());
        assert!(memory[2] <= memory[0] * MEMORY_GROWTH, "codec {step}, in MiB: {memory:.1?}");
    }
}

#[test]
#[ignore = "takes a minute"]
fn a_key_service_whose_process_is_killed_and_restarted_loses_nothing_with_any_codec() {
    for step in 1..=4 {
        let stage = Stage::new();
        let (service, mut process) = KeyServiceProgram::start(stage.folder.path());
        let worker = worker(&service, &stage.address(), stage.folder.path(), "worker", step, &[]);
        let load = load(&stage.address(), "8");
        wait_for_calls(&worker, 10.0);
        let failed = errors(&worker);
        process.signal(Signal::KILL);
        process.wait();
        wait_for(&format!("codec {step} to see that its key service is gone"), || {
            (errors(&worker) >= failed + 3.0).then_some(())
        });
        // Another process, with the same keys: what the first one wrapped, it unwraps.
        let _second = service.run();
        let restarted = Instant::now();
        println!("{}", all_is_well(load, &format!("codec {step}, key service killed, restarted")));
        println!("|   recovered within | {:.1} |", restarted.elapsed().as_secs_f64());
    }
}

#[test]
#[ignore = "takes a minute"]
fn a_key_that_is_disabled_and_enabled_again_loses_nothing() {
    let (stage, keys) = (Stage::new(), key_service());
    let worker = worker(&keys, &stage.address(), stage.folder.path(), "worker", 3, &[]);
    let load = load(&stage.address(), "6");
    wait_for_calls(&worker, 10.0);
    keys.server().enable_key(DEFAULT_ALIAS, false).unwrap();
    worker.wait_for_metric("codec_errors_total", 3.0);
    worker.wait_for_log("DisabledException");
    keys.server().enable_key(DEFAULT_ALIAS, true).unwrap();
    println!("{}", all_is_well(load, "key disabled, and enabled again"));
}

#[test]
#[ignore = "takes a minute"]
fn wrong_credentials_and_then_right_ones_lose_nothing() {
    let (stage, keys) = (Stage::new(), key_service());
    let start = |name: &str, more: &[(&str, &str)]| {
        worker(&keys, &stage.address(), stage.folder.path(), name, 3, more)
    };
    let mut wrong = start("wrong", &[("AWS_SECRET_ACCESS_KEY", "another")]);
    let load = load(&stage.address(), "4");
    wrong.wait_for_metric("codec_errors_total", 3.0);
    wrong.wait_for_log("check AWS_SECRET_ACCESS_KEY");
    wrong.process.signal(Signal::TERM);
    wrong.process.wait();
    let _right = start("right", &[]);
    println!("{}", all_is_well(load, "wrong credentials, then right ones"));
}

#[test]
#[ignore = "takes a minute"]
fn a_key_that_is_rotated_in_the_middle_of_a_run_loses_nothing() {
    let (stage, keys) = (Stage::new(), key_service());
    let start = |name: &str, active: &str| {
        let more = [("CODEC_ACTIVE_KEY", active)];
        worker(&keys, &stage.address(), stage.folder.path(), name, 4, &more)
    };
    let mut first = start("first", "first");
    let load = load(&stage.address(), "8");
    wait_for_calls(&first, 60.0);
    first.process.signal(Signal::TERM);
    first.process.wait();
    let second = start("second", "second");
    println!("{}", all_is_well(load, "key rotated"));
    assert_eq!(errors(&second), 0.0, "{}", second.log());
}
