//! `completions`: what lets a shell complete the command line.

use std::process::ExitCode;

use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::{Shell as Kind, generate};

use super::{Cli, printed};

/// Which shell.
#[derive(Debug, Args)]
#[command(after_help = "\
Try it at once:
  source <(bitrix24-gateway completions bash)
For good:
  bitrix24-gateway completions bash > ~/.local/share/bash-completion/completions/bitrix24-gateway
  bitrix24-gateway completions zsh > ~/.zfunc/_bitrix24-gateway
  bitrix24-gateway completions fish > ~/.config/fish/completions/bitrix24-gateway.fish")]
pub(super) struct Completions {
    /// The shell.
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Completions {
    pub(super) fn run(self) -> ExitCode {
        let kind = match self.shell {
            Shell::Bash => Kind::Bash,
            Shell::Zsh => Kind::Zsh,
            Shell::Fish => Kind::Fish,
        };
        let mut script = Vec::new();
        generate(kind, &mut Cli::command(), "bitrix24-gateway", &mut script);
        // For bash the library spells its states in two ways where the name of a program has a hyphen, and finds
        // nothing behind the first word (clap 6421).
        let script = String::from_utf8_lossy(&script);
        let script = script.replace("bitrix24__subcmd__gateway", "bitrix24__gateway");
        printed(&script)
    }
}
