//! What operators and their machines look at: a page that says why a bot is silent, `/livez`, `/readyz`, and
//! `/metrics` where there are any.
//!
//! Plain HTTP, read only, and no secrets, but for everybody who reaches the address: by default only
//! this machine does. It answers from before the store is open until after the last call ended. What the
//! page shows is gathered when somebody looks, and `guard` sees that no page of a stranger does.

mod guard;
mod html;
mod page;

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tracing::debug;

use self::page::{Shown, page};
use super::{
    Error,
    html::private,
    listener::{Listener, Place},
};
use crate::{
    diagnosis::Diagnosis,
    fault::Chain,
    lifecycle::{Health, Lifecycle},
};

/// Connections at once.
const CONNECTIONS: usize = 64;

/// As Prometheus wants it.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a browser may do with the page: load its style and its script from here, and ask here again.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Where to answer, and what.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Whether the operator named an address of their own, so that nothing goes without.
    pub asked_for: bool,
    /// What names another address: a setting, or a flag.
    pub named_by: &'static str,
    /// What `/metrics` shows, if anything.
    pub metrics: Option<Metrics>,
}

/// Writes all measurements, in the text format of Prometheus.
#[derive(Clone)]
pub struct Metrics(pub Arc<dyn Fn() -> String + Send + Sync>);

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// Says in a line what is worth knowing beside being ready.
pub type Note = Arc<dyn Fn() -> String + Send + Sync>;

/// What the page shows, once there is something. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Window(Arc<OnceLock<Diagnosis>>);

impl Window {
    /// Shows this from now on; the first counts.
    pub fn open(&self, diagnosis: Diagnosis) {
        let _shown_already = self.0.set(diagnosis);
    }
}

/// A server that is bound and not yet serving.
pub struct Server {
    listener: Listener,
    desk: Desk,
}

#[derive(Clone)]
struct Desk {
    health: Health,
    metrics: Option<Metrics>,
    note: Option<Note>,
    window: Option<Window>,
    on_loopback: bool,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut server = f.debug_struct("Server");
        server
            .field("listener", &self.listener)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Takes the address.
    ///
    /// # Errors
    ///
    /// When it is taken or not ours.
    pub async fn bind(config: Config, health: Health) -> Result<Self, Error> {
        let place = Place {
            listen: config.listen,
            tls: None,
            connections: CONNECTIONS,
            limit: "connections to `admin.listen`",
        };
        Ok(Self {
            listener: Listener::bind(place).await?,
            desk: Desk {
                health,
                metrics: config.metrics,
                note: None,
                window: None,
                on_loopback: config.listen.ip().is_loopback(),
            },
        })
    }

    /// Has a page.
    #[must_use]
    pub fn showing(mut self, window: Window) -> Self {
        self.desk.window = Some(window);
        self
    }

    /// Tells more to whoever asks whether it is ready, when it is.
    #[must_use]
    pub fn noting(mut self, note: Note) -> Self {
        self.desk.note = Some(note);
        self
    }

    /// The address taken.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.address()
    }

    /// Answers until the stop begins.
    pub async fn run(self, life: Lifecycle) {
        self.listener.serve(routes(self.desk), || {}, life).await;
    }
}

fn routes(desk: Desk) -> Router {
    let mut routes = Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready));
    if desk.metrics.is_some() {
        routes = routes.route("/metrics", get(metrics));
    }
    if desk.window.is_some() {
        routes = routes
            .route("/", get(look))
            .route("/status.css", get(style))
            .route("/status.js", get(script));
    }
    routes.with_state(desk)
}

async fn look(State(desk): State<Desk>, headers: HeaderMap) -> Response {
    if let Err(status) = guard::admit(&headers, desk.on_loopback) {
        return (status, private()).into_response();
    }
    let failing = || {
        let failing = desk.health.failing();
        let failing = failing.borrow();
        failing
            .iter()
            .map(|(part, why)| (part.to_string(), why.clone()))
            .collect()
    };
    let diagnosis = desk.window.as_ref().and_then(|window| window.0.get());
    let html = match diagnosis {
        None => page(&Shown::Starting(failing())),
        Some(diagnosis) => match diagnosis.facts().await {
            Ok(facts) => page(&Shown::Facts(&facts)),
            Err(error) => {
                debug!(error = %Chain(&error), "nobody can see how the gateway is");
                let mut failing: Vec<_> = failing();
                if failing.is_empty() {
                    failing.push(("store".to_owned(), "cannot be read".to_owned()));
                }
                page(&Shown::Starting(failing))
            }
        },
    };
    part("text/html; charset=utf-8", html)
}

async fn style(State(desk): State<Desk>, headers: HeaderMap) -> Response {
    match guard::admit(&headers, desk.on_loopback) {
        Ok(()) => part("text/css; charset=utf-8", include_str!("ops/status.css")),
        Err(status) => (status, private()).into_response(),
    }
}

async fn script(State(desk): State<Desk>, headers: HeaderMap) -> Response {
    match guard::admit(&headers, desk.on_loopback) {
        Ok(()) => part(
            "text/javascript; charset=utf-8",
            include_str!("ops/status.js"),
        ),
        Err(status) => (status, private()).into_response(),
    }
}

/// A part of the page.
fn part(kind: &'static str, body: impl IntoResponse) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ];
    let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
    (private(), headers, body).into_response()
}

