//! What came for each bot, and what became of the newest command.

use super::*;
use crate::store::look::{Arrivals, LastCommand};

#[tokio::test]
async fn newest_event_and_command_of_each_bot_are_told_with_its_answer() {
    let place = Place::new();
    let store = place.open().await;
    for code in ["ada", "bob", "eve"] {
        store.save_bot(&bot(code)).await.unwrap();
    }
    let all = vec![
        event("e1", 1, true),
        event("e2", 2, true),
        event("e3", 3, false),
        gap(4),
    ];
    let mut ada = append("ada", all);
    ada.polled_at = Some(at(5));
    store.append(ada).await.unwrap();
    store
        .append(append("bob", vec![event("e4", 6, false)]))
        .await
        .unwrap();
    let told = async || {
        let arrivals = store.arrivals().await.unwrap().into_iter();
        let told = |it: Arrivals| (it.last_polled_at, it.last_event, it.last_command);
        let told: [_; 3] = arrivals.map(told).collect::<Vec<_>>().try_into().unwrap();
        told
    };
    let command = |answered| {
        Some(LastCommand {
            received_at: at(2),
            answered,
        })
    };
    let (bob, eve) = ((None, Some(at(6)), None), (None, None, None));
    let ada = |answered| (Some(at(5)), Some(at(3)), command(answered));
    assert_eq!(told().await, [ada(None), bob, eve]);
    // The older one says nothing of the newer.
    store.begin_answer(1).await.unwrap();
    store.finish_answer(1, Vec::new()).await.unwrap();
    assert_eq!(told().await, [ada(None), bob, eve]);
    store.begin_answer(2).await.unwrap();
    assert_eq!(told().await, [ada(Some(false)), bob, eve]);
    store.finish_answer(2, Vec::new()).await.unwrap();
    assert_eq!(told().await, [ada(Some(true)), bob, eve]);
}
