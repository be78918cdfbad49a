//! Who calls.
//!
//! Nobody is authenticated yet, so everybody is the same caller: bots belong to all of them. An
//! address would be worse than nothing here, because a service has another one after each restart.

/// The authenticated identity of a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller(String);

impl Caller {
    /// The caller of any call while there is no authentication.
    pub(super) fn anybody() -> Self {
        Self(String::new())
    }

    /// The name that owns what this caller makes.
    pub(super) fn into_owner(self) -> String {
        self.0
    }
}
