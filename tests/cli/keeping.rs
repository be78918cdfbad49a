//! What an operator does to a gateway's store and keys, whether or not it runs.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use bitrix24_gateway::proto::v1::{
    self as pb, bot_service_client::BotServiceClient, portal_service_client::PortalServiceClient,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    process::Command,
    time::{sleep, timeout},
};
use tonic_types::StatusExt as _;

use crate::{
    callers::{recipe, shell},
    process::{Desk, Ended, Running, SECRET},
};

const STORE: &str = "bitrix24-gateway-data/store";
const KEYS: &str = "bitrix24-gateway-data/keys";

/// The words after the program's name that are run, and succeed. What they say.
async fn done(desk: &Desk, arguments: &[&str]) -> String {
    let ended = Ended::of(desk.bare(arguments)).await;
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{ended:?}");
    assert!(!ended.out.contains(SECRET), "{ended:?}");
    ended.out
}

async fn refused(desk: &Desk, arguments: &[&str]) -> String {
    let ended = Ended::of(desk.bare(arguments)).await;
    ended.failure(1).to_owned()
}

async fn register(running: &Running, code: &str) -> Result<(), tonic::Status> {
    let mut bots = BotServiceClient::connect(format!("http://{}", running.address))
        .await
        .unwrap();
    let request = pb::RegisterBotRequest {
        bot_code: code.to_owned(),
        properties: Some(pb::BotProperties {
            name: Some("Support".to_owned()),
            ..pb::BotProperties::default()
        }),
        ..pb::RegisterBotRequest::default()
    };
    bots.register_bot(request).await.map(drop)
}

async fn reason(running: &Running) -> String {
    let mut portals = PortalServiceClient::connect(format!("http://{}", running.address))
        .await
        .unwrap();
    let request = pb::GetPortalRequest::default();
    let response = portals.get_portal(request).await.unwrap();
    response.into_inner().portal.unwrap().reason
}

/// A line of what was said, behind its name.
fn line<'a>(said: &'a str, name: &str) -> &'a str {
    let found = said.lines().find_map(|line| line.strip_prefix(name));
    found.unwrap_or_else(|| panic!("no {name} in {said}"))
}

async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(60), waiting).await.unwrap();
}

#[tokio::test]
async fn clone_beside_the_living_one_touches_nothing_until_it_is_activated() {
    let desk = Desk::new().await;
    let living = Running::of(desk.serve(&[], &[])).await;
    register(&living, "helper").await.unwrap();
    let said = done(&desk, &["store", "backup", "copy.db"]).await;
    assert!(line(&said, "rows: ").contains("bots 1"), "{said}");
    let log = line(&said, "log: ").to_owned();
    let keys = line(&said, "keys: ").to_owned();
    assert!(
        keys.starts_with("bot-") && keys.contains(", seal-"),
        "{keys}"
    );
    let bytes = fs::read(desk.path("copy.db")).unwrap();
    assert!(
        !bytes
            .windows(SECRET.len())
            .any(|part| part == SECRET.as_bytes())
    );

    let said = done(&desk, &["store", "restore", "copy.db", "--store", "clone"]).await;
    assert_ne!(line(&said, "log: "), log);
    assert_eq!(line(&said, "keys: "), keys);
    let clone = Running::of(desk.serve(&["--store", "clone"], &[])).await;
    assert!(clone.said.contains("restored"), "{}", clone.said);
    assert_eq!(reason(&clone).await, "RESTORED");
    living.stop("TERM").await;
    desk.portal.journal().clear();
    let refused = register(&clone, "another").await.unwrap_err();
    assert_eq!(refused.get_details_error_info().unwrap().reason, "RESTORED");
    // Many times the pause between two fetches.
    sleep(Duration::from_secs(2)).await;
    assert_eq!(desk.portal.journal().requests().len(), 0);

    let said = done(&desk, &["store", "check", "--store", "clone"]).await;
    assert!(said.contains("not activated"), "{said}");
    let said = done(&desk, &["store", "activate", "--store", "clone"]).await;
    assert!(said.starts_with("activated"), "{said}");
    register(&clone, "another").await.unwrap();
    until(async || {
        let requests = desk.portal.journal().requests().into_iter();
        requests
            .map(|request| request.method)
            .any(|method| method.contains("Event.get") || method == "batch")
    })
    .await;
    let ended = clone.stop("TERM").await;
    assert!(ended.err.contains("store activate"), "{}", ended.err);
    let said = done(&desk, &["store", "activate", "--store", "clone"]).await;
    assert!(said.starts_with("nothing to do"), "{said}");
}

