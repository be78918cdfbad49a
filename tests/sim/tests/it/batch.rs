//! Many calls in one request (C6).

use bitrix24_sim::{Encoding, Fault};
use serde_json::{Value, json};

use crate::world::{TOKEN, World};

fn list() -> String {
    format!("imbot.v2.Bot.list?botToken={TOKEN}")
}

#[tokio::test(start_paused = true)]
async fn commands_run_in_the_order_they_were_sent() {
    let world = World::new().await;
    let body = r#"{"cmd":{"z":"server.time","a":"profile","m":"scope"}}"#;
    let answer = world.post("batch", "application/json", body.into()).await;
    assert_eq!(answer.result()["result"]["a"]["ID"], "1");
    let order = world.portal.journal().requests();
    let order: Vec<_> = order
        .iter()
        .map(|request| request.method.as_str())
        .collect();
    assert_eq!(order, ["server.time", "profile", "scope", "batch"]);
}

#[tokio::test(start_paused = true)]
async fn an_error_fails_its_entry_alone_and_halt_stops_the_rest() {
    let world = World::new().await;
    let cmd = json!({"a": "profile", "b": "no.such", "c": "profile"});
    let answer = world.call("batch", json!({"cmd": cmd})).await;
    let result = answer.result();
    assert_eq!(
        result["result_error"]["b"]["error"],
        "ERROR_METHOD_NOT_FOUND"
    );
    assert!(result["result"]["a"].is_object() && result["result"]["c"].is_object());
    assert!(result["result_time"]["a"].is_object() && result["result_time"]["b"].is_null());
    for halt in [json!(1), json!(true), json!("1")] {
        let answer = world.call("batch", json!({"halt": halt, "cmd": cmd})).await;
        let result = answer.result();
        assert!(result["result"]["a"].is_object());
        assert!(result["result"]["c"].is_null() && result["result_error"]["c"].is_null());
    }
}

