//! The body of an answer, whole or spoiled on the way.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use super::Broken;
use crate::fault::FaultKind;

/// How much of an enormous body is made at a time.
const PADDING: &[u8] = &[b' '; 16 * 1024];

/// Pieces to send, and how.
#[derive(Debug)]
pub(super) struct ReplyBody {
    pieces: VecDeque<Bytes>,
    /// What is announced, whether it comes or not.
    length: u64,
    /// Spaces still to follow.
    padding: u64,
    /// Before each piece.
    pause: Duration,
    sleeping: Option<Pin<Box<Sleep>>>,
    /// The connection breaks where the body should go on.
    breaks: bool,
}

impl ReplyBody {
    pub(super) fn of(body: Bytes, wire: Option<FaultKind>) -> Self {
        let mut reply = Self {
            length: body.len().try_into().unwrap_or(u64::MAX),
            pieces: VecDeque::new(),
            padding: 0,
            pause: Duration::ZERO,
            sleeping: None,
            breaks: false,
        };
        match wire {
            Some(FaultKind::CutBody) => {
                reply.pieces.push_back(body.slice(..body.len() / 2));
                reply.breaks = true;
            }
            Some(FaultKind::Drip { bytes, pause }) => {
                let piece = bytes.max(1);
                let starts = (0..body.len()).step_by(piece);
                reply.pieces = starts
                    .map(|start| body.slice(start..body.len().min(start.saturating_add(piece))))
                    .collect();
                reply.pause = pause;
            }
            Some(FaultKind::Enormous { bytes }) => {
                reply.pieces.push_back(body);
                reply.padding = bytes;
                reply.length = reply.length.saturating_add(bytes);
            }
            _ => reply.pieces.push_back(body),
        }
        reply
    }

    fn next_piece(&mut self) -> Option<Bytes> {
        if let Some(piece) = self.pieces.pop_front() {
            return Some(piece);
        }
        let size = usize::try_from(self.padding)
            .unwrap_or(usize::MAX)
            .min(PADDING.len());
        self.padding -= u64::try_from(size).unwrap_or(self.padding);
        PADDING
            .get(..size)
            .filter(|padding| !padding.is_empty())
            .map(Bytes::from_static)
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.pause > Duration::ZERO && !self.pieces.is_empty() {
            let pause = self.pause;
            let sleep = self
                .sleeping
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
            if sleep.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.sleeping = None;
        }
        match self.next_piece() {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            None if self.breaks => Poll::Ready(Some(Err(Broken))),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.iter().all(Bytes::is_empty) && self.padding == 0 && !self.breaks
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}
