//! Drives Chromium by the DevTools protocol, over a pipe.
//!
//! A driver crate would bring twenty packages and minutes of compiling for the few calls that are needed here. The
//! pipe needs no port and no WebSocket: messages are JSON, with a zero byte after each.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Long enough for a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// A browser, and one tab of it.
pub struct Chromium {
    child: Child,
    requests: ChildStdin,
    messages: Receiver<Value>,
    last: u64,
    session: Option<String>,
    /// Addresses that were asked for.
    pub asked: Vec<String>,
    /// Errors of scripts and on the console.
    pub errors: Vec<String>,
    _profile: TempDir,
}

impl Chromium {
    /// Starts it with an empty profile and opens a tab.
    pub fn start() -> Self {
        let profile = TempDir::new().unwrap();
        let data = format!("--user-data-dir={}", profile.path().display());
        // The pipe is its file descriptors 3 and 4.
        let mut child = Command::new("sh")
            .args(["-c", r#"exec chromium "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#, "sh"])
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"])
            .args(["--disable-background-networking", "--no-first-run", &data])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (requests, answers) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, messages) = mpsc::channel();
        thread::spawn(move || {
            for message in BufReader::new(answers).split(0).map_while(Result::ok) {
                if sender.send(serde_json::from_slice(&message).unwrap()).is_err() {
                    break;
                }
            }
        });
        let (asked, errors) = (Vec::new(), Vec::new());
        let mut browser = Self {
            child,
            requests,
            messages,
            last: 0,
            session: None,
            asked,
            errors,
            _profile: profile,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", attach);
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Opens a page and waits until it, or one below it that it leads to, has loaded.
    pub fn open(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url }));
        self.await_true(&format!(
            "location.href.startsWith('{url}') && document.readyState === 'complete'"
        ));
    }

    /// Loads the page again. What the old one has in `window.old` is gone then.
    pub fn reload(&mut self) {
        self.value("window.old = true");
        self.call("Page.reload", json!({}));
        self.await_true("!window.old && document.readyState === 'complete'");
    }

    /// How wide the window is, and whether the user prefers dark, and no motion.
    pub fn emulate(&mut self, width: u32, scheme: &str, motion: &str) {
        let size =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size);
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": motion },
        ]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// What an expression is.
    pub fn value(&mut self, expression: &str) -> Value {
        let asked =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", asked);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// The text of the first element that fits; empty without such an element.
    pub fn text(&mut self, selector: &str) -> String {
        let text = self.value(&format!("document.querySelector('{selector}')?.innerText ?? ''"));
        text.as_str().unwrap().to_owned()
    }

    /// Waits until an expression is true.
    pub fn await_true(&mut self, expression: &str) {
        let began = Instant::now();
        while self.value(expression) != true {
            assert!(
                began.elapsed() < PATIENCE,
                "it never became true: {expression}\n{}\n{:?}",
                self.value("document.body.innerText"),
                self.errors
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until an element has a text.
    pub fn await_text(&mut self, selector: &str, text: &str) {
        let text = json!(text);
        self.await_true(&format!(
            "document.querySelector('{selector}')?.innerText.includes({text}) ?? false"
        ));
    }

    /// Types a text into the first element that fits, as soon as there is one.
    pub fn type_text(&mut self, selector: &str, text: &str) {
        let element = format!("document.querySelector('{selector}')");
        self.await_true(&format!("!!{element}"));
        self.value(&format!("{element}.focus()"));
        self.call("Input.insertText", json!({ "text": text }));
        let text = json!(text);
        self.await_true(&format!("({element}.value ?? {element}.innerText).includes({text})"));
    }

    /// Clicks the first element that fits, as soon as there is one that is not disabled.
    pub fn click(&mut self, selector: &str) {
        let element = format!("document.querySelector('{selector}')");
        self.await_true(&format!("{element} !== null && !{element}.disabled"));
        self.value(&format!("{element}.click()"));
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut request = json!({ "id": self.last, "method": method, "params": params });
        if let Some(session) = &self.session {
            request["sessionId"] = json!(session);
        }
        self.requests.write_all(format!("{request}\0").as_bytes()).unwrap();
        loop {
            let message = self.messages.recv_timeout(PATIENCE).expect("Chromium does not answer");
            if message["id"] == self.last {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].clone();
            }
            self.note(&message["method"], &message["params"]);
        }
    }

    fn note(&mut self, method: &Value, params: &Value) {
        match method.as_str() {
            Some("Network.requestWillBeSent") => {
                self.asked.push(params["request"]["url"].as_str().unwrap().to_owned());
            }
            Some("Runtime.exceptionThrown") => self.errors.push(params.to_string()),
            Some("Log.entryAdded") if params["entry"]["level"] == "error" => {
                self.errors.push(params.to_string());
            }
            Some("Runtime.consoleAPICalled") if params["type"] == "error" => {
                self.errors.push(params.to_string());
            }
            _ => {}
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // It takes its own child processes with it when it is asked to close.
        let close = json!({ "id": 0, "method": "Browser.close" });
        let _ = self.requests.write_all(format!("{close}\0").as_bytes());
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(5) {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
