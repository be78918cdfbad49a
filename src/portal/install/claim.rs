//! What somebody says of an installation, and whether it is true.
//!
//! Whoever knows our address can say anything. True is what the authorization server says of the
//! access token that came along, and only one of our own list is asked (C8.2): the address in the
//! claim could be the liar's.

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::super::{
    Hosts, Portals,
    oauth::Trouble,
    wire::oauth::{self as wire, Denial},
};
use crate::{ids::PortalId, store::Pair};

/// The longest text that is taken for a token, bytes. Those of Bitrix24 have 70 characters.
const LONGEST: usize = 1024;

/// How long an access token lives that does not say, and how long one is believed to live.
const LIFE: Duration = Duration::from_secs(3600);
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);

/// A pair of tokens, and where it is said to come from.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Identity of the account.
    pub member_id: String,
    /// Host of the portal; `None` when that does not matter.
    pub domain: Option<String>,
    /// REST base of the authorization server.
    pub server_endpoint: Option<String>,
    /// For calls to the portal.
    pub access_token: SecretString,
    /// For the next pair.
    pub refresh_token: SecretString,
    /// How long the access token lives.
    pub expires_in: Option<Duration>,
    /// What the tokens may use.
    pub scope: Vec<String>,
    /// How the application is licensed.
    pub status: Option<String>,
    /// What is to prove later callbacks.
    pub application_token: Option<SecretString>,
}

/// A claim that the authorization server has confirmed.
#[derive(Debug, Clone)]
pub struct Vouched {
    /// The tokens, with the user, the address and the rights that the authorization server named.
    pub pair: Pair,
    /// Whether the installation is finished; `None` when that was not told.
    pub installed: Option<bool>,
}

/// Why a claim is not believed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// There is no application to which it could belong.
    #[error("`oauth.client_id` is not configured")]
    NoApplication,
    /// Something is missing, or cannot be what it should be.
    #[error("it is incomplete or malformed")]
    Malformed,
    /// Its portal is where none may be.
    #[error("the host of its portal is not among `outbound.portal_hosts`")]
    ForbiddenHost,
    /// The authorization server does not know the token, or the code.
    #[error("the authorization server does not confirm it")]
    Refused(#[source] wire::Error),
    /// The authorization server did not answer in time, or had trouble.
    #[error("the authorization server does not answer")]
    Unanswered,
    /// The token belongs to another application.
    #[error("it belongs to another application")]
    OtherApplication,
    /// The token belongs to another portal.
    #[error("it belongs to another portal")]
    OtherPortal,
    /// The authorization server does not tell what is needed.
    #[error("the authorization server does not tell whose it is")]
    Unclear,
}

impl Portals {
    /// Asks the authorization server whether a claim is true.
    ///
    /// # Errors
    ///
    /// See [`ClaimError`]; only [`ClaimError::Unanswered`] is worth another try.
    pub async fn vouch(&self, claim: &Claim) -> Result<Vouched, ClaimError> {
        let workshop = &self.0.workshop;
        let authority = workshop.authority.as_ref();
        let authority = authority.ok_or(ClaimError::NoApplication)?;
        claim.check(&workshop.hosts)?;
        let endpoint = claim.server_endpoint.as_deref();
        let info = authority.app_info(endpoint, &claim.access_token).await?;
        if info.client_id.as_deref() != Some(authority.client_id()) {
            return Err(ClaimError::OtherApplication);
        }
        let told = info.member_id.zip(info.domain).zip(info.user_id);
        let ((member_id, domain), user_id) = told.ok_or(ClaimError::Unclear)?;
        let same = |said: &str, told: &str| said.eq_ignore_ascii_case(told);
        let here = claim.domain.as_ref();
        if !same(&claim.member_id, &member_id) || here.is_some_and(|here| !same(here, &domain)) {
            return Err(ClaimError::OtherPortal);
        }
        let origin = origin(&workshop.hosts, &domain).ok_or(ClaimError::ForbiddenHost)?;
        let client_endpoint = info.client_endpoint;
        let client_endpoint = client_endpoint.unwrap_or_else(|| format!("{origin}/rest/"));
        if !workshop.hosts.allow(&client_endpoint) {
            return Err(ClaimError::ForbiddenHost);
        }
        let server = claim.server_endpoint.clone();
        let now = workshop.clock.now();
        let life = claim.expires_in.unwrap_or(LIFE).min(LONGEST_LIFE);
        Ok(Vouched {
            pair: Pair {
                member_id,
                user_id: Some(user_id),
                access_token: claim.access_token.clone(),
                refresh_token: claim.refresh_token.clone(),
                access_ends: now.saturating_add(life).unwrap_or(now),
                obtained_at: now,
                client_endpoint,
                server_endpoint: server.filter(|it| authority.trusts(Some(it))),
                scope: Some(info.scope)
                    .filter(|scope| !scope.is_empty())
                    .unwrap_or_else(|| claim.scope.clone()),
                status: info.status.or_else(|| claim.status.clone()),
                application_token: claim.application_token.clone(),
            },
            installed: info.installed,
        })
    }

