//! Holds the architecture that `src/lib.rs` declares.
//!
//! The modules of `lib.rs` stand in bands, separated by blank lines, highest first. A module imports
//! only from below: from lower bands, or from what stands below it in its own band. Inside a
//! module's own folder everything is allowed. Some names belong to some places only.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A name, and the files that may use it, as beginnings of their paths below `src`.
const PLACES: [(&str, &[&str]); 6] = [
    // In `otlp` it is what the published messages of OpenTelemetry call a part of theirs.
    (
        "tonic",
        &[
            "grpc",
            "app.rs",
            "cli.rs",
            "demo.rs",
            "dev.rs",
            "proto",
            "telemetry/otlp.rs",
            "terminal",
        ],
    ),
    (
        "proto",
        &["grpc", "app.rs", "cli.rs", "demo.rs", "dev.rs", "terminal"],
    ),
    ("bitrix24_sim", &["cli.rs", "demo.rs", "dev.rs"]),
    ("axum", &["http"]),
    ("reqwest", &["portal/transport", "telemetry/otlp"]),
    ("env", &["config"]),
];

/// A word or a mark of a source file, with its line.
type Token = (usize, String);

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// All source files below a folder with their paths from there, in order.
fn files(folder: &Path) -> Vec<(String, String)> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    collect(folder, &mut found);
    found.sort();
    found
        .into_iter()
        .map(|path| {
            let name = path
                .strip_prefix(folder)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

/// The words and marks of a text, without comments, strings and characters.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        let length = if let Some(length) = silent(rest) {
            length
        } else if word > 0 {
            tokens.push((line, rest[..word].to_owned()));
            word
        } else if rest.starts_with("::") {
            tokens.push((line, "::".to_owned()));
            2
        } else {
            if !first.is_whitespace() {
                tokens.push((line, first.to_string()));
            }
            first.len_utf8()
        };
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

/// The length of a comment, a string or a character at the beginning of a text.
fn silent(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if let Some(body) = text.strip_prefix("/*") {
        return Some(body.find("*/").map_or(text.len(), |end| end + 4));
    }
    let start = text
        .char_indices()
        .take(3)
        .find(|(_, c)| ['"', '#'].contains(c));
    let prefix = start
        .map(|(at, _)| at)
        .filter(|at| ["", "r", "b", "br", "c"].contains(&&text[..*at]));
    if let Some(start) = prefix.filter(|_| text.starts_with('r') || text.starts_with("br")) {
        let hashes = text[start..].len() - text[start..].trim_start_matches('#').len();
        let body = text[start + hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        return Some(
            body.find(&end)
                .map_or(text.len(), |at| start + hashes + 1 + at + end.len()),
        );
    }
    let quote = match prefix {
        Some(start) if text[start..].starts_with('"') => start,
        _ if text.starts_with('\'') => {
            // Otherwise it is a lifetime.
            let mut inside = text[1..].chars();
            let character = inside.next()? == '\\' || inside.next()? == '\'';
            if !character {
                return Some(1);
            }
            0
        }
        _ => return None,
    };
    let mark = text[quote..].chars().next()?;
    let mut escaped = false;
    for (at, c) in text[quote + 1..].char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == mark => return Some(quote + 1 + at + 1),
            _ => {}
        }
    }
    Some(text.len())
}

/// The modules of the crate that a file names: after `crate::`, alone or in braces, or after as many
/// `super::` as lead out of its own module.
fn imports(file: &str, text: &str) -> Vec<(usize, String)> {
    let tokens = tokens(text);
    let word = |at: usize| tokens.get(at).map_or("", |(_, word)| word.as_str());
    let depth = file.split('/').count();
    let tests = (0..tokens.len()).find(|at| word(*at) == "tests" && word(at + 1) == "{");
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let mut next = at;
        if word(at) == "crate" && word(at + 1) == "::" {
            next += 2;
        } else if word(at) == "super" && word(at.wrapping_sub(1)) != "::" {
            let mut steps = 0;
            while word(next) == "super" && word(next + 1) == "::" {
                next += 2;
                steps += 1;
            }
            // A module of tests inside the file is one deeper.
            let deeper = usize::from(tests.is_some_and(|tests| tests < at));
            if steps != depth + deeper {
                continue;
            }
        } else {
            continue;
        }
        if word(next) != "{" {
            found.push((tokens[next].0, word(next).to_owned()));
            continue;
        }
        let mut open = 0;
        for inside in next..tokens.len() {
            match word(inside) {
                "{" => open += 1,
                "}" => open -= 1,
                _ => {}
            }
            if open == 0 {
                break;
            }
            if open == 1 && ["{", ","].contains(&word(inside)) && word(inside + 1) != "}" {
                found.push((tokens[inside + 1].0, word(inside + 1).to_owned()));
            }
        }
    }
    found
}

