use proptest::prelude::*;
use serde_json::json;

use super::*;

fn read(text: &str) -> Value {
    decode(text.as_bytes()).unwrap()
}

fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => panic!("not an object: {other}"),
    }
}

#[test]
fn nested_members_are_written_with_escaped_brackets() {
    let fields =
        json!({"fields": {"hidden": false, "title": {"en": "Show help"}}, "userIds": [1, 2]});
    assert_eq!(
        encode(&members(fields), Booleans::YesNo).unwrap(),
        "fields%5Bhidden%5D=N&fields%5Btitle%5D%5Ben%5D=Show%20help&userIds%5B0%5D=1&userIds%5B1%5D=2"
    );
    let bare = json!({"a": true, "b": false});
    assert_eq!(
        encode(&members(bare), Booleans::OneZero).unwrap(),
        "a=1&b=0"
    );
}

#[test]
fn what_a_form_cannot_say_is_refused_by_name() {
    for (value, path) in [
        (json!({"a": {"b": null}}), "a[b]"),
        (json!({"a": [1, []]}), "a[1]"),
        (json!({"a": {}}), "a"),
    ] {
        let error = encode(&members(value), Booleans::YesNo).unwrap_err();
        assert!(error.to_string().contains(&format!("`{path}`")), "{error}");
    }
}

#[test]
fn brackets_nest_and_indices_make_lists() {
    assert_eq!(
        read("a%5Bb%5D%5Bc%5D=1&a[b][d]=2"),
        json!({"a": {"b": {"c": "1", "d": "2"}}})
    );
    assert_eq!(read("a[0]=x&a[1]=y"), json!({"a": ["x", "y"]}));
    assert_eq!(read("a[1]=y&a[0]=x"), json!({"a": ["x", "y"]}));
    assert_eq!(read("a[]=x&a[]=y"), json!({"a": ["x", "y"]}));
    assert_eq!(read("a[5]=x&a[]=y"), json!({"a": {"5": "x", "6": "y"}}));
    assert_eq!(read("a[01]=x"), json!({"a": {"01": "x"}}));
    assert_eq!(read("0=x&1=y"), json!({"0": "x", "1": "y"}));
    let eleven: Vec<String> = (0..11).map(|it| format!("a[{it}]={it}")).collect();
    let expected: Vec<String> = (0..11).map(|it| it.to_string()).collect();
    assert_eq!(read(&eleven.join("&")), json!({"a": expected}));
}

#[test]
fn the_last_of_equal_keys_wins_whatever_its_shape() {
    assert_eq!(read("a=1&a=2"), json!({"a": "2"}));
    assert_eq!(read("a=1&a[b]=2"), json!({"a": {"b": "2"}}));
    assert_eq!(read("a[b]=2&a=1"), json!({"a": "1"}));
}

#[test]
fn odd_keys_and_empty_pieces_do_no_harm() {
    assert_eq!(read(""), json!({}));
    assert_eq!(read("&&&=x&a"), json!({"a": ""}));
    assert_eq!(read("a=b=c"), json!({"a": "b=c"}));
    assert_eq!(read("a[b=1"), json!({"a[b": "1"}));
    assert_eq!(read("a]b=1"), json!({"a]b": "1"}));
    assert_eq!(read("[a]=1"), json!({"[a]": "1"}));
    assert_eq!(read("a[b]c=1"), json!({"a": {"b": "1"}}));
    assert_eq!(read("a[b[c]]=1"), json!({"a": {"b[c": "1"}}));
    assert_eq!(read("a=%zz%"), json!({"a": "%zz%"}));
    assert_eq!(read("a=%FF"), json!({"a": "\u{fffd}"}));
    assert_eq!(read("a=x+y%2Bz%20%0A"), json!({"a": "x y+z \n"}));
}

#[test]
fn a_form_beyond_bounds_is_refused_before_it_costs_much() {
    assert_eq!(decode(&vec![b'a'; LONGEST + 1]), Err(TooMuch::Bytes));
    assert!(decode(&vec![b'a'; LONGEST]).is_ok());
    assert_eq!(
        decode("a=1&".repeat(MOST_PAIRS + 1).as_bytes()),
        Err(TooMuch::Pairs)
    );
    assert!(decode("a=1&".repeat(MOST_PAIRS).as_bytes()).is_ok());
    let deep = |levels: usize| format!("a{}=1", "[b]".repeat(levels - 1));
    assert!(decode(deep(DEEPEST).as_bytes()).is_ok());
    assert_eq!(decode(deep(DEEPEST + 1).as_bytes()), Err(TooMuch::Depth));
    assert_eq!(decode(deep(200_000).as_bytes()), Err(TooMuch::Depth));
    assert_eq!(
        decode("[".repeat(LONGEST).as_bytes())
            .unwrap()
            .as_object()
            .unwrap()
            .len(),
        1
    );
    let sparse = format!("a[{}]=1&a[]=2&a[]=3", u64::MAX - 1);
    assert!(decode(sparse.as_bytes()).is_ok());
}

fn sayable() -> impl Strategy<Value = Value> {
    let leaf = ".{0,12}".prop_map(Value::from);
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Value::from),
            prop::collection::btree_map("[a-zA-Z_]{1,6}", inner, 1..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_the_same(value in sayable(), name in "[a-z]{1,5}") {
        let members = Map::from_iter([(name, value)]);
        let text = encode(&members, Booleans::YesNo).unwrap();
        prop_assert_eq!(decode(text.as_bytes()).unwrap(), Value::Object(members));
    }

    #[test]
    fn no_body_upsets_the_reader(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&body);
    }

    #[test]
    fn no_brackets_upset_the_reader(body in "[]a01&=%5BD\\[]{0,80}") {
        let _ = decode(body.as_bytes());
    }
}
