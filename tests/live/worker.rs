//! Worker and starter against a real dev server: through crashes, signals and wrong keys, no
//! workflow is lost.

use std::{
    fs::{self, File},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use cli_kit::http::Http;
use codec_kit::{
    AnyCodec, CodecFuture, KeyService, Keyring, Payload, PayloadCodec, SerializationContextData,
    codec_future, seal_all,
};
use greeting::{
    args::{KeyServiceArgs, LoadArgs, defaults},
    keys::LocalKeyService,
    load::{self, Load},
    telemetry::Timeline,
    workflows::{FAILS_ON_PURPOSE, GreetingInput, GreetingWorkflow, TASK_QUEUE},
};
use key_service::Faults;
use live_page::Doing;
use rustix::process::Signal;
use solutions::Step;
use temporalio_client::{Client, UntypedWorkflow, WorkflowStartOptions};
use temporalio_common::WorkflowDefinition;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::{Runtime, Worker, WorkerOptions, WorkflowContext, WorkflowResult};
use temporalio_workflow::workflows::WorkflowImplementation;

use crate::support::{
    self, Process, STARTER, Stage, WORKSHOP, free_port, json, program, stderr, stdout, wait_for,
};

const SOME_KEY: &str = "mine=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

#[test]
fn a_run_completes_and_the_metrics_tell_of_it() {
    let stage = Stage::new();
    let worker = stage.worker("worker", 3, &["--seed", "5"]);
    let load = ["--workflows", "5", "--activities", "2", "--activity-seconds", "0.1", "--json"];
    let output = stage.starter(&load).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let report = json(&output);
    assert_eq!(report["workflows"]["completed"], 5);
    assert!(report["end_to_end_seconds"]["p95"].as_f64().unwrap() >= 0.2, "{report}");

    let first = worker.log().lines().next().unwrap().to_owned();
    assert!(first.contains("solutions/03-async-codec/codec.rs"), "{first}");
    // The worker counts a workflow when the server has answered, and the starter hears of it at the same moment.
    worker.wait_for_metric("temporal_workflow_completed", 5.0);
    assert_eq!(worker.metric("temporal_workflow_completed"), 5.0);
    // Five workflows of two activities: 2 x 5 inputs, 2 x 5 results, 5 results.
    assert_eq!(worker.metric("codec_call_seconds_count{operation=\"encode\"}"), 25.0);
    let page = worker.metrics();
    // Every metric, the SDK's and ours, is labelled with its worker.
    let whose = "exercise=\"3\"";
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let codec = "codec=\"solutions/03-async-codec\"";
        assert!(line.contains(whose) && line.contains(codec), "{line}");
    }
    for metric in [
        "workshop_lag_seconds_bucket{probe=\"worker\",",
        "workshop_lag_current_seconds{probe=\"beside\",",
        "process_resident_memory_bytes",
        "workshop_worker_start_time_seconds",
        "workshop_blocking_threads",
    ] {
        assert!(page.contains(metric), "{metric} is not in\n{page}");
    }
    // 10 ms and 3 minutes can both be read from the SDK's histograms.
    let buckets: Vec<_> = page
        .lines()
        .filter(|l| l.starts_with("temporal_workflow_task_schedule_to_start_latency_bucket"))
        .collect();
    for le in ["le=\"10\"", "le=\"150000\"", "le=\"200000\""] {
        assert!(buckets.iter().any(|line| line.contains(le)), "{le} is not in {buckets:#?}");
    }
}

/// Whether an encode call blocks the worker's thread. A lag alone may be that of its start.
fn is_stalled(worker: &support::Worker) -> bool {
    worker.metric("codec_in_flight{operation=\"encode\"}") >= 1.0 && worker.lag() > 0.5
}

