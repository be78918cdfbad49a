//! What a simulation, a portal, a credential and a person are made of.

use std::time::Duration;

use crate::clock::UnixTime;
use crate::limits::Limits;
use crate::quirks::Quirks;

/// Settings of a [`Sim`](crate::Sim).
#[derive(Clone, Debug)]
pub struct Config {
    /// Portal time at the start. Default: 2026-11-20T10:00:00Z.
    pub starts_at: UnixTime,
    /// TCP port of the authorization server; 0 (default) lets the system choose.
    pub oauth_port: u16,
    /// What the authorization server calls itself in `domain`; absent = its host and port.
    pub oauth_domain: Option<String>,
    /// Certificates, PEM, that portals trust when they send events to `https` addresses, beside
    /// the simulation's own.
    pub receiver_ca_pem: Option<String>,
    /// How many requests and how many effects each journal keeps; older ones are dropped and
    /// counted. Default: 10,000.
    pub journal_capacity: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            starts_at: Duration::from_secs(1_795_168_800),
            oauth_port: 0,
            oauth_domain: None,
            receiver_ca_pem: None,
            journal_capacity: 10_000,
        }
    }
}

/// Settings of one portal.
#[derive(Clone, Debug)]
pub struct PortalConfig {
    /// TCP port to listen on; 0 (default) lets the system choose.
    pub port: u16,
    /// The identity that never changes, 32 hexadecimal digits; made up when absent.
    pub member_id: Option<String>,
    /// What the portal calls itself, e.g. `acme.bitrix24.com`, until it is renamed; its host and
    /// port when absent. It listens on loopback all the same.
    pub domain: Option<String>,
    /// Language of the portal, in events and for command titles. Default: `en`.
    pub language: String,
    /// Name of the plan, as `app.info` tells it. Default: `en_basic`.
    pub license: String,
    /// Offset of the server's zone, in minutes east of UTC. Default: 60.
    pub utc_offset_minutes: i32,
    /// Numbers reported by `imbot.v2.Revision.get`: rest, web, mobile, desktop. Below rest 33 the
    /// method does not exist; below 34 a missing botToken is called `CLIENT_ID_NOT_SPECIFIED`;
    /// below 35 there is no rotation and bots show `appId` (C26). Default: 36, 130, 23, 6.
    pub revision: [u32; 4],
    /// Where ids of events begin. A client that keeps its place takes another portal for the same one
    /// only when these go on growing. Default: 900,001.
    pub first_event_id: u64,
    /// The first user, id 1, administrator and owner of the default webhook.
    pub owner: UserConfig,
    /// Code of the default webhook, the secret part of its address.
    pub webhook_code: String,
    /// Scopes of the default webhook. Default: `im`, `imbot`, `user`.
    pub scopes: Vec<String>,
    /// Limits in force. Default: those of an ordinary cloud plan.
    pub limits: Limits,
    /// Behaviours where the contract names more than one.
    pub quirks: Quirks,
}

impl Default for PortalConfig {
    fn default() -> Self {
        Self {
            port: 0,
            member_id: None,
            domain: None,
            language: "en".into(),
            license: "en_basic".into(),
            utc_offset_minutes: 60,
            revision: [36, 130, 23, 6],
            first_event_id: 900_001,
            owner: UserConfig {
                admin: true,
                ..UserConfig::named("John", "Smith")
            },
            webhook_code: "xqz7w0p4m2k9v1c8".into(),
            scopes: ["im", "imbot", "user"].map(Into::into).into(),
            limits: Limits::default(),
            quirks: Quirks::default(),
        }
    }
}

/// Settings of an incoming webhook.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// The user it acts for.
    pub user_id: i64,
    /// What it may call.
    pub scopes: Vec<String>,
    /// The secret part of the address; made up when absent.
    pub code: Option<String>,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self {
            user_id: 1,
            scopes: ["im", "imbot", "user"].map(Into::into).into(),
            code: None,
        }
    }
}

/// An application to make known to a portal.
#[derive(Clone, Debug)]
pub struct ApplicationConfig {
    /// Its public name; made up when absent. The same name and secret in several portals are the
    /// same application.
    pub client_id: Option<String>,
    /// Its secret; made up when absent.
    pub client_secret: Option<String>,
    /// What it may call. Default: `im`, `imbot`, `user`.
    pub scopes: Vec<String>,
    /// `L` (default), `F`, `D`, `T` or `P` (C7).
    pub status: String,
    /// Where install and update callbacks go; absent = nowhere.
    pub handler_url: Option<String>,
    /// Where a browser goes with an authorization code; absent = nowhere.
    pub redirect_url: Option<String>,
    /// Its page, which has to call `installFinish` before the application counts as installed;
    /// absent = it uses the API only.
    pub page_url: Option<String>,
}

impl Default for ApplicationConfig {
    fn default() -> Self {
        Self {
            client_id: None,
            client_secret: None,
            scopes: ["im", "imbot", "user"].map(Into::into).into(),
            status: "L".into(),
            handler_url: None,
            redirect_url: None,
            page_url: None,
        }
    }
}

/// A person to add to a portal.
#[derive(Clone, Debug, Default)]
pub struct UserConfig {
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// Job title.
    pub work_position: String,
    /// A guest from another company: commands need `extranetSupport` for them.
    pub extranet: bool,
    /// Administrator of the portal.
    pub admin: bool,
}

impl UserConfig {
    /// An ordinary employee of this name.
    #[must_use]
    pub fn named(first_name: &str, last_name: &str) -> Self {
        Self {
            first_name: first_name.into(),
            last_name: last_name.into(),
            ..Self::default()
        }
    }
}
