//! `doctor`: why is my bot silent, and how far does one get with a portal?
//!
//! Where a gateway runs it is asked, and asks its portals itself. Where none runs, this process asks them, with
//! at most three calls each that leave nothing behind, and looks into the store if there is one.
//!
//! With `--probe` the gateway also asks a portal for what is relied upon without a promise.

use std::{
    io::{IsTerminal as _, stdout},
    process::ExitCode,
    time::Duration,
};

use clap::Args;

use super::{Trouble, place::Place, probe, progress::during, say};
use crate::{
    admin::{self, Command, Done, Keeper},
    clock::Clock,
    config::{Config, Keeping, Sources},
    diagnosis::{Asked, Chain, Report, Standing, asked, configured},
    fault::Chain as Causes,
    ids::PortalId,
    portal::{self, Access, Direct, WebhookUrl, transport},
    store::{self, Store},
};

/// Longest patience with an answer of a portal: somebody sits there and waits.
const PATIENCE: Duration = Duration::from_secs(20);

/// What to look at.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// This portal only.
    #[arg(long, value_name = "NAME")]
    portal: Option<String>,
    /// The code of a bot: tell its chain, from the credential to its last answer.
    #[arg(long, value_name = "CODE")]
    bot: Option<String>,
    /// Ask the portal, as this bot, whether what is relied upon without a promise holds there. A gateway that
    /// runs does it and goes by what it learned. Exit code 0 if all was settled that was asked for.
    #[arg(long, requires = "bot")]
    probe: bool,
    /// A dialog of the bot, such as chat5: with --probe, a test message is sent there twice under one key, and
    /// deleted again.
    #[arg(long, value_name = "DIALOG", requires = "probe")]
    dialog: Option<String>,
    #[command(flatten)]
    place: Place,
}

impl Doctor {
    /// 0 when nothing is broken, else 1.
    pub(super) async fn run(self) -> Result<ExitCode, Trouble> {
        let sources = self.place.sources();
        let paint = Paint(stdout().is_terminal() && sources.wants_colours());
        if let Some(bot) = self.bot.as_ref().filter(|_| self.probe) {
            let command = Command::Probe {
                portal: self.portal,
                bot: bot.clone(),
                dialog: self.dialog,
            };
            return probe::run(&self.place, command, paint).await;
        }
        let report = self.examine(&sources).await?;
        report.gateway.iter().for_each(|line| {
            let word = paint.word(Standing::Broken);
            say(&format!("gateway\n  {word} {line}"));
        });
        report.chains.iter().for_each(|chain| show(chain, paint));
        let broken: Vec<_> = report
            .chains
            .iter()
            .filter_map(|chain| Some(format!("{} at its {}", chain.name(), chain.broken()?.step)))
            .collect();
        if broken.is_empty() && report.gateway.is_empty() {
            say("nothing is broken, as far as can be seen");
            return Ok(ExitCode::SUCCESS);
        }
        if !broken.is_empty() {
            say(&format!("broken: {}", broken.join("; ")));
        }
        Ok(ExitCode::from(1))
    }

    async fn examine(&self, sources: &Sources) -> Result<Report, Trouble> {
        let keeping = Keeping::load(sources)?;
        let command = Command::Doctor {
            portal: self.portal.clone(),
            bot: self.bot.clone(),
        };
        // Looking never makes a store.
        let store = match store::backup::expect(&keeping.store.dir) {
            Err(_) => None,
            Ok(()) => match Store::open(keeping.store, Clock::system()).await {
                Ok(opened) => Some(opened),
                Err(store::Error::Locked { holder, .. }) => {
                    let Some(socket) = keeping.admin else {
                        return Err(admin::Error::NoSocket { holder }.into());
                    };
                    let sent = admin::send(&socket.path, &command, &holder);
                    let waiting = "the gateway asks its portals";
                    return match during(waiting, sent).await? {
                        Done::Diagnosed { report } => Ok(report),
                        _ => Err(admin::Error::Refused(
                            "the gateway tells something else".to_owned(),
                        )
                        .into()),
                    };
                }
                Err(error) => return Err(error.into()),
            },
        };
        let config = Config::load(sources)?.portals;
        let mut report = Report {
            at: Clock::system().now(),
            gateway: Vec::new(),
            chains: Vec::new(),
        };
        let mut added = Vec::new();
        let mut held = false;
        if let Some(opened) = store {
            held = opened.restored;
            added = opened.store.webhooks().await?;
            let keeper = Keeper::new(opened.store.clone(), Clock::system(), keeping.names, None);
            let done = keeper.run(command).await;
            opened.store.close().await;
            if let Done::Diagnosed { report: of_store } = done? {
                report = of_store;
            }
        } else if let Some(bot) = &self.bot {
            let seen = format!(
                "there is no store yet, so nobody registered the bot `{bot}`: start the gateway"
            );
            report.gateway.push(seen);
        }
        let mut portals = self.portals(config, added, held).await?;
        portals.append(&mut report.chains);
        report.chains = portals;
        Ok(report)
    }

