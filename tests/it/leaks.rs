//! Secrets of every test, searched for in what its gateway wrote.
//!
//! With `GATEWAY_LEAKS` set, every scene of this binary ends with a search for its secrets: in the log
//! at the level `trace`, in the spans of all its traces, and in the files of the store. `.ci/leaks` runs
//! the whole suite so.

use std::{
    cell::RefCell,
    fs,
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex},
};

use bitrix24_gateway::telemetry::trace::Tracer;
use bitrix24_sim::{Portal, Sim};
use serde_json::Value;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::EnvFilter;

use crate::{
    log::{is_looked_at, watch_with},
    traces::Spans,
};

/// What was logged.
#[derive(Clone, Default)]
pub(crate) struct Logs(Arc<Mutex<Vec<u8>>>);

thread_local! {
    /// Everything of a test runs on its thread, and each test has one of its own.
    static WATCHED: RefCell<Option<(Logs, DefaultGuard)>> = const { RefCell::new(None) };
    static SPANS: RefCell<Option<Spans>> = const { RefCell::new(None) };
}

#[expect(
    clippy::disallowed_methods,
    reason = "how to test is not the gateway's configuration"
)]
fn is_wanted() -> bool {
    std::env::var_os("GATEWAY_LEAKS").is_some()
}

/// Begins to keep what this test logs.
pub(crate) fn watch() {
    if !is_wanted() || is_looked_at() {
        return;
    }
    WATCHED.with_borrow_mut(|watched| {
        watched.get_or_insert_with(|| {
            let logs = Logs::default();
            let subscriber = tracing_subscriber::fmt()
                // As the gateway does at every level: headers hold the credentials of callers.
                .with_env_filter(EnvFilter::new("trace,h2=info"))
                .with_writer({
                    let logs = logs.clone();
                    move || logs.clone()
                })
                .finish();
            (logs, watch_with(subscriber))
        });
    });
}

/// Keeps the spans of this test, unless nobody searches them.
pub(crate) fn tracer() -> Option<Tracer> {
    is_wanted().then(|| {
        let (spans, tracer) = Spans::recorded(1.0);
        SPANS.set(Some(spans));
        tracer
    })
}

/// Fails if something that was written holds a secret of this portal.
pub(crate) fn search(sim: &Sim, portal: &Portal, folder: &Path) {
    if !is_wanted() || std::thread::panicking() {
        return;
    }
    let secrets = secrets(sim, portal);
    let shown = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let shown = |secret: &&String| text.contains(secret.as_str());
        secrets.iter().find(shown).cloned()
    };
    WATCHED.with_borrow(|watched| {
        // A test that looks at its log searches it itself.
        if let Some((logs, _)) = watched {
            assert_eq!(shown(&logs.0.lock().unwrap()), None, "in the log");
        }
    });
    SPANS.with_borrow(|spans| {
        let told = spans.as_ref().map(Spans::told).unwrap_or_default();
        assert_eq!(shown(told.as_bytes()), None, "in a span");
    });
    let Ok(files) = fs::read_dir(folder.join("store")) else {
        return;
    };
    for file in files {
        let file = file.unwrap().path();
        // Sockets and what is gone meanwhile cannot be read.
        if let Ok(bytes) = fs::read(&file) {
            assert_eq!(shown(&bytes), None, "in {}", file.display());
        }
    }
}

/// Everything that nobody may see.
pub(crate) fn secrets(sim: &Sim, portal: &Portal) -> Vec<String> {
    let url = portal.webhook_url();
    let code = url.trim_end_matches('/').rsplit('/').next();
    let mut secrets = vec![code.unwrap().to_owned()];
    for bot in portal.bots() {
        // Where its events are posted; the gateway's addresses are secrets too.
        let hook = bot.webhook_url.rsplit('/').next();
        secrets.extend(hook.map(str::to_owned));
        secrets.extend(bot.token);
    }
    for application in portal.applications() {
        secrets.extend([application.client_secret, application.application_token]);
    }
    for request in sim.oauth().journal().calls("oauth/token") {
        for name in ["access_token", "refresh_token"] {
            let token = request.answer.get(name).and_then(Value::as_str);
            secrets.extend(token.map(str::to_owned));
        }
    }
    // Short ones are what some test made up, and stand anywhere.
    secrets.retain(|secret| secret.len() >= 12);
    secrets
}

pub(crate) fn contains(bytes: &[u8], secret: &str) -> bool {
    String::from_utf8_lossy(bytes).contains(secret)
}

impl Logs {
    /// Everything so far.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
