//! The recipes in Python and Go, run by workers on a real Temporal server. See `recipes/README.md` for what they need.

#![allow(clippy::unwrap_used)]
#![allow(
    clippy::print_stdout,
    reason = "what was measured is what these tests are run by hand for"
)]

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

const PACKAGE: &str = env!("CARGO_MANIFEST_DIR");

/// Runs it, with the workshop's own Temporal CLI on the path after the user's. Returns the JSON that it printed: a
/// Temporal server writes to the same stdout.
fn json(command: &mut Command) -> Value {
    let path = env::var("PATH").unwrap_or_default();
    let ours = Path::new(PACKAGE).parent().unwrap().join(".workshop/bin");
    let output = command
        .env("PATH", format!("{path}:{}", ours.display()))
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}{stderr}", output.status);
    let line = said.lines().find(|line| line.starts_with('{'));
    serde_json::from_str(line.unwrap_or_else(|| panic!("no JSON in: {said}"))).unwrap()
}

#[test]
#[ignore = "needs Python with recipes/python/requirements.txt: RECIPES_PYTHON names its interpreter"]
fn python_blocking_on_threads_and_async() {
    let python = env::var("RECIPES_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let saw = json(
        Command::new(python)
            .args(["-B", "measure.py"])
            .current_dir(Path::new(PACKAGE).join("python")),
    );
    let seconds = |codec: &str| saw[codec]["seconds"].as_f64().unwrap();
    let texts = |codec: &str, what: &str| {
        let texts = saw[codec][what].as_array().unwrap().iter();
        texts.map(|text| text.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for codec in ["blocking", "on_threads", "async"] {
        println!(
            "{codec}: blocking took {:.1} times as long; {} slow callbacks, {} stacks",
            seconds("blocking") / seconds(codec),
            texts(codec, "slow_callbacks").len(),
            texts(codec, "stacks").len()
        );
    }
    // asyncio's debug mode names the worker, the stack names the line.
    let slow = texts("blocking", "slow_callbacks");
    let names =
        |text: &String| text.contains("_handle_activation()") || text.contains("_run_activity(");
    assert!(slow.iter().any(names), "{slow:#?}");
    let stacks = texts("blocking", "stacks");
    assert!(stacks.iter().all(|stack| stack.contains("return self.key_blocking()")), "{stacks:#?}");
    assert!(stacks.len() > 10, "{stacks:#?}");
    // With either fix, both are silent, and it is faster.
    for codec in ["on_threads", "async"] {
        assert_eq!(texts(codec, "slow_callbacks"), [""; 0], "{codec}");
        assert_eq!(texts(codec, "stacks"), [""; 0], "{codec}");
        assert!(seconds(codec) * 1.5 < seconds("blocking"), "{saw:#}");
    }
}

#[test]
#[ignore = "needs Go 1.26, and a Temporal CLI on the PATH or in .workshop/bin"]
fn go_blocked_goroutines_and_the_deadlock_detector() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("recipes");
    let go = Path::new(PACKAGE).join("go");
    let built = Command::new("go").arg("build").arg("-o").arg(&program).current_dir(go).status();
    assert!(built.unwrap().success());
    let saw = json(&mut Command::new(program));
    let (one, many) = (saw["one_seconds"].as_f64().unwrap(), saw["many_seconds"].as_f64().unwrap());
    println!("{} workflows took {:.2} times as long as one", saw["many"], many / one);
    // One after another they would take 20 times as long.
    assert!(many < one * 4.0, "{saw:#}");
    let failure = saw["failure"].as_str().unwrap();
    assert!(failure.starts_with("[TMPRL1101] Potential deadlock detected"), "{failure}");
    assert!(failure.ends_with("didn't yield for over 1s"), "{failure}");
    assert_eq!(saw["may_wait"], "Hello, World", "{saw:#}");
    assert_eq!(saw["failures"], 0, "{saw:#}");
}

/// The versions that the page's figures come from.
#[test]
fn the_readme_names_the_versions() {
    let read = |file: &str| fs::read_to_string(Path::new(PACKAGE).join(file)).unwrap();
    let readme = read("README.md");
    let python = read("python/requirements.txt");
    let sdk = python.lines().find_map(|line| line.strip_prefix("temporalio==")).unwrap();
    assert!(readme.contains(&format!("temporalio {sdk}")), "{sdk}");
    let go = read("go/go.mod");
    let sdk = go.lines().find_map(|line| line.trim().strip_prefix("go.temporal.io/sdk ")).unwrap();
    assert!(readme.contains(&format!("go.temporal.io/sdk {sdk}")), "{sdk}");
}
