//! Tokens for the code of an authorization by a person (C7).

use secrecy::SecretString;

use super::super::Portals;
use super::claim::{Claim, ClaimError, Vouched};

/// The portal that an authorization is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// The one at this host, perhaps with a port.
    Host(String),
    /// The one of this `member_id`, wherever it is.
    Member(String),
}

impl Expected {
    /// Whether a redirect that says so of itself can be of this portal. It may still lie.
    #[must_use]
    pub fn can_be(&self, domain: Option<&str>, member_id: Option<&str>) -> bool {
        let (said, expected) = match self {
            Self::Host(host) => (domain, host),
            Self::Member(member) => (member_id, member),
        };
        said.is_none_or(|said| said.eq_ignore_ascii_case(expected))
    }
}

impl Portals {
    /// Exchanges a code, at the authorization server of this host or else at our first one, and sees
    /// that the tokens are of the portal expected.
    ///
    /// # Errors
    ///
    /// See [`ClaimError`]. The code is spent in any case.
    pub async fn exchange(
        &self,
        server: Option<&str>,
        code: &SecretString,
        expected: &Expected,
    ) -> Result<Vouched, ClaimError> {
        let authority = self.0.workshop.authority.as_ref();
        let authority = authority.ok_or(ClaimError::NoApplication)?;
        let endpoint = server.map(|host| format!("https://{host}/rest/"));
        let tokens = authority.exchange(endpoint.as_deref(), code).await?;
        let (member_id, domain) = match expected {
            Expected::Host(host) => (tokens.member_id, Some(host.clone())),
            Expected::Member(member) => (Some(member.clone()), None),
        };
        let claim = Claim {
            member_id: member_id.ok_or(ClaimError::Unclear)?,
            domain,
            server_endpoint: tokens.server_endpoint,
            access_token: tokens.access_token,
            refresh_token: tokens.refresh_token,
            expires_in: Some(tokens.expires_in),
            scope: tokens.scope,
            status: tokens.status,
            application_token: None,
        };
        self.vouch(&claim).await
    }

    /// Where a person lets our application into the portal expected, if we know where that is and may
    /// go there: its https origin, and our name there.
    #[must_use]
    pub fn authorization_of(&self, expected: &Expected) -> Option<(String, &str)> {
        let authority = self.0.workshop.authority.as_ref()?;
        let origin = match expected {
            Expected::Host(host) => self.origin_of(host)?,
            Expected::Member(member) => {
                let portal = self.get(&self.0.workshop.name_of(member)?)?;
                let (origin, _) = portal.addresses();
                self.origin_of(origin.strip_prefix("https://")?)?
            }
        };
        Some((origin, authority.client_id()))
    }
}
