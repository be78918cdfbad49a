//! Asks the authorization server for new tokens, and what those are worth that came to us (C7).
//!
//! The only place that knows our client secret. It and the refresh tokens go to the hosts that the
//! operator named and to no other, whatever a pair or an answer says; what leads elsewhere is not
//! followed. They travel in the query, so an address of this module is never shown.

use std::{
    collections::BTreeMap,
    fmt,
    str::FromStr,
    sync::{PoisonError, RwLock},
};

use secrecy::{ExposeSecret as _, SecretString};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{sleep, timeout},
};
use url::{Host, Url};

use super::{
    by_chance, traces,
    transport::{Body, Failure, SecretUrl, Transport},
    wire::oauth::{self as wire, AppInfo, Tokens},
};
use crate::ids::Invalid;

/// Refreshes at once at one authorization server: the tokens of many portals end together.
const AT_ONCE: usize = 4;

/// The same of questions that strangers make us ask, which are not to hold up refreshes.
const STRANGERS: usize = 4;

/// How long such a question may take; a code lives 30 seconds.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// Who had to wait for that begins within this time after, each at another moment.
const SPREAD: std::time::Duration = std::time::Duration::from_millis(500);

/// Our application, as the authorization servers know it.
#[derive(Debug, Clone)]
pub struct Application {
    /// Its public name.
    pub client_id: String,
    /// Its secret. For the authorization servers only.
    pub client_secret: SecretString,
    /// The servers that may be told it; the first one where a portal does not say. Never empty.
    pub servers: Servers,
}

/// Authorization servers by host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Servers {
    first: ServerName,
    others: Vec<ServerName>,
}

/// Host and port of an authorization server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerName {
    host: String,
    port: u16,
}

/// The authorization servers. One for all portals.
#[derive(Debug)]
pub(super) struct Authority {
    application: Application,
    client_secret: RwLock<SecretString>,
    transport: Transport,
    doors: BTreeMap<ServerName, Semaphore>,
    strangers: Semaphore,
}

/// Why there are no new tokens.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The server is none that may be told our secrets: nothing was sent.
    #[error("the authorization server is not among `oauth.hosts`")]
    Forbidden,
    /// It answered something else than tokens.
    #[error(transparent)]
    Refused(#[from] wire::Error),
    /// It gave no answer, perhaps after it exchanged the token.
    #[error("the authorization server did not answer")]
    Silent(#[source] Failure),
    /// It did not answer in the time that there was.
    #[error("the authorization server did not answer in time")]
    Late,
}

impl Trouble {
    /// The server's own code, if it told one.
    pub(super) fn code(&self) -> Option<String> {
        match self {
            Self::Refused(wire::Error::Denied { refusal, .. }) => Some(refusal.code.clone()),
            _ => None,
        }
    }
}

impl ServerName {
    /// Host and port of a REST base such as `https://oauth.bitrix.info/rest/`.
    fn of(endpoint: &str) -> Option<Self> {
        let url: Url = endpoint.parse().ok()?;
        let plain = url.username().is_empty() && url.password().is_none();
        (url.scheme() == "https" && plain).then_some(())?;
        Some(Self {
            host: url.host_str()?.to_owned(),
            port: url.port_or_known_default()?,
        })
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl FromStr for ServerName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = Invalid("must be the name of a host, perhaps with a port");
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| wrong)?),
            None => (text, 443),
        };
        match Host::parse(host) {
            Ok(Host::Domain(host)) => Ok(Self { host, port }),
            Ok(Host::Ipv4(ip)) => Ok(Self {
                host: ip.to_string(),
                port,
            }),
            _ => Err(wrong),
        }
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Servers {
    /// These, the usual one first; `None` when there is none.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = ServerName>) -> Option<Self> {
        let mut names = names.into_iter();
        Some(Self {
            first: names.next()?,
            others: names.collect(),
        })
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &ServerName> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The one that an endpoint names, if it is among them; the first one where none is named.
    fn find(&self, endpoint: Option<&str>) -> Option<&ServerName> {
        let Some(endpoint) = endpoint else {
            return Some(&self.first);
        };
        let named = ServerName::of(endpoint)?;
        self.iter().find(|name| **name == named)
    }

    /// The same, and the first one in place of one that is not among them.
    fn find_or_first(&self, endpoint: Option<&str>) -> &ServerName {
        self.find(endpoint).unwrap_or(&self.first)
    }
}

impl Authority {
    pub(super) fn new(application: Application, transport: Transport) -> Self {
        let names = application.servers.iter().cloned();
        Self {
            doors: names.map(|name| (name, Semaphore::new(AT_ONCE))).collect(),
            strangers: Semaphore::new(STRANGERS),
            client_secret: RwLock::new(application.client_secret.clone()),
            application,
            transport,
        }
    }

    /// The public name of our application.
    pub(super) fn client_id(&self) -> &str {
        &self.application.client_id
    }

    /// Goes on with this secret. Says whether it is another one than before.
    pub(super) fn renew(&self, secret: SecretString) -> bool {
        let mut known = self
            .client_secret
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let differs = known.expose_secret() != secret.expose_secret();
        *known = secret;
        differs
    }

    /// Whether the server of this endpoint may be told our secrets.
    pub(super) fn trusts(&self, endpoint: Option<&str>) -> bool {
        self.application.servers.find(endpoint).is_some()
    }

