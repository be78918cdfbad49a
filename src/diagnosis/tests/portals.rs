//! How far one gets with a portal.

use jiff::SignedDuration;

use super::*;
use crate::portal::{Cause, Error, error, wire::Unreadable};

fn came(profile: Result<(), Error>) -> Asked {
    Asked {
        address: "https://acme.bitrix24.com".to_owned(),
        profile,
        scopes: Some(Ok(vec!["im".to_owned(), "imbot".to_owned()])),
        revision: Some(Ok(36)),
        skew: Some(SignedDuration::ZERO),
        permits: Some((50, 50)),
        throttled: None,
    }
}

fn refusal(cause: Cause) -> Asked {
    came(Err(Error::new(Method::Profile, cause)))
}

#[test]
fn portal_that_serves_us_has_no_broken_link() {
    let chain = asked("acme", &came(Ok(())), now());
    assert!(
        chain.links.iter().all(|it| it.standing == Standing::Fine),
        "{chain:?}"
    );
    assert_eq!(chain.links.len(), 8);
}

#[test]
fn portal_tells_how_far_one_gets_and_nothing_of_what_was_not_tried() {
    let html = Unreadable::Html;
    for (asked_for, step, words) in [
        (refusal(Cause::Redirected), Step::Rest, "login"),
        (refusal(Cause::Unreadable(html)), Step::Rest, "web page"),
        (refusal(Cause::Blocked), Step::Rest, "turned us away"),
        (
            refusal(Cause::Moved {
                origin: "https://b.bitrix24.com".to_owned(),
            }),
            Step::Rest,
            "moved to https://b.bitrix24.com",
        ),
        (
            refusal(Cause::Credential(error::Credential::NotFound)),
            Step::Credential,
            "REAUTHORIZATION_REQUIRED",
        ),
        (refusal(Cause::Plan), Step::Credential, "plan or licence"),
    ] {
        let chain = asked("acme", &asked_for, now());
        let last = chain.links.last().unwrap();
        assert_eq!(chain.broken(), Some(last), "{chain:?}");
        assert_eq!(last.step, step, "{chain:?}");
        assert!(last.seen.contains(words), "{words}: {}", last.seen);
        assert!(last.next.as_ref().is_some_and(|next| !next.is_empty()));
    }
}

#[test]
fn portal_that_lets_us_in_may_still_lack_something() {
    let changes: &[Change<Asked>] = &[
        (
            |it| it.scopes = Some(Ok(vec!["user".to_owned()])),
            Step::Scope,
            "it may use: user",
        ),
        (
            |it| it.revision = Some(Err(Error::new(Method::RevisionGet, Cause::MethodMissing))),
            Step::Revision,
            "older than REST 33",
        ),
        (
            |it| it.skew = Some(SignedDuration::from_secs(600)),
            Step::Clock,
            "10 min ahead of ours",
        ),
        (
            |it| {
                it.throttled = Some((
                    Reason::PortalThrottled,
                    now() + SignedDuration::from_secs(9),
                ))
            },
            Step::Rate,
            "for 9 s more",
        ),
    ];
    for (change, step, words) in changes {
        let mut answer = came(Ok(()));
        change(&mut answer);
        let chain = asked("acme", &answer, now());
        let broken = chain.broken().unwrap();
        assert_eq!(broken.step, *step, "{chain:?}");
        assert!(broken.seen.contains(words), "{words}: {}", broken.seen);
    }
}
