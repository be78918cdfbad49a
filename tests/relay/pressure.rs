//! Who does not read is not sent to.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    backend::{Backend, FLOOD},
    bare::message,
    relaying::Relaying,
};

/// What may be under way in one stream from end to end, bytes: 2 MiB are the window of this caller, and the
/// rest the windows and buffers between.
const UNDER_WAY: usize = 3 << 20;

#[tokio::test]
async fn stream_that_nobody_reads_comes_to_rest() {
    let backend = Backend::start().await;
    let relay = Relaying::before(backend.address).await;
    let mut caller = relay.caller().await;
    let _unread = caller.begin(FLOOD, &[], message(b"")).await.unwrap();
    let mut before = usize::MAX;
    // At rest when a while brings nothing more.
    while backend.flooded() != before {
        before = backend.flooded();
        sleep(Duration::from_millis(300)).await;
    }
    assert!(
        (1..UNDER_WAY).contains(&before),
        "{before} bytes were sent to nobody"
    );
}
