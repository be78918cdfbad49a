//! Lies, and what they change: nothing.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use bitrix24_sim::ApplicationConfig;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::{Instant, timeout},
};

use super::{
    browser::{self, connect, post, raw},
    site::{FORM, Site, domain, with},
};
use crate::oauth::stage::{CLIENT, say};

#[tokio::test(start_paused = true)]
async fn forged_installation_of_a_connected_portal_changes_nothing() {
    let mut site = Site::new().await;
    site.install(1).await;
    site.stage.scene.helper().await;
    let obtained = site.shown().await.tokens_obtained_time;
    let theirs = site.another().await;
    let their_tokens = theirs.install(CLIENT, 1).unwrap();
    let anna = site.stage.scene.anna;
    let ordinary = site.portal().issue_tokens(CLIENT, anna).unwrap();
    let ours = site.portal().issue_tokens(CLIENT, 1).unwrap();
    let other = site.portal().add_application(ApplicationConfig::default());
    let of_another_application = site.portal().install(&other, 1).unwrap();
    let real = site.auth(site.portal(), &ours);
    let brought = |tokens| site.auth(site.portal(), tokens);
    let foreign = site.auth(&theirs, &their_tokens);
    let nobody = bitrix24_sim::TokenPair {
        access_token: "0123456789abcdef".repeat(4),
        ..ours.clone()
    };
    let forgeries = [
        ("tokens of another portal", brought(&their_tokens)),
        (
            "the name of ours at another's host",
            with(&foreign, "member_id", Some(&site.portal().member_id())),
        ),
        (
            "the host of ours with another's name",
            with(&foreign, "domain", Some(&domain(site.portal()))),
        ),
        ("an ordinary user", brought(&ordinary)),
        ("a token that nobody gave", brought(&nobody)),
        ("another application", brought(&of_another_application)),
        ("no refresh token", with(&real, "refresh_token", None)),
        ("no access token", with(&real, "access_token", None)),
        ("no member_id", with(&real, "member_id", None)),
        ("no domain", with(&real, "domain", None)),
        ("a host of nobody", with(&real, "domain", Some("evil.org"))),
        ("a path", with(&real, "domain", Some("a.portal.test/evil"))),
        (
            "an endless token",
            with(&real, "access_token", Some(&"x".repeat(5000))),
        ),
        (
            "an endless proof",
            with(&real, "application_token", Some(&"x".repeat(5000))),
        ),
    ];
    for event in ["ONAPPINSTALL", "ONAPPUPDATE"] {
        for (name, auth) in &forgeries {
            let auth = match event {
                // With the right proof an update is none of these.
                "ONAPPUPDATE" if *name != "an endless proof" => {
                    with(auth, "application_token", Some("poison"))
                }
                _ => auth.clone(),
            };
            assert_eq!(site.tell(event, &auth).await.status, 200);
            let shown = site.shown().await;
            assert_eq!(shown.user_id, Some(1), "{event}: {name}");
            assert_eq!(shown.tokens_obtained_time, obtained, "{event}: {name}");
        }
    }
    say(&site.stage.scene, "still ours").await.unwrap();
    // Nor did any of them put its own proof in the place of ours.
    let poisoned = with(&real, "application_token", Some("poison"));
    site.tell("ONAPPUNINSTALL", &poisoned).await;
    say(&site.stage.scene, "still here").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn forged_removal_changes_nothing() {
    let mut site = Site::new().await;
    let tokens = site.install(1).await;
    site.stage.scene.helper().await;
    let theirs = site.another().await;
    theirs.install(CLIENT, 1).unwrap();
    let real = site.auth(site.portal(), &tokens);
    let proof = site.portal().application(CLIENT).unwrap().application_token;
    let their_proof = theirs.application(CLIENT).unwrap().application_token;
    for forged in [
        None,
        Some(""),
        Some("wrong"),
        Some(&proof[1..]),
        Some(&format!("{proof}0")),
        Some(&proof.to_ascii_uppercase()),
        Some(&their_proof),
    ] {
        let forged = with(&real, "application_token", forged);
        assert_eq!(site.tell("ONAPPUNINSTALL", &forged).await.status, 200);
    }
    let elsewhere = with(&real, "member_id", Some(&theirs.member_id()));
    assert_eq!(site.tell("ONAPPUNINSTALL", &elsewhere).await.status, 200);
    say(&site.stage.scene, "still here").await.unwrap();
    site.tell("ONAPPUNINSTALL", &real).await;
    assert_eq!(site.user().await, None);
}

#[tokio::test(start_paused = true)]
async fn addresses_in_a_callback_are_not_gone_to() {
    let site = Site::new().await;
    let trap = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = trap.local_addr().unwrap().port();
    let tokens = site.install_unheard(1);
    let auth = site.auth(site.portal(), &tokens);
    let swapped = format!("https://a.portal.test:{port}/rest/");
    let auth = with(&auth, "client_endpoint", Some(&swapped));
    let auth = with(
        &auth,
        "server_endpoint",
        Some(&format!("https://127.0.0.1:{port}/rest/")),
    );
    site.tell("ONAPPINSTALL", &auth).await;
    // It is true all the same, but for the addresses.
    let shown = site.shown().await;
    assert_eq!(
        (shown.user_id, shown.address),
        (Some(1), site.portal().address())
    );
    let came = timeout(Duration::from_secs(600), trap.accept()).await;
    assert!(came.is_err(), "somebody came to {swapped}");
}

#[tokio::test(start_paused = true)]
async fn everybody_gets_the_same_answer() {
    let mut site = Site::new().await;
    let tokens = site.install(1).await;
    site.stage.scene.helper().await;
    let real = site.auth(site.portal(), &tokens);
    let seen = |answer: browser::Answer| (answer.status, answer.headers(), answer.body);
    let first = seen(site.tell("ONAPPINSTALL", &real).await);
    assert_eq!((first.0, first.2.as_str()), (200, ""));
    let wrong = with(&real, "access_token", Some("wrong"));
    for (event, auth) in [
        ("ONAPPINSTALL", &wrong),
        (
            "ONAPPUNINSTALL",
            &with(&real, "application_token", Some("wrong")),
        ),
        ("ONAPPMETHODCONFIRM", &real),
        ("ONAPPMETHODCONFIRM", &wrong),
        ("ONAPPTEST", &real),
        ("ONIMBOTV2MESSAGEADD", &real),
        ("", &real),
    ] {
        assert_eq!(seen(site.tell(event, auth).await), first, "{event}");
    }
    for (media, body) in [
        ("text/plain", "event=ONAPPINSTALL"),
        ("application/json", "{\"event\": "),
        ("application/json", "[[[[[[[[[[[[[[[[[[[["),
        ("application/json", "{\"event\":{\"event\":1},\"auth\":7}"),
        (
            FORM,
            "event[a][b][c][d][e][f][g][h][i][j][k][l][m][n][o][p][q]=1",
        ),
        (FORM, "%ff%fe=%00&event=%00"),
        (FORM, ""),
        ("", ""),
    ] {
        let answer = post(site.address, "/bitrix24/events", media, body).await;
        assert_eq!(seen(answer), first, "{media} {body}");
    }
    let deep = "[".repeat(60_000);
    let answer = post(site.address, "/bitrix24/events", "application/json", &deep).await;
    assert_eq!(seen(answer), first);
    say(&site.stage.scene, "still here").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn bodies_are_bounded_in_length_and_time() {
    let site = Site::new().await;
    for path in ["/bitrix24/events", "/bitrix24/app"] {
        let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: {FORM}\r\n");
        let announced = format!("{head}content-length: 65537\r\n\r\n");
        let answer = raw(connect(site.address).await, announced.as_bytes()).await;
        assert_eq!(answer.unwrap().status, 413);

        // It never ends, and never tells.
        let mut stream = connect(site.address).await;
        let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n");
        stream.write_all(chunked.as_bytes()).await.unwrap();
        let piece = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
        let mut sent = 0;
        while sent < 1 << 24 && stream.write_all(piece.as_bytes()).await.is_ok() {
            sent += piece.len();
        }
        assert!(sent < 1 << 24, "{sent} bytes were taken");

        // It ends, but not today.
        let mut stream = connect(site.address).await;
        let slow = format!("{head}content-length: 100\r\n\r\nevent=");
        stream.write_all(slow.as_bytes()).await.unwrap();
        let began = Instant::now();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).await.unwrap();
        assert_eq!(browser::Answer::read(&received).unwrap().status, 408);
        assert!(began.elapsed() < Duration::from_secs(15));
    }
}

#[tokio::test(start_paused = true)]
async fn log_tells_that_something_was_refused_and_nothing_of_it() {
    let logs = Logs::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer({
            let logs = logs.clone();
            move || logs.clone()
        })
        .finish();
    let _subscribed = crate::log::log_into(subscriber);
    let mut site = Site::new().await;
    let tokens = site.install(1).await;
    site.stage.scene.helper().await;
    let real = site.auth(site.portal(), &tokens);
    let forged: Vec<_> = real
        .iter()
        .map(|(name, value)| match name.as_str() {
            "domain" => (name.clone(), value.clone()),
            "member_id" => (name.clone(), "hush-member".to_owned()),
            _ => (name.clone(), format!("hush-{name}")),
        })
        .collect();
    for event in [
        "ONAPPINSTALL",
        "ONAPPUPDATE",
        "ONAPPUNINSTALL",
        "ONAPPPAYMENT",
    ] {
        site.tell(event, &forged).await;
    }
    for _ in 0..100 {
        post(
            site.address,
            "/bitrix24/events",
            FORM,
            "event=ONAPPUNINSTALL&hush=hush",
        )
        .await;
    }
    site.settle().await;
    // What is proven is told, but for the token.
    let decided = [
        ("METHOD", "imbot.v2.Bot.register"),
        ("CONFIRMED", "0"),
        ("TOKEN", "hush-token"),
    ];
    for auth in [&real, &forged] {
        site.tell_with("ONAPPMETHODCONFIRM", &decided, auth).await;
    }
    let bytes = logs.0.lock().unwrap().clone();
    let text = String::from_utf8_lossy(&bytes);
    let refused = text
        .lines()
        .filter(|line| line.contains("refused http.request"));
    let refused = refused.count();
    assert!(
        (4..20).contains(&refused),
        "{refused} lines tell of 104 refusals"
    );
    assert!(!text.contains("hush"), "a forged text is in the log");
    let told = text.matches("an administrator refused a method");
    assert_eq!(told.count(), 1);
    assert!(text.contains("method=\"imbot.v2.Bot.register\""));
    let proof = site.portal().application(CLIENT).unwrap().application_token;
    for secret in [&tokens.access_token, &tokens.refresh_token, &proof] {
        assert!(!text.contains(secret), "a secret is in the log");
    }
}

/// What was logged.
#[derive(Clone, Default)]
struct Logs(Arc<Mutex<Vec<u8>>>);

impl Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