    /// Asks the portals of the configuration and of the store.
    async fn portals(
        &self,
        config: portal::Config,
        added: Vec<(PortalId, secrecy::SecretString)>,
        held: bool,
    ) -> Result<Vec<Chain>, Trouble> {
        let transport = transport::Config {
            timeout: config.transport.timeout.min(PATIENCE),
            ..config.transport
        };
        let added = added.into_iter().filter_map(|(id, url)| {
            // One that cannot be read is told at the start of the gateway.
            Some((id, Access::Webhook(WebhookUrl::parse(&url).ok()?)))
        });
        let mut all: std::collections::BTreeMap<_, _> = added.collect();
        all.extend(config.portals);
        if let Some(wanted) = &self.portal
            && !all.keys().any(|id| id.as_str() == wanted)
        {
            let why = format!("there is no portal `{wanted}`; `portals list` names them");
            return Err(admin::Error::Refused(why).into());
        }
        let mut chains = Vec::new();
        for (id, access) in all {
            if self
                .portal
                .as_ref()
                .is_some_and(|wanted| id.as_str() != wanted)
            {
                continue;
            }
            chains.push(match access {
                _ if held => configured(
                    id.as_str(),
                    "the store was restored, and nothing leaves for any portal",
                    "make sure that no other gateway uses it, then run `store activate`",
                ),
                Access::OAuth(_) => configured(
                    id.as_str(),
                    "its tokens are kept and renewed by a gateway that runs",
                    "start the gateway and look again",
                ),
                Access::Webhook(url) => {
                    let waiting = format!("asking portal {id}");
                    let direct = Direct::new(id, url, &transport, Clock::system())?;
                    let answer = during(&waiting, Asked::directly(&direct)).await;
                    if let Err(error) = &answer.profile {
                        tracing::debug!(error = %Causes(error), "portal cannot be asked");
                    }
                    asked(direct.id().as_str(), &answer, Clock::system().now())
                }
            });
        }
        Ok(chains)
    }
}

/// Colours, where somebody sees them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint(bool);

/// What they mean.
#[derive(Debug, Clone, Copy)]
pub(super) enum Colour {
    Red = 31,
    Green = 32,
    Yellow = 33,
}

impl Paint {
    /// A word in a column of this width.
    pub(super) fn padded(self, word: &str, width: usize, colour: Colour) -> String {
        let word = format!("{word:width$}");
        match self.0 {
            true => format!("\u{1b}[{}m{word}\u{1b}[0m", colour as u8),
            false => word,
        }
    }

    fn word(self, standing: Standing) -> String {
        let colour = match standing {
            Standing::Fine => Colour::Green,
            Standing::Broken => Colour::Red,
            Standing::Unknown => Colour::Yellow,
        };
        self.padded(standing.as_str(), 8, colour)
    }
}

fn show(chain: &Chain, paint: Paint) {
    say(&plain(&chain.name()));
    for link in &chain.links {
        let word = paint.word(link.standing);
        say(&format!("  {word} {:13} {}", link.step, plain(&link.seen)));
        if let Some(next) = &link.next {
            say(&format!("           {:13} try: {}", "", plain(next)));
        }
    }
}

/// A text without what steers terminals: some of it was told by strangers.
pub(super) fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}
