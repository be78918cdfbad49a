//! The simulation, driven over HTTP by tests that are not written in Rust.
//!
//! Everything a test can do through [`Sim`] and [`Portal`](crate::Portal) has an address under
//! `/_sim/v1/`; the README lists them. JSON goes in and out. Handlers only translate: what they
//! do is done by the Rust interface.
//!
//! Rule: whatever is not understood is refused with 400 and the name of the field, never guessed.

mod apps;
mod fault;
mod input;
mod people;
mod portals;
mod record;
mod settings;

use std::sync::Arc;

use hyper::Method;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::input::Input;
use crate::core::{Outcome, Reply};
use crate::http::{self, Asked, Site};
use crate::php;
use crate::portal::{Portal, Refusal};
use crate::sim::Sim;

/// Where every address of the control interface begins.
const ROOT: &str = "/_sim/v1";

/// The open control interface. It closes when this is dropped.
#[derive(Debug)]
pub struct Control {
    port: u16,
    _stop: DropGuard,
}

impl Control {
    pub(crate) fn serve(sim: Sim, listener: TcpListener, port: u16) -> Self {
        let stop = CancellationToken::new();
        let site = Arc::new(ControlSite { sim });
        tokio::spawn(http::serve(site, listener, None, stop.clone()));
        Self {
            port,
            _stop: stop.drop_guard(),
        }
    }

    /// `http://127.0.0.1:PORT/_sim/v1`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}{ROOT}", self.port)
    }
}

/// Why a request of the control interface was refused.
#[derive(Debug)]
struct Refused {
    status: u16,
    field: String,
    rule: String,
}

impl Refused {
    /// A field is not what it has to be.
    fn field(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self {
            status: 400,
            field: field.into(),
            rule: rule.into(),
        }
    }

    /// What the address names does not exist.
    fn absent(field: &str, rule: &str) -> Self {
        Self {
            status: 404,
            ..Self::field(field, rule)
        }
    }
}

/// The portal itself says no: the request is in order, the world is not.
impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self {
            status: 409,
            ..Self::field("", refusal.to_string())
        }
    }
}

/// A successful answer, or why there is none.
type Answer = Result<Value, Refused>;

/// A request of the control interface, read.
struct Request<'a> {
    method: &'a Method,
    input: Input<'a>,
    query: Input<'a>,
}

impl Request<'_> {
    fn is(&self, method: &Method) -> bool {
        self.method == method
    }
}

/// What the page of a portal asks: the status of the answer, and its body. `path` stands below that portal,
/// but for the clock, which all portals share.
pub(crate) async fn act(
    sim: &Sim,
    portal: &Portal,
    method: &Method,
    path: &str,
    body: &[u8],
) -> (u16, Value) {
    let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let nothing = Map::new();
    let answer = async {
        let body = read(body)?;
        let request = Request {
            method,
            input: Input::of(&body),
            query: Input::of(&nothing),
        };
        match segments.as_slice() {
            ["clock"] => settings::clock(sim.clock(), &request),
            segments => portals::one(sim, portal, segments, &request).await,
        }
    };
    told(answer.await)
}

/// An answer as it is written.
fn told(answer: Answer) -> (u16, Value) {
    match answer {
        Ok(body) => (200, body),
        Err(refused) => {
            let error = json!({"field": refused.field, "rule": refused.rule});
            (refused.status, json!({"error": error}))
        }
    }
}

struct ControlSite {
    sim: Sim,
}

impl Site for ControlSite {
    async fn answer(&self, asked: Asked) -> Outcome {
        let (status, body) = told(self.route(&asked).await);
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Outcome::of(Reply {
            status,
            headers,
            body: body.to_string().into(),
        })
    }
}

impl ControlSite {
    async fn route(&self, asked: &Asked) -> Answer {
        let path = asked.head.uri.path();
        let unknown = || Refused::absent("path", "there is nothing at this address");
        let path = path.strip_prefix(ROOT).ok_or_else(unknown)?;
        let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let body = read(&asked.body)?;
        let query = php::parse_form(asked.query());
        let request = Request {
            method: &asked.head.method,
            input: Input::of(&body),
            query: Input::of(&query),
        };
        match segments.as_slice() {
            [] if request.is(&Method::GET) => Ok(portals::overview(&self.sim)),
            ["oauth", rest @ ..] => portals::oauth(self.sim.oauth(), rest, &request),
            ["clock"] => settings::clock(self.sim.clock(), &request),
            ["portals"] => portals::all(&self.sim, &request).await,
            ["portals", number, rest @ ..] => {
                let number = number.parse().ok();
                let portal = number.and_then(|number| self.sim.portal(number));
                let portal = portal.ok_or_else(|| Refused::absent("portal", "is not running"))?;
                portals::one(&self.sim, &portal, rest, &request).await
            }
            _ => Err(unknown()),
        }
    }
}

/// The body as a JSON object; none at all is an empty one.
fn read(body: &[u8]) -> Result<Map<String, Value>, Refused> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(Refused::field("", "the body has to be a JSON object")),
        Err(error) => Err(Refused::field("", format!("the body is no JSON: {error}"))),
    }
}

/// Nothing serves this method at this address.
fn no_such_verb(request: &Request<'_>) -> Refused {
    Refused {
        status: 405,
        ..Refused::field("method", format!("{} is not served here", request.method))
    }
}
