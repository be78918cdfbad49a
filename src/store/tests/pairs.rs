//! Pairs of tokens: one takes the place of the one it was made from, and of no other.

use std::fs;

use secrecy::{ExposeSecret as _, SecretString};

use super::*;

fn portal() -> PortalId {
    "acme".parse().unwrap()
}

pub(super) fn pair(name: &str) -> Pair {
    Pair {
        member_id: "0123456789abcdef".to_owned(),
        user_id: Some(1),
        access_token: format!("hush-access-{name}").into(),
        refresh_token: format!("hush \"refresh\" {name}").into(),
        access_ends: at(3600),
        obtained_at: at(0),
        client_endpoint: "https://acme.bitrix24.com/rest/".to_owned(),
        server_endpoint: Some("https://oauth.bitrix.info/rest/".to_owned()),
        scope: vec!["im".to_owned(), "imbot".to_owned()],
        status: None,
        application_token: Some("hush-application".into()),
    }
}

/// The names that the access token and the refresh token of the stored pair carry.
async fn stands(store: &Store) -> Option<(String, String)> {
    let last = |secret: &SecretString| {
        let text = secret.expose_secret();
        text[text.len() - 1..].to_owned()
    };
    let kept = store.pair(&portal()).await.unwrap()?;
    Some((
        last(&kept.pair.access_token),
        last(&kept.pair.refresh_token),
    ))
}

#[tokio::test]
async fn pair_comes_back_whole_and_shows_in_no_file() {
    let place = Place::new();
    let store = place.open().await;
    let saved = store.save_pair(&portal(), &pair("a"), None).await.unwrap();
    let saved = saved.expect("there was none");
    assert!(!format!("{saved:?}").contains("hush"));
    store.close().await;
    for file in fs::read_dir(place.dir()).unwrap() {
        let path = file.unwrap().path();
        assert!(!contains(&fs::read(&path).unwrap(), "hush"), "{path:?}");
    }
    let store = place.open().await;
    let kept = store.pair(&portal()).await.unwrap().unwrap();
    assert_eq!(kept.generation, saved.generation);
    assert_eq!(format!("{:?}", kept.pair), format!("{:?}", pair("a")));
    for (kept, given) in [
        (&kept.pair.access_token, pair("a").access_token),
        (&kept.pair.refresh_token, pair("a").refresh_token),
        (
            &kept.pair.application_token.unwrap(),
            pair("a").application_token.unwrap(),
        ),
    ] {
        assert_eq!(kept.expose_secret(), given.expose_secret());
    }
    let all = store.pairs().await.unwrap();
    assert_eq!((all.len(), &all[0].0), (1, &portal()));
}

#[tokio::test]
async fn pair_replaces_only_the_one_it_was_made_from() {
    let place = Place::new();
    let store = place.open().await;
    let save = async |name, from| {
        let saved = store.save_pair(&portal(), &pair(name), from).await.unwrap();
        saved.map(|kept| kept.generation)
    };
    assert_eq!(save("x", Some(1)).await, None, "there is none to replace");
    let a = save("a", None).await.unwrap();
    assert_eq!(save("x", None).await, None, "one is there");
    let b = save("b", Some(a)).await.unwrap();
    assert!(b > a);
    assert_eq!(save("x", Some(a)).await, None, "made from an older one");
    assert_eq!(stands(&store).await, Some(("b".into(), "b".into())));
}

#[tokio::test]
async fn one_of_many_pairs_made_from_the_same_one_is_taken() {
    let place = Place::new();
    let store = place.open().await;
    let first = store.save_pair(&portal(), &pair("a"), None).await.unwrap();
    let from = first.map(|kept| kept.generation);
    let pairs: Vec<_> = (0..9).map(|name| pair(&name.to_string())).collect();
    let portal = portal();
    let saves = pairs
        .iter()
        .map(|pair| store.save_pair(&portal, pair, from));
    let saved = futures_util::future::join_all(saves).await;
    let taken: Vec<_> = saved
        .into_iter()
        .filter_map(Result::unwrap)
        .map(|kept| kept.generation)
        .collect();
    assert_eq!(taken.len(), 1);
    let kept = store.pair(&portal).await.unwrap().unwrap();
    assert_eq!(kept.generation, taken[0]);
}

#[tokio::test]
async fn number_of_an_erased_pair_is_never_given_again() {
    let place = Place::new();
    let store = place.open().await;
    let first = store.save_pair(&portal(), &pair("a"), None).await.unwrap();
    let first = first.unwrap().generation;
    store.erase_pair(&portal()).await.unwrap();
    assert!(store.pair(&portal()).await.unwrap().is_none());
    store.erase_pair(&portal()).await.unwrap();
    let second = store.save_pair(&portal(), &pair("b"), None).await.unwrap();
    assert!(second.unwrap().generation > first);
    // Who still holds the erased one does not bring it back.
    let late = store.save_pair(&portal(), &pair("x"), Some(first)).await;
    assert!(late.unwrap().is_none());
    assert_eq!(stands(&store).await, Some(("b".into(), "b".into())));
}

#[tokio::test]
async fn pair_moved_to_another_portal_does_not_open() {
    let place = Place::new();
    let store = place.open().await;
    store.save_pair(&portal(), &pair("a"), None).await.unwrap();
    store.close().await;
    let thief = Connection::open(place.database()).unwrap();
    thief
        .execute("UPDATE pairs SET portal = 'globex'", [])
        .unwrap();
    drop(thief);
    let store = place.open().await;
    let moved = store.pair(&"globex".parse().unwrap()).await;
    assert!(matches!(moved, Err(Error::Sealed { .. })), "{moved:?}");
}
