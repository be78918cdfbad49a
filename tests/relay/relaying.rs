//! A relay within the test.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use bitrix24_gateway::{
    lifecycle::Lifecycle,
    relay::{Config, Files, Relay, Sign, Target},
};
use tempfile::TempDir;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::bare::{Bare, PATIENCE};

/// A relay that runs, at a socket and at an address.
pub(crate) struct Relaying {
    pub(crate) life: Lifecycle,
    pub(crate) address: SocketAddr,
    pub(crate) socket: PathBuf,
    pub(crate) sign: Sign,
    running: JoinHandle<()>,
    _folder: TempDir,
}

impl Relaying {
    /// In front of a server of this machine, without a proof.
    pub(crate) async fn before(upstream: SocketAddr) -> Self {
        Self::of(|config| config.upstream.port = upstream.port()).await
    }

    pub(crate) async fn of(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("relay.sock");
        let mut config = Config {
            socket: Some(socket.clone()),
            listen: Some("127.0.0.1:0".parse().unwrap()),
            connections: 100,
            upstream: Target {
                tls: false,
                host: "127.0.0.1".to_owned(),
                port: 1,
            },
            files: Files::default(),
            connect_timeout: Duration::from_secs(5),
            keepalive: Duration::from_secs(30),
            pod: None,
        };
        change(&mut config);
        let life = Lifecycle::default();
        let relay = Relay::bind(config, &life).await.unwrap();
        let address = relay.address().unwrap().unwrap();
        let sign = relay.sign();
        let running = life.clone();
        let running = tokio::spawn(async move { relay.run(&running).await });
        Self {
            life,
            address,
            socket,
            sign,
            running,
            _folder: folder,
        }
    }

    pub(crate) async fn caller(&self) -> Bare {
        Bare::tcp(self.address).await
    }

    /// Waits until it says so of the gateway.
    pub(crate) async fn says(&self, what: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.sign.line().contains(what) {
            assert!(Instant::now() < end, "{} and not {what}", self.sign.line());
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Begins the stop, and says whether everything ended in time.
    pub(crate) async fn stop(self, grace: Duration) -> bool {
        self.life.begin_stop();
        self.running.await.unwrap();
        self.life.finished(grace).await
    }
}
