"""A bot that adds: somebody types `/sum 2 3` in a Bitrix24 chat, and it answers `2 + 3 = 5`.

It may be killed at any moment. After each command it notes its place in the stream of commands, and begins
there next time. Killed between an answer and the note, it sees the same command again; but an answer that
names its event is posted at most once, and the gateway says ALREADY_ANSWERED to the second.
"""

import logging
import os
import random
import re
import signal
import sys
import time
from pathlib import Path

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE / "gen"))  # made by generate.sh
from bitrix24.gateway.v1 import bots_pb2 as pb, content_pb2, events_pb2, server_pb2
from bitrix24.gateway.v1.bots_pb2_grpc import BotServiceStub
from bitrix24.gateway.v1.server_pb2_grpc import ServerServiceStub

BOT = "example-python"
PLACE = Path(f"{BOT}.cursor")  # in the current folder, which has to survive a restart
OPTIONS = [
    ("grpc.service_config", (HERE.parent / "service-config.json").read_text()),
    ("grpc.max_reconnect_backoff_ms", 10_000),  # gRPC's own is two minutes
    ("grpc.keepalive_time_ms", 30_000),  # notices a connection that died silently
]
# Worth another try: this bot makes no call that must not be repeated.
PASSING = {grpc.StatusCode[name] for name in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "UNKNOWN")}


def explain(error):
    """Logs why a call failed and returns the gateway's reason, a name of `ErrorReason` in errors.proto."""
    info = ErrorInfo()  # stays empty when the gateway did not answer at all
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        detail.Unpack(info)  # passes over details of other types
    executed = info.metadata.get("executed", "unknown")
    logging.warning("%s %s executed=%s: %s", error.code().name, info.reason or "-", executed, error.details())
    return info.reason


def register(channel):
    """Makes sure that bot and command are as described here. Safe to repeat at every start."""
    logging.info("gateway %s", ServerServiceStub(channel).GetServerInfo(server_pb2.GetServerInfoRequest()).version)
    bots, own = BotServiceStub(channel), {"bot_code": BOT, "if_exists": pb.IF_EXISTS_CONVERGE}
    bots.RegisterBot(pb.RegisterBotRequest(**own, properties=pb.BotProperties(name="Adder")))
    bots.RegisterCommand(pb.RegisterCommandRequest(
        **own, command="sum", title={"en": "Add"}, params={"en": "numbers"}))


def subscribe(bots):
    """Opens the stream after the noted place, else with the oldest command kept: answered ones are recognised."""
    start = events_pb2.StreamStart(point=events_pb2.STREAM_START_POINT_EARLIEST)
    if PLACE.exists():
        start = events_pb2.StreamStart(after_cursor=PLACE.read_text())
    return bots.SubscribeCommandEvents(pb.SubscribeCommandEventsRequest(bot_codes=[BOT], start=start))


def answer(bots, event):
    words = event.command_added.command.params.split()
    text = "I add whole numbers: /sum 2 3"
    if words and all(re.fullmatch("-?[0-9]{1,100}", word) for word in words):
        text = f"{' + '.join(words)} = {sum(map(int, words))}"
    request = pb.AnswerCommandRequest(
        portal=event.portal, event_id=event.event_id, content=content_pb2.MessageContent(text=text))
    try:
        # The service config says nothing about this method; ../README.md says why.
        response = bots.AnswerCommand(request, timeout=30, wait_for_ready=True)
        logging.info("%s %s", event.event_id, pb.AnswerOutcome.Name(response.outcome))
    except grpc.RpcError as error:
        if error.code() in PASSING:
            raise  # the place is not noted, so this event comes again
        explain(error)  # e.g. ANSWER_WINDOW_CLOSED, which no repeat would change


def main(address=os.environ.get("GATEWAY", "127.0.0.1:50051")):
    registered, delay = False, 1
    with grpc.insecure_channel(address, OPTIONS) as channel:
        bots = BotServiceStub(channel)
        while True:
            try:
                if not registered:
                    register(channel)
                    registered = True
                for item in subscribe(bots):  # ends only with an error
                    if item.HasField("event"):
                        answer(bots, item.event)
                    if item.HasField("gap"):
                        logging.warning("commands may be missing: %s", item.gap)
                    PLACE.with_suffix(".new").write_text(item.cursor)
                    PLACE.with_suffix(".new").replace(PLACE)  # in one step: never half a file
                    delay = 1
            except grpc.RpcError as error:
                if explain(error) in ("FOREIGN_CURSOR", "CURSOR_EXPIRED"):
                    logging.warning("the noted place is of no use: starting with the earliest command kept")
                    PLACE.unlink()
                elif error.code() in PASSING:
                    time.sleep(delay * random.uniform(0.5, 1))
                    delay = min(2 * delay, 30)
                else:
                    sys.exit(1)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same as Ctrl-C
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        logging.info("stopped")
