"""What checks written in Python share."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import venv

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOOLS = pathlib.Path(tempfile.gettempdir()) / "bitrix24-gateway-tools"


def with_packages(*packages):
    """Goes on in an environment of Python that has these packages, each with its version; makes it if need be."""
    home = TOOLS / "python" / "-".join(re.sub("[^a-z0-9.]", "", package.lower()) for package in packages)
    if pathlib.Path(sys.prefix) == home:
        return
    python = home / "bin/python"
    if not (home / "complete").exists():
        shutil.rmtree(home, ignore_errors=True)
        venv.create(home, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        (home / "complete").touch()
    os.execv(python, [str(python), *sys.argv])


def static_binary(*features):
    """The gateway as one file, with the features of dependencies that other builds of the workspace have."""
    build = [ROOT / "deploy/build-static", "--workspace", *features]
    built = subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return pathlib.Path(built.stdout.strip())
