"""b24pysdk as an application: tokens, their end, their renewal, and a portal that moves.

The SDK writes the host of the authorization server into its code and drops the port of an address
it is redirected to; both reach the simulator through the tunnel.
"""

import datetime

import pytest
from b24pysdk import BitrixApp, BitrixToken, BitrixWebhook, errors
from b24pysdk.constants import B24AppStatus
from b24pysdk.errors import oauth
from b24pysdk.schemas.app import AppInfoApplication

PORTAL = "acme.bitrix24.com"
SERVER = "oauth.bitrix24.tech"


class Installed:
    """An application in a portal, and the SDK's token for it."""

    def __init__(self, portal, **settings):
        facts = portal.post("applications", **settings)
        self.portal = portal
        self.client_id = facts["client_id"]
        self.app = BitrixApp(client_id=facts["client_id"], client_secret=facts["client_secret"])
        self.token = self.token_of(self.does("install"))

    def does(self, action, **body):
        return self.portal.post(f"applications/{self.client_id}/{action}", **body)

    def token_of(self, pair):
        return BitrixToken(
            domain=PORTAL,
            auth_token=pair["access_token"],
            refresh_token=pair["refresh_token"],
            bitrix_app=self.app,
        )


@pytest.fixture
def installed(portal, simulation, tunnel):
    tunnel.route(PORTAL, portal.address)
    tunnel.route(SERVER, simulation.oauth_address)
    simulation.oauth.delete("journal")
    return Installed(portal)


@pytest.fixture
def oauth_quirks(simulation):
    """Sets quirks of the authorization server, which all tests share, for one test."""
    usual = simulation.oauth.get("quirks")
    yield lambda **changes: simulation.oauth.patch("quirks", **changes)
    simulation.oauth.patch("quirks", **usual)


@pytest.fixture
def token(installed):
    return installed.token


def test_a_call_of_an_application_carries_its_token_in_the_body(token, portal):
    assert token.get_client().profile().response.value.bitrix_id == 1
    [request] = portal.requests("profile")
    assert (request["encoding"], request["params"]) == ("json", {})
    assert request["status"] == 200


def test_app_info_of_an_application_is_read_into_the_model(token):
    info = token.get_client().app.info().response.value
    assert isinstance(info, AppInfoApplication)
    assert (info.installed, info.status) == (True, B24AppStatus.LOCAL)


def test_a_bot_of_an_application_needs_no_bot_token(token, portal):
    bots = token.get_client().imbot.v2.bot
    bot = bots.register({"code": "support", "properties": {"name": "Support"}}).result["bot"]
    assert bots.get(bot_id=bot["id"]).result["bot"]["code"] == "support"
    assert [bot["code"] for bot in portal.get("bots")["bots"]] == ["support"]


def test_an_expired_token_is_renewed_once_and_the_call_repeated(installed, portal, simulation):
    token = installed.token
    old = (token.auth_token, token.refresh_token)
    renewed = []
    token.oauth_token_renewed_signal.connect(renewed.append)
    installed.does("expire")
    try:
        assert token.call_method("scope")["result"] == ["im", "imbot", "user"]
    finally:
        token.oauth_token_renewed_signal.disconnect(renewed.append)
    assert [request["status"] for request in portal.requests("scope")] == [401, 200]
    [asked] = simulation.oauth.requests("oauth/token")
    assert (asked["encoding"], asked["status"]) == ("query", 200)
    assert token.auth_token != old[0] and token.refresh_token != old[1]
    [event] = renewed
    answer = event.renewed_oauth_token
    assert (answer.member_id, answer.user_id) == (portal.member_id, 1)
    assert answer.client_endpoint == f"{portal.address}/rest/"
    assert answer.scope == ["im", "imbot", "user"]
    assert answer.oauth_token.expires_in == 3600


def test_a_batch_survives_the_end_of_its_token(installed, portal):
    installed.does("expire")
    result = installed.token.call_batch({"me": ("profile", {}), "scope": ("scope", {})})["result"]
    assert result["result"]["me"]["ID"] == "1"
    assert [request["status"] for request in portal.requests("batch")] == [401, 200]


