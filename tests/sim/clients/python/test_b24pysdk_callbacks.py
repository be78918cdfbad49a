"""What a portal posts to an application, read by the models of b24pysdk.

The models take no callback without `event_handler_id` and no token without `expires`, so the
portal posts both here (`posts_are_complete`); documented samples have neither.
"""

import pytest
from b24pysdk import BitrixApp, BitrixToken
from b24pysdk.constants import B24AppStatus
from b24pysdk.credentials import OAuthEventData, OAuthPlacementData
from receiver import Receiver

DOMAIN = "acme.bitrix24.com"
SERVER = "oauth.bitrix24.tech"


class Listening:
    """An application with a web server, in a portal with a name."""

    def __init__(self, portal, receiver, **settings):
        facts = portal.post("applications", handler_url=receiver.address, **settings)
        self.portal = portal
        self.receiver = receiver
        self.application_token = facts["application_token"]
        self.app = BitrixApp(client_id=facts["client_id"], client_secret=facts["client_secret"])

    def does(self, action, **body):
        return self.portal.post(f"applications/{self.app.client_id}/{action}", **body)

    def hears(self):
        return OAuthEventData.from_dict(self.receiver.next())


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.stop()


@pytest.fixture
def portal(make_portal, simulation, tunnel):
    portal = make_portal(domain=DOMAIN, quirks={"posts_are_complete": True})
    tunnel.route(DOMAIN, portal.address)
    tunnel.route(SERVER, simulation.oauth_address)
    return portal


@pytest.fixture
def listening(portal, receiver):
    return Listening(portal, receiver)


@pytest.fixture
def token(listening):
    """The token that came with the installation."""
    listening.does("install")
    return BitrixToken.from_oauth_event_data(listening.hears(), bitrix_app=listening.app)


def test_an_installation_brings_a_token_that_works(listening, portal):
    listening.does("install")
    event = listening.hears()
    assert (event.event, event.is_system) == ("ONAPPINSTALL", False)
    assert event.data["LANGUAGE_ID"] == "en"
    assert (event.auth.member_id, event.auth.domain) == (portal.member_id, DOMAIN)
    assert (event.auth.status, event.auth.user_id) == (B24AppStatus.LOCAL, 1)
    assert event.auth.application_token == listening.application_token
    token = BitrixToken.from_oauth_event_data(event, bitrix_app=listening.app)
    assert token.call_method("profile")["result"]["ID"] == "1"
    token.refresh_and_set_oauth_token()
    assert token.call_method("profile")["result"]["ID"] == "1"


def test_an_installation_is_confirmed_by_the_authorization_server(listening):
    listening.does("install")
    event = listening.hears()
    info = event.get_app_info(listening.app)
    assert info.client_id == listening.app.client_id
    assert event.validate_against_app_info(info)


def test_a_forged_installation_is_not_confirmed(listening):
    listening.does("install")
    posted = listening.receiver.next()
    forged = OAuthEventData.from_dict({**posted, "auth[member_id]": "0" * 32})
    with pytest.raises(OAuthEventData.ValidationError):
        forged.validate_against_app_info(forged.get_app_info(listening.app))


@pytest.mark.parametrize("missing", ["event_handler_id", "auth[expires]"])
def test_a_sample_of_the_documentation_is_refused_by_the_model(listening, missing):
    listening.does("install")
    posted = listening.receiver.next()
    del posted[missing]
    with pytest.raises(OAuthEventData.ValidationError):
        OAuthEventData.from_dict(posted)


def test_an_update_brings_a_new_application_token(listening, token):
    listening.does("update", new_token=True)
    event = listening.hears()
    assert (event.event, event.data["PREVIOUS_VERSION"]) == ("ONAPPUPDATE", "1")
    assert event.auth.application_token != listening.application_token
    assert not event.is_system


