//! A person lets our application into a portal, by a link of the operator.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use bitrix24_gateway::portal::{
    Expected,
    transport::{self, Names, SecretUrl, Transport},
};
use secrecy::ExposeSecret as _;
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};
use url::Url;

use super::{
    browser::{Answer, connect, get, raw, request},
    site::{Site, domain},
};
use crate::oauth::stage::{CLIENT, say};

/// The portal of the site, by its host.
fn here(site: &Site) -> Expected {
    Expected::Host(domain(site.portal()))
}

/// Path and query of an address.
fn target(url: &str) -> String {
    let url: Url = url.parse().unwrap();
    format!("{}?{}", url.path(), url.query().unwrap_or_default())
}

/// A new link, without its host.
fn link(site: &Site, expected: Expected, replace: bool) -> String {
    let link = site
        .stage
        .scene
        .authorizations()
        .new_link(expected, replace);
    let link = link.unwrap();
    let link = link.expose_secret();
    assert!(
        link.starts_with("https://localhost/oauth/start?link="),
        "{link}"
    );
    target(link)
}

/// What a browser holds after the first step.
struct Browser {
    /// Where it was sent.
    location: String,
    cookie: String,
}

async fn start(site: &Site, link: &str) -> Browser {
    let answer = get(site.address, link, &[]).await;
    assert_eq!((answer.status, answer.body.as_str()), (303, ""));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    let set = answer.header("set-cookie").unwrap();
    let (cookie, traits) = set.split_once("; ").unwrap();
    assert!(cookie.starts_with("__Host-"), "{set}");
    assert_eq!(
        traits,
        "Path=/; Max-Age=600; Secure; HttpOnly; SameSite=Lax"
    );
    Browser {
        location: answer.header("location").unwrap().to_owned(),
        cookie: cookie.to_owned(),
    }
}

/// Whoever is signed in agrees. Where the portal sends the browser.
async fn agree(site: &Site, location: &str) -> String {
    let names = Names {
        fixed: [("a.portal.test".to_owned(), "127.0.0.1".parse().unwrap())].into(),
        private: true,
        ..Names::default()
    };
    let transport = Transport::new(&transport::Config {
        extra_roots: Some(site.stage.scene.sim.ca_pem().into()),
        names,
        ..transport::Config::default()
    });
    let url: SecretUrl = location.parse().unwrap();
    let answer = transport.unwrap().get(&url).await.unwrap();
    target(&answer.location.expect("the portal sends the browser back"))
}

async fn back(site: &Site, target: &str, cookie: &str) -> Answer {
    get(site.address, target, &[("cookie", cookie)]).await
}

/// The whole way.
async fn walk(site: &Site, link: &str) -> Answer {
    let browser = start(site, link).await;
    let target = agree(site, &browser.location).await;
    back(site, &target, &browser.cookie).await
}

/// The title of a page that nobody may frame.
fn title(answer: &Answer) -> &str {
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.ends_with("; frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("script-src"), "{policy}");
    let title = answer.body.split_once("<title>").unwrap().1;
    title.split_once("</title>").unwrap().0
}

/// The query of an address with some values changed.
fn changed(target: &str, change: &[(&str, Option<&str>)]) -> String {
    let url: Url = format!("https://x{target}").parse().unwrap();
    let pairs = url.query_pairs();
    let mut pairs: BTreeMap<_, _> = pairs
        .map(|(k, v)| (k.into_owned(), v.into_owned()))
        .collect();
    for (name, value) in change {
        match value {
            Some(value) => pairs.insert((*name).to_owned(), (*value).to_owned()),
            None => pairs.remove(*name),
        };
    }
    let query = super::site::encoded(&pairs.into_iter().collect::<Vec<_>>());
    format!("{}?{query}", url.path())
}

/// Installed by John, and connected by nobody.
async fn installed() -> Site {
    let site = Site::with_page().await;
    site.portal().install(CLIENT, 1).unwrap();
    site.portal().finish_install(CLIENT).unwrap();
    site
}

#[tokio::test(start_paused = true)]
async fn person_with_a_link_connects_the_portal() {
    let mut site = installed().await;
    let browser = start(&site, &link(&site, here(&site), false)).await;
    let location: Url = browser.location.parse().unwrap();
    assert_eq!(
        location.origin().ascii_serialization(),
        site.portal().address()
    );
    assert_eq!(location.path(), "/oauth/authorize/");
    let names: Vec<_> = location.query_pairs().map(|(name, _)| name).collect();
    assert_eq!(names, ["client_id", "state"]);
    let target = agree(&site, &browser.location).await;
    let answer = back(&site, &target, &browser.cookie).await;
    assert_eq!(title(&answer), "The portal is connected");
    assert_eq!(answer.status, 200);
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.contains("=; Path=/; Max-Age=0;"), "{cookie}");
    assert_eq!(site.user().await, Some(1));
    site.stage.scene.helper().await;
    say(&site.stage.scene, "hello").await.unwrap();

    // By the name that never changes, too, now that we know where it is.
    let member = Expected::Member(site.portal().member_id());
    let answer = walk(&site, &link(&site, member, false)).await;
    assert_eq!(title(&answer), "The portal is connected");
}

