//! The operator page: why a bot is silent, then all that is behind it.

use jiff::Timestamp;

use super::html::Html;
use crate::{
    diagnosis::{
        BotFacts, Facts, PortalFacts, Problem, Reader, Standing, ago, bot, credential, lasting,
        problems,
    },
    portal::{Health, Lane},
    store::EventMode,
};

/// Rows of a table, and problems, that are shown.
const ROWS: usize = 300;

/// What the names of all our RPCs begin with.
const OURS: &str = "bitrix24.gateway.v1.";

/// What there is to show.
pub(super) enum Shown<'a> {
    /// The gateway is not ready, for each part why.
    Starting(Vec<(String, String)>),
    /// This is seen.
    Facts(&'a Facts),
}

/// The whole page.
pub(super) fn page(shown: &Shown<'_>) -> String {
    let problems = match shown {
        Shown::Facts(facts) => problems(facts),
        Shown::Starting(parts) => starting(parts),
    };
    let grave = problems.iter().filter(|problem| problem.grave).count();
    let (class, verdict) = match (grave, shown) {
        (_, Shown::Starting(_)) => ("broken", "The gateway is not ready.".to_owned()),
        (0, Shown::Facts(facts)) if facts.bots.is_empty() => {
            ("unknown", "No bot is registered yet.".to_owned())
        }
        (0, _) => ("ok", "No bot is silent, as far as can be seen.".to_owned()),
        (1, _) => ("broken", "Something keeps bots silent.".to_owned()),
        (grave, _) => ("broken", format!("{grave} things keep bots silent.")),
    };
    let mut html = Html::default();
    html.raw(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>bitrix24-gateway: ",
    );
    html.raw(if grave == 0 {
        "well"
    } else {
        "bots are silent"
    });
    html.raw(
        "</title>\n<link rel=\"stylesheet\" href=\"/status.css\">\n\
         <script src=\"/status.js\" defer></script>\n\
         <noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>\n</head>\n<body>\n\
         <header>\n<h1>bitrix24-gateway</h1>\n<p id=\"verdict\" role=\"status\" class=\"",
    );
    html.raw(class).raw("\">").text(&verdict);
    html.raw("</p>\n</header>\n<main>\n");
    list(&mut html, &problems);
    if let Shown::Facts(facts) = shown {
        tables(&mut html, facts);
    }
    html.raw("</main>\n</body>\n</html>\n");
    html.end()
}

fn starting(parts: &[(String, String)]) -> Vec<Problem> {
    let each = parts.iter().map(|(part, why)| Problem {
        grave: true,
        about: part.clone(),
        seen: why.clone(),
        next: "wait; the gateway's log says more".to_owned(),
    });
    each.collect()
}

fn list(html: &mut Html, problems: &[Problem]) {
    html.raw("<section aria-labelledby=\"why\">\n<h2 id=\"why\">Why is my bot silent?</h2>\n");
    if problems.is_empty() {
        html.raw("<p>Every link is whole, from the credential of each portal to the last answer of each bot.</p>\n");
    } else {
        html.raw("<ul class=\"problems\">\n");
        for problem in problems.iter().take(ROWS) {
            html.raw(if problem.grave {
                "<li class=\"grave\">"
            } else {
                "<li>"
            });
            html.raw("<p><strong>")
                .name(&problem.about)
                .raw("</strong> ");
            html.text(&problem.seen);
            html.raw("</p><p class=\"next\">Next: ").text(&problem.next);
            html.raw("</p></li>\n");
        }
        html.raw("</ul>\n");
        more(html, problems.len());
    }
    html.raw("</section>\n");
}

fn more(html: &mut Html, all: usize) {
    if all > ROWS {
        html.raw("<p>And ")
            .number((all - ROWS) as u64)
            .raw(" more.</p>\n");
    }
}

