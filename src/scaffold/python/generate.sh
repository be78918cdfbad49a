#!/bin/sh
# Makes what bot.py needs beside it, ignored by git: the packages in .venv, the code of the protos in gen.
set -eu
cd "$(dirname "$0")"
test -x .venv/bin/python || python3 -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
rm -rf gen
mkdir gen
.venv/bin/python -m grpc_tools.protoc --proto_path=proto --python_out=gen --grpc_python_out=gen \
    proto/bitrix24/gateway/v1/*.proto
