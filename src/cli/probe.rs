//! `doctor --probe`: what a portal shows of what is relied upon without a promise.

use std::process::ExitCode;

use super::{
    Trouble,
    doctor::{Colour, Paint, plain},
    place::Place,
    say,
};
use crate::{
    admin::{self, Command, Done},
    diagnosis::{Finding, Probe, Verdict},
};

/// 0 when all was settled that was asked for, and nothing is left in the dialog; else 1.
pub(super) async fn run(
    place: &Place,
    command: Command,
    paint: Paint,
) -> Result<ExitCode, Trouble> {
    let Done::Probed { probe } = place.have_done(command).await? else {
        let why = "the gateway tells something else".to_owned();
        return Err(admin::Error::Refused(why).into());
    };
    say(&format!(
        "portal {}, asked by its bot {}",
        probe.portal, probe.bot
    ));
    probe.findings.iter().for_each(|it| show(it, paint));
    for line in &probe.left {
        say(&format!("LEFT BEHIND: {}", plain(line)));
    }
    Ok(conclude(&probe))
}

fn show(finding: &Finding, paint: Paint) {
    let colour = match finding.verdict {
        Verdict::Holds => Colour::Green,
        Verdict::Fails => Colour::Red,
        Verdict::Unsettled | Verdict::LeftOut => Colour::Yellow,
    };
    let word = paint.padded(finding.verdict.as_str(), 9, colour);
    let name = &finding.name;
    say(&format!("  {word} {name:13} {}", plain(&finding.seen)));
    let more = |text: &str| say(&format!("  {:9} {:13} {text}", "", ""));
    let relied_upon = match finding.relied_upon {
        true => "relied upon now",
        false => "not relied upon now",
    };
    let switch = finding.switch.as_str();
    more(&format!("{relied_upon}; the switch is `{switch}`"));
    if let Some(line) = &finding.keep {
        more(&format!("to keep it beyond a restart: {line}"));
    }
    if let Some(next) = &finding.next {
        more(&format!("try: {}", plain(next)));
    }
}

fn conclude(probe: &Probe) -> ExitCode {
    let unsettled: Vec<_> = probe.unsettled().map(|it| it.name.as_str()).collect();
    if !unsettled.is_empty() {
        say(&format!("not settled: {}", unsettled.join(", ")));
        return ExitCode::FAILURE;
    }
    match probe.left.is_empty() {
        true => {
            say("settled, but for what was left out");
            ExitCode::SUCCESS
        }
        false => ExitCode::FAILURE,
    }
}
