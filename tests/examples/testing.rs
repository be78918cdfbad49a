//! The helpers of `examples/testing`, run as somebody would run them: with the binary of the gateway alone.

use std::{
    fs,
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{process::Command, time::timeout};

use crate::{
    snippets::{README, shown},
    tools::{Language, NODE, PYTHON, Workshop, example_file},
};

/// How long a suite may take; it bounds each of its steps more closely.
const PATIENCE: Duration = Duration::from_secs(240);

const GUIDE: &str = include_str!("../../examples/testing/README.md");

/// What a reader of the guide has to think of, since it names the bot of the reader.
const PYTHON_BEFORE: &str = r#"
import sys
from pathlib import Path

import pytest

BOT = Path(__file__).resolve().parents[2] / "python" / "bot.py"


"#;

const NODE_BEFORE: &str = r#"
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { startBitrix24 } from "./bitrix24-testing.mjs";

const BOT = fileURLToPath(new URL("../../node/bot.mjs", import.meta.url));

"#;

/// The tests of a language.
struct Suite {
    language: Language,
    /// Below `examples`.
    folder: &'static str,
    files: &'static [&'static str],
    /// Arguments of the interpreter that run one file of tests.
    run: &'static [&'static str],
    stories: &'static str,
    /// A file of tests of which one has to fail in the wait for an answer.
    failing: (&'static str, &'static str),
    /// Whether these two words of the summary tell how many tests passed, and the word that does.
    count: fn(&str, &str) -> Option<usize>,
}

const OF_PYTHON: Suite = Suite {
    language: PYTHON,
    folder: "testing/python",
    files: &[
        "bitrix24_gateway_testing.py",
        "conftest.py",
        "test_adder.py",
    ],
    run: &["-B", "-m", "pytest", "-q", "-p", "no:cacheprovider"],
    stories: "test_adder.py",
    failing: (
        "test_failing.py",
        r#"
from test_adder import adder


def test_answer_that_never_comes(bitrix24, adder):
    bitrix24.user("Anna").types("/sum 2 3", to=adder)
    adder.answered("2 + 3 = 5")
    adder.answered("6", timeout=0.1)
"#,
    ),
    count: |_, second| (second == "passed").then_some(0),
};

const OF_NODE: Suite = Suite {
    language: NODE,
    folder: "testing/node",
    files: &["bitrix24-testing.mjs", "adder.test.mjs"],
    run: &["--test", "--test-reporter=tap"],
    stories: "adder.test.mjs",
    failing: (
        "failing.test.mjs",
        r#"
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { startBitrix24 } from "./bitrix24-testing.mjs";

const BOT = [process.execPath, fileURLToPath(new URL("../../node/bot.mjs", import.meta.url))];

test("an answer that never comes", async (t) => {
  const bitrix24 = await startBitrix24(t);
  bitrix24.startBot(BOT);
  const adder = await bitrix24.bot("example-node", ["sum"]);
  await (await bitrix24.user("Anna")).types("/sum 2 3", { to: adder });
  await adder.answered("2 + 3 = 5");
  await adder.answered("6", { timeout: 100 });
});
"#,
    ),
    count: |first, _| (first == "pass").then_some(1),
};

#[tokio::test]
async fn python_stories_pass() {
    OF_PYTHON.passes().await;
}

#[tokio::test]
async fn node_stories_pass() {
    OF_NODE.passes().await;
}

#[tokio::test]
async fn python_story_of_the_readme_passes() {
    let story = shown(README, "```python\n", "def test_");
    let text = format!("from test_adder import adder\n\n\n{story}");
    assert_eq!(OF_PYTHON.passed("test_readme.py", Some(&text)).await, 1);
}

#[tokio::test]
async fn python_story_of_the_guide_passes() {
    let story = shown(GUIDE, "```python\n", "def test_");
    let text = format!("{PYTHON_BEFORE}{story}");
    assert_eq!(OF_PYTHON.passed("test_guide.py", Some(&text)).await, 1);
}