#[test]
fn a_stalled_worker_still_answers_for_its_metrics() {
    let stage = Stage::new();
    let stalls = ["--stall-probability", "1", "--stall-seconds", "60"];
    let worker = stage.worker("worker", 1, &stalls);
    let mut command = stage.starter(&["--workflows", "1", "--activities", "1"]);
    let _starter = Process::new(command.stdout(Stdio::null()).spawn().unwrap());
    // The probe in the worker's task is overdue while the codec holds the thread.
    let held = wait_for("a stall", || {
        let asked = Instant::now();
        (is_stalled(&worker) && worker.lag() > 1.0).then(|| asked.elapsed())
    });
    assert!(held < Duration::from_secs(20), "metrics took {held:?} during a stall of 60 s");
    // So is its timeline, with the stall that goes on.
    let page = Http::default().page(&format!("http://{}/timeline?since=0", worker.address()));
    let timeline: Timeline = serde_json::from_str(&page.unwrap()).unwrap();
    let longest = |doing| {
        let held = timeline.segments.iter().filter(|segment| segment.doing == doing);
        held.map(|segment| segment.to - segment.from).fold(0.0, f64::max)
    };
    assert!(longest(Doing::Encode) > 1.0 && longest(Doing::Busy) > 1.0, "{timeline:#?}");
}

#[test]
fn a_worker_has_a_live_page_if_it_is_asked_to() {
    let stage = Stage::new();
    let worker = stage.worker("worker", 3, &["--live=127.0.0.1:0"]);
    let url = wait_for("the page's address", || {
        let printed = worker.printed();
        Some(printed.lines().find_map(|line| line.strip_prefix("live page: "))?.to_owned())
    });
    let load = ["--workflows", "3", "--activities", "1", "--activity-seconds", "0.1"];
    let output = stage.starter(&load).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    wait_for("all workflows on the page", || {
        let page = Http::default().page(&format!("{url}data.json")).ok()?;
        let data: serde_json::Value = serde_json::from_str(&page).unwrap();
        let run = &data["runs"][0];
        assert_eq!(run["name"], "solutions/03-async-codec/codec.rs");
        let last = run["frames"].as_array()?.last()?;
        (last["workflows_done"] == 3 && last["codec_measured"] == true).then_some(())
    });
}

#[test]
fn threads_of_the_blocking_pool_are_counted_where_there_are_any() {
    let stage = Stage::new();
    for (solution, threads) in [(2, "0"), (3, "0"), (3, "2")] {
        let flags = ["--stall-probability", "1", "--threads", threads];
        let name = format!("worker-{solution}-{threads}");
        let mut worker = stage.worker(&name, solution, &flags);
        let mut starter = stage.starter(&["--workflows", "3", "--id-prefix", &name]);
        let starter = Process::new(starter.stdout(Stdio::null()).spawn().unwrap());
        worker.wait_for_metric("temporal_activity_task_received", 1.0);
        // The server's address is an IP address, so nothing else needs such a thread.
        let pool = worker.metric("workshop_blocking_threads");
        assert_eq!(pool > 0.0, solution == 2, "{solution}, {threads}: {pool}");
        drop(starter);
        worker.process.signal(Signal::TERM);
        worker.process.wait();
    }
}

#[test]
fn a_starter_tells_of_its_load_while_it_runs() {
    let stage = Stage::new();
    let port = free_port();
    let _worker = stage.worker("worker", 3, &[]);
    let mut command = program(STARTER);
    command
        .args(["--address", &stage.address(), "--workflows", "4", "--activity-seconds", "5"])
        .env("STACK_STARTER_METRICS_PORT", port.to_string())
        .stdout(Stdio::null());
    let _starter = Process::new(command.spawn().unwrap());
    let asker = stack::services::Asker::default();
    let url = format!("http://127.0.0.1:{port}/metrics");
    wait_for("all four to be started", || {
        let page = asker.page(&url).ok()?;
        let counted = |state: &str, count: u32| {
            page.contains(&format!(
                "workshop_starter_workflows_total{{state=\"{state}\"}} {count}\n"
            ))
        };
        (counted("started", 4) && counted("completed", 0) && counted("failed", 0)).then_some(())
    });

    // Another starter finds the port taken, reports it, and runs all the same.
    let load = ["--workflows", "1", "--activities", "0", "--id-prefix", "second"];
    let mut second = program(STARTER);
    second.args(["--address", &stage.address()]).args(load);
    let output = second.env("STACK_STARTER_METRICS_PORT", port.to_string()).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("this starter runs without"), "{}", stderr(&output));
}

