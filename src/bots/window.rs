//! Until when Bitrix24 posts answers (C18.5).
//!
//! Each command of a bot in a dialog lets the bot answer there for ten minutes; afterwards Bitrix24
//! answers `true` and posts nothing. A command typed in the private dialog with the bot can be
//! answered for good. So we remember the last command of each bot in each dialog, by the portal's
//! clock, and stop a little earlier than the portal.
//!
//! What was forgotten, or never seen, is [`State::Unknown`]: then the call goes out.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use jiff::Timestamp;

use crate::ids::{DialogId, PortalId};

/// How long answers are posted, less what clocks and the way to the portal may take.
pub const OPEN: Duration = Duration::from_secs(10 * 60 - 15);

/// Dialogs remembered. At about 150 bytes each this bounds the memory to some 15 MB.
const DIALOGS: usize = 100_000;

/// Typed commands remembered per private dialog.
const TYPED: usize = 32;

/// A command as far as the window is concerned.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) portal: PortalId,
    pub(crate) bot_id: i64,
    pub(crate) dialog: DialogId,
    pub(crate) message_id: i64,
    /// By the portal's clock.
    pub(crate) at: Timestamp,
    /// Typed, not a button.
    pub(crate) typed: bool,
}

/// Whether an answer would be posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Open,
    Closed,
    Unknown,
}

#[derive(Debug, Default)]
pub(crate) struct Window {
    dialogs: HashMap<Key, Dialog>,
    /// Keys in order of first sight, for forgetting.
    order: VecDeque<Key>,
}

type Key = (PortalId, i64, DialogId);

#[derive(Debug)]
struct Dialog {
    last: Timestamp,
    typed: VecDeque<i64>,
    /// Older typed commands were forgotten.
    overflown: bool,
}

impl Window {
    /// Notes a command. Order does not matter.
    pub(crate) fn note(&mut self, seen: Seen) {
        let private = seen.dialog.is_private();
        let key = (seen.portal, seen.bot_id, seen.dialog);
        if !self.dialogs.contains_key(&key) {
            if self.order.len() == DIALOGS
                && let Some(oldest) = self.order.pop_front()
            {
                self.dialogs.remove(&oldest);
            }
            self.order.push_back(key.clone());
        }
        let dialog = self.dialogs.entry(key).or_insert(Dialog {
            last: seen.at,
            typed: VecDeque::new(),
            overflown: false,
        });
        dialog.last = dialog.last.max(seen.at);
        if private && seen.typed && !dialog.typed.contains(&seen.message_id) {
            if dialog.typed.len() == TYPED {
                dialog.typed.pop_front();
                dialog.overflown = true;
            }
            dialog.typed.push_back(seen.message_id);
        }
    }

    /// Whether an answer to this message would be posted at `now`, by the portal's clock.
    pub(crate) fn state(
        &self,
        portal: &PortalId,
        bot_id: i64,
        dialog: &DialogId,
        message_id: i64,
        now: Timestamp,
    ) -> State {
        let key = (portal.clone(), bot_id, dialog.clone());
        let Some(dialog) = self.dialogs.get(&key) else {
            return State::Unknown;
        };
        let closes = dialog.last.saturating_add(OPEN).unwrap_or(Timestamp::MAX);
        if now < closes || dialog.typed.contains(&message_id) {
            State::Open
        } else if dialog.overflown {
            State::Unknown
        } else {
            State::Closed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(dialog: &str, message_id: i64, second: i64, typed: bool) -> Seen {
        Seen {
            portal: PortalId::default_portal(),
            bot_id: 7,
            dialog: dialog.parse().unwrap(),
            message_id,
            at: Timestamp::from_second(second).unwrap(),
            typed,
        }
    }

    fn state(window: &Window, dialog: &str, message_id: i64, second: i64) -> State {
        let now = Timestamp::from_second(second).unwrap();
        window.state(
            &PortalId::default_portal(),
            7,
            &dialog.parse().unwrap(),
            message_id,
            now,
        )
    }

    #[test]
    fn window_of_a_chat_closes_fifteen_seconds_early() {
        let mut window = Window::default();
        window.note(seen("chat5", 1, 1000, true));
        assert_eq!(state(&window, "chat5", 1, 1000 + 584), State::Open);
        assert_eq!(state(&window, "chat5", 1, 1000 + 585), State::Closed);
        assert_eq!(state(&window, "chat6", 1, 1000), State::Unknown);
    }

    #[test]
    fn later_command_prolongs_and_earlier_one_does_not_shorten() {
        let mut window = Window::default();
        window.note(seen("chat5", 2, 2000, true));
        window.note(seen("chat5", 1, 1000, true));
        assert_eq!(state(&window, "chat5", 1, 2500), State::Open);
    }

    #[test]
    fn only_a_typed_command_keeps_a_private_dialog_open() {
        let mut window = Window::default();
        window.note(seen("17", 1, 1000, true));
        window.note(seen("17", 2, 1000, false));
        assert_eq!(state(&window, "17", 1, 1_000_000), State::Open);
        assert_eq!(state(&window, "17", 2, 1_000_000), State::Closed);
    }

    #[test]
    fn forgotten_typed_commands_make_a_private_dialog_unknown() {
        let mut window = Window::default();
        for id in 0..=i64::try_from(TYPED).unwrap() {
            window.note(seen("17", id, 1000, true));
        }
        assert_eq!(state(&window, "17", 0, 1_000_000), State::Unknown);
    }

    #[test]
    fn memory_is_bounded() {
        let mut window = Window::default();
        for id in 1..=DIALOGS + 10 {
            window.note(seen(&format!("chat{id}"), 1, 1000, true));
        }
        assert_eq!(window.dialogs.len(), DIALOGS);
        assert_eq!(state(&window, "chat1", 1, 1000), State::Unknown);
    }
}
