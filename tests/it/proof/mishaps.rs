//! What goes wrong on the way, at random.
//!
//! Only what Bitrix24 or a network can do: an error that says "surely not executed" never follows an
//! effect (C4).

use std::time::Duration;

use bitrix24_sim::{Fault, Faults};

use super::dice::Dice;

const METHODS: [&str; 20] = [
    "batch",
    "batch",
    "batch",
    "batch",
    "batch",
    "imbot.v2.Command.answer",
    "imbot.v2.Command.answer",
    "imbot.v2.Chat.Message.send",
    "imbot.v2.Chat.Message.send",
    "imbot.v2.Chat.Message.update",
    "imbot.v2.Chat.Message.update",
    "imbot.v2.Chat.Message.update",
    "imbot.v2.Chat.Message.delete",
    "imbot.v2.Chat.InputAction.notify",
    "imbot.v2.Command.register",
    "imbot.v2.Command.update",
    "imbot.v2.Command.unregister",
    "imbot.v2.Bot.update",
    "imbot.v2.Event.get",
    "im.message.command",
];

/// Lays one mishap in the way. Those that nobody met for long make room.
pub(super) fn happen(faults: &Faults, dice: &mut Dice) {
    if faults.waiting() > 10 {
        faults.clear();
    }
    let method = *dice.pick(&METHODS);
    faults.on(method, mishap(method, dice));
}

fn mishap(method: &str, dice: &mut Dice) -> Fault {
    if method != "batch" && dice.chance(40) {
        // These meet the method inside a batch as well, and then fail it alone.
        return error(dice);
    }
    match dice.below(20) {
        0 | 1 => Fault::reset(),
        2 | 3 => Fault::reset().after_effect(),
        4 => Fault::hang(),
        5 => Fault::hang().after_effect(),
        6 => Fault::cut_body(),
        7 => Fault::drip(64, dice.millis(20, 4_000)),
        // Longer than the patience of many, who may ask for something else meanwhile.
        8 | 13..=15 => Fault::latency(dice.millis(500, 12_000)),
        9 => Fault::latency(dice.millis(100, 10_000)).after_effect(),
        10 => page(*dice.pick(&[500, 502, 504, 404]), dice),
        // A proxy that lets nothing through.
        11 => Fault::html(403),
        12 => {
            let bodies = ["", "{}", "{\"result\":", "[]", "null", "\u{feff}?"];
            let json = [("content-type", "application/json")];
            perhaps_after(Fault::raw(200, &json, *dice.pick(&bodies)), dice)
        }
        _ => error(dice),
    }
}

fn page(status: u16, dice: &mut Dice) -> Fault {
    perhaps_after(Fault::html(status), dice)
}

fn perhaps_after(fault: Fault, dice: &mut Dice) -> Fault {
    if dice.chance(50) {
        fault.after_effect()
    } else {
        fault
    }
}

fn error(dice: &mut Dice) -> Fault {
    // Bans the method for five minutes, so it is rare.
    if dice.below(120) == 0 {
        return Fault::error(429, "OPERATION_TIME_LIMIT", "Method is blocked");
    }
    let (status, code) = *dice.pick(&[
        (503, "QUERY_LIMIT_EXCEEDED"),
        (429, "QUERY_LIMIT_EXCEEDED"),
        (401, "CONNECTION_ERROR"),
        (403, "INVALID_CREDENTIALS"),
        (401, "NO_AUTH_FOUND"),
        (401, "METHOD_CONFIRM_WAITING"),
        (403, "insufficient_scope"),
        (400, "ERROR_ARGUMENT"),
        (400, "SOMETHING_NEW"),
        (400, "ACCESS_DENIED"),
        (404, "ERROR_METHOD_NOT_FOUND"),
        (500, "INTERNAL_SERVER_ERROR"),
        (500, "INTERNAL_SERVER_ERROR"),
        (500, "INTERNAL_SERVER_ERROR"),
        (500, "INTERNAL_SERVER_ERROR"),
        (500, "ERROR_UNEXPECTED_ANSWER"),
        (400, "ERROR_CORE"),
    ]);
    let fault = Fault::error(status, code, "So it is");
    match code {
        // Nobody can tell whether these ran.
        "INTERNAL_SERVER_ERROR" | "ERROR_UNEXPECTED_ANSWER" | "ERROR_CORE" => {
            perhaps_after(fault, dice)
        }
        _ => fault,
    }
}

/// Time until the next one.
pub(super) fn pause(dice: &mut Dice) -> Duration {
    dice.millis(50, 1_500)
}
