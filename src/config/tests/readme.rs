//! The README names every setting, and no other.

use std::collections::BTreeSet;

use super::*;

const README: &str = include_str!("../../../README.md");

/// What the table "Every setting" names; settings of portals and callers apart, whose tables are named
/// by whoever writes them.
fn told() -> (BTreeSet<String>, Vec<String>) {
    let (_, rest) = README.split_once("Every setting, by its table:").unwrap();
    let (mut paths, mut named) = (BTreeSet::new(), Vec::new());
    for row in rest
        .lines()
        .skip(4)
        .take_while(|line| line.starts_with('|'))
    {
        let cells: Vec<_> = row.trim_matches('|').split('|').collect();
        let table = cells[0].trim().trim_matches(['`', '[', ']']);
        for name in cells[1].split('`').skip(1).step_by(2) {
            let path = match table {
                "none" => name.to_owned(),
                table => format!("{table}.{name}"),
            };
            if table.contains("NAME") {
                named.push(path);
            } else {
                assert!(paths.insert(path), "twice: {name}");
            }
        }
    }
    (paths, named)
}

#[test]
fn readme_names_every_setting_and_no_other() {
    let settings = effective(&Sources::default()).unwrap();
    let known: BTreeSet<_> = settings.into_iter().map(|setting| setting.path).collect();
    assert_eq!(told().0, known);
}

#[test]
fn what_readme_names_for_portals_and_callers_is_a_setting() {
    let (_, named) = told();
    assert!(named.len() > 10, "{named:?}");
    for path in named {
        let (table, setting) = path.rsplit_once('.').unwrap();
        // A wrong value is told as such, a setting that there is not as not being one.
        let table = table.replace("NAME", "some");
        let text = format!("[{table}]\n{setting} = 0.5\n");
        let error = Desk::ready().file(&text).error();
        assert!(!error.contains("is not a setting"), "{path}: {error}");
    }
}

#[test]
fn configurations_that_readme_shows_can_be_used() {
    let blocks: Vec<_> = README.split("```toml\n").skip(1).collect();
    assert_eq!(blocks.len(), 4);
    for (number, rest) in blocks.into_iter().enumerate() {
        let (block, _) = rest.split_once("```").unwrap();
        let desk = Desk::new();
        let folder = desk.folder.path().display().to_string();
        for path in block.split('"').filter(|it| it.starts_with("/run/")) {
            let name = path.rsplit('/').next().unwrap();
            let account = name.split('-').next().unwrap();
            let url = format!("https://{account}.bitrix24.com/rest/1/hushhush/");
            desk.write(name, &url);
        }
        let text = block.lines().map(|line| match line.split_once("\"/run/") {
            Some((setting, path)) => {
                let name = path.rsplit('/').next().unwrap();
                format!("{setting}\"{folder}/{name}\n")
            }
            None => format!("{line}\n"),
        });
        let desk = match block.contains("[portals.") {
            true => desk,
            false => desk.variable("WEBHOOK_URL", URL),
        };
        let desk = desk.file(&text.collect::<String>());
        if block.contains("[relay]") {
            Relaying::load(&desk.sources).unwrap_or_else(|error| panic!("{number}: {error}"));
        } else {
            desk.load();
        }
    }
}
