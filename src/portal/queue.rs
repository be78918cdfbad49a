//! Who leaves next when a portal's rate does not suffice for all.
//!
//! A call that finds nobody waiting and a permit at hand leaves at once, on the caller's own task. Else
//! it waits in its [`Lane`]: answers before other calls before fetching, but whoever waited long enough
//! comes first; within a lane callers take turns, and within a caller its bots. A dispatcher sends what
//! waits, several in one request when permits are scarce. Fetches that enter together always leave
//! together, since nobody waits for a single one of them, and so do calls that are to be one request.
//!
//! Rule: what cannot leave before its deadline is refused early.

mod dispatch;
mod entry;
mod lanes;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep_until},
};

pub(super) use self::lanes::TOGETHER;
pub use self::lanes::Waiting;
use self::{
    dispatch::dispatch,
    entry::{Beside, Company, Entry},
    lanes::Lanes,
};
use super::{
    BotSecret, Error, Patience,
    call::{Call, Lane},
    error::Cause,
    home::Home,
    metrics::Metrics,
    sender::Sender,
    state::{Gate, PROBE},
    traces,
    wire::{Method, Reply, batch::MOST_CALLS},
};
use crate::{lifecycle::Lifecycle, telemetry::trace::Parent};

/// Requests on their way at once. A portal that is paced hardly ever has a tenth of it; without pacing
/// it bounds our connections, and calls beyond it pay for the line.
const UNDER_WAY: usize = 256;

/// The line in front of one portal. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Queue(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sender: Arc<Sender>,
    state: Mutex<State>,
    /// Shared with the dispatcher, which must not keep the queue alive.
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    lanes: Lanes,
    under_way: usize,
    waiting: usize,
}

/// Ends the dispatcher with the last handle.
impl Drop for Inner {
    fn drop(&mut self) {
        self.changed.notify_one();
    }
}

impl Queue {
    /// A queue with its dispatcher, on the current runtime.
    pub(super) fn start(sender: Arc<Sender>, life: &Lifecycle) -> Self {
        let changed = Arc::new(Notify::new());
        let inner = Arc::new(Inner {
            sender,
            state: Mutex::default(),
            changed: Arc::clone(&changed),
        });
        life.attend("queue", dispatch(Arc::downgrade(&inner), changed));
        Self(inner)
    }

    /// Sends a call when its turn comes.
    ///
    /// # Errors
    ///
    /// See [`Cause`]; the error says whether the call may have run.
    pub(super) async fn send(&self, call: Arc<Call>, patience: &Patience) -> Result<Reply, Error> {
        self.0.sender.gate.pass(call.method)?;
        if self.0.may_leave_at_once(call.method) {
            let _under_way = UnderWay(&self.0);
            self.0.sender.metrics.left(1);
            // Apart, since thousands may wait and few are on their way.
            return Box::pin(self.0.sender.send_alone(&call, patience)).await;
        }
        let method = call.method;
        let company = Company::of(&call);
        let answer = self.0.enter(&mut self.0.state(), call, company, patience)?;
        self.0.changed.notify_one();
        self.0.answer(method, answer, patience).await
    }

    /// Puts calls in line together, so that they leave together if their lane lets them. Each is answered
    /// by itself.
    pub(super) fn send_together(
        &self,
        calls: Vec<Call>,
        patience: &Patience,
    ) -> Vec<impl Future<Output = Result<Reply, Error>> + use<>> {
        let with_company = |call: Call| (Company::of(&call), Arc::new(call));
        let calls: Vec<_> = calls.into_iter().map(with_company).collect();
        let mut state = self.0.state();
        let enter = |(company, call): (Company, Arc<Call>)| {
            let method = call.method;
            let passed = self.0.sender.gate.pass(method);
            let entered = passed.and_then(|()| self.0.enter(&mut state, call, company, patience));
            let (inner, patience) = (Arc::clone(&self.0), patience.clone());
            async move { inner.answer(method, entered?, &patience).await }
        };
        let answers = calls.into_iter().map(enter).collect();
        drop(state);
        self.0.changed.notify_one();
        answers
    }

