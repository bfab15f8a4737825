//! What an editor runs when an attendee saves a `codec.rs`.

use std::{fs, path::Path};

use serde_json::Value;
use solutions::Step;

use crate::support::{ROOT, checkout::Checkout, stderr, stdout};

/// The command that rust-analyzer is told to run, from both files that tell it.
fn command() -> Vec<String> {
    let read = |file: &str| fs::read_to_string(Path::new(ROOT).join(file)).unwrap();
    let toml = read("rust-analyzer.toml");
    let line = toml.lines().find_map(|line| line.strip_prefix("overrideCommand = ")).unwrap();
    // A list of strings is the same in TOML and in JSON.
    let command: Vec<String> = serde_json::from_str(line).unwrap();
    let settings: Value = serde_json::from_str(&read(".vscode/settings.json")).unwrap();
    assert_eq!(settings["rust-analyzer.check.overrideCommand"], serde_json::json!(command));
    command
}

#[test]
fn on_save_the_compilers_error_shows_in_the_codec_that_is_edited() {
    let checkout = Checkout::take_first();
    let codec = "exercises/02-spawn-blocking/codec.rs";
    let start = fs::read_to_string(checkout.root.join(codec)).unwrap();
    // A typical mistake: moving the keys into a closure, and using them again.
    let moved = start.replace(
        "pub fn codec(keys: KeyService) -> impl PayloadCodec {",
        "pub fn codec(keys: KeyService) -> impl PayloadCodec {\n    drop(move || keys);",
    );
    assert_ne!(moved, start);
    checkout.writes(Step::SpawnBlocking, &moved);
    let [program, arguments @ ..] = &command()[..] else { panic!("no command") };
    let output = checkout.program(program).args(arguments).output().unwrap();
    let errors: Vec<Value> = stdout(&output)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|message| message["message"]["level"] == "error")
        .collect();
    let shown = errors.iter().any(|error| {
        let spans = error["message"]["spans"].as_array().unwrap();
        error["message"]["code"]["code"] == "E0382" && spans.iter().any(|s| s["file_name"] == codec)
    });
    assert!(shown, "{errors:#?}\n{}", stderr(&output));
    // The other exercises are checked all the same.
    let checked = |name: &str| {
        stdout(&output).lines().any(|line| {
            let message: Value = serde_json::from_str(line).unwrap();
            message["reason"] == "compiler-artifact" && message["target"]["name"] == name
        })
    };
    assert!(checked("exercise-3") && checked("workshop"), "{}", stderr(&output));
}
