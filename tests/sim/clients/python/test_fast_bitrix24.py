"""fast_bitrix24: everything goes through batches, by names in lower case.

It treats what a portal says by HTTP status alone: 5xx is tried again, 401 asks for a new token,
anything else is an error. Waiting is its own affair.
"""

import asyncio
import warnings

import aiohttp
import pytest
from fast_bitrix24 import Bitrix, BitrixAsync
from fast_bitrix24.server_response import ErrorInServerResponseException

TOKEN = "a" * 32
BOT = {"code": "support", "botToken": TOKEN, "properties": {"name": "Support"}}


def client_of(portal, **options):
    return Immediate(BitrixAsync(portal.webhook_url, verbose=False, **options))


class Immediate:
    """The asynchronous client, each call run to its end."""

    def __init__(self, client):
        self.client = client

    def __getattr__(self, name):
        return lambda *args, **kwargs: asyncio.run(getattr(self.client, name)(*args, **kwargs))


@pytest.fixture
def client(portal):
    return client_of(portal)


@pytest.fixture
def bot_id(client):
    return client.call("imbot.v2.Bot.register", {"fields": BOT}, raw=True)["result"]["bot"]["id"]


def test_a_raw_call_is_json_and_its_method_in_lower_case(client, portal):
    assert client.call("Profile", {}, raw=True)["result"]["ID"] == "1"
    [request] = portal.requests()
    assert (request["method"], request["encoding"]) == ("profile", "json")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_synchronous_client_calls_too(portal):
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        bitrix = Bitrix(portal.webhook_url, verbose=False)
        assert "imbot" in bitrix.call("scope", {}, raw=True)["result"]
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def test_a_call_travels_as_a_batch_of_one(client, portal, bot_id):
    [(key, answer)] = client.call("imbot.v2.Bot.get", {"botId": bot_id, "botToken": TOKEN}).items()
    assert answer["bot"]["id"] == bot_id
    [inner] = portal.requests("imbot.v2.Bot.get")
    assert inner["encoding"] == "batch_entry"
    assert inner["params"]["__order"] == key


def test_calls_of_a_list_answer_in_its_order(client, bot_id):
    commands = [
        {"botId": bot_id, "botToken": TOKEN, "fields": {"command": name, "title": {"en": name.title()}}}
        for name in ("help", "about", "stop")
    ]
    answers = client.call("imbot.v2.Command.register", commands)
    assert [answer["command"] for answer in answers] == ["/help", "/about", "/stop"]


def test_more_calls_than_fit_become_several_batches(client, portal):
    answers = client.call("profile", [{} for _ in range(70)])
    assert len(answers) == 70
    assert len(portal.requests("batch")) == 2


def test_entities_are_fetched_by_id(client, bot_id):
    second = client.call("imbot.v2.Bot.register", {"fields": {**BOT, "code": "other"}}, raw=True)
    ids = [bot_id, second["result"]["bot"]["id"]]
    bots = client.get_by_ID("imbot.v2.Bot.get", ids, ID_field_name="botId", params={"botToken": TOKEN})
    assert {int(id): bot["bot"]["code"] for id, bot in bots.items()} == {ids[0]: "support", ids[1]: "other"}


def test_a_list_without_a_total_is_one_page(client, bot_id):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        page = client.get_all("imbot.v2.Bot.list", {"botToken": TOKEN})
    assert [bot["id"] for bot in page["bots"]] == [bot_id]


def test_a_batch_refers_to_what_it_made(client, portal):
    result = client.call_batch(
        {
            "halt": 0,
            "cmd": {
                "bot": "imbot.v2.Bot.register?fields[code]=support&fields[properties][name]=Support"
                f"&fields[botToken]={TOKEN}",
                "sent": f"imbot.v2.Chat.Message.send?botId=$result[bot][bot][id]&botToken={TOKEN}"
                "&dialogId=1&fields[message]=I%20am%20$result[bot][bot][code]",
            },
        }
    )
    message = portal.get(f"messages/{result['sent']['id']}")
    assert message["text"] == "I am support"


