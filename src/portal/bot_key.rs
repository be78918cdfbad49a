//! The token of one bot, as its calls need it while another may take its place (C17.2).
//!
//! A call looks the token up at the moment of sending and keeps a [`Lease`] until its answer came. Whoever
//! replaces the token closes the key, waits until no lease is out, and opens the key again once it is
//! known which token is in force. Calls that come meanwhile wait, so that none is under way with a token
//! that is being replaced.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{Notify, watch};

/// What a call shows to prove which bot it is for.
#[derive(Debug, Clone)]
pub enum BotSecret {
    /// This token, whatever happens to it meanwhile.
    Fixed(SecretString),
    /// The token that is in force when the call leaves.
    Key(BotKey),
}

/// The token of one bot that is in force. Cheap to clone.
#[derive(Debug, Clone)]
pub struct BotKey(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: watch::Sender<State>,
    /// Told when a refusal closed a key.
    doubts: Arc<Notify>,
}

#[derive(Debug)]
struct State {
    token: SecretString,
    /// How often it was replaced.
    version: u64,
    closed: bool,
    /// Another token may have taken its place without our knowing.
    doubtful: bool,
    leases: usize,
}

/// A token that a call goes out with.
#[derive(Debug)]
pub(super) struct Lease {
    token: SecretString,
    /// With the version of the token.
    key: Option<(BotKey, u64)>,
}

impl BotSecret {
    /// The token to go out with now; nothing while it is being replaced.
    pub(super) fn lease(&self) -> Option<Lease> {
        match self {
            Self::Fixed(token) => Some(Lease {
                token: token.clone(),
                key: None,
            }),
            Self::Key(key) => key.lease(),
        }
    }

    /// Completes when there may be a token to go out with.
    pub(super) async fn ready(&self) {
        if let Self::Key(key) = self {
            key.opened().await;
        }
    }

    /// Whether there is none now.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self, Self::Key(key) if key.is_closed())
    }
}

impl BotKey {
    /// An open key. `doubts` is told when a refusal closes it.
    #[must_use]
    pub fn new(token: SecretString, doubts: Arc<Notify>) -> Self {
        let state = watch::Sender::new(State {
            token,
            version: 0,
            closed: false,
            doubtful: false,
            leases: 0,
        });
        Self(Arc::new(Inner { state, doubts }))
    }

    /// The token in force, and whether another may have taken its place without our knowing: then a
    /// refusal closes the key until somebody found out.
    pub fn set(&self, token: SecretString, doubtful: bool) {
        self.0.state.send_modify(|state| {
            if state.token.expose_secret() != token.expose_secret() {
                state.token = token;
                state.version += 1;
            }
            state.doubtful = doubtful;
        });
    }

    /// Lets no call leave.
    pub fn close(&self) {
        self.0.state.send_modify(|state| state.closed = true);
    }

    /// Lets calls leave.
    pub fn open(&self) {
        self.0.state.send_modify(|state| state.closed = false);
    }

    /// Whether no call leaves.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.state.borrow().closed
    }

    /// Completes when calls may leave.
    pub async fn opened(&self) {
        self.reaches(|state| !state.closed).await;
    }

    /// Completes when no call may leave.
    pub async fn closed(&self) {
        self.reaches(|state| state.closed).await;
    }

    /// Completes when no call is under way.
    pub async fn idle(&self) {
        self.reaches(|state| state.leases == 0).await;
    }

    async fn reaches(&self, wanted: impl FnMut(&State) -> bool) {
        let mut state = self.0.state.subscribe();
        // The sender lives in ourselves.
        let _reached = state.wait_for(wanted).await;
    }

    fn lease(&self) -> Option<Lease> {
        let mut token = None;
        self.0.state.send_if_modified(|state| {
            if !state.closed {
                state.leases += 1;
                token = Some((state.token.clone(), state.version));
            }
            false
        });
        token.map(|(token, version)| Lease {
            token,
            key: Some((self.clone(), version)),
        })
    }
}

impl Lease {
    /// The token.
    pub(super) fn token(&self) -> &SecretString {
        &self.token
    }

    /// The portal refused it. Says whether another one may be in force, which somebody finds out then.
    pub(super) fn refused(&self) -> bool {
        let Some((key, version)) = &self.key else {
            return false;
        };
        let (replaced, doubtful) = {
            let state = key.0.state.borrow();
            (state.version != *version, state.doubtful)
        };
        if doubtful && !replaced {
            key.close();
            key.0.doubts.notify_one();
        }
        replaced || doubtful
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some((key, _)) = &self.key {
            key.0.state.send_if_modified(|state| {
                state.leases -= 1;
                state.closed && state.leases == 0
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(1);

    fn key() -> BotKey {
        BotKey::new("old".into(), Arc::default())
    }

    #[tokio::test(start_paused = true)]
    async fn closed_key_gives_nothing_and_waits_for_what_is_under_way() {
        let key = key();
        let lease = key.lease().unwrap();
        key.close();
        assert!(key.lease().is_none());
        assert!(timeout(MOMENT, key.idle()).await.is_err());
        assert!(timeout(MOMENT, key.opened()).await.is_err());
        drop(lease);
        key.idle().await;
        key.set("new".into(), false);
        key.open();
        key.opened().await;
        let lease = key.lease().unwrap();
        assert_eq!(lease.token().expose_secret(), "new");
    }

    #[tokio::test]
    async fn refusal_closes_the_key_only_where_another_token_may_be_in_force() {
        let key = key();
        let early = key.lease().unwrap();
        assert!(!early.refused());
        assert!(!key.is_closed());
        key.set("old".into(), true);
        let lease = key.lease().unwrap();
        assert!(lease.refused());
        assert!(key.is_closed());
        key.0.doubts.notified().await;
        key.set("new".into(), false);
        key.open();
        assert!(
            early.refused(),
            "it was refused for a token that is no more"
        );
        assert!(!key.is_closed());
    }
}
