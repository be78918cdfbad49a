"""One simulator for the whole run, one portal for each test.

`BITRIX24_SIM` names the simulator's binary. The certificates have to be known before an SDK is
imported, because aiohttp reads them then; hence the hooks in place of fixtures.
"""

import os
import tempfile

import pytest

from simulator import Simulation
from tunnel import Tunnel


def pytest_configure(config):
    config.simulation = Simulation(os.environ["BITRIX24_SIM"])
    config.tunnel = Tunnel(config.simulation.ca_file)
    config.trusted = tempfile.NamedTemporaryFile("w", suffix=".pem")
    with open(config.simulation.ca_file) as ca:
        config.trusted.write(ca.read())
    config.trusted.write(config.tunnel.ca_pem)
    config.trusted.flush()
    os.environ["REQUESTS_CA_BUNDLE"] = config.trusted.name
    os.environ["SSL_CERT_FILE"] = config.trusted.name
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        os.environ.pop(name, None)
        os.environ.pop(name.lower(), None)


def pytest_unconfigure(config):
    config.tunnel.stop()
    config.simulation.stop()
    config.trusted.close()


@pytest.fixture(scope="session")
def simulation(pytestconfig):
    return pytestconfig.simulation


@pytest.fixture
def make_portal(simulation):
    """Makes portals that end with the test. Without limits unless the test names some."""
    made = []

    def make(**settings):
        made.append(simulation.add_portal(**{"limits": "none", **settings}))
        return made[-1]

    yield make
    for portal in made:
        simulation.remove_portal(portal)


@pytest.fixture
def portal(make_portal):
    return make_portal()


@pytest.fixture
def tunnel(pytestconfig, monkeypatch):
    """The proxy, set up for whatever obeys the usual variable."""
    monkeypatch.setenv("HTTPS_PROXY", pytestconfig.tunnel.address)
    return pytestconfig.tunnel
