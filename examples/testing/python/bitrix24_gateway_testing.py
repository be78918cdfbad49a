"""Tests of Bitrix24 bots as stories: people type, the bot answers, and things go wrong on purpose.

A plugin for pytest, of one file: `pytest_plugins = ["bitrix24_gateway_testing"]` in the top `conftest.py`, or, where
it can be imported, `pytest -p bitrix24_gateway_testing`. Needs the binary `bitrix24-gateway`, named by
BITRIX24_GATEWAY_BIN or in PATH.

A run has one simulator process. Each test has a portal of its own in it and a gateway process of its own with a
store of its own, so tests do not see each other; all portals share one clock. What the simulator can do beyond
these helpers is behind `bitrix24.portal`, see tests/sim/README.md. All times are in seconds.
"""

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

PATIENCE = 30  # how long anything may take that should happen
READY = re.compile(r"gateway is ready.* grpc\.address=(\S+)")
# So that stories are told quickly; the simulated portal takes any pace.
QUICK = {"rate.requests_per_second": 0, "polling.busy_pause": "100ms", "polling.idle_pause": "100ms"}


def pytest_configure(config):
    config.addinivalue_line(
        "markers",
        "bitrix24(portal={}, gateway={}): members of POST /portals, and settings of the gateway by their path",
    )


@pytest.fixture(scope="session")
def bitrix24_simulator():
    """The simulator of the whole run."""
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def make_bitrix24(bitrix24_simulator, request):
    """Makes further portals, each with a gateway, also from threads of the test; they end with the test."""
    made = request.node.stash.setdefault(MADE, [])
    with contextlib.ExitStack() as stack:

        def make(portal=None, gateway=None):
            world = Bitrix24(bitrix24_simulator, portal or {}, gateway or {})
            made.append(world)
            stack.callback(world.close)
            world.start_gateway()
            return world

        yield make


@pytest.fixture
def bitrix24(make_bitrix24, request):
    """A portal and a gateway for it. `@pytest.mark.bitrix24(...)` sets them up otherwise."""
    marker = request.node.get_closest_marker("bitrix24")
    return make_bitrix24(**(marker.kwargs if marker else {}))


MADE = pytest.StashKey()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if report.failed:
        for world in item.stash.get(MADE, []):
            for process in world.processes:
                report.sections.append((f"Log of {process.name}", process.log()))
    return report


