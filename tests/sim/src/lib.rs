//! A simulated Bitrix24 portal: the far side of the wire, for tests and for trying things out.
//!
//! A [`Sim`] holds a certificate authority, a [`Clock`] and any number of isolated [`Portal`]s.
//! Each portal listens on its own port and answers REST calls as the Bitrix24 contract says
//! Bitrix24 does; where the contract names two behaviours, [`Quirks`] chooses. Tests act as the
//! people of the portal ([`User`]), break the wire on purpose ([`Fault`]) and read afterwards
//! what was asked and what really happened ([`Journal`]).
//!
//! ```text
//! driving          sim, portal, user; over HTTP: control; by people: chat; as a process: standalone
//! hyper + TLS      http, tls          bytes, connections, faults of the wire
//! other ends       oauth, delivery    the authorization server; what portals send themselves
//! parameters       params             JSON, PHP forms, query -> one map
//! REST core        core, batch        credential, scope, limits, envelope, journal
//! methods          methods/*          one function per documented method
//! portal           state/*            users, chats, messages, bots, commands, event log
//! ```
//!
//! Everything below `http` and `delivery` is synchronous and reads time only from a value handed in, so a test
//! with a paused tokio clock sees ten minutes of portal time pass in no time at all. Nothing here
//! knows the gateway: both sides are written from the contract, so that one misreading cannot
//! hide in both.

mod batch;
mod chat;
mod clock;
mod config;
mod control;
mod core;
mod delivery;
mod failure;
mod fault;
mod http;
mod ingress;
mod journal;
mod limits;
mod methods;
mod oauth;
mod params;
mod php;
mod place;
mod portal;
mod quirks;
mod sim;
pub mod standalone;
mod state;
mod tls;
mod view;
mod written;

pub use chat::{ChangeDelivery, ChatPage};
pub use clock::{Clock, UnixTime};
pub use config::{ApplicationConfig, Config, PortalConfig, UserConfig, WebhookConfig};
pub use control::Control;
pub use delivery::Delivery;
pub use fault::{Fault, FaultKind, Faults, When};
pub use ingress::Ingress;
pub use journal::{Effect, Encoding, Journal, Request};
pub use limits::{Limits, OperatingRule};
pub use oauth::{OAuth, OAuthQuirks, UninstalledIs, WrongClient};
pub use portal::{Condition, Portal, Refusal, User};
pub use quirks::{
    AppInfo, BackgroundNull, BotForm, ClosedPortal, EmptyMap, EntityShape, ErrorStatus,
    FormBoolean, FormNull, ForwardShape, IdShape, LastActivity, MissingUuid, NothingIs, Quirks,
    RateLimitStatus, RemovedApplication, TokenLengthCheck, UnknownToken, WrongCode,
};
pub use sim::{Error, Sim};
pub use tls::Error as TlsError;
pub use view::{ApplicationView, BotView, Chat, CommandView, Message, TokenPair};
