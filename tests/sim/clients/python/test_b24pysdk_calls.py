"""b24pysdk with an incoming webhook: single calls, batches, limits."""

import pytest
from b24pysdk import BitrixWebhook
from b24pysdk.errors import (
    BitrixAPIMethodNotAllowed,
    BitrixAPIOperationTimeLimit,
    BitrixAPIQueryLimitExceeded,
)
from b24pysdk.schemas.app import AppInfoWebhook

TOKEN = "a" * 32
BOT = {"code": "support", "botToken": TOKEN, "properties": {"name": "Support"}}


@pytest.fixture
def webhook(portal):
    return webhook_of(portal)


@pytest.fixture
def client(webhook):
    return webhook.get_client()


@pytest.fixture
def bot_id(client):
    return client.imbot.v2.bot.register(BOT).result["bot"]["id"]


def webhook_of(portal):
    return BitrixWebhook(domain=portal.host, webhook_token=portal.webhook_token)


def test_the_profile_is_read_into_the_model(client):
    profile = client.profile().response.value
    assert (profile.bitrix_id, profile.admin) == (1, True)


def test_the_scopes_are_a_list_of_names(client):
    assert "imbot" in client.scope().result
    assert "crm" in client.scope(full=True).result


def test_app_info_of_a_webhook_is_scope_and_license(client):
    info = client.app.info().response.value
    assert isinstance(info, AppInfoWebhook)
    assert "imbot" in info.scope


def test_the_time_of_the_server_is_a_date_with_an_offset(client, simulation):
    time = client.server.time().response.value
    assert time.utcoffset() is not None
    assert time.timestamp() == pytest.approx(simulation.get("clock")["now"], abs=30)


def test_the_time_of_a_call_is_read_into_the_model(make_portal):
    client = webhook_of(make_portal(limits="default")).get_client()
    time = client.server.time().response.time
    assert time.start <= time.finish
    assert time.operating is not None
    assert time.operating_reset_at.tzinfo is not None


def test_a_single_call_is_json_with_a_suffix_and_needs_no_parameters(client, portal):
    client.profile().call()
    [request] = portal.requests("profile")
    assert (request["encoding"], request["params"]) == ("json", {})


def test_a_method_is_known_or_not(webhook):
    known = webhook.call_method("method.get", {"name": "imbot.v2.bot.register"})["result"]
    unknown = webhook.call_method("method.get", {"name": "imbot.v2.bot.dance"})["result"]
    assert known == {"isExisting": True, "isAvailable": True}
    assert unknown == {"isExisting": False, "isAvailable": False}


def test_a_bot_with_a_command_is_made_by_typed_calls(client, portal, bot_id):
    command = client.imbot.v2.command.register(
        bot_id=bot_id,
        bot_token=TOKEN,
        fields={"command": "help", "title": {"en": "Help"}, "common": True},
    ).result["command"]
    assert (command["botId"], command["command"]) == (bot_id, "/help")
    [listed] = client.imbot.v2.command.list(bot_id=bot_id, bot_token=TOKEN).result["commands"]
    assert listed["id"] == command["id"]
    assert portal.get("bots")["bots"][0]["code"] == "support"


def test_a_typed_command_is_heard_and_answered(client, portal, bot_id):
    anna = portal.post("users", first_name="Anna")["id"]
    chat = portal.post("chats", title="Support", members=[1, anna])
    portal.post(f"chats/{chat['id']}/bots", bot_id=bot_id)
    command = client.imbot.v2.command.register(
        bot_id=bot_id, bot_token=TOKEN, fields={"command": "help", "title": {"en": "Help"}}
    ).result["command"]
    portal.post(f"users/{anna}/types", dialog=chat["dialog_id"], text="/help me")

    events = client.imbot.v2.event.get(bot_id=bot_id, bot_token=TOKEN).result
    [event] = [event for event in events["events"] if event["type"] == "ONIMBOTV2COMMANDADD"]
    assert event["data"]["command"]["params"] == "me"
    answer = client.imbot.v2.command.answer(
        bot_id=bot_id,
        bot_token=TOKEN,
        command_id=command["id"],
        message_id=event["data"]["message"]["id"],
        dialog_id=event["data"]["chat"]["dialogId"],
        fields={"message": "Here I am"},
    ).result
    assert answer in (True, {"result": True})
    again = client.imbot.v2.event.get(
        bot_id=bot_id, bot_token=TOKEN, offset=events["nextOffset"], limit=10
    ).result
    assert again["events"] == []
    assert portal.get("messages", dialog=chat["dialog_id"])["messages"][-1]["text"] == "Here I am"


def test_a_list_of_one_page_is_read_to_its_end(client, portal, bot_id):
    bots = client.imbot.v2.bot.list(bot_token=TOKEN).as_list().result
    assert [bot["id"] for bot in bots] == [bot_id]
    assert len(portal.requests("imbot.v2.Bot.list")) == 1


def test_a_batch_of_named_calls_gives_results_by_name(client, bot_id):
    result = client.call_batch(
        {
            "me": client.profile(),
            "bot": client.imbot.v2.bot.get(bot_id=bot_id, bot_token=TOKEN),
        }
    ).response.result
    assert result.result["me"]["ID"] == "1"
    assert result.result["bot"]["bot"]["id"] == bot_id
    assert result.result_error == []
    assert set(result.result_time) == {"me", "bot"}


