//! A gateway that portals can reach, and a bot whose events are posted to it.

use std::time::Duration;

use bitrix24_gateway::{
    portal::Owner,
    proto::v1::{self as pb, stream_start::Position, subscribe_command_events_response::Item},
};
use bitrix24_sim::{Delivery, Portal};
use rusqlite::{Connection, OpenFlags};
use tokio::time::{sleep, timeout};
use tonic::Status;

use super::ingress::Ingress;
use crate::{
    http::{browser, site::FORM},
    oauth::stage::{CLIENT, Stage, pair},
    quirks,
    scene::{Scene, Stream, help, helper},
};

/// By what the portal lets the gateway in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    Webhook,
    OAuth,
}

pub(crate) struct Place {
    pub(crate) scene: Scene,
    pub(crate) ingress: Ingress,
}

impl Place {
    /// Without a bot.
    pub(crate) async fn new(by: By) -> Self {
        let ingress = Ingress::open().await;
        let sim = bitrix24_sim::Config {
            receiver_ca_pem: Some(ingress.ca_pem.clone()),
            ..bitrix24_sim::Config::default()
        };
        let listen = [
            ("http.listen", "127.0.0.1:0"),
            ("http.public_url", ingress.url.as_str()),
        ];
        let scene = match by {
            By::Webhook => {
                let settings = async |_: &bitrix24_sim::Sim, portal: &Portal| {
                    let mut all = vec![("webhook_url", portal.webhook_url())];
                    all.extend(listen.map(|(key, value)| (key, value.to_owned())));
                    all
                };
                let quirks = quirks::from_environment();
                Scene::made_in(sim, quirks, settings, |_| None).await
            }
            By::OAuth => {
                let stage = Stage::with_in(sim, &listen, false).await;
                let portal = &stage.scene.portal;
                let tokens = portal.install(CLIENT, 1).unwrap();
                let mut pair = pair(&stage.scene.sim, portal, &tokens);
                let application = portal.application(CLIENT).unwrap();
                pair.application_token = Some(application.application_token.into());
                let installed = stage.scene.portals().install(pair, Owner::Same).await;
                installed.unwrap();
                stage.scene
            }
        };
        scene.errors_have_names();
        scene.events_are_whole();
        ingress.leads_to(Some(scene.http()));
        Self { scene, ingress }
    }

    /// With the bot `helper` and its command `/help` in the chat.
    pub(crate) async fn with_bot(by: By) -> Self {
        let mut place = Self::new(by).await;
        place.register(pb::EventMode::Webhook).await.unwrap();
        place.scene.bots.register_command(help()).await.unwrap();
        place.join();
        place
    }

    pub(crate) async fn register(
        &mut self,
        mode: pb::EventMode,
    ) -> Result<pb::RegisterBotResponse, Status> {
        let wish = in_mode(mode);
        let registered = self.scene.bots.register_bot(wish).await;
        registered.map(tonic::Response::into_inner)
    }

    pub(crate) async fn update(&mut self, mode: pb::EventMode) -> Result<pb::Bot, Status> {
        let wish = pb::UpdateBotRequest {
            bot_code: "helper".to_owned(),
            event_mode: mode.into(),
            ..pb::UpdateBotRequest::default()
        };
        let mut request = tonic::Request::new(wish);
        request.set_timeout(Duration::from_secs(60));
        let updated = self.scene.bots.update_bot(request).await;
        updated.map(|updated| updated.into_inner().bot.unwrap())
    }

    /// The bot comes into the chat.
    pub(crate) fn join(&self) {
        let scene = &self.scene;
        let joined = scene
            .portal
            .add_bot_to_chat(self.bot_id(), scene.chat.id, scene.anna);
        joined.unwrap();
    }

    pub(crate) fn bot_id(&self) -> i64 {
        self.scene.portal.bot_by_code("helper").unwrap().id
    }

    /// How the portal delivers, by its own books.
    pub(crate) fn mode(&self) -> String {
        self.scene.portal.bot_by_code("helper").unwrap().event_mode
    }

    /// The path to which the portal posts.
    pub(crate) fn path(&self) -> String {
        let url = self.scene.portal.bot_by_code("helper").unwrap().webhook_url;
        url.strip_prefix(&self.ingress.url).unwrap().to_owned()
    }

    pub(crate) async fn restart(&mut self) {
        self.ingress.leads_to(None);
        self.scene.restart().await;
        self.ingress.leads_to(Some(self.scene.http()));
    }

    /// Everything from the earliest on.
    pub(crate) async fn stream(&mut self) -> Stream {
        let all = pb::SubscribeCommandEventsRequest {
            start: Some(pb::StreamStart {
                position: Some(Position::Point(pb::StreamStartPoint::Earliest.into())),
            }),
            ..pb::SubscribeCommandEventsRequest::default()
        };
        self.scene.subscribe(all).await
    }

    /// Posts a body to the bot's address, as anybody can who knows it.
    pub(crate) async fn post(&self, body: &str) -> u16 {
        self.post_as(FORM, body).await
    }

    pub(crate) async fn post_as(&self, media: &str, body: &str) -> u16 {
        browser::post(self.scene.http(), &self.path(), media, body)
            .await
            .status
    }

    /// What the portal posted for bots, once all of it was answered.
    pub(crate) async fn deliveries(&self) -> Vec<Delivery> {
        sleep(Duration::from_secs(30)).await;
        let mut all = self.scene.portal.journal().deliveries();
        all.retain(|delivery| delivery.event.starts_with("ONIMBOTV2"));
        all
    }

    /// A genuine body of a command that the gateway did not get.
    pub(crate) async fn unheard(&self, text: &str) -> String {
        self.ingress.leads_to(None);
        self.scene.anna_types(text);
        let deliveries = self.deliveries().await;
        self.ingress.leads_to(Some(self.scene.http()));
        deliveries.last().unwrap().body.clone()
    }

    /// What stands in the log, oldest first: types of events, reasons of gaps.
    pub(crate) fn log(&self) -> Vec<String> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let store = self.scene.folder().join("store/store.db");
        let store = Connection::open_with_flags(store, flags).unwrap();
        let mut select = store
            .prepare("SELECT ifnull(kind, gap_why) FROM log ORDER BY seq")
            .unwrap();
        let rows = select.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// How often something stands there.
    pub(crate) fn logged(&self, what: &str) -> usize {
        self.log().iter().filter(|found| *found == what).count()
    }
}

pub(crate) fn in_mode(mode: pb::EventMode) -> pb::RegisterBotRequest {
    pb::RegisterBotRequest {
        event_mode: mode.into(),
        ..helper()
    }
}

/// The next gap of a stream.
pub(crate) async fn gap(stream: &mut Stream) -> pb::Gap {
    let found = async {
        loop {
            if let (_, Item::Gap(gap)) = stream.next().await.unwrap() {
                return gap;
            }
        }
    };
    timeout(Duration::from_secs(300), found).await.unwrap()
}

/// The next commands of a stream: their parameters.
pub(crate) async fn commands(stream: &mut Stream, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    for _ in 0..count {
        found.push(stream.params().await);
    }
    found
}

/// A field of a form with another value.
pub(crate) fn with(form: &str, name: &str, value: &str) -> String {
    let pairs: Vec<(String, String)> = form_urlencoded::parse(form.as_bytes())
        .into_owned()
        .filter(|(known, _)| known != name)
        .chain([(name.to_owned(), value.to_owned())])
        .collect();
    crate::http::site::encoded(&pairs)
}
