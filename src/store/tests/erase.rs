//! Nothing is left of a portal that is erased, and everything of the others.

use super::{pairs::pair, *};
use crate::store::Address;

fn other() -> PortalId {
    "acme".parse().unwrap()
}

async fn fill(store: &Store, portal: &PortalId) {
    let names = Bot {
        portal: portal.clone(),
        ..bot("ada")
    };
    store.save_bot(&names).await.unwrap();
    store.save_pair(portal, &pair("a"), None).await.unwrap();
    let address = Address {
        configured: [1; 32],
        origin: "https://moved.bitrix24.com".to_owned(),
    };
    store.save_address(portal, &address).await.unwrap();
    let entries = vec![event("one", 1, true), gap(2), event("two", 3, true)];
    let appended = store.append(Append {
        portal: portal.clone(),
        ..append("ada", entries)
    });
    let (first, _) = appended.await.unwrap().seqs.unwrap();
    store.begin_answer(first).await.unwrap();
    let unreadable = Unreadable {
        portal: portal.clone(),
        ..unreadable("ada")
    };
    store.set_aside(unreadable).await.unwrap();
}

/// Pairs, addresses, bots, log entries and what was set aside, of a portal.
async fn count(store: &Store, portal: &PortalId) -> [usize; 5] {
    let pair = store.pair(portal).await.unwrap();
    let addresses = store.addresses().await.unwrap();
    let bots = store.bots().await.unwrap();
    let filter = Filter {
        portal: Some(portal.clone()),
        ..Filter::default()
    };
    let log = store.read(0, ALL, filter).await.unwrap();
    let aside = store.unreadable(portal, 10).await.unwrap();
    [
        usize::from(pair.is_some()),
        addresses.iter().filter(|(id, _)| id == portal).count(),
        bots.iter().filter(|bot| bot.portal == *portal).count(),
        log.entries.len(),
        aside.len(),
    ]
}

#[tokio::test]
async fn erased_portal_leaves_nothing_and_others_keep_all() {
    let place = Place::new();
    let store = place.open().await;
    let first = PortalId::default_portal();
    fill(&store, &first).await;
    fill(&store, &other()).await;
    let full = [1, 1, 1, 3, 1];
    assert_eq!(count(&store, &first).await, full);
    store.erase_portal(&first).await.unwrap();
    for _ in 0..2 {
        assert_eq!(count(&store, &first).await, [0; 5]);
        assert_eq!(count(&store, &other()).await, full);
        // Nothing of the others is missing, although the oldest entries are.
        assert_eq!((store.floor().await.unwrap(), store.head()), (0, 6));
        // Doing it again changes nothing.
        store.erase_portal(&first).await.unwrap();
    }
    let bytes = |store: &Store| {
        let store = store.clone();
        async move {
            let kept = store.query(|connection, _| log::meta(connection, "log_bytes"));
            kept.await.unwrap()
        }
    };
    let left = bytes(&store).await;
    store.erase_portal(&other()).await.unwrap();
    assert_eq!((left > 0, bytes(&store).await), (true, 0));
}
