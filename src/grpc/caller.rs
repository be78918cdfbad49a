//! Who calls, and the one place that asks whether they may.
//!
//! The door finds out who somebody is, before anything of the message is read. Whether they may do
//! what they ask for is known only once portal and bot are, so it is asked where a request's names
//! become names of things: nothing in `convert` comes to a portal but through an [`Arrival`].
//!
//! Who may not is told the same whether the thing exists or not.

use std::sync::Arc;

use tonic::{Request, metadata::MetadataMap};

use super::{
    Parts, audit,
    convert::portal::Named,
    status::{Failure, Refusal},
};
use crate::{
    bots::{self, Bots},
    callers::{Callers, Credential, Grant, Policy, Rpc},
    events::subscriptions::Eyes,
    ids::{BotCode, PortalId},
    store,
};

/// An authenticated caller.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    grant: Arc<Grant>,
    credential: Credential,
    /// Whose turn it takes: callers share a portal's rate evenly.
    turn: Arc<str>,
    /// From where it says to call, if it is believed.
    pod: Option<Arc<str>>,
}

impl Caller {
    pub(super) fn new(grant: Arc<Grant>, credential: Credential, turn: Arc<str>) -> Self {
        Self {
            grant,
            credential,
            turn,
            pod: None,
        }
    }

    /// The caller in a pod, if it is one that may name pods.
    pub(super) fn in_pod(mut self, pod: Option<&str>) -> Self {
        self.pod = pod
            .filter(|pod| self.grant.names_pods() && audit::is_pod(pod))
            .map(Arc::from);
        self
    }

    /// Somebody the door did not let in.
    fn nobody() -> Self {
        let grant = Arc::new(Grant::nothing());
        Self::new(grant, Credential::None, Arc::from("nobody"))
    }

    /// The name that owns what this caller makes; empty while there is no authentication.
    pub(super) fn name(&self) -> &str {
        self.grant.name()
    }

    /// What it may do.
    pub(super) fn grant(&self) -> Arc<Grant> {
        Arc::clone(&self.grant)
    }

    /// Whose turn it takes.
    pub(super) fn turn(&self) -> &Arc<str> {
        &self.turn
    }

    /// Whether it may use a portal.
    pub(super) fn may_use(&self, portal: &PortalId) -> bool {
        self.grant.portal(portal)
    }

    /// Whether it may see a bot of a portal that it may use.
    pub(super) fn may_see(&self, bot: &store::Bot) -> bool {
        self.grant.bot(&bot.code) && self.grant.owns(&bot.owner)
    }
}

/// A call as it arrived.
#[derive(Debug)]
pub(super) struct Arrival<'a> {
    pub(super) parts: &'a Parts,
    pub(super) metadata: MetadataMap,
    pub(super) caller: Caller,
    pub(super) rpc: Rpc,
    /// Names the call in our log.
    pub(super) call_id: Arc<str>,
    /// What it is about, as far as that is known.
    pub(super) place: audit::Place,
}

impl<'a> Arrival<'a> {
    /// Takes a request apart.
    pub(super) fn of<T>(parts: &'a Parts, rpc: Rpc, request: Request<T>) -> (Self, T) {
        let (metadata, mut extensions, message) = request.into_parts();
        let caller = extensions.remove::<Caller>().unwrap_or_else(Caller::nobody);
        let place = audit::Place {
            pod: caller.pod.clone(),
            ..audit::Place::default()
        };
        let arrival = Self {
            parts,
            metadata,
            caller,
            rpc,
            call_id: audit::call_id(),
            place,
        };
        (arrival, message)
    }

    /// The portal that an empty name means to this caller.
    pub(super) fn default_portal(&self) -> Option<PortalId> {
        if let Some(own) = self.caller.grant.default_portal() {
            return Some(own.clone());
        }
        let general = self.parts.portals.default_portal()?;
        let general = general.id();
        self.caller.may_use(general).then(|| general.clone())
    }

    /// The portal of a call that is about no bot.
    pub(super) fn portal(&mut self, named: Named) -> Result<PortalId, Refusal> {
        self.any_portal()?;
        let portal = match named {
            Named::Portal(portal) => portal,
            Named::Default => self.default_portal().ok_or(Refusal::NoDefaultPortal)?,
        };
        self.place.portal = Some(portal.clone());
        if !self.caller.may_use(&portal) {
            return Err(self.denied());
        }
        if self.parts.portals.get(&portal).is_none() {
            return Err(Refusal::UnknownPortal(portal.to_string()));
        }
        Ok(portal)
    }

    /// The portal of a call that is about this bot.
    pub(super) fn bot(&mut self, named: Named, code: &BotCode) -> Result<PortalId, Refusal> {
        let portal = self.new_bot(named, code)?;
        if !owns(&self.parts.bots, &self.caller.grant, &portal, code) {
            return Err(self.denied());
        }
        Ok(portal)
    }

