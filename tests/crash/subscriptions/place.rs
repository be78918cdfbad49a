//! A portal with several dialogs, a gateway and two bots that compete for its commands.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    time::Duration,
};

use bitrix24_gateway::proto::v1::{
    self as pb, SetAsideReason, event_service_client::EventServiceClient,
};
use bitrix24_sim::{Chat, Limits, Portal, PortalConfig, Sim, UserConfig};
use rusqlite::OpenFlags;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use tonic::{Status, transport::Channel};

use super::worker::{self, NAME, Victim, params};
use crate::{PATIENCE, database, free_port, work};

pub(super) struct Place {
    pub(super) folder: TempDir,
    pub(super) portal: Portal,
    pub(super) chats: Vec<Chat>,
    _sim: Sim,
    anna: i64,
    port: u16,
    /// How many commands were typed in each dialog.
    typed: Vec<usize>,
}

impl Place {
    /// The bot is registered, and its gateway runs.
    pub(super) async fn made(dialogs: usize) -> (Self, Victim) {
        let sim = Sim::start(bitrix24_sim::Config::default()).await.unwrap();
        let config = PortalConfig {
            limits: Limits::none(),
            ..PortalConfig::default()
        };
        let portal = sim.add_portal(config).await.unwrap();
        let anna = portal.add_user(UserConfig::named("Anna", "Weber"));
        let chat = |number| portal.add_group_chat(&format!("Chat {number}"), &[1, anna]);
        let chats: Vec<_> = (0..dialogs).map(chat).collect();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), sim.ca_pem()).unwrap();
        fs::write(folder.path().join("record"), "").unwrap();
        let place = Self {
            folder,
            portal,
            typed: vec![0; chats.len()],
            chats,
            _sim: sim,
            anna,
            port: free_port(),
        };
        let gateway = place.gateway();
        let mut bot = work::Bot::connect(place.port);
        bot.register(&place.portal, anna, &place.chats[0]).await;
        let id = place.portal.bot_by_code("helper").unwrap().id;
        for chat in &place.chats[1..] {
            place.portal.add_bot_to_chat(id, chat.id, anna).unwrap();
        }
        (place, gateway)
    }

    pub(super) fn gateway(&self) -> Victim {
        Victim(work::start(&self.portal, self.folder.path(), self.port))
    }

    pub(super) fn bot(&self) -> Victim {
        worker::start(self.port, &self.record())
    }

    fn record(&self) -> PathBuf {
        self.folder.path().join("record")
    }

    /// What the bots noted under a word, in order.
    pub(super) fn noted(&self, what: &str) -> Vec<String> {
        let record = fs::read_to_string(self.record()).unwrap();
        let of = record.lines().filter_map(|line| line.split_once(' '));
        let of = of.filter(|(word, _)| *word == what);
        of.map(|(_, params)| params.to_owned()).collect()
    }

    /// The next command in a dialog; its number there follows the one of the dialog.
    pub(super) fn types(&mut self, dialog: usize) -> String {
        let params = format!("{dialog}-{}", self.typed[dialog]);
        self.typed[dialog] += 1;
        let anna = self.portal.user(self.anna);
        let text = format!("/help {params}");
        anna.types(&self.chats[dialog].dialog_id(), &text).unwrap();
        params
    }

    /// Every command that was typed.
    pub(super) fn commands(&self) -> impl Iterator<Item = String> {
        let dialogs = self.typed.iter().enumerate();
        dialogs.flat_map(|(dialog, count)| (0..*count).map(move |n| format!("{dialog}-{n}")))
    }

    /// How often each command was answered, as people see it.
    pub(super) fn posted(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for chat in &self.chats {
            for message in self.portal.messages(&chat.dialog_id()) {
                if let Some(params) = message.text.strip_prefix("done ") {
                    *counts.entry(params.to_owned()).or_default() += 1;
                }
            }
        }
        counts
    }

    /// The commands of a gateway that was killed whose answers were begun and not recorded.
    pub(super) fn begun(&self) -> BTreeSet<u64> {
        let reader = database(self.folder.path(), OpenFlags::SQLITE_OPEN_READ_ONLY);
        let begun = "SELECT seq FROM answers WHERE answered = 0";
        let mut begun = reader.prepare(begun).unwrap();
        let seqs = begun.query_map([], |row| row.get::<_, i64>(0)).unwrap();
        seqs.map(|seq| seq.unwrap().unsigned_abs()).collect()
    }

    /// What is set aside: the command, its place in the log, and why.
    pub(super) async fn set_aside(&self) -> Vec<(String, u64, SetAsideReason)> {
        let mut found = Vec::new();
        let mut page_token = String::new();
        loop {
            let page = self.asks(async |mut events| {
                let request = pb::ListSetAsideEventsRequest {
                    subscription: NAME.to_owned(),
                    page_size: 100,
                    page_token: page_token.clone(),
                    ..pb::ListSetAsideEventsRequest::default()
                };
                events.list_set_aside_events(request).await
            });
            let page = page.await;
            for aside in page.events {
                let reason = aside.reason();
                let event = aside.event.unwrap();
                let (_, seq) = event.event_id.rsplit_once('-').unwrap();
                found.push((params(&event), seq.parse().unwrap(), reason));
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return found;
            }
        }
    }

    /// Waits until every command is answered or set aside, and nothing waits for a bot any more.
    pub(super) async fn settles(&self) {
        let settled = async {
            loop {
                let posted = self.posted();
                let aside = self.set_aside().await;
                let aside: BTreeSet<_> = aside.into_iter().map(|(params, ..)| params).collect();
                let open: Vec<_> = self
                    .commands()
                    .filter(|params| !posted.contains_key(params) && !aside.contains(params))
                    .collect();
                let waits = self.waiting().await;
                if open.is_empty() && waits == 0 {
                    return;
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        let settled = timeout(PATIENCE, settled).await;
        assert!(
            settled.is_ok(),
            "commands are neither answered nor set aside"
        );
    }

    /// How many events are handed out, or wait for that, as the gateway counts.
    pub(super) async fn waiting(&self) -> i64 {
        let found = self.asks(async |mut events| {
            let name = NAME.to_owned();
            let request = pb::GetSubscriptionRequest { name };
            events.get_subscription(request).await
        });
        let found = found.await.subscription.unwrap();
        found.outstanding + found.waiting
    }

    /// Repeats while the gateway, or the subscription, is not there yet.
    async fn asks<T>(
        &self,
        call: impl AsyncFn(EventServiceClient<Channel>) -> Result<tonic::Response<T>, Status>,
    ) -> T {
        let endpoint = Channel::from_shared(format!("http://127.0.0.1:{}", self.port)).unwrap();
        let client = EventServiceClient::new(endpoint.connect_lazy());
        let told = async {
            loop {
                match call(client.clone()).await {
                    Ok(told) => return told.into_inner(),
                    Err(_) => sleep(Duration::from_millis(20)).await,
                }
            }
        };
        timeout(PATIENCE, told).await.unwrap()
    }
}
