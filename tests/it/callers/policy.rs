//! What each RPC needs. A new one without a line here fails.

use std::collections::BTreeMap;

use bitrix24_gateway::proto::{DESCRIPTORS, v1 as pb};
use prost::Message as _;
use tonic::Status;

use super::{caller, denied, manager, whole};
use crate::scene::{Scene, content, help, helper, raw_answer, told};

/// The published RPCs of all services.
fn published() -> Vec<String> {
    let files = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let ours = files
        .file
        .iter()
        .filter(|file| file.package() == "bitrix24.gateway.v1");
    let services = ours.flat_map(|file| &file.service);
    services
        .flat_map(|service| &service.method)
        .map(|method| method.name().to_owned())
        .collect()
}

/// What an RPC needs.
fn group(rpc: &str) -> &'static str {
    match rpc {
        "GetServerInfo" => "nothing",
        "GetBot" | "ListBots" | "ListCommands" | "ListPortals" | "GetPortal" | "WatchPortals" => {
            "read"
        }
        "AnswerCommand" | "SendMessage" | "UpdateMessage" | "DeleteMessage" | "NotifyAction" => {
            "answer"
        }
        "RegisterBot" | "UpdateBot" | "UnregisterBot" | "RegisterCommand" | "UpdateCommand"
        | "UnregisterCommand" => "manage",
        "RotateBotToken" | "ReleaseBot" => "operate",
        "SubscribeCommandEvents"
        | "SubscribeEvents"
        | "AcknowledgeEvents"
        | "ModifyAckDeadlines"
        | "ListSubscriptions"
        | "GetSubscription"
        | "DeleteSubscription"
        | "ListSetAsideEvents"
        | "RedriveEvents"
        | "DropEvents" => "events",
        "ExecuteCommand" => "execute",
        other => panic!("{other} is new: say here and in `callers/rpc.rs` what it needs"),
    }
}