def test_a_batch_without_names_gives_results_by_position(client):
    result = client.call_batch([client.scope(), client.server.time()]).response.result
    assert "imbot" in result.result[0]
    assert len(result.result_time) == 2


def test_a_batch_keeps_the_results_beside_an_error(webhook, bot_id):
    answer = webhook.call_batch(
        [
            ("imbot.v2.Bot.get", {"botId": bot_id, "botToken": TOKEN}),
            ("imbot.v2.Bot.get", {"botId": 99999, "botToken": TOKEN}),
            ("profile", None),
        ]
    )["result"]
    assert set(answer["result"]) == {"0", "2"}
    assert answer["result_error"]["1"]["error"] == "BOT_NOT_FOUND"


def test_a_halted_batch_has_nothing_after_the_error(webhook):
    answer = webhook.call_batch(
        {"before": ("scope", {}), "bad": ("no.such", {}), "after": ("scope", {})}, halt=True
    )["result"]
    assert set(answer["result"]) == {"before"}
    assert set(answer["result_error"]) == {"bad"}


def test_a_batch_refers_to_what_it_made(webhook, portal):
    answer = webhook.call_batch(
        {
            "bot": ("imbot.v2.Bot.register", {"fields": BOT}),
            "command": (
                "imbot.v2.Command.register",
                {
                    "botId": "$result[bot][bot][id]",
                    "botToken": TOKEN,
                    "fields": {"command": "hi", "title": {"en": "Greets & more, 100%", "de": "Grüßt"}},
                },
            ),
            "message": (
                "imbot.v2.Chat.Message.send",
                {
                    "botId": "$result[bot][bot][id]",
                    "botToken": TOKEN,
                    "dialogId": "1",
                    "fields": {"message": "I am $result[bot][bot][code] + [b]you[/b]"},
                },
            ),
        }
    )["result"]
    assert answer["result_error"] == []
    bot_id = answer["result"]["bot"]["bot"]["id"]
    assert answer["result"]["command"]["command"]["botId"] == bot_id
    [command] = portal.get(f"bots/{bot_id}/commands")["commands"]
    assert dict(command["titles"]) == {"en": "Greets & more, 100%", "de": "Grüßt"}
    sent = portal.get(f"messages/{answer['result']['message']['id']}")
    assert sent["text"] == "I am support + [b]you[/b]"


def test_many_calls_become_several_batches(client, portal):
    result = client.call_batches([client.scope() for _ in range(120)]).response.result
    assert len(result.result) == 120
    assert len(portal.requests("batch")) == 3


def test_a_batch_in_a_batch_is_not_allowed(webhook):
    answer = webhook.call_batch({"inner": ("batch", {"cmd": ["profile"]})})["result"]
    assert answer["result_error"]["inner"]["error"] == "ERROR_BATCH_METHOD_NOT_ALLOWED"


def test_a_full_bucket_lets_the_call_through_after_the_usual_wait(make_portal, simulation):
    portal = make_portal(limits={"threshold": 3})
    client = webhook_of(portal).get_client()
    with simulation.still_until_refused(portal):
        for _ in range(4):
            assert client.server.time().result
    statuses = [request["status"] for request in portal.requests("server.time")]
    assert statuses.count(200) == 4
    assert statuses[3] == 503


def test_a_bucket_that_stays_full_is_an_error_after_three_attempts(make_portal):
    portal = make_portal(limits={"threshold": 0})
    with pytest.raises(BitrixAPIQueryLimitExceeded) as refused:
        webhook_of(portal).call_method("profile", initial_retry_delay=0.01, retry_delay_increment=0)
    assert refused.value.status_code == 503
    assert len(portal.requests("profile")) == 3


@pytest.mark.parametrize("status", ["too_many_requests", "unauthorized"])
def test_a_full_bucket_is_known_by_its_code_under_every_status(make_portal, status):
    portal = make_portal(limits={"threshold": 0}, quirks={"rate_limit_status": status})
    with pytest.raises(BitrixAPIQueryLimitExceeded):
        webhook_of(portal).call_method("profile")
    assert len(portal.requests("profile")) == 1


def test_a_spent_operating_limit_blocks_one_method_until_the_told_moment(make_portal, simulation):
    portal = make_portal(limits={"operating_limit_ms": 1000, "execution_time_ms": 600})
    client = webhook_of(portal).get_client()
    assert client.profile().response.time.operating == pytest.approx(0.6, abs=0.01)
    last = client.profile().response.time
    assert last.operating == pytest.approx(1.2, abs=0.01)
    with pytest.raises(BitrixAPIOperationTimeLimit) as refused:
        client.profile().call()
    assert refused.value.status_code == 429
    assert "time" not in refused.value.json_response
    assert client.scope().result

    simulation.advance((last.operating_reset_at.timestamp() - last.finish) + 1)
    assert client.profile().result["ID"] == "1"


def test_a_spent_operating_limit_fails_its_command_in_a_batch_alone(make_portal):
    portal = make_portal(limits={"operating_limit_ms": 1000, "execution_time_ms": 1200})
    client = webhook_of(portal).get_client()
    client.profile().call()
    result = client.call_batch({"profile": client.profile(), "scope": client.scope()}).response.result
    assert result.result_error["profile"]["error"] == "OPERATION_TIME_LIMIT"
    assert "imbot" in result.result["scope"]