    /// Sends calls that fit into a batch in one request when their turn comes, with nobody else and
    /// whatever is known of calls that travel together. Each is answered by itself, in their order.
    pub(super) async fn send_as_one(
        &self,
        calls: &[Arc<Call>],
        patience: &Patience,
    ) -> Vec<Result<Reply, Error>> {
        let Some((first, others)) = calls.split_first() else {
            return Vec::new();
        };
        let line_up = |call: &Arc<Call>| {
            let (reply, answer) = oneshot::channel();
            let call = Arc::clone(call);
            (Beside { call, reply }, answer)
        };
        let (beside, answers): (Vec<_>, Vec<_>) = others.iter().map(line_up).unzip();
        let company = Company::These(beside.into());
        let passed = self.0.sender.gate.pass(first.method);
        let entered = passed.and_then(|()| {
            let mut state = self.0.state();
            self.0
                .enter(&mut state, Arc::clone(first), company, patience)
        });
        let answer = match entered {
            Ok(answer) => answer,
            Err(error) => {
                let each = calls.iter().map(|call| Err(error.of(call.method)));
                return each.collect();
            }
        };
        self.0.changed.notify_one();
        let mut outcomes = Vec::with_capacity(calls.len());
        for (call, answer) in calls.iter().zip([answer].into_iter().chain(answers)) {
            outcomes.push(self.0.answer(call.method, answer, patience).await);
        }
        outcomes
    }

    /// Waits until there are tokens to go out with, where the portal wants any. A portal that is not
    /// called for another reason needs none.
    ///
    /// # Errors
    ///
    /// When there are none before patience ends, or there will be none. Nothing was sent.
    pub(super) async fn ready(&self, call: &Call, patience: &Patience) -> Result<(), Error> {
        let method = call.method;
        if let Some(token) = call.bot_token.as_ref().filter(|token| token.is_closed()) {
            self.gate().pass(method)?;
            Box::pin(self.bot_ready(token, method, patience)).await?;
        }
        match self.0.sender.credential.keyring() {
            Some(keyring) if !keyring.is_good() => {
                if !keyring.is_failing() {
                    self.gate().pass(method)?;
                }
                // Apart: hardly anybody waits for tokens, and thousands may wait for their turn.
                Box::pin(keyring.ready(method, patience)).await
            }
            _ => Ok(()),
        }
    }

    /// What is measured on the way.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.0.sender.metrics
    }

    /// Waits until a bot's token is there to go out with.
    async fn bot_ready(
        &self,
        token: &BotSecret,
        method: Method,
        patience: &Patience,
    ) -> Result<(), Error> {
        let deadline = async {
            match patience.deadline() {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = token.ready() => Ok(()),
            () = patience.left() => Err(Cause::CallerLeft),
            () = deadline => Err(Cause::CallerLeft),
        }
        .map_err(|cause| Error::new(method, cause).at(&self.0.sender.portal))
    }

    /// Whether the portal is called at all.
    pub(super) fn gate(&self) -> &Gate {
        &self.0.sender.gate
    }

    /// Where the portal is.
    pub(super) fn home(&self) -> &Home {
        &self.0.sender.home
    }

    /// Calls waiting in each lane.
    pub(super) fn waiting(&self) -> Waiting {
        self.0.state().lanes.waiting()
    }

    /// Whether a call that failed for this cause surely goes another way now.
    pub(super) fn knows_another_way(&self, error: &Error) -> bool {
        match error.cause() {
            Cause::Moved { .. } => true,
            Cause::NotInBatch => !self.0.sender.assumptions.batched(error.called()),
            _ => false,
        }
    }

    /// What waits looks whether it still may go.
    pub(super) fn gate_changed(&self) {
        self.0.changed.notify_one();
    }
}

