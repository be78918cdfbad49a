//! The operator page, as browsers and strangers ask for it.

use std::net::SocketAddr;

use bitrix24_gateway::proto::v1 as pb;
use bitrix24_sim::Fault;
use tokio::time::sleep;

use super::browser::{self, Answer};
use crate::{
    diagnosis::{served, silent},
    scene::Scene,
};

/// Asks at the address itself.
pub(super) async fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    ask("GET", address, path, headers).await
}

async fn ask(method: &str, address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    let stream = browser::connect(address).await;
    let answer = browser::raw(stream, format!("{request}\r\n").as_bytes()).await;
    answer.unwrap()
}

#[tokio::test(start_paused = true)]
async fn first_screen_tells_why_a_bot_is_silent_and_what_to_do() {
    let mut scene = silent().await;
    let page = get(scene.admin(), "/", &[]).await;
    assert_eq!(page.status, 200);
    let (before, tables) = page.body.split_once("<h2 id=\"portals\">").unwrap();
    assert!(before.contains("Something keeps bots silent."), "{before}");
    assert!(before.contains("bot helper of portal default"), "{before}");
    assert!(before.contains("SubscribeCommandEvents"), "{before}");
    for name in ["default", "helper", "ACTIVE", "fetched", "subscription"] {
        assert!(tables.contains(name), "no {name} in {tables}");
    }
    // As soon as somebody reads, that is told.
    let _stream = served(&mut scene).await;
    sleep(std::time::Duration::from_secs(2)).await;
    let page = get(scene.admin(), "/", &[]).await;
    assert!(page.body.contains("No bot is silent"), "{}", page.body);
    assert!(!page.body.contains(&scene.portal.webhook_url()) && !page.body.contains("again"));
    let code = scene.portal.webhook_url();
    let code = code.trim_end_matches('/').rsplit('/').next().unwrap();
    assert!(!page.body.contains(code), "the credential is not shown");
}

#[tokio::test(start_paused = true)]
async fn page_without_bots_says_that_there_are_none_and_how_one_comes() {
    let scene = Scene::start().await;
    let page = get(scene.admin(), "/", &[]).await;
    for words in ["No bot is registered yet.", "Next: <bdi>start a bot"] {
        assert!(page.body.contains(words), "{words} in {}", page.body);
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_fail_are_told_by_reason() {
    let mut scene = silent().await;
    let unknown = pb::GetBotRequest {
        bot_code: "nobody".to_owned(),
        ..pb::GetBotRequest::default()
    };
    for _ in 0..2 {
        scene.bots.get_bot(unknown.clone()).await.unwrap_err();
    }
    let page = get(scene.admin(), "/", &[]).await;
    let (_, table) = page.body.split_once("<h2 id=\"failures\">").unwrap();
    assert!(
        table.contains("UNKNOWN_BOT") && table.contains("GetBot"),
        "{table}"
    );
    assert!(table.contains("<td>2</td>"), "{table}");
}

#[tokio::test(start_paused = true)]
async fn page_has_nothing_inline_and_says_so() {
    let scene = silent().await;
    let page = get(scene.admin(), "/", &[]).await;
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    assert!(
        !policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.body.matches("<script").count(), 1);
    assert!(
        page.body
            .contains("<script src=\"/status.js\" defer></script>")
    );
    for inline in ["<style", "style=", " onclick", " onload", "javascript:"] {
        assert!(!page.body.contains(inline), "{inline}");
    }
    for (path, kind) in [
        ("/status.css", "text/css"),
        ("/status.js", "text/javascript"),
    ] {
        let part = get(scene.admin(), path, &[]).await;
        assert_eq!(part.status, 200);
        assert!(part.header("content-type").unwrap().starts_with(kind));
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_can_be_changed_and_strangers_see_nothing() {
    let scene = silent().await;
    let address = scene.admin();
    for (method, path, status) in [
        ("HEAD", "/", 200),
        ("POST", "/", 405),
        ("DELETE", "/", 405),
        ("GET", "/index.html", 404),
        ("GET", "//", 404),
    ] {
        let answer = ask(method, address, path, &[]).await;
        assert_eq!(answer.status, status, "{method} {path}");
    }
    for path in ["/", "/status.css", "/status.js"] {
        // Led here by a name, by a page of somebody else, or by one of another port.
        let led = browser::get(address, path, &[]).await;
        assert_eq!((led.status, led.body.as_str()), (421, ""), "{path}");
        for header in [
            ("origin", "http://evil.test"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            let refused = get(address, path, &[header]).await;
            assert_eq!(
                (refused.status, refused.body.as_str()),
                (403, ""),
                "{header:?}"
            );
        }
    }
    // Probes of machines come by any name.
    assert_eq!(browser::get(address, "/readyz", &[]).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn what_a_portal_says_is_shown_as_text() {
    let scene = silent().await;
    let code = format!("<script>alert(1)</script>\u{202e}{}", "x".repeat(5000));
    let fault = Fault::error(400, &code, "no");
    scene.portal.faults().on("imbot.v2.Event.get", fault);
    sleep(std::time::Duration::from_secs(20)).await;
    let page = get(scene.admin(), "/", &[]).await;
    assert!(
        page.body.contains("<code><bdi>&lt;script&gt;alert(1)"),
        "{}",
        page.body
    );
    assert!(!page.body.contains("<script>") && !page.body.contains('\u{202e}'));
    assert!(!page.body.contains(&"x".repeat(100)));
}
