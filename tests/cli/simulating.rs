//! The simulated portal as a command of the binary, for tests of bots.

use std::{path::Path, process::Stdio, time::Duration};

use bitrix24_gateway::proto::v1::{self as pb, bot_service_client::BotServiceClient};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStdout},
    time::timeout,
};

use crate::process::{Desk, Ended, Running, get};

/// How long anything may take. Generous: what matters is that it happens.
const PATIENCE: Duration = Duration::from_secs(60);

/// A simulated portal that told where it is.
struct Simulating {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    told: Value,
}

impl Simulating {
    async fn of(desk: &Desk, arguments: &[&str]) -> Self {
        let folder = desk.folder.path().display().to_string();
        let mut command = desk.bare(&[&["sim", "--dir", &folder], arguments].concat());
        let mut child = command.stderr(Stdio::inherit()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = timeout(PATIENCE, lines.next_line()).await;
        let line = line
            .expect("it tells in time")
            .unwrap()
            .expect("it did not end");
        Self {
            child,
            lines,
            told: serde_json::from_str(&line).unwrap(),
        }
    }

    fn text(&self, member: &str) -> &str {
        let text = self.told[member].as_str();
        text.unwrap_or_else(|| panic!("no {member} in {}", self.told))
    }

    /// The port of an address it told.
    fn port(&self, member: &str) -> &str {
        let behind = self.text(member).split("127.0.0.1:").nth(1).unwrap();
        behind.split('/').next().unwrap()
    }

    /// Asks it to stop; answers its exit code and what else it printed.
    async fn stop(mut self, signal: &str) -> (Option<i32>, Vec<String>) {
        let kill = format!("kill -{signal} {}", self.child.id().unwrap());
        let sent = tokio::process::Command::new("sh")
            .args(["-c", &kill])
            .status();
        assert!(sent.await.unwrap().success());
        let ending = async {
            let mut rest = Vec::new();
            while let Some(line) = self.lines.next_line().await.unwrap() {
                rest.push(line);
            }
            (self.child.wait().await.unwrap().code(), rest)
        };
        timeout(PATIENCE, ending).await.expect("it ends")
    }
}

#[tokio::test]
async fn sim_prints_one_line_whose_addresses_answer_and_ends_well() {
    let desk = Desk::new().await;
    for signal in ["TERM", "INT"] {
        let sim = Simulating::of(&desk, &["--no-limits"]).await;
        let overview = get(sim.text("control")).await;
        assert!(overview.starts_with("HTTP/1.1 200"), "{overview}");
        assert!(overview.contains(sim.text("address")), "{overview}");
        // Whatever the address is worth there: REST answers.
        let rest = get(&format!("{}/rest/profile", sim.text("plain_address"))).await;
        assert!(rest.contains(r#"{"error":""#), "{rest}");
        let members = ["portal", "user_id"].map(|member| sim.told[member].as_i64());
        assert_eq!(members, [Some(1), Some(1)]);
        for port in [sim.port("address"), sim.port("oauth")] {
            TcpStream::connect(format!("127.0.0.1:{port}"))
                .await
                .unwrap();
        }

        let ca_file = Path::new(sim.text("ca_file")).to_owned();
        assert!(ca_file.starts_with(desk.folder.path()), "{ca_file:?}");
        let known = sim.text("dialog_id").starts_with("chat");
        assert!(known, "{}", sim.told);
        assert_eq!(sim.stop(signal).await, (Some(0), Vec::new()));
        assert!(!ca_file.exists(), "{ca_file:?} was left behind");
    }
}

#[tokio::test]
async fn gateway_serves_the_portal_of_sim() {
    let desk = Desk::new().await;
    let sim = Simulating::of(&desk, &[]).await;
    let settings = [
        ("WEBHOOK_URL", sim.text("webhook_url")),
        ("OUTBOUND__CA_FILE", sim.text("ca_file")),
    ];
    let running = Running::of(desk.serve(&[], &settings)).await;
    let mut bots = BotServiceClient::connect(format!("http://{}", running.address))
        .await
        .unwrap();
    let bot = pb::RegisterBotRequest {
        bot_code: "helper".to_owned(),
        properties: Some(pb::BotProperties {
            name: Some("Helper".to_owned()),
            ..pb::BotProperties::default()
        }),
        ..pb::RegisterBotRequest::default()
    };
    bots.register_bot(bot).await.unwrap();
    let known = get(&format!("{}/portals/1/bots", sim.text("control"))).await;
    assert!(known.contains(r#""code":"helper""#), "{known}");
    running.stop("TERM").await;
    sim.stop("TERM").await;
}

#[tokio::test]
async fn second_sim_on_a_port_is_told_the_address() {
    let desk = Desk::new().await;
    let first = Simulating::of(&desk, &[]).await;
    for (flag, member) in [("--port", "address"), ("--control-port", "control")] {
        let port = first.port(member);
        let ended = Ended::of(desk.bare(&["sim", flag, port])).await;
        let line = ended.failure(1);
        for word in ["simulated portal", "127.0.0.1", port, "in use"] {
            assert!(line.contains(word), "{word} is missing in: {line}");
        }
    }
    first.stop("TERM").await;
}

#[tokio::test]
async fn files_sim_cannot_use_are_named() {
    let desk = Desk::new().await;
    let ended = Ended::of(desk.bare(&["sim", "--trust", "nowhere.pem"])).await;
    assert!(ended.failure(2).contains("nowhere.pem"), "{ended:?}");
    let ended = Ended::of(desk.bare(&["sim", "--dir", "nowhere"])).await;
    assert!(
        ended.failure(1).contains("nowhere/bitrix24-sim-"),
        "{ended:?}"
    );
    let ended = Ended::of(desk.bare(&["sim", "--port", "many"])).await;
    assert!(ended.failure(2).contains("--port"), "{ended:?}");
}

#[tokio::test]
async fn help_of_sim_names_its_flags() {
    let desk = Desk::new().await;
    let help = Ended::of(desk.bare(&["sim", "--help"])).await;
    assert_eq!(help.code, Some(0));
    assert!(
        help.out.starts_with("Run a simulated Bitrix24 portal"),
        "{}",
        help.out
    );
    for flag in [
        "--port",
        "--control-port",
        "--dir",
        "--no-limits",
        "--trust",
    ] {
        assert!(help.out.contains(flag), "{flag}: {}", help.out);
    }
}
