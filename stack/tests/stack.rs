//! The real stack: process-compose, Temporal, codec server, key service, Prometheus. Each test has a folder and
//! ports of its own. What needs process-compose is ignored unless it is asked for, since not every machine has it:
//! `cargo test --workspace --test stack -- --ignored`.

// A test that can't go on fails where it is.
#![allow(clippy::unwrap_used)]

#[path = "../../tests/support/waiting.rs"]
mod waiting;

use std::{
    collections::BTreeSet,
    env,
    ffi::OsString,
    fs,
    net::{TcpListener, TcpStream},
    os::unix::{fs::symlink, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::OnceLock,
};

use cli_kit::settings::Settings;
use codec_kit::{KeyService, WrappedKeyring, kms};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::{Value, json};
use stack::{build, services::Asker};
use tempfile::TempDir;
use url::Url;
use waiting::{free_ports, wait_for};

/// The name of a checkout's folder: all that a shell, a pattern, YAML or a substitution could take for
/// something else, and longer than the address of a socket.
const ODD_NAME: &str = r#"R&D x|y a"b a\b a$b a${b} it's ü [b]? # c: {{d}} %41 a folder of a long, long name, 100 bytes and more"#;

/// A workshop's folder with nothing running in it, and ports that are free.
struct TestCheckout {
    _folder: TempDir,
    root: PathBuf,
    ports: Settings,
}

impl TestCheckout {
    fn new() -> Self {
        Self::named("workshop")
    }

    fn named(name: &str) -> Self {
        Self::with(name, free_ports())
    }

    fn with(name: &str, ports: Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join(name);
        fs::create_dir(&root).unwrap();
        for part in ["stack", "grafana"] {
            symlink(workshop().join(part), root.join(part)).unwrap();
        }
        Self { _folder: folder, root, ports }
    }

    /// Replaces a file of the stack by one with another text.
    fn edit(&self, name: &str, edit: impl FnOnce(String) -> String) {
        let stack = self.root.join("stack");
        fs::remove_file(&stack).unwrap();
        fs::create_dir(&stack).unwrap();
        let theirs = workshop().join("stack");
        for part in
            ["process-compose.yaml", "prometheus.yml", "rules"].iter().filter(|p| **p != name)
        {
            symlink(theirs.join(part), stack.join(part)).unwrap();
        }
        let text = fs::read_to_string(theirs.join(name)).unwrap();
        fs::write(stack.join(name), edit(text)).unwrap();
    }

    fn port(&self, variable: &str) -> u16 {
        self.ports.port(variable)
    }

    fn in_here(&self, mut command: Command) -> Command {
        command.current_dir(&self.root).stdin(Stdio::null());
        command.envs(self.ports.variables());
        command
    }

    fn stack(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stack"));
        command.args(flags);
        self.in_here(command)
    }

    fn run(&self, flags: &[&str]) -> Output {
        self.stack(flags).output().unwrap()
    }

    /// Without Grafana, which not every machine has.
    fn to_start(&self, flags: &[&str]) -> Command {
        let mut command = self.stack(&["--without", "grafana"]);
        command.args(flags).env("PATH", path_with_own_programs());
        command
    }

    fn up(&self, flags: &[&str]) -> Output {
        self.to_start(&["--detach"]).args(flags).output().unwrap()
    }

    fn url(&self, variable: &str, path: &str) -> String {
        self.ports.url(variable, path)
    }

    /// The values of an expression now, as Prometheus has them.
    fn query(&self, expression: &str) -> Vec<f64> {
        let url = self.url("STACK_PROMETHEUS_PORT", "/api/v1/query");
        let url = Url::parse_with_params(&url, [("query", expression)]).unwrap();
        let answer = Asker::default().page(url.as_str());
        let answer = answer.unwrap_or_else(|error| panic!("{error:#}: {expression}"));
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let series = answer["data"]["result"].as_array().unwrap();
        series.iter().map(|one| one["value"][1].as_str().unwrap().parse().unwrap()).collect()
    }

    fn status(&self) -> Vec<Value> {
        let output = self.run(&["status", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    fn pid(&self, service: &str) -> Pid {
        let status = self.status();
        let status = status.iter().find(|status| status["service"] == service).unwrap();
        Pid::from_raw(i32::try_from(status["pid"].as_i64().unwrap()).unwrap()).unwrap()
    }

    /// Starts it in the foreground, and waits until it is up.
    fn foreground(&self) -> Foreground {
        let stdout = self.root.join("out");
        let stderr = self.root.join("err");
        let mut command = self.to_start(&[]);
        command
            .stdout(fs::File::create(&stdout).unwrap())
            .stderr(fs::File::create(&stderr).unwrap())
            .process_group(0);
        let mut child = command.spawn().unwrap();
        wait_for("the stack to be up", || {
            assert_eq!(child.try_wait().unwrap(), None, "{}", read(&stderr));
            read(&stdout).contains("the stack is up").then_some(())
        });
        Foreground { child, stderr }
    }

    /// No process listens at any port, and none has this folder as its working folder.
    fn assert_nothing_is_left(&self) {
        for (name, _) in self.ports.variables().filter(|(name, _)| name.ends_with("_PORT")) {
            let address = self.ports.address(name);
            assert!(TcpStream::connect(address).is_err(), "{name} is still served");
        }
        let socket = self.root.join(".workshop/stack/process-compose.sock");
        assert!(std::os::unix::net::UnixStream::connect(socket).is_err(), "it still answers");
    }
}

impl Drop for TestCheckout {
    fn drop(&mut self) {
        // A test that fails half-way must not leave anything either.
        self.run(&["down"]);
    }
}

struct Foreground {
    child: Child,
    stderr: PathBuf,
}

impl Foreground {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id().cast_signed()).unwrap(), signal).unwrap();
    }

    /// Its exit code and what it said.
    fn end(mut self) -> (Option<i32>, String) {
        let status = wait_for("the stack to end", || self.child.try_wait().unwrap());
        (status.code(), read(&self.stderr))
    }
}

/// `PATH`, and after it the folder with the workshop's own programs, built by the function that the stack
/// builds them with. They are not built from a test's folder: it is no checkout.
fn path_with_own_programs() -> OsString {
    static PATH: OnceLock<OsString> = OnceLock::new();
    let path = || {
        let built = build::build(&["codec-server", "key-service"], workshop()).unwrap();
        let folders: BTreeSet<_> = built.iter().map(|(_, file)| file.parent().unwrap()).collect();
        let path = env::var_os("PATH").unwrap();
        let path = env::split_paths(&path).chain(folders.into_iter().map(Path::to_owned));
        env::join_paths(path).unwrap()
    };
    PATH.get_or_init(path).clone()
}

fn workshop() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_port_that_is_taken_is_said_before_anything_starts() {
    let checkout = TestCheckout::new();
    let port = checkout.port("STACK_PROMETHEUS_PORT");
    // It was free a moment ago, and a connection of another test may have it.
    let _taken = wait_for("the port", || TcpListener::bind(("127.0.0.1", port)).ok());
    let this = format!("(process {})", std::process::id());
    let said = wait_for("this process to be named", || {
        let output = checkout.run(&["--without", "grafana", "--detach"]);
        assert_eq!(output.status.code(), Some(3));
        let said = stderr(&output);
        assert!(said.contains(&format!("port {port} is taken by ")), "{said}");
        // A program that another test is starting still has all open files until it runs, and is named then.
        said.contains(&this).then_some(said)
    });
    assert!(said.contains("STACK_PROMETHEUS_PORT="), "{said}");
    assert!(!checkout.root.join(".workshop").exists(), "something was begun");
}

#[test]
fn what_is_missing_is_said_all_at_once_with_how_to_get_it() {
    let checkout = TestCheckout::new();
    let mut command = checkout.stack(&[]);
    let output = command.env("PATH", "/no/such/folder").env_remove("CARGO").output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = stderr(&output);
    // Cargo, because it would build the codec server and the key service.
    for program in ["process-compose", "temporal", "prometheus", "grafana", "cargo"] {
        let line = said.lines().find(|line| line.trim().starts_with(&format!("{program} is not")));
        assert!(line.is_some_and(|line| line.contains("get it: ")), "{program}: {said}");
    }
    assert!(!said.contains("codec-server") && !said.contains("key-service"), "{said}");
    assert!(!checkout.root.join(".workshop").exists(), "something was begun");

    // What would be built is not needed without the services that need it.
    let without = ["--without", "codec-server", "--without", "key-service"];
    let mut command = checkout.stack(&without);
    let output = command.env("PATH", "/no/such/folder").env_remove("CARGO").output().unwrap();
    assert!(!stderr(&output).contains("cargo is not on PATH"), "{}", stderr(&output));
}

#[test]
fn wrong_usage_is_a_sentence_and_exit_code_2() {
    let checkout = TestCheckout::new();
    let all = ["temporal", "codec-server", "key-service", "prometheus", "grafana"];
    let output = checkout.run(&all.map(|service| ["--without", service]).concat());
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let output = checkout.stack(&["status"]).env("STACK_GRAFANA_PORT", "x").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("STACK_GRAFANA_PORT=x is not a port"), "{}", stderr(&output));
}

