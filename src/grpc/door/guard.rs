//! Finds out who calls, before anything of the call is read.
//!
//! The first of these that is there decides, so that a wrong one is never made good by another: the
//! `authorization` of the call, the certificate of its connection, the user at the other end of a Unix
//! socket. Health and reflection are for everybody.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::TryFutureExt as _;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::{
    Status,
    body::Body,
    codegen::http::{HeaderMap, Request, Response, header::AUTHORIZATION},
};
use tower::{Layer, Service};

use super::{
    Peer,
    limits::{Kind, Limits, Permit},
};
use crate::{
    callers::{
        Callers, Credential, Rpc, TokenHash,
        service_account::{Refused, ServiceAccounts},
        token,
    },
    grpc::{
        audit::{Audit, POD, Place, call_id},
        caller::Caller,
        status::Refusal,
    },
};

/// What one caller may have under way.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    /// Calls at once.
    pub calls: usize,
    /// Streams at once.
    pub streams: usize,
}

/// What is needed to know who calls. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::grpc) struct Guard(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    callers: Callers,
    accounts: Option<ServiceAccounts>,
    limits: Limits,
    audit: Audit,
}

/// Services behind the guard.
#[derive(Debug, Clone)]
pub(in crate::grpc) struct Guarded<S> {
    guard: Guard,
    inner: S,
}

impl Guard {
    pub(in crate::grpc) fn new(
        callers: Callers,
        accounts: Option<ServiceAccounts>,
        share: Share,
        audit: Audit,
    ) -> Self {
        Self(Arc::new(Inner {
            callers,
            accounts,
            limits: Limits::new(share.calls, share.streams),
            audit,
        }))
    }

    /// Who calls, and their place among what is under way.
    fn admit(
        &self,
        path: &str,
        headers: &HeaderMap,
        peer: Option<&Peer>,
    ) -> Result<(Caller, Permit), Refusal> {
        let rpc = Rpc::of_path(path);
        let pod = headers.get(POD).and_then(|pod| pod.to_str().ok());
        let caller = self.caller(headers, peer).map(|caller| caller.in_pod(pod));
        let caller = caller.inspect_err(|refusal| {
            // A path that is not ours may say anything.
            let name = rpc.map_or("", Rpc::name);
            let outcome = refusal.reason_name();
            let audit = &self.0.audit;
            audit.denied("", name, &Place::default(), &call_id(), outcome);
        })?;
        let kind = if rpc.is_some_and(Rpc::is_stream) {
            Kind::Stream
        } else {
            Kind::Call
        };
        let permit = self.0.limits.begin(caller.turn(), kind);
        let permit = permit.ok_or(match kind {
            Kind::Call => Refusal::TooMany("calls", "grpc.max_calls_per_caller"),
            Kind::Stream => Refusal::TooMany("streams", "grpc.max_streams_per_caller"),
        })?;
        Ok((caller, permit))
    }

    fn caller(&self, headers: &HeaderMap, peer: Option<&Peer>) -> Result<Caller, Refusal> {
        // Every connection has a peer; one that had none would be trusted in nothing.
        let peer = peer.ok_or(Refusal::NoCredential)?;
        let policy = self.0.callers.policy();
        if policy.is_open() {
            let grant = policy
                .find(&Credential::None)
                .ok_or(Refusal::NoCredential)?;
            let turn = Arc::clone(peer.turn());
            return Ok(Caller::new(Arc::clone(grant), Credential::None, turn));
        }
        let mut shown = headers.get_all(AUTHORIZATION).iter();
        let credential = match (shown.next(), shown.next()) {
            (Some(shown), None) => self.bearer(shown.as_bytes(), peer)?,
            (Some(_), Some(_)) => return Err(Refusal::WrongCredential),
            (None, _) => peer.credential().clone(),
        };
        let grant = policy.find(&credential).ok_or(match credential {
            Credential::None => Refusal::NoCredential,
            _ => Refusal::WrongCredential,
        })?;
        let turn = Arc::clone(grant.turn());
        Ok(Caller::new(Arc::clone(grant), credential, turn))
    }

