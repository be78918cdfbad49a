//! Where sources on Bitrix24 disagree, the gateway does its job under every reading.

use std::time::Duration;

use bitrix24_gateway::proto::v1::{self as pb, AnswerOutcome};
use bitrix24_sim::*;

use crate::scene::{Scene, answer, called};

/// A name and what departs.
type Departure = (&'static str, fn(&mut Quirks));

/// Every single departure from what the simulated portal does by default.
const DEPARTURES: &[Departure] = &[
    ("documented pages", |quirks| *quirks = Quirks::documented()),
    ("ids as strings", |quirks| quirks.ids = IdShape::Strings),
    ("empty maps as objects", |quirks| {
        quirks.empty_maps = EmptyMap::Object
    }),
    ("empty maps as null", |quirks| {
        quirks.empty_maps = EmptyMap::Null
    }),
    ("bare true", |quirks| quirks.answer_is_object = false),
    ("no time", |quirks| quirks.time = false),
    ("errors with status 403", |quirks| {
        quirks.method_error_status = ErrorStatus::Forbidden
    }),
    ("numeric codes", |quirks| quirks.numeric_error_codes = true),
    ("rename stored", |quirks| quirks.rename_is_stored = true),
    ("siblings kept", |quirks| {
        quirks.partial_properties_reset = false
    }),
    ("unknown fields", |quirks| quirks.unknown_fields = true),
    ("uuid null", |quirks| {
        quirks.missing_uuid = MissingUuid::Null
    }),
    ("chat as in samples", |quirks| {
        quirks.event_chat = EntityShape::Sample
    }),
    ("chat by id", |quirks| {
        quirks.event_chat = EntityShape::IdOnly
    }),
    ("chat empty", |quirks| {
        quirks.event_chat = EntityShape::Empty
    }),
    ("user by id", |quirks| {
        quirks.event_user = EntityShape::IdOnly
    }),
    ("user empty", |quirks| {
        quirks.event_user = EntityShape::Empty
    }),
    ("message as in samples", |quirks| {
        quirks.event_message = EntityShape::Sample
    }),
    ("message by id", |quirks| {
        quirks.event_message = EntityShape::IdOnly
    }),
    ("duplicate keys", |quirks| {
        quirks.duplicate_message_keys = true
    }),
    ("foreign bots reduced", |quirks| {
        quirks.foreign_bot = BotForm::Reduced
    }),
    ("no parent", |quirks| quirks.no_parent = NothingIs::Null),
    ("chat colour", |quirks| quirks.chat_color = false),
    ("last activity", |quirks| {
        quirks.last_activity = LastActivity::Date
    }),
    ("plain slashes", |quirks| quirks.escaped_slashes = false),
    ("gaps between events", |quirks| quirks.event_id_gap = 1000),
];

#[tokio::test(start_paused = true)]
async fn the_main_job_is_done_under_every_single_quirk() {
    for (name, depart) in DEPARTURES {
        let mut quirks = Quirks::default();
        depart(&mut quirks);
        let mut scene = Scene::with(&[], quirks).await;
        scene.helper().await;
        let again = scene
            .bots
            .register_bot(crate::scene::helper())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            again.outcome(),
            pb::RegistrationOutcome::Unchanged,
            "{name}"
        );
        let mut stream = scene
            .subscribe(pb::SubscribeCommandEventsRequest::default())
            .await;
        for round in ["one", "two"] {
            scene.anna_types(&format!("/help {round}"));
            let (_, event) = stream.event().await;
            assert_eq!(called(&event).params, round, "{name}");
            let answered = scene
                .bots
                .answer_command(answer(&event, round))
                .await
                .unwrap();
            assert_eq!(
                answered.into_inner().outcome(),
                AnswerOutcome::Answered,
                "{name}"
            );
            assert_eq!(
                scene.texts().last().map(String::as_str),
                Some(round),
                "{name}"
            );
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        let refused = |request: &Request| request.error().is_some();
        let requests = scene.portal.journal().requests();
        // The only refusal of a whole story: looking for a bot that was not there yet.
        let errors: Vec<_> = requests
            .iter()
            .filter(|request| refused(request))
            .map(|request| &request.method)
            .collect();
        assert_eq!(errors, ["imbot.v2.Bot.get"], "{name}");
    }
}