#[test]
fn a_folder_that_prometheus_does_not_take_is_said_before_anything_starts() {
    let checkout = TestCheckout::named("a*b");
    let output = checkout.run(&["--without", "grafana", "--detach"]);
    assert_eq!(output.status.code(), Some(3));
    let said = stderr(&output);
    assert!(said.contains("a*b has a *") && said.contains("rename the folder"), "{said}");
    assert!(!checkout.root.join(".workshop").exists(), "something was begun");
}

/// Programs of a test's own, before which `PATH` has no others but the system's. They are a Temporal CLI and a
/// process-compose that writes down what the services would get, and ends.
struct Programs(TempDir);

impl Programs {
    fn new() -> Self {
        let programs = Self(tempfile::tempdir().unwrap());
        let seen = programs.path("seen");
        let shows =
            format!("[ \"$1\" = version ] && exec echo v1.94.0; env >'{}'; exit 1", seen.display());
        programs.script("process-compose", &shows);
        programs.script("temporal", "echo temporal version 1.9.1");
        programs
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        waiting::script(&path, text);
        path
    }

    /// The stack with these programs, without what they do not stand for.
    fn stack(&self, checkout: &TestCheckout) -> Command {
        let mut command =
            checkout.stack(&["--without", "grafana", "--without", "prometheus", "--detach"]);
        command.env("PATH", format!("{}:/usr/bin:/bin", self.0.path().display()));
        command
    }

