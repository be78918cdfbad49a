//! A relay as a process: its settings, its health and its end.

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    process::Command,
    time::timeout,
};

use crate::process::{Desk, Ended, PATIENCE};

fn relay(desk: &Desk, settings: &[(&str, &str)]) -> Command {
    let mut command = desk.bare(&["relay"]);
    for (name, value) in settings {
        command.env(format!("BITRIX24_GATEWAY__RELAY__{name}"), value);
    }
    command
}

#[tokio::test]
async fn wrong_settings_are_told_by_name() {
    let desk = Desk::new().await;
    let token = desk.write("token", "b24gw_x");
    let far = ("UPSTREAM", "https://gateway.example.com:50051");
    let near = ("UPSTREAM", "http://127.0.0.1:50051");
    let socket = ("SOCKET", "relay.sock");
    let cases: [(&[(&str, &str)], &str); 12] = [
        (&[near], "`relay.socket` or `relay.listen` is needed"),
        (&[socket], "`relay.upstream` must be"),
        (
            &[far, ("LISTEN", "0.0.0.0:1")],
            "`relay.listen` is 0.0.0.0:1, beyond this machine",
        ),
        (&[far, ("LISTEN", "10.0.0.7:1")], "beyond this machine"),
        (&[far, socket], "or `relay.token_file` is needed"),
        (
            &[
                socket,
                ("UPSTREAM", "http://gateway.example.com"),
                ("TOKEN_FILE", &token),
            ],
            "must begin with https://",
        ),
        (
            &[
                socket,
                ("UPSTREAM", "https://user:secret@gateway.example.com"),
            ],
            "`relay.upstream` must be",
        ),
        (
            &[socket, far, ("CERT_FILE", "a.pem")],
            "`relay.key_file` is needed",
        ),
        (
            &[socket, near, ("CERT_FILE", "a.pem"), ("KEY_FILE", "a.key")],
            "proves nothing without TLS",
        ),
        (&[socket, near, ("POD", "Not a pod")], "`relay.pod` must be"),
        (
            &[socket, near, ("TOKEN_FILE", "absent")],
            "absent cannot be read",
        ),
        (
            &[socket, near, ("CONNECT_TIMEOUT", "1ms")],
            "`relay.connect_timeout` must be",
        ),
    ];
    for (settings, told) in cases {
        let ended = Ended::of(relay(&desk, settings)).await;
        let line = ended.failure(2);
        assert!(line.contains(told), "{told} in {line}");
    }
}

#[tokio::test]
async fn relay_says_how_it_is_and_ends_in_order() {
    let desk = Desk::new().await;
    let settings = [
        ("SOCKET", "relay.sock"),
        // Nobody is there.
        ("UPSTREAM", "http://127.0.0.1:1"),
        ("HEALTH_LISTEN", "127.0.0.1:0"),
    ];
    let mut child = relay(&desk, &settings).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut health = None;
    let mut said = String::new();
    while !said.contains("relay is ready") {
        let line = timeout(PATIENCE, lines.next_line()).await.unwrap();
        let line = line.unwrap().expect("it goes on");
        if let Some((_, address)) = line.split_once("health.address=") {
            health = Some(address.trim().to_owned());
        }
        said.push_str(&line);
    }
    let health = health.expect("an address");
    loop {
        let mut stream = TcpStream::connect(&health).await.unwrap();
        let ask = b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n";
        stream.write_all(ask).await.unwrap();
        let mut told = String::new();
        stream.read_to_string(&mut told).await.unwrap();
        assert!(told.starts_with("HTTP/1.1 200"), "{told}");
        if told.contains("ready\ngateway: cannot be reached: ") {
            break;
        }
        assert!(told.contains("gateway: not tried yet"), "{told}");
    }
    assert!(desk.path("relay.sock").exists());
    let id = child.id().unwrap().to_string();
    let sent = Command::new("kill").arg(&id).status().await.unwrap();
    assert!(sent.success());
    let status = timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
    assert!(status.success(), "{status:?}");
    assert!(!desk.path("relay.sock").exists());
}
