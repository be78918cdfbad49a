"""The simulator as a program, driven over its control interface."""

import contextlib
import json
import subprocess
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request


class Control:
    """Everything below one address of the control interface."""

    def __init__(self, address):
        self._address = address

    def get(self, path, **query):
        if query:
            path = f"{path}?{urllib.parse.urlencode(query)}"
        return self._ask("GET", path)

    def post(self, path, **body):
        return self._ask("POST", path, body)

    def patch(self, path, **body):
        return self._ask("PATCH", path, body)

    def delete(self, path, **body):
        return self._ask("DELETE", path, body)

    def _ask(self, verb, path, body=None):
        request = urllib.request.Request(
            f"{self._address}/{path}".rstrip("/"),
            method=verb,
            data=None if body is None else json.dumps(body).encode(),
        )
        # Straight to loopback, whatever proxy a test has set up for the SDK.
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            raise AssertionError(f"{verb} {path}: {refused.read().decode()}") from refused


class Recorded(Control):
    """A place that keeps a journal and plays faults: a portal, or the authorization server."""

    def fault(self, kind, **settings):
        self.post("faults", kind=kind, **settings)

    def requests(self, method=None):
        query = {"method": method} if method else {}
        return self.get("journal/requests", **query)["requests"]

    def effects(self):
        return self.get("journal/effects")["effects"]


class Portal(Recorded):
    """One portal of the simulation."""

    def __init__(self, control, facts):
        super().__init__(f"{control}/portals/{facts['portal']}")
        self.number = facts["portal"]
        self.member_id = facts["member_id"]
        self.webhook_url = facts["webhook_url"]
        self.address = facts["address"]
        self.host = facts["address"].removeprefix("https://")
        self.webhook_token = facts["webhook_url"].split("/rest/")[1].strip("/")


class Simulation(Control):
    """A running simulator. It ends with the `with` block."""

    def __init__(self, binary):
        self._dir = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            [binary, "--dir", self._dir.name],
            stdout=subprocess.PIPE,
            text=True,
        )
        first = self._process.stdout.readline()
        if not first:
            raise RuntimeError(f"the simulator ended with {self._process.wait()}")
        facts = json.loads(first)
        super().__init__(facts["control"])
        self.ca_file = facts["ca_file"]
        self.oauth_address = facts["oauth"]
        self.oauth = Recorded(f"{facts['control']}/oauth")

    def add_portal(self, **settings):
        return Portal(self._address, self.post("portals", **settings))

    def remove_portal(self, portal):
        self.delete(f"portals/{portal.number}")

    def advance(self, seconds):
        self.post("clock", advance_ms=int(seconds * 1000))

    @contextlib.contextmanager
    def still_until_refused(self, portal):
        """The clock stands still until the portal refused a call, however slow this machine is."""
        self.post("clock", scale=0)
        over = threading.Event()

        def watch():
            while not over.wait(0.01):
                if any(request["status"] != 200 for request in portal.requests()):
                    break
            self.post("clock", scale=1)

        watching = threading.Thread(target=watch)
        watching.start()
        try:
            yield
        finally:
            over.set()
            watching.join()

    def stop(self):
        self._process.terminate()
        self._process.wait(timeout=10)
        self._process.stdout.close()
        self._dir.cleanup()
