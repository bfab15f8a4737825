//! The page in a real browser: `cargo test -p live-page --test browser -- --ignored`

#![allow(clippy::unwrap_used)]

// tests/live uses all of it.
#[allow(dead_code)]
mod chromium;
mod relay;

use chromium::Chromium;
use live_page::{Doing, Frame, LivePage, RunHandle, Segment};
use relay::Relay;

const HOSTILE: &str = "<img src=x onerror=\"document.title='run'\">";

fn page() -> LivePage {
    LivePage::serve("127.0.0.1:0".parse().unwrap(), "A test of <b>the page</b>").unwrap()
}

/// Half-second frames for so many seconds. The codec blocks the first `blocked` seconds of each half second. A probe
/// that cannot see the codec finds the thread busy for 50 ms longer: the two overlap.
fn push(run: &RunHandle, seconds: u32, blocked: f64, workflows_done: u32) {
    for half in 1..=2 * seconds {
        let (from, at) = (f64::from(half - 1) / 2.0, f64::from(half) / 2.0);
        let busy = Segment { from, to: from + blocked + 0.05, doing: Doing::Busy };
        let codec = Segment { from, to: from + blocked, doing: Doing::Encode };
        run.push(Frame {
            at,
            workflows_done: workflows_done * half / (2 * seconds),
            activities_done: 7,
            codec_measured: true,
            thread: vec![codec, busy],
            lag_worker: Some(0.4),
            lag_beside: None,
            schedule_to_start_p95: Some(0.02),
            end_to_end_p95: Some(12.0),
            calls_in_flight: Some(3),
            blocking_threads: Some(0),
            not_found: 5,
        });
    }
}

/// What the page must show of the two runs of `two_runs`.
fn shows_two_runs(browser: &mut Chromium) {
    browser.await_true("document.querySelectorAll('.card').length === 2");
    browser.await_text(".card:nth-child(1) .work", "34 of 100 workflows done, 66 not yet");
    browser.await_text(".card:nth-child(1) .share strong", "80%");
    browser.await_text(".card:nth-child(1) .rest", "Something else 10% · free 10%");
    browser.await_text(".card:nth-child(1) .state", "Finished: 34 workflows.");
    browser.await_text(".card:nth-child(2) .work", "All 60 workflows done. 7 activities done.");
    browser.await_text(".card:nth-child(2) .share strong", "2%");
    browser.await_text(".card:nth-child(2) .rest", "Something else 10% · free 88%");
    // The name of a run is text.
    assert_eq!(browser.text(".card:nth-child(2) h3"), HOSTILE);
    assert_eq!(browser.value("document.querySelectorAll('img, h1 b').length"), 0);
    let latest = "[...document.querySelectorAll('figure')].map((figure) => \
        figure.querySelectorAll('.latest b')[0].innerText).join()";
    browser.await_true(&format!("{latest} === '400 ms,–,20 ms,12.0 s,34,5,3,0'"));
}

fn two_runs(page: &LivePage) -> RunHandle {
    let first = page.start("blocking", 100);
    push(&first, 20, 0.4, 34);
    first.finish("Finished: 34 workflows.");
    let second = page.start(HOSTILE, 60);
    push(&second, 15, 0.01, 60);
    second
}

fn assert_clean(browser: &Chromium, page: &LivePage) {
    assert_eq!(browser.errors, [""; 0]);
    assert!(browser.asked.len() >= 10, "{:?}", browser.asked);
    assert!(browser.asked.iter().all(|url| url.starts_with(&page.url())), "{:?}", browser.asked);
}

#[test]
#[ignore = "needs Chromium"]
fn it_shows_what_was_pushed_and_again_after_a_reload_and_in_a_second_browser() {
    let page = page();
    let mut browser = Chromium::start();
    browser.open(&page.url());
    browser.await_text("#status-text", "Connected. Waiting for the first run.");
    assert_eq!(browser.text("h1"), "A test of <b>the page</b>");
    let run = two_runs(&page);
    shows_two_runs(&mut browser);
    browser.await_text("#status-text", "Running: <img");

    browser.reload();
    shows_two_runs(&mut browser);
    let mut second = Chromium::start();
    second.open(&page.url());
    shows_two_runs(&mut second);

    run.finish("Finished: 60 workflows.");
    for browser in [&mut browser, &mut second] {
        browser.await_text("#status-text", "Finished. Waiting for the next run.");
        assert_clean(browser, &page);
    }
}

