//! The page of the application inside of a portal.

use bitrix24_sim::{ApplicationConfig, Fault, PortalConfig};

use super::{
    browser::Answer,
    site::{Site, domain, with},
};
use crate::oauth::stage::{CLIENT, say};

const INFO: &str = "app.info";

/// What the policy of a page says of something.
fn policy<'a>(answer: &'a Answer, directive: &str) -> Option<&'a str> {
    let policy = answer.header("content-security-policy").unwrap();
    let mut parts = policy.split("; ").filter_map(|part| part.split_once(' '));
    parts
        .find(|(name, _)| *name == directive)
        .map(|(_, value)| value)
}

/// Sees that a page is one for people, in a frame of this origin only, and says its title.
fn title(answer: &Answer, framed_by: &str) -> String {
    assert_eq!(
        answer.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(
        policy(answer, "frame-ancestors"),
        Some(framed_by),
        "{answer:?}"
    );
    assert_eq!(policy(answer, "default-src"), Some("'none'"));
    assert_eq!(answer.body.matches("<h1>").count(), 1);
    let title = answer.body.split_once("<title>").unwrap().1;
    title.split_once("</title>").unwrap().0.to_owned()
}

#[tokio::test(start_paused = true)]
async fn installation_with_a_page_is_finished_by_it_once() {
    let mut site = Site::with_page().await;
    let tokens = site.portal().install(CLIENT, 1).unwrap();
    let answer = site.open(site.portal(), &tokens).await;
    let origin = site.portal().address();
    assert_eq!(title(&answer, &origin), "The application is connected");
    assert_eq!(answer.status, 200);
    let nonce = policy(&answer, "style-src").unwrap().trim_matches('\'');
    let scripts = format!("'{nonce}' https://api.bitrix24.com");
    assert_eq!(policy(&answer, "script-src"), Some(scripts.as_str()));
    let nonce = nonce.strip_prefix("nonce-").unwrap();
    let own = format!("nonce=\"{nonce}\"");
    assert_eq!(answer.body.matches(&own).count(), 3, "{}", answer.body);
    assert!(
        answer
            .body
            .contains("src=\"https://api.bitrix24.com/api/v1/\"")
    );
    assert_eq!(answer.body.matches("BX24.installFinish()").count(), 1);
    assert_eq!(site.user().await, Some(1));
    let again = site.open(site.portal(), &tokens).await;
    assert!(!again.body.contains(nonce), "a nonce is used once");

    site.portal().finish_install(CLIENT).unwrap();
    site.stage.scene.helper().await;
    say(&site.stage.scene, "hello").await.unwrap();
    let answer = site.open(site.portal(), &tokens).await;
    assert_eq!(title(&answer, &origin), "The application is installed");
    assert!(!answer.body.contains("<script"));
    assert_eq!(policy(&answer, "script-src"), None);
}

#[tokio::test(start_paused = true)]
async fn portal_itself_opens_the_page() {
    let site = Site::with_page().await;
    site.portal().install(CLIENT, 1).unwrap();
    site.portal().open_page(CLIENT, 1).unwrap();
    site.settle().await;
    let deliveries = site.portal().journal().deliveries();
    assert_eq!((deliveries.len(), deliveries[0].status), (1, Some(200)));
    assert_eq!(site.user().await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn who_opens_an_installed_application_changes_nothing() {
    let site = Site::with_page().await;
    let tokens = site.portal().install(CLIENT, 1).unwrap();
    site.open(site.portal(), &tokens).await;
    site.portal().finish_install(CLIENT).unwrap();
    let before = site.shown().await;
    let anna = site.stage.scene.anna;
    for user in [anna, 1] {
        let tokens = site.portal().issue_tokens(CLIENT, user).unwrap();
        let answer = site.open(site.portal(), &tokens).await;
        assert_eq!(answer.status, 200);
        let shown = site.shown().await;
        assert_eq!(shown.user_id, before.user_id);
        assert_eq!(shown.tokens_obtained_time, before.tokens_obtained_time);
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_connects_an_installed_application_by_opening_it() {
    let site = Site::with_page().await;
    site.portal().install(CLIENT, 1).unwrap();
    site.portal().finish_install(CLIENT).unwrap();
    for user in [site.stage.scene.anna, 1] {
        let tokens = site.portal().issue_tokens(CLIENT, user).unwrap();
        let answer = site.open(site.portal(), &tokens).await;
        let title = title(&answer, &site.portal().address());
        assert_eq!(title, "The application is installed, but not connected");
        assert_eq!(site.user().await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn another_user_does_not_take_over_by_installing_again() {
    let site = Site::with_page().await;
    let tokens = site.portal().install(CLIENT, 1).unwrap();
    site.open(site.portal(), &tokens).await;
    let anna = site.stage.scene.anna;
    let tokens = site.portal().install(CLIENT, anna).unwrap();
    let answer = site.open(site.portal(), &tokens).await;
    let title = title(&answer, &site.portal().address());
    assert_eq!(title, "Another user has connected this portal");
    assert_eq!((answer.status, site.user().await), (403, Some(1)));
}

#[tokio::test(start_paused = true)]
async fn page_says_what_is_wrong_and_nothing_is_changed() {
    let site = Site::with_page().await;
    let tokens = site.portal().install(CLIENT, 1).unwrap();
    let theirs = site.another().await;
    let their_tokens = theirs.install(CLIENT, 1).unwrap();
    let other = site.portal().add_application(ApplicationConfig::default());
    let of_another_application = site.portal().install(&other, 1).unwrap();
    let (query, body) = site.frame(site.portal(), &tokens);
    let (_, foreign) = site.frame(site.portal(), &their_tokens);
    let (_, other) = site.frame(site.portal(), &of_another_application);
    let origin = site.portal().address();
    let unverified = "The request could not be verified";
    for (body, expected) in [
        (with(&body, "AUTH_ID", Some("wrong")), unverified),
        (with(&body, "AUTH_ID", None), unverified),
        (with(&body, "REFRESH_ID", None), unverified),
        (with(&body, "member_id", None), unverified),
        (
            with(&body, "member_id", Some(&theirs.member_id())),
            unverified,
        ),
        (foreign, unverified),
        (Vec::new(), unverified),
        (other, "This is another application"),
        (
            with(&body, "SERVER_ENDPOINT", Some("https://evil.org/rest/")),
            "The authorization server is not allowed",
        ),
    ] {
        let answer = site.open_with(&query, &body).await;
        assert_eq!(title(&answer, &origin), expected);
        assert_eq!(answer.status, 403);
        assert!(!answer.body.contains("<script"));
        assert_eq!(site.user().await, None);
    }
    // Nobody frames it who only says that he is a portal.
    for host in [
        "evil.org",
        "a.portal.test.evil.org",
        "a.portal.test; script-src *",
        "a.portal.test 'self'",
        "*.portal.test",
        "",
    ] {
        let query = with(&query, "DOMAIN", Some(host));
        let answer = site.open_with(&query, &body).await;
        assert_eq!(title(&answer, "'none'"), unverified, "{host}");
    }
    assert_eq!(site.user().await, None);
}

#[tokio::test(start_paused = true)]
async fn silent_authorization_server_and_a_name_that_is_taken_have_pages_too() {
    let site = Site::with(&[(
        "portals.hooked.webhook_url",
        "https://a.portal.test/rest/1/abc/",
    )]);
    let site = site.await;
    site.known_in(site.portal(), true);
    let tokens = site.portal().install(CLIENT, 1).unwrap();
    let oauth = site.stage.scene.sim.oauth();
    oauth.faults().on(INFO, Fault::hang());
    let began = tokio::time::Instant::now();
    let answer = site.open(site.portal(), &tokens).await;
    let origin = site.portal().address();
    assert_eq!(title(&answer, &origin), "Bitrix24 does not answer");
    assert!(began.elapsed().as_secs() <= 11);
    assert_eq!((answer.status, site.user().await), (503, None));

    let config = PortalConfig {
        member_id: Some("hooked".to_owned()),
        ..PortalConfig::default()
    };
    let hooked = site.stage.scene.sim.add_portal(config).await.unwrap();
    hooked.rename_to("b.portal.test").await.unwrap();
    site.known_in(&hooked, true);
    let tokens = hooked.install(CLIENT, 1).unwrap();
    let answer = site.open(&hooked, &tokens).await;
    assert_eq!(
        title(&answer, &hooked.address()),
        "The access could not be kept"
    );
    assert_eq!(answer.status, 503);
}

#[tokio::test(start_paused = true)]
async fn page_speaks_the_language_of_the_portal_and_says_nothing_that_was_sent() {
    let site = Site::with_page().await;
    let tokens = site.portal().install(CLIENT, 1).unwrap();
    let (query, body) = site.frame(site.portal(), &tokens);
    let evil = "\"><script>alert(1)</script>";
    for (asked, spoken) in [
        ("de", "de"),
        ("ru", "ru"),
        ("kz", "ru"),
        ("en", "en"),
        ("br", "en"),
        (evil, "en"),
    ] {
        let query = with(&query, "LANG", Some(asked));
        let query = with(&query, "APP_SID", Some(evil));
        let body = with(&body, "PLACEMENT", Some(evil));
        let body = with(&body, "AUTH_ID", Some("wrong-and-written-nowhere"));
        let answer = site.open_with(&query, &body).await;
        let html = format!("<html lang=\"{spoken}\">");
        assert!(answer.body.contains(&html), "{asked}: {}", answer.body);
        for sent in ["alert", "wrong-and", &domain(site.portal())] {
            assert!(!answer.body.contains(sent), "{}", answer.body);
        }
    }
}