class Simulator:
    """The simulated Bitrix24 as a process. It ends with the `with` block."""

    def __enter__(self):
        command = [binary(), "sim", "--no-limits", "--dir"]
        self.folder = Path(tempfile.mkdtemp(prefix="bitrix24-sim-"))
        self.process = Process("the simulator", [*command, self.folder], self.folder, plain_environment())
        try:
            self.facts = json.loads(self.process.wait_for_log(re.compile(r"^(\{.*\})$", re.M)))
            self.control = Control(self.facts["control"])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Bitrix24:
    """A portal, people, a gateway, and whatever bots the test starts."""

    def __init__(self, simulator, portal, gateway):
        self.facts = simulator.control.post("portals", {"limits": "none", **portal})
        self.portal = Control(f"{simulator.control.address}/portals/{self.facts['portal']}")
        self.folder = Path(tempfile.mkdtemp(prefix="bitrix24-gateway-"))
        self.processes = []  # also those that ended, for their logs
        self.names = {0: "system", 1: "the owner"}
        self.chats = {}  # by dialog
        self.gateway = None  # host:port to hand to the bot under test; stays the same after a restart
        self.gateway_process = None
        self.settings = {
            **QUICK,
            "webhook_url": self.facts["webhook_url"],
            "outbound.ca_file": simulator.facts["ca_file"],
            "store.dir": self.folder / "store",
            "store.key_file": self.folder / "keys",
            "log.format": "text",
            **gateway,
        }

    def user(self, first_name, last_name="", **more):
        """A new person of the portal; `more` are members of `POST users`."""
        person = self.portal.post("users", {"first_name": first_name, "last_name": last_name, **more})
        self.names[person["id"]] = f"{first_name} {last_name}".rstrip()
        return User(self, person["id"])

    def bot(self, code, commands=()):
        """The bot of this code, as soon as it has registered itself and these commands."""

        def registered():
            for bot in self.portal.get("bots")["bots"]:
                known = {it["name"] for it in self.portal.get(f"bots/{bot['id']}/commands")["commands"]}
                if bot["code"] == code and known.issuperset(commands):
                    return bot

        bot = self.until(registered, f"the bot {code!r} did not register itself with {list(commands)}")
        self.names[bot["id"]] = bot["name"]
        return Bot(self, bot["id"], code)

    def chat(self, title, *members):
        """A group chat of these users and bots; the first user owns it."""
        users = [member.id for member in members if isinstance(member, User)]
        made = self.portal.post("chats", {"title": title, "members": users})
        for bot in members:
            if isinstance(bot, Bot):
                self.portal.post(f"chats/{made['id']}/bots", {"bot_id": bot.id, "by_user": users[0]})
        return self.known_chat(made["dialog_id"], made["dialog_id"], title)

    def known_chat(self, dialog, address, title, user=None):
        return self.chats.setdefault(dialog, Chat(self, dialog, address, title, user))

    def fails_once(self, method, kind="error", **more):
        """The next call of this REST method fails, by default as if calls came too fast.

        Other kinds (`reset`, `hang`, `html`, ...) and their members are in tests/sim/README.md.
        """
        if kind == "error":
            more = {"code": "QUERY_LIMIT_EXCEEDED", "status": 503, **more}
        self.portal.post("faults", {"kind": kind, "method": method, **more})

    def loses_answer_once(self, method):
        """The next call of this REST method takes effect, but the connection breaks before its answer."""
        self.fails_once(method, kind="reset", when="after")

    def requests(self, method=None):
        """The REST calls that reached the portal, oldest first."""
        return self.portal.get("journal/requests", **({"method": method} if method else {}))["requests"]

    def effects(self):
        """What really changed in the portal, oldest first."""
        return self.portal.get("journal/effects")["effects"]

    def call(self, method, **params):
        """A REST call with the portal's webhook, as another integration would make it."""
        context = ssl.create_default_context(cafile=self.settings["outbound.ca_file"])
        return Control(self.facts["webhook_url"].rstrip("/"), context).post(method, params)["result"]

    def environment(self, **more):
        """The environment for a bot: GATEWAY names the gateway, no setting of another gateway is left."""
        return {**plain_environment(), "GATEWAY": self.gateway, **more}

    def start_bot(self, command, cwd=None, env=None, name="the bot"):
        """Starts the bot under test; without `cwd` in a folder that lives as long as the test."""
        process = Process(name, command, cwd or self.folder, env or self.environment(), self.folder)
        self.processes.append(process)
        return process

    def start_gateway(self):
        environment = plain_environment()
        for path, value in {"admin.listen": "", **self.settings, "grpc.listen": self.gateway or "127.0.0.1:0"}.items():
            environment["BITRIX24_GATEWAY__" + path.upper().replace(".", "__")] = str(value)
        self.gateway_process = Process("the gateway", [binary(), "serve"], self.folder, environment)
        self.processes.append(self.gateway_process)
        self.gateway = self.gateway_process.wait_for_log(READY)

    def stop_gateway(self):
        """As an operator does it: calls under way finish."""
        code = self.gateway_process.stop()
        if code != 0:
            raise AssertionError(f"the gateway ended with {code}:\n{self.gateway_process.log()}")

    def kill_gateway(self):
        """As a power cut does it."""
        self.gateway_process.kill()

    def restart_gateway(self):
        """Stops the gateway if it runs, and starts it again with the same store at the same address."""
        if self.gateway_process.running():
            self.stop_gateway()
        self.start_gateway()

    def until(self, holds, otherwise, timeout=PATIENCE):
        """Waits until `holds()` is true and returns it; else fails, with `otherwise` or what it returns."""
        __tracebackhide__ = True
        end = time.monotonic() + timeout
        while True:
            ended = [it.ended() for it in self.processes if it.unexpected()]
            found = holds()
            if found:
                return found
            reason = otherwise() if callable(otherwise) else otherwise
            if ended:
                raise AssertionError(f"{ended[0]}\n{reason}")
            if time.monotonic() > end:
                raise AssertionError(f"after {timeout} s: {reason}")
            time.sleep(0.02)

    def close(self):
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            stack.callback(self.portal.delete)
            # What is noted last ends first: bots before their gateway.
            for process in sorted(self.processes, key=lambda it: it.name != "the gateway"):
                current = process is self.gateway_process and not process.stopping
                stack.callback(self.stop_gateway if current else process.stop)


class User:
    """Somebody who uses the portal."""

    def __init__(self, world, id):
        self.world, self.id = world, id

    def chat_with(self, bot):
        """The private chat with a bot, given as `Bot` or by its code."""
        bot = self.world.bot(bot) if isinstance(bot, str) else bot
        names = self.world.names
        title = f"{names[self.id]} and {names[bot.id]}"
        return self.world.known_chat(f"{self.id}:{bot.id}", str(bot.id), title, self)

    def types(self, text, to):
        """Writes into a chat, or to a bot in private. Returns the message's id."""
        chat = to if isinstance(to, Chat) else self.chat_with(to)
        return self.world.portal.post(f"users/{self.id}/types", {"dialog": chat.address, "text": text})["message_id"]

    def presses(self, button, on):
        """Presses the button of this text under a message."""
        self.world.portal.post(f"users/{self.id}/presses", {"message_id": on["id"], "button": button})


