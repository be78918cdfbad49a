//! `tail`, as somebody at a terminal meets it.

use bitrix24_sim::{Chat, UserConfig};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::{
    calling::answer,
    process::{Desk, Ended, PATIENCE, Running},
};

/// A person who talks to a bot.
struct Talk {
    anna: i64,
    chat: Chat,
}

impl Talk {
    /// Registers the bot `weather` with its command, and adds it to a chat.
    async fn begin(desk: &Desk, running: &Running) -> Self {
        let bot = r#"{"bot_code": "weather", "properties": {"name": "Weather"}}"#;
        answer(desk, running, &["RegisterBot", bot]).await;
        let command =
            r#"{"bot_code": "weather", "command": "weather", "title": {"en": "Weather"}}"#;
        answer(desk, running, &["RegisterCommand", command]).await;
        let anna = desk.portal.add_user(UserConfig::named("Anna", "Weber"));
        let chat = desk.portal.add_group_chat("Support", &[1, anna]);
        let bot = desk.portal.bot_by_code("weather").unwrap();
        desk.portal.add_bot_to_chat(bot.id, chat.id, anna).unwrap();
        Self { anna, chat }
    }

    fn types(&self, desk: &Desk, text: &str) {
        let anna = desk.portal.user(self.anna);
        anna.types(&self.chat.dialog_id(), text).unwrap();
    }
}

