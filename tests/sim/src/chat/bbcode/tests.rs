//! What a text shows, and that no text takes long or gets out of its place.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const BASE: &str = "https://127.0.0.1:1";

/// The nodes in a short form: text as text, others as `name(inside)`.
fn shown(text: &str) -> String {
    parse(text, BASE).iter().map(short).collect()
}

fn short(node: &Node) -> String {
    let all = |inside: &[Node]| inside.iter().map(short).collect::<String>();
    match node {
        Node::Text { text } => text.clone(),
        Node::Bold { inside } => format!("b({})", all(inside)),
        Node::Italic { inside } => format!("i({})", all(inside)),
        Node::Underlined { inside } => format!("u({})", all(inside)),
        Node::Struck { inside } => format!("s({})", all(inside)),
        Node::Size { pixels, inside } => format!("size{pixels}({})", all(inside)),
        Node::Coloured { colour, inside } => format!("{colour}({})", all(inside)),
        Node::Link { to, inside } => format!("<{to}>({})", all(inside)),
        Node::Mention { what, id, inside } => format!("{what}:{id}({})", all(inside)),
        Node::Action {
            does,
            value,
            inside,
        } => format!("{does}:{value}({})", all(inside)),
        Node::Code { text } => format!("code({text})"),
        Node::Picture { to, name } => format!("picture<{to}>{name}"),
        Node::Time { at } => format!("time({at})"),
        Node::File { id } => format!("file({id})"),
        Node::Quote { inside } => format!("quote({})", all(inside)),
    }
}

#[test]
fn every_code_of_the_contract_is_shown() {
    for (text, expected) in [
        ("[b]a[/b][I]b[/I][u]c[/u][s]d[/S]", "b(a)i(b)u(c)s(d)"),
        (
            "[size=20]a[/size][color=#F00]b[/color]",
            "size20(a)#ff0000(b)",
        ),
        (
            "[url]https://a.test/x[/url]",
            "<https://a.test/x>(https://a.test/x)",
        ),
        (
            "[url=/company/]us[/url]",
            "<https://127.0.0.1:1/company/>(us)",
        ),
        (
            "[user=5]Anna[/user] [user=all]all[/user]",
            "user:5(Anna) user:all(all)",
        ),
        (
            "[chat=7]T[/chat][chat=imol|3]L[/chat]",
            "chat:7(T)chat:imol|3(L)",
        ),
        ("[context=chat1/2]here[/context]", "context:chat1/2(here)"),
        ("[code]\n[b]x[/b]\n[/code]", "code([b]x[/b])"),
        (
            "[img size=small]https://a.test/p.png [/img]",
            "picture<https://a.test/p.png>",
        ),
        (
            "[icon=https://a.test/i.png size=20 title=Sun]",
            "picture<https://a.test/i.png>Sun",
        ),
        (
            "[put=/help]p[/put][send=Yes]s[/send][call=+49]c[/call]",
            "put:/help(p)send:Yes(s)call:+49(c)",
        ),
        ("[send]Yes[/send]", "send:Yes(Yes)"),
        ("[timestamp=1795168800 format=long]", "time(1795168800)"),
        ("[disk=77]a[br]b", "file(77)a\nb"),
        (">>a\n>> b\nc", "quote(a\nb\n)c"),
        (
            "x\n------\nAnna\nhello\n------\ny",
            "x\nquote(Anna\nhello\n)y",
        ),
        (
            "see https://a.test/b?c, or (http://d.test).",
            "see <https://a.test/b?c>(https://a.test/b?c), or (<http://d.test>(http://d.test)).",
        ),
    ] {
        assert_eq!(shown(text), expected, "{text}");
    }
}

#[test]
fn what_is_no_code_stays_text() {
    for text in [
        "[b]never closed",
        "[/b]",
        "a[1] = b[2]",
        "[]",
        "[",
        "[b",
        "[size=7]x[/size]",
        "[size=31]x[/size]",
        "[color=red]x[/color]",
        "[color=#fff;background:url(x)]x[/color]",
        "[user=]x[/user]",
        "[b=1]x[/b]",
        "[script]alert(1)[/script]",
        "<script>alert(1)</script>",
        "[timestamp=never]",
        "[timestamp=-1]",
        "[timestamp=999999999999]",
        "------",
        "[code]x",
        "xhttps://a.test",
    ] {
        assert_eq!(shown(text), text);
    }
}

#[test]
fn links_that_could_act_are_text() {
    for text in [
        "[url=javascript:alert(1)]x[/url]",
        "[url]javascript:alert(1)[/url]",
        "[url=data:text/html,x]x[/url]",
        "[img]javascript:alert(1)[/img]",
        "[icon=vbscript:x]",
    ] {
        assert!(!shown(text).contains(['<']), "{}", shown(text));
    }
}

#[test]
fn codes_that_cross_leave_the_inner_one_as_text() {
    assert_eq!(shown("[b]x[i]y[/b]z[/i]"), "b(x[i]y)z[/i]");
    assert_eq!(shown(">>[b]x\ny[/b]"), "quote([b]x\n)y[/b]");
    assert_eq!(shown("[b]\n>>x[/b]\n[/b]"), "b(\nquote(x[/b]\n))");
}