fn tables(html: &mut Html, facts: &Facts) {
    let now = facts.at;
    let columns = [
        "Portal",
        "State",
        "Since",
        "Last success",
        "Last failure",
        "Requests left",
        "Clock",
        "Address",
    ];
    table(
        html,
        ("portals", "Portals"),
        &columns,
        &facts.portals,
        |html, it| {
            portal(html, it, now);
        },
    );
    let columns = [
        "Bot",
        "Portal",
        "State",
        "Events",
        "Last poll",
        "Last event",
        "Last answer",
        "First broken link",
    ];
    let bots: Vec<_> = facts.bots.iter().enumerate().collect();
    table(
        html,
        ("bots", "Bots"),
        &columns,
        &bots,
        |html, (index, it)| {
            bot_row(html, facts, *index, it);
        },
    );
    let columns = [
        "Subscription",
        "Caller",
        "Streams",
        "Handed out",
        "Not done",
        "Not looked at",
        "Oldest",
        "Set aside",
        "Bots",
    ];
    table(
        html,
        ("readers", "Subscriptions and streams"),
        &columns,
        &facts.readers,
        |html, it| {
            reader(html, it, now);
        },
    );
    let waiting = facts.portals.iter().flat_map(|portal| {
        let of = |(lane, caller, calls): &(Lane, std::sync::Arc<str>, usize)| {
            (portal.id.to_string(), *lane, caller.to_string(), *calls)
        };
        portal.callers.iter().map(of)
    });
    let waiting: Vec<_> = waiting.collect();
    let columns = ["Portal", "Lane", "Caller", "Calls"];
    table(
        html,
        ("queue", "Calls that wait"),
        &columns,
        &waiting,
        |html, (portal, lane, caller, calls)| {
            cell(html, portal);
            html.raw("<td>").raw(lane_name(*lane)).raw("</td>");
            match caller.as_str() {
                "" => html.raw("<td class=\"none\">the gateway</td>"),
                caller => html.raw("<td>").name(caller).raw("</td>"),
            };
            html.raw("<td>").number(*calls as u64).raw("</td>");
        },
    );
    let columns = ["Reason", "RPC", "Calls", "Last"];
    table(
        html,
        ("failures", "Calls that failed since the start"),
        &columns,
        &facts.failures,
        |html, it| {
            long(html, it.reason);
            long(html, it.rpc.trim_start_matches(OURS));
            html.raw("<td>").number(it.count).raw("</td>");
            time(html, now, Some(it.last));
        },
    );
}