/// A tail that goes on.
struct Tailing {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Tailing {
    fn begin(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    async fn line(&mut self) -> String {
        let line = timeout(PATIENCE, self.lines.next_line()).await;
        line.expect("a line in time").unwrap().expect("it goes on")
    }

    /// The next line with this in it.
    async fn line_with(&mut self, words: &str) -> String {
        loop {
            let line = self.line().await;
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Ctrl-C; answers what was said on standard error.
    async fn interrupt(mut self) -> (Option<i32>, String) {
        let id = self.child.id().unwrap().to_string();
        let sent = Command::new("kill").args(["-INT", &id]).status().await;
        assert!(sent.unwrap().success());
        self.ended().await
    }

    async fn ended(&mut self) -> (Option<i32>, String) {
        let mut told = String::new();
        let mut said = self.child.stderr.take().unwrap();
        let ending = async {
            said.read_to_string(&mut told).await.unwrap();
            self.child.wait().await.unwrap().code()
        };
        let code = timeout(PATIENCE, ending).await.expect("it ends");
        (code, told)
    }
}

fn tail(desk: &Desk, running: &Running, arguments: &[&str]) -> Command {
    let mut command = desk.bare(&["tail", "--address"]);
    command.arg(running.address.to_string()).args(arguments);
    command
}

#[tokio::test]
async fn events_are_lines_that_no_text_can_break_and_ctrl_c_tells_the_cursor() {
    let desk = Desk::new().await;
    let running = Running::of(desk.serve(&[], &[])).await;
    let talk = Talk::begin(&desk, &running).await;
    let mut tailing = Tailing::begin(tail(&desk, &running, &["--bot", "weather", "--from-start"]));
    let joined = tailing.line_with(" joined ").await;
    assert!(joined.contains(" default/weather joined chat"), "{joined}");
    talk.types(&desk, "/weather Ber\u{202e}lin\x1b[31m");
    let line = tailing.line_with(" command ").await;
    let dialog = talk.chat.dialog_id();
    let behind = format!(
        "Z default/weather command {dialog} Anna Weber({}): /weather Ber\\u{{202e}}lin\\u{{1b}}[31m",
        talk.anna
    );
    assert!(line.starts_with("20") && line.ends_with(&behind), "{line}");
    let (code, told) = tailing.interrupt().await;
    assert_eq!(code, Some(0), "{told}");
    let (_, cursor) = told
        .split_once("to go on from here: --cursor ")
        .expect(&told);

    // Behind that cursor comes what was typed since, and only that.
    talk.types(&desk, "/weather Hamburg");
    let mut tailing = Tailing::begin(tail(&desk, &running, &["--cursor", cursor.trim()]));
    let line = tailing.line().await;
    assert!(line.ends_with(": /weather Hamburg"), "{line}");
    tailing.interrupt().await;
    running.stop("TERM").await;
}

#[tokio::test]
async fn what_is_kept_is_shown_once_as_json_and_then_it_ends() {
    let desk = Desk::new().await;
    let running = Running::of(desk.serve(&[], &[])).await;
    let talk = Talk::begin(&desk, &running).await;
    let mut watching = Tailing::begin(tail(&desk, &running, &["--since", "1h"]));
    for city in ["Berlin", "Ham\u{202e}burg"] {
        talk.types(&desk, &format!("/weather {city}"));
        watching.line_with(" command ").await;
    }
    watching.interrupt().await;
    let shown = [
        "--since",
        "1h",
        "--no-follow",
        "--json",
        "--type",
        "command_added",
    ];
    let ended = Ended::of(tail(&desk, &running, &shown)).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.out.contains('\u{202e}'), "{}", ended.out);
    let items: Vec<Value> = ended
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let params: Vec<_> = items
        .iter()
        .map(|item| &item["event"]["command_added"]["command"]["params"])
        .collect();
    assert_eq!(params, ["Berlin", "Ham\u{202e}burg"]);
    let cursor = items[0]["cursor"].as_str().unwrap();
    let behind = ["--cursor", cursor, "--no-follow", "--json"];
    let ended = Ended::of(tail(&desk, &running, &behind)).await;
    assert_eq!(ended.out.lines().count(), 1, "{ended:?}");
    running.stop("TERM").await;
}

#[tokio::test]
async fn tail_goes_on_behind_what_it_has_shown_when_the_gateway_comes_back() {
    let desk = Desk::new().await;
    let running = Running::of(desk.serve(&[], &[])).await;
    let address = running.address.to_string();
    let talk = Talk::begin(&desk, &running).await;
    let command = ["--from-start", "--type", "command_added"];
    let mut tailing = Tailing::begin(tail(&desk, &running, &command));
    talk.types(&desk, "/weather Berlin");
    assert!(tailing.line().await.ends_with("/weather Berlin"));
    running.stop("KILL").await;
    talk.types(&desk, "/weather Hamburg");
    let running = Running::of(desk.serve(&["--listen", &address], &[])).await;
    let line = tailing.line().await;
    assert!(line.ends_with("/weather Hamburg"), "{line}");
    let (code, told) = tailing.interrupt().await;
    assert_eq!(code, Some(0), "{told}");
    for part in [
        "; trying again in ",
        "connected again",
        "to go on from here: --cursor ",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    running.stop("TERM").await;
}

#[tokio::test]
async fn cursor_that_is_over_or_of_another_store_is_told_with_what_to_say_instead() {
    let desk = Desk::new().await;
    let small = [("EVENTS__RETENTION_BYTES", "1048576")];
    let running = Running::of(desk.serve(&[], &small)).await;
    let talk = Talk::begin(&desk, &running).await;
    let mut tailing = Tailing::begin(tail(&desk, &running, &["--from-start", "--json"]));
    let first: Value = serde_json::from_str(&tailing.line().await).unwrap();
    let long = "x".repeat(15_000);
    for index in 0..120 {
        talk.types(&desk, &format!("/weather {index} {long}"));
    }
    talk.types(&desk, "/weather last");
    tailing.line_with("\"last\"").await;
    tailing.interrupt().await;
    // What is too much goes at the start, and while it runs every ten minutes.
    running.stop("TERM").await;
    let running = Running::of(desk.serve(&[], &small)).await;
    let over = first["cursor"].as_str().unwrap();
    let refused = async {
        loop {
            let asked = tail(&desk, &running, &["--cursor", over, "--no-follow"]);
            let ended = Ended::of(asked).await;
            if ended.code == Some(1) {
                return ended;
            }
        }
    };
    let ended = timeout(PATIENCE, refused).await.expect("it is over");
    assert_eq!(ended.out, "", "{ended:?}");
    for part in [
        "OUT_OF_RANGE CURSOR_EXPIRED: ",
        "--from-start",
        "--since 10m",
    ] {
        assert!(ended.err.contains(part), "{part} in {ended:?}");
    }

    let other = Desk::new().await;
    let elsewhere = Running::of(other.serve(&[], &[])).await;
    let ended = Ended::of(tail(&other, &elsewhere, &["--cursor", over])).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains("FOREIGN_CURSOR"), "{ended:?}");
    elsewhere.stop("TERM").await;
    running.stop("TERM").await;
}

#[tokio::test]
async fn wrong_wishes_are_told_in_one_line() {
    let desk = Desk::new().await;
    for (arguments, code, says) in [
        (
            &["--address", "http://127.0.0.1:1"][..],
            1,
            "no gateway answers",
        ),
        (&["--type", "command"], 2, "command_added"),
        (&["--since", "yesterday"], 2, "a duration such as 10m"),
        (&["--since", "1h", "--from-start"], 2, "cannot be used with"),
        (&["--no-follow"], 2, "--from-start"),
    ] {
        let ended = Ended::of(desk.bare(&[&["tail"], arguments].concat())).await;
        let told = ended.failure(code);
        assert!(told.contains(says), "{says} in {told}");
    }
    let running = Running::of(desk.serve(&[], &[])).await;
    let unknown = ["--portal", "nowhere"];
    let ended = Ended::of(tail(&desk, &running, &unknown)).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for part in ["NOT_FOUND UNKNOWN_PORTAL", "`call ListPortals`"] {
        assert!(ended.err.contains(part), "{part} in {ended:?}");
    }
    running.stop("TERM").await;
}

#[tokio::test]
async fn tail_whose_reader_has_gone_ends_quietly() {
    let desk = Desk::new().await;
    let running = Running::of(desk.serve(&[], &[])).await;
    let talk = Talk::begin(&desk, &running).await;
    let mut tailing = Tailing::begin(tail(&desk, &running, &["--from-start"]));
    tailing.line().await;
    // As `head` does after its last line.
    let Tailing { child, lines } = tailing;
    drop(lines);
    talk.types(&desk, "/weather Berlin");
    let output = timeout(PATIENCE, child.wait_with_output()).await;
    let output = output.expect("it ends").unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    running.stop("TERM").await;
}
