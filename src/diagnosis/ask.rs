//! Asks a portal how far one gets, with at most three calls that leave nothing behind.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::{
    fault::Reason,
    portal::{
        Call, Direct, Error, Health, Patience, Portal,
        wire::{Method, answer},
    },
};

/// How long all calls together may take, waiting for their turn included.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whose turn they are.
const DOCTOR: &str = "doctor";

/// What came of it.
#[derive(Debug)]
pub struct Asked {
    /// Where, without the credential.
    pub address: String,
    /// Whether the portal lets us in.
    pub profile: Result<(), Error>,
    /// What we may use; `None` where that was not asked.
    pub scopes: Option<Result<Vec<String>, Error>>,
    /// The revision of its REST interface.
    pub revision: Option<Result<i64, Error>>,
    /// Its clock less ours, if it told.
    pub skew: Option<SignedDuration>,
    /// Requests that could leave at once, and how many at most; `None` where nobody counts.
    pub permits: Option<(u32, u32)>,
    /// Why it is not called just now, and until when.
    pub throttled: Option<(Reason, Timestamp)>,
}

/// Asks with the credential, the queue and the limits of a gateway that runs.
pub async fn ask(portal: &Portal) -> Asked {
    let patience = || Patience::until(Arc::from(DOCTOR), Instant::now() + PATIENCE);
    let profile = portal.call(Call::new(Method::Profile), &patience()).await;
    let profile = profile.map(drop);
    let (mut scopes, mut revision) = (None, None);
    if profile.is_ok() {
        scopes = Some(portal.scopes(&patience()).await);
        revision = Some(portal.revision(&patience()).await);
    }
    let state = portal.state();
    let throttled = (state.health == Health::Throttled).then_some(());
    let budget = portal.budget();
    Asked {
        address: portal.addresses().0,
        profile,
        scopes,
        revision,
        skew: portal.told_time().map(|_| portal.clock_skew()),
        permits: budget.permits.map(|left| (left, budget.rate.burst)),
        throttled: throttled.and(state.reason.zip(state.until)),
    }
}

impl Asked {
    /// Asks where no gateway runs.
    pub async fn directly(portal: &Direct) -> Self {
        let mut asked = Self {
            address: portal.address(),
            profile: Ok(()),
            scopes: None,
            revision: None,
            skew: None,
            permits: None,
            throttled: None,
        };
        match portal.ask(Method::Profile).await {
            Err(error) => asked.profile = Err(error),
            Ok((_, skew)) => {
                asked.skew = skew;
                let scopes = portal.ask(Method::Scope).await;
                asked.scopes = Some(scopes.map(|(reply, _)| answer::scopes(&reply.result)));
                let revision = portal.ask(Method::RevisionGet).await;
                asked.revision = Some(revision.and_then(|(reply, _)| {
                    let told = answer::revision(&reply.result);
                    told.map(|told| told.rest)
                        .map_err(|what| Error::unreadable(Method::RevisionGet, what))
                }));
            }
        }
        asked
    }
}
