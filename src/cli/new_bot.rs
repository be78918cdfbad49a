//! `new-bot`: a small bot to begin with.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, ValueEnum};

use super::{USAGE, fail, say};
use crate::{
    ids::{BotCode, Invalid},
    scaffold::{self, Language},
};

/// In which language, and where.
#[derive(Debug, Args)]
pub(super) struct NewBot {
    /// The language.
    #[arg(long)]
    language: Choice,
    /// The bot's code, which names it for good in the whole portal; the name of the folder unless it is said.
    #[arg(long, value_name = "CODE")]
    name: Option<String>,
    /// The folder to make.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Choice {
    Python,
    Node,
    Go,
    Java,
}

#[derive(Debug, thiserror::Error)]
#[error("\"{name}\" cannot name a bot: it {rule}; say another with --name")]
struct Unnamed {
    name: String,
    #[source]
    rule: Invalid,
}

impl NewBot {
    pub(super) fn run(self) -> ExitCode {
        let Self {
            language,
            name,
            folder,
        } = self;
        let name = name.unwrap_or_else(|| last_part(&folder));
        let bot = match name.parse::<BotCode>() {
            Ok(bot) => bot,
            Err(rule) => return fail(USAGE, &Unnamed { name, rule }),
        };
        let language = match language {
            Choice::Python => Language::Python,
            Choice::Node => Language::Node,
            Choice::Go => Language::Go,
            Choice::Java => Language::Java,
        };
        match scaffold::write(language, &folder, &bot) {
            Ok(()) => {
                say(&format!(
                    "The bot `{bot}` is in {}. Next:",
                    folder.display()
                ));
                say(&format!("  cd {}", folder.display()));
                for command in language.next() {
                    say(&format!("  {command}"));
                }
                say(
                    "The test needs `bitrix24-gateway` in PATH, or its path in BITRIX24_GATEWAY_BIN.",
                );
                say("To talk to the bot, start `bitrix24-gateway dev` before it.");
                ExitCode::SUCCESS
            }
            Err(error @ scaffold::Error::NotWritable { .. }) => fail(1, &error),
            Err(error) => fail(USAGE, &error),
        }
    }
}

/// The name of a folder, also of one that is named by `.` alone.
fn last_part(folder: &Path) -> String {
    let whole = std::path::absolute(folder);
    let whole = whole.unwrap_or_else(|_| folder.to_owned());
    let name = whole.file_name();
    name.map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}
