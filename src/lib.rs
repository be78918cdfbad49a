//! One typed gRPC API in front of Bitrix24 chat-bots.
//!
//! ```text
//!    gRPC caller                                          Bitrix24 portal
//!  unary | ^ reply    ^ stream                        ^ HTTPS     | installation, callbacks, events
//!        v |          |                               |           v
//!    grpc/bots     grpc/events                        |         http: verify, then portal/install, events/intake
//!        | convert    ^ convert                       |
//!        v            |                               |
//!      bots         events/feed <- store/log <--------|--append-- events/intake
//!        v          events/subscriptions              |                 ^
//!      portal: call > limit > auth > transport -------+                 |
//!        ^                                                              |
//!        +------------ events/poller: calls like anyone else -----------+
//! ```
//!
//! Modules stand here in bands, highest first; a module imports only from bands below its own, which
//! a test holds. `tonic` and the generated code live only in `grpc`, its client
//! `terminal` and what wires them, `axum` only in
//! `http`, `reqwest` only in `portal/transport` and `telemetry/otlp`, and the environment is read only in `config`.

pub mod cli;
#[cfg(feature = "sim")]
pub mod demo;
#[cfg(feature = "sim")]
pub mod dev;
#[cfg(feature = "sim")]
pub mod scaffold;

pub mod app;

pub mod config;

pub mod terminal;

pub mod relay;

pub mod admin;

pub mod grpc;

pub mod http;

pub mod diagnosis;

pub mod events;

pub mod bots;

pub mod portal;

pub mod store;

pub mod callers;

pub mod lifecycle;
pub mod telemetry;
pub mod tls;

pub mod clock;
pub mod fault;
pub mod ids;
mod log_limit;
pub mod proto;
mod socket;
mod turns;