/// Calls an RPC with a request that is well-formed, for a bot of this code in this portal.
async fn call(
    scene: &Scene,
    name: &str,
    rpc: &str,
    portal: &str,
    code: &str,
) -> Result<(), Status> {
    let (portal, bot_code) = (portal.to_owned(), code.to_owned());
    let mut bots = scene.bots_of(name);
    let mut messages = scene.messages_of(name);
    let mut portals = scene.portals_of(name);
    let mut events = scene.events_of(name);
    macro_rules! ask {
        ($client:ident.$call:ident($request:expr)) => {
            $client.$call($request).await.map(drop)
        };
    }
    match rpc {
        "RegisterBot" => ask!(bots.register_bot(pb::RegisterBotRequest {
            portal,
            bot_code,
            ..helper()
        })),
        "GetBot" => ask!(bots.get_bot(pb::GetBotRequest { portal, bot_code })),
        "ListBots" => ask!(bots.list_bots(pb::ListBotsRequest {
            portal,
            ..pb::ListBotsRequest::default()
        })),
        "UpdateBot" => ask!(bots.update_bot(pb::UpdateBotRequest {
            portal,
            bot_code,
            is_hidden: Some(false),
            ..pb::UpdateBotRequest::default()
        })),
        "UnregisterBot" => {
            ask!(bots.unregister_bot(pb::UnregisterBotRequest { portal, bot_code }))
        }
        "RotateBotToken" => {
            ask!(bots.rotate_bot_token(pb::RotateBotTokenRequest { portal, bot_code }))
        }
        "ReleaseBot" => ask!(bots.release_bot(pb::ReleaseBotRequest {
            portal,
            bot_code,
            new_token: "for-another-program".to_owned(),
        })),
        "RegisterCommand" => ask!(bots.register_command(pb::RegisterCommandRequest {
            portal,
            bot_code,
            ..help()
        })),
        "UpdateCommand" => ask!(bots.update_command(pb::UpdateCommandRequest {
            portal,
            bot_code,
            hidden: Some(true),
            target: Some(pb::update_command_request::Target::Command(
                "help".to_owned()
            )),
            ..pb::UpdateCommandRequest::default()
        })),
        "ListCommands" => ask!(bots.list_commands(pb::ListCommandsRequest {
            portal,
            bot_code,
            ..pb::ListCommandsRequest::default()
        })),
        "UnregisterCommand" => ask!(bots.unregister_command(pb::UnregisterCommandRequest {
            portal,
            bot_code,
            target: Some(pb::unregister_command_request::Target::Command(
                "help".to_owned()
            )),
        })),
        "AnswerCommand" => ask!(bots.answer_command(pb::AnswerCommandRequest {
            portal,
            bot_code,
            ..raw_answer(1, 1, "chat5", "hello")
        })),
        "ExecuteCommand" => ask!(bots.execute_command(pb::ExecuteCommandRequest {
            portal,
            bot_id: 1,
            message_id: 1,
            command: "help".to_owned(),
            ..pb::ExecuteCommandRequest::default()
        })),
        "SubscribeCommandEvents" => {
            ask!(
                bots.subscribe_command_events(pb::SubscribeCommandEventsRequest {
                    portal,
                    bot_codes: vec![bot_code],
                    ..pb::SubscribeCommandEventsRequest::default()
                })
            )
        }
        "SendMessage" => ask!(messages.send_message(pb::SendMessageRequest {
            portal,
            bot_code,
            dialog_id: "chat5".to_owned(),
            content: Some(content("hello")),
            ..pb::SendMessageRequest::default()
        })),
        "UpdateMessage" => ask!(messages.update_message(pb::UpdateMessageRequest {
            portal,
            bot_code,
            message_id: 1,
            text: Some("hello".to_owned()),
            ..pb::UpdateMessageRequest::default()
        })),
        "DeleteMessage" => ask!(messages.delete_message(pb::DeleteMessageRequest {
            portal,
            bot_code,
            message_id: 1,
            ..pb::DeleteMessageRequest::default()
        })),
        "NotifyAction" => ask!(messages.notify_action(pb::NotifyActionRequest {
            portal,
            bot_code,
            dialog_id: "chat5".to_owned(),
            ..pb::NotifyActionRequest::default()
        })),
        "SubscribeEvents" => ask!(events.subscribe_events(pb::SubscribeEventsRequest {
            portal,
            bot_codes: vec![bot_code],
            ..pb::SubscribeEventsRequest::default()
        })),
        "AcknowledgeEvents" => ask!(events.acknowledge_events(pb::AcknowledgeEventsRequest {
            ack_ids: vec!["a0000000000000001-1-1-1".to_owned()],
        })),
        "ModifyAckDeadlines" => {
            ask!(events.modify_ack_deadlines(pb::ModifyAckDeadlinesRequest {
                ack_ids: vec!["a0000000000000001-1-1-1".to_owned()],
                ack_deadline: Some(prost_types::Duration::default()),
            }))
        }
        "ListSubscriptions" => {
            ask!(events.list_subscriptions(pb::ListSubscriptionsRequest::default()))
        }
        "GetSubscription" => ask!(events.get_subscription(pb::GetSubscriptionRequest {
            name: "work".to_owned(),
        })),
        "DeleteSubscription" => ask!(events.delete_subscription(pb::DeleteSubscriptionRequest {
            name: "work".to_owned(),
        })),
        "ListSetAsideEvents" => {
            ask!(events.list_set_aside_events(pb::ListSetAsideEventsRequest {
                subscription: "work".to_owned(),
                ..pb::ListSetAsideEventsRequest::default()
            }))
        }
        "RedriveEvents" => ask!(events.redrive_events(pb::RedriveEventsRequest {
            subscription: "work".to_owned(),
            all: true,
            ..pb::RedriveEventsRequest::default()
        })),
        "DropEvents" => ask!(events.drop_events(pb::DropEventsRequest {
            subscription: "work".to_owned(),
            all: true,
            ..pb::DropEventsRequest::default()
        })),
        "ListPortals" => ask!(portals.list_portals(pb::ListPortalsRequest::default())),
        "GetPortal" => ask!(portals.get_portal(pb::GetPortalRequest {
            portal,
            ..pb::GetPortalRequest::default()
        })),
        "WatchPortals" => ask!(portals.watch_portals(pb::WatchPortalsRequest {
            portal,
            ..pb::WatchPortalsRequest::default()
        })),
        "GetServerInfo" => {
            let mut info = scene.info_of(name);
            ask!(info.get_server_info(pb::GetServerInfoRequest {}))
        }
        other => panic!("{other} is new: say here how it is called"),
    }
}