#[tokio::test(start_paused = true)]
async fn link_works_once_and_for_a_quarter_of_an_hour() {
    let site = installed().await;
    let over = "This link does not work any more";
    let used = link(&site, here(&site), false);
    // A chat that looks what is behind it does not use it up.
    let look = request("HEAD", &used, &[], "");
    let looked = raw(connect(site.address).await, look.as_bytes()).await;
    assert_eq!(looked.unwrap().status, 404);
    start(&site, &used).await;
    let early = link(&site, here(&site), false);
    let late = link(&site, here(&site), false);
    sleep(Duration::from_secs(14 * 60)).await;
    start(&site, &early).await;
    sleep(Duration::from_secs(60)).await;
    for link in [
        &used,
        &late,
        "/oauth/start?link=",
        "/oauth/start",
        "/oauth/start?link=AAAA",
    ] {
        let answer = get(site.address, link, &[]).await;
        assert_eq!((title(&answer), answer.status), (over, 403), "{link}");
        assert_eq!(answer.header("set-cookie"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn link_leads_to_portals_only() {
    let site = installed().await;
    let links = site.stage.scene.authorizations();
    for place in [
        Expected::Host("evil.org".to_owned()),
        Expected::Host("a.portal.test.evil.org".to_owned()),
        Expected::Host("evil.org/a.portal.test".to_owned()),
        Expected::Host("a.portal.test/evil".to_owned()),
        Expected::Host("127.0.0.1".to_owned()),
        Expected::Host(String::new()),
        Expected::Member("nobody".to_owned()),
        // Known, but nobody knows where it is.
        Expected::Member(site.portal().member_id()),
    ] {
        assert!(links.new_link(place.clone(), false).is_err(), "{place:?}");
    }
    // And there are not endlessly many.
    let made = (0..200).filter(|_| links.new_link(here(&site), false).is_ok());
    assert_eq!(made.count(), 100);
}

#[tokio::test(start_paused = true)]
async fn state_is_of_one_browser_and_works_once_and_in_time() {
    let site = installed().await;
    let first = start(&site, &link(&site, here(&site), false)).await;
    let second = start(&site, &link(&site, here(&site), false)).await;
    let target = agree(&site, &first.location).await;
    let foreign = "This authorization was not begun here";
    let name = first.cookie.split_once('=').unwrap().0;
    let lying = changed(&target, &[("state", Some("AAAA"))]);
    let stateless = changed(&target, &[("state", None)]);
    for (target, cookie) in [
        (&target, second.cookie.as_str()),
        (&target, ""),
        (&target, &format!("{name}=")),
        (&target, &format!("{name}=AAAA; other={}", first.cookie)),
        (&lying, &first.cookie),
        (&stateless, &first.cookie),
    ] {
        let answer = back(&site, target, cookie).await;
        assert_eq!((title(&answer), answer.status), (foreign, 403));
        assert_eq!(answer.header("set-cookie"), None);
    }
    assert_eq!(site.user().await, None);
    let answer = back(&site, &target, &format!("a=b; {}", first.cookie)).await;
    assert_eq!(title(&answer), "The portal is connected");
    let before = site.shown().await.tokens_obtained_time;
    let answer = back(&site, &target, &first.cookie).await;
    assert_eq!(title(&answer), "This was done already");

    let target = agree(&site, &second.location).await;
    sleep(Duration::from_secs(600)).await;
    let answer = back(&site, &target, &second.cookie).await;
    assert_eq!(title(&answer), "That took too long");
    assert_eq!(site.shown().await.tokens_obtained_time, before);
}

#[tokio::test(start_paused = true)]
async fn code_that_gives_no_tokens_is_told() {
    let site = installed().await;
    let refused = "Bitrix24 gave no access";
    let fresh = async || {
        let browser = start(&site, &link(&site, here(&site), false)).await;
        let target = agree(&site, &browser.location).await;
        (target, browser.cookie)
    };
    for code in [None, Some("wrong")] {
        let (target, cookie) = fresh().await;
        let target = changed(&target, &[("code", code)]);
        let answer = back(&site, &target, &cookie).await;
        assert_eq!((title(&answer), answer.status), (refused, 403));
    }
    let (target, cookie) = fresh().await;
    sleep(Duration::from_secs(31)).await;
    assert_eq!(title(&back(&site, &target, &cookie).await), refused);
    assert_eq!(site.user().await, None);
}

#[tokio::test(start_paused = true)]
async fn answer_of_another_portal_is_refused_whatever_it_says_of_itself() {
    let site = installed().await;
    let theirs = site.another().await;
    theirs.install(CLIENT, 1).unwrap();
    let other = "This is another portal";
    let browser = start(&site, &link(&site, here(&site), false)).await;
    let honest = agree(&site, &browser.location).await;
    let said = changed(&honest, &[("domain", Some(&domain(&theirs)))]);
    assert_eq!(title(&back(&site, &said, &browser.cookie).await), other);

    // A code of another portal, under the name of the one expected.
    let browser = start(&site, &link(&site, here(&site), false)).await;
    let honest = agree(&site, &browser.location).await;
    let code = theirs.issue_code(CLIENT, 1).unwrap();
    let lying = changed(&honest, &[("code", Some(&code))]);
    assert_eq!(title(&back(&site, &lying, &browser.cookie).await), other);
    assert_eq!(site.user().await, None);

    // The same where the link is for a member.
    let connected = walk(&site, &link(&site, here(&site), false)).await;
    assert_eq!(title(&connected), "The portal is connected");
    let member = Expected::Member(site.portal().member_id());
    let browser = start(&site, &link(&site, member, false)).await;
    let honest = agree(&site, &browser.location).await;
    let code = theirs.issue_code(CLIENT, 1).unwrap();
    let lying = changed(&honest, &[("code", Some(&code))]);
    assert_eq!(title(&back(&site, &lying, &browser.cookie).await), other);
    let names = site.stage.scene.portals().list().len();
    assert_eq!(names, 1, "the other portal did not come in");
}

#[tokio::test(start_paused = true)]
async fn another_user_takes_over_only_where_the_link_says_so() {
    let site = installed().await;
    walk(&site, &link(&site, here(&site), false)).await;
    let anna = site.stage.scene.anna;
    site.portal().sign_in(anna);
    let answer = walk(&site, &link(&site, here(&site), false)).await;
    assert_eq!(title(&answer), "Another user has connected this portal");
    assert_eq!((answer.status, site.user().await), (403, Some(1)));
    let answer = walk(&site, &link(&site, here(&site), true)).await;
    assert_eq!(title(&answer), "The portal is connected");
    assert_eq!(site.user().await, Some(anna));
}

#[tokio::test(start_paused = true)]
async fn code_and_secret_go_to_our_authorization_server_whatever_the_redirect_says() {
    let site = installed().await;
    let trap = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at: SocketAddr = trap.local_addr().unwrap();
    let browser = start(&site, &link(&site, here(&site), false)).await;
    let target = agree(&site, &browser.location).await;
    let swapped = changed(&target, &[("server_domain", Some(&at.to_string()))]);
    let answer = back(&site, &swapped, &browser.cookie).await;
    assert_eq!(title(&answer), "The portal is connected");
    assert!(
        timeout(Duration::from_secs(60), trap.accept())
            .await
            .is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn pages_speak_the_language_of_the_browser() {
    let site = installed().await;
    for (wanted, spoken) in [
        ("de-DE,de;q=0.9", "de"),
        ("ru", "ru"),
        ("fr", "en"),
        ("\"><", "en"),
    ] {
        let answer = get(site.address, "/oauth/start", &[("accept-language", wanted)]).await;
        assert!(
            answer.body.contains(&format!("<html lang=\"{spoken}\">")),
            "{wanted}"
        );
    }
}
