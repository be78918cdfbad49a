"""b24pysdk makes the error the SDK's authors expect of what the portal answers."""

import pytest
from b24pysdk import BitrixWebhook, errors
from b24pysdk.errors import oauth

TOKEN = "a" * 32


def call(portal, method, params=None):
    webhook = BitrixWebhook(domain=portal.host, webhook_token=portal.webhook_token)
    return webhook.call_method(method, params)


def refusal(portal, method, params=None):
    with pytest.raises(errors.BitrixAPIError) as refused:
        call(portal, method, params)
    return refused.value


def test_a_wrong_webhook_code_has_its_class(portal):
    webhook = BitrixWebhook(domain=portal.host, webhook_token="1/wrong")
    with pytest.raises(errors.BitrixAPIInvalidCredentials) as refused:
        webhook.call_method("profile")
    assert refused.value.status_code == 401


def test_a_wrong_webhook_code_has_the_documented_class_where_pages_rule(make_portal):
    portal = make_portal(quirks="documented")
    webhook = BitrixWebhook(domain=portal.host, webhook_token="1/wrong")
    with pytest.raises(oauth.BitrixOAuthNoAuthFound):
        webhook.call_method("profile")


def test_a_missing_scope_has_its_class(portal):
    address = portal.post("webhooks", scopes=["im"])["webhook_url"]
    token = address.split("/rest/")[1]
    webhook = BitrixWebhook(domain=portal.host, webhook_token=token)
    with pytest.raises(errors.BitrixAPIInsufficientScope) as refused:
        webhook.call_method("imbot.v2.Bot.list", {"botToken": TOKEN})
    assert "webhook token" in refused.value.error_description


def test_an_unknown_method_is_not_found(portal):
    error = refusal(portal, "imbot.v2.Bot.dance")
    assert type(error) is errors.BitrixAPINotFound
    assert error.error == "ERROR_METHOD_NOT_FOUND"


def test_plain_http_is_an_invalid_request(portal):
    # The SDK itself never speaks plain HTTP; its parser gets what a portal says to one who does.
    import requests

    from b24pysdk.api.requesters._utils import parse_response

    facts = portal.get("")
    answer = requests.post(f"{facts['plain_address']}/rest/{portal.webhook_token}/profile", timeout=10)
    with pytest.raises(errors.BitrixAPIInvalidRequest):
        parse_response(answer)


def test_app_info_of_a_webhook_is_denied_where_pages_rule(make_portal):
    error = refusal(make_portal(quirks="documented"), "app.info")
    assert isinstance(error, errors.BitrixAPIAccessDenied)


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("imbot.v2.Bot.get", {"botId": 1}, "BOT_TOKEN_NOT_SPECIFIED"),
        ("imbot.v2.Bot.get", {"botId": 77, "botToken": TOKEN}, "BOT_NOT_FOUND"),
        ("imbot.v2.Bot.register", {"fields": {"botToken": TOKEN}}, "BOT_CODE_REQUIRED"),
        ("imbot.v2.Bot.register", {"fields": {"botToken": "x" * 41}}, "BOT_TOKEN_INVALID_LENGTH"),
        ("imbot.v2.Bot.register", {"fields": {"botToken": TOKEN, "code": "c"}}, "BOT_PROPERTIES_REQUIRED"),
    ],
)
def test_errors_of_methods_are_bad_requests_with_their_code(portal, method, params, code):
    error = refusal(portal, method, params)
    assert type(error) is errors.BitrixAPIBadRequest
    assert error.error == code
    assert error.error_description


def test_a_missing_argument_is_a_bad_request_with_a_number(portal):
    error = refusal(portal, "imbot.v2.Bot.register", {"botToken": TOKEN})
    assert type(error) is errors.BitrixAPIBadRequest
    # `error.error` takes text only, so the SDK cannot read out the number it was given.
    assert error.json_response["error"] == 100
    assert "{fields}" in error.message


def test_an_error_under_status_200_is_an_error(make_portal):
    portal = make_portal(quirks={"errors_with_200": True})
    error = refusal(portal, "imbot.v2.Bot.get", {"botId": 77, "botToken": TOKEN})
    assert (error.status_code, error.error) == (200, "BOT_NOT_FOUND")


