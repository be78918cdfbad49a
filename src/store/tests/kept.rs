//! Callers and portals that were added while the gateway ran.

use secrecy::ExposeSecret as _;

use super::*;
use crate::callers::{TokenHash, Written};

fn caller(name: &str) -> KeptCaller {
    KeptCaller {
        name: name.to_owned(),
        token: Some(TokenHash::of(name)),
        written: Written {
            portals: vec!["*".to_owned()],
            execute: true,
            default_portal: "acme".to_owned(),
            ..Written::default()
        },
        added_at: at(1),
        revoked_at: None,
    }
}

#[tokio::test]
async fn callers_webhooks_and_grants_come_back_as_they_were_and_sealed() {
    let place = Place::new();
    let portal = PortalId::default_portal();
    let store = place.open().await;
    let revoked = KeptCaller {
        token: None,
        revoked_at: Some(at(2)),
        ..caller("bob")
    };
    for caller in [&caller("bob"), &caller("ada"), &revoked] {
        store.save_caller(caller).await.unwrap();
    }
    let url = "https://acme.example.com/rest/1/hush/".into();
    store.save_webhook(&portal, &url).await.unwrap();
    for caller in ["ada", "bob", "ada"] {
        store.grant(&portal, caller).await.unwrap();
    }
    assert!(store.withdraw(&portal, "bob").await.unwrap());
    assert!(!store.withdraw(&portal, "bob").await.unwrap());
    store.close().await;

    let bytes = std::fs::read(place.database()).unwrap();
    let hash = TokenHash::of("ada").to_string();
    assert!(!contains(&bytes, "hush") && !contains(&bytes, &hash));
    let store = place.open().await;
    assert_eq!(store.callers().await.unwrap(), [caller("ada"), revoked]);
    assert_eq!(
        store.grants().await.unwrap(),
        [(portal.clone(), "ada".to_owned())]
    );
    let webhooks = store.webhooks().await.unwrap();
    assert_eq!(webhooks.len(), 1);
    assert_eq!(
        (&webhooks[0].0, webhooks[0].1.expose_secret()),
        (&portal, url.expose_secret())
    );
    assert!(store.erase_webhook(&portal).await.unwrap());
    assert!(!store.erase_webhook(&portal).await.unwrap());
    assert!(store.webhooks().await.unwrap().is_empty());
}

#[tokio::test]
async fn caller_that_somebody_writes_into_the_file_is_not_believed() {
    let place = Place::new();
    let store = place.open().await;
    store.save_caller(&caller("ada")).await.unwrap();
    store
        .write(|connection| {
            connection.execute("UPDATE callers SET name = 'eve'", [])?;
            Ok(())
        })
        .await
        .unwrap();
    let error = store.callers().await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Sealed {
                table: "callers",
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn release_that_knows_no_stored_callers_does_not_open_a_store_that_has_some() {
    let place = Place::new();
    let store = place.open().await;
    store.save_caller(&caller("ada")).await.unwrap();
    store.close().await;
    let needed: i64 = Connection::open(place.database())
        .unwrap()
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert!(needed > 3);
    place.open().await;
}
