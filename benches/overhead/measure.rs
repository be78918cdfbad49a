//! What is measured, in which order.
//!
//! Both sides take turns in short rounds, and the middle of each figure counts: what else happens on
//! the machine then hits both alike.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use bitrix24_gateway::{callers::TokenHash, proto::v1::EventMode};

use crate::{
    commits,
    common::{
        Outcome,
        gateway::{BOT_CODE, CA_FILE, Gateway},
        process::Process,
    },
    cpu,
    load::{self, Keys},
    memory, report, startup, watched,
};

/// Nothing is to wait for the portal's limit.
pub(crate) const UNPACED: [(&str, &str); 1] = [("RATE__REQUESTS_PER_SECOND", "0")];

/// Calls at once.
pub(crate) const CONCURRENT: [usize; 3] = [1, 16, 64];

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) keyed_rounds: usize,
    pub(crate) round: Duration,
    pub(crate) starts: usize,
}

/// One side at one concurrency: of a round, or the middle of several.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) cpu_us: f64,
    pub(crate) peak_megabytes: f64,
    /// Commits of the store per call.
    pub(crate) commits: f64,
}

impl Plan {
    /// As the command line wishes.
    pub(crate) fn of(words: &[&str]) -> Self {
        if words.contains(&"--quick") {
            Self {
                rounds: 3,
                keyed_rounds: 1,
                round: Duration::from_millis(700),
                starts: 3,
            }
        } else {
            Self {
                rounds: 9,
                keyed_rounds: 5,
                round: Duration::from_secs(2),
                starts: 11,
            }
        }
    }
}

/// A process that takes calls.
pub(crate) struct Side<'a> {
    pub(crate) address: &'a str,
    pub(crate) process: &'a Process,
    /// Where commits are counted.
    pub(crate) store: Option<PathBuf>,
    /// What its callers show; empty for nothing.
    pub(crate) token: &'a str,
}

impl Side<'_> {
    pub(crate) async fn round(
        &self,
        concurrent: usize,
        time: Duration,
        keys: Keys,
    ) -> Outcome<Figures> {
        let commits = |side: &Self| side.store.as_deref().map_or(Ok(0), commits::commits);
        let (cpu, committed) = (cpu::cpu_time(self.process)?, commits(self)?);
        let seen = load::round(
            self.address,
            concurrent,
            (Duration::ZERO, time),
            keys,
            self.token,
        )
        .await?;
        let cpu = cpu::cpu_time(self.process)? - cpu;
        let committed = commits(self)?.wrapping_sub(committed);
        let calls = seen.calls;
        Ok(Figures {
            per_second: calls / seen.seconds,
            p50_us: seen.p50_us,
            p99_us: seen.p99_us,
            cpu_us: cpu.as_secs_f64() * 1e6 / calls,
            peak_megabytes: memory::megabytes(self.process, "VmHWM")?,
            commits: f64::from(committed) / calls,
        })
    }
}

impl Figures {
    /// The middle of each figure.
    pub(crate) fn median(rounds: &[Self]) -> Self {
        let median = |figure: fn(&Self) -> f64| {
            let mut values: Vec<f64> = rounds.iter().map(figure).collect();
            values.sort_unstable_by(f64::total_cmp);
            values[values.len() / 2]
        };
        Self {
            per_second: median(|it| it.per_second),
            p50_us: median(|it| it.p50_us),
            p99_us: median(|it| it.p99_us),
            cpu_us: median(|it| it.cpu_us),
            peak_megabytes: rounds
                .iter()
                .map(|it| it.peak_megabytes)
                .fold(0.0, f64::max),
            commits: median(|it| it.commits),
        }
    }
}