class Bot:
    """A bot as people see it."""

    def __init__(self, world, id, code):
        self.world, self.id, self.code = world, id, code

    def answered(self, text=None, timeout=PATIENCE):
        """Waits until the bot has written this in any chat of the test; see `Chat.wait_for_answer`."""
        __tracebackhide__ = True
        return wait_for_answer(self.world, list(self.world.chats.values()), text, timeout, {self.id})


class Chat:
    """A chat as people see it."""

    def __init__(self, world, dialog, address, title, user):
        self.world, self.title, self.user = world, title, user
        self.dialog = dialog  # how the control interface reads it
        self.address = address  # how its people write into it
        self.returned = set()  # ids of answers a wait has returned

    def types(self, text):
        """In a private chat: its person types."""
        return self.user.types(text, to=self)

    def messages(self):
        return self.world.portal.get("messages", dialog=self.dialog)["messages"]

    def answers(self, authors=None):
        """All messages of bots, oldest first."""
        authors = authors or {bot["id"] for bot in self.world.portal.get("bots")["bots"]}
        return [message for message in self.messages() if message["author_id"] in authors]

    def wait_for_answer(self, text=None, timeout=PATIENCE):
        """Waits for a bot's message that no wait has returned yet, and returns it.

        A `str` is the whole text, a compiled regular expression is searched in it, None is any text.
        """
        __tracebackhide__ = True
        return wait_for_answer(self.world, [self], text, timeout)

    def __str__(self):
        names = self.world.names
        lines = [f"  {names.get(it['author_id'], it['author_id'])}: {it['text']}" for it in self.messages()]
        return "\n".join([f"the chat {self.title!r} contains", *(lines or ["  nothing"])])


def wait_for_answer(world, chats, text, timeout, authors=None):
    __tracebackhide__ = True

    def fits(message):
        return text is None or (text == message["text"] if isinstance(text, str) else text.search(message["text"]))

    def arrived():
        for chat in chats:
            for message in chat.answers(authors):
                if message["id"] not in chat.returned and fits(message):
                    chat.returned.add(message["id"])
                    return message

    def missing():
        wanted = "no answer" if text is None else f"no answer {text!r}"
        return "\n".join([wanted, *map(str, chats)])

    return world.until(arrived, missing, timeout)


class Process:
    """A process whose output is a file. It gets a group of its own and is always waited for."""

    numbers = itertools.count(1)

    def __init__(self, name, command, cwd, env, logs=None):
        self.name, self.stopping = name, False
        self.path = Path(logs or cwd) / f"process-{next(self.numbers)}.log"
        with open(self.path, "wb") as out:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def log(self):
        return self.path.read_text(errors="replace")

    def running(self):
        return self.process.poll() is None

    def unexpected(self):
        return not self.stopping and not self.running()

    def ended(self):
        return f"{self.name} ended with {self.process.returncode}:\n{self.log()}"

    def wait_for_log(self, pattern):
        """Waits for this in the output and returns its group."""
        end = time.monotonic() + PATIENCE
        while True:
            running = self.running()
            if found := pattern.search(self.log()):
                return found[1]
            if not running:
                raise AssertionError(self.ended())
            if time.monotonic() > end:
                raise AssertionError(f"after {PATIENCE} s: {self.name} is not ready:\n{self.log()}")
            time.sleep(0.02)

    def stop(self):
        """SIGTERM, and SIGKILL if that does not end it. Returns the exit code."""
        return self._end(signal.SIGTERM)

    def kill(self):
        """SIGKILL."""
        return self._end(signal.SIGKILL)

    def _end(self, how):
        self.stopping = True
        if self.running():
            os.killpg(self.process.pid, how)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            return self.process.wait()


class Control:
    """JSON over HTTP below one address: the control interface of the simulator."""

    def __init__(self, address, context=None):
        self.address = address
        # Straight to loopback, whatever proxy the environment names.
        handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)]
        self.opener = urllib.request.build_opener(*handlers)

    def get(self, path="", **query):
        return self.ask("GET", f"{path}?{urllib.parse.urlencode(query)}")

    def post(self, path, body=None):
        return self.ask("POST", path, body or {})

    def delete(self, path="", body=None):
        return self.ask("DELETE", path, body)

    def ask(self, verb, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(f"{self.address}/{path}".rstrip("/?"), data, headers, method=verb)
        try:
            with self.opener.open(request, timeout=PATIENCE) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            raise AssertionError(f"{verb} {path} {body}: {refused.read().decode()}") from None


def binary():
    """Where the gateway's binary is."""
    named = os.environ.get("BITRIX24_GATEWAY_BIN")
    found = shutil.which(named or "bitrix24-gateway")
    if not found:
        raise FileNotFoundError(f"{named or 'bitrix24-gateway in PATH'} is not there: set BITRIX24_GATEWAY_BIN")
    return str(Path(found).resolve())


def plain_environment():
    """Without the settings of a real gateway: no test may reach a real portal."""
    return {name: value for name, value in os.environ.items() if not name.startswith("BITRIX24_GATEWAY")}
