//! Holds the documentation to what it speaks of: reasons to the API, proofs to the tests, links to files.
//!
//! `cargo test --test docs -- --ignored` writes the table of reasons anew.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The codes of gRPC that a comment may name.
const CODES: [&str; 12] = [
    "ALREADY_EXISTS",
    "DEADLINE_EXCEEDED",
    "FAILED_PRECONDITION",
    "INTERNAL",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "OUT_OF_RANGE",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "UNAUTHENTICATED",
    "UNAVAILABLE",
    "UNIMPLEMENTED",
];

/// Between these two lines the table stands.
const MARKS: [&str; 2] = ["<!-- reasons -->\n", "<!-- end of reasons -->\n"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// Every file below, by its ending.
fn files(folder: &Path, ending: &str, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, ending, into);
        } else if path.extension().is_some_and(|it| it == ending) {
            into.push(path);
        }
    }
}

/// Pages that people read: those of the documentation, and the front door.
fn pages() -> Vec<PathBuf> {
    let mut pages = [
        "README.md",
        "llms.txt",
        "examples/README.md",
        "deploy/README.md",
    ]
    .map(|path| root().join(path))
    .to_vec();
    files(&root().join("docs"), "md", &mut pages);
    pages
}

/// The reasons of the API, each with its comment in one line.
fn reasons() -> Vec<(String, String)> {
    let proto = read("proto/bitrix24/gateway/v1/errors.proto");
    let (_, list) = proto.split_once("enum ErrorReason {").unwrap();
    let mut reasons = Vec::new();
    let mut comment = Vec::new();
    for line in list.lines().map(str::trim) {
        if let Some(words) = line.strip_prefix("//") {
            comment.push(words.trim());
        } else if let Some(rest) = line.strip_prefix("ERROR_REASON_") {
            let (name, _) = rest.split_once(" = ").unwrap();
            reasons.push((name.to_owned(), comment.join(" ")));
            comment.clear();
        }
    }
    reasons.retain(|(name, _)| name != "UNSPECIFIED");
    reasons
}

fn table() -> String {
    let mut table = "| Reason | Code | What it means |\n|---|---|---|\n".to_owned();
    for (name, comment) in reasons() {
        let words = comment.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
        let words: BTreeSet<_> = words.collect();
        let mut codes: Vec<_> = CODES.into_iter().filter(|it| words.contains(it)).collect();
        // It is a word as well.
        if comment.contains("UNKNOWN,") {
            codes.push("UNKNOWN");
        }
        assert!(!codes.is_empty(), "the comment of {name} names no code");
        table += &format!("| `{name}` | {} | {comment} |\n", codes.join(", "));
    }
    table
}

/// The page of the reasons: before the table, the table, and after it.
fn page() -> [String; 3] {
    let page = read("docs/errors.md");
    let (before, rest) = page.split_once(MARKS[0]).unwrap();
    let (table, after) = rest.split_once(MARKS[1]).unwrap();
    [before, table, after].map(str::to_owned)
}

#[test]
fn table_of_reasons_is_that_of_the_api() {
    let [_, shown, _] = page();
    assert_eq!(shown, table(), "cargo test --test docs -- --ignored");
}

#[test]
#[ignore = "it writes what the test above compares"]
fn write_the_table_of_reasons() {
    let ([before, _, after], [begin, end]) = (page(), MARKS);
    let page = format!("{before}{begin}{}{end}{after}", table());
    fs::write(root().join("docs/errors.md"), page).unwrap();
}

#[test]
fn every_test_that_is_named_as_a_proof_is_there() {
    let mut sources = Vec::new();
    files(&root().join("tests"), "rs", &mut sources);
    let sources = sources.iter().map(|path| fs::read_to_string(path).unwrap());
    let tests: String = sources.collect();
    let page = read("docs/guarantees.md");
    let quoted = page.split('`').skip(1).step_by(2);
    let named: Vec<_> = quoted
        .filter(|it| {
            it.matches('_').count() > 3 && it.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        })
        .collect();
    assert!(named.len() > 30, "{}", named.len());
    for name in named {
        assert!(tests.contains(&format!("fn {name}()")), "{name}");
    }
}

#[test]
fn every_link_leads_somewhere() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1) {
            let (link, _) = link.split_once(')').unwrap();
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => page.clone(),
                file => page.parent().unwrap().join(file),
            };
            let at = format!("{}: {link}", page.display());
            assert!(target.exists(), "{at}");
            if !anchor.is_empty() {
                let text = fs::read_to_string(&target).unwrap();
                let mut titles = text.lines().filter(|line| line.starts_with('#'));
                assert!(titles.any(|title| slug(title) == anchor), "{at}");
            }
        }
    }
}

/// How a title is called in a link.
fn slug(title: &str) -> String {
    let title = title.trim_start_matches('#').trim().to_lowercase();
    let kept = title
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-'));
    kept.collect::<String>().replace(' ', "-")
}