#[test]
fn sigterm_in_the_middle_drains_and_another_worker_goes_on() {
    let stage = Stage::new();
    let mut first = stage.worker("first", 3, &[]);
    let load = ["--workflows", "10", "--activities", "4", "--activity-seconds", "0.5", "--json"];
    let starter = stage.starter(&load).stdout(Stdio::piped()).spawn().unwrap();
    first.wait_for_metric("temporal_activity_task_received", 10.0);
    first.process.signal(Signal::TERM);
    assert_eq!(first.process.wait().code(), Some(0), "{}", first.log());
    assert!(first.log().contains("worker drained and stopped"), "{}", first.log());

    let _second = stage.worker("second", 3, &[]);
    let report = json(&starter.wait_with_output().unwrap());
    assert_eq!(report["workflows"]["completed"], 10, "{report}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let stage = Stage::new();
    let stalls = ["--stall-probability", "1", "--stall-seconds", "60"];
    let mut worker = stage.worker("worker", 1, &stalls);
    let mut command = stage.starter(&["--workflows", "1"]);
    let _starter = Process::new(command.stdout(Stdio::null()).spawn().unwrap());
    wait_for("a stall", || is_stalled(&worker).then_some(()));
    worker.process.signal(Signal::INT);
    worker.wait_for_log("worker stops");
    let asked = Instant::now();
    worker.process.signal(Signal::INT);
    assert_eq!(worker.process.wait().code(), Some(130), "{}", worker.log());
    assert!(asked.elapsed() < Duration::from_secs(20), "it waited for the stall");
}

#[test]
fn a_worker_that_is_killed_loses_nothing() {
    let stage = Stage::new();
    let first = stage.worker("first", 3, &[]);
    // So long that all ten are in their activity when it is killed.
    let load = ["--workflows", "10", "--activities", "1", "--activity-seconds", "5", "--json"];
    let (starter, said) = starter_with_log(&stage, &load);
    first.wait_for_metric("temporal_activity_task_received", 10.0);
    first.process.signal(Signal::KILL);
    // Its activities time out, and no worker takes the next attempt.
    wait_for("the starter to say why it waits", || {
        said().contains("the activity compose_greeting of ").then_some(())
    });
    let seen = "is being retried, attempt 2. The last attempt failed: activity StartToClose timeout\n  fix: ";
    assert!(said().contains(seen), "{}", said());

    let _second = stage.worker("second", 3, &[]);
    let report = json(&starter.wait_with_output().unwrap());
    assert_eq!(report["workflows"]["completed"], 10, "{report}");
    assert_eq!(report["workflows"]["failed"], 0, "{report}");
}

#[test]
fn the_wrong_key_and_then_the_right_one_loses_nothing() {
    let stage = Stage::new();
    let mut wrong = stage.worker_with("wrong", 3, &[], &[("CODEC_KEYS", SOME_KEY)]);
    let load = ["--workflows", "3", "--activities", "1", "--activity-seconds", "0.1", "--json"];
    let (starter, said) = starter_with_log(&stage, &load);
    wrong.wait_for_metric("temporal_workflow_task_execution_failed", 3.0);
    let log = wrong.log();
    assert!(log.contains("key id \"test-key-id\", which the key service does not hold"), "{log}");
    assert!(!log.contains("test-key-test-key") && !log.contains("AQEBAQ"), "{log}");
    // The starter encrypts with the public key, and the worker with one of its own.
    assert!(!log.contains("public test key"), "{log}");
    assert_eq!(said().matches("public test key").count(), 1, "{}", said());
    wait_for("the starter to say why it waits", || {
        let said = said();
        let seen = said.contains("is being retried, attempt ") && said.contains("the same keys");
        (seen && said.contains(", 3 are open: a workflow task of ")).then_some(())
    });
    wrong.process.signal(Signal::TERM);
    assert_eq!(wrong.process.wait().code(), Some(0));

    let _right = stage.worker("right", 3, &[]);
    let report = json(&starter.wait_with_output().unwrap());
    assert_eq!(report["workflows"]["completed"], 3, "{report}");
}

/// A starter, and what it has written to stderr so far.
fn starter_with_log(stage: &Stage, flags: &[&str]) -> (Child, impl Fn() -> String) {
    let log = stage.folder.path().join("starter.log");
    let mut command = stage.starter(flags);
    command.stdout(Stdio::piped()).stderr(File::create(&log).unwrap());
    (command.spawn().unwrap(), move || fs::read_to_string(&log).unwrap())
}

#[test]
fn failures_are_encrypted_on_the_server_and_their_reason_is_still_shown() {
    let stage = Stage::new();
    let _worker = stage.worker("worker", 3, &[]);
    let keys = KeyService::new(Keyring::test_key());
    let client = stage.client(Step::Async.codec(keys));
    // The first fails on purpose.
    let numbers = LoadArgs { workflows: 3, activities: 1, activity_seconds: 0.1, ..defaults() };
    let [task_queue, id_prefix, name] = [TASK_QUEUE, "failing", "World"].map(str::to_owned);
    let load = Load { numbers, task_queue, id_prefix, name, failing: 1 };
    let outcome = load::run(&client, &load, std::future::pending(), |_| {});
    let outcome = stage.runtime.block_on(outcome);
    assert_eq!((outcome.completed.len(), outcome.failed.len()), (2, 1), "{outcome:#?}");
    assert!(outcome.failed[0].reason.contains(FAILS_ON_PURPOSE), "{outcome:#?}");

    // The starter itself refuses this number: another one's workflow fails at once.
    let numbers = LoadArgs { workflows: 1, activities: 1, activity_seconds: -1.0, ..defaults() };
    let load = Load { numbers, id_prefix: "negative".to_owned(), failing: 0, ..load };
    let outcome = load::run(&client, &load, std::future::pending(), |_| {});
    let outcome = stage.runtime.block_on(outcome);
    let reason = &outcome.failed[0].reason;
    assert!(reason.contains("an activity can't work for -1 seconds"), "{reason}");

    for id in ["failing-0", "failing-1", "negative-0"] {
        let stored = stage.runtime.block_on(async {
            let handle = client.get_workflow_handle::<UntypedWorkflow>(id);
            handle.fetch_history(Default::default()).into_events().await.unwrap()
        });
        let stored = format!("{stored:?}");
        // The one that was retried has its first attempt's failure in the event of the second.
        assert!(stored.contains("Encoded failure"), "{id}: {stored}");
        for message in [FAILS_ON_PURPOSE, "can't work for"] {
            assert!(!stored.contains(message), "{id}: {stored}");
        }
    }
}

/// Runs `work` while a worker of this process runs that workflow.
pub async fn beside_worker<W: WorkflowImplementation, T>(
    client: Client,
    task_queue: &str,
    work: impl Future<Output = T>,
) -> T
where
    <W::Run as WorkflowDefinition>::Input: Send,
{
    let options = WorkerOptions::new(task_queue).register_workflow::<W>().unwrap().build();
    beside(client, options, work).await
}

/// Runs `work` while that worker of this process runs.
pub async fn beside<T>(client: Client, options: WorkerOptions, work: impl Future<Output = T>) -> T {
    let runtime = Runtime::from_current_tokio(Default::default()).unwrap();
    let mut worker = Worker::new(&runtime, client, options).unwrap();
    tokio::select! {
        result = worker.run() => panic!("the worker stopped: {result:?}"),
        result = work => result,
    }
}

/// Another worker's workflow of the same name.
#[workflow]
#[derive(Default)]
struct GreetsOthers;

#[workflow_methods]
impl GreetsOthers {
    #[run(name = "GreetingWorkflow")]
    async fn run(_: &mut WorkflowContext<Self>, _: GreetingInput) -> WorkflowResult<String> {
        Ok("Hello, others!".to_owned())
    }
}

#[test]
fn a_workflow_that_completes_with_another_result_has_failed() {
    let stage = Stage::new();
    let client = stage.client(Step::Async.codec(KeyService::new(Keyring::test_key())));
    let numbers = LoadArgs { workflows: 1, activities: 1, activity_seconds: 0.1, ..defaults() };
    let [task_queue, id_prefix, name] = ["others", "others", "World"].map(str::to_owned);
    let load = Load { numbers, task_queue, id_prefix, name, failing: 0 };
    let outcome = load::run(&client, &load, std::future::pending(), |_| {});
    let outcome = beside_worker::<GreetsOthers, _>(client.clone(), "others", outcome);
    let outcome = stage.runtime.block_on(outcome);
    assert!(outcome.completed.is_empty(), "{outcome:#?}");
    assert_eq!(outcome.failed[0].reason, "its result is not the expected one");
}

#[test]
fn a_starter_without_a_worker_says_so_and_stops_in_time() {
    let stage = Stage::new();
    let began = Instant::now();
    let load = ["--workflows", "2", "--task-queue", "unpolled", "--timeout", "16"];
    let output = stage.starter(&load).output().unwrap();
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(16) && took < Duration::from_secs(60), "{took:?}");
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let seen = "2 are open: no worker polls the task queue unpolled for workflow tasks\n  fix: start a worker";
    assert_eq!(said.matches(seen).count(), 1, "{said}");
    assert!(
        said.contains("stopped after 16 s (--timeout): 2 of 2 workflows were started"),
        "{said}"
    );
    let listed = stdout(&output);
    for id in ["hello-activity-workflow-id-0 is open", "hello-activity-workflow-id-1 is open"] {
        assert!(listed.contains(id), "{listed}");
    }
}

