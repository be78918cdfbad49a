//! Everything an operator can get wrong.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _};

use crate::process::{Desk, Ended, Running, SECRET};

async fn told(desk: &Desk, code: i32, arguments: &[&str], more: &[(&str, &str)]) -> String {
    Ended::of(desk.serve(arguments, more))
        .await
        .failure(code)
        .to_owned()
}

fn says(line: &str, words: &[&str]) {
    for word in words {
        assert!(line.contains(word), "{word} is missing in: {line}");
    }
}

#[tokio::test]
async fn wrong_command_line_is_told_in_one_line() {
    let desk = Desk::new().await;
    for (arguments, words) in [
        (&[][..], &["serve", "demo", "sim", "defaults", "--help"][..]),
        (&["sevre"], &["sevre", "serve", "--help"]),
        (
            &["serve", "--lisen", "x"],
            &["--lisen", "--listen", "--help"],
        ),
        (&["serve", "extra"], &["extra", "--help"]),
        (&["serve", "--listen"], &["--listen", "--help"]),
        (
            &["new-bot", "--language", "pyton", "x"],
            &[
                "pyton",
                "python, node",
                "; a similar value exists: 'python'; see --help",
            ],
        ),
        (&["--verbose"], &["--verbose", "--help"]),
    ] {
        let ended = Ended::of(desk.bare(arguments)).await;
        says(ended.failure(2), words);
    }
}

#[tokio::test]
async fn wrong_configuration_names_the_setting() {
    let desk = Desk::new().await;
    let ended = Ended::of(desk.bare(&["serve"])).await;
    says(
        ended.failure(2),
        &["webhook_url", "BITRIX24_GATEWAY__WEBHOOK_URL", "--config"],
    );

    let http = format!("http://acme.bitrix24.com/rest/1/{SECRET}/");
    let line = told(&desk, 2, &[], &[("WEBHOOK_URL", &http)]).await;
    says(&line, &["`webhook_url`", "https://"]);

    let line = told(&desk, 2, &[], &[("GRPC__LISTN", "x")]).await;
    says(&line, &["`grpc.listn` is not a setting", "listen"]);
    let line = told(&desk, 2, &[], &[("GRPC__INSECURE", "perhaps")]).await;
    says(&line, &["`grpc.insecure`"]);

    let file = desk.write("unknown.toml", "[grpc]\nport = 50051\n");
    says(
        &told(&desk, 2, &["--config", &file], &[]).await,
        &["unknown.toml", "`grpc.port`", "listen"],
    );
    let file = desk.write("types.toml", "[rate]\nburst = \"many\"\n");
    says(
        &told(&desk, 2, &["--config", &file], &[]).await,
        &["types.toml", "`rate.burst`"],
    );
    let file = desk.write(
        "broken.toml",
        &format!("webhook_url = \"https://a/rest/1/{SECRET}/\n"),
    );
    says(
        &told(&desk, 2, &["--config", &file], &[]).await,
        &["broken.toml", "TOML"],
    );
    let line = told(&desk, 2, &["--config", "nowhere.toml"], &[]).await;
    says(&line, &["--config", "nowhere.toml"]);

    let line = told(&desk, 2, &[], &[("OUTBOUND__CA_FILE", "nowhere.pem")]).await;
    says(&line, &["`outbound.ca_file`", "nowhere.pem"]);
    let line = told(&desk, 2, &["--listen", "0.0.0.0:0"], &[]).await;
    says(&line, &["`grpc.listen`", "0.0.0.0:0", "--insecure"]);
    let line = told(&desk, 2, &["--listen", "here"], &[]).await;
    says(&line, &["`grpc.listen`", "127.0.0.1:50051"]);
    let line = told(&desk, 2, &[], &[("LOG__LEVEL", "loud,=,")]).await;
    says(&line, &["`log.level`"]);
    assert!(
        !desk.path("bitrix24-gateway-data").exists(),
        "nothing is made before all is checked"
    );
}

#[tokio::test]
async fn configuration_file_can_be_named_by_the_environment() {
    let desk = Desk::new().await;
    desk.write("from-environment.toml", "nonsense = 1\n");
    let mut command = desk.serve(&[], &[]);
    command.env("BITRIX24_GATEWAY_CONFIG", "from-environment.toml");
    says(Ended::of(command).await.failure(2), &["`nonsense`"]);
}

#[tokio::test]
async fn certificates_that_are_none_are_told() {
    let desk = Desk::new().await;
    for text in [
        "",
        "no certificate",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        desk.write("odd.pem", text);
        let ended = Ended::of(desk.serve(&[], &[("OUTBOUND__CA_FILE", "odd.pem")])).await;
        says(ended.failure(2), &["`outbound.ca_file`"]);
    }
}