#[tokio::test]
async fn node_story_of_the_guide_passes() {
    let story = shown(GUIDE, "```js\n", "test(");
    let text = format!("{NODE_BEFORE}{story}");
    assert_eq!(OF_NODE.passed("guide.test.mjs", Some(&text)).await, 1);
}

#[tokio::test]
async fn failing_python_story_tells_the_chat_and_the_logs_and_leaves_nothing() {
    OF_PYTHON.fails_well().await;
}

#[tokio::test]
async fn failing_node_story_tells_the_chat_and_the_logs_and_leaves_nothing() {
    OF_NODE.fails_well().await;
}

impl Suite {
    async fn passes(&self) {
        assert!(self.passed(self.stories, None).await > 1);
    }

    /// Runs one file of tests, which all pass: how many there are.
    async fn passed(&self, name: &str, text: Option<&str>) -> u32 {
        let (status, told, scratch) = self.told(name, text).await;
        assert!(status, "{told}");
        let words: Vec<_> = told.split_whitespace().collect();
        let passed = words.windows(2).find_map(|pair| {
            let which = (self.count)(pair[0], pair[1])?;
            pair[which].parse::<u32>().ok()
        });
        let passed = passed.unwrap_or(0);
        assert!(passed > 0, "{told}");
        nothing_is_left(&scratch);
        passed
    }

    async fn fails_well(&self) {
        let (name, text) = self.failing;
        let (status, told, scratch) = self.told(name, Some(text)).await;
        assert!(!status, "{told}");
        for words in [
            "Anna: /sum 2 3",
            "Adder: 2 + 3 = 5",
            "Log of the gateway",
            "gateway is ready",
            "Log of the bot",
        ] {
            assert!(told.contains(words), "{words} is missing in:\n{told}");
        }
        nothing_is_left(&scratch);
    }

    /// Runs one file of tests: whether it succeeded, what it told, and the folder it had for whatever it makes.
    async fn told(&self, name: &str, text: Option<&str>) -> (bool, String, TempDir) {
        let workshop = Workshop::of(self.language).await;
        // Beside the example, as in the sources, since the tests start it from there.
        let examples = workshop.folder().parent().unwrap();
        let copy = tempfile::tempdir_in(examples).unwrap();
        let folder = copy
            .path()
            .join(Path::new(self.folder).file_name().unwrap());
        fs::create_dir(&folder).unwrap();
        for file in self.files {
            fs::write(folder.join(file), example_file(self.folder, file)).unwrap();
        }
        if let Some(text) = text {
            fs::write(folder.join(name), text).unwrap();
        }
        let scratch = tempfile::tempdir().unwrap();
        let mut command = Command::new(workshop.interpreter());
        command
            .args(self.run)
            .arg(name)
            .current_dir(&folder)
            .env(
                "BITRIX24_GATEWAY_BIN",
                env!("CARGO_BIN_EXE_bitrix24-gateway"),
            )
            // Whatever a developer has set up must not get into a test.
            .env(
                "BITRIX24_GATEWAY__WEBHOOK_URL",
                "https://nowhere.invalid/rest/1/abc/",
            )
            .env("BITRIX24_GATEWAY__NO_SETTING", "1")
            .env("TMPDIR", scratch.path())
            .env_remove("PYTEST_ADDOPTS")
            .env_remove("PYTHONPATH")
            .env_remove("NODE_OPTIONS")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = timeout(PATIENCE, command.output()).await;
        let output = output
            .unwrap_or_else(|_| panic!("{name} does not end"))
            .unwrap();
        (output.status.success(), text_of(&output), scratch)
    }
}

fn text_of(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// Neither folders nor processes, each of which runs in a folder of ours.
fn nothing_is_left(scratch: &TempDir) {
    let left = fs::read_dir(scratch.path()).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
    // Only some systems tell where a process runs.
    let Ok(processes) = fs::read_dir("/proc") else {
        return;
    };
    for process in processes {
        let process = process.unwrap().path();
        // Unreadable: it is somebody else's, or ended meanwhile.
        let folder = fs::read_link(process.join("cwd")).unwrap_or_default();
        assert!(
            !folder.starts_with(scratch.path()),
            "{process:?} still runs in {folder:?}"
        );
    }
}