/// Seals, and then flips a bit.
struct Tampering;

impl PayloadCodec for Tampering {
    fn encode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        codec_future(async move {
            let mut sealed = seal_all(Keyring::test_key().active(), payloads)?;
            sealed.iter_mut().for_each(|payload| payload.data[20] ^= 1);
            Ok(sealed)
        })
    }

    fn decode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        codec_future(async move { Ok(payloads) })
    }
}

#[test]
fn a_payload_that_cannot_be_opened_is_a_clear_error_and_stops_nothing_else() {
    let stage = Stage::new();
    let worker = stage.worker("worker", 3, &[]);
    let client = stage.client(AnyCodec::new(Tampering));
    let tampered = stage.runtime.block_on(async {
        let input = GreetingInput { name: "secret name".into(), ..GreetingInput::default() };
        let options = WorkflowStartOptions::new(TASK_QUEUE, "tampered").build();
        client.start_workflow(GreetingWorkflow::run, input, options).await.unwrap()
    });
    worker.wait_for_metric("temporal_workflow_task_execution_failed", 1.0);
    let log = worker.log();
    assert!(log.contains("decryption with key id \"test-key-id\" failed"), "{log}");
    assert!(!log.contains("secret name"), "{log}");

    let load = ["--workflows", "2", "--activities", "1", "--activity-seconds", "0.1"];
    let output = stage.starter(&load).output().unwrap();
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    // The other workflow is not lost either: it continues, and can finish once its payload can be decrypted.
    let status = stage
        .runtime
        .block_on(async { tampered.describe(Default::default()).await.unwrap().status() });
    assert!(format!("{status:?}").contains("Running"), "{status:?}");
}