/// Whether it was the policy that refused.
fn is_denied(outcome: &Result<(), Status>) -> bool {
    outcome
        .as_ref()
        .is_err_and(|status| told(status) == denied())
}

const EVERYWHERE: &str = "portals = [\"*\"]\nbots = [\"*\"]\n";

#[tokio::test(start_paused = true)]
async fn each_rpc_needs_its_grant_and_no_other() {
    let groups = [
        "nothing", "read", "answer", "manage", "operate", "events", "execute",
    ];
    let callers = groups.map(|name| match name {
        "nothing" => caller(name, EVERYWHERE),
        "execute" => caller(name, &format!("{EVERYWHERE}execute = true")),
        group => caller(
            name,
            &format!("{EVERYWHERE}rpcs = [\"{group}\"]\nshares = [\"*\"]"),
        ),
    });
    let scene = Scene::guarded(&callers).await;
    scene
        .bots_of("manage")
        .register_bot(helper())
        .await
        .unwrap();
    let spare = pb::RegisterBotRequest {
        bot_code: "spare".to_owned(),
        ..helper()
    };
    scene.bots_of("manage").register_bot(spare).await.unwrap();
    let mut allowed = BTreeMap::<_, Vec<_>>::new();
    for rpc in published() {
        for name in groups {
            // What removes things comes last, or others would not find them.
            let before = scene.calls().len();
            let code = match rpc.as_str() {
                "UnregisterBot" => "another",
                "ReleaseBot" => "spare",
                _ => "helper",
            };
            let outcome = call(&scene, name, &rpc, "", code).await;
            let may = name == group(&rpc) || group(&rpc) == "nothing";
            assert_eq!(is_denied(&outcome), !may, "{name} calls {rpc}: {outcome:?}");
            if may {
                allowed.entry(name).or_default().push(rpc.clone());
            } else {
                assert_eq!(
                    scene.calls().len(),
                    before,
                    "{rpc} of {name} reached the portal"
                );
            }
        }
    }
    assert_eq!(
        allowed.keys().count(),
        groups.len(),
        "each grants something: {allowed:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn other_portals_and_other_bots_are_denied_whether_they_are_there_or_not() {
    let everything = "rpcs = [\"*\"]\nexecute = true";
    let scene = Scene::guarded(&[
        manager("manager"),
        caller(
            "elsewhere",
            &format!("portals = [\"acme\"]\nbots = [\"*\"]\n{everything}"),
        ),
        caller(
            "support",
            &format!("portals = [\"*\"]\nbots = [\"support_*\"]\n{everything}"),
        ),
    ])
    .await;
    scene
        .bots_of("manager")
        .register_bot(helper())
        .await
        .unwrap();
    let before = scene.calls();
    let all = |outcome: Result<(), Status>| {
        let status = outcome.unwrap_err();
        assert_eq!(told(&status), denied());
        whole(&status)
    };
    // A caller's subscriptions are its own: no other one's name or ack id leads to them.
    let own = [
        "AcknowledgeEvents",
        "ModifyAckDeadlines",
        "ListSubscriptions",
        "GetSubscription",
        "DeleteSubscription",
        "ListSetAsideEvents",
        "RedriveEvents",
        "DropEvents",
    ];
    for rpc in published() {
        if own.contains(&rpc.as_str()) {
            continue;
        }
        if !["GetServerInfo", "ListPortals"].contains(&rpc.as_str()) {
            let there = all(call(&scene, "elsewhere", &rpc, "default", "helper").await);
            let nowhere = all(call(&scene, "elsewhere", &rpc, "nowhere", "helper").await);
            assert_eq!(there, nowhere, "{rpc}");
        }
        if ![
            "GetServerInfo",
            "ListPortals",
            "GetPortal",
            "WatchPortals",
            "ListBots",
            "ExecuteCommand",
        ]
        .contains(&rpc.as_str())
        {
            let there = all(call(&scene, "support", &rpc, "", "helper").await);
            let nowhere = all(call(&scene, "support", &rpc, "", "nobody").await);
            assert_eq!(there, nowhere, "{rpc}");
        }
    }
    assert_eq!(scene.calls(), before, "nothing reached the portal");
}

#[tokio::test(start_paused = true)]
async fn lists_show_only_what_the_caller_may_see() {
    let see = "rpcs = [\"read\", \"manage\"]";
    let scene = Scene::guarded(&[
        manager("manager"),
        caller(
            "blind",
            "portals = [\"acme\"]\nbots = [\"*\"]\nrpcs = [\"read\"]",
        ),
        caller(
            "support",
            &format!("portals = [\"default\"]\nbots = [\"support_*\"]\n{see}"),
        ),
    ])
    .await;
    scene
        .bots_of("manager")
        .register_bot(helper())
        .await
        .unwrap();
    let own = pb::RegisterBotRequest {
        bot_code: "support_bot".to_owned(),
        ..helper()
    };
    scene.bots_of("support").register_bot(own).await.unwrap();
    let portals = async |name: &str| {
        let mut portals = scene.portals_of(name);
        let listed = portals
            .list_portals(pb::ListPortalsRequest::default())
            .await;
        listed.unwrap().into_inner().portals.len()
    };
    assert_eq!(portals("blind").await, 0);
    assert_eq!(portals("support").await, 1);
    let bots = async |name: &str| -> Vec<String> {
        let listed = scene
            .bots_of(name)
            .list_bots(pb::ListBotsRequest::default())
            .await;
        let listed = listed.unwrap().into_inner().bots.into_iter();
        listed.map(|bot| bot.bot_code).collect()
    };
    assert_eq!(bots("support").await, ["support_bot"]);
    assert_eq!(
        bots("manager").await,
        ["helper"],
        "the other belongs to another"
    );
}

#[tokio::test(start_paused = true)]
async fn empty_portal_is_the_callers_own_default() {
    let grants = "bots = [\"*\"]\nrpcs = [\"read\"]";
    let scene = Scene::guarded(&[
        caller(
            "own",
            &format!("portals = [\"*\"]\ndefault_portal = \"acme\"\n{grants}"),
        ),
        caller("general", &format!("portals = [\"default\"]\n{grants}")),
        caller("none", &format!("portals = [\"acme\"]\n{grants}")),
        "[portals.acme]\nwebhook_url = \"https://acme.bitrix24.com/rest/1/abc123/\"\n".to_owned(),
    ])
    .await;
    let ask = async |name: &str| {
        let mut portals = scene.portals_of(name);
        let got = portals.get_portal(pb::GetPortalRequest::default()).await;
        got.map(|got| got.into_inner().portal.unwrap().portal)
    };
    assert_eq!(ask("own").await.unwrap(), "acme");
    assert_eq!(ask("general").await.unwrap(), "default");
    let status = ask("none").await.unwrap_err();
    assert_eq!(told(&status).reason, "NO_DEFAULT_PORTAL");
    let info = scene
        .info_of("own")
        .get_server_info(pb::GetServerInfoRequest {})
        .await;
    assert_eq!(info.unwrap().into_inner().default_portal, "acme");
}
