//! The page of our application, which a portal shows in a frame (C8.1).
//!
//! Everybody in the portal may open it, and each time it comes with tokens of whoever did. They are
//! taken only while the installation is unfinished, which only the authorization server can tell.
//!
//! The page may be framed by the portal that was verified. A page that says what went wrong before that
//! may be framed by the portal named, if portals may be there at all: it holds no secret and no script,
//! and nobody would see it otherwise.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    http::{StatusCode, Uri},
    response::{IntoResponse as _, Response},
};
use serde_json::Value;
use tracing::error;

use super::{body, desk::Desk, html, page::Page, query, refusals::What, texts::Language};
use crate::{
    fault::Chain,
    portal::{
        Claim, ClaimError, Credential, InstallError, Owner, Vouched,
        wire::{answer::scopes, lenient::Fields},
    },
};

/// Why nothing was installed.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("it does not come with what it should")]
    Incomplete,
    #[error("its authorization server is not among `oauth.hosts`")]
    OtherServer,
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error(transparent)]
    Install(#[from] InstallError),
}

/// `POST /bitrix24/app?DOMAIN=…`
pub(super) async fn open(State(desk): State<Desk>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = match body::read(body, body::CALLBACK).await {
        Ok(body) => body,
        Err(status) => {
            desk.refusals().tell(What::Frame, &status);
            return status.into_response();
        }
    };
    let Some(_place) = desk.enter() else {
        desk.refusals().tell(What::Frame, &"too many at once");
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let language = Language::of_portal(query::value(&head.uri, "LANG").as_deref());
    let domain = query::value(&head.uri, "DOMAIN");
    let origin = domain.and_then(|domain| desk.portals().origin_of(&domain));
    let fields = body::fields(&head.headers, &body);
    let claim = fields.and_then(|fields| claim(&head.uri, &fields));
    let (working, stays) = (desk.clone(), desk.life().clone());
    let shown = stays.keep(async move { working.enter_portal(claim).await });
    let page = match shown.await {
        Ok(page) => page,
        Err(refused) => {
            desk.refusals().tell(What::Frame, &Chain(&refused));
            if let Refused::Install(InstallError::Store(cause)) = &refused {
                error!(error = %Chain(cause), "tokens cannot be stored");
            }
            Page::from(&refused)
        }
    };
    html::show(page, language, origin.as_deref())
}

impl Desk {
    async fn enter_portal(&self, claim: Option<Claim>) -> Result<Page, Refused> {
        let claim = claim.ok_or(Refused::Incomplete)?;
        let server = claim.server_endpoint.as_deref();
        if server.is_some_and(|server| !self.portals().trusts_server(server)) {
            return Err(Refused::OtherServer);
        }
        let Vouched { pair, installed } = self.portals().vouch(&claim).await?;
        match installed {
            // That of whoever installs; somebody else's would take its place only by a link.
            Some(false) => {
                let portal = self.portals().install(pair, Owner::Same).await?;
                self.bind(portal);
                Ok(Page::Finish)
            }
            _ if self.has_tokens(&pair.member_id) => Ok(Page::Installed),
            _ => Ok(Page::NotConnected),
        }
    }

    /// Whether we hold tokens for an account.
    fn has_tokens(&self, member: &str) -> bool {
        let portals = self.portals().list();
        portals.iter().any(|portal| match portal.credential() {
            Credential::OAuth { member_id, tokens } => {
                member_id.eq_ignore_ascii_case(member) && tokens.is_some()
            }
            Credential::Webhook { .. } => false,
        })
    }
}

fn claim(uri: &Uri, fields: &Value) -> Option<Claim> {
    let fields = Fields::of(fields).ok()?;
    let secret = |name| fields.filled(name).map(Into::into);
    let seconds = fields.int("AUTH_EXPIRES");
    let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok());
    Some(Claim {
        member_id: fields.filled("member_id")?,
        domain: Some(query::value(uri, "DOMAIN")?),
        server_endpoint: fields.filled("SERVER_ENDPOINT"),
        access_token: secret("AUTH_ID")?,
        refresh_token: secret("REFRESH_ID")?,
        expires_in: seconds.map(Duration::from_secs),
        scope: fields
            .get("APPLICATION_SCOPE")
            .map(scopes)
            .unwrap_or_default(),
        status: fields.filled("status"),
        application_token: secret("APPLICATION_TOKEN"),
    })
}

impl From<&Refused> for Page {
    fn from(refused: &Refused) -> Self {
        match refused {
            Refused::Incomplete => Self::NotVerified,
            Refused::OtherServer => Self::OtherServer,
            Refused::Claim(error) => Self::from(error),
            Refused::Install(error) => Self::from(error),
        }
    }
}
