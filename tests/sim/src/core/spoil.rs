//! What a fault makes of an answer.

use super::{Outcome, Reply};
use crate::failure::Failure;
use crate::fault::{Fault, FaultKind, When};

/// The answer after its fault. `refusal` writes an error as the place of the fault writes errors.
pub(crate) fn spoil(
    reply: Option<Reply>,
    fault: Option<Fault>,
    refusal: impl Fn(&Failure) -> Reply,
) -> Outcome {
    let Some(fault) = fault else {
        return Outcome { reply, wire: None };
    };
    match fault.kind {
        FaultKind::Error {
            status,
            code,
            description,
        } => Outcome::of(refusal(&Failure::injected(status, code, description))),
        FaultKind::Raw {
            status,
            headers,
            body,
        } => Outcome::of(Reply {
            status,
            headers,
            body: body.into(),
        }),
        kind @ (FaultKind::Hang | FaultKind::Reset) => Outcome {
            reply: None,
            wire: Some(kind),
        },
        kind @ FaultKind::Latency(_) => {
            let wire = (fault.when == When::After).then_some(kind);
            Outcome { reply, wire }
        }
        kind @ (FaultKind::CutBody | FaultKind::Drip { .. } | FaultKind::Enormous { .. }) => {
            // Without an effect there is no true answer to spoil; one that says so serves.
            let nothing = || Reply::json(200, r#"{"result":[]}"#.into());
            Outcome {
                reply: Some(reply.unwrap_or_else(nothing)),
                wire: Some(kind),
            }
        }
    }
}