#[test]
#[ignore = "needs Chromium"]
fn the_timeline_is_drawn_as_pushed() {
    let page = page();
    let run = page.start("blocking", 100);
    push(&run, 20, 0.4, 34);
    run.finish("Finished.");
    let mut browser = Chromium::start();
    // From 10 s to 20 s. The codec blocks from 15 s to 15.4 s; something else runs until 15.45 s.
    for (scheme, blocked) in [("light", "179,38,30"), ("dark", "255,122,107")] {
        browser.emulate(1280, scheme, "no-preference");
        browser.open(&page.url());
        browser.await_text(".share strong", "80%");
        let pixel = |second: f64, height: f64| {
            format!(
                "(() => {{ const c = document.querySelector('.timeline'); \
                 return [...c.getContext('2d').getImageData(c.width * {} | 0, c.height * {height} | 0, \
                 1, 1).data].join() }})()",
                (second - 10.0) / 10.0
            )
        };
        browser.await_true(&format!("{} === '{blocked},255'", pixel(15.2, 0.02)));
        assert_eq!(browser.value(&pixel(15.425, 0.02)), "0,0,0,0", "busy is half as high");
        assert_ne!(browser.value(&pixel(15.425, 0.6)), "0,0,0,0");
        assert_eq!(browser.value(&pixel(15.475, 0.6)), "0,0,0,0", "free is a thin line");
        assert_ne!(browser.value(&pixel(15.475, 0.99)), "0,0,0,0");
    }
    // The reader looks back, to the run's beginning.
    browser.value(
        "(() => { const s = document.querySelector('input'); s.value = 12; \
         s.dispatchEvent(new Event('input')) })()",
    );
    browser.await_text(".share em", "in the 10 s up to 12.0 s");
    browser.await_text(".ends", "2.0 s");
    assert_clean(&browser, &page);
}

#[test]
#[ignore = "needs Chromium"]
fn short_polls_do_not_fill_the_timeline() {
    let page = page();
    let run = page.start("async", 100);
    // A millisecond in twenty, for ten seconds.
    let polls = (0..500).map(|number| {
        let from = f64::from(number) / 50.0;
        Segment { from, to: from + 0.001, doing: Doing::Encode }
    });
    run.push(Frame { at: 10.0, codec_measured: true, thread: polls.collect(), ..Frame::default() });
    run.finish("Finished.");
    let mut browser = Chromium::start();
    browser.emulate(1280, "light", "no-preference");
    browser.open(&page.url());
    browser.await_text(".share strong", "5%");
    // Of its upper edge, where nothing is drawn but the codec and a line each second.
    let drawn = "(() => { const c = document.querySelector('.timeline'); \
        const edge = c.getContext('2d').getImageData(0, c.height * 0.02 | 0, c.width, 1).data; \
        return edge.filter((_, i) => i % 4 === 3).reduce((a, b) => a + b, 0) / 255 / c.width })()";
    browser.await_true(&format!("{drawn} > 0.03"));
    browser.await_true(&format!("{drawn} < 0.1"));
    assert_clean(&browser, &page);
}

#[test]
#[ignore = "needs Chromium"]
fn a_codec_that_nothing_measures_is_not_blamed() {
    let page = page();
    let run = page.start("mine", 0);
    let mut browser = Chromium::start();
    browser.open(&page.url());
    browser.await_text(".state", "Running");
    // Whether it is measured is not known yet.
    assert_eq!(browser.text(".rest"), "");
    let thread = vec![Segment { from: 0.0, to: 9.0, doing: Doing::Busy }];
    run.push(Frame { at: 10.0, workflows_done: 3, thread, ..Frame::default() });
    browser.await_text(".share", "90%");
    browser.await_text(".share", "busy");
    browser.await_text(".rest", "Nothing measures this codec");
    browser.await_text(".work", "3 workflows done");
    assert_clean(&browser, &page);
}

