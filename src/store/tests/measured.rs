//! What is counted of the store.

use super::*;
use crate::telemetry::Measurements;

/// The value of a series.
fn value(text: &str, series: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(series))?;
    line.trim().parse().ok()
}

#[tokio::test]
async fn what_comes_into_the_log_is_counted_once_and_what_comes_again_apart() {
    let measurements = Measurements::new(|readers| readers).unwrap();
    let place = Place::new();
    let store = place.open().await;
    store.measured_by(&measurements.meter());
    store.save_bot(&bot("ada")).await.unwrap();
    let told = vec![event("e1", 0, true), event("e2", 1, false), gap(2)];
    store.append(append("ada", told.clone())).await.unwrap();
    store
        .append(append("ada", told[..2].to_vec()))
        .await
        .unwrap();
    store.set_aside(unreadable("ada")).await.unwrap();
    store.append(append("nobody", vec![])).await.unwrap();
    let text = measurements.render().text();
    let count = |series: &str| value(&text, series).unwrap_or_else(|| panic!("{series}:\n{text}"));
    let received = |kind| {
        let labels = format!("{{bitrix24_event_kind=\"{kind}\",bitrix24_portal=\"default\"}}");
        count(&format!("bitrix24_gateway_events_received_total{labels}"))
    };
    assert_eq!((received("command"), received("other")), (1.0, 1.0));
    let portal = "{bitrix24_portal=\"default\"}";
    assert_eq!(
        count(&format!("bitrix24_gateway_events_duplicates_total{portal}")),
        2.0
    );
    assert_eq!(
        count(&format!("bitrix24_gateway_events_unreadable_total{portal}")),
        1.0
    );
    let gap = "{bitrix24_portal=\"default\",bitrix24_reason=\"AWAY_TOO_LONG\"}";
    assert_eq!(count(&format!("bitrix24_gateway_gaps_total{gap}")), 1.0);
    assert_eq!(
        count("bitrix24_gateway_log_append_duration_seconds_count"),
        3.0
    );
    assert!(count("bitrix24_gateway_store_write_duration_seconds_count") >= 5.0);
    assert!(!text.contains("hush"), "{text}");
}

#[tokio::test]
async fn failure_of_the_store_is_counted_and_a_bot_that_is_not_there_is_none() {
    let measurements = Measurements::new(|readers| readers).unwrap();
    let place = Place::new();
    let store = place.open().await;
    store.measured_by(&measurements.meter());
    let polled = Append {
        polled_at: Some(at(0)),
        ..append("nobody", Vec::new())
    };
    store.append(polled).await.unwrap_err();
    assert!(!measurements.render().text().contains("store_errors"));
    store.close().await;
    store.append(append("ada", vec![gap(0)])).await.unwrap_err();
    store.bots().await.unwrap_err();
    let text = measurements.render().text();
    let closed = "bitrix24_gateway_store_errors_total{error_type=\"closed\"}";
    assert_eq!(value(&text, closed), Some(2.0), "{text}");
}

#[tokio::test]
async fn backlog_and_the_first_unread_event_are_what_a_subscription_has_before_it() {
    let place = Place::new();
    let store = place.open().await;
    store.save_bot(&bot("ada")).await.unwrap();
    let told = vec![
        gap(0),
        event("e1", 1, false),
        event("e2", 2, true),
        event("e3", 3, true),
    ];
    store.append(append("ada", told)).await.unwrap();
    let made = store.make_subscription(Subscription {
        id: SubscriptionId(0),
        owner: "billing".to_owned(),
        name: "work".to_owned(),
        for_commands: true,
        settings: serde_json::json!({}),
        created_at: at(0),
        scanned: 0,
    });
    let id = made.await.unwrap().id;
    assert!(store.backlogs().await.unwrap().is_empty());
    let commands = Filter {
        commands_only: true,
        ..Filter::default()
    };
    let first = store.first_after(0, commands.clone()).await.unwrap();
    assert_eq!((first.found, first.looked), (Some((3, at(2))), 2));
    let none = store.first_after(4, commands).await.unwrap();
    assert_eq!((none.found, none.looked), (None, 4));
    let first = store.first_after(0, Filter::default()).await.unwrap();
    assert_eq!(first.found, Some((2, at(1))), "a gap waits for nobody");
    let delivery = |seq| Delivery {
        seq,
        dialog: None,
        handouts: 1,
        attempts: 1,
        redriven: false,
    };
    let turn = Turn {
        found: vec![delivery(3)],
        found_aside: vec![(delivery(4), Aside::Expired)],
        ..Turn::default()
    };
    store.turn(id, turn, at(9)).await.unwrap();
    let backlog = store.backlogs().await.unwrap().remove(&id).unwrap();
    assert_eq!((backlog.unfinished, backlog.oldest), (1, Some(at(2))));
    assert_eq!(backlog.aside, [("EXPIRED", 1)].into());
    assert_eq!(store.entries().await.unwrap(), 4);
    let size = store.size().await.unwrap();
    assert!(
        size.log_bytes > 0 && size.file_bytes > size.log_bytes,
        "{size:?}"
    );
}