    /// Exchanges a refresh token for new tokens, at the server of this endpoint. Once asked, the token
    /// may be spent whatever comes back.
    pub(super) async fn refresh(
        &self,
        endpoint: Option<&str>,
        refresh_token: &SecretString,
    ) -> Result<Tokens, Trouble> {
        let server = self.application.servers.find(endpoint);
        let server = server.ok_or(Trouble::Forbidden)?;
        let _inside = self.enter(server).await;
        self.tokens(server, "refresh_token", "refresh_token", refresh_token)
            .await
    }

    /// Exchanges the code of an authorization for the first tokens, at the server of this endpoint if
    /// it is one of ours, else at the first. The code may be spent whatever comes back.
    pub(super) async fn exchange(
        &self,
        endpoint: Option<&str>,
        code: &SecretString,
    ) -> Result<Tokens, Trouble> {
        let server = self.application.servers.find_or_first(endpoint);
        self.asked_by_strangers(self.tokens(server, "authorization_code", "code", code))
            .await
    }

    /// Asks the server of this endpoint if it is one of ours, else the first, what an access token is
    /// worth. Its answer is the only one to believe.
    pub(super) async fn app_info(
        &self,
        endpoint: Option<&str>,
        access_token: &SecretString,
    ) -> Result<AppInfo, Trouble> {
        let server = self.application.servers.find_or_first(endpoint);
        let url = format!("https://{server}/rest/app.info").parse();
        let url: SecretUrl = url.map_err(|_| Trouble::Forbidden)?;
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("auth", access_token.expose_secret())
            .finish();
        let asking = async {
            let answer = self.transport.post(&url, Body::Form(form.into())).await;
            let answer = answer.map_err(Trouble::Silent)?;
            let content_type = answer.content_type.as_deref();
            Ok(wire::app_info(answer.status, content_type, &answer.body)?)
        };
        self.asked_by_strangers(asking).await
    }

    /// Asks something because a stranger wants it.
    async fn asked_by_strangers<T>(
        &self,
        asking: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        let bounded = async {
            // Never closed.
            let _inside = self.strangers.acquire().await.ok();
            asking.await
        };
        timeout(PATIENCE, bounded)
            .await
            .unwrap_or(Err(Trouble::Late))
    }

    async fn tokens(
        &self,
        server: &ServerName,
        grant_type: &str,
        name: &str,
        grant: &SecretString,
    ) -> Result<Tokens, Trouble> {
        let url = self.address(server, grant_type, name, grant);
        let url = url.ok_or(Trouble::Forbidden)?;
        let span = traces::asks("GET", "/oauth/token/", &url);
        let answer = span.run(self.transport.get(&url)).await;
        let status = answer.as_ref().ok().map(|answer| answer.status);
        traces::answered(&span, status);
        if status != Some(200) {
            span.failed("AUTHORIZATION_SERVER");
        }
        drop(span);
        let answer = answer.map_err(Trouble::Silent)?;
        let content_type = answer.content_type.as_deref();
        Ok(wire::tokens(answer.status, content_type, &answer.body)?)
    }

    async fn enter(&self, server: &ServerName) -> Option<SemaphorePermit<'_>> {
        let door = self.doors.get(server)?;
        if let Ok(inside) = door.try_acquire() {
            return Some(inside);
        }
        // The door is never closed.
        let inside = door.acquire().await.ok()?;
        sleep(by_chance(SPREAD)).await;
        Some(inside)
    }

    fn address(
        &self,
        server: &ServerName,
        grant_type: &str,
        name: &str,
        grant: &SecretString,
    ) -> Option<SecretUrl> {
        let secret = self
            .client_secret
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let mut url: Url = format!("https://{server}/oauth/token/").parse().ok()?;
        url.query_pairs_mut()
            .append_pair("grant_type", grant_type)
            .append_pair("client_id", &self.application.client_id)
            .append_pair("client_secret", secret.expose_secret())
            .append_pair(name, grant.expose_secret());
        SecretUrl::try_from(url).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(names: &[&str]) -> Servers {
        Servers::new(names.iter().map(|name| name.parse().unwrap())).unwrap()
    }

    #[test]
    fn only_a_named_server_is_found_and_the_first_where_none_is_named() {
        let servers = servers(&["oauth.bitrix.info", "oauth.bitrix24.tech", "127.0.0.1:4433"]);
        let found = |endpoint| servers.find(endpoint).map(ToString::to_string);
        assert_eq!(found(None).as_deref(), Some("oauth.bitrix.info:443"));
        for (endpoint, name) in [
            (
                "https://oauth.bitrix24.tech/rest/",
                "oauth.bitrix24.tech:443",
            ),
            ("https://OAuth.Bitrix.info/", "oauth.bitrix.info:443"),
            ("https://127.0.0.1:4433/rest/", "127.0.0.1:4433"),
        ] {
            assert_eq!(found(Some(endpoint)).as_deref(), Some(name), "{endpoint}");
        }
        for endpoint in [
            "http://oauth.bitrix.info/rest/",
            "https://oauth.bitrix.info:8443/rest/",
            "https://oauth.bitrix.info.evil.org/rest/",
            "https://evil.org/oauth.bitrix.info/",
            "https://oauth.bitrix.info@evil.org/rest/",
            "https://me:word@oauth.bitrix.info/rest/",
            "https://127.0.0.1/rest/",
            "oauth.bitrix.info",
            "",
        ] {
            assert_eq!(found(Some(endpoint)), None, "{endpoint}");
        }
    }

    #[test]
    fn names_of_servers_are_hosts_with_or_without_a_port() {
        for wrong in [
            "",
            "a b",
            "https://oauth.bitrix.info",
            "host:port",
            "h:1:2",
            "h/x",
        ] {
            assert!(wrong.parse::<ServerName>().is_err(), "{wrong}");
        }
    }
}