#[test]
#[ignore = "needs Chromium"]
fn nothing_overflows_in_any_width_and_theme() {
    let page = page();
    let run = two_runs(&page);
    let long = page.start(&"a_long_name_without_a_space".repeat(6), 1000);
    push(&long, 12, 0.1, 500);
    let mut browser = Chromium::start();
    let mut papers = Vec::new();
    for scheme in ["light", "dark"] {
        for width in [360, 768, 1280, 1920] {
            browser.emulate(width, scheme, "reduce");
            browser.open(&page.url());
            browser.await_true("document.querySelectorAll('.card').length === 3");
            browser.await_text(".card:nth-child(3) .share strong", "20%");
            browser.value("document.querySelectorAll('details').forEach((d) => d.open = true)");
            browser.await_true("document.querySelectorAll('details table').length === 9");
            let beyond = "[...document.querySelectorAll('body *:not(.unseen, .scroll *)')].filter((e) => \
                 e.getBoundingClientRect().right > innerWidth + 0.5).map((e) => e.outerHTML.slice(0, 200)).join()";
            assert_eq!(browser.value(beyond), "", "{scheme}, {width}");
            let scroll = browser.value("document.documentElement.scrollWidth");
            assert!(scroll.as_u64().unwrap() <= width.into(), "{scheme}, {width}: {scroll}");
            let unlabelled = "[...document.querySelectorAll('[role=img], article, input')].filter((e) => \
                 !e.getAttribute('aria-label')).length";
            assert_eq!(browser.value(unlabelled), 0);
        }
        papers.push(browser.value("getComputedStyle(document.body).backgroundColor"));
    }
    assert_ne!(papers[0], papers[1], "dark looks like light");
    assert_clean(&browser, &page);
    drop((run, long));
}

#[test]
#[ignore = "needs Chromium"]
fn a_lost_connection_is_shown_and_mended_without_duplicates() {
    let page = page();
    let relay = Relay::start(page.address());
    let first = two_runs(&page);
    let mut browser = Chromium::start();
    browser.open(&relay.url());
    shows_two_runs(&mut browser);
    relay.cut();
    browser
        .await_text("#status-text", "Connection lost. Trying again. This page keeps what it has.");
    shows_two_runs(&mut browser);
    let third = page.start("while it was away", 5);
    push(&third, 3, 0.1, 5);
    relay.mend();
    browser.await_text(".card:nth-child(3) h3", "while it was away");
    browser.await_text("#status-text", "Running: while it was away, 3 s");
    for each in [".card", "figure:first-child .latest b"] {
        browser.await_true(&format!("document.querySelectorAll('{each}').length === 3"));
    }
    drop(first);
}

#[test]
#[ignore = "needs Chromium"]
fn when_the_command_is_over_the_page_keeps_what_it_has() {
    let page = page();
    let run = two_runs(&page);
    let mut browser = Chromium::start();
    browser.open(&page.url());
    shows_two_runs(&mut browser);
    page.stop();
    browser.await_text("#status-text", "The run is over. This page keeps what it has.");
    shows_two_runs(&mut browser);
    assert_clean(&browser, &page);
    drop(run);
}

#[test]
#[ignore = "needs Chromium"]
fn a_screen_reader_is_not_flooded() {
    let page = page();
    let mut browser = Chromium::start();
    browser.open(&page.url());
    browser.await_true("document.querySelector('#summary').textContent !== ''");
    browser.value(
        "window.changes = []; new MutationObserver(() => window.changes.push(performance.now())).observe(\
         document.querySelector('#summary'), { childList: true, characterData: true, subtree: true })",
    );
    let run = page.start("blocking", 100);
    push(&run, 20, 0.4, 34);
    browser.await_text(".share strong", "80%");
    run.finish("Finished.");
    browser.await_text(".state", "Finished.");
    browser
        .await_text("#summary", "Finished. Waiting for the next run. blocking: thread 80% blocked");
    // At most one in ten seconds, from the first summary on, which came after the page was opened. A machine that is
    // busy may be past the first ten seconds before the run has finished.
    let ten_apart =
        "[0, ...window.changes].every((at, i, all) => i === 0 || at - all[i - 1] > 9500)";
    browser.await_true(ten_apart);
    browser.await_true("window.changes.length === 1 || window.changes.length === 2");
}
