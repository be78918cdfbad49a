//! The gateway itself, as an operator starts it.

use std::{ffi::OsString, path::Path, process::Stdio, time::Duration};

use bitrix24_gateway::proto::v1::{self as pb, bot_service_client::BotServiceClient};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    time::sleep,
};
use tonic::transport::Channel;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{Outcome, process::Process};

/// The file of the authority that vouches for the portal, in the folder of the benchmark.
pub(crate) const CA_FILE: &str = "ca.pem";

/// The bot that answers.
pub(crate) const BOT_CODE: &str = "support_bot";

/// A gateway that serves.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) process: Process,
    pub(crate) address: String,
}

impl Gateway {
    /// Starts it on the store of a folder, which is made if there is none, and waits until it serves.
    pub(crate) async fn start(
        folder: &Path,
        portal: &str,
        settings: &[(&str, &str)],
    ) -> Outcome<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bitrix24-gateway"));
        command.arg("serve").env_clear().stderr(Stdio::piped());
        let path = |name: &str| folder.join(name).into_os_string();
        for (name, value) in [
            ("WEBHOOK_URL", portal.into()),
            ("OUTBOUND__CA_FILE", path(CA_FILE)),
            ("STORE__DIR", path("store")),
            ("STORE__KEY_FILE", path("keys")),
            ("GRPC__LISTEN", "127.0.0.1:0".into()),
            ("ADMIN__LISTEN", "".into()),
        ]
        .into_iter()
        .chain(
            settings
                .iter()
                .map(|(name, value)| (*name, OsString::from(value))),
        ) {
            command.env(format!("BITRIX24_GATEWAY__{name}"), value);
        }
        let mut process = Process::start(command)?;
        let mut said = BufReader::new(process.stderr()?).lines();
        let address = loop {
            let line = said.next_line().await?.ok_or("the gateway ended")?;
            if let Some((_, rest)) = line.split_once("grpc.address=") {
                break rest.split(' ').next().unwrap_or_default().to_owned();
            }
        };
        // A full pipe would stop it; what it has to say then is a failure, so it is passed on.
        tokio::spawn(async move {
            while let Ok(Some(line)) = said.next_line().await {
                // Refusals of a full gateway are what was asked for.
                if !line.contains(" INFO ") && !line.contains("QUEUE_FULL") {
                    eprintln!("{line}");
                }
            }
        });
        serving(&address).await?;
        Ok(Self { process, address })
    }

    /// Makes a bot known to it, in the portal of this name or, without one, in the only one.
    pub(crate) async fn register(
        &self,
        portal: &str,
        code: &str,
        mode: pb::EventMode,
    ) -> Outcome<()> {
        let mut client = BotServiceClient::connect(format!("http://{}", self.address)).await?;
        let bot = pb::RegisterBotRequest {
            portal: portal.to_owned(),
            bot_code: code.to_owned(),
            properties: Some(pb::BotProperties {
                name: Some("Support Bot".to_owned()),
                ..pb::BotProperties::default()
            }),
            event_mode: mode.into(),
            ..pb::RegisterBotRequest::default()
        };
        client.register_bot(bot).await?;
        Ok(())
    }
}

/// Waits until the standard health service says so.
async fn serving(address: &str) -> Outcome<()> {
    let gateway = Channel::from_shared(format!("http://{address}"))?;
    let mut health = HealthClient::new(gateway.connect().await?);
    loop {
        let answer = health.check(HealthCheckRequest::default()).await?;
        if answer.into_inner().status() == ServingStatus::Serving {
            return Ok(());
        }
        sleep(Duration::from_millis(1)).await;
    }
}