#[tokio::test(start_paused = true)]
async fn empty_maps_and_keys_from_zero_are_lists() {
    let world = World::new().await;
    let answer = world
        .call("batch", json!({"cmd": ["server.time", "profile"]}))
        .await;
    let result = answer.result();
    assert_eq!(result["result"][1]["ID"], "1");
    assert_eq!(result["result_error"], json!([]));
    assert_eq!(result["result_total"], json!([]));
    assert_eq!(result["result_next"], json!([]));
    let answer = world
        .call("batch", json!({"cmd": ["no.such", "profile"]}))
        .await;
    assert_eq!(answer.result()["result"]["1"]["ID"], "1");
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_is_no_string_is_passed_over_in_silence() {
    let world = World::new().await;
    let cmd = json!({"a": {"method": "profile"}, "b": "profile"});
    let answer = world.call("batch", json!({"cmd": cmd})).await;
    let result = answer.result();
    assert!(result["result"]["a"].is_null());
    assert_eq!(result["result_error"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn the_fifty_first_entry_is_refused_and_the_first_fifty_run() {
    let world = World::new().await;
    let cmd: Vec<&str> = vec!["server.time"; 51];
    let answer = world.call("batch", json!({"cmd": cmd})).await;
    assert_eq!(answer.result()["result"].as_array().unwrap().len(), 50);
    let error = &answer.result()["result_error"]["50"]["error"];
    assert_eq!(*error, "ERROR_BATCH_LENGTH_EXCEEDED");
}

#[tokio::test(start_paused = true)]
async fn a_batch_inside_a_batch_is_not_allowed() {
    let world = World::new().await;
    let answer = world
        .call("batch", json!({"cmd": {"a": "Batch?cmd[b]=profile"}}))
        .await;
    assert_eq!(
        answer.result()["result_error"]["a"]["error"],
        "ERROR_BATCH_METHOD_NOT_ALLOWED"
    );
}

#[tokio::test(start_paused = true)]
async fn later_entries_use_what_earlier_ones_gave() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let command = format!(
        "imbot.v2.Command.register?botToken={TOKEN}&botId=$result[l][bots][0][id]\
         &fields%5Bcommand%5D=help&fields%5Btitle%5D%5Ben%5D=about%20$RESULT[l][bots][0][code]"
    );
    let body = format!(
        r#"{{"cmd":{{"l":{},"c":{}}}}}"#,
        json!(list()),
        json!(command)
    );
    world.post("batch", "application/json", body).await.result();
    let commands = world.portal.commands(bot);
    assert_eq!(
        commands[0].titles,
        [("en".to_owned(), "about a".to_owned())]
    );
}

#[tokio::test(start_paused = true)]
async fn text_that_looks_like_a_reference_is_replaced_by_other_data() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let send = format!(
        "imbot.v2.Chat.Message.send?botToken={TOKEN}&botId={bot}&dialogId=1\
         &fields[message]=%24result[p][NAME]%20owes%205%24"
    );
    let body = format!(r#"{{"cmd":{{"p":"profile","s":{}}}}}"#, json!(send));
    let answer = world.post("batch", "application/json", body).await;
    let id = answer.result()["result"]["s"]["id"].as_i64().unwrap();
    assert_eq!(world.portal.message(id).unwrap().text, "John owes 5$");
}

#[tokio::test(start_paused = true)]
async fn a_form_carries_a_batch_encoded_twice() {
    let world = World::new().await;
    let answer = world
        .form("batch", "halt=0&cmd[q]=method.get%3Fname%3Dprofile")
        .await;
    let expected: Value = json!({"isExisting": true, "isAvailable": true});
    assert_eq!(answer.result()["result"]["q"], expected);
}

#[tokio::test(start_paused = true)]
async fn entries_are_journaled_under_their_batch() {
    let world = World::new().await;
    world.call("batch", json!({"cmd": ["profile"]})).await;
    world.call("batch", json!({"cmd": ["profile"]})).await;
    let calls = world.portal.journal().calls("profile");
    assert_eq!([calls[0].batch, calls[1].batch], [Some(1), Some(2)]);
    assert_eq!(calls[0].encoding, Encoding::BatchEntry);
    assert_eq!(world.portal.journal().arrivals(), 2);
}

#[tokio::test(start_paused = true)]
async fn one_command_of_a_batch_can_be_made_to_fail() {
    let world = World::new().await;
    world
        .portal
        .faults()
        .on("scope", Fault::error(500, "INTERNAL_SERVER_ERROR", "oops"));
    let answer = world
        .call("batch", json!({"cmd": ["profile", "scope", "server.time"]}))
        .await;
    let errors = &answer.result()["result_error"];
    assert_eq!(errors["1"]["error"], "INTERNAL_SERVER_ERROR");
    assert_eq!(answer.result()["result"].as_object().unwrap().len(), 2);
    assert_eq!(world.portal.faults().waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_batch_counts_once_for_the_request_rate() {
    let limits = bitrix24_sim::Limits {
        threshold: Some(2),
        ..bitrix24_sim::Limits::default()
    };
    let world = World::new().await;
    world.portal.set_limits(limits);
    for _ in 0..2 {
        let answer = world
            .call("batch", json!({"cmd": ["profile", "scope", "profile"]}))
            .await;
        assert_eq!(answer.result()["result_error"], json!([]));
    }
    assert_eq!(
        world.call("batch", json!({"cmd": []})).await.error(),
        "QUERY_LIMIT_EXCEEDED"
    );
}

#[tokio::test(start_paused = true)]
async fn references_that_double_each_other_run_out_of_memory() {
    let world = World::new().await;
    let bot = world.bot("a").await;
    let send = format!("im.v2.Chat.Bot.sendContext?dialogId={bot}&context[s]=");
    let get = format!("imbot.v2.Event.get?botId={bot}&botToken={TOKEN}&offset=");
    let mut cmd = json!({"s00b": format!("{send}{}", "x".repeat(1000))});
    for step in 1..20 {
        let before = step - 1;
        let last = format!("$result[s{step:02}a][events][0][data][context][s]");
        cmd[format!("s{step:02}a")] = format!("{get}$result[s{before:02}a][nextOffset]").into();
        cmd[format!("s{step:02}b")] = format!("{send}{last}{last}").into();
    }
    let answer = world.call("batch", json!({"cmd": cmd})).await;
    let errors = answer.result()["result_error"].as_object().unwrap();
    assert!(
        errors
            .values()
            .all(|error| error["error"] == "INTERNAL_SERVER_ERROR")
    );
    assert!(!errors.is_empty());
}