    fn bearer(&self, shown: &[u8], peer: &Peer) -> Result<Credential, Refusal> {
        if !peer.is_confidential() {
            return Err(Refusal::OpenCredential);
        }
        let shown = str::from_utf8(shown).map_err(|_| Refusal::WrongCredential)?;
        let bearer = shown
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        let bearer = bearer.ok_or(Refusal::WrongCredential)?;
        if bearer.starts_with(token::PREFIX) {
            return Ok(Credential::Token(TokenHash::of(bearer)));
        }
        let accounts = self.0.accounts.as_ref().ok_or(Refusal::WrongCredential)?;
        accounts.check(bearer).map_err(|refused| match refused {
            Refused::NotReady => Refusal::NotReady,
            Refused::Invalid => Refusal::WrongCredential,
        })
    }
}

/// Whether everybody may call it.
fn is_public(path: &str) -> bool {
    path.starts_with("/grpc.health.v1.Health/")
        || path.starts_with("/grpc.reflection.v1.ServerReflection/")
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded {
            guard: self.clone(),
            inner,
        }
    }
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        if is_public(path) {
            return Box::pin(self.inner.call(request));
        }
        let peer = request.extensions().get::<Peer>();
        match self.guard.admit(path, request.headers(), peer) {
            Ok((caller, permit)) => {
                request.extensions_mut().insert(caller);
                // Nobody behind the door needs it.
                request.headers_mut().remove(AUTHORIZATION);
                request.headers_mut().remove(POD);
                let under_way = move |body| {
                    Body::new(UnderWay {
                        body,
                        _permit: permit,
                    })
                };
                let calling = self.inner.call(request);
                Box::pin(calling.map_ok(|response| response.map(under_way)))
            }
            Err(refusal) => {
                let response = Status::from(refusal).into_http();
                Box::pin(std::future::ready(Ok(response)))
            }
        }
    }
}

/// A response that is under way until its last byte.
struct UnderWay {
    body: Body,
    _permit: Permit,
}

impl HttpBody for UnderWay {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::callers::{Description, Roster};

    const TOKEN: &str = "b24gw_of-a-test";

    /// Who calls with the token from an address.
    fn caller(from: &str) -> Result<Caller, Refusal> {
        let described = Description {
            tokens: vec![TokenHash::of(TOKEN)],
            ..Description::default()
        };
        let described = BTreeMap::from([("support".to_owned(), described)]);
        let callers = Callers::new(Roster {
            configured: described,
            ..Roster::default()
        });
        let callers = callers.unwrap();
        let share = Share {
            calls: 1,
            streams: 1,
        };
        let guard = Guard::new(callers, None, share, Audit::default());
        let mut headers = HeaderMap::new();
        let bearer = format!("Bearer {TOKEN}");
        headers.insert(AUTHORIZATION, bearer.parse().unwrap());
        guard.caller(&headers, Some(&Peer::plain(from.parse().unwrap())))
    }

    #[test]
    fn token_is_not_taken_where_others_can_read_it() {
        for from in ["127.0.0.1:5000", "[::1]:5000", "[::ffff:127.0.0.1]:5000"] {
            assert_eq!(caller(from).unwrap().name(), "support", "{from}");
        }
        for from in ["10.0.0.7:5000", "[2001:db8::1]:5000", "0.0.0.0:5000"] {
            let refused = caller(from);
            assert!(matches!(refused, Err(Refusal::OpenCredential)), "{from}");
        }
    }

    #[test]
    fn turn_is_taken_by_the_caller_wherever_it_calls_from() {
        let [one, other] = ["127.0.0.1:1", "[::1]:2"].map(|from| caller(from).unwrap());
        assert_eq!(one.turn(), other.turn());
        assert_eq!(&**one.turn(), "caller:support");
    }
}
