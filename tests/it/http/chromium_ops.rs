//! The operator page in a real browser, which refreshes it by itself: through each state of a silent bot, in
//! light and in dark, and everybody can read it. Run by `.ci/pages`.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bitrix24_gateway::proto::v1 as pb;
use bitrix24_sim::Fault;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::sleep,
};

use super::{
    browser::Answer,
    chromium::{look_with, tool},
    ops::get,
};
use crate::scene::{Scene, answer, content};

/// Looks at every state that is shown, the last one included, and writes down what it found.
const OBSERVER: &str = "
(() => {
  const wrong = new Set(), seen = [];
  let looked = 0, turn = Promise.resolve();
  const look = () => {
    turn = turn.then(async () => {
      seen.push(document.querySelector('main strong')?.textContent ?? 'nothing');
      const found = await axe.run(document);
      found.violations.forEach((rule) => wrong.add(rule.id));
      looked += 1;
      document.body.dataset.wrong = [...wrong].join(' ');
      document.body.dataset.looked = looked;
      document.body.dataset.seen = seen.join('|');
      document.body.dataset.page = getComputedStyle(document.body).backgroundColor;
    });
  };
  new MutationObserver(look).observe(document.body, {childList: true});
  look();
})();";

/// The page in every state, in turn, with the first thing that each says is wrong.
async fn states() -> Vec<(Answer, &'static str)> {
    let mut scene = Scene::start().await;
    scene.events_are_whole();
    scene.errors_have_names();
    let admin = scene.admin();
    let mut states = Vec::new();
    let mut keep = async |first: &'static str| {
        sleep(Duration::from_secs(2)).await;
        states.push((get(admin, "/", &[]).await, first));
    };
    let bot = "bot helper of portal default";
    keep("bots").await;
    scene.helper().await;
    keep(bot).await;
    let work = pb::SubscribeCommandEventsRequest {
        subscription: Some(pb::NamedSubscription {
            name: "work".to_owned(),
            ..pb::NamedSubscription::default()
        }),
        ..pb::SubscribeCommandEventsRequest::default()
    };
    drop(scene.subscribe(work.clone()).await);
    keep(bot).await;
    let mut stream = scene.subscribe(work).await;
    scene.anna_types("/help me");
    let (_, event) = stream.event().await;
    sleep(Duration::from_secs(90)).await;
    keep(bot).await;
    scene
        .bots
        .answer_command(answer(&event, "here"))
        .await
        .unwrap();
    keep("nothing").await;
    let refused = Fault::error(403, "MESSAGE_ACCESS_DENIED", "no");
    scene
        .portal
        .faults()
        .on("imbot.v2.Chat.Message.send", refused);
    let message = pb::SendMessageRequest {
        bot_code: "helper".to_owned(),
        dialog_id: scene.chat.dialog_id(),
        content: Some(content("hello")),
        ..pb::SendMessageRequest::default()
    };
    scene
        .messages()
        .send_message(message.clone())
        .await
        .unwrap_err();
    keep(bot).await;
    scene.messages().send_message(message).await.unwrap();
    let code = format!("<script>alert(1)</script>\u{202e}{}", "x".repeat(3000));
    let hostile = Fault::error(400, &code, "no").always();
    scene.portal.faults().on("imbot.v2.Event.get", hostile);
    sleep(Duration::from_secs(300)).await;
    keep(bot).await;
    scene.portal.faults().clear();
    let gone = Fault::error(400, "BOT_NOT_FOUND", "no").always();
    scene.portal.faults().on("imbot.v2.Event.get", gone);
    sleep(Duration::from_secs(120)).await;
    keep(bot).await;
    scene.portal.remove_webhook(&scene.portal.webhook_url());
    scene
        .bots
        .register_bot(crate::scene::helper())
        .await
        .unwrap_err();
    sleep(Duration::from_secs(30)).await;
    keep("portal default").await;
    // One that must not pass, or nothing was looked at.
    let (mut wrong, first) = states[0].clone();
    wrong.body = wrong
        .body
        .replace("<main>", "<main><img src=\"/status.css\">");
    states.push((wrong, first));
    for path in ["/status.css", "/status.js"] {
        states.push((get(admin, path, &[]).await, path));
    }
    states
}

/// Serves the states one after another, each as it was served to us, and with the script one that looks.
async fn serve(states: Vec<(Answer, &'static str)>, axe: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let states = Arc::new(states);
    let (shown, axe) = (Arc::new(AtomicUsize::new(0)), Arc::new(axe));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (states, shown, axe) = (Arc::clone(&states), Arc::clone(&shown), Arc::clone(&axe));
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                let head = String::from_utf8_lossy(&head);
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                let part = states.iter().find(|(_, name)| *name == path);
                let (answer, body) = match part {
                    Some((answer, "/status.js")) => {
                        (answer, format!("{}\n{axe}\n{OBSERVER}", answer.body))
                    }
                    Some((answer, _)) => (answer, answer.body.clone()),
                    None if path == "/" => {
                        let pages = states.len() - 2;
                        let page = shown.fetch_add(1, Ordering::SeqCst).min(pages - 1);
                        (&states[page].0, states[page].0.body.clone())
                    }
                    None => return,
                };
                let header = |name: &str| answer.header(name).unwrap().to_owned();
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: {}\r\ncontent-security-policy: {}\r\n\
                     content-length: {}\r\nconnection: close\r\n\r\n",
                    header("content-type"),
                    header("content-security-policy"),
                    body.len()
                );
                // A browser that left wants nothing more.
                let _sent = stream.write_all((head + &body).as_bytes()).await;
                let _ended = stream.shutdown().await;
            });
        }
    });
    address
}

/// What the observer wrote down.
fn value<'a>(dom: &'a str, name: &str) -> &'a str {
    let found = dom.split_once(&format!("data-{name}=\""));
    let (_, rest) = found.unwrap_or_else(|| panic!("no {name} in {dom}"));
    rest.split('"').next().unwrap()
}

#[tokio::test(start_paused = true)]
#[ignore = "needs a browser: run .ci/pages"]
async fn operator_page_shows_each_state_by_itself_and_can_be_used_by_everybody() {
    let states = states().await;
    let expected: Vec<_> = states[..states.len() - 2]
        .iter()
        .map(|(_, first)| *first)
        .collect();
    assert_eq!(expected.len(), 10);
    // From here on a process of the machine is waited for.
    tokio::time::resume();
    let axe = std::fs::read_to_string(tool("GATEWAY_AXE")).unwrap();
    let mut colours = Vec::new();
    for scheme in ["1", "0"] {
        let copied = states
            .iter()
            .map(|(answer, first)| (answer.clone(), *first));
        let address = serve(copied.collect(), axe.clone()).await;
        let preferred = format!("--blink-settings=preferredColorScheme={scheme}");
        let more = ["--virtual-time-budget=60000", preferred.as_str()];
        let dom = look_with(&format!("http://{address}/"), &[], &more).await;
        let seen: Vec<_> = value(&dom, "seen").split('|').collect();
        assert_eq!(seen[..expected.len()], expected, "{seen:?}");
        let wrong: Vec<_> = value(&dom, "wrong").split(' ').collect();
        assert_eq!(wrong, ["image-alt"], "{dom}");
        assert!(value(&dom, "looked").parse::<usize>().unwrap() >= expected.len());
        assert!(dom.contains("Stop refreshing"), "{dom}");
        colours.push(value(&dom, "page").to_owned());
    }
    assert_ne!(colours[0], colours[1], "both were looked at");
}