    /// The portal of a call that makes this bot. Whom an existing one belongs to is asked when it is
    /// looked for.
    pub(super) fn new_bot(&mut self, named: Named, code: &BotCode) -> Result<PortalId, Refusal> {
        self.place.bot = Some(code.clone());
        let portal = self.portal(named);
        if matches!(portal, Err(Refusal::Denied)) {
            // Told already.
            return portal;
        }
        // Asked in any case, so that one answer does not tell of the other.
        self.bot_name(code)?;
        portal
    }

    /// A call that is about every portal the caller may see.
    pub(super) fn any_portal(&self) -> Result<(), Refusal> {
        if self.caller.grant.allows(self.rpc) {
            Ok(())
        } else {
            Err(self.denied())
        }
    }

    /// A code among others in a filter.
    pub(super) fn bot_name(&self, code: &BotCode) -> Result<(), Refusal> {
        if self.caller.grant.bot(code) {
            Ok(())
        } else {
            Err(self.denied())
        }
    }

    /// An event by its number. One that the caller may not see is not there for it.
    pub(super) async fn event(
        &mut self,
        seq: u64,
        named: Option<&PortalId>,
    ) -> Result<(), Failure> {
        self.any_portal()?;
        self.place.event = Some(seq);
        if self.caller.grant.is_open() {
            return Ok(());
        }
        let found = self.parts.bots.bot_of_event(seq).await?;
        let Some((portal, code)) = found else {
            return Err(bots::Error::UnknownEvent.into());
        };
        let fits = named.is_none_or(|named| *named == portal);
        let seen = fits && sees(&self.parts.bots, &self.caller.grant, &portal, &code);
        self.place.portal = Some(portal);
        self.place.bot = Some(code);
        if !seen {
            let _told_otherwise = self.denied();
            return Err(bots::Error::UnknownEvent.into());
        }
        Ok(())
    }

    fn denied(&self) -> Refusal {
        self.parts.audit.denied(
            self.caller.name(),
            self.rpc.name(),
            &self.place,
            &self.call_id,
            Refusal::Denied.reason_name(),
        );
        Refusal::Denied
    }
}

/// Whether a bot belongs to somebody. One that is not there belongs to nobody.
fn owns(bots: &Bots, grant: &Grant, portal: &PortalId, code: &BotCode) -> bool {
    grant.is_open() || bots.with_owner(portal, code, |owner| grant.owns(owner))
}

fn sees(bots: &Bots, grant: &Grant, portal: &PortalId, code: &BotCode) -> bool {
    grant.is_open() || (grant.portal(portal) && grant.bot(code) && owns(bots, grant, portal, code))
}

/// What a stream may show. The policy may change while it goes on.
#[derive(Debug)]
pub(super) struct Sight {
    callers: Callers,
    /// The one that was last asked; not the one by which the call was let in, which may be older.
    policy: Option<Arc<Policy>>,
    caller: Caller,
    bots: Bots,
    rpc: Rpc,
}

impl Sight {
    pub(super) fn of(arrival: &Arrival<'_>) -> Self {
        Self {
            callers: arrival.parts.callers.clone(),
            policy: None,
            caller: arrival.caller.clone(),
            bots: arrival.parts.bots.clone(),
            rpc: arrival.rpc,
        }
    }

    /// Looks whether the caller may still read, by the policy of now. Says whether what it may do is
    /// something else than before.
    pub(super) fn renew(&mut self) -> Result<bool, Refusal> {
        let policy = self.callers.policy();
        let asked = self.policy.as_ref();
        if asked.is_some_and(|asked| Arc::ptr_eq(asked, &policy)) {
            return Ok(false);
        }
        let grant = policy.find(&self.caller.credential);
        let grant = grant.map(Arc::clone).ok_or(Refusal::WrongCredential)?;
        let differs = grant != self.caller.grant;
        self.caller.grant = grant;
        self.policy = Some(policy);
        if self.caller.grant.allows(self.rpc) {
            Ok(differs)
        } else {
            Err(Refusal::Denied)
        }
    }

    /// Whether it may see what happened to a bot.
    pub(super) fn sees(&self, portal: &PortalId, code: &BotCode) -> bool {
        sees(&self.bots, &self.caller.grant, portal, code)
    }

    /// The same, for who hands out events.
    pub(super) fn eyes(&self) -> Eyes {
        let (bots, grant) = (self.bots.clone(), self.caller.grant());
        Arc::new(move |portal, code| sees(&bots, &grant, portal, code))
    }

    /// Whether it may see how a portal is doing.
    pub(super) fn sees_portal(&self, portal: &PortalId) -> bool {
        self.caller.may_use(portal)
    }
}