    /// The https origin of a host with or without a port, if a portal may be there.
    #[must_use]
    pub fn origin_of(&self, domain: &str) -> Option<String> {
        origin(&self.0.workshop.hosts, domain)
    }

    /// Whether the authorization server of this REST base may be told our secrets.
    #[must_use]
    pub fn trusts_server(&self, endpoint: &str) -> bool {
        let authority = self.0.workshop.authority.as_ref();
        authority.is_some_and(|authority| authority.trusts(Some(endpoint)))
    }
}

impl Claim {
    /// What can be seen without asking anybody: who says nonsense costs us no request.
    fn check(&self, hosts: &Hosts) -> Result<(), ClaimError> {
        let secrets = [Some(&self.access_token), Some(&self.refresh_token)];
        let mut secrets = secrets.into_iter().chain([self.application_token.as_ref()]);
        let plausible = |secret: &SecretString| {
            let text = secret.expose_secret();
            (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let named = self.member_id.to_ascii_lowercase().parse::<PortalId>();
        if named.is_err() || !secrets.all(|secret| secret.is_none_or(plausible)) {
            return Err(ClaimError::Malformed);
        }
        match &self.domain {
            Some(domain) if origin(hosts, domain).is_none() => Err(ClaimError::ForbiddenHost),
            _ => Ok(()),
        }
    }
}

impl From<Trouble> for ClaimError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Refused(refusal) if refusal.denial() != Denial::Unavailable => {
                Self::Refused(refusal)
            }
            Trouble::Forbidden | Trouble::Refused(_) | Trouble::Silent(_) | Trouble::Late => {
                Self::Unanswered
            }
        }
    }
}

fn origin(hosts: &Hosts, domain: &str) -> Option<String> {
    let url: Url = format!("https://{domain}/").parse().ok()?;
    let bare = url.path() == "/" && url.fragment().is_none();
    // A parser of addresses takes more for a host, such as a star, which means others elsewhere.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let plain = url.host_str().is_some_and(|host| host.bytes().all(plain));
    let allowed = bare && plain && hosts.allow(url.as_str());
    allowed.then(|| url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_host_of_portals_has_an_origin() {
        let hosts = Hosts::new(["bitrix24.com"].into_iter()).unwrap();
        let found = |domain: &str| origin(&hosts, domain);
        assert_eq!(
            found("Acme.bitrix24.com").unwrap(),
            "https://acme.bitrix24.com"
        );
        assert_eq!(
            found("acme.bitrix24.com:8443").unwrap(),
            "https://acme.bitrix24.com:8443"
        );
        for wrong in [
            "",
            "evil.org",
            "acme.bitrix24.com/evil",
            "acme.bitrix24.com#evil",
            "acme.bitrix24.com?evil",
            "evil.org/@acme.bitrix24.com",
            "me@acme.bitrix24.com",
            "acme.bitrix24.com; script-src *",
            "acme.bitrix24.com 'unsafe-inline'",
            "*.bitrix24.com",
            "a_b.bitrix24.com",
            "127.0.0.1",
        ] {
            assert_eq!(found(wrong), None, "{wrong}");
        }
    }
}
