use proptest::prelude::*;
use serde_json::json;

use super::*;

#[test]
fn a_number_is_a_number_however_it_is_written() {
    for value in [
        json!(42),
        json!("42"),
        json!(42.0),
        json!(" 42 "),
        json!("42.0"),
    ] {
        assert_eq!(int(&value), Some(42), "{value}");
    }
    assert_eq!(int(&json!("9223372036854775807")), Some(i64::MAX));
    assert_eq!(int(&json!(i64::MIN)), Some(i64::MIN));
    for value in [
        json!(""),
        json!("def0"),
        json!(1.5),
        json!("1.5"),
        json!("."),
        json!("1."),
        json!(u64::MAX),
        json!(1e300),
        json!("9223372036854775808"),
        json!(true),
        json!(null),
        json!([]),
        json!({}),
    ] {
        let expected = (value == json!("1.")).then_some(1);
        assert_eq!(int(&value), expected, "{value}");
    }
}

#[test]
fn a_truth_is_a_truth_however_it_is_written() {
    for value in [
        json!(true),
        json!("1"),
        json!(1),
        json!("Y"),
        json!("y"),
        json!("TRUE"),
        json!(1.0),
    ] {
        assert_eq!(flag(&value), Some(true), "{value}");
    }
    for value in [
        json!(false),
        json!("0"),
        json!(0),
        json!("N"),
        json!("false"),
        json!(""),
    ] {
        assert_eq!(flag(&value), Some(false), "{value}");
    }
    for value in [
        json!(null),
        json!("perhaps"),
        json!(2),
        json!([]),
        json!({}),
    ] {
        assert_eq!(flag(&value), None, "{value}");
    }
}

#[test]
fn a_moment_has_many_spellings_and_never_is_none() {
    let noon: Timestamp = "2025-01-15T10:00:00Z".parse().unwrap();
    for value in [
        json!("2025-01-15T12:00:00+02:00"),
        json!("2025-01-15T12:00:00+0200"),
        json!("2025-01-15 12:00:00+02:00"),
        json!("2025-01-15T10:00:00Z"),
        json!("2025-01-15T10:00:00.000000+00:00"),
        json!(1_736_935_200),
        json!("1736935200"),
        json!(1_736_935_200.0),
    ] {
        assert_eq!(time(&value), Some(noon), "{value}");
    }
    let day = "2025-01-15T00:00:00Z".parse().ok();
    assert_eq!(time(&json!("2025-01-15")), day);
    for value in [
        json!(""),
        json!("0"),
        json!(0),
        json!(false),
        json!(true),
        json!(null),
        json!([]),
        json!({}),
        json!("yesterday"),
        json!("0000-00-00"),
        json!("0000-00-00T00:00:00+00:00"),
        json!("24.08.2023 13:19:39"),
        json!(-5),
        json!(1e300),
        json!("inf"),
        json!("NaN"),
    ] {
        assert_eq!(time(&value), None, "{value}");
    }
}

#[test]
fn a_list_may_come_as_a_map_of_its_indices() {
    let ints = |value: Value| list(&value).map(|items| items.into_iter().filter_map(int).collect());
    assert_eq!(ints(json!([1, 2])), Some(vec![1, 2]));
    assert_eq!(ints(json!({"10": 3, "2": 2, "0": 1})), Some(vec![1, 2, 3]));
    for nothing in [json!(null), json!([]), json!({}), json!(""), json!(false)] {
        assert_eq!(ints(nothing), Some(Vec::<i64>::new()));
    }
    assert_eq!(ints(json!({"a": 1})), None);
    assert_eq!(ints(json!("text")), None);
}

#[test]
fn a_map_may_come_as_a_list_when_it_is_empty_or_numbered() {
    assert_eq!(map(json!([])), Some(Map::new()));
    assert_eq!(map(json!(null)), Some(Map::new()));
    assert_eq!(map(json!("")), Some(Map::new()));
    let numbered = map(json!(["a", "b"])).unwrap();
    assert_eq!(Value::Object(numbered), json!({"0": "a", "1": "b"}));
    assert_eq!(map(json!("text")), None);
}

#[test]
fn an_error_names_the_whole_path() {
    let value = json!({"bots": [{"id": 1}, {"id": []}]});
    let fields = Fields::of(&value).unwrap();
    let error = fields
        .require_all("bots", |bot| Fields::of(bot)?.require_int("id"))
        .unwrap_err();
    let text = error.within("result").to_string();
    assert_eq!(
        text,
        "`result.bots[1].id` should be a whole number but is an empty list"
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        "[-+.0-9eTZ:]{0,25}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z0-9]{0,3}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_value_upsets_any_reading(value in any_json()) {
        let _ = (int(&value), float(&value), flag(&value), text(&value), filled(&value));
        let _ = (time(&value), list(&value), map(value.clone()), into_list(value.clone()));
        let _ = crate::portal::wire::Event::from_item(&value);
        let _ = crate::portal::wire::EventPage::from_result(value);
    }

    #[test]
    fn every_whole_number_survives_as_number_and_as_string(number: i64) {
        prop_assert_eq!(int(&json!(number)), Some(number));
        prop_assert_eq!(int(&json!(number.to_string())), Some(number));
    }

    #[test]
    fn both_list_readings_agree(value in any_json()) {
        let borrowed = list(&value).map(|items| items.into_iter().cloned().collect::<Vec<_>>());
        prop_assert_eq!(borrowed, into_list(value));
    }
}
