//! `call`, as somebody at a terminal meets it.

use std::{path::Path, process::Stdio};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    process::Command,
    time::timeout,
};

use crate::process::{Desk, Ended, PATIENCE, Running};

const WEATHER: &str = r#"{"bot_code": "weather", "properties": {"name": "Weather"}}"#;

/// `call` at a gateway.
pub(crate) fn call(desk: &Desk, running: &Running, arguments: &[&str]) -> Command {
    let mut command = desk.bare(&["call", "--address"]);
    command.arg(running.address.to_string()).args(arguments);
    command
}

/// What a call answers.
pub(crate) async fn answer(desk: &Desk, running: &Running, arguments: &[&str]) -> Value {
    let ended = Ended::of(call(desk, running, arguments)).await;
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{ended:?}");
    serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

/// How a call failed: all lines.
async fn failure(command: Command, code: i32) -> String {
    let ended = Ended::of(command).await;
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert_eq!(ended.out, "", "{ended:?}");
    assert!(ended.err.starts_with("bitrix24-gateway: "), "{ended:?}");
    for line in ended.err.lines().skip(1) {
        assert!(line.starts_with("  "), "{ended:?}");
    }
    ended.err
}

#[tokio::test]
async fn rpcs_are_called_by_name_with_json_in_and_out() {
    let desk = Desk::new().await;
    let running = Running::of(desk.serve(&[], &[])).await;
    let registered = answer(&desk, &running, &["RegisterBot", WEATHER]).await;
    assert_eq!(registered["bot"]["code"], "weather");
    assert_eq!(registered["outcome"], "REGISTRATION_OUTCOME_CREATED");

    // The other ways to hand a request in.
    let file = desk.write("again.json", WEATHER);
    let from_file = format!("@{file}");
    let again = answer(&desk, &running, &["BotService/RegisterBot", &from_file]).await;
    assert_eq!(again["outcome"], "REGISTRATION_OUTCOME_UNCHANGED");
    let mut command = call(&desk, &running, &["GetBot", "-"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(br#"{"botCode": "weather"}"#).await.unwrap();
    drop(input);
    let output = timeout(PATIENCE, child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["bot"]["code"], "weather");

    let listed = answer(&desk, &running, &["ListBots"]).await;
    assert_eq!(listed["bots"].as_array().unwrap().len(), 1);
    running.stop("TERM").await;
}

#[tokio::test]
async fn stream_is_a_message_a_line_and_ends_with_its_time() {
    let desk = Desk::new().await;
    let running = Running::of(desk.serve(&[], &[])).await;
    let mut child = call(&desk, &running, &["WatchPortals"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
    let first: Value = serde_json::from_str(&line.unwrap()).unwrap();
    assert!(first.is_object(), "{first}");
    running.stop("TERM").await;
    let output = timeout(PATIENCE, child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("WatchPortals: UNAVAILABLE GATEWAY_STOPPING"),
        "{told}"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test]
async fn what_there_is_to_call_is_listed_and_described() {
    let desk = Desk::new().await;
    let running = Running::of(desk.serve(&[], &[])).await;
    let listed = Ended::of(call(&desk, &running, &["--list"])).await;
    assert_eq!((listed.code, listed.err.as_str()), (Some(0), ""));
    for line in [
        "bitrix24.gateway.v1.BotService/RegisterBot\n",
        "bitrix24.gateway.v1.EventService/SubscribeEvents (stream)\n",
        "grpc.health.v1.Health/Check\n",
    ] {
        assert!(listed.out.contains(line), "{}", listed.out);
    }
    assert!(!listed.out.contains('\x1b'), "{}", listed.out);
    let told = Ended::of(call(&desk, &running, &["--describe", "RegisterBot"])).await;
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(
        told.out.contains("Makes sure a bot exists."),
        "{}",
        told.out
    );
    let (_, skeleton) = told.out.split_once("A request to begin with:\n").unwrap();
    let mut request: Value = serde_json::from_str(skeleton).unwrap();
    request["bot_code"] = json!("weather");
    request["properties"] = json!({"name": "Weather"});
    let request = request.as_object_mut().unwrap();
    request.remove("adopt");
    let request = Value::Object(request.clone()).to_string();
    let registered = answer(&desk, &running, &["RegisterBot", &request]).await;
    assert_eq!(registered["bot"]["code"], "weather");
    let healthy = answer(&desk, &running, &["grpc.health.v1.Health/Check"]).await;
    assert_eq!(healthy["status"], "SERVING");
    running.stop("TERM").await;
}

#[tokio::test]
async fn wrong_requests_are_told_before_anything_is_called() {
    let desk = Desk::new().await;
    let running = Running::of(desk.serve(&[], &[])).await;
    for (arguments, says) in [
        (
            &["RegsterBot"][..],
            "no RPC `RegsterBot`; perhaps `RegisterBot` is meant",
        ),
        (
            &["Frobnicate"],
            "no RPC `Frobnicate`: `call --list` names all",
        ),
        (
            &["RegisterBot", r#"{"properties": {"nmae": "x"}}"#],
            "`properties.nmae` is not a field of BotProperties; perhaps `name` is meant; `call --describe RegisterBot`",
        ),
        (
            &["RegisterBot", r#"{"bot_code": "#],
            "the request is not JSON: EOF while parsing a value at line 1 column 12",
        ),
        (&["RegisterBot", r#"{"is_hidden": 7}"#], "`is_hidden`: "),
        (&["GetBot", "@nowhere.json"], "nowhere.json: "),
        (&["GetBot", "{}", "--timeout", "soon"], "such as 30s"),
        (&[], "RPC"),
    ] {
        let ended = Ended::of(call(&desk, &running, arguments)).await;
        let line = ended.failure(2);
        assert!(line.contains(says), "{says} in {line}");
    }
    assert!(desk.portal.bots().is_empty());
    running.stop("TERM").await;
}

#[tokio::test]
async fn failure_of_a_call_tells_reason_fields_and_what_to_try() {
    let desk = Desk::new().await;
    let running = Running::of(desk.serve(&[], &[])).await;
    let wrong = r#"{"bot_code": "not a code", "properties": {}}"#;
    let told = failure(call(&desk, &running, &["RegisterBot", wrong]), 1).await;
    for part in [
        "RegisterBot: INVALID_ARGUMENT INVALID_REQUEST\n",
        "  bot_code: must be 1 to 64 characters",
        "  properties.name: ",
        "executed=no",
        "  try: `call --describe`",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    let told = failure(
        call(&desk, &running, &["GetBot", r#"{"bot_code": "nobody"}"#]),
        1,
    )
    .await;
    for part in [
        "GetBot: NOT_FOUND UNKNOWN_BOT: ",
        "  it means: No bot of this code was registered through the gateway.",
        "  try: `call ListBots`",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    let arguments = ["--json-errors", "RegisterBot", wrong];
    let ended = Ended::of(call(&desk, &running, &arguments)).await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
    let told: Value = serde_json::from_str(&ended.err).unwrap();
    assert_eq!(told["reason"], "INVALID_REQUEST");
    assert_eq!(told["metadata"]["executed"], "no");
    assert_eq!(told["fields"][0]["field"], "bot_code");
    running.stop("TERM").await;
}

#[tokio::test]
async fn gateway_that_cannot_be_reached_is_told_with_what_to_try() {
    let desk = Desk::new().await;
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = taken.local_addr().unwrap().to_string();
    let plain = desk.portal.plain_address();
    let https = format!("https://{}", plain.strip_prefix("http://").unwrap());
    let token = desk.write("token", "b24gw_x");
    for (arguments, code, says) in [
        (
            &["--address", "http://127.0.0.1:1"][..],
            1,
            "no gateway answers at http://127.0.0.1:1: Connection refused",
        ),
        (
            &["--address", "unix:nowhere.sock"],
            1,
            "unix:nowhere.sock: No such file",
        ),
        (
            &["--address", "ftp://x"],
            2,
            "must be such as http://127.0.0.1:50051",
        ),
        (
            &["--address", &plain],
            1,
            "does not speak gRPC: --address is to name the gateway's `grpc.listen`",
        ),
        (&["--address", &https], 1, "try http:// in --address"),
        (
            &["--address", &silent, "--connect-timeout", "300ms"],
            1,
            "did not answer within 300ms: look whether --address is right",
        ),
        (
            &["--address", "http://192.0.2.1:1", "--token-file", &token],
            1,
            "use https://",
        ),
        (
            &["--address", &silent, "--token-file", "absent"],
            1,
            "absent cannot be read: No such file",
        ),
    ] {
        let command = desk.bare(&[&["call", "ListBots"], arguments].concat());
        let told = failure(command, code).await;
        assert!(told.contains(says), "{says} in {told}");
        assert!(!told.contains("os error"), "{told}");
    }
}

#[tokio::test]
async fn who_calls_is_shown_by_a_token_over_tls() {
    let desk = Desk::new().await;
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = desk.write("gateway.pem", &key.cert.pem());
    let private = desk.write("gateway.key", &key.signing_key.serialize_pem());
    let token = Ended::of(desk.bare(&["callers", "new-token"])).await.out;
    let mut lines = token.lines();
    desk.write("token", lines.next().unwrap());
    desk.write("wrong", "b24gw_wrong");
    let config = format!(
        "[callers.reader]\n{}\nportals = [\"*\"]\nrpcs = [\"read\"]\n",
        lines.next().unwrap()
    );
    let config = desk.write("gateway.toml", &config);
    let tls = [
        ("GRPC__TLS__CERT_FILE", certificate.as_str()),
        ("GRPC__TLS__KEY_FILE", &private),
        ("GRPC__SOCKET", "gateway.sock"),
    ];
    let running = Running::of(desk.serve(&["--config", &config], &tls)).await;
    let address = format!("https://localhost:{}", running.address.port());
    let trusted = ["--address", &address, "--ca-file", "gateway.pem"];
    let at = |arguments: &[&str]| desk.bare(&[&["call"], arguments, &trusted].concat());

    let listed = Ended::of(at(&["ListBots", "--token-file", "token"])).await;
    assert_eq!(
        (listed.code, listed.out.as_str()),
        (Some(0), "{}\n"),
        "{listed:?}"
    );
    for (arguments, says) in [
        (&["ListBots"][..], "UNAUTHENTICATED CALLER_UNAUTHENTICATED"),
        (
            &["ListBots"],
            "try: name a file with the caller's token with --token-file",
        ),
        (
            &["ListBots", "--token-file", "wrong"],
            "the credential of the call is not valid",
        ),
        (
            &["RegisterBot", WEATHER, "--token-file", "token"],
            "PERMISSION_DENIED CALLER_DENIED",
        ),
        (
            &["RegisterBot", WEATHER, "--token-file", "token"],
            "try: have an operator grant it",
        ),
    ] {
        let told = failure(at(arguments), 1).await;
        assert!(told.contains(says), "{says} in {told}");
        assert!(!told.contains("b24gw_"), "{told}");
    }
    let unknown = ["call", "ListBots", "--address", &address];
    let told = failure(desk.bare(&unknown), 1).await;
    assert!(
        told.contains("name the authority that vouches for it with --ca-file"),
        "{told}"
    );
    let nameless = format!("https://127.0.0.1:{}", running.address.port());
    let misnamed = [
        "call",
        "ListBots",
        "--address",
        &nameless,
        "--ca-file",
        "gateway.pem",
    ];
    let told = failure(desk.bare(&misnamed), 1).await;
    assert!(
        told.contains("use a name in --address that stands in its certificate"),
        "{told}"
    );
    // What speaks TLS is not mistaken for silence.
    let plain = running.address.to_string();
    let told = failure(desk.bare(&["call", "ListBots", "--address", &plain]), 1).await;
    assert!(told.contains("https://"), "{told}");
    // By the socket there is no TLS, and the token proves the caller all the same.
    let arguments = [
        "call",
        "ListBots",
        "--address",
        "unix:gateway.sock",
        "--token-file",
        "token",
    ];
    let listed = Ended::of(desk.bare(&arguments)).await;
    assert_eq!(
        (listed.code, listed.out.as_str()),
        (Some(0), "{}\n"),
        "{listed:?}"
    );
    running.stop("TERM").await;
}

#[tokio::test]
async fn output_that_nobody_reads_any_more_is_no_failure() {
    let desk = Desk::new().await;
    let running = Running::of(desk.serve(&[], &[])).await;
    let binary = env!("CARGO_BIN_EXE_bitrix24-gateway");
    for command in [
        format!("call --address {} --list", running.address),
        "completions bash".to_owned(),
        "defaults".to_owned(),
    ] {
        // The reader has gone before anything is written.
        let script = format!("set -o pipefail; {{ sleep 0.2; {binary} {command}; }} | true");
        let mut shell = Command::new("/bin/bash");
        shell
            .args(["-c", &script])
            .current_dir(Path::new(desk.folder.path()));
        let ended = Ended::of(shell).await;
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{command}");
    }
    running.stop("TERM").await;
}

/// A command line on a terminal, which util-linux makes.
fn on_terminal(desk: &Desk, line: &str, environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new("script");
    command
        .args(["--quiet", "--return", "--command", line, "/dev/null"])
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .envs(environment.iter().copied())
        .current_dir(desk.folder.path())
        .stdin(Stdio::null());
    command
}

#[tokio::test]
async fn who_waits_at_a_terminal_is_told_what_for() {
    let desk = Desk::new().await;
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = taken.local_addr().unwrap();
    let binary = env!("CARGO_BIN_EXE_bitrix24-gateway");
    let line = format!("{binary} call ListBots --address {silent} --connect-timeout 1500ms");
    let ended = Ended::of(on_terminal(&desk, &line, &[("TERM", "xterm")])).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let waiting = format!("asking http://{silent} for its API ... 1 s");
    assert!(ended.out.contains(&waiting), "{ended:?}");
    assert!(
        ended.out.contains("did not answer within 1.5s"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn colours_are_for_terminals_whose_people_want_them() {
    let desk = Desk::new().await;
    let running = Running::of(desk.serve(&[], &[])).await;
    let binary = env!("CARGO_BIN_EXE_bitrix24-gateway");
    let list = format!("{binary} call --address {} --list", running.address);
    for (environment, colourful) in [
        (&[("TERM", "xterm")][..], true),
        (&[("TERM", "xterm"), ("NO_COLOR", "1")], false),
        (&[("TERM", "dumb")], false),
    ] {
        let command = on_terminal(&desk, &list, environment);
        let ended = Ended::of(command).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.out.contains("RegisterBot"), "{ended:?}");
        assert_eq!(
            ended.out.contains('\x1b'),
            colourful,
            "{environment:?}: {ended:?}"
        );
    }
    running.stop("TERM").await;
}
