//! What it takes to hold calls at all: a server that takes as many as the gateway and answers none.
//!
//! It checks nothing and keeps nothing but the messages. Of the gateway it has only these.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bitrix24_gateway::proto::v1 as pb;
use tonic::{Code, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    answering::{self, Answering, Later},
    common::Outcome,
};

/// The process: holds so many calls and refuses the others, until killed.
pub(crate) async fn run(calls: &str) -> Outcome<()> {
    let places = Arc::new(AtomicUsize::new(calls.parse()?));
    answering::serve(Holder { places }).await
}

#[derive(Clone)]
struct Holder {
    places: Arc<AtomicUsize>,
}

impl Answering for Holder {
    fn answer(
        &self,
        request: pb::AnswerCommandRequest,
    ) -> Later<Response<pb::AnswerCommandResponse>, Status> {
        let taken = self
            .places
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |places| {
                places.checked_sub(1)
            });
        if taken.is_err() {
            let details = ErrorDetails::with_error_info("QUEUE_FULL", "", []);
            let full = Status::with_error_details(Code::ResourceExhausted, "full", details);
            return Box::pin(async { Err(full) });
        }
        Box::pin(async move {
            pending::<()>().await;
            drop(request);
            Err(Status::internal("this is never said"))
        })
    }
}
