//! The tools of a language, and the example bot as a process.
//!
//! The tools are made in a copy of the example below `target`, so that nothing lands between the
//! sources, and stay there until something they are made of changes.

use std::{
    fmt::Display,
    fs,
    path::{Path, PathBuf},
    process::{ExitStatus, Output, Stdio},
};

use tokio::{
    process::{Child, Command},
    time::timeout,
};

use crate::portal::PATIENCE;

/// What differs between the languages.
#[derive(Clone, Copy)]
pub(crate) struct Language {
    /// Below `examples`.
    pub(crate) folder: &'static str,
    pub(crate) script: &'static str,
    /// What it consists of.
    files: &'static [&'static str],
    /// What its tools are made of beside that, below `examples`.
    beside: &'static [&'static str],
    pub(crate) bot_code: &'static str,
    /// Tells the version of the tools, which do not outlive it.
    version: &'static [&'static str],
    /// Makes the tools, as the READMEs of the examples say.
    install: &'static [&'static str],
    /// From the folder of the example.
    interpreter: &'static str,
}

pub(crate) const PYTHON: Language = Language {
    folder: "python",
    script: "bot.py",
    files: &["bot.py", "generate.sh", "requirements.txt"],
    beside: &["testing/python/requirements.txt"],
    bot_code: "example-python",
    version: &["python3", "--version"],
    install: &[
        "sh",
        "-euc",
        "./generate.sh
         .venv/bin/python -m pip install --quiet --disable-pip-version-check \
             --requirement ../testing/python/requirements.txt",
    ],
    interpreter: ".venv/bin/python",
};

pub(crate) const NODE: Language = Language {
    folder: "node",
    script: "bot.mjs",
    files: &["bot.mjs", "package.json", "package-lock.json", ".npmrc"],
    beside: &[],
    bot_code: "example-node",
    version: &["node", "--version"],
    install: &["npm", "ci", "--no-audit", "--no-fund"],
    interpreter: "node",
};

const SOURCES: &str = env!("CARGO_MANIFEST_DIR");

/// A file of the examples.
pub(crate) fn example_file(folder: &str, name: &str) -> String {
    let path = Path::new(SOURCES).join("examples").join(folder).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A copy of an example with its tools.
pub(crate) struct Workshop {
    language: Language,
    folder: PathBuf,
}

impl Workshop {
    pub(crate) async fn of(language: Language) -> Self {
        let tools = Path::new(env!("CARGO_TARGET_TMPDIR"));
        fs::create_dir_all(tools).unwrap();
        let root = tools.join(format!("example-{}", language.folder));
        // Tests run as processes of their own: one of them makes the tools, the others wait for it.
        let lock = fs::File::create(root.with_extension("lock")).unwrap();
        lock.lock().unwrap();
        let folder = root.join("examples").join(language.folder);
        let inputs = inputs(&language);
        let mut made_of = run(language.version, Path::new("/")).await.stdout;
        for path in &inputs {
            made_of.extend(fs::read(Path::new(SOURCES).join(path)).unwrap());
        }
        let record = root.join("made-of");
        if fs::read(&record).ok().as_ref() != Some(&made_of) {
            if root.exists() {
                fs::remove_dir_all(&root).unwrap();
            }
            for path in &inputs {
                let to = root.join(path);
                fs::create_dir_all(to.parent().unwrap()).unwrap();
                fs::copy(Path::new(SOURCES).join(path), to).unwrap();
            }
            run(language.install, &folder).await;
            fs::write(&record, &made_of).unwrap();
        }
        Self { language, folder }
    }

    /// The folder of the example in the copy.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What runs its scripts.
    pub(crate) fn interpreter(&self) -> PathBuf {
        match self.folder.join(self.language.interpreter) {
            own if own.exists() => own,
            _ => PathBuf::from(self.language.interpreter),
        }
    }

    /// Starts the bot; it notes its place in `folder`.
    pub(crate) fn start_bot(&self, gateway: impl Display, folder: &Path) -> Bot {
        let script = self.folder.join(self.language.script);
        self.start_script(&script, gateway, folder, &[])
    }

    /// Starts another script with the same tools, which it finds by `EXAMPLE` and `PROTO`, and with more
    /// variables.
    pub(crate) fn start_script(
        &self,
        script: &Path,
        gateway: impl Display,
        folder: &Path,
        more: &[(&str, &str)],
    ) -> Bot {
        let log = folder.join(format!("{}.log", self.language.bot_code));
        let out = fs::File::create(&log).unwrap();
        let process = Command::new(self.interpreter())
            .arg(script)
            .env("GATEWAY", gateway.to_string())
            .env("EXAMPLE", &self.folder)
            .env("PROTO", Path::new(SOURCES).join("proto"))
            .envs(more.iter().copied())
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Bot { process, log }
    }
}

/// A running bot. Killed when dropped.
pub(crate) struct Bot {
    process: Child,
    log: PathBuf,
}

impl Bot {
    /// What it printed since it was started.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Whether it did not end yet.
    pub(crate) fn runs(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }

    /// SIGTERM, and how it ended.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        let id = self.process.id().expect("nobody waited for it yet");
        run(&["sh", "-c", &format!("kill -TERM {id}")], Path::new("/")).await;
        self.ended().await
    }

    /// Waits until it ends.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        match timeout(PATIENCE, self.process.wait()).await {
            Ok(status) => status.unwrap(),
            Err(_) => panic!("the bot does not end\n{}", self.log()),
        }
    }
}

/// The files an example consists of and needs, without what somebody made beside them.
fn inputs(language: &Language) -> Vec<PathBuf> {
    let example = Path::new("examples").join(language.folder);
    let mut inputs = vec![PathBuf::from("examples/service-config.json")];
    inputs.extend(language.files.iter().map(|name| example.join(name)));
    let beside = language.beside.iter();
    inputs.extend(beside.map(|name| Path::new("examples").join(name)));
    let protos = Path::new("proto/bitrix24/gateway/v1");
    let entries = fs::read_dir(Path::new(SOURCES).join(protos)).unwrap();
    inputs.extend(entries.map(|entry| protos.join(entry.unwrap().file_name())));
    inputs.sort();
    inputs
}

/// Runs a command of the machine, which has to be there and to succeed.
pub(crate) async fn run(command: &[&str], folder: &Path) -> Output {
    let (program, arguments) = command.split_first().unwrap();
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .output()
        .await;
    let output =
        output.unwrap_or_else(|error| panic!("`{program}` is needed for this test: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed:\n{text}");
    output
}