/// A request that is on its way, until dropped.
struct UnderWay<'a>(&'a Inner);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.0.state();
            state.under_way -= 1;
            state.waiting
        };
        if waiting > 0 {
            self.0.changed.notify_one();
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place on the way if nobody waits and everything is at hand.
    fn may_leave_at_once(&self, method: Method) -> bool {
        let now = Instant::now();
        let mut state = self.state();
        let limit = &self.sender.limit;
        if state.waiting > 0
            || state.under_way >= UNDER_WAY
            || limit.method_ready(method, 0, now).is_err()
            || limit.permit(now).is_err()
        {
            return false;
        }
        state.under_way += 1;
        true
    }

    /// Why a call cannot leave at once, as spans tell it.
    fn held_up_by(&self, state: &State, method: Method, now: Instant) -> &'static str {
        match self.sender.limit.method_ready(method, 0, now) {
            _ if state.waiting > 0 => "turn",
            _ if state.under_way >= UNDER_WAY => "connections",
            Ok(()) => "rate",
            Err(_) => "operating_time",
        }
    }

    /// Puts a call in line, unless that is of no use.
    fn enter(
        &self,
        state: &mut State,
        call: Arc<Call>,
        company: Company,
        patience: &Patience,
    ) -> Result<oneshot::Receiver<Result<Reply, Error>>, Error> {
        let method = call.method;
        let now = Instant::now();
        let (reply, answer) = oneshot::channel();
        if let Some(deadline) = patience.deadline() {
            let leaves = self.earliest(state, method, now);
            if leaves >= deadline {
                let refused = Error::new(method, Cause::WaitTooLong).at(&self.sender.portal);
                self.sender.metrics.refused(&refused);
                return Err(refused.wait(leaves - now));
            }
        }
        let place = Parent::current();
        let waits = traces::waits(&place, &call, || self.held_up_by(state, method, now));
        state.waiting += 1;
        let (lane, bot) = (call.lane(), call.bot());
        let entry = Entry {
            call,
            place,
            waits,
            company,
            patience: patience.clone(),
            since: now,
            reply,
        };
        state
            .lanes
            .push(lane, Arc::clone(patience.caller()), bot, entry);
        Ok(answer)
    }

    /// What becomes of a call in line.
    async fn answer(
        &self,
        method: Method,
        answer: oneshot::Receiver<Result<Reply, Error>>,
        patience: &Patience,
    ) -> Result<Reply, Error> {
        let left = || Err(Error::new(method, Cause::CallerLeft).at(&self.sender.portal));
        tokio::select! {
            biased;
            // The dispatcher answers every call it takes, unless the process ends.
            answer = answer => answer.unwrap_or_else(|_| left()),
            () = patience.left() => left(),
        }
    }

    /// When a call that enters now leaves at the earliest, if everything before it travels together.
    fn earliest(&self, state: &State, method: Method, now: Instant) -> Instant {
        let limit = &self.sender.limit;
        let requests = u32::try_from(state.waiting / MOST_CALLS).unwrap_or(u32::MAX);
        let by_rate = limit.ready_after(requests, now);
        match limit.method_ready(method, 0, now) {
            Ok(()) => by_rate,
            Err(ready) => by_rate.max(ready),
        }
    }

    /// What to send now, or when to look again.
    fn next(&self) -> Result<Vec<Entry>, Option<Instant>> {
        let now = Instant::now();
        let limit = &self.sender.limit;
        let mut state = self.state();
        state.forget_the_departed();
        if self.sender.gate.is_closed() {
            self.turn_away(&mut state);
        }
        if state.waiting == 0 || state.under_way >= UNDER_WAY {
            return Err(None);
        }
        limit.permit(now).map_err(Some)?;
        let permits = limit.spare(now).saturating_add(1);
        let scarce = size(state.waiting - state.lanes.waiting().polls, permits);
        let size = |lane| match lane {
            Lane::Polls if self.sender.assumptions.batched(Method::EventGet) => MOST_CALLS,
            Lane::Answers | Lane::Calls if self.sender.assumptions.batched(Method::Batch) => scarce,
            _ => 1,
        };
        let mut look_again = None;
        let mut ready = |method, aboard| match limit.method_ready(method, aboard, now) {
            Ok(()) => true,
            Err(at) => {
                look_again = Some(look_again.map_or(at, |known: Instant| known.min(at)));
                false
            }
        };
        let group = state
            .lanes
            .take(size, now, &mut ready, |method| limit.usual(method));
        if group.is_empty() {
            limit.return_permit();
            return Err(look_again);
        }
        state.waiting -= group.len();
        state.under_way += 1;
        Ok(group)
    }
}

impl Inner {
    /// Answers what waits while the portal is not called.
    fn turn_away(&self, state: &mut State) {
        for entry in state.lanes.remove(|entry| entry.call.method != PROBE) {
            state.waiting -= 1;
            if let Err(held_back) = self.sender.gate.pass(entry.call.method) {
                entry.end(&held_back);
            }
        }
    }
}

impl State {
    /// Calls whose callers left before anything was sent.
    fn forget_the_departed(&mut self) {
        let departed = self.lanes.remove(|entry| entry.patience.has_left());
        self.waiting -= departed.len();
    }
}

/// How many calls go into one request: one while permits are plentiful, and the more the scarcer they
/// are, so that what waits fits into half of them.
fn size(waiting: usize, permits: u32) -> usize {
    let permits = usize::try_from(permits / 2).unwrap_or(usize::MAX).max(1);
    waiting.div_ceil(permits).clamp(1, MOST_CALLS)
}