/// A table that can be reached and moved with the keyboard, since it may be wider than the window.
fn table<T>(
    html: &mut Html,
    (id, title): (&'static str, &'static str),
    columns: &[&'static str],
    rows: &[T],
    mut row: impl FnMut(&mut Html, &T),
) {
    html.raw("<section>\n<h2 id=\"")
        .raw(id)
        .raw("\">")
        .raw(title)
        .raw("</h2>\n");
    if rows.is_empty() {
        html.raw("<p class=\"none\">None.</p>\n</section>\n");
        return;
    }
    html.raw("<div class=\"wide\" role=\"region\" tabindex=\"0\" aria-labelledby=\"");
    html.raw(id)
        .raw("\">\n<table aria-labelledby=\"")
        .raw(id)
        .raw("\">\n<thead><tr>");
    for column in columns {
        html.raw("<th scope=\"col\">").raw(column).raw("</th>");
    }
    html.raw("</tr></thead>\n<tbody>\n");
    for one in rows.iter().take(ROWS) {
        html.raw("<tr>");
        row(html, one);
        html.raw("</tr>\n");
    }
    html.raw("</tbody>\n</table>\n</div>\n");
    more(html, rows.len());
    html.raw("</section>\n");
}

fn cell(html: &mut Html, name: &str) {
    html.raw("<td>").name(name).raw("</td>");
}

/// The same with room for names that are long.
fn long(html: &mut Html, name: &str) {
    html.raw("<td class=\"long\">").name(name).raw("</td>");
}

/// A moment as how long ago it was, and in full for whoever asks for more.
fn time(html: &mut Html, now: Timestamp, at: Option<Timestamp>) {
    match at {
        None => html.raw("<td class=\"none\">never</td>"),
        Some(at) => html.raw("<td>").name(&ago(now, at)).raw("</td>"),
    };
}

fn portal(html: &mut Html, portal: &PortalFacts, now: Timestamp) {
    cell(html, portal.id.as_str());
    let state = &portal.state;
    let class = match credential(portal, now).standing {
        Standing::Fine => "ok",
        Standing::Broken => "broken",
        Standing::Unknown => "unknown",
    };
    html.raw("<td class=\"")
        .raw(class)
        .raw("\">")
        .raw(health(state.health));
    if let Some(reason) = state.reason {
        html.raw(" ").name(reason.as_str());
    }
    html.raw("</td>");
    time(html, now, Some(state.since));
    time(html, now, state.last_success);
    match &state.last_failure {
        None => html.raw("<td class=\"none\">none</td>"),
        Some(failure) => {
            html.raw("<td class=\"long\">")
                .name(failure.method.as_str())
                .raw(": ");
            html.name(failure.reason.as_str()).raw(" ");
            if let Some(code) = failure.portal_code.as_deref().filter(|it| !it.is_empty()) {
                html.raw("<code>").name(code).raw("</code> ");
            }
            html.name(&ago(now, failure.at)).raw("</td>")
        }
    };
    match portal.permits {
        None => html.raw("<td class=\"none\">no limit</td>"),
        Some((left, most)) => html
            .raw("<td>")
            .number(left)
            .raw(" of ")
            .number(most)
            .raw("</td>"),
    };
    match portal.skew {
        None => html.raw("<td class=\"none\">not told</td>"),
        Some(skew) if skew.abs().as_secs() < 1 => html.raw("<td>agrees</td>"),
        Some(skew) => {
            let which = if skew.is_positive() {
                " ahead"
            } else {
                " behind"
            };
            html.raw("<td>")
                .name(&lasting(skew.abs()))
                .raw(which)
                .raw("</td>")
        }
    };
    long(html, &portal.address);
}

fn bot_row(html: &mut Html, facts: &Facts, index: usize, it: &BotFacts) {
    let now = facts.at;
    cell(html, it.code.as_str());
    cell(html, it.portal.as_str());
    let class = if it.status() == "ACTIVE" {
        "ok"
    } else {
        "broken"
    };
    html.raw("<td class=\"")
        .raw(class)
        .raw("\">")
        .raw(it.status())
        .raw("</td>");
    html.raw(match (it.next_mode, it.mode) {
        (Some(_), _) => "<td>changing</td>",
        (None, EventMode::Fetch) => "<td>fetched</td>",
        (None, EventMode::Webhook) => "<td>posted</td>",
    });
    time(html, now, it.last_poll);
    time(html, now, it.last_event);
    match it.said {
        None => html.raw("<td class=\"none\">none since the start</td>"),
        Some(said) => {
            let (class, how) = match said.failed {
                None => ("ok", "taken "),
                Some(_) => ("broken", "failed "),
            };
            html.raw("<td class=\"").raw(class).raw("\">").raw(how);
            if let Some((reason, _)) = said.failed {
                html.name(reason.as_str()).raw(" ");
            }
            html.name(&ago(now, said.at)).raw("</td>")
        }
    };
    let chain = bot(facts, index);
    match chain.as_ref().and_then(|chain| chain.broken()) {
        None => html.raw("<td class=\"ok\">none</td>"),
        Some(link) => html
            .raw("<td class=\"broken\">")
            .name(&link.step.to_string())
            .raw("</td>"),
    };
}

fn reader(html: &mut Html, it: &Reader, now: Timestamp) {
    match &it.name {
        Some(name) => cell(html, name),
        None => {
            html.raw("<td class=\"none\">a stream without a name</td>");
        }
    }
    match it.caller.as_str() {
        "" => {
            html.raw("<td class=\"none\">not told apart</td>");
        }
        caller => cell(html, caller),
    }
    let class = if it.streams == 0 { "broken" } else { "ok" };
    html.raw("<td class=\"")
        .raw(class)
        .raw("\">")
        .number(it.streams as u64)
        .raw("</td>");
    for number in [it.outstanding as u64, it.unfinished, it.unread] {
        html.raw("<td>").number(number).raw("</td>");
    }
    match it.oldest {
        None => html.raw("<td class=\"none\">none</td>"),
        Some(at) => html.raw("<td>").name(&ago(now, at)).raw("</td>"),
    };
    html.raw("<td>").number(it.set_aside()).raw("</td>");
    html.raw("<td>").number(it.gets.len() as u64).raw("</td>");
}

const fn health(health: Health) -> &'static str {
    match health {
        Health::Unknown => "not called yet",
        Health::Ok => "ok",
        Health::Throttled => "throttled",
        Health::Parked => "parked",
        Health::ReauthorizationRequired => "refuses our credential",
        Health::Unreachable => "unreachable",
    }
}

const fn lane_name(lane: Lane) -> &'static str {
    match lane {
        Lane::Answers => "answers",
        Lane::Calls => "other calls",
        Lane::Polls => "fetches",
    }
}
