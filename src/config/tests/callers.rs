//! Callers and what surrounds them.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::{
    callers::{Credential, Description, Policy, Rpc, TokenHash},
    ids::PortalId,
};

/// A caller that is right, but for what is added.
fn caller(more: &str) -> String {
    let hash = TokenHash::of("b24gw_x");
    format!("[callers.support]\ntoken_sha256 = [\"{hash}\"]\n{more}\n")
}

fn policy(callers: BTreeMap<String, Description>) -> Policy {
    Policy::new(callers, &BTreeSet::new()).unwrap()
}

#[test]
fn caller_may_do_what_its_settings_say() {
    let grants = "portals = [\"default\"]\nbots = [\"support_*\"]\nrpcs = [\"read\"]\nexecute = true\n\
                  default_portal = \"default\"";
    let policy = policy(Desk::ready().file(&caller(grants)).load().callers);
    let credential = Credential::Token(TokenHash::of("b24gw_x"));
    let grant = policy.find(&credential).unwrap();
    assert_eq!(grant.name(), "support");
    assert!(grant.allows(Rpc::GetBot) && grant.allows(Rpc::ExecuteCommand));
    assert!(!grant.allows(Rpc::RegisterBot));
    assert!(grant.bot(&"support_bot".parse().unwrap()));
    assert!(!grant.portal(&"another".parse().unwrap()));
    assert_eq!(grant.default_portal(), Some(&PortalId::default_portal()));
    assert!(Desk::ready().load().callers.is_empty());
}

#[test]
fn caller_can_be_given_by_the_environment() {
    let desk = Desk::ready()
        .variable("CALLERS__LOCAL__UID", "1000, 1001")
        .variable("CALLERS__LOCAL__RPCS", "read,answer");
    let policy = policy(desk.load().callers);
    let grant = policy.find(&Credential::User(1001)).unwrap();
    assert!(grant.allows(Rpc::AnswerCommand) && !grant.allows(Rpc::RegisterBot));
}

#[test]
fn wrong_callers_name_their_setting() {
    for (text, told) in [
        ("[callers.support]".to_owned(), "`callers.support` needs something that proves it"),
        ("[callers.\"Support Team\"]\nuid = [1]".to_owned(), "is named wrongly"),
        ("[callers.a]\ntoken_sha256 = [\"hushhush\"]".to_owned(), "`callers.a.token_sha256` must be 64"),
        ("[callers.a]\nuid = [\"root\"]".to_owned(), "`callers.a.uid` must be user ids"),
        ("[callers.a]\nservice_account = [\"support\"]".to_owned(), "`namespace/name`"),
        ("[callers.a]\nservice_account = [\"chat/support\"]".to_owned(), "needs `service_accounts.issuer`"),
        (caller("portals = [\"a*b\"]"), "`callers.support.portals` must be names"),
        (caller("rpcs = [\"write\"]"), "`callers.support.rpcs` names \"write\""),
        (caller("rpcs = [\"ExecuteCommand\"]"), "set `execute = true`"),
        (caller("default_portal = \"default\""), "is not one of the caller's `portals`"),
        (caller("portal = \"default\""), "`callers.support.portal` is not a setting"),
        (
            "[callers.a]\nuid = [1]\n[callers.b]\nuid = [1]".to_owned(),
            "`a` and `b` have the same user id",
        ),
        ("[service_accounts]\nissuer = \"x\"".to_owned(), "`service_accounts.audience` is needed"),
        (
            "[service_accounts]\nissuer = \"x\"\naudience = \"y\"".to_owned(),
            "`service_accounts.jwks_url` is needed",
        ),
        (
            "[service_accounts]\nissuer = \"x\"\naudience = \"y\"\njwks_url = \"http://example.org\"".to_owned(),
            "must be an https address",
        ),
        ("[grpc.tls]\ncert_file = \"x\"".to_owned(), "`grpc.tls.key_file` is needed"),
        ("[grpc.tls]\nclient_ca_file = \"x\"".to_owned(), "`grpc.tls.cert_file` is needed"),
    ] {
        let error = Desk::ready().file(&text).error();
        assert!(error.contains(told), "{text}: {error}");
    }
}

#[test]
fn beyond_loopback_needs_callers_and_tls() {
    let beyond = |text: &str| {
        Desk::ready()
            .file(text)
            .flag("grpc.listen", "0.0.0.0:50051")
    };
    let tls = "[grpc.tls]\ncert_file = \"c\"\nkey_file = \"k\"\n";
    assert!(beyond("").error().contains("callers are not authenticated"));
    assert!(
        beyond(tls)
            .error()
            .contains("callers are not authenticated")
    );
    assert!(beyond(&caller("")).error().contains("in the clear"));
    beyond(&format!("{}{tls}", caller(""))).load();
    beyond("").flag("grpc.insecure", "true").load();
}
