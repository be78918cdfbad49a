//! Bots to begin with: what `new-bot` writes, as it is compiled in.
//!
//! The files stand in `scaffold/`, by language; what every bot gets besides comes from `proto/` and `examples/`.
//! In them `@BOT@` stands for the bot's code, `@NAME@` for its name, `@PACKAGE@` for that of its package, and
//! `@VERSION@` for our version.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::ids::BotCode;

/// A language that bots are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Python.
    Python,
    /// Node.
    Node,
    /// Go.
    Go,
    /// Java.
    Java,
}

/// Why a bot was not written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something is there.
    #[error("{} exists and is not empty: name a folder that is to be made", .0.display())]
    NotEmpty(PathBuf),
    /// Something else is there.
    #[error("{} is not a folder: name one that is to be made", .0.display())]
    NotAFolder(PathBuf),
    /// Nothing can be written there.
    #[error("{} cannot be written: {cause}; name a folder where you may write", path.display())]
    NotWritable {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
}

/// A path in the bot's folder, and what stands there.
type File = (&'static str, &'static str);

macro_rules! files {
    ($($path:literal from $source:literal,)*) => { &[$(($path, include_str!($source)),)*] };
}

const EVERY: &[File] = files! {
    "proto/bitrix24/gateway/v1/bots.proto" from "../proto/bitrix24/gateway/v1/bots.proto",
    "proto/bitrix24/gateway/v1/content.proto" from "../proto/bitrix24/gateway/v1/content.proto",
    "proto/bitrix24/gateway/v1/entities.proto" from "../proto/bitrix24/gateway/v1/entities.proto",
    "proto/bitrix24/gateway/v1/errors.proto" from "../proto/bitrix24/gateway/v1/errors.proto",
    "proto/bitrix24/gateway/v1/events.proto" from "../proto/bitrix24/gateway/v1/events.proto",
    "proto/bitrix24/gateway/v1/messages.proto" from "../proto/bitrix24/gateway/v1/messages.proto",
    "proto/bitrix24/gateway/v1/portals.proto" from "../proto/bitrix24/gateway/v1/portals.proto",
    "proto/bitrix24/gateway/v1/server.proto" from "../proto/bitrix24/gateway/v1/server.proto",
};

const PYTHON: &[File] = files! {
    ".gitignore" from "scaffold/python/gitignore",
    "README.md" from "scaffold/python/README.md",
    "bitrix24_gateway_testing.py" from "../examples/testing/python/bitrix24_gateway_testing.py",
    "bot.py" from "scaffold/python/bot.py",
    "conftest.py" from "scaffold/python/conftest.py",
    "generate.sh" from "scaffold/python/generate.sh",
    "requirements.txt" from "scaffold/python/requirements.txt",
    "service-config.json" from "../examples/service-config.json",
    "test_bot.py" from "scaffold/python/test_bot.py",
};

const NODE: &[File] = files! {
    ".gitignore" from "scaffold/node/gitignore",
    ".npmrc" from "../examples/node/.npmrc",
    "README.md" from "scaffold/node/README.md",
    "bitrix24-testing.mjs" from "../examples/testing/node/bitrix24-testing.mjs",
    "bot.mjs" from "scaffold/node/bot.mjs",
    "bot.test.mjs" from "scaffold/node/bot.test.mjs",
    "package-lock.json" from "../examples/node/package-lock.json",
    "package.json" from "scaffold/node/package.json",
    "service-config.json" from "../examples/service-config.json",
};

const GO: &[File] = files! {
    ".gitignore" from "scaffold/go/gitignore",
    "README.md" from "scaffold/go/README.md",
    "bitrix24_test.go" from "scaffold/go/bitrix24_test.go",
    "bot.go" from "scaffold/go/bot.go",
    "bot_test.go" from "scaffold/go/bot_test.go",
    "generate.sh" from "scaffold/go/generate.sh",
    "go.mod" from "scaffold/go/go.mod.in",
    "service-config.json" from "../examples/service-config.json",
};

