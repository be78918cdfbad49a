//! What the log tells of callers, and what it never tells.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use bitrix24_gateway::{
    config::{Config, Sources},
    proto::v1 as pb,
};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use super::{caller, get_bot, manager, shown, token};
use crate::{
    log::log_into,
    scene::{Scene, content, helper},
};

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Logs this thread into it, on which everything of a test runs.
    fn start(filter: &str) -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(filter))
            .with_writer(log.clone())
            .with_ansi(false)
            .finish();
        (log, log_into(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The lines of the audit.
    fn audit(&self) -> Vec<String> {
        let text = self.text();
        let lines = text.lines().filter(|line| line.contains(" audit: "));
        lines.map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn every_change_and_denial_is_one_line() {
    let (log, _guard) = Log::start("audit=info");
    let support = caller(
        "support",
        "portals = [\"*\"]\nbots = [\"helper\"]\nrpcs = [\"*\"]",
    );
    let scene = Scene::guarded(&[support]).await;
    scene.errors_have_names();
    let mut bots = scene.bots_of("support");
    bots.register_bot(helper()).await.unwrap();
    let message = pb::SendMessageRequest {
        bot_code: "helper".to_owned(),
        dialog_id: "chat999".to_owned(),
        content: Some(content("a-private-text")),
        ..pb::SendMessageRequest::default()
    };
    scene
        .messages_of("support")
        .send_message(message)
        .await
        .unwrap_err();
    // Looking is no change.
    bots.get_bot(get_bot("helper")).await.unwrap();
    bots.get_bot(get_bot("another")).await.unwrap_err();
    scene
        .bots_of("stranger")
        .get_bot(get_bot("helper"))
        .await
        .unwrap_err();
    let lines = log.audit();
    let expected: [&[&str]; 4] = [
        &[
            "done",
            "caller=\"support\"",
            "rpc=RegisterBot",
            "portal=default",
            "bot=\"helper\"",
            "outcome=OK",
            "call.id=",
        ],
        &[
            "done",
            "caller=\"support\"",
            "rpc=SendMessage",
            "bot=\"helper\"",
            "outcome=CHAT_NOT_FOUND",
        ],
        &[
            "denied",
            "caller=\"support\"",
            "rpc=GetBot",
            "bot=\"another\"",
            "outcome=CALLER_DENIED",
        ],
        &[
            "denied",
            "caller=\"\"",
            "rpc=GetBot",
            "bot=\"\"",
            "outcome=CALLER_UNAUTHENTICATED",
        ],
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, parts) in lines.iter().zip(expected) {
        for part in parts {
            assert!(line.contains(part), "{part} in {line}");
        }
        assert!(!line.contains("private"), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn pod_is_told_where_the_caller_may_name_pods_and_grants_nothing() {
    let (log, _guard) = Log::start("audit=info");
    let all = "portals = [\"*\"]\nbots = [\"*\"]\nrpcs = [\"*\"]";
    let relay = caller("relay", &format!("{all}\nnames_pods = true"));
    let limited = caller("limited", "rpcs = [\"read\"]\nnames_pods = true");
    let scene = Scene::guarded(&[relay, limited, caller("plain", all)]).await;
    for (name, pod) in [
        ("relay", "chat/support-0"),
        ("relay", "chat/Support 0"),
        ("plain", "chat/support-0"),
        ("limited", "chat/support-0"),
    ] {
        let mut request = tonic::Request::new(helper());
        let metadata = request.metadata_mut();
        metadata.insert("x-bitrix24-gateway-pod", pod.parse().unwrap());
        let _registered_or_not = scene.bots_of(name).register_bot(request).await;
    }
    let lines = log.audit();
    let told: Vec<_> = lines.iter().map(|line| line.contains("pod=")).collect();
    assert_eq!(told, [true, false, false, true], "{lines:#?}");
    assert!(lines[0].contains("pod=\"chat/support-0\""), "{lines:#?}");
    assert!(lines[3].contains("denied"), "{lines:#?}");
}

#[tokio::test(start_paused = true)]
async fn tokens_are_in_no_log_line_answer_or_debug() {
    let (log, _guard) = Log::start(
        "trace,h2=info,hyper=info,hyper_util=info,tonic=info,tower=info,mio=info,bitrix24_sim=info",
    );
    let scene = Scene::guarded(&[manager("support")]).await;
    let wrong = format!("{}-wrong", token("support"));
    let jwt = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJtYXJrZWQifQ.bWFya2Vk";
    scene
        .bots_of("support")
        .register_bot(helper())
        .await
        .unwrap();
    let mut shown_text = String::new();
    for wrong in [wrong.as_str(), jwt] {
        let mut bots =
            pb::bot_service_client::BotServiceClient::new(shown(&scene.channel(), wrong));
        let status = bots.get_bot(get_bot("helper")).await.unwrap_err();
        shown_text.push_str(&format!("{status:?} {status}"));
    }
    let config = Config::load(&Sources {
        file: Some(scene.folder().join(crate::scene::FILE)),
        environment: vec![(
            "BITRIX24_GATEWAY__WEBHOOK_URL".to_owned(),
            scene.portal.webhook_url(),
        )],
        ..Sources::default()
    });
    shown_text.push_str(&format!("{:?}", config.unwrap()));
    shown_text.push_str(&log.text());
    assert!(
        shown_text.contains("CALLER_UNAUTHENTICATED"),
        "it was logged"
    );
    let hash = bitrix24_gateway::callers::TokenHash::of(&token("support")).to_string();
    for secret in [token("support"), jwt.to_owned(), "b24gw_".to_owned(), hash] {
        assert!(!shown_text.contains(&secret), "{secret} is shown");
    }
}
