//! A portal with an installed application, a gateway that has its tokens, and what a test does there.

use std::time::Duration;

use bitrix24_gateway::{
    portal::{InstallError, Owner, Portal as Handle},
    proto::v1::{self as pb, portal_service_client::PortalServiceClient},
    store::Pair,
};
use bitrix24_sim::{ApplicationConfig, Limits, Portal, Sim, TokenPair};
use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::Value;
use tonic::{Request, Status};

use crate::{
    quirks,
    scene::{Scene, content},
};

/// The configured portal `acme`, beside nothing or beside a webhook.
pub(crate) struct Stage {
    pub(crate) scene: Scene,
    pub(crate) client_id: String,
    secrets: Vec<String>,
}

/// The application in every portal of the simulation.
pub(crate) const CLIENT: &str = "app.573ad8a0346747.09223434";
pub(crate) const SECRET: &str = "hush-client-secret";

impl Stage {
    /// Installed, with further settings.
    pub(crate) async fn set(settings: &[(&'static str, &str)]) -> Self {
        let mut stage = Self::not_installed(settings).await;
        stage.install(1).await.unwrap();
        stage
    }

    /// The same beside the portal `default`, which is a webhook of the same account.
    pub(crate) async fn beside_a_webhook(settings: &[(&'static str, &str)]) -> Self {
        let mut stage = Self::with(settings, true).await;
        stage.install(1).await.unwrap();
        stage
    }

    /// Known to the portal, but nothing more.
    pub(crate) async fn not_installed(settings: &[(&'static str, &str)]) -> Self {
        Self::with(settings, false).await
    }

    async fn with(settings: &[(&'static str, &str)], webhook: bool) -> Self {
        let sim = bitrix24_sim::Config::default();
        Self::with_in(sim, settings, webhook).await
    }

    /// The same in a simulation of this kind, perhaps beside a webhook.
    pub(crate) async fn with_in(
        sim: bitrix24_sim::Config,
        settings: &[(&'static str, &str)],
        webhook: bool,
    ) -> Self {
        let settings = async |sim: &Sim, portal: &Portal| {
            portal.rename_to("a.portal.test").await.unwrap();
            let mut all: Vec<_> = common(sim);
            all.push(("default_portal", "acme".to_owned()));
            all.push(("portals.acme.member_id", portal.member_id()));
            if webhook {
                all.push(("webhook_url", portal.webhook_url()));
            }
            let further = settings.iter();
            all.extend(further.map(|(key, value)| (*key, (*value).to_owned())));
            all
        };
        let quirks = quirks::from_environment();
        let scene = Scene::made_in(sim, quirks, settings, |_| None).await;
        scene.errors_have_names();
        scene.portal.set_limits(Limits::none());
        let client_id = known_in(&scene.portal);
        Self {
            scene,
            client_id,
            secrets: vec![SECRET.to_owned()],
        }
    }

    /// Somebody installs the application, and the gateway is told.
    pub(crate) async fn install(&mut self, user_id: i64) -> Result<Handle, InstallError> {
        let tokens = self.scene.portal.install(&self.client_id, user_id).unwrap();
        self.hand_in(&tokens, Owner::Same).await
    }

    pub(crate) async fn hand_in(
        &mut self,
        tokens: &TokenPair,
        owner: Owner,
    ) -> Result<Handle, InstallError> {
        self.secrets.push(tokens.access_token.clone());
        self.secrets.push(tokens.refresh_token.clone());
        let pair = pair(&self.scene.sim, &self.scene.portal, tokens);
        self.scene.portals().install(pair, owner).await
    }

    /// Everything that nobody may see: our secret, and all tokens that were ever issued.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let mut secrets = self.secrets.clone();
        for request in self.scene.sim.oauth().journal().calls("oauth/token") {
            for name in ["access_token", "refresh_token"] {
                let token = request.answer.get(name).and_then(Value::as_str);
                secrets.extend(token.map(str::to_owned));
            }
        }
        secrets
    }

    /// Requests for tokens that reached the authorization server.
    pub(crate) fn refreshes(&self) -> usize {
        self.scene.sim.oauth().journal().calls("oauth/token").len()
    }

    /// The portal ends all access tokens, which the gateway does not know.
    pub(crate) fn expire(&self) {
        self.scene.portal.expire_tokens_of(&self.client_id);
    }

    /// Rooms in which the bot `helper` is.
    pub(crate) fn rooms(&self, count: usize) -> Vec<String> {
        let bot = self.scene.portal.bot_by_code("helper").unwrap().id;
        let rooms = (0..count).map(|room| {
            let title = format!("Room {room}");
            self.scene.portal.add_group_chat(&title, &[1, bot])
        });
        rooms.map(|room| room.dialog_id()).collect()
    }

    /// Posts the same in each room at once, with a minute for each.
    pub(crate) async fn say_in(&self, rooms: &[String], text: &str) {
        self.say_as("acme", "helper", rooms, text).await;
    }

    pub(crate) async fn say_as(&self, portal: &str, bot: &str, rooms: &[String], text: &str) {
        let calls = rooms.iter().map(|room| {
            let mut request = message(room.clone(), text);
            request.get_mut().portal = portal.to_owned();
            request.get_mut().bot_code = bot.to_owned();
            let mut client = self.scene.messages();
            async move { client.send_message(request).await }
        });
        for sent in join_all(calls).await {
            sent.unwrap();
        }
    }

    pub(crate) async fn shown(&self, portal: &str) -> pb::Portal {
        let mut portals = PortalServiceClient::new(self.scene.channel());
        let request = pb::GetPortalRequest {
            portal: portal.to_owned(),
            ..pb::GetPortalRequest::default()
        };
        let response = portals.get_portal(request).await.unwrap();
        response.into_inner().portal.unwrap()
    }
}

/// Settings for the application, and for portals at names that lead to this machine.
pub(crate) fn common(sim: &Sim) -> Vec<(&'static str, String)> {
    let server = sim.oauth().address().replace("https://", "");
    let hosts = "a.portal.test=127.0.0.1, b.portal.test=127.0.0.1, d.example.com=127.0.0.1";
    [
        ("oauth.client_id", CLIENT),
        ("oauth.client_secret", SECRET),
        ("oauth.hosts", &server),
        ("outbound.portal_hosts", "portal.test"),
        ("outbound.private_addresses", "true"),
        ("outbound.hosts", hosts),
        ("rate.requests_per_second", "0"),
    ]
    .map(|(key, value)| (key, value.to_owned()))
    .into()
}

/// Makes the application known to a portal.
pub(crate) fn known_in(portal: &Portal) -> String {
    portal.add_application(ApplicationConfig {
        client_id: Some(CLIENT.to_owned()),
        client_secret: Some(SECRET.to_owned()),
        ..ApplicationConfig::default()
    })
}

/// What an installation brings.
pub(crate) fn pair(sim: &Sim, portal: &Portal, tokens: &TokenPair) -> Pair {
    let time = |since_1970: Duration| Timestamp::from_duration(since_1970.try_into().unwrap());
    Pair {
        member_id: portal.member_id(),
        user_id: Some(tokens.user_id),
        access_token: tokens.access_token.clone().into(),
        refresh_token: tokens.refresh_token.clone().into(),
        access_ends: time(tokens.expires).unwrap(),
        obtained_at: time(sim.clock().now()).unwrap(),
        client_endpoint: format!("{}/rest/", portal.address()),
        server_endpoint: Some(format!("{}/rest/", sim.oauth().address())),
        scope: ["im", "imbot", "user"].map(str::to_owned).into(),
        status: Some("L".to_owned()),
        application_token: None,
    }
}

pub(crate) fn message(dialog_id: String, text: &str) -> Request<pb::SendMessageRequest> {
    let mut request = Request::new(pb::SendMessageRequest {
        bot_code: "helper".to_owned(),
        dialog_id,
        content: Some(content(text)),
        ..pb::SendMessageRequest::default()
    });
    request.set_timeout(Duration::from_secs(60));
    request
}

/// The bot says something in the chat, within a minute.
pub(crate) async fn say(scene: &Scene, text: &str) -> Result<(), Status> {
    say_within(scene, text, Duration::from_secs(60)).await
}

pub(crate) async fn say_within(scene: &Scene, text: &str, time: Duration) -> Result<(), Status> {
    let mut request = message(scene.chat.dialog_id(), text);
    request.set_timeout(time);
    scene.messages().send_message(request).await.map(drop)
}
