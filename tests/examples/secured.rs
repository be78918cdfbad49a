//! The gateway behind TLS and a token that the README shows, and the channel to it, as they stand there.

use std::{fs, path::Path, process::Stdio, time::Duration};

use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

use crate::{
    portal::{PATIENCE, World},
    snippets::{README, shown},
    tools::{PYTHON, Workshop, run},
};

const GATEWAY: &str = env!("CARGO_BIN_EXE_bitrix24-gateway");

const BEFORE: &str = r#"
import os, sys
import grpc
sys.path.append(os.environ["EXAMPLE"] + "/gen")
from bitrix24.gateway.v1 import bots_pb2 as pb, bots_pb2_grpc

"#;

/// The token lets in, and only the token.
const BEHIND: &str = r#"
wish = pb.RegisterBotRequest(bot_code="support_desk", properties={"name": "Desk"})
print(bots_pb2_grpc.BotServiceStub(channel).RegisterBot(wish, timeout=30))
trusted = grpc.ssl_channel_credentials(open("gateway.pem", "rb").read())
stranger = bots_pb2_grpc.BotServiceStub(grpc.secure_channel(ADDRESS, trusted))
try:
    stranger.RegisterBot(wish, timeout=30)
except grpc.RpcError as error:
    sys.exit(error.code() != grpc.StatusCode.UNAUTHENTICATED)
sys.exit("a stranger was let in")
"#;

/// The gateway in a folder with `gateway.toml`, and its port; it listens on loopback only.
async fn serve(folder: &Path, portal: &World) -> (Child, String) {
    let log = folder.join("gateway.log");
    let process = Command::new(GATEWAY)
        .args(["serve", "--config", "gateway.toml"])
        .args(["--listen", "127.0.0.1:0"])
        .current_dir(folder)
        .env_clear()
        .env("BITRIX24_GATEWAY__WEBHOOK_URL", portal.webhook_url())
        .env("BITRIX24_GATEWAY__OUTBOUND__CA_FILE", "../ca.pem")
        .env("BITRIX24_GATEWAY__ADMIN__LISTEN", "")
        .stdin(Stdio::null())
        .stderr(fs::File::create(&log).unwrap())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let end = Instant::now() + PATIENCE;
    loop {
        let said = fs::read_to_string(&log).unwrap();
        let address = said.split_once("grpc.address=127.0.0.1:");
        if let Some((port, _)) = address.and_then(|(_, rest)| rest.split_once(char::is_whitespace))
        {
            return (process, port.to_owned());
        }
        assert!(Instant::now() < end, "the gateway is not ready\n{said}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn channel_of_the_readme_trusts_the_gateway_of_the_readme_and_is_let_in_by_its_token() {
    let workshop = Workshop::of(PYTHON).await;
    let world = World::start("support_desk").await;
    let folder = world.folder().join("secured_desk");
    fs::create_dir(&folder).unwrap();
    let commands = shown(README, "```sh\n", "openssl req");
    let commands = commands.replace("cargo run --release --", GATEWAY);
    run(&["bash", "-euc", &commands], &folder).await;
    let (gateway, port) = serve(&folder, &world).await;

    let (shown_at, address) = ("\"localhost:50443\"", format!("\"localhost:{port}\""));
    let channel = shown(README, "```python\n", "secure_channel");
    assert!(channel.contains(shown_at), "{channel}");
    let script = format!("{BEFORE}{channel}{BEHIND}");
    let script = script.replace(shown_at, &address);
    let path = folder.join("readme.py");
    fs::write(&path, script.replace("ADDRESS", &address)).unwrap();
    let mut bot = workshop.start_script(&path, "unused", &folder, &[]);
    let ended = bot.ended().await;
    assert!(ended.success(), "{}", bot.log());
    assert!(bot.log().contains("support_desk"), "{}", bot.log());
    drop(gateway);
    world.stop().await;
}
