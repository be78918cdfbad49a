//! Pushes what changes to a page, as server-sent events.
//!
//! The bell of the portal says when; what a page has seen says what. Nothing is queued: a page that reads
//! slowly gets the newest state when it reads again.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use super::messages::{self, Seen};
use super::people::{self, Viewer};
use super::story::{self, Place};
use crate::portal::Portal;

/// How often what changes by itself is looked at: the clock, the level of the limits.
const TICK: Duration = Duration::from_secs(1);
/// How much may change before it is told together.
const TOGETHER: Duration = Duration::from_millis(30);

/// A body that goes on until the page leaves or the portal ends.
#[derive(Debug)]
pub(super) struct Pushed(mpsc::Receiver<Bytes>);

impl Pushed {
    /// Begins to tell somebody of what happens.
    pub(super) fn begin(portal: Portal, viewer: Viewer, place: Place) -> Self {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(tell(portal, viewer, place, sender));
        Self(receiver)
    }
}

impl Body for Pushed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.0.poll_recv(context);
        next.map(|event| event.map(|event| Ok(Frame::data(event))))
    }
}

async fn tell(portal: Portal, viewer: Viewer, place: Place, page: mpsc::Sender<Bytes>) {
    let mut bell = portal.state().journal.bell();
    let mut told = Told {
        viewer,
        place,
        seen: Seen::default(),
        parts: Map::new(),
    };
    loop {
        // Room first, so that what is told is of now.
        let room = tokio::select! {
            () = portal.inner.stop.cancelled() => return,
            room = page.reserve() => room,
        };
        let Ok(room) = room else { return };
        bell.mark_unchanged();
        let news = told.news(&portal);
        // Also nothing: only who is written to is known to be gone.
        room.send(Bytes::from(format!("data: {}\n\n", Value::Object(news))));
        tokio::select! {
            () = portal.inner.stop.cancelled() => return,
            () = page.closed() => return,
            () = tokio::time::sleep(TICK) => {}
            rung = bell.changed() => {
                if rung.is_err() {
                    return;
                }
                tokio::time::sleep(TOGETHER).await;
            }
        }
    }
}

/// What a page knows.
struct Told {
    viewer: Viewer,
    place: Place,
    seen: Seen,
    /// Parts that are told as a whole, as they were told last.
    parts: Map<String, Value>,
}

impl Told {
    /// What the page does not know yet.
    fn news(&mut self, portal: &Portal) -> Map<String, Value> {
        let now = portal.inner.clock.now();
        let mut state = portal.state();
        let mut news = Map::new();
        let level = people::level(&mut state, &self.viewer, now);
        let world = people::world(&state, &self.viewer);
        for (name, part) in [("level", level), ("world", world)] {
            if self.parts.get(name) != Some(&part) {
                self.parts.insert(name.to_owned(), part.clone());
                news.insert(name.to_owned(), part);
            }
        }
        if let Some(changes) = messages::changes(&state, &self.viewer, &mut self.seen) {
            news.insert("messages".to_owned(), changes);
        }
        let story = story::since(&state, &mut self.place);
        if !story.is_empty() {
            news.insert("story".to_owned(), story.into());
        }
        news
    }
}