const JAVA: &[File] = files! {
    ".gitignore" from "scaffold/java/gitignore",
    "README.md" from "scaffold/java/README.md",
    "proto/bot/error_info.proto" from "scaffold/java/error_info.proto",
    "pom.xml" from "scaffold/java/pom.xml",
    "src/main/java/bot/Bot.java" from "scaffold/java/Bot.java",
    "src/main/resources/service-config.json" from "../examples/service-config.json",
    "src/test/java/bot/Bitrix24.java" from "scaffold/java/Bitrix24.java",
    "src/test/java/bot/BotTest.java" from "scaffold/java/BotTest.java",
};

impl Language {
    fn files(self) -> impl Iterator<Item = &'static File> {
        let own = match self {
            Self::Python => PYTHON,
            Self::Node => NODE,
            Self::Go => GO,
            Self::Java => JAVA,
        };
        EVERY.iter().chain(own)
    }

    /// What to type next, in the bot's folder.
    #[must_use]
    pub const fn next(self) -> &'static [&'static str] {
        match self {
            Self::Python => &[
                "./generate.sh",
                ".venv/bin/python -m pytest",
                ".venv/bin/python bot.py",
            ],
            Self::Node => &["npm ci", "npm test", "npm start"],
            Self::Go => &["./generate.sh", "go mod tidy", "go test ./...", "go run ."],
            Self::Java => &["mvn verify", "mvn exec:java"],
        }
    }
}

/// Writes a bot into a folder, which is made.
///
/// # Errors
///
/// There is something in the folder, or it cannot be written.
pub fn write(language: Language, folder: &Path, bot: &BotCode) -> Result<(), Error> {
    match fs::read_dir(folder) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(Error::NotEmpty(folder.to_owned()));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(Error::NotAFolder(folder.to_owned()));
        }
        Err(cause) => {
            let path = folder.to_owned();
            return Err(Error::NotWritable { path, cause });
        }
    }
    for (path, text) in language.files() {
        let to = folder.join(path);
        let written = write_file(&to, &filled(text, bot));
        written.map_err(|cause| Error::NotWritable { path: to, cause })?;
    }
    Ok(())
}

fn write_file(to: &Path, text: &str) -> io::Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(to, text)?;
    if to.extension().is_some_and(|extension| extension == "sh") {
        fs::set_permissions(to, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

fn filled(text: &str, bot: &BotCode) -> String {
    let code = bot.to_string();
    text.replace("@BOT@", &code)
        .replace("@NAME@", &name(&code))
        .replace("@PACKAGE@", &package(&code))
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
}

/// The words of a code, as people write them.
fn name(code: &str) -> String {
    let words = code.split(['-', '_', '.']).filter(|word| !word.is_empty());
    let words: Vec<_> = words
        .map(|word| {
            let mut letters = word.chars();
            let first = letters.next().map(|first| first.to_ascii_uppercase());
            first.into_iter().chain(letters).collect::<String>()
        })
        .collect();
    match words.join(" ") {
        name if name.is_empty() => "Bot".to_owned(),
        name => name,
    }
}

/// A code as a name of a package: in lower case, with a letter or a digit in front.
fn package(code: &str) -> String {
    let code = code.to_ascii_lowercase();
    match code.trim_start_matches(['-', '_', '.']) {
        "" => "bot".to_owned(),
        code => code.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_of_codes() {
        for (code, called, packed) in [
            ("weather", "Weather", "weather"),
            ("Support_desk-2", "Support Desk 2", "support_desk-2"),
            ("-.", "Bot", "bot"),
        ] {
            assert_eq!(
                (name(code), package(code)),
                (called.to_owned(), packed.to_owned())
            );
        }
    }

    #[test]
    fn every_mark_is_filled() {
        let bot: BotCode = "weather".parse().unwrap();
        for language in [
            Language::Python,
            Language::Node,
            Language::Go,
            Language::Java,
        ] {
            for (path, text) in language.files() {
                let text = filled(text, &bot);
                for mark in ["@BOT@", "@NAME@", "@PACKAGE@", "@VERSION@"] {
                    assert!(!text.contains(mark), "{mark} in {path}");
                }
            }
        }
    }

    #[test]
    fn every_proto_file_is_written() {
        let found =
            fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/bitrix24/gateway/v1"));
        let mut found: Vec<_> = found
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        let written: Vec<_> = EVERY
            .iter()
            .filter_map(|(path, _)| path.strip_prefix("proto/bitrix24/gateway/v1/"))
            .collect();
        assert_eq!(written, found);
    }
}