def test_an_uninstallation_is_a_system_event_without_tokens(listening, token):
    token.call_method("event.bind", {"event": "ONAPPUNINSTALL", "handler": listening.receiver.address})
    listening.does("uninstall", clean=True)
    event = listening.hears()
    assert (event.event, event.is_system) == ("ONAPPUNINSTALL", True)
    assert event.data["CLEAN"] == "1"
    assert event.auth.application_token == listening.application_token
    with pytest.raises(ValueError, match="OAuth token"):
        BitrixToken.from_oauth_event_data(event, bitrix_app=listening.app)


def test_a_confirmation_tells_who_asked(listening, token):
    token.call_method("event.bind", {"event": "ONAPPMETHODCONFIRM", "handler": listening.receiver.address})
    listening.does("require_confirmation", method="scope")
    with pytest.raises(Exception, match="onfirm"):
        token.call_method("scope")
    listening.does("confirm", method="scope")
    event = listening.hears()
    assert (event.event, event.data["METHOD"], event.data["CONFIRMED"]) == ("ONAPPMETHODCONFIRM", "scope", "1")
    assert event.data["TOKEN"] == token.auth_token
    assert token.call_method("scope")["result"]


def test_bound_handlers_are_listed(listening, token):
    client = token.get_client()
    assert client.event.bind(event="ONAPPUPDATE", handler=listening.receiver.address).result is True
    [bound] = client.event.get().result
    assert (bound["event"], bound["handler"]) == ("ONAPPUPDATE", listening.receiver.address)
    assert client.event.unbind(event="ONAPPUPDATE", handler=listening.receiver.address).result == {"count": 1}
    assert client.event.get().result == []


def test_a_bot_hears_by_post_and_answers_with_the_token_it_got(listening, token, portal):
    bots = token.get_client().imbot.v2
    bot = {"code": "support", "properties": {"name": "Support"}, "eventMode": "webhook"}
    bot_id = bots.bot.register({**bot, "webhookUrl": listening.receiver.address}).result["bot"]["id"]
    command = {"command": "help", "title": {"en": "Help"}}
    command_id = bots.command.register(bot_id=bot_id, fields=command).result["command"]["id"]
    anna = portal.post("users", first_name="Anna")["id"]
    chat = portal.post("chats", title="Support", members=[1, anna])
    portal.post(f"chats/{chat['id']}/bots", bot_id=bot_id)
    assert listening.hears().event == "ONIMBOTV2JOINCHAT"

    portal.post(f"users/{anna}/types", dialog=chat["dialog_id"], text="/help me & you")
    event = listening.hears()
    assert (event.event, event.auth.user_id) == ("ONIMBOTV2COMMANDADD", anna)
    data = event.data
    assert (data["bot"]["code"], data["command"]["params"]) == ("support", "me & you")
    acting = BitrixToken.from_oauth_event_data(event, bitrix_app=listening.app)
    acting.get_client().imbot.v2.command.answer(
        bot_id=int(data["bot"]["id"]),
        command_id=int(data["command"]["id"]),
        message_id=int(data["message"]["id"]),
        dialog_id=data["chat"]["dialogId"],
        fields={"message": "Here I am"},
    ).call()
    assert int(data["command"]["id"]) == command_id
    assert portal.get("messages", dialog=chat["dialog_id"])["messages"][-1]["text"] == "Here I am"


def test_an_opened_page_is_read_into_the_model(portal, receiver):
    listening = Listening(portal, receiver, page_url=receiver.address)
    listening.does("install")
    receiver.next()
    listening.does("open_page")
    frame = OAuthPlacementData.from_dict(receiver.next())
    assert (frame.domain, frame.member_id) == (DOMAIN, portal.member_id)
    assert (frame.placement, frame.lang.lower()) == ("DEFAULT", "en")
    token = BitrixToken.from_oauth_placement_data(frame, bitrix_app=listening.app)
    assert token.call_method("profile")["result"]["ID"] == "1"
    assert frame.validate_against_app_info(frame.get_app_info(listening.app))
