//! A portal with people, a gateway in front of it, and a client.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use bitrix24_gateway::{
    app::{self, App},
    clock::Clock,
    config::{Config, Flags, Sources},
    fault::Reason,
    http::Authorizations,
    lifecycle::{Fault as Broken, Health, Lifecycle},
    portal::{
        Portals,
        transport::{self, Body, SecretUrl, Transport},
    },
    proto::v1::{
        self as pb, bot_service_client::BotServiceClient,
        message_service_client::MessageServiceClient, portal_service_client::PortalServiceClient,
        server_service_client::ServerServiceClient, subscribe_command_events_response::Item,
    },
    store,
    telemetry::{Render, trace::Tracer},
};
use bitrix24_sim::{Chat, EntityShape, Fault, Portal, PortalConfig, Quirks, Sim, UserConfig};
use jiff::Timestamp;
use opentelemetry::metrics::Meter;
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::timeout};
use tonic::{Code, Status, Streaming, transport::Channel};
use tonic_types::StatusExt as _;

use crate::{leaks, quirks};

/// How long anything may take, by the paused clock.
const PATIENCE: Duration = Duration::from_secs(120);

/// The configuration file in a scene's folder, if there is one.
pub(crate) const FILE: &str = "config.toml";

/// Among the settings of a scene: what is to break.
pub(crate) const FAULT: &str = "fault";

/// Everything a test needs.
pub(crate) struct Scene {
    pub(crate) sim: Sim,
    pub(crate) portal: Portal,
    /// Owner of the webhook.
    pub(crate) john: i64,
    /// Somebody who types commands.
    pub(crate) anna: i64,
    /// A group chat of both.
    pub(crate) chat: Chat,
    pub(crate) bots: BotServiceClient<Channel>,
    gateway: Gateway,
    folder: TempDir,
    settings: Vec<(&'static str, String)>,
    /// How far the clock of the gateway's machine was set forward, in milliseconds.
    clock_set: &'static AtomicI64,
    /// Where measurements go; nowhere without.
    meter: Option<Meter>,
    /// Where traces go; nowhere without.
    tracer: Option<Tracer>,
}

/// A running gateway.
struct Gateway {
    life: Lifecycle,
    portals: Portals,
    task: JoinHandle<Result<(), app::Error>>,
    channel: Channel,
    address: SocketAddr,
    http: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    authorizations: Option<Authorizations>,
    measurements: Option<Render>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        leaks::search(&self.sim, &self.portal, self.folder.path());
    }
}

impl Scene {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With further settings.
    pub(crate) async fn with(settings: &[(&'static str, &str)]) -> Self {
        Self::at("webhook_url", settings).await
    }

    /// With the portal's webhook URL in this setting.
    pub(crate) async fn at(url: &'static str, settings: &[(&'static str, &str)]) -> Self {
        Self::of(url, settings, quirks::from_environment()).await
    }

