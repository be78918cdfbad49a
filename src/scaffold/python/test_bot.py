"""The bot as people know it, against the real gateway and a simulated Bitrix24."""

import sys
from pathlib import Path

import pytest

BOT = [sys.executable, Path(__file__).resolve().parent / "bot.py"]


@pytest.fixture
def bot(bitrix24):
    bitrix24.start_bot(BOT)
    return bitrix24.bot("@BOT@", commands=["hello"])


def test_bot_says_hello(bitrix24, bot):
    bitrix24.user("Anna").types("/hello Anna", to=bot)
    bot.answered("Hello, Anna!")


def test_bot_answers_once_although_an_answer_was_lost(bitrix24, bot):
    bitrix24.loses_answer_once("imbot.v2.Command.answer")
    chat = bitrix24.user("Anna").chat_with(bot)
    chat.types("/hello one")
    chat.types("/hello two")
    chat.wait_for_answer("Hello, two!")
    assert [answer["text"] for answer in chat.answers()] == ["Hello, one!", "Hello, two!"]
