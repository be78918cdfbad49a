//! Calls that are made to learn how a portal takes them.
//!
//! They pass what every call passes, but for what would hide the portal's own behaviour: a call that may have
//! run is not made again, and calls that are to travel together do so whatever is known of that.

use std::sync::Arc;

use super::{
    Call, Error, Inner, Patience, Portal, retry,
    wire::{Method, Reply},
};

impl Portal {
    /// Calls a method when its turn comes, and not again once it may have run.
    ///
    /// # Errors
    ///
    /// As [`Portal::call`].
    pub async fn call_once(&self, call: Call, patience: &Patience) -> Result<Reply, Error> {
        let Inner {
            id,
            queue,
            admission,
            sender,
            ..
        } = &*self.0;
        let call = Arc::new(call.shrunk());
        let admitted = admission.admit(id, &call, patience);
        let _inside = admitted.inspect_err(|error| sender.metrics.refused(error))?;
        let _turn = admission.turn(id, &call, patience).await?;
        let reply = retry::once(queue, &call, patience).await?;
        retry::note_key(&sender.assumptions, &call, &reply);
        Ok(reply)
    }

    /// Makes reads in one request. Each comes to its own end, with an error as [`Portal::call`] has;
    /// [`Cause::NotInBatch`](super::Cause::NotInBatch) where the portal does not take it so.
    pub async fn call_as_one(
        &self,
        calls: Vec<Call>,
        patience: &Patience,
    ) -> Vec<Result<Reply, Error>> {
        let calls: Vec<_> = calls.into_iter().map(Arc::new).collect();
        retry::as_one(&self.0.queue, &calls, patience).await
    }

    /// Notes whether calls of a method travel together without touching each other, for what is left to what
    /// the portal shows.
    pub fn note_together(&self, method: Method, holds: bool) {
        self.0.sender.assumptions.batch_was_taken(method, holds);
    }
}
