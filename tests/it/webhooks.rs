//! Webhooks end, and others take their place while the gateway runs.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use bitrix24_gateway::proto::v1::{
    self as pb, PortalState, portal_service_client::PortalServiceClient,
};
use bitrix24_sim::{Limits, UserConfig, WebhookConfig};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use tonic::Code;

use crate::{
    log::log_into,
    oauth::stage::{SECRET, Stage, say, say_within},
    quirks,
    scene::{Scene, failure, told},
};

/// Longer than a file is not looked at.
const LOOK: Duration = Duration::from_secs(6);

const DAY: u64 = 24 * 3600;

/// A file for what lets us in.
struct Secret {
    folder: TempDir,
}

impl Secret {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let secret = Self { folder };
        secret.write(text);
        secret
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("secret")
    }

    fn write(&self, text: &str) {
        fs::write(self.path(), text).unwrap();
    }
}

/// A scene whose webhook stands in a file.
async fn scene(settings: &[(&'static str, &str)]) -> (Scene, Secret) {
    let secret = Secret::new("");
    let all = async |_: &bitrix24_sim::Sim, portal: &bitrix24_sim::Portal| {
        secret.write(&portal.webhook_url());
        let mut all = vec![("webhook_url_file", secret.path().display().to_string())];
        let further = settings.iter();
        all.extend(further.map(|(key, value)| (*key, (*value).to_owned())));
        all
    };
    let mut scene = Scene::made(quirks::from_environment(), all, |_| None).await;
    scene.errors_have_names();
    scene.portal.set_limits(Limits::none());
    scene.helper().await;
    (scene, secret)
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .finish();
        (log, log_into(subscriber))
    }

    fn count(&self, text: &str) -> usize {
        let log = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        log.matches(text).count()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn becomes(scene: &Scene, state: PortalState) -> pb::Portal {
    let waiting = async {
        loop {
            let shown = scene.shown().await;
            if shown.state() == state {
                return shown;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(120), waiting).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn dead_webhook_is_replaced_by_changing_its_file() {
    let (log, _logged) = Log::start();
    let (scene, secret) = scene(&[]).await;
    let old = scene.portal.webhook_url();
    scene.portal.remove_webhook(&old);
    becomes(&scene, PortalState::ReauthorizationRequired).await;
    // Until the pauses between probes are long.
    sleep(Duration::from_secs(3000)).await;
    let error = say(&scene, "refused").await.unwrap_err();
    assert_eq!(
        told(&error),
        failure(Code::FailedPrecondition, "REAUTHORIZATION_REQUIRED", "no")
    );
    let boss = scene.portal.add_user(UserConfig::named("Ben", "Boss"));
    let new = scene.portal.add_webhook(WebhookConfig {
        user_id: boss,
        ..WebhookConfig::default()
    });
    secret.write(&format!("{new}\n"));
    sleep(LOOK).await;
    assert_eq!(scene.shown().await.state(), PortalState::Ok);
    say(&scene, "welcome back").await.unwrap();
    assert_eq!(scene.texts(), ["welcome back"]);
    assert_eq!(log.count("webhook was changed"), 1);
    assert_eq!(log.count("same_user=false"), 1);
    assert_eq!(log.count("same_host=true"), 1);
    let code = new.trim_end_matches('/').rsplit('/').next().unwrap();
    assert_eq!(log.count(code), 0);
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_go_out_with_the_new_webhook() {
    let settings = [("rate.requests_per_second", "1"), ("rate.burst", "1")];
    let (scene, secret) = scene(&settings).await;
    let new = scene.portal.add_webhook(WebhookConfig::default());
    let old = scene.portal.webhook_url();
    let texts: Vec<_> = (0..30).map(|number| format!("number {number}")).collect();
    let all = texts
        .iter()
        .map(|text| say_within(&scene, text, Duration::from_secs(300)));
    let change = async {
        sleep(Duration::from_secs(2)).await;
        secret.write(&new);
        sleep(LOOK).await;
        // Whatever would still come with it is refused.
        scene.portal.remove_webhook(&old);
        scene.texts().len()
    };
    let (said, before) = tokio::join!(futures_util::future::join_all(all), change);
    for said in said {
        said.unwrap();
    }
    assert!(before < 30, "calls waited: {before}");
    assert_eq!(scene.texts().len(), 30);
}

#[tokio::test(start_paused = true)]
async fn file_that_cannot_be_used_changes_nothing_and_is_told_of() {
    let (log, _logged) = Log::start();
    let (scene, secret) = scene(&[]).await;
    let mut told = 0;
    for wrong in ["", "https://acme.bitrix24.com/", "nonsense"] {
        secret.write(wrong);
        sleep(LOOK * 3).await;
        told += 1;
        assert_eq!(log.count("changed credentials cannot be used"), told);
        say(&scene, "still here").await.unwrap();
    }
    fs::remove_file(secret.path()).unwrap();
    sleep(LOOK * 3).await;
    assert_eq!(log.count("changed credentials cannot be used"), 4);
    say(&scene, "still here").await.unwrap();
    let new = scene.portal.add_webhook(WebhookConfig::default());
    secret.write(&new);
    sleep(LOOK).await;
    scene.portal.remove_webhook(&scene.portal.webhook_url());
    say(&scene, "with the new one").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn webhook_that_ends_is_told_of_from_14_days_before() {
    let (log, _logged) = Log::start();
    let soon = "webhook ends soon";
    let (mut scene, secret) = scene(&[]).await;
    let now = scene.sim.clock().now().as_secs();
    let end = i64::try_from(now + 20 * DAY + 60).unwrap();
    let end = jiff::Timestamp::from_second(end).unwrap();
    scene.set("webhook_expires_at", end.to_string());
    scene.restart().await;
    let shown = scene.shown().await;
    assert_eq!(shown.webhook_expire_time.unwrap().seconds, end.as_second());
    assert_eq!(log.count(soon), 0);
    let days = |days: u64| i64::try_from(days * DAY).unwrap();
    scene.set_clock_by(days(7));
    scene.restart().await;
    sleep(LOOK).await;
    assert_eq!(log.count(soon), 1, "at a start");
    let hour = Duration::from_secs(3600) + LOOK;
    sleep(hour).await;
    assert_eq!(log.count(soon), 1, "and once a day");
    scene.set_clock_by(days(1));
    sleep(hour).await;
    assert_eq!(log.count(soon), 2, "and once a day");
    assert_eq!(log.count("webhook has ended"), 0);
    scene.set_clock_by(days(13));
    scene.restart().await;
    sleep(LOOK).await;
    assert_eq!(log.count("webhook has ended"), 1);
    // As long as it works it works.
    assert_eq!(scene.shown().await.state(), PortalState::Ok);
    scene.portal.remove_webhook(&scene.portal.webhook_url());
    let shown = becomes(&scene, PortalState::ReauthorizationRequired).await;
    assert_eq!(shown.reason, "WEBHOOK_EXPIRED");
    let error = say(&scene, "refused").await.unwrap_err();
    assert_eq!(
        told(&error),
        failure(Code::FailedPrecondition, "WEBHOOK_EXPIRED", "no")
    );
    secret.write(&scene.portal.add_webhook(WebhookConfig::default()));
    sleep(LOOK).await;
    say(&scene, "with the new one").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn client_secret_is_read_again_when_its_file_changes() {
    let secret = Secret::new("a-wrong-secret");
    let path = secret.path().display().to_string();
    let settings = [
        ("oauth.client_secret", ""),
        ("oauth.client_secret_file", path.as_str()),
    ];
    let mut stage = Stage::set(&settings).await;
    stage.scene.helper().await;
    stage.expire();
    say(&stage.scene, "refused").await.unwrap_err();
    let shown = becomes(&stage.scene, PortalState::Parked).await;
    assert_eq!(shown.reason, "APPLICATION_REFUSED");
    sleep(Duration::from_secs(3000)).await;
    secret.write(SECRET);
    sleep(LOOK).await;
    say(&stage.scene, "welcome back").await.unwrap();
    assert_eq!(stage.scene.shown().await.state(), PortalState::Ok);
}

#[tokio::test(start_paused = true)]
async fn portal_is_asked_for_itself_only_when_told_to_and_once() {
    let (scene, _secret) = scene(&[]).await;
    let asked = || {
        let journal = scene.portal.journal();
        let count = |method| journal.calls(method).len();
        (count("imbot.v2.Revision.get"), count("scope"))
    };
    let shown = scene.shown().await;
    assert_eq!((shown.revision, shown.scopes.len()), (None, 0));
    assert_eq!(asked(), (0, 0));
    let ask = async || {
        let mut portals = PortalServiceClient::new(scene.channel());
        let request = pb::GetPortalRequest {
            ask_portal: true,
            ..pb::GetPortalRequest::default()
        };
        let response = portals.get_portal(request).await.unwrap();
        response.into_inner().portal.unwrap()
    };
    for _ in 0..3 {
        let mut shown = ask().await;
        assert_eq!(shown.revision, Some(36));
        shown.scopes.sort();
        assert_eq!(shown.scopes, ["im", "imbot", "user"]);
    }
    assert_eq!(asked(), (1, 1));
    assert_eq!(scene.shown().await.revision, Some(36));
    sleep(Duration::from_secs(3700)).await;
    assert_eq!(scene.shown().await.revision, None);
    ask().await;
    assert_eq!(asked(), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn tokens_tell_when_they_end() {
    let stage = Stage::set(&[]).await;
    let shown = stage.shown("acme").await;
    let obtained = shown.tokens_obtained_time.unwrap().seconds;
    let ends = shown.refresh_token_expire_time.unwrap().seconds;
    assert_eq!(u64::try_from(ends - obtained).unwrap(), 180 * DAY);
    assert!(shown.token_expire_time.is_some());
    assert!(shown.webhook_expire_time.is_none());
    assert_eq!(shown.scopes, ["im", "imbot", "user"]);
}