    /// With a portal that behaves in this way.
    pub(crate) async fn of(
        url: &'static str,
        settings: &[(&'static str, &str)],
        quirks: Quirks,
    ) -> Self {
        let webhook = async |_: &Sim, portal: &Portal| {
            let mut all = vec![(url, portal.webhook_url())];
            all.extend(
                settings
                    .iter()
                    .map(|(key, value)| (*key, (*value).to_owned())),
            );
            all
        };
        Self::made(quirks, webhook, |_| None).await
    }

    /// With a configuration file, for which others may be written into the folder.
    pub(crate) async fn configured(file: impl FnOnce(&Path) -> String) -> Self {
        let webhook = async |_: &Sim, portal: &Portal| vec![("webhook_url", portal.webhook_url())];
        let quirks = quirks::from_environment();
        Self::made(quirks, webhook, |folder| Some(file(folder))).await
    }

    /// With the settings that are made of the simulation and its portal.
    pub(crate) async fn made(
        quirks: Quirks,
        settings: impl AsyncFnOnce(&Sim, &Portal) -> Vec<(&'static str, String)>,
        file: impl FnOnce(&Path) -> Option<String>,
    ) -> Self {
        let sim = bitrix24_sim::Config::default();
        Self::made_in(sim, quirks, settings, file).await
    }

    /// The same in a simulation of this kind.
    pub(crate) async fn made_in(
        sim: bitrix24_sim::Config,
        quirks: Quirks,
        settings: impl AsyncFnOnce(&Sim, &Portal) -> Vec<(&'static str, String)>,
        file: impl FnOnce(&Path) -> Option<String>,
    ) -> Self {
        leaks::watch();
        let sim = Sim::start(sim).await.unwrap();
        let config = PortalConfig {
            quirks,
            ..PortalConfig::default()
        };
        let portal = sim.add_portal(config).await.unwrap();
        let anna = portal.add_user(UserConfig::named("Anna", "Weber"));
        let chat = portal.add_group_chat("Support", &[1, anna]);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), sim.ca_pem()).unwrap();
        if let Some(text) = file(folder.path()) {
            std::fs::write(folder.path().join(FILE), text).unwrap();
        }
        let all = settings(&sim, &portal).await;
        let clock_set = Box::leak(Box::default());
        let tracer = leaks::tracer();
        let seen = (None, tracer.clone());
        let gateway = Gateway::start(&sim, clock_set, folder.path(), &all, seen).await;
        Self {
            clock_set,
            meter: None,
            tracer,
            bots: BotServiceClient::new(gateway.channel.clone()),
            john: 1,
            anna,
            chat,
            portal,
            gateway,
            folder,
            settings: all,
            sim,
        }
    }

    /// Stops the gateway in order and starts it again on the same store.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }

    /// Stops the gateway and starts it when that time has passed, in which nothing happened.
    pub(crate) async fn starts_again_after(&mut self, time: Duration) {
        self.stop().await;
        self.sim.clock().advance(time);
        self.start_again().await;
    }

    pub(crate) async fn stop(&mut self) {
        self.gateway.life.begin_stop();
        let task = &mut self.gateway.task;
        timeout(PATIENCE, task)
            .await
            .expect("the gateway stops in time")
            .unwrap()
            .unwrap();
    }

    /// How the gateway is doing.
    pub(crate) fn health(&self) -> &Health {
        self.gateway.life.health()
    }

    pub(crate) async fn start_again(&mut self) {
        let folder = self.folder.path();
        let seen = (self.meter.clone(), self.tracer.clone());
        self.gateway =
            Gateway::start(&self.sim, self.clock_set, folder, &self.settings, seen).await;
        self.bots = BotServiceClient::new(self.gateway.channel.clone());
    }

    /// Starts the gateway again, with its measurements going there.
    pub(crate) async fn measured_by(&mut self, meter: Meter) {
        self.stop().await;
        self.meter = Some(meter);
        self.start_again().await;
    }

    /// Starts the gateway again, with its traces going there.
    pub(crate) async fn traced_by(&mut self, tracer: Tracer) {
        self.stop().await;
        self.tracer = Some(tracer);
        self.start_again().await;
    }

    /// Starts the gateway again on what a crash at this moment would leave on the disk. The old one
    /// is still there, as if its calls under way had been the last it did.
    pub(crate) async fn crash(&mut self) {
        self.copy_what_a_crash_leaves();
        self.start_again().await;
    }

    /// The same when nothing is under way: the old one ends.
    pub(crate) async fn crash_at_rest(&mut self) {
        self.copy_what_a_crash_leaves();
        self.restart().await;
    }

    fn copy_what_a_crash_leaves(&mut self) {
        let left = tempfile::tempdir_in(self.folder.path()).unwrap().keep();
        let store = self.store_dir();
        // What is committed is in these two, whatever the process had in mind.
        for name in ["store.db", "store.db-wal"] {
            std::fs::copy(store.join(name), left.join(name)).unwrap();
        }
        self.set("store.dir", left.display().to_string());
    }

    /// The folder of the store in use.
    pub(crate) fn store_dir(&self) -> PathBuf {
        let mut settings = self.settings.iter().rev();
        let set = settings.find(|(key, _)| *key == "store.dir");
        set.map_or_else(|| self.folder.path().join("store"), |(_, dir)| dir.into())
    }

    /// Makes a store of a copy of the one in use, and starts the gateway on it. The one before is stopped
    /// between the two.
    pub(crate) async fn restore(&mut self) {
        let place = |name: &str| self.folder.path().join(name);
        let (copy, dir) = (place("copy.db"), place("restored"));
        let now = Timestamp::UNIX_EPOCH;
        store::backup::backup(&self.store_dir(), &copy, false, now).unwrap();
        self.stop().await;
        let config = store::Config {
            dir: dir.clone(),
            keys: store::KeySource::File(self.folder.path().join("keys")),
        };
        let released = store::restore::Released::default();
        store::restore::restore(&config, &copy, released, &Clock::system()).unwrap();
        self.portal.journal().clear();
        self.sim.oauth().journal().clear();
        self.set("store.dir", dir.display().to_string());
        self.start_again().await;
    }

    /// The portals of the gateway, for what no caller may do.
    pub(crate) fn portals(&self) -> Portals {
        self.gateway.portals.clone()
    }

    pub(crate) fn channel(&self) -> Channel {
        self.gateway.channel.clone()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.gateway.address
    }

    /// Where installations and callbacks come in.
    pub(crate) fn http(&self) -> SocketAddr {
        self.gateway.http.expect("`http.listen` is set")
    }

    /// Where operators look.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.gateway.admin.expect("`admin.listen` is set")
    }

    /// Where an operator gets links.
    pub(crate) fn authorizations(&self) -> Authorizations {
        let authorizations = self.gateway.authorizations.clone();
        authorizations.expect("`http.listen` is set")
    }

    /// What is measured, as Prometheus gets it.
    pub(crate) fn scrape(&self) -> String {
        let measurements = self.gateway.measurements.as_ref();
        measurements.expect("they go nowhere else").text()
    }

    /// A client with a connection of its own: to the gateway another caller.
    pub(crate) async fn another_caller(&self) -> BotServiceClient<Channel> {
        let endpoint = Channel::from_shared(format!("http://{}", self.gateway.address)).unwrap();
        BotServiceClient::new(endpoint.connect().await.unwrap())
    }

    pub(crate) fn messages(&self) -> MessageServiceClient<Channel> {
        MessageServiceClient::new(self.channel())
    }

    /// The scene's portal as the gateway shows it.
    pub(crate) async fn shown(&self) -> pb::Portal {
        let mut portals = PortalServiceClient::new(self.channel());
        let request = pb::GetPortalRequest::default();
        let response = portals.get_portal(request).await.unwrap();
        response.into_inner().portal.unwrap()
    }

    pub(crate) fn info(&self) -> ServerServiceClient<Channel> {
        ServerServiceClient::new(self.channel())
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Changes a setting from the next start on.
    pub(crate) fn set(&mut self, key: &'static str, value: String) {
        self.settings.push((key, value));
    }

    /// Trusts the portal of another scene as well, from the next start on.
    pub(crate) fn trust(&mut self, other: &Self) {
        let both = format!("{}{}", self.sim.ca_pem(), other.sim.ca_pem());
        std::fs::write(self.folder.path().join("ca.pem"), both).unwrap();
    }

    /// The portal's next answer to a method.
    pub(crate) fn answer_next(&self, method: &str, body: &serde_json::Value) {
        let json = [("content-type", "application/json")];
        self.portal
            .faults()
            .on(method, Fault::raw(200, &json, body.to_string()));
    }

    /// Calls the portal as another program would.
    pub(crate) async fn call_elsewhere(
        &self,
        method: &str,
        params: &serde_json::Value,
    ) -> serde_json::Value {
        let transport = Transport::new(&transport::Config {
            extra_roots: Some(self.sim.ca_pem().into()),
            ..transport::Config::default()
        });
        let url: SecretUrl = self.portal.webhook_url().parse().unwrap();
        let body = Body::Json(params.to_string().into());
        let answer = transport
            .unwrap()
            .post(&url.method(method), body)
            .await
            .unwrap();
        serde_json::from_slice(&answer.body).unwrap()
    }

    pub(crate) async fn make_bot_elsewhere(&self, code: &str, token: &str) -> i64 {
        let fields =
            serde_json::json!({"code": code, "botToken": token, "properties": {"name": "Helper"}});
        let answer = self
            .call_elsewhere(
                "imbot.v2.Bot.register",
                &serde_json::json!({"fields": fields}),
            )
            .await;
        number(&answer["result"]["bot"]["id"]).unwrap()
    }

    pub(crate) async fn make_command_elsewhere(&self, bot_id: i64, token: &str, command: &str) {
        let fields = serde_json::json!({"command": command, "title": {"en": "Help"}});
        let params = serde_json::json!({"botId": bot_id, "botToken": token, "fields": fields});
        let answer = self
            .call_elsewhere("imbot.v2.Command.register", &params)
            .await;
        let id = number(&answer["result"]["command"]["id"]);
        assert!(id.is_some(), "{answer}");
    }

    /// The bot `helper` with the command `/help`, in the chat. Its Bitrix24 id.
    pub(crate) async fn helper(&mut self) -> i64 {
        let registered = self.bots.register_bot(helper()).await.unwrap().into_inner();
        self.bots.register_command(help()).await.unwrap();
        let id = registered.bot.unwrap().id;
        self.portal
            .add_bot_to_chat(id, self.chat.id, self.anna)
            .unwrap();
        id
    }

    /// Anna types in the chat.
    pub(crate) fn anna_types(&self, text: &str) -> i64 {
        self.portal
            .user(self.anna)
            .types(&self.chat.dialog_id(), text)
            .unwrap()
    }

    /// For tests of what only the name of an error tells; some portals say `0` instead.
    pub(crate) fn errors_have_names(&self) {
        self.portal
            .set_quirks(|quirks| quirks.numeric_error_codes = false);
    }

    /// For tests of what is learned from the times that answers tell: the portal's clock, and what may
    /// travel together.
    pub(crate) fn answers_tell_times(&self) {
        self.portal.set_quirks(|quirks| quirks.time = true);
    }

    /// For tests of what needs more of an event than its ids: an event without its message cannot be
    /// answered, and who answers by ids must be told them.
    pub(crate) fn events_are_whole(&self) {
        self.portal.set_quirks(|quirks| {
            quirks.event_chat = EntityShape::Full;
            quirks.event_user = EntityShape::Full;
            quirks.event_message = EntityShape::Full;
        });
    }

    pub(crate) async fn subscribe(&mut self, request: pb::SubscribeCommandEventsRequest) -> Stream {
        Stream(
            self.bots
                .subscribe_command_events(request)
                .await
                .unwrap()
                .into_inner(),
        )
    }

    /// Somebody sets the clock of the gateway's machine, by so many seconds.
    pub(crate) fn set_clock_by(&self, seconds: i64) {
        self.clock_set.fetch_add(seconds * 1000, Ordering::Relaxed);
    }

    /// Texts in the chat, oldest first.
    pub(crate) fn texts(&self) -> Vec<String> {
        let messages = self.portal.messages(&self.chat.dialog_id());
        messages.into_iter().map(|message| message.text).collect()
    }

    /// Requests that reached the portal, but for the fetching of events.
    pub(crate) fn calls(&self) -> Vec<String> {
        let requests = self.portal.journal().requests().into_iter();
        let methods = requests.map(|request| request.method);
        methods
            .filter(|method| method != "imbot.v2.Event.get")
            .collect()
    }
}

impl Gateway {
    async fn start(
        sim: &Sim,
        clock_set: &'static AtomicI64,
        folder: &Path,
        settings: &[(&'static str, String)],
        (meter, tracer): (Option<Meter>, Option<Tracer>),
    ) -> Self {
        let path = |name: &str| folder.join(name).display().to_string();
        let mut flags = vec![
            ("grpc.listen", "127.0.0.1:0".to_owned()),
            ("admin.listen", "127.0.0.1:0".to_owned()),
            ("store.dir", path("store")),
            ("store.key_file", path("keys")),
            ("outbound.ca_file", path("ca.pem")),
        ];
        let fault = |(key, _): &&(&str, String)| *key == FAULT;
        flags.extend(settings.iter().filter(|it| !fault(it)).cloned());
        let mut config = Config::load(&Sources {
            flags: Flags(flags),
            file: Some(folder.join(FILE)).filter(|file| file.exists()),
            ..Sources::default()
        })
        .unwrap();
        config.telemetry.meter = meter;
        let fault = settings.iter().find(fault);
        config.fault = Broken(fault.map(|(_, what)| what.as_str().into()));
        config.telemetry.tracer = tracer;
        let now = Timestamp::from_duration(sim.clock().now().try_into().unwrap()).unwrap();
        let clock = Clock::settable(now, clock_set);
        let app = App::build(config, clock).await.unwrap();
        let address = app.address();
        let http = app.http_address();
        let admin = app.admin_address();
        let authorizations = app.authorizations();
        let measurements = app.measurements();
        let life = app.lifecycle().clone();
        let portals = app.portals().clone();
        let task = tokio::spawn(app.run());
        let channel = Channel::from_shared(format!("http://{address}"))
            .unwrap()
            .connect_lazy();
        Self {
            life,
            portals,
            task,
            channel,
            address,
            http,
            admin,
            authorizations,
            measurements,
        }
    }
}

/// An id, which some portals write as a text.
pub(crate) fn number(value: &serde_json::Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

/// A stream of commands.
pub(crate) struct Stream(pub(crate) Streaming<pb::SubscribeCommandEventsResponse>);

impl Stream {
    /// The next item of any kind with its cursor, or how the stream ended.
    pub(crate) async fn next(&mut self) -> Result<(String, Item), Status> {
        let next = timeout(PATIENCE, self.0.message())
            .await
            .expect("the stream goes on");
        let response = next?.expect("streams never end with OK");
        Ok((response.cursor, response.item.expect("an item")))
    }

    /// The next event with its cursor, whatever comes before.
    pub(crate) async fn event(&mut self) -> (String, pb::Event) {
        loop {
            if let (cursor, Item::Event(event)) = self.next().await.unwrap() {
                return (cursor, *event);
            }
        }
    }

    /// The next command: its parameters.
    pub(crate) async fn params(&mut self) -> String {
        let (_, event) = self.event().await;
        called(&event).params
    }
}

/// The command of an event.
pub(crate) fn called(event: &pb::Event) -> pb::CalledCommand {
    command_added(event).command.expect("a command")
}

pub(crate) fn command_added(event: &pb::Event) -> pb::CommandAdded {
    match event.body.clone() {
        Some(pb::event::Body::CommandAdded(added)) => added,
        other => panic!("not a command: {other:?}"),
    }
}

pub(crate) fn helper() -> pb::RegisterBotRequest {
    pb::RegisterBotRequest {
        bot_code: "helper".to_owned(),
        properties: Some(pb::BotProperties {
            name: Some("Helper".to_owned()),
            ..pb::BotProperties::default()
        }),
        ..pb::RegisterBotRequest::default()
    }
}

pub(crate) fn help() -> pb::RegisterCommandRequest {
    pb::RegisterCommandRequest {
        bot_code: "helper".to_owned(),
        command: "help".to_owned(),
        title: [("en".to_owned(), "Show help".to_owned())].into(),
        ..pb::RegisterCommandRequest::default()
    }
}

/// An answer to an event.
pub(crate) fn answer(event: &pb::Event, text: &str) -> pb::AnswerCommandRequest {
    pb::AnswerCommandRequest {
        target: Some(pb::answer_command_request::Target::EventId(
            event.event_id.clone(),
        )),
        content: Some(content(text)),
        ..pb::AnswerCommandRequest::default()
    }
}

/// An answer by raw ids.
pub(crate) fn raw_answer(
    command_id: i64,
    message_id: i64,
    dialog_id: &str,
    text: &str,
) -> pb::AnswerCommandRequest {
    pb::AnswerCommandRequest {
        bot_code: "helper".to_owned(),
        target: Some(pb::answer_command_request::Target::Invocation(
            pb::CommandInvocation {
                command_id,
                message_id,
                dialog_id: dialog_id.to_owned(),
            },
        )),
        content: Some(content(text)),
        ..pb::AnswerCommandRequest::default()
    }
}

pub(crate) fn content(text: &str) -> pb::MessageContent {
    pb::MessageContent {
        text: text.to_owned(),
        ..pb::MessageContent::default()
    }
}

/// What a failed call says of itself: code, reason, and whether it ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) code: Code,
    pub(crate) reason: String,
    pub(crate) executed: String,
}

pub(crate) fn told(status: &Status) -> Told {
    let info = status
        .get_details_error_info()
        .expect("every failure carries an ErrorInfo");
    assert_eq!(info.domain, "gateway.bitrix24");
    assert!(
        Reason::ALL
            .iter()
            .any(|reason| reason.as_str() == info.reason),
        "{}",
        info.reason
    );
    Told {
        code: status.code(),
        reason: info.reason,
        executed: info.metadata.get("executed").cloned().unwrap_or_default(),
    }
}

pub(crate) fn failure(code: Code, reason: &str, executed: &str) -> Told {
    Told {
        code,
        reason: reason.to_owned(),
        executed: executed.to_owned(),
    }
}

/// The fields that a refused request names.
pub(crate) fn broken_fields(status: &Status) -> Vec<String> {
    let violations = status
        .get_details_bad_request()
        .map(|request| request.field_violations);
    violations
        .unwrap_or_default()
        .into_iter()
        .map(|violation| violation.field)
        .collect()
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(
        timeout(PATIENCE, waiting).await.is_ok(),
        "it never came about that {what}"
    );
}
