//! What keys derive, and what is no set of keys.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use super::{file::generate, *};

fn made(dir: &Path) -> (PathBuf, Keys) {
    let path = dir.join("keys");
    let (keys, created) = Keys::load_or_create(&path, false).unwrap();
    assert!(created);
    (path, keys)
}

#[test]
fn key_file_is_made_once_for_its_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (path, made) = made(dir.path());
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let (again, created) = Keys::load_or_create(&path, true).unwrap();
    assert!(!created);
    assert_eq!(made.ids(), again.ids());
}

#[test]
fn old_store_never_gets_new_keys() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let error = Keys::load_or_create(&path, true).unwrap_err();
    assert!(matches!(error, Error::Missing { .. }), "{error}");
    assert!(!path.exists());
}

#[test]
fn key_file_others_may_read_is_refused_naming_its_mode() {
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = made(dir.path());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let error = Keys::load_or_create(&path, true).unwrap_err().to_string();
    assert!(error.contains("0640"), "{error}");
}

#[test]
fn malformed_text_is_told_by_line_and_rule_never_by_content() {
    let text = generate().unwrap();
    for (wrong, told) in [
        ("bot:hush".to_owned(), "line 1"),
        (format!("{}\nhush", *text), "line 6"),
        (format!("{}other:hush", *text), "line 5"),
        (format!("{}{}", *text, *text), "line 7"),
        ("seal:".to_owned() + &"A".repeat(43), "`bot:`"),
        ("bot:".to_owned() + &"A".repeat(43), "`seal:`"),
        ("bot:".to_owned() + &"A".repeat(44), "line 1"),
        (String::new(), "`seal:`"),
    ] {
        let error = Keys::parse(&wrong).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
        assert!(!error.contains("hush") && !error.contains("AAA"), "{error}");
    }
}

#[test]
fn keys_fit_on_one_line_and_debug_shows_ids_only() {
    let text = format!("bot:{} seal:{}", "A".repeat(43), "B".repeat(42) + "A");
    let shown = format!("{:?}", Keys::parse(&text).unwrap());
    assert_eq!(
        shown.len(),
        "Keys(bot-00000000, seal-00000000)".len(),
        "{shown}"
    );
    // The SHA-256 of 32 zero bytes begins with these.
    assert!(shown.starts_with("Keys(bot-66687aad, seal-"), "{shown}");
}

#[test]
fn bot_token_depends_on_portal_code_and_generation() {
    let keys = Keys::parse(&generate().unwrap()).unwrap();
    let token = |portal: &str, code: &str, generation| {
        let token = keys.bot_token(&portal.parse().unwrap(), &code.parse().unwrap(), generation);
        token.expose_secret().to_owned()
    };
    let first = token("acme", "helper", 0);
    assert_eq!(first, token("acme", "helper", 0));
    assert_eq!(first.len(), 40);
    for other in [
        token("acm", "ehelper", 0),
        token("acme", "helper", 1),
        token("acme2", "helper", 0),
    ] {
        assert_ne!(first, other);
    }
}

#[test]
fn message_key_is_the_same_for_the_same_name_and_keys() {
    let [keys, others] = [(), ()].map(|()| Keys::parse(&generate().unwrap()).unwrap());
    let first = keys.message_key("a");
    assert_eq!(first, keys.message_key("a"));
    assert_ne!(first, keys.message_key("b"));
    assert_ne!(first, others.message_key("a"));
}

#[test]
fn new_key_comes_in_front_and_an_old_one_goes_whatever_the_file_looks_like() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let (bot, old) = (
        format!("bot:{}", "A".repeat(43)),
        format!("seal:{}", "B".repeat(42) + "A"),
    );
    for text in [
        format!("# seal: the first one seals\n{bot}\n{old}\n# end\n"),
        format!("{bot} {old}"),
        format!("{old}\n  {bot}"),
        format!("  {old} # the old one\n{bot}\n"),
    ] {
        fs::write(&path, &text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let before = Keys::parse(&text).unwrap();
        let old_id = before.all_ids().nth(1).unwrap();
        // It cannot go while it is the only one.
        Keys::take_out(&path, &old_id).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);

        let rotated = Keys::put_new_in_front(&path).unwrap();
        let ids: Vec<_> = rotated.all_ids().collect();
        assert_eq!(
            (ids.len(), &ids[0], &ids[2]),
            (3, &before.bot_key_id(), &old_id)
        );
        let (loaded, _) = Keys::load_or_create(&path, true).unwrap();
        assert_eq!(loaded.ids(), rotated.ids());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);

        let left = Keys::take_out(&path, &old_id).unwrap();
        assert_eq!(left.ids(), ids[..2].join(", "));
        let after = fs::read_to_string(&path).unwrap();
        assert!(!after.contains(&old), "{after}");
        assert_eq!(after.contains("# end"), text.contains("# end"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

#[test]
fn key_file_behind_a_link_is_changed_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = made(dir.path());
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let rotated = Keys::put_new_in_front(&link).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    let (loaded, _) = Keys::load_or_create(&path, true).unwrap();
    assert_eq!(loaded.ids(), rotated.ids());
}

#[test]
fn key_file_that_cannot_be_changed_stays_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (path, keys) = made(dir.path());
    let text = fs::read_to_string(&path).unwrap();
    // Nothing can be written beside it.
    fs::create_dir(dir.path().join("keys.new")).unwrap();
    let error = Keys::put_new_in_front(&path).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    fs::remove_dir(dir.path().join("keys.new")).unwrap();
    // What a killed process left behind.
    fs::write(dir.path().join("keys.new"), "half").unwrap();
    let rotated = Keys::put_new_in_front(&path).unwrap();
    assert!(rotated.ids().starts_with(&keys.bot_key_id()));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn address_of_a_bot_is_its_own_and_comes_back_with_the_keys() {
    let text = generate().unwrap();
    let hook = |text: &str, portal: &str, code: &str| {
        let keys = Keys::parse(text).unwrap();
        let hook = keys.hook(&portal.parse().unwrap(), &code.parse().unwrap());
        hook.expose_secret().to_owned()
    };
    let ours = hook(&text, "acme", "ada");
    assert_eq!(ours.len(), 43);
    assert_eq!(ours, hook(&text, "acme", "ada"));
    let others = [
        hook(&text, "acme", "bob"),
        hook(&text, "acm", "eada"),
        hook(&generate().unwrap(), "acme", "ada"),
    ];
    assert!(!others.contains(&ours));
}
