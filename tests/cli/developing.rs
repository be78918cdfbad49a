//! `dev`: a gateway, a simulated portal and a page, in one command.

use std::{fs, time::Duration};

use bitrix24_gateway::proto::v1::bot_service_client::BotServiceClient;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines},
    net::TcpListener,
    process::{Child, ChildStdout},
    time::timeout,
};
use tonic::transport::Channel;

use crate::process::{Desk, Ended, get};

#[path = "developing/bot.rs"]
mod bot;
#[path = "developing/browser.rs"]
mod browser;
#[path = "developing/chromium.rs"]
mod chromium;

/// How long anything may take. Generous: what matters is that it happens.
const PATIENCE: Duration = Duration::from_secs(60);

/// A desk that told where it is.
struct Developing {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    told: Vec<String>,
}

impl Developing {
    async fn of(desk: &Desk, arguments: &[&str]) -> Self {
        let any = [
            "dev",
            "--listen",
            "127.0.0.1:0",
            "--page",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
        ];
        let mut child = desk.bare(&[&any, arguments].concat()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut told = Vec::new();
        while told
            .last()
            .is_none_or(|line: &String| !line.starts_with("stop"))
        {
            let line = timeout(PATIENCE, lines.next_line()).await;
            let line = line.expect("it tells in time").unwrap();
            let Some(line) = line else {
                let mut said = String::new();
                let mut err = child.stderr.take().unwrap();
                err.read_to_string(&mut said).await.unwrap();
                panic!("it ended: {said}");
            };
            told.push(line);
        }
        Self { child, lines, told }
    }

    /// What is told under a name.
    fn told(&self, name: &str) -> &str {
        let line = self.told.iter().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {:?}", self.told))
            .trim()
    }

    fn page(&self) -> &str {
        self.told("chat page")
    }

    async fn bots(&self) -> BotServiceClient<Channel> {
        let address = self.told("gRPC API").split(',').next().unwrap();
        let connecting = BotServiceClient::connect(format!("http://{address}"));
        connecting.await.unwrap()
    }

    /// Asks it to stop and waits until it did: its exit code, what it printed last, and its errors.
    async fn stop(mut self, signal: &str) -> (Option<i32>, Vec<String>, String) {
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
            let mut said = String::new();
            let mut err = self.child.stderr.take().unwrap();
            err.read_to_string(&mut said).await.unwrap();
            (self.child.wait().await.unwrap().code(), rest, said)
        };
        timeout(PATIENCE, ending).await.expect("it ends")
    }
}

#[tokio::test]
async fn dev_tells_where_everything_is_serves_a_bot_and_ends_well() {
    let desk = Desk::new().await;
    for signal in ["INT", "TERM"] {
        let dev = Developing::of(&desk, &[]).await;
        let page = get(dev.page()).await;
        assert!(
            page.starts_with("HTTP/1.1 200") && page.contains("Simulated Bitrix24"),
            "{page}"
        );
        let operators = dev.told("operators").split(',').next().unwrap();
        let page = get(operators).await;
        assert!(page.contains("Why is my bot silent?"), "{page}");
        let health = get(&format!("{operators}readyz")).await;
        assert!(health.starts_with("HTTP/1.1 200"), "{health}");
        let mut bots = dev.bots().await;
        bot::register(&mut bots, "helper").await;
        let place = dev.told("store").split(',').next().unwrap().to_owned();
        assert!(fs::exists(&place).unwrap(), "{place}");
        let (code, last, errors) = dev.stop(signal).await;
        assert_eq!((code, last), (Some(0), vec!["stopped in order".to_owned()]));
        assert_eq!(errors, "");
        assert!(!fs::exists(&place).unwrap(), "{place} was left behind");
    }
}

#[tokio::test]
async fn named_folder_is_kept_and_a_bot_is_answered_on_it_again() {
    let desk = Desk::new().await;
    let folder = desk.path("kept").display().to_string();
    for _ in 0..2 {
        let dev = Developing::of(&desk, &["--folder", &folder]).await;
        assert!(dev.told("store").ends_with("kept"), "{:?}", dev.told);
        let bot = bot::Bot::start(dev.bots().await).await;
        // A portal that begins anew gives the same ids again, and its events are new ones.
        let page = browser::Requests::of(dev.page());
        let text = serde_json::json!({"dialog": bot.id.to_string(), "text": "/weather Berlin"});
        page.post("/api/users/3/types", &text).await;
        bot.answered_one().await;
        drop(bot);
        assert_eq!(dev.stop("TERM").await.0, Some(0));
    }
    assert!(fs::exists(desk.path("kept/keys")).unwrap());
}

#[tokio::test]
async fn taken_addresses_and_unusable_folders_are_told_in_one_line() {
    let desk = Desk::new().await;
    let held = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = held.local_addr().unwrap().to_string();
    let free = "127.0.0.1:0";
    for flag in ["--listen", "--page", "--admin"] {
        let mut arguments = vec!["dev", flag, &taken];
        for other in ["--listen", "--page", "--admin"] {
            if other != flag {
                arguments.extend([other, free]);
            }
        }
        let ended = Ended::of(desk.bare(&arguments)).await;
        let line = ended.failure(1);
        for word in [flag, &taken, "in use"] {
            assert!(line.contains(word), "{word} is missing in: {line}");
        }
    }
    drop(held);
    let file = desk.write("file", "");
    for folder in [format!("{file}/below"), file] {
        let arguments = ["dev", "--listen", free, "--page", free, "--folder", &folder];
        let ended = Ended::of(desk.bare(&arguments)).await;
        let line = ended.failure(1);
        assert!(
            line.contains(&folder) && line.contains("--folder"),
            "{line}"
        );
    }
}

#[tokio::test]
async fn nobody_beyond_this_machine_is_let_in() {
    let desk = Desk::new().await;
    for flag in ["--listen", "--page", "--admin"] {
        let ended = Ended::of(desk.bare(&["dev", flag, "0.0.0.0:0"])).await;
        let line = ended.failure(2);
        assert!(
            line.contains(flag)
                && line.contains("beyond this machine")
                && line.ends_with("such as 127.0.0.1:0"),
            "{line}"
        );
    }
    let ended = Ended::of(desk.bare(&["dev", "--page", "nowhere"])).await;
    let line = ended.failure(2);
    assert!(
        line.contains("--page") && line.contains("such as 127.0.0.1:8080"),
        "{line}"
    );
}