#[tokio::test]
async fn keys_are_rotated_and_retired_while_the_gateway_runs() {
    let desk = Desk::new().await;
    let running = Running::of(desk.serve(&[], &[])).await;
    register(&running, "helper").await.unwrap();
    let ids = |said: &str| -> Vec<String> {
        let ids = said
            .lines()
            .map(|line| line.split(' ').next().unwrap().to_owned());
        ids.collect()
    };
    let before = ids(&done(&desk, &["keys", "list"]).await);
    let said = done(&desk, &["keys", "rotate"]).await;
    let new = said.split(' ').next().unwrap().to_owned();
    until(async || {
        let said = done(&desk, &["keys", "list"]).await;
        assert_eq!(
            ids(&said),
            [before[0].clone(), new.clone(), before[1].clone()]
        );
        said.contains(&format!("{} has sealed 0 values", before[1]))
    })
    .await;
    let told = refused(&desk, &["keys", "retire", &new]).await;
    assert!(told.contains("keys rotate"), "{told}");
    done(&desk, &["keys", "retire", &before[1]]).await;
    let left = done(&desk, &["keys", "list"]).await;
    assert_eq!(ids(&left), [before[0].clone(), new.clone()]);
    register(&running, "another").await.unwrap();
    let mode = fs::metadata(desk.path(KEYS)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let ended = running.stop("TERM").await;
    assert!(
        ended.err.contains("keys rotate") && ended.err.contains("audit"),
        "{ended:?}"
    );
    let said = done(&desk, &["store", "check"]).await;
    assert!(said.contains(&format!("sealed by {new}: 2")), "{said}");
    assert!(said.ends_with("the store is sound\n"), "{said}");
}

#[tokio::test]
async fn commands_work_on_the_store_itself_where_no_gateway_runs() {
    let desk = Desk::new().await;
    for command in [
        &["store", "check"][..],
        &["keys", "list"],
        &["keys", "rotate"],
        &["store", "activate"],
    ] {
        let told = refused(&desk, command).await;
        assert!(told.contains("there is no store"), "{told}");
    }
    assert!(!desk.path(STORE).exists());
    let running = Running::of(desk.serve(&[], &[])).await;
    register(&running, "helper").await.unwrap();
    running.stop("TERM").await;
    let new = done(&desk, &["keys", "rotate"]).await;
    let new = new.split(' ').next().unwrap();
    let said = done(&desk, &["store", "check"]).await;
    assert!(said.contains(&format!("sealed by {new}: 1\n")), "{said}");
    let told = refused(
        &desk,
        &["store", "restore", "nothing.db", "--store", "other"],
    )
    .await;
    assert!(told.contains("cannot read nothing.db"), "{told}");
    done(&desk, &["store", "backup", "copy.db"]).await;
    let told = refused(&desk, &["store", "backup", "copy.db"]).await;
    assert!(told.contains("--force"), "{told}");
    done(&desk, &["store", "backup", "copy.db", "--force"]).await;
    let told = refused(&desk, &["store", "restore", "copy.db"]).await;
    assert!(told.contains("there is a store already"), "{told}");
}

#[tokio::test]
async fn damage_is_told_with_exit_code_one() {
    let desk = Desk::new().await;
    let running = Running::of(desk.serve(&[], &[])).await;
    register(&running, "helper").await.unwrap();
    running.stop("TERM").await;
    let database = desk.path(STORE).join("store.db");
    rusqlite::Connection::open(database)
        .unwrap()
        .execute("UPDATE bots SET code = 'eve'", [])
        .unwrap();
    let ended = Ended::of(desk.bare(&["store", "check"])).await;
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.out.contains("WRONG: 1 of bots do not open"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn commands_are_taken_from_the_owner_alone_and_only_whole_ones() {
    let desk = Desk::new().await;
    let running = Running::of(desk.serve(&[], &[])).await;
    let socket = desk.path(STORE).join("admin.sock");
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for (request, status) in [
        ("GET /v1/commands HTTP/1.1\r\nhost: gateway\r\n\r\n", "405"),
        (
            "POST /v2/commands HTTP/1.1\r\nhost: gateway\r\ncontent-length: 0\r\n\r\n",
            "404",
        ),
        (
            "POST /v1/commands HTTP/1.1\r\nhost: gateway\r\ncontent-length: 4\r\n\r\nhush",
            "400",
        ),
        (
            "POST /v1/commands HTTP/1.1\r\nhost: gateway\r\ncontent-length: 99999\r\n\r\n{",
            "400",
        ),
        ("nonsense\r\n\r\n", "400"),
    ] {
        let mut stream = UnixStream::connect(&socket).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        if request.contains("99999") {
            stream.shutdown().await.unwrap();
        }
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        timeout(Duration::from_secs(30), read)
            .await
            .unwrap()
            .unwrap();
        let told = answer.split(' ').nth(1).unwrap_or_default();
        assert_eq!(told, status, "{request}: {answer}");
        assert!(!answer.contains("hush"), "{answer}");
    }
    let ended = running.stop("TERM").await;
    assert_eq!(ended.code, Some(0));
    assert!(!ended.err.contains("hush"), "{ended:?}");
    assert!(!socket.exists());
}

#[tokio::test]
async fn socket_of_a_killed_gateway_is_replaced_and_a_missing_one_is_told_of() {
    let desk = Desk::new().await;
    let killed = Running::of(desk.serve(&[], &[])).await;
    killed.stop("KILL").await;
    assert!(desk.path(STORE).join("admin.sock").exists());
    let running = Running::of(desk.serve(&[], &[])).await;
    done(&desk, &["keys", "rotate"]).await;
    fs::remove_file(desk.path(STORE).join("admin.sock")).unwrap();
    let told = refused(&desk, &["keys", "rotate"]).await;
    assert!(
        told.contains("held by another process") && told.contains("admin.sock"),
        "{told}"
    );
    running.stop("TERM").await;

    let off = [("ADMIN__SOCKET", "")];
    let running = Running::of(desk.serve(&[], &off)).await;
    assert!(!desk.path(STORE).join("admin.sock").exists());
    let mut rotate = desk.bare(&["keys", "rotate"]);
    rotate.env("BITRIX24_GATEWAY__ADMIN__SOCKET", "");
    let ended = Ended::of(rotate).await;
    assert!(ended.failure(1).contains("admin.socket"), "{ended:?}");
    running.stop("TERM").await;
}

#[tokio::test]
async fn disk_that_is_full_during_a_backup_leaves_nothing_behind() {
    let desk = Desk::new().await;
    let running = Running::of(desk.serve(&[], &[])).await;
    register(&running, "helper").await.unwrap();
    running.stop("TERM").await;
    let mut shell = Command::new("/bin/bash");
    // A file that may not grow beyond 48 KiB stands for the disk.
    let commands = format!(
        "trap '' XFSZ; ulimit -f 48; exec {} store backup copy.db",
        env!("CARGO_BIN_EXE_bitrix24-gateway")
    );
    shell
        .args(["-c", &commands])
        .current_dir(desk.folder.path())
        .env_clear();
    let ended = Ended::of(shell).await;
    assert!(ended.failure(1).contains("copy.db"), "{ended:?}");
    let left = fs::read_dir(desk.folder.path()).unwrap();
    let left = left.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut left: Vec<_> = left.collect();
    left.sort();
    assert_eq!(left, ["bitrix24-gateway-data", "ca.pem"]);
}

#[tokio::test]
async fn recipes_of_the_readme_for_who_operates_it_work() {
    let desk = Desk::new().await;
    let first = Running::of(desk.serve(&[], &[])).await;
    let [prepare, serve] = &recipe(&desk, "Callers")[..] else {
        panic!("two blocks");
    };
    let prepared = Ended::of(shell(&desk, prepare)).await;
    assert_eq!(prepared.code, Some(0), "{prepared:?}");
    let second = Running::of(shell(&desk, &format!("exec {serve}"))).await;
    let blocks = recipe(&desk, "Operation");
    assert_eq!(blocks.len(), 2);
    for block in blocks {
        let ended = Ended::of(shell(&desk, &block)).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let said = ended.out + &ended.err;
        assert!(!said.contains(SECRET) && !said.contains("b24gw_"), "{said}");
    }
    let token = fs::read_to_string(desk.path("dashboard.txt")).unwrap();
    assert!(token.starts_with("b24gw_") && token.lines().count() == 1);
    for running in [first, second] {
        let ended = running.stop("TERM").await;
        assert!(!ended.err.contains(token.trim()), "{ended:?}");
    }
}

#[tokio::test]
async fn key_put_in_front_by_hand_is_taken_up_and_a_useless_file_is_told_of() {
    let desk = Desk::new().await;
    let running = Running::of(desk.serve(&[], &[])).await;
    register(&running, "helper").await.unwrap();
    let good = fs::read_to_string(desk.path(KEYS)).unwrap();
    let both = format!("seal:{}\n{good}", "A".repeat(43));
    fs::write(desk.path(KEYS), "nonsense").unwrap();
    // It is looked at every five seconds.
    sleep(Duration::from_secs(6)).await;
    register(&running, "another").await.unwrap();
    fs::write(desk.path(KEYS), &both).unwrap();
    until(async || {
        let listed = done(&desk, &["keys", "list"]).await;
        listed.contains("seals, 2 values") && listed.contains("has sealed 0 values")
    })
    .await;
    let ended = running.stop("TERM").await;
    assert!(
        ended.err.contains("cannot be used as it is now"),
        "{ended:?}"
    );
    assert!(ended.err.contains("the keys were changed"), "{ended:?}");
    assert!(
        !ended.err.contains("nonsense") && !ended.err.contains("AAAA"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn keys_of_the_environment_with_a_new_one_in_front_seal_everything_anew_at_the_start() {
    let desk = Desk::new().await;
    let running = Running::of(desk.serve(&[], &[])).await;
    register(&running, "helper").await.unwrap();
    running.stop("TERM").await;
    let keys = fs::read_to_string(desk.path(KEYS)).unwrap();
    let words = keys.lines().filter(|line| !line.starts_with('#'));
    let words = words.collect::<Vec<_>>().join(" ");
    let keys = format!("seal:{} {words}", "A".repeat(43));
    fs::remove_file(desk.path(KEYS)).unwrap();
    let running = Running::of(desk.serve(&[], &[("STORE__KEYS", &keys)])).await;
    let with_keys = |arguments: &[&str]| {
        let mut command = desk.bare(arguments);
        command.env("BITRIX24_GATEWAY__STORE__KEYS", &keys);
        Ended::of(command)
    };
    until(async || {
        let listed = with_keys(&["keys", "list"]).await.out;
        listed.contains("seals, 1 values") && listed.contains("has sealed 0 values")
    })
    .await;
    let ended = with_keys(&["keys", "rotate"]).await;
    let told = ended.failure(1);
    assert!(
        told.contains("store.keys") && told.contains("in front"),
        "{told}"
    );
    running.stop("TERM").await;
}

#[tokio::test]
async fn gateway_whose_folder_has_too_long_a_name_for_a_socket_goes_without() {
    let desk = Desk::new().await;
    let deep = "deep/".repeat(30);
    let running = Running::of(desk.serve(&["--store", &deep], &[])).await;
    register(&running, "helper").await.unwrap();
    let told = refused(&desk, &["keys", "rotate", "--store", &deep]).await;
    assert!(told.contains("held by another process"), "{told}");
    let ended = running.stop("TERM").await;
    assert!(ended.err.contains("set `admin.socket`"), "{ended:?}");
    let asked = format!("{deep}/x.sock");
    let ended = Ended::of(desk.serve(&["--store", &deep], &[("ADMIN__SOCKET", &asked)])).await;
    assert!(ended.failure(1).contains("cannot listen on"), "{ended:?}");
}
