use serde_json::json;

use super::*;

fn members(value: Value) -> Map<String, Value> {
    lenient::map(value).unwrap()
}

#[test]
fn an_entry_is_the_method_and_its_form() {
    let fields = json!({"botId": 456, "fields": {"hidden": false, "title": {"en": "Show help"}}});
    assert_eq!(
        entry(Method::CommandUpdate, &members(fields)).unwrap(),
        "imbot.v2.Command.update?botId=456&fields%5Bhidden%5D=N&fields%5Btitle%5D%5Ben%5D=Show%20help"
    );
    assert_eq!(entry(Method::Profile, &Map::new()).unwrap(), "profile");
}

#[test]
fn nothing_that_could_be_replaced_travels_in_a_batch() {
    for text in [
        "$result[get_user][ID]",
        "the price is $RESULT[x]",
        "$Error[",
        "$next[a]",
        "a$total[b]",
        "$$time[x]",
        "$ result [x]",
        "$result$result[0]",
    ] {
        let unfit = entry(
            Method::MessageSend,
            &members(json!({"fields": {"message": [text]}})),
        );
        let path = "fields[message][0]".into();
        assert_eq!(unfit, Err(Unfit::Reference { path }), "{text}");
        let unfit = entry(
            Method::MessageSend,
            &members(json!({"fields": {text: "x"}})),
        );
        assert!(matches!(unfit, Err(Unfit::Reference { .. })), "{text}");
    }
    for text in [
        "$result",
        "result[x]",
        "$results[x]",
        "$5 [x]",
        "$",
        "$é",
        "$tim",
        "100$ [time]",
    ] {
        let fit = entry(
            Method::MessageSend,
            &members(json!({"fields": {"message": text}})),
        );
        assert!(fit.is_ok(), "{text}: {fit:?}");
    }
}

#[test]
fn nothing_that_a_form_changes_travels_in_a_batch() {
    for (fields, expected) in [
        (json!({"title": {"pt-br": "x"}}), "key"),
        (json!({"a.b": "x"}), "key"),
        (json!({"a b": "x"}), "key"),
        (json!({"": "x"}), "key"),
        (json!({"ключ": "x"}), "key"),
        (json!({"keyboard": null}), "null"),
        (json!({"userIds": []}), "empty"),
        (json!({"title": {}}), "empty"),
    ] {
        let unfit = entry(Method::CommandUpdate, &members(fields)).unwrap_err();
        assert!(unfit.to_string().contains(expected), "{unfit}");
    }
    let many: Vec<u32> = (0..1000).collect();
    let unfit = entry(Method::ChatUserAdd, &members(json!({"userIds": many})));
    assert_eq!(unfit, Err(Unfit::TooMany));
    let long = "x".repeat(LONGEST_ENTRY);
    let unfit = entry(
        Method::MessageSend,
        &members(json!({"fields": {"message": long}})),
    );
    assert_eq!(unfit, Err(Unfit::TooLong));
    for method in [
        Method::Batch,
        Method::FileUpload,
        Method::FileDownload,
        Method::MessageCommand,
    ] {
        assert_eq!(entry(method, &Map::new()), Err(Unfit::Method(method)));
    }
}

#[test]
fn maps_may_come_as_lists() {
    let result = json!({
        "result": [true, {"id": 7}],
        "result_error": [],
        "result_time": [{"duration": "0.5"}, {"duration": 1}],
    });
    let mut outcomes = Outcomes::from_result(result).unwrap();
    let Outcome::Done { result, time } = outcomes.take("1") else {
        panic!("done");
    };
    assert_eq!(result, json!({"id": 7}));
    assert_eq!(time.unwrap().duration, Some(1.0));
    assert!(matches!(outcomes.take("0"), Outcome::Done { .. }));
    assert_eq!(outcomes.take("2"), Outcome::Unknown);
}

#[test]
fn errors_come_in_many_shapes_and_outweigh_results() {
    let result = json!({
        "result": {"a": false, "n": null},
        "result_error": {
            "a": {"error": 100, "error_description": "no"},
            "b": "BOT_NOT_FOUND",
            "c": {"error": {"code": "X", "message": "m"}},
            "d": {"error": "ERROR_BATCH_LENGTH_EXCEEDED"},
        },
    });
    let mut outcomes = Outcomes::from_result(result).unwrap();
    let mut code = |key| match outcomes.take(key) {
        Outcome::Refused(refusal) => refusal.code,
        other => panic!("{key}: {other:?}"),
    };
    assert_eq!(code("a"), "100");
    assert_eq!(code("b"), "BOT_NOT_FOUND");
    assert_eq!(code("c"), "X");
    assert_eq!(code("d"), "ERROR_BATCH_LENGTH_EXCEEDED");
    let null = Outcome::Done {
        result: Value::Null,
        time: None,
    };
    assert_eq!(outcomes.take("n"), null);
}

#[test]
fn an_answer_without_maps_knows_nothing_and_one_of_another_shape_is_unreadable() {
    for empty in [
        json!({}),
        json!([]),
        json!({"result": [], "result_error": null}),
    ] {
        let mut outcomes = Outcomes::from_result(empty).unwrap();
        assert_eq!(outcomes.take("a"), Outcome::Unknown);
    }
    for odd in [
        json!(true),
        json!("text"),
        json!({"result": "text"}),
        json!({"result_error": 1}),
    ] {
        assert!(Outcomes::from_result(odd).is_err());
    }
}

#[test]
fn documented_entries_are_ours_and_linked_ones_are_refused() {
    let commands = |text: &str| {
        let batch: Value = serde_json::from_str(text).unwrap();
        members(batch["cmd"].clone())
    };
    let independent = commands(include_str!(
        "../../../../tests/fixtures/bitrix24/batch.independent.request.json"
    ));
    for (name, method) in [
        ("get_user", Method::UserCurrent),
        ("get_app", Method::AppInfo),
    ] {
        assert_eq!(
            independent[name],
            entry(method, &Map::new()).unwrap().as_str()
        );
    }
    let linked = commands(include_str!(
        "../../../../tests/fixtures/bitrix24/batch.linked.request.json"
    ));
    assert!(looks_like_reference(
        linked["get_department"].as_str().unwrap()
    ));
}
