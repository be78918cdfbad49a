//! The gRPC edge: decode, one call inwards, encode.
//!
//! The `door` lets connections in and finds out who calls; `caller` asks whether they may, and `audit`
//! tells what they did. Everything that can be judged without a portal is judged in `convert`, before
//! a call is spent.
//! `deadline` bounds how long a caller waits, never what was sent. `ledger` lets a call that
//! carries a key run once. `status` is the only place that knows gRPC codes, but for `unread`:
//! what the server library refuses by itself. `traces` makes a span of each call.

mod audit;
mod bots;
mod caller;
mod convert;
mod deadline;
mod door;
mod ending;
mod events;
mod info;
mod ledger;
mod limits;
mod measure;
mod messages;
mod portals;
mod status;
mod streams;
mod traces;
mod unread;
mod watch;

use std::{io, net::SocketAddr, time::Duration};

use opentelemetry::metrics::Meter;
use tonic::{service::Routes, transport::Server as TonicServer};
use tonic_health::server::HealthReporter;
use tower::util::MapResponseLayer;
use tracing::info;

pub use self::{
    audit::Audit,
    deadline::Failures,
    door::{Config as DoorConfig, Error, guard::Share},
    ledger::Ledger,
    limits::{LIMITS, Limit, Most},
};
pub(crate) use self::{
    audit::{POD, is_pod},
    door::{Connection, Door, Local},
    ending::name as code_name,
    status::trailers,
};
use self::{door::guard::Guard, measure::Measure, traces::Traces};
use crate::{
    bots::Bots,
    callers::{Callers, service_account::ServiceAccounts},
    events::Events,
    lifecycle::Lifecycle,
    portal::Portals,
    proto::{DESCRIPTORS, v1},
    telemetry::{Recent, trace::Tracer},
};

/// Where and how to listen.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where connections come in.
    pub door: DoorConfig,
    /// Largest request, bytes.
    pub max_request_bytes: usize,
    /// Headers of one call, bytes.
    pub max_header_bytes: u32,
    /// What one caller may have under way.
    pub share: Share,
}

/// Idle connections are asked for a sign of life this often, so that dead ones end.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// How long a connection may owe that sign.
const KEEPALIVE_PATIENCE: Duration = Duration::from_secs(20);

/// Calls and streams at once on one connection.
const STREAMS: u32 = 2000;

/// What the services work with.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Portals.
    pub portals: Portals,
    /// Bots.
    pub bots: Bots,
    /// Events.
    pub events: Events,
    /// Calls that carry a key.
    pub ledger: Ledger,
    /// Identity of the event log, as clients see it.
    pub log_id: crate::store::LogId,
    /// Keeps hold of calls in flight.
    pub life: Lifecycle,
    /// Who may do what.
    pub callers: Callers,
    /// Whose service accounts to believe.
    pub accounts: Option<ServiceAccounts>,
    /// Tells who did what.
    pub audit: Audit,
    /// Makes the instruments.
    pub meter: Meter,
    /// Tells of calls that failed.
    pub failures: Failures,
    /// Remembers why calls failed.
    pub recent: Recent,
    /// Begins the traces of calls and deliveries.
    pub tracer: Tracer,
}

/// A server that is bound and not yet serving.
#[derive(Debug)]
pub struct Server {
    door: Door,
    config: Config,
    parts: Parts,
}

impl Server {
    /// Takes the address.
    ///
    /// # Errors
    ///
    /// When it is taken or not ours, or the certificate cannot be used.
    pub async fn bind(config: Config, parts: Parts) -> Result<Self, Error> {
        Ok(Self {
            door: Door::bind(&config.door).await?,
            config,
            parts,
        })
    }

    /// The address taken.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        let address = self.door.address();
        address.unwrap_or_else(|| Err(io::ErrorKind::NotConnected.into()))
    }

    /// Serves until the stop begins, then until the last call ended.
    ///
    /// # Errors
    ///
    /// When the server library gives up.
    pub async fn run(self, health: HealthService) -> Result<(), tonic::transport::Error> {
        let Self {
            door,
            config,
            parts,
        } = self;
        let life = parts.life.clone();
        let stop = life.stop().clone();
        if let Some(tls) = door.tls() {
            life.spawn("certificate for gRPC", tls.keep_reading(stop.clone()));
        }
        if let Some(accounts) = parts.accounts.clone() {
            life.spawn(
                "keys of service accounts",
                accounts.keep_reading(stop.clone()),
            );
        }
        let guard = Guard::new(
            parts.callers.clone(),
            parts.accounts.clone(),
            config.share,
            parts.audit.clone(),
        );
        let measure = Measure::new(&parts.meter, parts.recent.clone());
        door.measured_by(&parts.meter);
        let traces = Traces(parts.tracer.clone());
        let routes = routes(&config, parts, health);
        let incoming = door.open(&life);
        TonicServer::builder()
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_keepalive_timeout(Some(KEEPALIVE_PATIENCE))
            .max_concurrent_streams(STREAMS)
            .http2_max_header_list_size(config.max_header_bytes)
            .layer(measure)
            .layer(MapResponseLayer::new(unread::explain))
            .layer(guard)
            .layer(traces)
            .add_routes(routes)
            .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
            .await
    }
}

/// Says over the standard health protocol whether the services serve.
#[derive(Debug, Clone)]
pub struct HealthService(HealthReporter);

impl Default for HealthService {
    fn default() -> Self {
        Self(HealthReporter::new())
    }
}

impl HealthService {
    /// Tells it of every service, and of the empty name that means all.
    pub async fn set(&self, serving: bool) {
        use tonic_health::ServingStatus::{NotServing, Serving};
        let status = if serving { Serving } else { NotServing };
        for name in [
            "",
            v1::bot_service_server::SERVICE_NAME,
            v1::event_service_server::SERVICE_NAME,
            v1::message_service_server::SERVICE_NAME,
            v1::portal_service_server::SERVICE_NAME,
            v1::server_service_server::SERVICE_NAME,
        ] {
            self.0.set_service_status(name, status).await;
        }
        info!(serving, "health changed");
    }
}

fn routes(config: &Config, parts: Parts, health: HealthService) -> Routes {
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("the descriptors come from our own build");
    let bots = v1::bot_service_server::BotServiceServer::new(bots::Service(parts.clone()))
        .max_decoding_message_size(config.max_request_bytes);
    let messages = messages::Service(parts.clone());
    let messages = v1::message_service_server::MessageServiceServer::new(messages)
        .max_decoding_message_size(config.max_request_bytes);
    let events = events::Service(parts.clone());
    let events = v1::event_service_server::EventServiceServer::new(events)
        .max_decoding_message_size(config.max_request_bytes);
    let portals = portals::Service(parts.clone());
    let portals = v1::portal_service_server::PortalServiceServer::new(portals);
    let info = v1::server_service_server::ServerServiceServer::new(info::Service(parts));
    let mut routes = Routes::builder();
    routes
        .add_service(bots)
        .add_service(messages)
        .add_service(events)
        .add_service(portals)
        .add_service(info)
        .add_service(tonic_health::pb::health_server::HealthServer::new(
            tonic_health::server::HealthService::from_health_reporter(health.0),
        ))
        .add_service(reflection);
    routes.routes()
}
