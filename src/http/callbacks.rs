//! What portals tell of our application (C8.2).
//!
//! Everybody gets the same answer at once, whoever they are and whatever they say: it tells a liar
//! nothing, and Bitrix24 wants none (C11). The work goes on behind it. Nobody says anything twice, so
//! where the authorization server does not answer it is asked again a few times.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    http::StatusCode,
};
use secrecy::SecretString;
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::{body, desk::Desk, refusals::What};
use crate::{
    bots,
    fault::Chain,
    portal::{
        Claim, ClaimError, InstallError, Owner, Portal, Remains, Vouched,
        wire::callback::{AppEvent, Auth, Callback},
    },
    store::{self, Pair},
};

/// Pauses before a silent authorization server is asked again.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(2),
    Duration::from_secs(8),
    Duration::from_secs(20),
];

/// Why a callback changes nothing.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("it cannot be read")]
    Unreadable,
    #[error("it does not come with what it should")]
    Incomplete,
    #[error("it does not prove itself by the token of its portal")]
    Unproven,
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error(transparent)]
    Install(#[from] InstallError),
    #[error("the store cannot be written")]
    Store(#[from] store::Error),
    #[error("the bots cannot be forgotten")]
    Bots(#[from] bots::Error),
}

pub(super) async fn receive(State(desk): State<Desk>, request: Request) -> StatusCode {
    let (head, body) = request.into_parts();
    let body = match body::read(body, body::CALLBACK).await {
        Ok(body) => body,
        Err(status) => {
            desk.refusals().tell(What::Callback, &status);
            return status;
        }
    };
    let Some(place) = desk.enter() else {
        desk.refusals().tell(What::Callback, &"too many at once");
        return StatusCode::SERVICE_UNAVAILABLE;
    };
    let working = desk.clone();
    desk.life().serve(async move {
        let fields = body::fields(&head.headers, &body);
        let callback = fields.and_then(|fields| Callback::from_value(&fields).ok());
        let done = match callback {
            Some(callback) => working.heed(callback).await,
            None => Err(Refused::Unreadable),
        };
        if let Err(refused) = done {
            working.refusals().tell(What::Callback, &Chain(&refused));
        }
        drop(place);
    });
    StatusCode::OK
}

impl Desk {
    async fn heed(&self, callback: Callback) -> Result<(), Refused> {
        let auth = callback.auth;
        match callback.app {
            Some(AppEvent::Install { .. }) => self.install(auth).await,
            Some(AppEvent::Update { .. }) => self.update(auth).await,
            Some(AppEvent::Uninstall { clean, .. }) => self.uninstall(&auth, clean).await,
            Some(AppEvent::Payment { .. }) => {
                let member = auth.member_id.ok_or(Refused::Incomplete)?;
                self.portals().look_at_payment(&member).await;
                Ok(())
            }
            Some(AppEvent::MethodConfirm {
                method, confirmed, ..
            }) => self.confirmed(&auth, method.as_deref(), confirmed),
            // Nothing we ever asked for.
            Some(AppEvent::Test) | None => Ok(()),
        }
    }

    async fn install(&self, auth: Auth) -> Result<(), Refused> {
        let claim = claim(auth).ok_or(Refused::Incomplete)?;
        let vouched = self.vouch(&claim).await?;
        let portal = self.keep(vouched.pair).await?;
        self.bind(portal);
        Ok(())
    }

    /// A store that cannot be written is tried again as well.
    async fn keep(&self, pair: Pair) -> Result<Portal, InstallError> {
        for pause in PAUSES {
            match self.portals().install(pair.clone(), Owner::Same).await {
                Err(InstallError::Store(error)) => {
                    error!(error = %Chain(&error), "tokens of an installation cannot be stored: that is tried again");
                }
                other => return other,
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = self.life().stop().cancelled() => break,
            }
        }
        self.portals().install(pair, Owner::Same).await
    }

    /// An update tells a new `application_token` perhaps; with the old one there is nothing to learn.
    async fn update(&self, auth: Auth) -> Result<(), Refused> {
        if let Ok((member, token)) = proof(&auth)
            && let Some(portal) = self.portals().proven(member, token)
        {
            info!(portal.id = %portal.id(), "application is updated");
            self.bind(portal);
            return Ok(());
        }
        self.install(auth).await
    }

    async fn uninstall(&self, auth: &Auth, clean: bool) -> Result<(), Refused> {
        let (member, token) = proof(auth)?;
        let remains = if clean {
            Remains::Erased
        } else {
            Remains::Kept
        };
        let removed = self.portals().uninstall_proven(member, token, remains);
        let id = removed.await?.ok_or(Refused::Unproven)?;
        if clean {
            self.bots().forget_portal(&id).await?;
            info!(portal.id = %id, "bots and events of the portal are erased");
        }
        Ok(())
    }

    fn confirmed(&self, auth: &Auth, method: Option<&str>, confirmed: bool) -> Result<(), Refused> {
        let (member, token) = proof(auth)?;
        let portal = self.portals().proven(member, token);
        let portal = portal.ok_or(Refused::Unproven)?;
        let name = |method: &&str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_');
            method.len() <= 100 && method.bytes().all(plain)
        };
        let method = method.filter(name).unwrap_or_default();
        if confirmed {
            info!(portal.id = %portal.id(), method, "an administrator allowed a method");
        } else {
            warn!(portal.id = %portal.id(), method, "an administrator refused a method");
        }
        Ok(())
    }

    async fn vouch(&self, claim: &Claim) -> Result<Vouched, ClaimError> {
        for pause in PAUSES {
            match self.portals().vouch(claim).await {
                Err(ClaimError::Unanswered) => {}
                other => return other,
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = self.life().stop().cancelled() => break,
            }
        }
        self.portals().vouch(claim).await
    }
}

/// What may prove a callback.
fn proof(auth: &Auth) -> Result<(&str, &SecretString), Refused> {
    let member = auth.member_id.as_deref();
    let proof = member.zip(auth.application_token.as_ref());
    proof.ok_or(Refused::Incomplete)
}

fn claim(auth: Auth) -> Option<Claim> {
    Some(Claim {
        member_id: auth.member_id?,
        domain: Some(auth.domain?),
        server_endpoint: auth.server_endpoint,
        access_token: auth.access_token?,
        refresh_token: auth.refresh_token?,
        expires_in: auth.expires_in,
        scope: auth.scope,
        status: auth.status,
        application_token: auth.application_token,
    })
}