async fn live(State(desk): State<Desk>) -> Response {
    let stuck = desk.health.stuck().into_iter();
    let lines = stuck.map(|(name, owed)| format!("{name}: no progress for {} s", owed.as_secs()));
    told("alive", lines.collect())
}

async fn ready(State(desk): State<Desk>) -> Response {
    let failing = desk.health.failing();
    let failing = failing.borrow();
    let lines = failing.iter().map(|(part, why)| format!("{part}: {why}"));
    match &desk.note {
        None => told("ready", lines.collect()),
        Some(note) => told(&format!("ready\n{}", note()), lines.collect()),
    }
}

async fn metrics(State(desk): State<Desk>) -> Response {
    match desk.metrics {
        Some(Metrics(render)) => ([(header::CONTENT_TYPE, METRICS)], render()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// `well`, or one line for each thing that is not.
fn told(well: &str, mut lines: Vec<String>) -> Response {
    let status = match lines.is_empty() {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    if lines.is_empty() {
        lines.push(well.to_owned());
    }
    let headers: [(HeaderName, &str); 2] = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, lines.join("\n") + "\n").into_response()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
        time::{advance, timeout},
    };

    use super::*;
    use crate::lifecycle::{Part, Pulse, STUCK};

    struct Desk {
        health: Health,
        address: SocketAddr,
        life: Lifecycle,
    }

    impl Desk {
        async fn new(metrics: Option<Metrics>) -> Self {
            let config = Config {
                listen: "127.0.0.1:0".parse().unwrap(),
                asked_for: true,
                named_by: "`admin.listen`",
                metrics,
            };
            let (health, life) = (Health::default(), Lifecycle::default());
            let server = Server::bind(config, health.clone()).await.unwrap();
            let address = server.address().unwrap();
            tokio::spawn(server.run(life.clone()));
            Self {
                health,
                address,
                life,
            }
        }

        async fn say(&self, text: &str) -> String {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(text.as_bytes()).await.unwrap();
            let mut said = String::new();
            stream.read_to_string(&mut said).await.unwrap();
            said
        }

        /// The status and the body.
        async fn ask(&self, method: &str, path: &str) -> (u16, String) {
            let said = self
                .say(&format!("{method} {path} HTTP/1.1\r\nhost: x\r\n\r\n"))
                .await;
            let (head, body) = said.split_once("\r\n\r\n").unwrap();
            let status = head.split(' ').nth(1).unwrap().parse().unwrap();
            (status, body.to_owned())
        }
    }

    #[tokio::test]
    async fn readiness_names_each_part_that_fails_in_a_line() {
        let desk = Desk::new(None).await;
        assert_eq!(desk.ask("GET", "/readyz").await, (200, "ready\n".into()));
        desk.health.fails(Part::Store, "cannot be written");
        desk.health.fails(Part::Stop, "stopping");
        let both = "store: cannot be written\nstop: stopping\n";
        assert_eq!(desk.ask("GET", "/readyz").await, (503, both.into()));
        assert_eq!(desk.ask("GET", "/livez").await, (200, "alive\n".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn liveness_names_what_is_stuck() {
        let desk = Desk::new(None).await;
        let pulse = Pulse::default();
        let _watched = desk.health.watch("writer", pulse.clone());
        let _owed = pulse.owe();
        advance(STUCK + Duration::from_secs(3)).await;
        let (status, body) = desk.ask("GET", "/livez").await;
        assert_eq!(status, 503);
        assert!(body.starts_with("writer: no progress for 6"), "{body}");
        assert_eq!(desk.ask("GET", "/readyz").await.0, 200);
    }

    #[tokio::test]
    async fn metrics_are_shown_where_there_are_any() {
        let desk = Desk::new(Some(Metrics(Arc::new(|| "up 1\n".to_owned())))).await;
        assert_eq!(desk.ask("GET", "/metrics").await, (200, "up 1\n".into()));
        let without = Desk::new(None).await;
        assert_eq!(without.ask("GET", "/metrics").await.0, 404);
    }

    #[tokio::test]
    async fn nothing_is_changed_and_nothing_else_is_there() {
        let desk = Desk::new(None).await;
        for (method, path, status) in [
            ("HEAD", "/readyz", 200),
            ("POST", "/readyz", 405),
            ("DELETE", "/livez", 405),
            ("GET", "/", 404),
            ("GET", "/readyz/../metrics", 404),
        ] {
            assert_eq!(desk.ask(method, path).await.0, status, "{method} {path}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_or_too_much_or_comes_too_often_is_sent_away() {
        let desk = Desk::new(None).await;
        let head = format!("GET /livez HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(64 << 10));
        assert!(!desk.say(&head).await.starts_with("HTTP/1.1 200"));
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS {
            held.push(TcpStream::connect(desk.address).await.unwrap());
        }
        let mut late = TcpStream::connect(desk.address).await.unwrap();
        assert_eq!(late.read(&mut [0; 1]).await.unwrap(), 0);
        // All the others said nothing, and are cut.
        let mut cut = String::new();
        let ended = held[0].read_to_string(&mut cut);
        timeout(Duration::from_secs(30), ended)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(desk.ask("GET", "/livez").await.0, 200);
        desk.life.begin_stop();
        assert!(desk.life.finished(Duration::from_secs(60)).await);
    }
}