/// The bands of `lib.rs`, highest first.
fn bands() -> Vec<Vec<String>> {
    let text = fs::read_to_string(source().join("lib.rs")).unwrap();
    let mut bands = vec![Vec::new()];
    for line in text.lines() {
        let module = line.strip_prefix("pub mod ").or(line.strip_prefix("mod "));
        if let Some(module) = module.and_then(|line| line.strip_suffix(';')) {
            bands.last_mut().unwrap().push(module.to_owned());
        } else if line.is_empty() {
            bands.push(Vec::new());
        }
    }
    bands.retain(|band| !band.is_empty());
    bands
}

fn module_of(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap()
}

#[test]
fn modules_import_only_from_below() {
    let order: Vec<String> = bands().concat();
    let place = |module: &str| order.iter().position(|known| known == module);
    let mut broken = Vec::new();
    for (file, text) in files(&source()) {
        if ["main.rs", "lib.rs"].contains(&file.as_str()) {
            continue;
        }
        let own = module_of(&file).to_owned();
        let at = place(&own).unwrap_or_else(|| panic!("{file} belongs to no module of lib.rs"));
        for (line, import) in imports(&file, &text) {
            let below = place(&import).is_some_and(|import| import > at);
            if import != own && !below {
                broken.push(format!(
                    "src/{file}:{line}: `{own}` imports `crate::{import}`, which is not below it"
                ));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn some_names_belong_to_some_places() {
    let mut broken = Vec::new();
    for (file, text) in files(&source()) {
        let allowed = |places: &[&str]| places.iter().any(|place| file.starts_with(place));
        let tokens = tokens(&text);
        let word = |at: usize| tokens.get(at).map_or("", |(_, word)| word.as_str());
        for (at, (line, _)) in tokens.iter().enumerate() {
            for (name, places) in PLACES {
                let used = match name {
                    // Also its family, such as tonic_types.
                    "tonic" => word(at) == name || word(at).starts_with("tonic_"),
                    // The module, not a macro; `std::{env, ..}` as well.
                    "env" => {
                        word(at) == name
                            && word(at + 1) != "!"
                            && ["::", ",", "}", ";"].contains(&word(at + 1))
                    }
                    "proto" => word(at) == name && word(at + 1) == "::",
                    _ => word(at) == name,
                };
                if used && !allowed(places) {
                    broken.push(format!(
                        "src/{file}:{line}: `{}` is used outside {places:?}",
                        word(at)
                    ));
                }
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

/// Where tasks are spawned beside `Lifecycle`: it itself, what follows a task in its own way, and what
/// belongs to one connection, one request or one group of calls and costs nothing but that.
const SPAWNS: [&str; 7] = [
    "lifecycle.rs",
    "store/sqlite/writer.rs",
    "portal/queue/dispatch.rs",
    "portal/home.rs",
    "grpc/door.rs",
    "admin/server.rs",
    "demo.rs",
];

#[test]
fn background_tasks_are_spawned_by_the_lifecycle_which_sees_them_panic() {
    let mut found = Vec::new();
    for (file, text) in files(&source()) {
        let tokens = tokens(&text);
        let word = |at: usize| tokens.get(at).map_or("", |(_, word)| word.as_str());
        let tests = |at: &usize| word(*at) == "tests" && word(at + 1) == "{";
        let end = (0..tokens.len()).find(tests).unwrap_or(tokens.len());
        let is_tests = file.split('/').any(|part| part.starts_with("tests"));
        for at in (0..end).filter(|_| !is_tests) {
            let path = [word(at), word(at + 1), word(at + 2)];
            if [["tokio", "::", "spawn"], ["task", "::", "spawn"]].contains(&path) {
                found.push(file.clone());
            }
        }
    }
    found.dedup();
    let others: Vec<_> = found
        .iter()
        .filter(|file| !SPAWNS.contains(&file.as_str()))
        .collect();
    assert!(others.is_empty(), "{others:?} spawn tasks by themselves");
    assert_eq!(found.len(), SPAWNS.len(), "{found:?}");
}

#[test]
fn every_module_of_the_crate_is_in_a_band() {
    let declared: Vec<String> = bands().concat();
    for (file, _) in files(&source()) {
        let module = module_of(&file);
        assert!(
            ["main", "lib"].contains(&module) || declared.iter().any(|known| known == module),
            "{file}"
        );
    }
    assert!(bands().len() > 3, "the bands can be read: {declared:?}");
}

#[test]
fn imports_are_found_however_they_are_written() {
    let text = r##"
        use crate::{
            bots::{self, Name},
            fault::Fault as _, portal,
        };
        use super::super::events::Feed; // crate::comment
        fn f<'a>(c: char) -> &'a str { if c == '{' { crate::store::x() } else { "crate::text" } }
        const RAW: &str = r#"crate::raw "quoted" "#;
        /* crate::block */ type T = crate::ids::BotCode;
        mod tests { use super::super::deeper; use super::super::super::clock::Clock; }
    "##;
    let found = imports("grpc/bots.rs", text);
    let names: Vec<_> = found.iter().map(|(_, name)| name.as_str()).collect();
    assert_eq!(
        names,
        ["bots", "fault", "portal", "events", "store", "ids", "clock"]
    );
    assert_eq!(found[0].0, 3, "lines are counted");
}
