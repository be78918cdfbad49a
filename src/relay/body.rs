//! The body of an answer on its way to the caller, in frames as they come.
//!
//! Of messages only their lengths are looked at, to know where one ends: what the relay has to add when
//! the gateway is lost or the relay stops can stand between two messages, never within one.

use std::{
    error::Error,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::refused::Refused;
use crate::grpc;

/// A message begins with a byte for its compression and four for its length.
const PREFIX: usize = 5;

/// The body of an answer.
#[derive(Debug)]
pub(super) enum Body {
    /// What the gateway sends.
    Passing(Box<Passing>),
    /// Nothing: all is said in the fields.
    Empty,
}

/// What the gateway sends, until one of both is gone.
#[derive(Debug)]
pub(super) struct Passing {
    inner: Incoming,
    place: Place,
    /// Whether nothing is ever to be added.
    whole: bool,
    ended: bool,
    /// Ends a stream that would not end by itself.
    stop: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    /// Cuts the caller's connection.
    cut: CancellationToken,
}

/// Where in the messages the bytes have come to.
#[derive(Debug, Default)]
struct Place {
    prefix: [u8; PREFIX],
    /// How much of the prefix is known.
    known: usize,
    /// What is missing of the message.
    missing: usize,
}

impl Passing {
    pub(super) fn new(
        inner: Incoming,
        whole: bool,
        stop: Option<CancellationToken>,
        cut: CancellationToken,
    ) -> Self {
        Self {
            inner,
            place: Place::default(),
            whole,
            ended: false,
            stop: stop.map(|stop| Box::pin(stop.cancelled_owned())),
            cut,
        }
    }

    fn end(&mut self, refused: &Refused) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.ended = true;
        Poll::Ready(Some(Ok(Frame::trailers(grpc::trailers(refused)))))
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if self.whole {
            return Pin::new(&mut self.inner).poll_frame(context);
        }
        if self.place.is_between()
            && let Some(stop) = &mut self.stop
            && stop.as_mut().poll(context).is_ready()
        {
            return self.end(&Refused::Stopping);
        }
        match Pin::new(&mut self.inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                match frame.data_ref() {
                    Some(data) => self.place.pass(data),
                    None => self.ended = true,
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(_) if self.place.is_between() => self.end(&Refused::Lost),
            // Only this stream was ended, by the gateway, so only this one ends here.
            Poll::Ready(Some(Err(error))) if is_of_stream(&error) => {
                self.ended = true;
                Poll::Ready(Some(Err(error)))
            }
            // No status can stand within a message, but a connection that breaks means just what
            // happened, to every client.
            Poll::Ready(_) => {
                self.cut.cancel();
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Whether the gateway ended one stream, and not all of the connection.
fn is_of_stream(error: &hyper::Error) -> bool {
    let cause = error.source();
    let cause = cause.and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(h2::Error::is_reset)
}

impl Place {
    fn is_between(&self) -> bool {
        self.known == 0
    }

    fn pass(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let taken = if self.known < PREFIX {
                let taken = data.len().min(PREFIX - self.known);
                self.prefix[self.known..self.known + taken].copy_from_slice(&data[..taken]);
                self.known += taken;
                if self.known == PREFIX {
                    let [_, length @ ..] = self.prefix;
                    self.missing = u32::from_be_bytes(length) as usize;
                }
                taken
            } else {
                let taken = data.len().min(self.missing);
                self.missing -= taken;
                taken
            };
            if self.known == PREFIX && self.missing == 0 {
                self.known = 0;
            }
            data = &data[taken..];
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut *self {
            Self::Passing(passing) => passing.poll(context),
            Self::Empty => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Passing(passing) if passing.whole => passing.inner.is_end_stream(),
            Self::Passing(passing) => passing.ended,
            Self::Empty => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Passing(_) => SizeHint::default(),
            Self::Empty => SizeHint::with_exact(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_is_known_however_the_bytes_are_cut() {
        let mut sent = Vec::new();
        let mut between = vec![0];
        for length in [0_u32, 1, 7, 300] {
            sent.push(0);
            sent.extend(length.to_be_bytes());
            sent.extend(vec![9; length as usize]);
            between.push(sent.len());
        }
        for size in 1..sent.len() {
            let mut place = Place::default();
            let mut at = 0;
            for piece in sent.chunks(size) {
                place.pass(piece);
                at += piece.len();
                assert_eq!(place.is_between(), between.contains(&at), "{size} {at}");
            }
        }
    }
}
