//! Authorization by a person (C7): from the operator's link to the portal, and back with a code.

use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use tracing::error;

use super::{
    authorizations::{Ended, Return},
    desk::Desk,
    html,
    page::Page,
    query,
    refusals::What,
    texts::Language,
};
use crate::{
    fault::Chain,
    portal::{ClaimError, InstallError},
};

/// Binds an authorization to a browser; the prefix keeps other hosts from setting it.
const COOKIE: &str = "__Host-b24gw-authorization";

/// Why nobody was authorized.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Ended(#[from] Ended),
    #[error("it comes back without a code")]
    NoCode,
    #[error("it comes back from another portal than the link is for")]
    OtherPortal,
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error(transparent)]
    Install(#[from] InstallError),
}

/// `GET /oauth/start?link=…`
pub(super) async fn start(State(desk): State<Desk>, request: Request) -> Response {
    let language = Language::of_browser(request.headers());
    let link = query::value(request.uri(), "link").unwrap_or_default();
    let departure = match desk.authorizations().begin(&link) {
        Ok(departure) => departure,
        Err(ended) => return refuse(&desk, language, &ended.into()),
    };
    let cookie = format!(
        "{COOKIE}={}; Path=/; Max-Age=600; Secure; HttpOnly; SameSite=Lax",
        departure.cookie
    );
    let headers = HeaderValue::try_from(departure.location).and_then(|location| {
        let cookie = HeaderValue::try_from(cookie)?;
        Ok([(header::LOCATION, location), (header::SET_COOKIE, cookie)])
    });
    match headers {
        Ok(headers) => (StatusCode::SEE_OTHER, html::private(), headers).into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

/// `GET /oauth/callback?code=…&state=…`
pub(super) async fn come_back(State(desk): State<Desk>, request: Request) -> Response {
    let language = Language::of_browser(request.headers());
    let Some(_place) = desk.enter() else {
        desk.refusals()
            .tell(What::Authorization, &"too many at once");
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    // Whoever leaves does not break off what a code was spent for.
    let (head, _) = request.into_parts();
    let (working, stays) = (desk.clone(), desk.life().clone());
    let finished = stays.keep(async move { working.finish(&head).await });
    let finished = finished.await;
    // What another site sends here must not end what this browser began.
    let finished_here = !matches!(finished, Err(Refused::Ended(Ended::Foreign)));
    let mut response = match finished {
        Ok(()) => html::show(Page::Authorized, language, None),
        Err(refused) => refuse(&desk, language, &refused),
    };
    let over = format!("{COOKIE}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax");
    if finished_here && let Ok(over) = HeaderValue::try_from(over) {
        response.headers_mut().insert(header::SET_COOKIE, over);
    }
    response
}

impl Desk {
    async fn finish(&self, head: &Parts) -> Result<(), Refused> {
        let asked = |name| query::value(&head.uri, name);
        let state = asked("state").unwrap_or_default();
        let cookie = query::cookie(&head.headers, COOKIE);
        let Return { expected, owner } = self.authorizations().finish(&state, cookie)?;
        let code = asked("code").ok_or(Refused::NoCode)?.into();
        let (domain, member) = (asked("domain"), asked("member_id"));
        if !expected.can_be(domain.as_deref(), member.as_deref()) {
            return Err(Refused::OtherPortal);
        }
        let server = asked("server_domain");
        let portals = self.portals();
        let vouched = portals
            .exchange(server.as_deref(), &code, &expected)
            .await?;
        let portal = portals.install(vouched.pair, owner).await?;
        self.bind(portal);
        Ok(())
    }
}

fn refuse(desk: &Desk, language: Language, refused: &Refused) -> Response {
    desk.refusals().tell(What::Authorization, &Chain(refused));
    if let Refused::Install(InstallError::Store(cause)) = refused {
        error!(error = %Chain(cause), "tokens cannot be stored");
    }
    html::show(Page::from(refused), language, None)
}

impl From<&Refused> for Page {
    fn from(refused: &Refused) -> Self {
        match refused {
            Refused::Ended(Ended::Link) => Self::LinkOver,
            Refused::Ended(Ended::Used) => Self::StateUsed,
            Refused::Ended(Ended::Late) => Self::StateLate,
            Refused::Ended(Ended::Foreign) => Self::StateForeign,
            Refused::OtherPortal | Refused::Claim(ClaimError::OtherPortal) => Self::OtherPortal,
            Refused::NoCode | Refused::Claim(ClaimError::Refused(_)) => Self::CodeRefused,
            Refused::Claim(error) => Self::from(error),
            Refused::Install(error) => Self::from(error),
        }
    }
}
