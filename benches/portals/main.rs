//! Many portals in which our application is installed, and nobody there who says anything;
//! `benches/README.md` says how to read it.
//!
//! ```text
//! gateway ──HTTPS──► simulated portals, in the process that measures
//! ```

#![expect(clippy::print_stdout, reason = "a table for whoever ran it")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/cpu.rs"]
mod cpu;
#[path = "../common/memory.rs"]
mod memory;

use std::{fs, path::PathBuf, process::ExitCode, time::Duration};

use bitrix24_gateway::{
    clock::Clock,
    proto::v1::EventMode,
    store::{self, KeySource, Pair, Store},
};
use bitrix24_sim::{ApplicationConfig, Config, Portal, PortalConfig, Sim};
use jiff::SignedDuration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use self::{
    common::{
        Outcome, end,
        gateway::{BOT_CODE, CA_FILE, Gateway},
        on_one_thread,
        report::{machine, wanted},
    },
    cpu::cpu_time,
    memory::megabytes,
};

/// The application that is installed everywhere.
const CLIENT: &str = "app.573ad8a0346747.09223434";
const SECRET: &str = "client-secret";

/// What fetches events.
const POLL: &str = "imbot.v2.Event.get";

/// What is wanted: of a start, of the processor while nothing happens, and of memory in megabytes.
const READY: Duration = Duration::from_secs(1);
const IDLE: f64 = 0.10;
const MEMORY: f64 = 100.0;

fn main() -> ExitCode {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let outcome = if quick {
        on_one_thread(measure(50, 2, Duration::from_secs(5)))
    } else {
        on_one_thread(measure(500, 5, Duration::from_secs(60)))
    };
    end("portals", outcome)
}

async fn measure(count: usize, starts: usize, idle: Duration) -> Outcome<()> {
    let world = World::with(count).await?;
    world.register_bots().await?;

    let mut times = Vec::with_capacity(starts);
    for _ in 0..starts {
        let began = Instant::now();
        let gateway = world.gateway().await?;
        times.push(began.elapsed());
        gateway.process.stop().await?;
    }
    times.sort_unstable();
    let ready = times[times.len() / 2];

    let gateway = world.gateway().await?;
    // What a start does once is over then.
    sleep(Duration::from_secs(10).min(idle)).await;
    let (before, polled) = (cpu_time(&gateway.process)?, world.polls());
    let began = Instant::now();
    sleep(idle).await;
    let spent =
        (cpu_time(&gateway.process)? - before).as_secs_f64() / began.elapsed().as_secs_f64();
    let polls = world.polls() - polled;
    let memory = megabytes(&gateway.process, "VmRSS")?;

    println!("{count} portals installed, a bot in each, nobody says anything");
    println!("{}\n", machine());
    println!("{polls} fetches of events within {idle:?}\n");
    wanted(
        "ready",
        &format!("{ready:.0?}, wanted under {READY:?}"),
        ready < READY,
    );
    wanted(
        "processor",
        &format!(
            "{:.1} % of one, wanted under {:.0} %",
            spent * 100.0,
            IDLE * 100.0
        ),
        spent < IDLE,
    );
    wanted(
        "memory",
        &format!("{memory:.1} MB, wanted under {MEMORY:.0} MB"),
        memory < MEMORY,
    );
    let unfetched = world.portals.iter().filter(|portal| polls_of(portal) == 0);
    match unfetched.count() {
        0 => gateway.process.stop().await,
        count => Err(format!("the events of {count} bots were never fetched").into()),
    }
}

/// The portals, and the folder of a gateway that has their tokens.
struct World {
    sim: Sim,
    portals: Vec<Portal>,
    folder: TempDir,
}

impl World {
    async fn with(count: usize) -> Outcome<Self> {
        // On a disk: a store in memory would commit for nothing.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let config = Config {
            journal_capacity: 10_000,
            ..Config::default()
        };
        let sim = Sim::start(config).await?;
        fs::write(folder.path().join(CA_FILE), sim.ca_pem())?;
        let mut portals = Vec::with_capacity(count);
        for number in 0..count {
            let portal = sim.add_portal(PortalConfig::default()).await?;
            portal.rename_to(&host(number)).await?;
            let _known = portal.add_application(ApplicationConfig {
                client_id: Some(CLIENT.to_owned()),
                client_secret: Some(SECRET.to_owned()),
                ..ApplicationConfig::default()
            });
            portals.push(portal);
        }
        let world = Self {
            sim,
            portals,
            folder,
        };
        world.install().await?;
        Ok(world)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes down the tokens of every portal, as an installation does.
    async fn install(&self) -> Outcome<()> {
        let config = store::Config {
            dir: self.path("store"),
            keys: KeySource::File(self.path("keys")),
        };
        let clock = Clock::system();
        let store = Store::open(config, clock).await?.store;
        for portal in &self.portals {
            let tokens = portal.install(CLIENT, 1)?;
            let now = clock.now();
            let pair = Pair {
                member_id: portal.member_id(),
                user_id: Some(1),
                access_token: tokens.access_token.into(),
                refresh_token: tokens.refresh_token.into(),
                access_ends: now.saturating_add(SignedDuration::from_hours(1))?,
                obtained_at: now,
                client_endpoint: format!("{}/rest/", portal.address()),
                server_endpoint: Some(format!("{}/rest/", self.sim.oauth().address())),
                scope: vec!["imbot".to_owned()],
                status: None,
                application_token: None,
            };
            let id = portal.member_id().parse()?;
            store.save_pair(&id, &pair, None).await?;
        }
        store.close().await;
        Ok(())
    }

    async fn gateway(&self) -> Outcome<Gateway> {
        let server = self.sim.oauth().address().replace("https://", "");
        let hosts: Vec<_> = (0..self.portals.len())
            .map(|number| format!("{}=127.0.0.1", host(number)))
            .collect();
        let settings = [
            ("OAUTH__CLIENT_ID", CLIENT),
            ("OAUTH__CLIENT_SECRET", SECRET),
            ("OAUTH__HOSTS", &server),
            ("OUTBOUND__PORTAL_HOSTS", "portal.test"),
            ("OUTBOUND__PRIVATE_ADDRESSES", "true"),
            ("OUTBOUND__HOSTS", &hosts.join(",")),
        ];
        Gateway::start(self.folder.path(), "", &settings).await
    }

    async fn register_bots(&self) -> Outcome<()> {
        let gateway = self.gateway().await?;
        for portal in &self.portals {
            gateway
                .register(&portal.member_id(), BOT_CODE, EventMode::Fetch)
                .await?;
            portal.journal().clear();
        }
        gateway.process.stop().await
    }

    /// Fetches of events in all portals so far.
    fn polls(&self) -> usize {
        self.portals.iter().map(polls_of).sum()
    }
}

fn polls_of(portal: &Portal) -> usize {
    portal.journal().calls(POLL).len()
}

fn host(number: usize) -> String {
    format!("p{number}.portal.test")
}
