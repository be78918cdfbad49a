//! Callers that are added and revoked.

use super::{CallerLine, Done, Error, From, Keeper, keeper::refused};
use crate::{
    callers::{Description, TokenHash, Written},
    ids::PortalId,
    store::KeptCaller,
};

/// A caller of the store as the policy takes it.
///
/// # Errors
///
/// When what was written of it breaks a rule of this release.
pub fn describe(caller: &KeptCaller) -> Result<Description, Error> {
    let wrong = |wrong| refused(format!("caller `{}`: {wrong}", caller.name));
    let (terms, shares) = caller.written.read().map_err(wrong)?;
    Ok(Description {
        tokens: caller.token.into_iter().collect(),
        terms,
        shares,
        ..Description::default()
    })
}

impl Keeper {
    pub(super) async fn list_callers(&self) -> Result<Done, Error> {
        let grants = self.store.grants().await?;
        let granted = |name: &str| {
            let granted = grants.iter().filter(|(_, caller)| caller == name);
            granted.map(|(portal, _)| portal.to_string()).collect()
        };
        let configured = self.configured_callers();
        let kept = self.store.callers().await?.into_iter();
        let mut callers: Vec<_> = kept
            .filter(|caller| !configured.contains(&caller.name))
            .map(|caller| CallerLine {
                from: match caller.token {
                    Some(_) => From::Added,
                    None => From::Revoked,
                },
                added_at: Some(caller.added_at),
                may: Some(caller.written),
                granted: granted(&caller.name),
                name: caller.name,
            })
            .collect();
        callers.extend(configured.into_iter().map(|name| CallerLine {
            from: From::Configured,
            added_at: None,
            may: None,
            granted: granted(&name),
            name,
        }));
        callers.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(Done::Callers { callers })
    }

    pub(super) async fn add_caller(
        &self,
        name: String,
        token_sha256: &str,
        may: Written,
    ) -> Result<Done, Error> {
        name.parse::<PortalId>()
            .map_err(|rule| refused(format!("a caller cannot be named \"{name}\": {rule}")))?;
        let token: TokenHash = token_sha256
            .parse()
            .map_err(|rule| refused(format!("`token_sha256` {rule}")))?;
        if self.configured_callers().contains(&name) {
            let why = format!("the caller `{name}` is configured, as `callers.{name}`");
            return Err(refused(why));
        }
        let before = self.kept_caller(&name).await?;
        if before.is_some_and(|caller| caller.token.is_some()) {
            return Err(refused(format!(
                "the caller `{name}` exists; `callers revoke` ends it"
            )));
        }
        let caller = KeptCaller {
            token: Some(token),
            written: may,
            added_at: self.clock.now(),
            revoked_at: None,
            name,
        };
        let described = describe(&caller)?;
        let add = |roster: &mut crate::callers::Roster| {
            roster.kept.insert(caller.name.clone(), described.clone());
        };
        self.would_be_clear(add)?;
        self.store.save_caller(&caller).await?;
        self.in_force(add)?;
        Ok(Done::CallerAdded {})
    }

    pub(super) async fn revoke_caller(&self, name: &str) -> Result<Done, Error> {
        let Some(caller) = self.kept_caller(name).await? else {
            let why = match self.configured_callers().contains(name) {
                true => format!(
                    "the caller `{name}` is configured: take `callers.{name}` out of the configuration"
                ),
                false => format!("there is no caller `{name}`; `callers list` names them"),
            };
            return Err(refused(why));
        };
        if caller.token.is_none() {
            return Err(refused(format!("the caller `{name}` was revoked before")));
        }
        // It stays as a name that proves nobody: with it the gateway stays closed to whoever shows nothing.
        let revoked = KeptCaller {
            token: None,
            revoked_at: Some(self.clock.now()),
            ..caller
        };
        self.store.save_caller(&revoked).await?;
        self.in_force(|roster| {
            if let Some(kept) = roster.kept.get_mut(name) {
                kept.tokens.clear();
            }
        })?;
        Ok(Done::CallerRevoked {})
    }

    pub(super) async fn kept_caller(&self, name: &str) -> Result<Option<KeptCaller>, Error> {
        let callers = self.store.callers().await?.into_iter();
        Ok(callers.into_iter().find(|caller| caller.name == name))
    }
}