    /// The variables that the services would get.
    fn variables(&self, output: &Output) -> String {
        fs::read_to_string(self.path("seen")).unwrap_or_else(|_| panic!("{}", stderr(output)))
    }
}

#[test]
fn variables_of_the_users_shell_do_not_reach_the_services() {
    let checkout = TestCheckout::new();
    let programs = Programs::new();
    programs.script("codec-server", "echo codec-server 0.1.0");
    programs.script("key-service", "echo key-service 0.1.0");
    let foreign = ["GF_SERVER_HTTP_PORT", "GF_DATABASE_URL", "PC_PORT_NUM", "COMPOSE_SHELL"];
    let mut command = programs.stack(&checkout);
    let output = command.envs(foreign.map(|name| (name, "/theirs"))).output().unwrap();
    let variables = programs.variables(&output);
    assert!(variables.contains("STACK_GRAFANA_PORT="), "{variables}");
    for name in foreign {
        assert!(!variables.contains(&format!("{name}=")), "{name}: {variables}");
    }
    // Those on PATH are run from there.
    assert!(variables.contains("STACK_CODEC_SERVER=codec-server\n"), "{variables}");
}

/// A cargo that prints what a real one does. The real one builds them for the tests below.
#[test]
fn what_path_does_not_have_is_built_and_run_from_where_cargo_says() {
    let checkout = TestCheckout::new();
    let programs = Programs::new();
    // Too old to be used.
    programs.script("key-service", "echo key-service 0.0.9");
    let artifact = |name: &str| {
        json!({
            "reason": "compiler-artifact",
            "package_id": format!("path+file:///{name}#0.1.0"),
            "manifest_path": format!("/{name}/Cargo.toml"),
            "target": {
                "kind": ["bin"], "crate_types": ["bin"], "name": name, "edition": "2024",
                "src_path": format!("/{name}/src/main.rs"),
                "doc": true, "doctest": false, "test": true,
            },
            "profile": {
                "opt_level": "0", "debuginfo": 1, "debug_assertions": true,
                "overflow_checks": true, "test": false,
            },
            "features": [],
            "filenames": [format!("/target of {name}/{name}")],
            "executable": format!("/target of {name}/{name}"),
            "fresh": true,
        })
    };
    let printed = programs.path("printed");
    let lines = ["codec-server", "key-service"].map(|name| artifact(name).to_string()).join("\n");
    fs::write(&printed, lines).unwrap();
    let asked = programs.path("asked");
    let cargo = programs.script(
        "cargo",
        &format!("pwd >'{0}'; echo \"$@\" >>'{0}'; cat '{1}'", asked.display(), printed.display()),
    );
    let run = |cargo: &Path| programs.stack(&checkout).env("CARGO", cargo).output().unwrap();
    let output = run(&cargo);
    let variables = programs.variables(&output);
    for line in [
        "STACK_CODEC_SERVER=/target of codec-server/codec-server\n",
        "STACK_KEY_SERVICE=/target of key-service/key-service\n",
    ] {
        assert!(variables.contains(line), "{variables}");
    }
    let asked = fs::read_to_string(&asked).unwrap();
    let root = checkout.root.canonicalize().unwrap();
    assert!(asked.starts_with(&format!("{}\nbuild ", root.display())), "{asked}");
    assert!(asked.contains("--bin codec-server --bin key-service"), "{asked}");
    assert!(stderr(&output).contains("building codec-server and key-service"));

    // One that fails, and one that does not say where the programs are.
    fs::remove_file(programs.path("seen")).unwrap();
    for (text, why) in [
        ("exit 101", "--without codec-server --without key-service starts the stack"),
        ("true", "did not say where it is"),
    ] {
        let output = run(&programs.script("no-cargo", text));
        assert_eq!(output.status.code(), Some(3));
        assert!(stderr(&output).contains(why), "{}", stderr(&output));
        assert!(!programs.path("seen").exists(), "the stack was started");
    }
}

