//! No statement of the log looks at more than it needs.

use std::{collections::BTreeSet, sync::Mutex};

use super::{unreadable, *};

/// Every statement of the log that any test of this process ran.
static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Remembers a statement.
pub(in crate::store) fn note(statement: &str) {
    SEEN.lock().unwrap().insert(statement.to_owned());
}

/// Runs every operation of the log once.
async fn everything(store: &Store) {
    store.save_bot(&bot("ada")).await.unwrap();
    let entries = (0..10).map(|index| event(&index.to_string(), index, true));
    let mut all = append("ada", entries.chain([gap(10)]).collect());
    (all.next_offset, all.polled_at) = (Some(3), Some(at(3)));
    store.append(all).await.unwrap();
    store.set_aside(unreadable("ada")).await.unwrap();
    let portal = Some(PortalId::default_portal());
    let code = Some("ada".parse().unwrap());
    for (portal, code) in [(None, None), (portal.clone(), None), (portal, code)] {
        for commands_only in [false, true] {
            let filter = Filter {
                portal: portal.clone(),
                code: code.clone(),
                commands_only,
            };
            store.read(0, ALL, filter).await.unwrap();
        }
    }
    store.find(3).await.unwrap();
    store.floor().await.unwrap();
    store.seq_at(at(2)).await.unwrap();
    store.recent_commands(3).await.unwrap();
    let portal = PortalId::default_portal();
    store.unreadable(&portal, 3).await.unwrap();
    store.removed(0, Filter::default()).await.unwrap();
    store.removed_of_anybody().await.unwrap();
    store.expire(at(2), u64::MAX).await.unwrap();
    store.expire(at(2), 1000).await.unwrap();
    store.removed(0, Filter::default()).await.unwrap();
    store.erase_portal(&portal).await.unwrap();
}

#[tokio::test]
async fn every_statement_of_the_log_finds_its_rows_by_an_index() {
    let place = Place::new();
    let store = place.open().await;
    everything(&store).await;
    let seen = SEEN.lock().unwrap().clone();
    assert!(seen.len() > 20, "{seen:#?}");
    let plans = store.query(move |connection, _| {
        let mut plans = Vec::new();
        for statement in seen {
            let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {statement}"))?;
            let mut rows = explain.raw_query();
            while let Some(row) = rows.next()? {
                plans.push((statement.clone(), row.get::<_, String>("detail")?));
            }
        }
        Ok(plans)
    });
    for (statement, plan) in plans.await.unwrap() {
        let whole = plan.starts_with("SCAN") && plan != "SCAN CONSTANT ROW";
        let sorted = plan.contains("TEMP B-TREE") && !statement.contains("unreadable");
        assert!(!whole && !sorted, "{plan}: {statement}");
    }
}