#[test]
fn a_storm_in_which_three_in_ten_of_the_codec_s_calls_fail_loses_nothing() {
    // The codec's client asks three times, and 0.67 to the power of three is 0.3.
    let storm = KeyServiceArgs { stall_probability: 0.0, failure_rate: 0.67, ..defaults() };
    let keys = LocalKeyService::start(&Keyring::test_key(), &storm).unwrap();
    let stage = Stage::new();
    let mut command = program(WORKSHOP);
    command.args(["worker", "--solution", "3", "--address", &stage.address()]);
    command.args(["--metrics-address", "127.0.0.1:0"]);
    keys.give_to(&mut command);
    let worker = support::Worker::start(command, stage.folder.path(), "worker");
    let load = ["--workflows", "40", "--activities", "2", "--activity-seconds", "0.1", "--json"];
    let starter = stage.starter(&load).stdout(Stdio::piped()).spawn().unwrap();
    // Not until the load's end: the server lets more and more time pass, up to minutes, before it hands out a workflow
    // task that has failed again and again.
    worker.wait_for_metric("codec_call_seconds_count", 300.0);
    let calls = worker.metric("codec_call_seconds_count");
    let failed = worker.metric("codec_errors_total");
    keys.server().set_faults(Faults::default()).unwrap();
    let report = json(&starter.wait_with_output().unwrap());
    println!("{failed} of {calls} calls failed; all done after {} s", report["wall_seconds"]);
    // One whose result is another than expected has failed.
    assert_eq!(report["workflows"]["completed"], 40, "{report}");
    // Of the calls that need a key, three in ten. A few calls to decode carry no payload, and need none.
    assert!(failed >= 0.2 * calls, "{failed} of {calls} calls failed");
    assert!(worker.log().contains("KMSInternalException"), "{}", worker.log());
}

