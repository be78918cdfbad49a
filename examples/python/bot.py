"""A bot that adds: somebody types `/sum 2 3` in a Bitrix24 chat, and it answers `2 + 3 = 5`; `/slow 2 3` takes a while.

It keeps nothing itself, may be killed at any moment, and may run any number of times. The gateway hands each command to
one of these workers, and again to another one until it is answered; of all their answers at most one is posted.
"""

import itertools
import logging
import os
import random
import re
import signal
import sys
import threading
import time
from pathlib import Path

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE / "gen"))  # made by generate.sh
from bitrix24.gateway.v1 import bots_pb2 as pb, bots_pb2_grpc, events_pb2, events_pb2_grpc, server_pb2, server_pb2_grpc

BOT = "example-python"
SUBSCRIPTION = {"name": os.environ.get("SUBSCRIPTION", BOT), "max_outstanding_events": 10}  # shared by all workers
COMMANDS = {"sum": "Add", "slow": "Add slowly"}
OPTIONS = [
    ("grpc.service_config", (HERE.parent / "service-config.json").read_text()),
    ("grpc.max_reconnect_backoff_ms", 10_000), ("grpc.keepalive_time_ms", 30_000),  # instead of 2 minutes, and never
]
# Worth another try: this bot makes no call that must not be repeated.
PASSING = {grpc.StatusCode[name] for name in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "UNKNOWN")}


def explain(error):
    """Logs why a call failed, with its reason, an `ErrorReason` of errors.proto. Says whether it was executed."""
    info = ErrorInfo()  # stays empty when the gateway did not answer at all
    for detail in getattr(rpc_status.from_call(error), "details", ()):
        detail.Unpack(info)  # passes over details of other types
    executed = info.metadata.get("executed", "?")
    logging.warning("%s %s executed=%s: %s", error.code().name, info.reason or "-", executed, error.details())
    return executed


def pause(tries):  # longer and longer, and not the same in all workers
    time.sleep(min(2**tries, 30) * random.uniform(0.5, 1))


def register(server, bots):  # safe to repeat at every start
    logging.info("gateway %s", server.GetServerInfo(server_pb2.GetServerInfoRequest()).version)
    own = {"bot_code": BOT, "if_exists": pb.IF_EXISTS_CONVERGE}
    bots.RegisterBot(pb.RegisterBotRequest(**own, properties={"name": "Adder"}))
    for name, title in COMMANDS.items():
        bots.RegisterCommand(pb.RegisterCommandRequest(**own, command=name, title={"en": title}, params={"en": "1 2"}))
    return True


def post(bots, item, text, final=True):
    """Posts the answer, or progress. At most one answer is posted, so this is tried until the outcome is certain."""
    ack_id, trace = item.delivery.ack_id, [("traceparent", item.event.trace_context.traceparent)]  # empty: not traced
    request = pb.AnswerCommandRequest(ack_id=ack_id, content={"text": text}, final=final)
    for tries in itertools.count():
        try:
            response = bots.AnswerCommand(request, timeout=30, wait_for_ready=True, metadata=trace)  # see ../README.md
            return logging.info("%s %s", ack_id, pb.AnswerOutcome.Name(response.outcome))
        except grpc.RpcError as error:
            if explain(error) not in ("no", "?") or error.code() not in PASSING:
                raise  # e.g. ANSWER_WINDOW_CLOSED or ANSWER_OUTCOME_UNKNOWN, which no repeat would change
        pause(tries)


def handle(bots, events, item):
    command, ack_id = item.event.command_added.command, item.delivery.ack_id
    try:
        if command.command not in COMMANDS:
            return events.AcknowledgeEvents(events_pb2.AcknowledgeEventsRequest(ack_ids=[ack_id]))
        if command.command == "slow":
            post(bots, item, "One moment ...", final=False)
            time.sleep(3)
        words, text = command.params.split(), "I add whole numbers: /sum 2 3"
        if words and all(re.fullmatch("-?[0-9]{1,100}", word) for word in words):
            text = f"{' + '.join(words)} = {sum(map(int, words))}"
        post(bots, item, text)
    except Exception:
        logging.exception("%s is given back: it comes again, or is set aside for somebody to look at", ack_id)
        events.ModifyAckDeadlines(events_pb2.ModifyAckDeadlinesRequest(ack_ids=[ack_id], ack_deadline={"seconds": 0}))


def main(address=os.environ.get("GATEWAY", "127.0.0.1:50051")):
    channel = grpc.insecure_channel(address, OPTIONS)
    bots, events = bots_pb2_grpc.BotServiceStub(channel), events_pb2_grpc.EventServiceStub(channel)
    registered, tries = False, 0
    while True:
        try:
            registered = registered or register(server_pb2_grpc.ServerServiceStub(channel), bots)
            request = pb.SubscribeCommandEventsRequest(bot_codes=[BOT], subscription=SUBSCRIPTION)
            for item in bots.SubscribeCommandEvents(request):  # ends only with an error
                tries = 0
                if item.HasField("event"):
                    threading.Thread(target=handle, args=(bots, events, item), daemon=True).start()
                if item.HasField("gap"):
                    logging.warning("commands may be missing: %s", item.gap)
        except grpc.RpcError as error:
            explain(error)
            if error.code() not in PASSING:
                sys.exit(1)
            pause(tries)
            tries += 1


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same as Ctrl-C
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        logging.info("stopped")