/// Measures everything and prints it.
pub(crate) async fn run(plan: Plan) -> Outcome<()> {
    // Where builds go, which is a disk: a store in memory would commit for nothing.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let folder = folder.path();
    let text = folder.to_str().ok_or("a folder whose name is no text")?;
    let (_responder, responder) = Process::role(&["responder", text]).await?;
    let portal = format!("https://{responder}/rest/1/benchmark/");
    let ca_file = format!("{text}/{}", CA_FILE);
    let (bare, bare_address) = Process::role(&["bare", &portal, &ca_file]).await?;
    let gateway = Gateway::start(folder, &portal, &UNPACED).await?;
    gateway.register("", BOT_CODE, EventMode::Fetch).await?;
    let bare = Side {
        address: &bare_address,
        process: &bare,
        store: None,
        token: "",
    };
    let ours = Side {
        address: &gateway.address,
        process: &gateway.process,
        store: Some(folder.join("store")),
        token: "",
    };

    report::head(plan);
    // Connections, and whatever else is made once.
    for side in [&bare, &ours] {
        side.round(CONCURRENT[2], plan.round / 2, Keys::None)
            .await?;
    }
    let mut compared = Vec::new();
    for concurrent in CONCURRENT {
        let (mut of_bare, mut of_ours) = (Vec::new(), Vec::new());
        for round in 0..plan.rounds {
            // Who goes first has the disadvantage of whatever the other left behind.
            for of_bare_now in [round % 2 == 0, round % 2 == 1] {
                let (side, figures) = if of_bare_now {
                    (&bare, &mut of_bare)
                } else {
                    (&ours, &mut of_ours)
                };
                figures.push(side.round(concurrent, plan.round, Keys::None).await?);
            }
        }
        let (of_bare, of_ours) = (Figures::median(&of_bare), Figures::median(&of_ours));
        report::compared(concurrent, &of_bare, &of_ours);
        compared.push((concurrent, of_bare, of_ours));
    }

    report::keyed_head();
    for concurrent in CONCURRENT {
        let mut rounds = Vec::new();
        for round in 0..plan.keyed_rounds {
            // Keys differ between concurrencies as well.
            let keys = Keys::Of(concurrent * 1000 + round);
            rounds.push(ours.round(concurrent, plan.round, keys).await?);
        }
        report::keyed(concurrent, &Figures::median(&rounds));
    }
    guarded(plan, folder, &portal, &ours).await?;
    watched::measure(plan, folder, &portal, &ours).await?;
    gateway.process.stop().await?;
    let ready = startup::ready_after(folder, &portal, plan.starts).await?;
    report::verdict(&compared, ready);
    Ok(())
}

/// What it costs to know who calls: a gateway with a caller beside the one that lets everybody in.
async fn guarded(plan: Plan, folder: &Path, portal: &str, open: &Side<'_>) -> Outcome<()> {
    const TOKEN: &str = "b24gw_benchmark";
    let own = folder.join("guarded");
    std::fs::create_dir(&own)?;
    std::fs::copy(folder.join(CA_FILE), own.join(CA_FILE))?;
    // The bot is registered before there are callers, so that it belongs to whoever may register.
    let gateway = Gateway::start(&own, portal, &UNPACED).await?;
    gateway.register("", BOT_CODE, EventMode::Fetch).await?;
    gateway.process.stop().await?;
    let hash = TokenHash::of(TOKEN).to_string();
    let [unpaced] = UNPACED;
    let settings = [
        unpaced,
        ("CALLERS__BENCHMARK__TOKEN_SHA256", hash.as_str()),
        ("CALLERS__BENCHMARK__PORTALS", "default"),
        ("CALLERS__BENCHMARK__BOTS", "support_*"),
        ("CALLERS__BENCHMARK__RPCS", "answer, manage"),
    ];
    let gateway = Gateway::start(&own, portal, &settings).await?;
    let guarded = Side {
        address: &gateway.address,
        process: &gateway.process,
        store: None,
        token: TOKEN,
    };
    report::guarded_head();
    guarded
        .round(CONCURRENT[2], plan.round / 2, Keys::None)
        .await?;
    for concurrent in CONCURRENT {
        let (mut of_open, mut of_guarded) = (Vec::new(), Vec::new());
        for _ in 0..plan.rounds {
            of_open.push(open.round(concurrent, plan.round, Keys::None).await?);
            of_guarded.push(guarded.round(concurrent, plan.round, Keys::None).await?);
        }
        let (of_open, of_guarded) = (Figures::median(&of_open), Figures::median(&of_guarded));
        report::guarded(concurrent, &of_open, &of_guarded);
    }
    gateway.process.stop().await?;
    Ok(())
}
