//! Reactions of bots (C20.6).

use serde_json::Value;

use super::common::{done, int, owned_bot, text};
use super::message::denied;
use crate::core::Call;
use crate::failure::Failure;
use crate::state::State;

/// The reactions there are.
const KNOWN: [&str; 48] = [
    "like",
    "dislike",
    "faceWithTearsOfJoy",
    "redHeart",
    "neutralFace",
    "fire",
    "cry",
    "slightlySmilingFace",
    "winkingFace",
    "laugh",
    "kiss",
    "wonder",
    "slightlyFrowningFace",
    "loudlyCryingFace",
    "faceWithStuckOutTongue",
    "faceWithStuckOutTongueAndWinkingEye",
    "smilingFaceWithSunglasses",
    "confusedFace",
    "flushedFace",
    "thinkingFace",
    "angry",
    "smilingFaceWithHorns",
    "faceWithThermometer",
    "facepalm",
    "poo",
    "flexedBiceps",
    "clappingHands",
    "raisedHand",
    "smilingFaceWithHeartEyes",
    "smilingFaceWithHearts",
    "pleadingFace",
    "relievedFace",
    "foldedHands",
    "okHand",
    "signHorns",
    "loveYouGesture",
    "clownFace",
    "partyingFace",
    "questionMark",
    "exclamationMark",
    "lightBulb",
    "bomb",
    "sleepingSymbol",
    "crossMark",
    "whiteHeavyCheckMark",
    "eyes",
    "handshake",
    "hundredPoints",
];

pub(super) fn add(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let (bot_id, message_id, reaction) = named(state, call)?;
    let refuses_repeat = state.quirks.repeated_reaction_is_refused;
    let Some(message) = state.messages.get_mut(&message_id) else {
        return Err(denied());
    };
    let wanted = (bot_id, reaction);
    if refuses_repeat && message.reactions.contains(&wanted) {
        let description = "Reaction is already set";
        return Err(Failure::method("REACTION_ALREADY_SET", description));
    }
    // A bot has one reaction to a message: earlier ones go.
    message.reactions.retain(|(who, _)| *who != bot_id);
    let reaction = wanted.1.clone();
    message.reactions.push(wanted);
    state.journal.ring();
    state.raise_reaction(message_id, bot_id, &reaction, "add", call.now);
    Ok(done())
}

pub(super) fn delete(state: &mut State, call: &Call<'_>) -> Result<Value, Failure> {
    let (bot_id, message_id, reaction) = named(state, call)?;
    let Some(message) = state.messages.get_mut(&message_id) else {
        return Err(denied());
    };
    let before = message.reactions.len();
    message
        .reactions
        .retain(|(who, what)| *who != bot_id || *what != reaction);
    if message.reactions.len() == before {
        return Err(not_found());
    }
    state.journal.ring();
    state.raise_reaction(message_id, bot_id, &reaction, "delete", call.now);
    Ok(done())
}

/// The bot, a message of a chat it is in, and a known reaction.
fn named(state: &State, call: &Call<'_>) -> Result<(i64, i64, String), Failure> {
    let bot_id = owned_bot(state, call)?;
    let params = call.params.fields();
    let message_id = int(&params, "messageId")?;
    let reaction = text(&params, "reaction")?;
    let message = state.messages.get(&message_id).ok_or_else(denied)?;
    let chat = state.chats.get(&message.chat_id);
    if !chat.is_some_and(|chat| chat.has(bot_id)) {
        return Err(denied());
    }
    if KNOWN.contains(&reaction.as_str()) {
        Ok((bot_id, message_id, reaction))
    } else {
        Err(not_found())
    }
}

fn not_found() -> Failure {
    Failure::method("REACTION_NOT_FOUND", "Reaction not found")
}