#[test]
fn without_a_server_both_say_so_in_one_sentence() {
    // A port that was free a moment ago, where nothing listens.
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let mut worker = program(WORKSHOP);
    worker.args(["worker", "--solution", "3", "--metrics-address", "127.0.0.1:0"]);
    for mut command in [worker, program(STARTER)] {
        let began = Instant::now();
        let output = command.args(["--address", &address]).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
        let said = stderr(&output);
        let sentence = format!("error: no Temporal server answers at {address} (");
        assert!(said.lines().last().unwrap().starts_with(&sentence), "{said}");
        assert!(said.contains("`cargo workshop server`"), "{said}");
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }
}

#[test]
fn the_public_test_key_is_refused_for_a_server_elsewhere() {
    // Nothing is sent there: it is refused before it connects.
    let output =
        program(STARTER).args(["--address", "temporal.example.com:7233"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(said.contains("temporal.example.com") && said.contains("CODEC_KEYS="), "{said}");
}

#[test]
fn the_variables_are_asked_and_a_flag_wins() {
    let stage = Stage::new();
    let _worker = stage.worker("worker", 3, &[]);
    let load = ["--workflows", "1", "--activities", "0"];
    let mut by_variable = program(STARTER);
    let output = by_variable.args(load).env("TEMPORAL_ADDRESS", stage.address()).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let output = stage.starter(&load).env("TEMPORAL_ADDRESS", "127.0.0.1:1").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));

    let missing =
        stage.starter(&load).env("TEMPORAL_NAMESPACE", "no-such-namespace").output().unwrap();
    assert_eq!(missing.status.code(), Some(1));
    assert!(stdout(&missing).contains("no-such-namespace"), "{}", stdout(&missing));
}

#[test]
fn a_starter_that_is_interrupted_says_what_was_not_awaited() {
    let stage = Stage::new();
    for (number, signal) in [(1, Signal::INT), (2, Signal::TERM)] {
        is_interrupted(&stage, number, signal);
    }
}

fn is_interrupted(stage: &Stage, number: usize, signal: Signal) {
    // No worker polls this task queue.
    let load = ["--workflows", "7", "--task-queue", "unpolled", "--json"];
    let mut command = stage.starter(&load);
    command.args(["--id-prefix", &number.to_string()]);
    let starter =
        Process::new(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let client = stage.client(AnyCodec::new(Tampering));
    wait_for("all seven to be started", || {
        let count = stage.runtime.block_on(client.count_workflows("", Default::default()));
        (count.ok()?.count() == number * 7).then_some(())
    });
    starter.signal(signal);
    let output = starter.output();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("of 7 workflows were started"), "{said}");
    // The server has all seven; the starter may not have heard of the last ones yet, and says so.
    let report = json(&output);
    let ids = |list: &str| report[list].as_array().unwrap().len();
    assert_eq!(ids("not_awaited") + ids("start_not_answered"), 7, "{report:#}");
    assert_eq!(report["workflows"]["started"], ids("not_awaited"), "{report:#}");
}
