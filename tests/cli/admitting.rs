//! Callers and portals that an operator adds and removes while the gateway runs.

use std::process::Stdio;

use bitrix24_gateway::{
    callers::TokenHash,
    proto::v1::{
        self as pb, bot_service_client::BotServiceClient,
        portal_service_client::PortalServiceClient,
    },
};
use bitrix24_sim::PortalConfig;
use tokio::io::AsyncWriteExt as _;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::process::{Desk, Ended, Running, SECRET};

/// The secret part of the URL of the other portal.
const OTHER: &str = "hush0hush1hush2";

async fn done(desk: &Desk, arguments: &[&str]) -> String {
    let ended = Ended::of(desk.bare(arguments)).await;
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{ended:?}");
    ended.out
}

async fn refused(desk: &Desk, arguments: &[&str]) -> String {
    let ended = Ended::of(desk.bare(arguments)).await;
    ended.failure(1).to_owned()
}

/// With what a secret is given to: standard input.
async fn add_portal(desk: &Desk, name: &str, url: &str) -> Ended {
    let mut command = desk.bare(&["portals", "add", name, "--webhook-url-stdin"]);
    command.stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input
        .write_all(format!("{url}\n").as_bytes())
        .await
        .unwrap();
    drop(input);
    let output = child.wait_with_output().await.unwrap();
    Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

async fn register(
    running: &Running,
    token: Option<&str>,
    portal: &str,
    code: &str,
) -> Result<(), Status> {
    let mut bots = BotServiceClient::connect(format!("http://{}", running.address))
        .await
        .unwrap();
    let mut request = Request::new(pb::RegisterBotRequest {
        portal: portal.to_owned(),
        bot_code: code.to_owned(),
        properties: Some(pb::BotProperties {
            name: Some("Support".to_owned()),
            ..pb::BotProperties::default()
        }),
        ..pb::RegisterBotRequest::default()
    });
    if let Some(token) = token {
        let bearer = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", bearer);
    }
    bots.register_bot(request).await.map(drop)
}

fn code(outcome: Result<(), Status>) -> Code {
    outcome.map_or_else(|status| status.code(), |()| Code::Ok)
}

#[tokio::test]
async fn caller_is_let_in_at_once_when_added_and_no_more_when_revoked() {
    let desk = Desk::new().await;
    let running = Running::of(desk.serve(&[], &[])).await;
    assert_eq!(code(register(&running, None, "", "anyone").await), Code::Ok);
    let add = [
        "callers",
        "add",
        "support",
        "--portals",
        "*",
        "--bots",
        "support_*,help",
        "--rpcs",
        "read,manage",
    ];
    let token = done(&desk, &add).await;
    let token = token.trim_end();
    assert!(
        token.starts_with("b24gw_") && !token.contains(char::is_whitespace),
        "{token}"
    );
    for (shown, bot, expected) in [
        (None, "support_one", Code::Unauthenticated),
        (Some(token), "support_one", Code::Ok),
        (Some(token), "help", Code::Ok),
        (Some(token), "another", Code::PermissionDenied),
    ] {
        assert_eq!(
            code(register(&running, shown, "", bot).await),
            expected,
            "{bot}"
        );
    }
    let told = refused(&desk, &add).await;
    assert!(told.contains("`support` exists"), "{told}");
    let told = refused(&desk, &["callers", "add", "two", "--rpcs", "write"]).await;
    assert!(told.contains("`rpcs` names \"write\""), "{told}");
    let listed = done(&desk, &["callers", "list"]).await;
    assert_eq!(
        listed,
        "support added portals=* bots=support_*,help rpcs=read,manage\n"
    );
    running.stop("TERM").await;

    // In the store, by its hash alone.
    let bytes = std::fs::read(desk.path("bitrix24-gateway-data/store/store.db")).unwrap();
    let hash = TokenHash::of(token).to_string();
    for secret in [token, &hash] {
        assert!(
            !bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes())
        );
    }
    let running = Running::of(desk.serve(&[], &[])).await;
    assert_eq!(
        code(register(&running, Some(token), "", "help").await),
        Code::Ok
    );
    done(&desk, &["callers", "revoke", "support"]).await;
    let gone = register(&running, Some(token), "", "help").await;
    assert_eq!(code(gone), Code::Unauthenticated);
    assert_eq!(done(&desk, &["callers", "list"]).await, "support revoked\n");
    let ended = running.stop("TERM").await;
    assert!(
        ended.err.contains("callers revoke") && ended.err.contains("audit"),
        "{ended:?}"
    );
    assert!(!ended.err.contains(token), "{ended:?}");

    // Nobody is let in because nobody is left.
    let running = Running::of(desk.serve(&[], &[])).await;
    assert_eq!(
        code(register(&running, None, "", "help").await),
        Code::Unauthenticated
    );
    let again = done(&desk, &add).await;
    let again = again.trim_end();
    assert_ne!(again, token);
    assert_eq!(
        code(register(&running, Some(again), "", "help").await),
        Code::Ok
    );
    running.stop("TERM").await;
}

