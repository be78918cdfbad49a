//! What `check` says of a configuration.

use std::{fs, path::Path};

use crate::process::{Desk, Ended, SECRET};

#[tokio::test]
async fn each_broken_configuration_is_told_in_one_line_that_names_the_setting_and_the_rule() {
    let desk = Desk::new().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/broken");
    let mut seen = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let wanted = text.lines().next().unwrap().strip_prefix("# says: ");
        let wanted = wanted.expect("its first line says what is to be told");
        let file = path.to_str().unwrap();
        let checked = Ended::of(desk.bare(&["check", "--config", file])).await;
        let told = checked.failure(2);
        assert!(told.contains(wanted), "{file}: {told}");
        assert!(!told.contains("hushhush"), "{file}: {told}");
        seen += 1;
    }
    assert!(seen > 20, "{seen}");
}

#[tokio::test]
async fn check_shows_what_is_in_force_where_it_comes_from_and_no_secret() {
    let desk = Desk::new().await;
    let file = desk.write(
        "config.toml",
        "[calls]\nattempts = 3\n[log]\nlevel = \"warn\"\n",
    );
    let mut checking = desk.bare(&["check", "--config", &file]);
    let webhook = desk.portal.webhook_url();
    checking
        .env("BITRIX24_GATEWAY__WEBHOOK_URL", &webhook)
        .env("BITRIX24_GATEWAY__LOG__LEVEL", "debug")
        .env(
            "HTTPS_PROXY",
            format!("http://user:{SECRET}@proxy.test:3128"),
        );
    let checked = Ended::of(checking).await;
    assert_eq!((checked.code, checked.err.as_str()), (Some(0), ""));
    let setting = |name: &str| {
        let start = format!("{name} = ");
        let mut lines = checked.out.lines();
        let line = lines.find_map(|line| line.strip_prefix(&start)).unwrap();
        let (value, source) = line.split_once(" # ").unwrap();
        (value.trim(), source)
    };
    let from_file = format!("file {file}");
    for (name, wanted) in [
        ("calls.attempts", ("3", from_file.as_str())),
        (
            "webhook_url",
            ("\"***\"", "environment BITRIX24_GATEWAY__WEBHOOK_URL"),
        ),
        (
            "log.level",
            ("\"debug\"", "environment BITRIX24_GATEWAY__LOG__LEVEL"),
        ),
        ("outbound.proxy", ("\"***\"", "environment HTTPS_PROXY")),
        ("grpc.listen", ("\"127.0.0.1:50051\"", "default")),
    ] {
        assert_eq!(setting(name), wanted, "{name}");
    }
    assert!(!checked.out.contains(SECRET), "{}", checked.out);
    assert!(checked.out.contains("idempotency key"), "{}", checked.out);
    assert!(
        !desk.path("bitrix24-gateway-data").exists(),
        "nothing is made"
    );
    let quiet = Ended::of({
        let mut checking = desk.bare(&["check", "--quiet"]);
        checking.env("BITRIX24_GATEWAY__WEBHOOK_URL", &webhook);
        checking
    });
    assert_eq!(quiet.await.out, "");
}

#[tokio::test]
async fn check_of_a_relay_needs_no_portal_and_looks_into_the_files_of_its_identity() {
    let desk = Desk::new().await;
    let token = desk.write("token", "a token\nof two lines\n");
    let settings = |token: &str| {
        format!(
            "[relay]\nlisten = \"127.0.0.1:0\"\nupstream = \"https://gateway.test:50051\"\ntoken_file = \"{token}\"\n"
        )
    };
    let file = desk.write("relay.toml", &settings(&token));
    let arguments = ["check", "--relay", "--config", &file];
    let checked = Ended::of(desk.bare(&arguments)).await;
    let told = checked.failure(2);
    assert!(told.contains("does not hold a token"), "{told}");
    desk.write("token", "gateway-token\n");
    let checked = Ended::of(desk.bare(&arguments)).await;
    assert_eq!((checked.code, checked.err.as_str()), (Some(0), ""));
    assert!(checked.out.contains("relay.upstream"), "{}", checked.out);
    assert!(!checked.out.contains("gateway-token"), "{}", checked.out);
    let gateway = Ended::of(desk.bare(&["check", "--config", &file])).await;
    gateway.failure(2);
}