@pytest.mark.parametrize(
    ("condition", "kind"),
    [
        ("closed", errors.BitrixAPIPortalDeleted),
        ("no_rest", errors.BitrixAPIAccessDenied),
        ("overloaded", errors.BitrixAPIOverloadLimit),
    ],
)
def test_a_portal_that_serves_nobody_has_its_class(portal, condition, kind):
    portal.post("condition", condition=condition)
    error = refusal(portal, "profile")
    assert type(error) is kind
    portal.post("condition", condition="open")
    assert call(portal, "profile")["result"]["ID"] == "1"


def test_maintenance_is_tried_three_times_and_then_no_json(portal):
    portal.post("condition", condition="maintenance")
    webhook = BitrixWebhook(domain=portal.host, webhook_token=portal.webhook_token)
    with pytest.raises(errors.BitrixResponseJSONDecodeError) as refused:
        webhook.call_method("profile", initial_retry_delay=0.01, retry_delay_increment=0)
    assert refused.value.status_code == 503
    assert len(portal.requests()) == 3


# What a healthy webhook cannot provoke is told by a fault, word for word as C4 has it.
@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "authorization_error", errors.BitrixAPIAuthorizationError),
        (401, "APPLICATION_NOT_FOUND", errors.BitrixAPIApplicationNotFound),
        (401, "ERROR_OAUTH", errors.BitrixAPIErrorOAuth),
        (401, "NOT_INSTALLED", oauth.BitrixOAuthNotInstalled),
        (401, "PAYMENT_REQUIRED", errors.BitrixAPIPaymentRequired),
        (401, "METHOD_CONFIRM_WAITING", errors.BitrixAPIMethodConfirmWaiting),
        (403, "METHOD_CONFIRM_DENIED", errors.BitrixAPIMethodConfirmDenied),
        (403, "user_access_error", errors.BitrixAPIUserAccessError),
        (401, "user_access_error", errors.BitrixAPIUserAccessError),
        (401, "invalid_token", errors.BitrixAPIInvalidToken),
        (401, "expired_token", errors.BitrixAPIExpiredToken),
        (403, "PORTAL_DELETED", errors.BitrixAPIPortalDeleted),
        (401, "OVERLOAD_LIMIT", errors.BitrixAPIOverloadLimit),
        (401, "CONNECTION_ERROR", errors.BitrixAPIUnauthorized),
        (500, "INTERNAL_SERVER_ERROR", errors.BitrixAPIInternalServerError),
        (500, "ERROR_UNEXPECTED_ANSWER", errors.BitrixAPIErrorUnexpectedAnswer),
        (400, "ERROR_ARGUMENT", errors.BitrixAPIBadRequest),
        (400, "0", errors.BitrixAPIBadRequest),
    ],
)
def test_every_code_has_its_class(portal, status, code, kind):
    portal.fault("error", method="profile", status=status, code=code, description="So it is")
    error = refusal(portal, "profile")
    assert type(error) is kind
    assert (error.status_code, error.error) == (status, code)
    assert call(portal, "profile")["result"]["ID"] == "1"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (403, errors.BitrixResponse403JSONDecodeError),
        (500, errors.BitrixResponse500JSONDecodeError),
        (502, errors.BitrixResponseJSONDecodeError),
    ],
)
def test_a_page_in_place_of_an_answer_has_its_class(portal, status, kind):
    portal.fault("html", status=status)
    with pytest.raises(kind) as refused:
        call(portal, "profile")
    assert type(refused.value) is kind


@pytest.mark.parametrize("kind", ["reset", "cut"])
def test_a_broken_connection_is_a_request_error(portal, kind):
    portal.fault(kind)
    with pytest.raises(errors.BitrixRequestError):
        call(portal, "profile")


def test_an_answer_that_never_comes_is_a_timeout(portal):
    portal.fault("hang")
    webhook = BitrixWebhook(domain=portal.host, webhook_token=portal.webhook_token)
    with pytest.raises(errors.BitrixRequestTimeout):
        webhook.call_method("profile", timeout=0.2)