#[tokio::test]
async fn caller_that_is_configured_and_in_the_store_stops_the_start_naming_both() {
    let desk = Desk::new().await;
    let running = Running::of(desk.serve(&[], &[])).await;
    running.stop("TERM").await;
    done(&desk, &["callers", "add", "support"]).await;
    let configured = [("CALLERS__SUPPORT__UID", "1")];
    let ended = Ended::of(desk.serve(&[], &configured)).await;
    let told = ended.failure(2);
    assert!(
        told.contains("`support`") && told.contains("in the store"),
        "{told}"
    );

    let configured = [("CALLERS__CHAT__UID", "1")];
    let running = Running::of(desk.serve(&[], &configured)).await;
    let told = refused(&desk, &["callers", "add", "chat"]).await;
    assert!(told.contains("`callers.chat`"), "{told}");
    let told = refused(&desk, &["callers", "revoke", "chat"]).await;
    assert!(told.contains("configuration"), "{told}");
    let listed = done(&desk, &["callers", "list"]).await;
    assert_eq!(listed, "chat configured\nsupport added\n");
    running.stop("TERM").await;
}

#[tokio::test]
async fn portal_is_called_at_once_when_added_and_no_more_when_removed() {
    let desk = Desk::new().await;
    let config = PortalConfig {
        webhook_code: OTHER.to_owned(),
        ..PortalConfig::default()
    };
    let other = desk.sim.add_portal(config).await.unwrap();
    let running = Running::of(desk.serve(&[], &[])).await;
    let missing = register(&running, None, "other", "helper")
        .await
        .unwrap_err();
    assert_eq!(
        missing.get_details_error_info().unwrap().reason,
        "UNKNOWN_PORTAL"
    );
    let ended = add_portal(&desk, "other", &other.webhook_url()).await;
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{ended:?}");
    register(&running, None, "other", "helper").await.unwrap();
    assert_eq!(other.bot_by_code("helper").unwrap().code, "helper");

    for (name, url, told) in [
        ("other", other.webhook_url(), "`other` exists"),
        ("default", other.webhook_url(), "`default` is configured"),
        (
            "third",
            format!("https://example.com/{OTHER}"),
            "not the URL",
        ),
        ("Third", other.webhook_url(), "cannot be named"),
    ] {
        let ended = add_portal(&desk, name, &url).await;
        let line = ended.failure(1);
        assert!(line.contains(told) && !line.contains(OTHER), "{line}");
    }
    let listed = done(&desk, &["portals", "list"]).await;
    assert_eq!(listed, "default configured Unknown\nother added Ok\n");
    let ended = running.stop("TERM").await;
    assert!(
        !ended.err.contains(OTHER) && ended.err.contains("portals add"),
        "{ended:?}"
    );

    // Nothing is configured any more but the store.
    let bare = [("WEBHOOK_URL", "")];
    let running = Running::of(desk.serve(&[], &bare)).await;
    register(&running, None, "other", "helper").await.unwrap();
    let told = refused(&desk, &["portals", "remove", "third"]).await;
    assert!(told.contains("there is no portal `third`"), "{told}");
    done(&desk, &["portals", "remove", "other"]).await;
    let missing = register(&running, None, "other", "helper")
        .await
        .unwrap_err();
    assert_eq!(
        missing.get_details_error_info().unwrap().reason,
        "UNKNOWN_PORTAL"
    );
    running.stop("TERM").await;
    let ended = Ended::of(desk.serve(&[], &bare)).await;
    assert!(
        ended.failure(2).contains("`webhook_url` is missing"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn portal_added_where_no_gateway_runs_is_called_by_the_next() {
    let desk = Desk::new().await;
    Running::of(desk.serve(&[], &[])).await.stop("TERM").await;
    let ended = add_portal(&desk, "other", &desk.portal.webhook_url()).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let running = Running::of(desk.serve(&[], &[])).await;
    let mut portals = PortalServiceClient::connect(format!("http://{}", running.address))
        .await
        .unwrap();
    let listed = portals.list_portals(pb::ListPortalsRequest::default());
    let listed = listed.await.unwrap().into_inner().portals;
    let names: Vec<_> = listed.iter().map(|portal| portal.portal.as_str()).collect();
    assert_eq!(names, ["default", "other"]);
    running.stop("TERM").await;
    // A configured portal of that name comes first, and the stored one can be forgotten.
    let file = desk.write(
        "config.toml",
        &format!(
            "[portals.other]\nwebhook_url = \"{}\"\n",
            desk.portal.webhook_url()
        ),
    );
    let running = Running::of(desk.serve(&["--config", &file], &[])).await;
    assert!(
        running.said.contains("a stored webhook is not used"),
        "{}",
        running.said
    );
    assert!(!running.said.contains(SECRET));
    running.stop("TERM").await;
    done(&desk, &["portals", "remove", "other", "--config", &file]).await;
    let told = refused(&desk, &["portals", "remove", "other", "--config", &file]).await;
    assert!(told.contains("take it out of the configuration"), "{told}");
}

#[tokio::test]
async fn link_for_an_authorization_is_made_by_a_gateway_that_receives_over_http_and_by_no_other() {
    let authorize = ["portals", "authorize", "acme.bitrix24.com"];
    let desk = Desk::new().await;
    let running = Running::of(desk.serve(&[], &[])).await;
    let told = refused(&desk, &authorize).await;
    assert!(told.contains("`http.listen`"), "{told}");
    running.stop("TERM").await;
    let told = refused(&desk, &authorize).await;
    assert!(told.contains("no gateway runs"), "{told}");

    let settings = [
        ("OAUTH__CLIENT_ID", "local.1"),
        ("OAUTH__CLIENT_SECRET", OTHER),
        ("HTTP__LISTEN", "127.0.0.1:0"),
        ("HTTP__PUBLIC_URL", "https://gateway.example.com"),
        ("HTTP__INSECURE", "true"),
    ];
    let running = Running::of(desk.serve(&[], &settings)).await;
    let link = done(&desk, &authorize).await;
    let secret = link.strip_prefix("https://gateway.example.com/oauth/start?link=");
    let secret = secret.unwrap().trim();
    assert_eq!(secret.len(), 43, "{link}");
    let told = refused(&desk, &["portals", "authorize", "acme.example.com"]).await;
    assert!(told.contains("`outbound.portal_hosts`"), "{told}");
    let ended = running.stop("TERM").await;
    assert!(
        !ended.err.contains(secret) && !ended.err.contains(OTHER),
        "{ended:?}"
    );
    assert!(ended.err.contains("portals authorize"), "{ended:?}");
}