#[test]
fn nothing_to_press_stands_inside_something_to_press() {
    let text =
        "[url=https://a.test]x https://b.test [send]y[/send][put=q]z[/put][url=/c]w[/url][/url]";
    let shown = shown(text);
    assert_eq!(shown.matches('<').count(), 1, "{shown}");
    assert!(
        !shown.contains("send:") && !shown.contains("put:"),
        "{shown}"
    );
}

#[test]
fn direction_marks_do_not_come_into_links_or_names() {
    assert_eq!(
        shown("[url=https://a.test/\u{202e}x]y[/url]"),
        "[url=https://a.test/\u{202e}x]y[/url]"
    );
    assert_eq!(
        shown("[icon=https://a.test/i title=\u{202e}x]"),
        "picture<https://a.test/i>x"
    );
}

/// How deep nodes are nested.
fn depth(nodes: &Value) -> usize {
    let inside = nodes.as_array().into_iter().flatten();
    inside
        .map(|node| 1 + depth(&node["inside"]))
        .max()
        .unwrap_or(0)
}

#[test]
fn twenty_thousand_hostile_characters_are_read_at_once() {
    let begun = tokio::time::Instant::now();
    for piece in [
        "[",
        "]",
        "[b]",
        "[/b]",
        "[b][/b]",
        "[b",
        "[code]",
        "[put=",
        "[url=",
        "[url=http://a",
        "[img]",
        "[icon=http://a",
        "[send]",
        "[color=",
        "[quote",
        "http",
        "https://a",
        ">>",
        ">>\n",
        "------\n",
        "[b]\n>>",
        "[/",
        "[/code",
        "[user=",
        "[timestamp=",
        "\u{202e}",
        "ж[b]",
    ] {
        let text: String = piece.chars().cycle().take(20_000).collect();
        let nodes = json!(parse(&text, BASE));
        assert!(depth(&nodes) <= DEEPEST + 2, "{piece}");
    }
    // Far more than it takes, and far less than anything quadratic would.
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}

/// Everything that can be read in nodes.
fn words(nodes: &[Node]) -> String {
    nodes
        .iter()
        .map(|node| match node {
            Node::Text { text } | Node::Code { text } => text.clone(),
            Node::Bold { inside }
            | Node::Italic { inside }
            | Node::Underlined { inside }
            | Node::Struck { inside }
            | Node::Size { inside, .. }
            | Node::Coloured { inside, .. }
            | Node::Link { inside, .. }
            | Node::Mention { inside, .. }
            | Node::Action { inside, .. }
            | Node::Quote { inside } => words(inside),
            Node::Picture { .. } | Node::Time { .. } | Node::File { .. } => String::new(),
        })
        .collect()
}

/// Texts out of pieces that mean something.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("[b]"),
        Just("[/b]"),
        Just("[i]"),
        Just("[/I]"),
        Just("[url=https://a.test]"),
        Just("[/url]"),
        Just("[url]"),
        Just("https://b.test"),
        Just("[send=x]"),
        Just("[/send]"),
        Just("[put]"),
        Just("[/put]"),
        Just("[code]"),
        Just("[/code]"),
        Just("\n"),
        Just(">>"),
        Just("------\n"),
        Just("[user=5]"),
        Just("[/user]"),
        Just("]"),
        Just("["),
        Just("ж"),
        Just("[color=#abc]"),
        Just("[/color]"),
        Just("[img]"),
        Just("[/img]"),
        Just("[br]"),
        Just("[size=9]"),
        Just("[/size]"),
        Just(" "),
        Just("[disk=1]"),
        Just("\u{202e}"),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// Every address in nodes begins as an address must.
fn addresses_are_safe(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.iter().all(|(name, value)| match name.as_str() {
            "to" => value.as_str().is_some_and(|to| to.starts_with("http")),
            _ => addresses_are_safe(value),
        }),
        Value::Array(list) => list.iter().all(addresses_are_safe),
        _ => true,
    }
}

proptest! {
    #[test]
    fn any_text_is_read(text in any::<String>()) {
        let nodes = json!(parse(&text, BASE));
        prop_assert!(depth(&nodes) <= DEEPEST + 2 && addresses_are_safe(&nodes));
    }

    #[test]
    fn no_letter_is_invented_and_nesting_is_bounded(text in texts()) {
        let nodes = parse(&text, BASE);
        let written = json!(nodes);
        prop_assert!(depth(&written) <= DEEPEST + 2 && addresses_are_safe(&written));
        prop_assert!(words(&nodes).chars().count() <= text.chars().count());
        let count = |text: &str| text.matches('ж').count();
        // Pictures and actions show another word; all others show every letter.
        if !["[img]", "[put]"].iter().any(|code| text.contains(code)) {
            prop_assert_eq!(count(&words(&nodes)), count(&text));
        }
    }
}
