//! What is told to everybody who calls under one key, and which of it is kept.

use prost::Message;
use tonic::{Code, Status};

use crate::{
    fault::{Executed, Fault, Origin, Reason},
    grpc::status::{Failure, Refusal, status},
};

/// What the callers of one key are told.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    /// An encoded response.
    Response(Vec<u8>),
    Failure(Status),
}

/// Whether repeats of a failed call are told of its failure instead of being sent.
pub(super) fn is_kept(fault: &impl Fault) -> bool {
    fault.executed() != Executed::No || is_refused_for_good(fault)
}

/// Whether the portal found the call itself wrong, not the moment, our credential or our setup.
fn is_refused_for_good(fault: &impl Fault) -> bool {
    fault.method().is_some()
        && fault.origin() != Origin::Gateway
        && matches!(
            fault.reason(),
            Reason::PortalRefused
                | Reason::AccessDenied
                | Reason::MethodNotSupported
                | Reason::BotNotFound
                | Reason::CommandNotFound
                | Reason::CommandExists
                | Reason::MessageNotFound
                | Reason::ChatNotFound
        )
}

pub(super) fn was_impatient(fault: &impl Fault) -> bool {
    matches!(
        fault.reason(),
        Reason::DeadlineExceeded | Reason::DeadlineTooShort
    )
}

/// How a kept outcome begins.
const RESPONSE: u8 = 1;
const FAILURE: u8 = 2;

impl Outcome {
    pub(super) fn of<T: Message, E: Fault>(ended: &Result<T, E>) -> Self {
        match ended {
            Ok(response) => Self::Response(response.encode_to_vec()),
            Err(fault) => Self::Failure(status(fault, None)),
        }
    }

    pub(super) fn told<T: Message + Default>(self) -> Result<T, Failure> {
        match self {
            Self::Response(bytes) => T::decode(&*bytes).map_err(|_| Refusal::OutcomeLost.into()),
            Self::Failure(status) => Err(Failure::Again(status)),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Response(bytes) => [&[RESPONSE], &**bytes].concat(),
            // The details hold code and message as well.
            Self::Failure(status) => [&[FAILURE], status.details()].concat(),
        }
    }

    pub(super) fn decode(kept: &[u8]) -> Result<Self, Refusal> {
        match kept.split_first() {
            Some((&RESPONSE, bytes)) => Ok(Self::Response(bytes.to_vec())),
            Some((&FAILURE, bytes)) => {
                let said = tonic_types::Status::decode(bytes).map_err(|_| Refusal::OutcomeLost)?;
                let code = Code::from(said.code);
                let details = bytes.to_vec().into();
                Ok(Self::Failure(Status::with_details(
                    code,
                    said.message,
                    details,
                )))
            }
            _ => Err(Refusal::OutcomeLost),
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt as _;

    use super::*;
    use crate::proto::v1 as pb;

    #[test]
    fn kept_outcome_is_told_as_it_was() {
        let response = pb::SendMessageResponse {
            message_id: Some(7),
            forwarded_message_ids: vec![8, 9],
        };
        let ended: Result<_, Refusal> = Ok(response.clone());
        let kept = Outcome::decode(&Outcome::of(&ended).encode()).unwrap();
        let told: pb::SendMessageResponse = kept.told().unwrap();
        assert_eq!(told, response);

        let ended: Result<(), _> = Err(Refusal::UnknownPortal("acme".to_owned()));
        let kept = Outcome::decode(&Outcome::of(&ended).encode()).unwrap();
        let Err(Failure::Again(told)) = kept.told::<()>() else {
            panic!("a failure is no success");
        };
        let first = Status::from(Refusal::UnknownPortal("acme".to_owned()));
        assert_eq!(
            (told.code(), told.message()),
            (first.code(), first.message())
        );
        let info = |status: &Status| {
            let info = status.get_details_error_info().unwrap();
            (info.reason, info.metadata)
        };
        assert_eq!(info(&told), info(&first));
    }

    #[test]
    fn outcome_that_cannot_be_read_is_not_known() {
        for kept in [&[][..], &[0], &[9, 1, 2], &[FAILURE, 0xff]] {
            let lost = Outcome::decode(kept);
            assert!(matches!(lost, Err(Refusal::OutcomeLost)), "{kept:?}");
        }
        let broken = Outcome::Response(vec![0xff]);
        let Err(Failure::New(lost)) = broken.told::<pb::SendMessageResponse>() else {
            panic!("that is no response");
        };
        assert_eq!(lost.executed(), Executed::Unknown);
    }
}
