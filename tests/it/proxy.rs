//! Portals behind a proxy that wants to know who comes, with a certificate of a private authority.

use std::sync::{Arc, Mutex};

use bitrix24_gateway::proto::v1 as pb;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tonic::{Code, Status};

use crate::scene::{Scene, content, failure, told};

/// `us:it's us` as HTTP writes it.
const CREDENTIAL: &str = "Basic dXM6aXQncyB1cw==";

/// A proxy and what it was asked for.
#[derive(Clone, Default)]
struct Proxy(Arc<Mutex<Vec<Asked>>>);

/// Where to, and by whom.
type Asked = (String, Option<String>);

impl Proxy {
    /// Starts it; it leads every name to this machine. Says where it is.
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let proxy = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(proxy.clone().serve(stream));
            }
        });
        address
    }

    fn asked(&self) -> Vec<Asked> {
        self.0.lock().unwrap().clone()
    }

    async fn serve(self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        let (mut target, mut credential) = (None, None);
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if let Some(rest) = line.strip_prefix("CONNECT ") {
                target = rest.split(' ').next().map(str::to_owned);
            }
            if let Some((name, value)) = line.split_once(": ")
                && name.eq_ignore_ascii_case("proxy-authorization")
            {
                credential = Some(value.to_owned());
            }
        }
        let target = target.expect("it is asked with CONNECT only");
        let known = credential.as_deref() == Some(CREDENTIAL);
        self.0.lock().unwrap().push((target.clone(), credential));
        if !known {
            let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(refusal.as_bytes()).await.unwrap();
            return;
        }
        let (_, port) = target.rsplit_once(':').unwrap();
        let mut portal = TcpStream::connect(format!("127.0.0.1:{port}"))
            .await
            .unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        // However it ends, it ends.
        let _ended = copy_bidirectional(&mut stream, &mut portal).await;
    }
}

/// A scene whose portal has a name that only the proxy can look up, so nothing gets there without it.
async fn behind(proxy: &str, direct: &str) -> Scene {
    let settings = [
        ("outbound.proxy", proxy),
        ("outbound.no_proxy", direct),
        ("calls.attempts", "1"),
    ];
    let mut scene = Scene::with(&settings).await;
    scene.set("webhook_url", named(&scene));
    scene.restart().await;
    scene
}

/// The webhook with a name in place of this machine.
fn named(scene: &Scene) -> String {
    let url = scene.portal.webhook_url();
    let (_, port_and_path) = url.rsplit_once(':').unwrap();
    format!("https://acme.portal.test:{port_and_path}")
}

async fn say(scene: &Scene) -> Result<(), Status> {
    let message = pb::SendMessageRequest {
        bot_code: "helper".to_owned(),
        dialog_id: scene.chat.dialog_id(),
        content: Some(content("hello")),
        ..pb::SendMessageRequest::default()
    };
    scene.messages().send_message(message).await.map(drop)
}

#[tokio::test(start_paused = true)]
async fn calls_go_through_the_proxy_with_its_credential_and_our_authority() {
    let proxy = Proxy::default();
    let address = proxy.start().await;
    let mut scene = behind(&format!("http://us:it's%20us@{address}"), "").await;
    scene.helper().await;
    say(&scene).await.unwrap();
    assert!(scene.texts().contains(&"hello".to_owned()));
    let asked = proxy.asked();
    assert!(!asked.is_empty());
    for (target, credential) in asked {
        assert!(target.starts_with("acme.portal.test:"), "{target}");
        assert_eq!(credential.as_deref(), Some(CREDENTIAL));
    }
}

#[tokio::test(start_paused = true)]
async fn proxy_that_does_not_know_us_is_no_answer_of_the_portal() {
    let proxy = Proxy::default();
    let address = proxy.start().await;
    let scene = behind(&format!("http://{address}"), "").await;
    let register = pb::RegisterBotRequest {
        bot_code: "helper".to_owned(),
        properties: Some(pb::BotProperties {
            name: Some("Helper".to_owned()),
            ..pb::BotProperties::default()
        }),
        ..pb::RegisterBotRequest::default()
    };
    let status = scene.bots.clone().register_bot(register).await.unwrap_err();
    assert_eq!(
        told(&status),
        failure(Code::Unavailable, "PORTAL_UNREACHABLE", "no")
    );
    assert!(status.message().contains("proxy"), "{}", status.message());
    assert!(!proxy.asked().is_empty());
    assert!(scene.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn named_hosts_are_reached_without_the_proxy() {
    let proxy = Proxy::default();
    let address = proxy.start().await;
    let settings = [
        ("outbound.proxy", address.as_str()),
        ("outbound.no_proxy", "example.com, portal.test"),
        ("outbound.hosts", "acme.portal.test=127.0.0.1"),
    ];
    let mut scene = Scene::with(&settings).await;
    scene.helper().await;
    // This machine itself never is behind a proxy.
    say(&scene).await.unwrap();
    scene.set("webhook_url", named(&scene));
    scene.restart().await;
    say(&scene).await.unwrap();
    assert_eq!(proxy.asked(), []);
}
