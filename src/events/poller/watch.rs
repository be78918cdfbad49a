//! Looks whether somebody else takes the events of a bot.
//!
//! A portal shows events again until they are acknowledged, and whoever acknowledges first takes them
//! from all others (C12). So an event that we were shown, and have not acknowledged, must be there when
//! we look again. That happens by itself where a page could not be stored, and once in a while we look
//! a second time before we acknowledge.

use std::{collections::HashMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::{ids::BotCode, portal::wire::EventPage};

/// How often a page is looked at twice.
const EVERY: Duration = Duration::from_secs(3600);

/// What is older may end by itself before we look again: portals keep events for 24 hours (C12), and
/// our clock may differ from theirs.
const SURELY_KEPT: SignedDuration = SignedDuration::from_hours(12);

/// What each bot was shown.
#[derive(Debug, Default)]
pub(super) struct Watch(HashMap<BotCode, Eye>);

/// On one bot.
#[derive(Debug)]
struct Eye {
    bot_id: i64,
    shown: Option<Shown>,
    second_look_due: Instant,
}

/// A page that was not acknowledged.
#[derive(Debug)]
struct Shown {
    /// The offset that brought it.
    offset: Option<i64>,
    /// Numbers of the events that must still be there.
    ids: Vec<i64>,
    /// It is stored, and asked for once more all the same.
    second_look: bool,
}

impl Watch {
    /// The offset to send: the stored one, or for a second look the one before.
    pub(super) fn offset(&self, code: &BotCode, bot_id: i64, stored: Option<i64>) -> Option<i64> {
        let eye = self.0.get(code).filter(|eye| eye.bot_id == bot_id);
        let shown = eye.and_then(|eye| eye.shown.as_ref());
        match shown.filter(|shown| shown.second_look) {
            Some(shown) => shown.offset,
            None => stored,
        }
    }

    /// A page came. Says whether events that had been shown are not there any more.
    pub(super) fn came(
        &mut self,
        code: &BotCode,
        bot_id: i64,
        offset: Option<i64>,
        page: &EventPage,
        now: Timestamp,
    ) -> bool {
        let eye = self
            .0
            .entry(code.clone())
            .or_insert_with(|| Eye::new(bot_id));
        if eye.bot_id != bot_id {
            *eye = Eye::new(bot_id);
        }
        let before = eye.shown.take();
        let ids = || page.events.iter().filter_map(|event| event.event_id);
        // Beyond the end of a page that is full anything may follow.
        let end = ids().max().filter(|_| page.has_more);
        let vanished = before.is_some_and(|before| {
            let expected = |id: &&i64| end.is_none_or(|end| **id <= end);
            let gone = |id: &i64| !ids().any(|there| there == *id);
            // Without an offset an empty answer may be an old one (C12).
            let certain = before.offset.is_some_and(|offset| offset > 0) || !page.events.is_empty();
            certain && before.offset == offset && before.ids.iter().filter(expected).any(gone)
        });
        let kept = page.events.iter().filter_map(|event| {
            let age = now.duration_since(event.date()?).abs();
            event.event_id.filter(|_| age < SURELY_KEPT)
        });
        eye.shown = Some(Shown {
            offset,
            ids: kept.collect(),
            second_look: false,
        });
        vanished
    }

    /// The page that came last is stored: it is acknowledged next, unless it is time for a second look.
    pub(super) fn stored(&mut self, code: &BotCode, more: bool) {
        let Some(eye) = self.0.get_mut(code) else {
            return;
        };
        let now = Instant::now();
        let shown = eye.shown.take().filter(|shown| !shown.ids.is_empty());
        if let Some(shown) = shown
            && !more
            && now >= eye.second_look_due
        {
            eye.second_look_due = now + EVERY;
            eye.shown = Some(Shown {
                second_look: true,
                ..shown
            });
        }
    }

    /// A fetch brought nothing: no second look.
    pub(super) fn failed(&mut self, code: &BotCode) {
        if let Some(eye) = self.0.get_mut(code) {
            eye.shown.take_if(|shown| shown.second_look);
        }
    }

    /// Only these bots are fetched from now on.
    pub(super) fn keep(&mut self, fetched: impl Fn(&BotCode) -> bool) {
        self.0.retain(|code, _| fetched(code));
    }
}

impl Eye {
    fn new(bot_id: i64) -> Self {
        Self {
            bot_id,
            shown: None,
            second_look_due: Instant::now() + EVERY,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: &str = "2026-11-20T10:00:00Z";

    fn code() -> BotCode {
        "ada".parse().unwrap()
    }

    fn page(ids: &[i64], has_more: bool, date: &str) -> EventPage {
        let event = |id: &i64| json!({"eventId": id, "type": "ONIMBOTV2JOINCHAT", "date": date, "data": []});
        let events: Vec<_> = ids.iter().map(event).collect();
        EventPage::from_result(json!({"events": events, "hasMore": has_more})).unwrap()
    }

    /// What is said of a page, after another one that could not be stored.
    fn vanished(before: (Option<i64>, &[i64], &str), then: (i64, Option<i64>, EventPage)) -> bool {
        let mut watch = Watch::default();
        let now = NOW.parse().unwrap();
        let first = page(before.1, false, before.2);
        assert!(!watch.came(&code(), 7, before.0, &first, now));
        watch.came(&code(), then.0, then.1, &then.2, now)
    }

    #[test]
    fn only_what_must_be_there_is_missed() {
        let shown = (Some(5), &[5, 6][..], NOW);
        assert!(vanished(shown, (7, Some(5), page(&[], false, NOW))));
        assert!(vanished(shown, (7, Some(5), page(&[6, 9], false, NOW))));
        assert!(!vanished(shown, (7, Some(5), page(&[5, 6, 9], false, NOW))));
        assert!(
            !vanished(shown, (7, Some(7), page(&[9], false, NOW))),
            "acknowledged"
        );
        assert!(
            !vanished(shown, (8, Some(5), page(&[9], false, NOW))),
            "another bot"
        );
        assert!(
            !vanished(shown, (7, Some(5), page(&[5], true, NOW))),
            "a smaller page"
        );
        let old = (Some(5), &[5, 6][..], "2026-11-19T10:00:01Z");
        assert!(
            !vanished(old, (7, Some(5), page(&[], false, NOW))),
            "a day old"
        );
        let first = (None, &[5, 6][..], NOW);
        assert!(
            !vanished(first, (7, None, page(&[], false, NOW))),
            "from a cache"
        );
        assert!(vanished(first, (7, None, page(&[9], false, NOW))));
    }

    #[tokio::test(start_paused = true)]
    async fn page_is_looked_at_twice_once_an_hour() {
        let (mut watch, now) = (Watch::default(), NOW.parse().unwrap());
        let mut round = |offset: i64, ids: &[i64], more: bool| {
            let sent = watch.offset(&code(), 7, Some(offset));
            watch.came(&code(), 7, sent, &page(ids, more, NOW), now);
            watch.stored(&code(), more);
            sent
        };
        assert_eq!(round(1, &[1], false), Some(1));
        tokio::time::advance(EVERY).await;
        assert_eq!(round(2, &[2], true), Some(2), "more waits");
        assert_eq!(round(3, &[3], false), Some(3));
        assert_eq!(round(4, &[3, 4], false), Some(3), "again");
        assert_eq!(round(5, &[5], false), Some(5));
        tokio::time::advance(EVERY).await;
        assert_eq!(round(6, &[], false), Some(6));
        assert_eq!(round(6, &[6], false), Some(6));
        watch.failed(&code());
        assert_eq!(
            watch.offset(&code(), 7, Some(7)),
            Some(7),
            "not at any price"
        );
    }
}