#[test]
fn where_no_stack_runs_status_says_so_and_down_is_done() {
    let checkout = TestCheckout::new();
    let output = checkout.run(&["status"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("no stack runs from this folder"), "{}", stderr(&output));
    let output = checkout.run(&["down"]);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
#[ignore = "needs process-compose"]
fn it_comes_up_restarts_what_is_killed_and_goes_down_in_a_folder_of_any_name() {
    let checkout = TestCheckout::named(ODD_NAME);
    let output = checkout.up(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stdout(&output);
    let address = format!("TEMPORAL_ADDRESS=127.0.0.1:{}", checkout.port("STACK_TEMPORAL_PORT"));
    assert!(said.contains(&address) && said.contains("the stack is up"), "{said}");

    // Everything listens on this machine only.
    let all = ["temporal", "codec-server", "key-service", "prometheus"];
    let pids = all.map(|service| checkout.pid(service));
    let sockets: Vec<_> = listeners::get_all()
        .unwrap()
        .into_iter()
        .filter(|listener| {
            pids.iter()
                .any(|pid| pid.as_raw_nonzero().get().cast_unsigned() == listener.process.pid)
        })
        .filter(|listener| listener.state == listeners::SocketState::Listen)
        .collect();
    assert!(sockets.len() >= 8, "{sockets:?}");
    assert!(sockets.iter().all(|listener| listener.socket.ip().is_loopback()), "{sockets:?}");

    let again = checkout.up(&[]);
    assert_eq!(again.status.code(), Some(3));
    assert!(stderr(&again).contains("the stack is already running"), "{}", stderr(&again));

    // Prometheus has the rules, and asks the ports that were chosen.
    let asker = Asker::default();
    let prometheus = format!("http://127.0.0.1:{}/api/v1", checkout.port("STACK_PROMETHEUS_PORT"));
    let rules = asker.page(&format!("{prometheus}/rules")).unwrap();
    assert!(rules.contains("ThreadHeld"), "{rules}");
    let targets = wait_for("Prometheus' targets", || {
        let targets = asker.page(&format!("{prometheus}/targets")).unwrap();
        targets.contains("\"job\":\"worker\"").then_some(targets)
    });
    for target in [
        "WORKER_METRICS",
        "STARTER_METRICS",
        "TEMPORAL_METRICS",
        "CODEC_SERVER",
        "KEY_SERVICE_ADMIN",
    ] {
        let port = checkout.port(&format!("STACK_{target}_PORT"));
        assert!(targets.contains(&format!("127.0.0.1:{port}\"")), "{target}: {targets}");
    }

    // Seen from another folder, the ports belong to another process.
    let other = TestCheckout::with("workshop", checkout.ports.clone());
    let refused = stderr(&other.up(&[]));
    for (port, service) in [
        ("STACK_PROMETHEUS_PORT", "prometheus"),
        ("STACK_TEMPORAL_PORT", "temporal"),
        ("STACK_CODEC_SERVER_PORT", "codec-server"),
        ("STACK_KEY_SERVICE_PORT", "key-service"),
    ] {
        let pid = checkout.pid(service).as_raw_nonzero();
        let holder = format!("port {} is taken by {service} (process {pid})", checkout.port(port));
        assert!(refused.contains(&holder), "{holder}: {refused}");
    }

    for service in all {
        let killed = checkout.pid(service);
        kill_process(killed, Signal::KILL).unwrap();
        wait_for("it to be restarted and healthy", || {
            let status = checkout.status();
            let status = status.iter().find(|status| status["service"] == service)?;
            (status["restarts"] == 1 && status["well"] == true).then_some(())
        });
        assert_ne!(checkout.pid(service), killed);
    }
    let table = stdout(&checkout.run(&["status"]));
    assert!(table.contains("prometheus") && !table.contains("grafana"), "{table}");

    let pids = all.map(|service| checkout.pid(service));
    let output = checkout.run(&["down"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    checkout.assert_nothing_is_left();
    assert!(pids.iter().all(|pid| test_kill_process(*pid).is_err()), "a service still runs");
}

/// The shell's lines between this line of the docs and the end of their block.
fn documented(first: &str) -> String {
    let page = fs::read_to_string(workshop().join("docs/stack.md")).unwrap();
    let (_, rest) = page.split_once(&format!("```sh\n{first}")).unwrap();
    let (lines, _) = rest.split_once("```").unwrap();
    format!("{first}{lines}")
}

/// A keyring as the lines of docs/stack.md make it, and the variables that they set.
fn documented_keyring(checkout: &TestCheckout) -> (WrappedKeyring, kms::Settings) {
    let lines = documented("export AWS_ENDPOINT_URL_KMS=");
    let port = checkout.port("STACK_KEY_SERVICE_PORT").to_string();
    assert!(lines.contains(":8082 "), "{lines}");
    // What that command prints is held by tests/cli/keys.rs.
    let command = "export CODEC_KEYS=\"$(cargo workshop keys wrap --new 2026)\"\n";
    let lines = lines.strip_suffix(command).unwrap().replace("8082", &port);
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", &(lines + "env -0")]);
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let variables = stdout(&output);
    let settings = kms::Settings::from_variables(|name| {
        let set = variables.split('\0').filter_map(|line| line.split_once('='));
        set.filter(|(known, _)| *known == name).map(|(_, value)| value.to_owned()).next()
    });
    let settings = settings.unwrap();
    let client = kms::BlockingClient::new(&settings).unwrap();
    (kms::new_wrapped_key(&client, "alias/workshop", "2026").unwrap(), settings)
}

#[test]
#[ignore = "needs process-compose"]
fn a_worker_can_use_the_key_service_also_after_the_stack_was_started_again() {
    let checkout = TestCheckout::named(ODD_NAME);
    let without = ["--detach", "--without", "temporal", "--without", "prometheus"];
    let mut command = checkout.to_start(&without);
    command.args(["--without", "codec-server"]);
    // Credentials of the user's, which the key service must not take for its own.
    command.env("AWS_ACCESS_KEY_ID", "theirs").env("AWS_SECRET_ACCESS_KEY", "theirs");
    command.env("AWS_SESSION_TOKEN", "theirs").env("AWS_REGION", "eu-west-1");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let (keyring, settings) = documented_keyring(&checkout);
    let unwrap = || {
        let keys = KeyService::with_kms(keyring.clone(), &settings).unwrap();
        assert_eq!(keys.data_key_blocking().unwrap().id(), "2026");
        assert_eq!(keys.data_key_by_id_blocking("2026").unwrap().id(), "2026");
    };
    unwrap();
    checkout.run(&["down"]);

    // A codec server with the same variables has the same key.
    let mut command = checkout.to_start(&without);
    command.env("CODEC_KEYS", keyring.to_string()).env("AWS_REGION", "us-east-1");
    command.env("AWS_ENDPOINT_URL_KMS", checkout.url("STACK_KEY_SERVICE_PORT", ""));
    command.env("AWS_ACCESS_KEY_ID", "workshop").env("AWS_SECRET_ACCESS_KEY", "not-a-secret");
    command.env_remove("AWS_SESSION_TOKEN");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    unwrap();
    let encrypted = ask_codec_server(&checkout, "encode", &payload());
    // 2026, in base64.
    assert_eq!(encrypted["metadata"]["encryption-key-id"], "MjAyNg==", "{encrypted}");
    assert_eq!(ask_codec_server(&checkout, "decode", &encrypted), payload());
}

/// "Ada", as JSON.
fn payload() -> Value {
    json!({"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "IkFkYSI="})
}

/// A page of the Web UI that asks the codec server. Returns the payload that it gets back.
fn ask_codec_server(checkout: &TestCheckout, operation: &str, payload: &Value) -> Value {
    let origin = checkout.url("STACK_TEMPORAL_UI_PORT", "");
    let url = checkout.url("STACK_CODEC_SERVER_PORT", &format!("/{operation}"));
    let request = ureq::post(url).header("content-type", "application/json");
    let request = request.header("origin", &origin).header("x-namespace", "default");
    let mut response = request.send(json!({"payloads": [payload]}).to_string()).unwrap();
    assert_eq!(response.headers()["access-control-allow-origin"], origin);
    let body = response.body_mut().read_to_string().unwrap();
    serde_json::from_str::<Value>(&body).unwrap()["payloads"][0].take()
}

/// The queries of the panels below that title in the lesson, with their panels.
fn queries_below(row: &str) -> Vec<(String, String)> {
    let file = workshop().join("grafana/dashboards/lesson.json");
    let lesson: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let panels = lesson["panels"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let below = panels.iter().skip_while(|panel| panel["title"] != row).skip(1);
    below
        .take_while(|panel| panel["type"] != "row")
        .flat_map(|panel| {
            let targets = panel["targets"].as_array().unwrap();
            targets.iter().map(|target| (text(&panel["title"]), text(&target["expr"])))
        })
        .collect()
}

#[test]
#[ignore = "needs process-compose"]
fn the_web_ui_finds_the_codec_server_and_the_dashboard_shows_both_services() {
    let checkout = TestCheckout::new();
    let output = checkout.up(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));

    // Before any call: a counter has no rate until Prometheus has seen it at two values.
    let scraped = "count(up{job=~\"codec-server|key-service\"} == 1)";
    wait_for("Prometheus to scrape both", || (checkout.query(scraped) == [2.0]).then_some(()));

    // The Web UI names the codec server to its pages, and the codec server answers them.
    let settings = checkout.url("STACK_TEMPORAL_UI_PORT", "/api/v1/settings");
    let settings = Asker::default().page(&settings).unwrap();
    let settings: Value = serde_json::from_str(&settings).unwrap();
    let codec_server = checkout.url("STACK_CODEC_SERVER_PORT", "");
    assert_eq!(settings["Codec"]["Endpoint"], codec_server, "{settings}");
    let encrypted = ask_codec_server(&checkout, "encode", &payload());
    assert_ne!(encrypted, payload());
    assert_eq!(ask_codec_server(&checkout, "decode", &encrypted), payload());

    // Enough calls for some that stall.
    let (keyring, settings) = documented_keyring(&checkout);
    let keys = KeyService::with_kms(keyring, &settings).unwrap();
    for _ in 0..40 {
        let key = keys.data_key_blocking().unwrap();
        keys.data_key_by_id_blocking(key.id()).unwrap();
    }
    let calls = "sum(workshop_key_service_calls_total{operation=\"Decrypt\", result=\"ok\"})";
    wait_for("Prometheus to have all calls", || (checkout.query(calls) == [80.0]).then_some(()));

    for row in ["Key service", "Codec server"] {
        let queries = queries_below(row);
        assert!(queries.len() >= 3, "{queries:?}");
        // The worker's own figures need a worker: tests/live/dashboards.rs has one.
        for (panel, query) in queries.iter().filter(|(_, query)| !query.contains("$exercise")) {
            let highest = wait_for(panel, || {
                let values = checkout.query(query);
                values.into_iter().filter(|value| value.is_finite()).reduce(f64::max)
            });
            println!("| {panel} | `{query}` | {highest:.2e} |");
        }
    }
    // One call in ten for a key to encrypt with stalls, and none for a key to decrypt with.
    for (purpose, stalls) in [("encrypt", true), ("decrypt", false)] {
        let count = checkout.query(&format!(
            "workshop_key_service_faults_total{{fault=\"stall\", purpose=\"{purpose}\"}}"
        ));
        assert!(count.len() == 1 && (count[0] > 0.0) == stalls, "{purpose}: {count:?}");
    }
    let queries = queries_below("Key service");
    let (_, p99) = queries.iter().find(|(_, query)| query.contains("(0.99")).unwrap();
    let longest = checkout.query(p99).into_iter().filter(|s| s.is_finite()).reduce(f64::max);
    assert!(longest >= Some(0.2), "{longest:?}");
}

#[test]
#[ignore = "needs process-compose"]
fn without_the_codec_server_the_web_ui_asks_the_one_that_is_named_or_none() {
    for named in ["", "http://127.0.0.1:9"] {
        let checkout = TestCheckout::new();
        let mut command = checkout.to_start(&["--detach", "--without", "prometheus"]);
        command.args(["--without", "codec-server", "--without", "key-service"]);
        let output = command.env("STACK_UI_CODEC_ENDPOINT", named).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let settings = checkout.url("STACK_TEMPORAL_UI_PORT", "/api/v1/settings");
        let settings = Asker::default().page(&settings).unwrap();
        let settings: Value = serde_json::from_str(&settings).unwrap();
        let endpoint = settings["Codec"]["Endpoint"].as_str().unwrap_or_default();
        assert_eq!(endpoint, named, "{settings}");
        let table = stdout(&checkout.run(&["status"]));
        assert!(table.contains("temporal") && !table.contains("codec-server"), "{table}");
    }
}

#[test]
#[ignore = "needs process-compose"]
fn a_signal_ends_it_whole() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let checkout = TestCheckout::new();
        let stack = checkout.foreground();
        stack.signal(signal);
        let (code, said) = stack.end();
        assert_eq!(code, Some(0), "{signal:?}: {said}");
        assert!(said.contains("the stack is down"), "{said}");
        checkout.assert_nothing_is_left();
    }
}

#[test]
#[ignore = "needs process-compose"]
fn process_compose_down_ends_it_whole() {
    let checkout = TestCheckout::new();
    let stack = checkout.foreground();
    let mut down = Command::new("process-compose");
    down.args(["--unix-socket", ".workshop/stack/process-compose.sock", "down"]);
    assert!(checkout.in_here(down).output().unwrap().status.success());
    assert_eq!(stack.end().0, Some(0));
    checkout.assert_nothing_is_left();
}

#[test]
#[ignore = "needs process-compose"]
fn a_service_that_dies_again_and_again_ends_it_with_the_end_of_its_log() {
    let checkout = TestCheckout::new();
    let mut stack = checkout.foreground();
    // It is restarted three times.
    let mut killed = Vec::new();
    wait_for("the stack to end", || {
        let status = checkout.status();
        let status = status.iter().find(|status| status["service"] == "prometheus");
        let healthy = status.filter(|status| status["well"] == true);
        let pid =
            healthy.and_then(|status| Pid::from_raw(status["pid"].as_i64()?.try_into().ok()?));
        if let Some(pid) = pid.filter(|pid| !killed.contains(pid)) {
            kill_process(pid, Signal::KILL).unwrap();
            killed.push(pid);
        }
        assert!(killed.len() < 10, "it is restarted for ever");
        stack.child.try_wait().unwrap()
    });
    let (code, said) = stack.end();
    assert_eq!((code, killed.len()), (Some(3), 4), "{said}");
    assert!(said.contains("prometheus crashed repeatedly, last with exit code -1"), "{said}");
    assert!(said.contains(".workshop/stack/temporal.log:"), "{said}");
    let said = stderr(&checkout.run(&["status"]));
    assert!(said.contains("because prometheus died with exit code -1"), "{said}");
    checkout.assert_nothing_is_left();
}

#[test]
#[ignore = "needs process-compose"]
fn a_service_that_does_not_start_leaves_nothing_running() {
    for detach in [true, false] {
        let checkout = TestCheckout::new();
        // A configuration that Prometheus refuses.
        checkout.edit("prometheus.yml", |text| text + "no_such_setting: 1\n");
        let flags: &[_] = if detach { &["--detach"] } else { &[] };
        let output = checkout.to_start(flags).output().unwrap();
        assert_eq!(output.status.code(), Some(3));
        let said = stderr(&output);
        assert!(said.contains("no_such_setting"), "{said}");
        checkout.assert_nothing_is_left();
    }
}

#[test]
#[ignore = "needs process-compose"]
fn interrupted_before_it_is_healthy_it_leaves_nothing_running() {
    let checkout = TestCheckout::new();
    // A Prometheus that is never healthy.
    checkout.edit("process-compose.yaml", |text| {
        text.replace("exec prometheus", "exec sleep 600; exec prometheus")
    });
    let mut command = checkout.to_start(&["--detach"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("Temporal to be healthy", || {
        let status = checkout.status();
        status.iter().any(|s| s["service"] == "temporal" && s["well"] == true).then_some(())
    });
    kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), Signal::INT).unwrap();
    let status = wait_for("it to end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(130));
    checkout.assert_nothing_is_left();
}

#[test]
#[ignore = "needs process-compose"]
fn data_is_fresh_unless_it_is_kept() {
    let checkout = TestCheckout::named(ODD_NAME);
    let address = format!("127.0.0.1:{}", checkout.port("STACK_TEMPORAL_PORT"));
    let temporal = |flags: &[&str]| {
        let mut command = Command::new("temporal");
        command.args(["workflow"]).args(flags).args([
            "--workflow-id",
            "kept",
            "--address",
            &address,
        ]);
        checkout.in_here(command).output().unwrap()
    };
    let start = |keep: &[&str]| {
        let output = checkout.up(keep);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    };
    start(&["--keep"]);
    let started = temporal(&["start", "--type", "Anything", "--task-queue", "unpolled"]);
    assert!(started.status.success(), "{}", stderr(&started));
    checkout.run(&["down"]);
    // Prometheus' folder of each kind of run, from the run before.
    let data = |kind: &str| checkout.root.join(".workshop/stack").join(kind);
    for kind in ["data", "kept"] {
        fs::create_dir_all(data(kind)).unwrap();
        fs::write(data(kind).join("earlier"), "").unwrap();
    }
    // A fresh run in between knows nothing of it, and takes nothing from it.
    for (keep, known) in [(&[][..], false), (&["--keep"], true)] {
        start(keep);
        assert_eq!(temporal(&["describe"]).status.success(), known, "{keep:?}");
        assert!(data("kept").join("prometheus").is_dir(), "Prometheus' data was not kept");
        checkout.run(&["down"]);
    }
    assert!(!data("data").join("earlier").exists(), "a fresh run began with old data");
    assert!(data("kept").join("earlier").exists(), "what was kept is gone");
}
