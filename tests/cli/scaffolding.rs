//! `new-bot`: what it writes, and what it refuses. That the bots work is shown where their tools are.

use std::{fs, os::unix::fs::PermissionsExt as _};

use crate::process::{Desk, Ended};

#[tokio::test]
async fn new_bot_is_written_with_its_name_and_what_to_type_next() {
    let desk = Desk::new().await;
    for (language, script, next) in [
        ("python", "bot.py", ".venv/bin/python -m pytest"),
        ("node", "bot.mjs", "npm test"),
        ("go", "bot.go", "go test ./..."),
        ("java", "src/main/java/bot/Bot.java", "mvn verify"),
    ] {
        let folder = format!("{language}_desk");
        let ended = Ended::of(desk.bare(&["new-bot", "--language", language, &folder])).await;
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{ended:?}");
        for told in [next, "BITRIX24_GATEWAY_BIN", "bitrix24-gateway dev"] {
            assert!(ended.out.contains(told), "{told}: {ended:?}");
        }
        let text = |name: &str| fs::read_to_string(desk.path(&folder).join(name)).unwrap();
        assert!(
            text(script).contains(&format!("\"{folder}\"")),
            "{}",
            text(script)
        );
        let readme = text("README.md");
        assert!(
            readme.lines().count() < 20 && readme.contains(" Desk\n"),
            "{readme}"
        );
        let own = fs::read_to_string("proto/bitrix24/gateway/v1/bots.proto").unwrap();
        assert_eq!(text("proto/bitrix24/gateway/v1/bots.proto"), own);
    }
    let generate = fs::metadata(desk.path("python_desk").join("generate.sh")).unwrap();
    assert_eq!(generate.permissions().mode() & 0o777, 0o755);
    // An empty folder is as good as none, and the name may be another one.
    fs::create_dir(desk.path("empty folder")).unwrap();
    let named = [
        "new-bot",
        "--language",
        "node",
        "--name",
        "help.desk",
        "empty folder",
    ];
    let ended = Ended::of(desk.bare(&named)).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let script = fs::read_to_string(desk.path("empty folder").join("bot.mjs")).unwrap();
    assert!(
        script.contains("\"help.desk\"") && script.contains("\"Help Desk\""),
        "{script}"
    );
}

#[tokio::test]
async fn what_cannot_be_written_is_told_in_one_line_and_nothing_is_written_over() {
    let desk = Desk::new().await;
    desk.write("file", "");
    fs::create_dir(desk.path("full")).unwrap();
    fs::write(desk.path("full").join("bot.py"), "mine").unwrap();
    let long = "x".repeat(65);
    for (arguments, code, says) in [
        (&["full"][..], 2, "full exists and is not empty"),
        (&["file"], 2, "file is not a folder"),
        (
            &["bot!"],
            2,
            "\"bot!\" cannot name a bot: it must be 1 to 64 characters of",
        ),
        (&["bot", "--name", ""], 2, "\"\" cannot name a bot"),
        (&["bot", "--name", &long], 2, "say another with --name"),
        (&["/proc/bot"], 1, "cannot be written: "),
        (&["file/bot"], 2, "file/bot is not a folder"),
        (&[], 2, "DIR"),
    ] {
        let command = [&["new-bot", "--language", "python"], arguments].concat();
        let ended = Ended::of(desk.bare(&command)).await;
        let line = ended.failure(code);
        assert!(line.contains(says), "{says} in {line}");
    }
    let ended = Ended::of(desk.bare(&["new-bot", "--language", "perl", "bot"])).await;
    assert!(ended.failure(2).contains("python, node"), "{ended:?}");
    let kept = fs::read_to_string(desk.path("full").join("bot.py")).unwrap();
    assert_eq!(kept, "mine");
    assert!(!desk.path("bot").exists());
}
