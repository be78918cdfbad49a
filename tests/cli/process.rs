//! Processes of the binary, and a simulated portal for them.

use std::{fs, net::SocketAddr, path::PathBuf, process::Stdio, time::Duration};

use bitrix24_sim::{Portal, PortalConfig, Sim};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStderr, Command},
    task::JoinHandle,
    time::timeout,
};

/// How long anything may take. Generous: what matters is that it ends.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The secret part of the webhook URL in use.
pub(crate) const SECRET: &str = "xqz7w0p4m2k9v1c8";

/// A folder to run in and a portal to talk to.
pub(crate) struct Desk {
    pub(crate) folder: TempDir,
    pub(crate) sim: Sim,
    pub(crate) portal: Portal,
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A gateway that is ready.
pub(crate) struct Running {
    child: Child,
    /// What it says from then on. Always read: a full pipe would stop it.
    saying: JoinHandle<String>,
    /// What it said until it was ready.
    pub(crate) said: String,
    pub(crate) address: SocketAddr,
}

impl Desk {
    pub(crate) async fn new() -> Self {
        let sim = Sim::start(bitrix24_sim::Config::default()).await.unwrap();
        let config = PortalConfig {
            webhook_code: SECRET.to_owned(),
            ..PortalConfig::default()
        };
        let portal = sim.add_portal(config).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), sim.ca_pem()).unwrap();
        Self {
            folder,
            sim,
            portal,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name).display().to_string()
    }

    /// A command in this folder, with an empty environment.
    pub(crate) fn bare(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bitrix24-gateway"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// `serve` with all it needs; `more` is further environment behind the prefix.
    pub(crate) fn serve(&self, arguments: &[&str], more: &[(&str, &str)]) -> Command {
        let mut command = self.bare(&[&["serve"], arguments].concat());
        let webhook = self.portal.webhook_url();
        let settings = [
            ("WEBHOOK_URL", webhook.as_str()),
            ("GRPC__LISTEN", "127.0.0.1:0"),
            ("ADMIN__LISTEN", ""),
            ("OUTBOUND__CA_FILE", "ca.pem"),
            ("POLLING__BUSY_PAUSE", "100ms"),
        ];
        for (name, value) in settings.iter().chain(more) {
            command.env(format!("BITRIX24_GATEWAY__{name}"), value);
        }
        command
    }
}

impl Ended {
    pub(crate) async fn of(mut command: Command) -> Self {
        let output = timeout(PATIENCE, command.output())
            .await
            .expect("it ends")
            .unwrap();
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The one line that says what is wrong.
    pub(crate) fn failure(&self, code: i32) -> &str {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.out, "", "{self:?}");
        assert!(
            !self.err.contains(SECRET) && !self.err.contains("panicked"),
            "{self:?}"
        );
        let (told, rest): (Vec<_>, Vec<_>) = self
            .err
            .lines()
            .partition(|line| line.starts_with("bitrix24-gateway: "));
        for line in rest {
            assert!(
                line.starts_with("20"),
                "neither the failure nor a log line: {line}"
            );
        }
        let [line] = told[..] else {
            panic!("not one line: {self:?}");
        };
        line
    }
}

impl Running {
    pub(crate) async fn of(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let address = loop {
            let line = timeout(PATIENCE, lines.next_line())
                .await
                .expect("it is ready in time");
            let line = line.unwrap().unwrap_or_else(|| panic!("it ended: {said}"));
            said.push_str(&line);
            said.push('\n');
            if line.contains("gateway is ready") {
                let address = line.split("grpc.address=").nth(1).unwrap();
                break address.split_whitespace().next().unwrap().parse().unwrap();
            }
        };
        Self {
            child,
            saying: tokio::spawn(rest(lines)),
            said,
            address,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    pub(crate) async fn signal(&self, name: &str) {
        let id = self.id().to_string();
        let kill = format!("kill -{name} {id}");
        let sent = Command::new("sh")
            .args(["-c", &kill])
            .status()
            .await
            .unwrap();
        assert!(sent.success());
    }

    /// Asks it to stop and waits until it did.
    pub(crate) async fn stop(self, signal: &str) -> Ended {
        self.signal(signal).await;
        self.ended().await
    }

    /// Waits until it ended.
    pub(crate) async fn ended(mut self) -> Ended {
        let ending = async {
            let err = self.said + &self.saying.await.unwrap();
            let mut out = String::new();
            self.child
                .stdout
                .take()
                .unwrap()
                .read_to_string(&mut out)
                .await
                .unwrap();
            let code = self.child.wait().await.unwrap().code();
            Ended { code, out, err }
        };
        timeout(PATIENCE, ending).await.expect("it ends")
    }
}

async fn rest(mut lines: Lines<BufReader<ChildStderr>>) -> String {
    let mut said = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        said.push_str(&line);
        said.push('\n');
    }
    said
}

/// What plain HTTP answers at an address.
pub(crate) async fn get(url: &str) -> String {
    let (host, path) = url
        .strip_prefix("http://")
        .unwrap()
        .split_once('/')
        .unwrap();
    let mut connection = TcpStream::connect(host).await.unwrap();
    let request = format!("GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let reading = connection.read_to_string(&mut answer);
    timeout(PATIENCE, reading)
        .await
        .expect("it answers")
        .unwrap();
    answer
}
