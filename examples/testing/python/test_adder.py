"""The example bot `../../python/bot.py`, tested as its users know it."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

BOT = [sys.executable, Path(__file__).resolve().parents[2] / "python" / "bot.py"]


@pytest.fixture
def adder(bitrix24):
    bitrix24.start_bot(BOT)
    return bitrix24.bot("example-python", commands=["sum"])


def test_user_types_a_command_and_the_bot_answers(bitrix24, adder):
    anna = bitrix24.user("Anna")
    anna.types("/sum 2 3", to=adder)
    adder.answered("2 + 3 = 5")


def test_everybody_in_a_group_chat_reads_the_answer(bitrix24, adder):
    anna, ben = bitrix24.user("Anna"), bitrix24.user("Ben")
    chat = bitrix24.chat("Numbers", anna, ben, adder)
    ben.types("/sum 20 30", to=chat)
    chat.wait_for_answer("20 + 30 = 50")
    anna.types("/sum words", to=chat)
    assert chat.wait_for_answer()["text"].startswith("I add whole numbers")


def test_bot_answers_after_the_portal_failed_once(bitrix24, adder):
    bitrix24.fails_once("imbot.v2.Command.answer")
    chat = bitrix24.user("Anna").chat_with(adder)
    chat.types("/sum 2 3")
    chat.wait_for_answer("2 + 3 = 5")
    assert [call["status"] for call in bitrix24.requests("imbot.v2.Command.answer")] == [503, 200]


def test_bot_answers_once_although_an_answer_was_lost(bitrix24, adder):
    bitrix24.loses_answer_once("imbot.v2.Command.answer")
    chat = bitrix24.user("Anna").chat_with(adder)
    chat.types("/sum 2 3")
    chat.types("/sum 4 5")
    chat.wait_for_answer("4 + 5 = 9")
    assert [answer["text"] for answer in chat.answers()] == ["2 + 3 = 5", "4 + 5 = 9"]


def test_button_runs_the_command_it_stands_for(bitrix24, adder):
    anna = bitrix24.user("Anna")
    button = {"TEXT": "Again", "COMMAND": "sum", "COMMAND_PARAMS": "2 3"}
    posts_keyboard(bitrix24, adder, anna, [button])
    anna.presses("Again", on=adder.answered("More?"))
    adder.answered("2 + 3 = 5")


def posts_keyboard(bitrix24, bot, user, buttons):
    """The adder has no buttons, so they are posted in its name."""
    own = {"botId": bot.id, "botToken": bitrix24.portal.get(f"bots/{bot.id}")["token"]}
    fields = {"message": "More?", "keyboard": {"BUTTONS": buttons}}
    user.chat_with(bot)
    bitrix24.call("imbot.v2.Chat.Message.send", **own, dialogId=str(user.id), fields=fields)


def test_bot_resumes_after_the_gateway_was_killed(bitrix24, adder):
    chat = bitrix24.user("Anna").chat_with(adder)
    chat.types("/sum 2 3")
    chat.wait_for_answer("2 + 3 = 5")
    bitrix24.kill_gateway()
    chat.types("/sum 20 30")
    bitrix24.restart_gateway()
    chat.wait_for_answer("20 + 30 = 50")
    assert [answer["text"] for answer in chat.answers()] == ["2 + 3 = 5", "20 + 30 = 50"]


def test_two_portals_do_not_see_each_other(make_bitrix24):
    def story(number):
        bitrix24 = make_bitrix24()
        bitrix24.start_bot(BOT)
        chat = bitrix24.user("Anna").chat_with(bitrix24.bot("example-python", commands=["sum"]))
        chat.types(f"/sum {number} 1")
        chat.wait_for_answer(f"{number} + 1 = {number + 1}")
        return [answer["text"] for answer in chat.answers()]

    with ThreadPoolExecutor() as pool:
        assert list(pool.map(story, [1, 2])) == [["1 + 1 = 2"], ["2 + 1 = 3"]]


@pytest.mark.bitrix24(portal={"language": "de"}, gateway={"polling.busy_pause": "150ms"})
def test_a_wait_that_fails_tells_what_the_chat_contains(bitrix24, adder):
    chat = bitrix24.user("Anna").chat_with(adder)
    chat.types("/sum 2 3")
    chat.wait_for_answer("2 + 3 = 5")
    with pytest.raises(AssertionError) as failure:
        chat.wait_for_answer("6", timeout=0.1)
    assert str(failure.value).splitlines() == [
        "after 0.1 s: no answer '6'",
        "the chat 'Anna and Adder' contains",
        "  Anna: /sum 2 3",
        "  Adder: 2 + 3 = 5",
    ]