#[tokio::test]
async fn taken_address_is_named() {
    let desk = Desk::new().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let line = told(&desk, 1, &["--listen", &address], &[]).await;
    says(&line, &["cannot listen", &address]);
    // The store is free again.
    Running::of(desk.serve(&[], &[])).await.stop("TERM").await;
}

#[tokio::test]
async fn keys_of_another_store_are_told_by_their_ids() {
    let desk = Desk::new().await;
    for store in ["one", "other"] {
        let (dir, keys) = (format!("{store}/store"), format!("{store}/keys"));
        let settings = [
            ("STORE__DIR", dir.as_str()),
            ("STORE__KEY_FILE", keys.as_str()),
        ];
        Running::of(desk.serve(&[], &settings))
            .await
            .stop("TERM")
            .await;
    }
    let mixed = [
        ("STORE__DIR", "one/store"),
        ("STORE__KEY_FILE", "other/keys"),
    ];
    let line = told(&desk, 1, &[], &mixed).await;
    says(&line, &["needs the key", "other/keys holds", "seal-"]);
    for file in ["one/keys", "other/keys"] {
        let text = fs::read_to_string(desk.path(file)).unwrap();
        for secret in text.lines().filter_map(|line| line.split_once(':')) {
            assert!(!line.contains(secret.1), "{line}");
        }
    }
    fs::remove_file(desk.path("one/keys")).unwrap();
    let lost = [("STORE__DIR", "one/store"), ("STORE__KEY_FILE", "one/keys")];
    says(
        &told(&desk, 1, &[], &lost).await,
        &["one/keys", "put it back"],
    );
    assert!(!desk.path("one/keys").exists());
}

#[tokio::test]
async fn unusable_key_files_are_told() {
    let desk = Desk::new().await;
    Running::of(desk.serve(&[], &[])).await.stop("TERM").await;
    let keys = desk.path("bitrix24-gateway-data/keys");
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o644)).unwrap();
    says(
        &told(&desk, 1, &[], &[]).await,
        &["bitrix24-gateway-data/keys", "0644", "chmod 0600"],
    );
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&keys, format!("bot:{SECRET}\n")).unwrap();
    says(&told(&desk, 1, &[], &[]).await, &["line 1 of the keys"]);
    let beside = [("STORE__KEY_FILE", "bitrix24-gateway-data/store/keys")];
    says(&told(&desk, 1, &[], &beside).await, &["inside the store"]);
    says(
        &told(&desk, 1, &[], &[("STORE__KEYS", SECRET)]).await,
        &["line 1 of the keys"],
    );
}

#[tokio::test]
async fn store_that_cannot_be_made_is_told() {
    let desk = Desk::new().await;
    desk.write("file", "");
    let line = told(&desk, 1, &["--store", "file/store"], &[]).await;
    says(&line, &["store", "file/store"]);
    fs::create_dir_all(desk.path("damaged")).unwrap();
    Running::of(desk.serve(&["--store", "damaged"], &[]))
        .await
        .stop("TERM")
        .await;
    for entry in fs::read_dir(desk.path("damaged")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it != "lock")
            || fs::metadata(&path).unwrap().len() > 4000
        {
            fs::write(&path, "this is no database, and never was one".repeat(1000)).unwrap();
        }
    }
    let line = told(&desk, 1, &["--store", "damaged"], &[]).await;
    says(&line, &["store", "damaged"]);
}

#[tokio::test]
async fn what_is_wrong_comes_with_what_to_try() {
    let desk = Desk::new().await;
    let running = Running::of(desk.serve(&[], &[])).await;
    let taken = running.address.to_string();
    let busy = told(&desk, 1, &["--listen", &taken, "--store", "other"], &[]).await;
    says(
        &busy,
        &["cannot listen on", "or name another address with --listen"],
    );
    running.stop("TERM").await;

    for (arguments, code, advice) in [
        (
            &["store", "check", "--store", "nowhere"][..],
            1,
            "`serve` makes one",
        ),
        (
            &["keys", "list", "--store", "nowhere"],
            1,
            "name its folder with --store or --config",
        ),
        (
            &["healthcheck", "--url", "http://127.0.0.1:1/"],
            1,
            "look whether the gateway runs",
        ),
        (
            &["sim", "--dir", "nowhere"],
            1,
            "where you may write with --dir",
        ),
        (
            &["sim", "--trust", "nowhere"],
            2,
            "certificates (PEM) with --trust",
        ),
    ] {
        let ended = Ended::of(desk.bare(arguments)).await;
        says(ended.failure(code), &[advice]);
    }
}