def test_an_error_in_a_batch_is_an_exception_with_its_code(client):
    with pytest.raises(ErrorInServerResponseException) as refused:
        client.call("imbot.v2.Bot.get", [{"botId": 99999, "botToken": TOKEN}])
    [error] = refused.value.args[0].values()
    assert error["error"] == "BOT_NOT_FOUND"


@pytest.mark.parametrize(
    ("method", "params", "status"),
    [
        ("imbot.v2.Bot.dance", {}, 404),
        ("imbot.v2.Bot.get", {"botId": 1}, 400),
    ],
)
def test_a_refused_raw_call_is_known_by_its_status(client, method, params, status):
    with pytest.raises(aiohttp.ClientResponseError) as refused:
        client.call(method, params, raw=True)
    assert refused.value.status == status


def test_a_full_bucket_is_waited_out(make_portal, simulation):
    portal = make_portal(limits={"threshold": 3})
    client = client_of(portal)
    with simulation.still_until_refused(portal):
        for _ in range(4):
            assert client.call("profile", {}, raw=True)["result"]["ID"] == "1"
    statuses = [request["status"] for request in portal.requests("profile")]
    assert statuses.count(200) == 4
    assert statuses[3] == 503


def test_a_bucket_kept_in_mind_never_overflows_where_it_drains_without_steps(make_portal):
    portal = make_portal(limits={"threshold": 3, "continuous_drain": True})
    client = client_of(portal, request_pool_size=3, requests_per_second=2.0)

    async def six():
        return [await client.client.call("profile", {}, raw=True) for _ in range(6)]

    assert len(asyncio.run(six())) == 6
    assert {request["status"] for request in portal.requests("profile")} == {200}


def test_a_spent_operating_limit_is_an_error(make_portal):
    portal = make_portal(limits={"operating_limit_ms": 1000, "execution_time_ms": 1200})
    client = client_of(portal)
    client.call("profile", {}, raw=True)
    with pytest.raises(aiohttp.ClientResponseError) as refused:
        client.call("profile", {}, raw=True)
    assert refused.value.status == 429


@pytest.mark.parametrize("kind", ["reset", "html", "cut"])
def test_trouble_on_the_way_is_tried_again(portal, kind):
    portal.fault(kind)
    assert client_of(portal).call("profile", {}, raw=True)["result"]["ID"] == "1"


def test_a_refused_token_is_renewed_and_the_call_repeated(portal):
    client_id = portal.post("applications")["client_id"]
    pair = portal.post(f"applications/{client_id}/install")
    asked = []

    async def token():
        asked.append(len(asked))
        if len(asked) == 1:
            return pair["access_token"]
        return portal.post(f"applications/{client_id}/tokens")["access_token"]

    client = Immediate(BitrixAsync(f"{portal.address}/rest/", token_func=token, verbose=False))
    assert client.call("profile", {}, raw=True)["result"]["ID"] == "1"
    portal.post(f"applications/{client_id}/expire")
    assert client.call("profile", {}, raw=True)["result"]["ID"] == "1"
    assert len(asked) == 2
    assert [request["status"] for request in portal.requests("profile")] == [200, 401, 200]


def test_a_moved_portal_is_followed_without_the_body(portal):
    # The client follows by GET, as HTTP libraries do; what it meant to send stays behind.
    client = client_of(portal)
    portal.post("rename")
    with pytest.raises(aiohttp.ClientResponseError) as refused:
        client.call("imbot.v2.Bot.register", {"fields": BOT}, raw=True)
    assert refused.value.status == 400
    turned_away, followed = portal.requests("imbot.v2.Bot.register")
    assert (turned_away["status"], turned_away["encoding"]) == (302, "json")
    assert (followed["encoding"], followed["params"]) == ("query", {})
