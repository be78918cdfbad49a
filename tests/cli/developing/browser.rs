//! A browser without a window, driven over its debugging protocol; and what a page may ask.

use std::{path::PathBuf, process::Stdio, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::{sleep, timeout},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use super::PATIENCE;

/// What `.ci/pages` has found or installed.
#[expect(
    clippy::disallowed_methods,
    reason = "where the tools of a test are is no setting of the gateway"
)]
pub(super) fn tool(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable).map(PathBuf::from);
    path.unwrap_or_else(|| panic!("{variable} is not set: run .ci/pages"))
}

/// One browser with one page.
pub(super) struct Browser {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: String,
    calls: u64,
    /// What the page complained of: exceptions, and what its policy forbade.
    pub(super) complaints: Vec<String>,
    child: Child,
    _folder: TempDir,
}

impl Browser {
    /// Opens an address.
    pub(super) async fn open(url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(tool("GATEWAY_CHROMIUM"))
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--remote-debugging-port=0",
            ])
            .args([
                "--disable-background-networking",
                "--no-first-run",
                "--lang=en",
            ])
            // Nothing else is asked for, on whatever network.
            .arg("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
            .arg(format!("--user-data-dir={}", folder.path().display()))
            .arg("about:blank")
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let debugger = loop {
            let line = timeout(PATIENCE, lines.next_line()).await;
            let line = line.expect("the browser starts").unwrap().expect("it runs");
            if let Some(address) = line.strip_prefix("DevTools listening on ") {
                break address.to_owned();
            }
        };
        // A full pipe would stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let (socket, _) = connect_async(debugger).await.unwrap();
        let mut browser = Self {
            socket,
            session: String::new(),
            calls: 0,
            complaints: Vec::new(),
            child,
            _folder: folder,
        };
        let targets = browser.call("Target.getTargets", json!({})).await;
        let targets = targets["targetInfos"].as_array().unwrap();
        let page = targets
            .iter()
            .find(|target| target["type"] == "page")
            .unwrap();
        let attach = json!({"targetId": page["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", attach).await;
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({})).await;
        }
        browser.call("Page.navigate", json!({"url": url})).await;
        browser
    }

    /// Ends the browser, with all its processes.
    pub(super) async fn leave(mut self) {
        self.session.clear();
        self.call("Browser.close", json!({})).await;
        let ended = timeout(PATIENCE, self.child.wait()).await;
        ended.expect("the browser ends").unwrap();
    }

    /// Calls a method of the protocol and waits for its result.
    pub(super) async fn call(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let mut call = json!({"id": self.calls, "method": method, "params": params});
        if !self.session.is_empty() {
            call["sessionId"] = self.session.as_str().into();
        }
        self.socket
            .send(Message::text(call.to_string()))
            .await
            .unwrap();
        let answering = async {
            loop {
                let message = self.socket.next().await.expect("the browser runs").unwrap();
                let Message::Text(text) = message else {
                    continue;
                };
                let told: Value = serde_json::from_str(&text).unwrap();
                if told["id"] == self.calls {
                    assert!(told["error"].is_null(), "{method}: {told}");
                    return told["result"].clone();
                }
                let entry = &told["params"]["entry"];
                let forbidden = entry["level"] == "error" && entry["source"] != "network";
                if told["method"] == "Runtime.exceptionThrown" || forbidden {
                    self.complaints.push(told["params"].to_string());
                }
            }
        };
        timeout(PATIENCE, answering)
            .await
            .expect("the browser answers")
    }

    /// The value of an expression in the page.
    pub(super) async fn eval(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let told = self.call("Runtime.evaluate", params).await;
        assert!(told["exceptionDetails"].is_null(), "{expression}: {told}");
        told["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    pub(super) async fn until(&mut self, expression: &str) {
        let begun = tokio::time::Instant::now();
        while self.eval(&format!("Boolean({expression})")).await != true {
            if begun.elapsed() > PATIENCE {
                let text = self.eval("document.body.innerText").await;
                panic!(
                    "it never came about: {expression}\n{}",
                    text.as_str().unwrap()
                );
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Presses and lets go of a key.
    pub(super) async fn key(&mut self, key: &str) {
        let code = match key {
            "Enter" => 13,
            "Tab" => 9,
            "Escape" => 27,
            "ArrowDown" => 40,
            " " => 32,
            _ => panic!("no code for {key}"),
        };
        let text = match key {
            "Enter" => "\r",
            " " => " ",
            _ => "",
        };
        let mut down = json!({"type": "keyDown", "key": key, "windowsVirtualKeyCode": code});
        if !text.is_empty() {
            down["text"] = text.into();
        }
        self.call("Input.dispatchKeyEvent", down).await;
        let up = json!({"type": "keyUp", "key": key, "windowsVirtualKeyCode": code});
        self.call("Input.dispatchKeyEvent", up).await;
    }

    /// Types into what has the focus.
    pub(super) async fn types(&mut self, text: &str) {
        for letter in text.chars() {
            let letter = letter.to_string();
            self.call(
                "Input.dispatchKeyEvent",
                json!({"type": "char", "text": letter}),
            )
            .await;
        }
    }

    /// Moves the focus by keys alone to the first element for which this holds.
    pub(super) async fn tab_to(&mut self, holds: &str) {
        for _ in 0..200 {
            if self
                .eval(&format!(
                    "((focused) => Boolean({holds}))(document.activeElement)"
                ))
                .await
                == true
            {
                return;
            }
            self.key("Tab").await;
        }
        panic!("no key leads to {holds}");
    }

    /// Another width of the window, and another theme.
    pub(super) async fn look(&mut self, width: u32, height: u32, theme: &str) {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size).await;
        let features = json!([{"name": "prefers-color-scheme", "value": theme}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features}))
            .await;
    }

    /// Rules of axe that something breaks and that matter: `serious` and `critical`.
    pub(super) async fn serious(&mut self) -> Vec<String> {
        if self.eval("typeof axe === 'undefined'").await == true {
            let axe = std::fs::read_to_string(tool("GATEWAY_AXE")).unwrap();
            self.eval(&format!("{axe};1")).await;
        }
        let found = self
            .eval(
                "axe.run().then((found) => ({looked: found.passes.length, wrong: found.violations \
                 .filter((rule) => ['serious', 'critical'].includes(rule.impact)) \
                 .map((rule) => rule.id + ': ' + rule.nodes.map((node) => node.html.slice(0, 300) + ' ' + node.failureSummary).join(' | '))}))",
            )
            .await;
        assert!(found["looked"].as_u64().unwrap() > 10, "{found}");
        let wrong = found["wrong"].as_array().unwrap().iter();
        wrong
            .map(|rule| rule.as_str().unwrap().to_owned())
            .collect()
    }

    /// Leaves a picture of the page where somebody wants to look at it.
    #[expect(
        clippy::disallowed_methods,
        reason = "where somebody wants pictures is no setting of the gateway"
    )]
    pub(super) async fn picture(&mut self, name: &str) {
        use base64::Engine as _;
        let Some(folder) = std::env::var_os("GATEWAY_PICTURES") else {
            return;
        };
        let taken = self
            .call(
                "Page.captureScreenshot",
                json!({"captureBeyondViewport": true}),
            )
            .await;
        let taken =
            base64::engine::general_purpose::STANDARD.decode(taken["data"].as_str().unwrap());
        std::fs::write(
            PathBuf::from(folder).join(format!("{name}.png")),
            taken.unwrap(),
        )
        .unwrap();
    }
}

/// What the page may ask, asked without a browser.
pub(super) struct Requests {
    host: String,
}

impl Requests {
    pub(super) fn of(page: &str) -> Self {
        let host = page.trim_start_matches("http://").trim_end_matches('/');
        Self {
            host: host.to_owned(),
        }
    }

    /// Has something done, and answers what is told of it.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Value {
        let mut stream = TcpStream::connect(&self.host).await.unwrap();
        let (host, body) = (&self.host, body.to_string());
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\norigin: http://{host}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    }
}
