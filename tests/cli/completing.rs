//! What lets shells complete the command line.

use tokio::process::Command;

use crate::process::{Desk, Ended};

#[tokio::test]
async fn every_shell_gets_a_script_with_all_commands() {
    let desk = Desk::new().await;
    for shell in ["bash", "zsh", "fish"] {
        let ended = Ended::of(desk.bare(&["completions", shell])).await;
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{shell}");
        for word in ["call", "tail", "subscriptions", "completions", "from-start"] {
            assert!(ended.out.contains(word), "{word}: {shell}");
        }
    }
    let ended = Ended::of(desk.bare(&["completions", "csh"])).await;
    assert!(ended.failure(2).contains("bash, zsh, fish"), "{ended:?}");
}

#[tokio::test]
async fn bash_completes_a_command_and_its_flags() {
    let desk = Desk::new().await;
    let script = Ended::of(desk.bare(&["completions", "bash"])).await.out;
    let script = desk.write("completions.bash", &script);
    for (line, found) in [
        ("bitrix24-gateway ta", "tail"),
        ("bitrix24-gateway tail --from", "--from-start"),
        ("bitrix24-gateway store ba", "backup"),
    ] {
        let words = line.split(' ').count();
        let asked = format!(
            "source {script}; COMP_WORDS=({line}); COMP_CWORD={}; \
             $(complete -p bitrix24-gateway | sed 's/.*-F \\([^ ]*\\).*/\\1/') \
             bitrix24-gateway \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; \
             echo \"${{COMPREPLY[@]}}\"",
            words - 1
        );
        let mut bash = Command::new("/bin/bash");
        bash.args(["--norc", "-c", &asked]);
        let ended = Ended::of(bash).await;
        assert_eq!(ended.out.trim(), found, "{line}: {ended:?}");
    }
}