def test_tokens_end_an_hour_after_they_were_given(installed, portal, simulation):
    simulation.advance(3590)
    installed.token.call_method("profile")
    simulation.advance(20)
    installed.token.call_method("profile")
    assert [request["status"] for request in portal.requests("profile")] == [200, 401, 200]


def test_a_token_known_to_be_over_is_renewed_before_the_call(installed, portal, simulation):
    token = installed.token
    token.expires = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=1)
    token.call_method("profile")
    assert [request["status"] for request in portal.requests("profile")] == [200]
    assert len(simulation.oauth.requests("oauth/token")) == 1


def test_a_spent_refresh_token_is_an_invalid_grant(installed, portal):
    spent = installed.token.refresh_token
    installed.token.refresh_and_set_oauth_token()
    with pytest.raises(oauth.BitrixOAuthInvalidGrant):
        installed.app.refresh_oauth_token(spent)


def test_numbers_as_text_in_a_new_pair_are_understood(installed, oauth_quirks):
    oauth_quirks(expires_in_is_text=True, user_id_is_text=True)
    renewed = installed.token.refresh_oauth_token()
    assert (renewed.user_id, renewed.oauth_token.expires_in) == (1, 3600)


@pytest.mark.parametrize(
    ("named", "kind"),
    [
        ("unauthorized", oauth.BitrixOAuthInvalidClient),
        ("bad_request", oauth.BitrixOAuthInvalidClient),
        ("wrong_client_with200", oauth.BitrixOauthWrongClient),
    ],
)
def test_a_wrong_secret_has_its_class_under_every_name(installed, oauth_quirks, named, kind):
    stranger = BitrixApp(client_id=installed.client_id, client_secret="wrong")
    oauth_quirks(wrong_client=named)
    with pytest.raises(kind):
        stranger.refresh_oauth_token(installed.token.refresh_token)


def test_a_missing_refresh_token_is_an_invalid_request(installed):
    with pytest.raises(oauth.BitrixOAuthInvalidRequest):
        installed.app.refresh_oauth_token("")


def test_a_removed_application_gets_no_new_pair(installed):
    installed.does("uninstall")
    with pytest.raises(oauth.BitrixOAuthNotInstalled):
        installed.app.refresh_oauth_token(installed.token.refresh_token)


def test_an_unpaid_application_gets_no_new_pair(installed):
    installed.does("pay", paid=False)
    with pytest.raises(errors.BitrixAPIPaymentRequired):
        installed.app.refresh_oauth_token(installed.token.refresh_token)


def test_an_outage_of_the_authorization_server_is_waited_out(installed, simulation):
    simulation.oauth.fault("html", method="oauth/token", status=503)
    installed.does("expire")
    assert installed.token.call_method("profile")["result"]["ID"] == "1"
    assert [r["status"] for r in simulation.oauth.requests("oauth/token")] == [503, 200]


def test_a_code_of_a_browser_works_once(installed, oauth_quirks):
    # The model knows no pair without `expires` and `user_id`, though a documented sample is one.
    oauth_quirks(first_pair_is_complete=True)
    code = installed.does("code")["code"]
    with pytest.raises(errors.BitrixAPIBadRequest) as refused:
        installed.app.get_oauth_token("wrong")
    assert refused.value.error == "bad_verification_code"
    pair = installed.app.get_oauth_token(code)
    assert installed.token_of(
        {"access_token": pair.oauth_token.access_token, "refresh_token": pair.oauth_token.refresh_token}
    ).call_method("profile")["result"]["ID"] == "1"
    with pytest.raises(errors.BitrixAPIBadRequest):
        installed.app.get_oauth_token(code)


def test_the_authorization_server_tells_the_trusted_status(installed, portal):
    info = installed.token.get_app_info().result
    assert (info.client_id, info.user_id) == (installed.client_id, 1)
    assert info.expires.utcoffset() is not None
    install = info.install
    assert (install.installed, install.status) == (True, B24AppStatus.LOCAL)
    assert install.member_id == portal.member_id
    assert install.client_endpoint == f"{portal.address}/rest/"
    assert install.scope == ["im", "imbot", "user"]


def test_a_new_pair_is_confirmed_by_the_trusted_status(installed):
    renewed = installed.token.refresh_oauth_token()
    info = renewed.get_app_info(installed.app)
    assert renewed.member_id == info.install.member_id
    assert renewed.user_id == info.user_id


