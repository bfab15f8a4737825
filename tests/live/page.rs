//! The live page of a real run, in a real browser.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
    thread,
};

use crate::{
    chromium::Chromium,
    support::{Group, WORKSHOP, program, temporal, wait_for},
};

/// In percent, what a card says of how long the codec blocked its thread in the last ten seconds.
fn share(browser: &mut Chromium, card: u8) -> Option<f64> {
    let text = browser.text(&format!(".card:nth-child({card}) .share strong"));
    text.trim_matches(['<', '%']).parse().ok()
}

#[test]
#[ignore = "needs Chromium"]
fn a_blocking_codec_is_red_and_an_async_one_is_not() {
    // Found or installed once.
    temporal();
    let folder = tempfile::tempdir().unwrap();
    let mut compare = program(WORKSHOP);
    compare
        .args(["compare", "--codec", "blocking", "--codec", "async", "--report"])
        .arg(folder.path().join("report.html"))
        .args(["--workflows", "12", "--activities", "10", "--activity-seconds", "0.5"])
        .args(["--stall-probability", "1", "--stall-seconds", "0.1"])
        .args(["--workflow-task-timeout", "10"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut compare = Group::start(&mut compare);
    let mut words = BufReader::new(compare.stderr()).lines().map(Result::unwrap);
    let url = words.find_map(|line| Some(line.split_once("http://")?.1.to_owned())).unwrap();
    let url = format!("http://{}", url.trim());
    // What it prints meanwhile must not fill the pipe.
    let printed = thread::spawn(move || words.count());

    let mut browser = Chromium::start();
    browser.open(&url);
    // On a machine that does other work, not in every ten seconds.
    wait_for("a thread that is blocked", || {
        assert!(!compare.has_ended(), "{}", browser.text(".card"));
        (share(&mut browser, 1).is_some_and(|blocked| blocked >= 80.0)).then_some(())
    });
    // A browser that comes back sees what was before.
    browser.reload();
    for card in [1, 2] {
        // With the blocking codec, all of them end together. The command may have ended before the browser, on a
        // machine that does other work, has shown what it was sent last.
        wait_for("all workflows of a card", || {
            let work = browser.text(&format!(".card:nth-child({card}) .work"));
            work.starts_with("All 12").then_some(())
        });
    }
    let blocked = share(&mut browser, 2);
    assert!(blocked.is_some_and(|blocked| blocked <= 5.0), "{blocked:?}");
    browser.await_text(".card:nth-child(1) .state", "12 of 12 workflows done in");
    for (width, scheme) in [(360, "light"), (1920, "dark")] {
        browser.emulate(width, scheme, "no-preference");
        browser.await_true(&format!("document.documentElement.scrollWidth <= {width}"));
    }
    assert_eq!(browser.errors, [""; 0]);
    assert!(browser.asked.iter().all(|asked| asked.starts_with(&url)), "{:?}", browser.asked);

    assert!(compare.wait_until_gone().success());
    assert!(printed.join().unwrap() > 0);
}
