//! Clients that none of us wrote hold the simulated portal to account.
//!
//! The simulator and the gateway were written from one contract, so a misreading could hide in
//! both. The published SDKs know Bitrix24 from elsewhere. Their suites stand in `clients`; here
//! each gets the exact versions it names, once, into a place beside the build, and then runs
//! against the simulator's binary. Without Python or Node these tests fail.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail like tests"
)]

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

const SIMULATOR: &str = env!("CARGO_BIN_EXE_bitrix24-sim");
const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients");
/// How long a download of everything may take.
const INSTALLATION: Duration = Duration::from_secs(600);
/// How long a suite may take; it bounds each of its tests more closely.
const SUITE: Duration = Duration::from_secs(240);
/// What is asked of Python before anything else.
const PYTHON_VERSION: &str = "import sys; v = sys.version_info; print(sys.executable, v); \
     v >= (3, 11) or sys.exit('Python 3.11 or newer is needed')";

#[tokio::test]
async fn official_python_clients_agree_with_the_portal() {
    let suite = Path::new(CLIENTS).join("python");
    let requirements = suite.join("requirements.txt");
    let mut python = Command::new("python3");
    let version = run(python.args(["-c", PYTHON_VERSION]), INSTALLATION).await;
    let name = cache_name("python", &version, &[&requirements]);
    let venv = prepared(&name, async |dir| {
        run(
            Command::new("python3").args(["-m", "venv"]).arg(&dir),
            INSTALLATION,
        )
        .await;
        let mut pip = Command::new(dir.join("bin/python"));
        pip.args(["-m", "pip", "install", "--no-input", "--requirement"]);
        run(pip.arg(&requirements), INSTALLATION).await;
    })
    .await;

    let mut pytest = Command::new(venv.join("bin/python"));
    pytest.args(["-B", "-m", "pytest", "-q", "--show-capture=no"]);
    pytest.env_remove("PYTHONPATH").env_remove("PYTEST_ADDOPTS");
    pytest.current_dir(&suite).env("BITRIX24_SIM", SIMULATOR);
    run(&mut pytest, SUITE).await;
}

#[tokio::test]
async fn the_official_javascript_client_agrees_with_the_portal() {
    let suite = Path::new(CLIENTS).join("node");
    let manifests = [suite.join("package.json"), suite.join("package-lock.json")];
    let version = run(Command::new("node").arg("--version"), INSTALLATION).await;
    let name = cache_name("node", &version, &manifests.each_ref());
    let packages = prepared(&name, async |dir| {
        fs::create_dir_all(&dir).unwrap();
        copy(&manifests, &dir);
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        run(npm.current_dir(&dir), INSTALLATION).await;
    })
    .await;

    // Node looks for packages above the file that wants them, and nowhere else.
    let scripts = Scripts(packages.join(format!("run-{}", std::process::id())));
    fs::create_dir_all(&scripts.0).unwrap();
    let files = fs::read_dir(&suite).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let files: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|extension| extension == "mjs"))
        .collect();
    copy(&files, &scripts.0);
    let mut node = Command::new("node");
    node.arg(scripts.0.join("run.mjs"))
        .env("BITRIX24_SIM", SIMULATOR);
    run(&mut node, SUITE).await;
}

/// The copied scripts of one run. They go with it.
struct Scripts(PathBuf);

impl Drop for Scripts {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn copy(files: &[PathBuf], to: &Path) {
    for file in files {
        fs::copy(file, to.join(file.file_name().unwrap())).unwrap();
    }
}

/// Another name for every interpreter and every list of requirements.
fn cache_name(kind: &str, version: &str, requirements: &[&PathBuf]) -> String {
    let mut hasher = DefaultHasher::new();
    version.hash(&mut hasher);
    for file in requirements {
        fs::read(file).unwrap().hash(&mut hasher);
    }
    format!("clients-{kind}-{:016x}", hasher.finish())
}

/// The directory of this name beside the build, filled by `fill` when it is not there yet.
///
/// It gets its name only when it is complete, so that neither an interrupted run nor a second one
/// at the same time leaves half of it.
async fn prepared(name: &str, fill: impl AsyncFnOnce(PathBuf)) -> PathBuf {
    let ready = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if !ready.exists() {
        let unfinished = ready.with_extension(std::process::id().to_string());
        fill(unfinished.clone()).await;
        if fs::rename(&unfinished, &ready).is_err() {
            assert!(ready.exists(), "could not rename {unfinished:?}");
            fs::remove_dir_all(&unfinished).unwrap();
        }
    }
    ready
}

/// Runs a command to its end and answers what it printed; fails with all of that when it fails.
async fn run(command: &mut Command, patience: Duration) -> String {
    let shown = format!("{:?}", command.as_std());
    // A group of its own, so that nothing it started outlives it.
    command.process_group(0).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn();
    let child = child.unwrap_or_else(|error| panic!("could not start {shown}: {error}"));
    let group = format!("-{}", child.id().unwrap());
    let ended = tokio::time::timeout(patience, child.wait_with_output()).await;
    let Ok(output) = ended else {
        let mut kill = Command::new("kill");
        drop(kill.args(["-KILL", "--", &group]).status().await);
        panic!("{shown} did not end within {patience:?}");
    };
    let output = output.unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{shown} ended with {}\n{printed}\n{complaints}",
        output.status
    );
    printed
}