def test_refused_tokens_have_their_classes(installed, portal):
    def refused(kind):
        with pytest.raises(kind) as caught:
            installed.token.call_method("profile")
        return caught.value

    anna = portal.post("users", first_name="Anna")["id"]
    installed.does("restrict", users=[anna])
    refused(errors.BitrixAPIUserAccessError)
    installed.does("restrict")
    installed.does("require_confirmation", method="profile")
    refused(errors.BitrixAPIMethodConfirmWaiting)
    installed.does("confirm", method="profile", approved=False)
    refused(errors.BitrixAPIMethodConfirmDenied)
    installed.does("confirm", method="profile")
    assert installed.token.call_method("profile")["result"]["ID"] == "1"
    installed.does("pay", paid=False)
    refused(errors.BitrixAPIPaymentRequired)
    installed.does("pay")
    installed.does("uninstall")
    assert refused(errors.BitrixAPIUnauthorized).error in ("APPLICATION_NOT_FOUND", "ERROR_OAUTH", "NOT_INSTALLED")


def test_a_dismissed_person_cannot_be_authorized(installed, portal):
    anna = portal.post("users", first_name="Anna")["id"]
    token = installed.token_of(installed.does("tokens", user_id=anna))
    assert token.get_client().profile().response.value.bitrix_id == anna
    portal.post(f"users/{anna}/dismiss")
    with pytest.raises(errors.BitrixAPIAuthorizationError):
        token.call_method("profile")


def test_a_made_up_token_is_refused_without_a_renewal(installed, simulation):
    installed.token.auth_token = "madeup"
    with pytest.raises((errors.BitrixAPIInvalidToken, oauth.BitrixOAuthNoAuthFound)):
        installed.token.call_method("profile")
    assert simulation.oauth.requests("oauth/token") == []


def test_an_application_calls_only_what_its_scopes_allow(portal, simulation, tunnel):
    tunnel.route(PORTAL, portal.address)
    token = Installed(portal, scopes=["im"]).token
    with pytest.raises(errors.BitrixAPIInsufficientScope) as refused:
        token.call_method("imbot.v2.Bot.list")
    assert "access token" in refused.value.error_description


def test_a_moved_portal_is_followed_and_its_new_address_kept(portal, tunnel):
    webhook = BitrixWebhook(domain="old.bitrix24.com", webhook_token=portal.webhook_token)
    tunnel.route("old.bitrix24.com", portal.address)
    tunnel.route("127.0.0.1", portal.post("rename")["address"])
    changes = []
    webhook.portal_domain_changed_signal.connect(changes.append)
    bot = {"code": "support", "botToken": "a" * 32, "properties": {"name": "Support"}}
    try:
        assert webhook.call_method("imbot.v2.Bot.register", {"fields": bot})["result"]["bot"]
        webhook.call_method("profile")
    finally:
        webhook.portal_domain_changed_signal.disconnect(changes.append)
    [change] = changes
    assert (change.old_domain, change.new_domain) == ("old.bitrix24.com", "127.0.0.1")
    assert [request["status"] for request in portal.requests()] == [302, 200, 200]
    assert [bot["code"] for bot in portal.get("bots")["bots"]] == ["support"]


def test_an_application_follows_a_moved_portal_and_is_told_of_it_by_a_renewal(installed, portal, tunnel):
    address = portal.post("rename")["address"]
    tunnel.route("127.0.0.1", address)
    assert installed.token.call_method("profile")["result"]["ID"] == "1"
    assert installed.token.domain == "127.0.0.1"
    assert installed.token.refresh_oauth_token().client_endpoint == f"{address}/rest/"


@pytest.mark.parametrize("condition", ["licence_page", "login_page"])
def test_a_page_of_the_same_host_is_no_new_address(make_portal, tunnel, condition):
    portal = make_portal(domain=PORTAL)
    tunnel.route(PORTAL, portal.address)
    portal.post("condition", condition=condition)
    webhook = BitrixWebhook(domain=PORTAL, webhook_token=portal.webhook_token)
    with pytest.raises(errors.BitrixResponse302JSONDecodeError):
        webhook.call_method("profile")
    assert len(portal.requests()) == 1
