"""A Bitrix24 bot: somebody types `/hello World` in a chat, and it answers `Hello, World!`.

It keeps nothing itself, may be killed at any moment, and may run any number of times: the gateway hands each command to
one of these workers, and again to another one until it is answered. Of all their answers at most one is posted.
"""

import itertools
import logging
import os
import random
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE / "gen"))  # made by generate.sh
from bitrix24.gateway.v1 import bots_pb2 as pb, bots_pb2_grpc, events_pb2, events_pb2_grpc

BOT = "@BOT@"  # names the bot for good, in the whole portal
NAME = "@NAME@"  # what people see
COMMANDS = {"hello": "Say hello"}


def answer(command, params):
    """What the bot says to a command."""
    return f"Hello, {params or 'World'}!"


WORKERS = 10  # commands in hand at once
OPTIONS = [
    ("grpc.service_config", (HERE / "service-config.json").read_text()),  # repeats only what is safe to repeat
    ("grpc.max_reconnect_backoff_ms", 10_000),
    ("grpc.keepalive_time_ms", 30_000),
]
# Worth another try: this bot makes no call that must not be repeated.
PASSING = {grpc.StatusCode[name] for name in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "UNKNOWN")}
stopping = threading.Event()


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


def register(bots):
    """Makes sure that bot and commands exist; safe to repeat at every start."""
    own = {"bot_code": BOT, "if_exists": pb.IF_EXISTS_CONVERGE}
    bots.RegisterBot(pb.RegisterBotRequest(**own, properties={"name": NAME}))
    for name, title in COMMANDS.items():
        bots.RegisterCommand(pb.RegisterCommandRequest(**own, command=name, title={"en": title}))
    logging.info("%s is ready", BOT)


def post(bots, item, text):
    """Posts the answer. At most one is posted, so this is tried until the outcome is certain."""
    trace = [("traceparent", item.event.trace_context.traceparent)]  # empty: not traced
    request = pb.AnswerCommandRequest(ack_id=item.delivery.ack_id, content={"text": text})
    for tries in itertools.count():
        try:
            response = bots.AnswerCommand(request, timeout=30, wait_for_ready=True, metadata=trace)
            return logging.info("%s", pb.AnswerOutcome.Name(response.outcome))
        except grpc.RpcError as error:
            if explain(error) not in ("no", "?") or error.code() not in PASSING or stopping.is_set():
                raise  # e.g. ANSWER_WINDOW_CLOSED or ANSWER_OUTCOME_UNKNOWN, which no repeat would change
        pause(tries)


def handle(bots, events, item):
    command, ack_id = item.event.command_added.command, item.delivery.ack_id
    try:
        if command.command in COMMANDS:
            post(bots, item, answer(command.command, command.params))
        else:  # of another version of this bot
            events.AcknowledgeEvents(events_pb2.AcknowledgeEventsRequest(ack_ids=[ack_id]))
    except Exception:
        logging.exception("given back: it comes again, or is set aside for somebody to look at")
        back = events_pb2.ModifyAckDeadlinesRequest(ack_ids=[ack_id], ack_deadline={"seconds": 0})
        events.ModifyAckDeadlines(back)


def work(channel, workers):
    bots, events = bots_pb2_grpc.BotServiceStub(channel), events_pb2_grpc.EventServiceStub(channel)
    subscription = {"name": BOT, "max_outstanding_events": WORKERS}  # shared by all workers
    registered, tries = False, 0
    while not stopping.is_set():
        try:
            if not registered:
                register(bots)
                registered = True
            request = pb.SubscribeCommandEventsRequest(bot_codes=[BOT], subscription=subscription)
            for item in bots.SubscribeCommandEvents(request):  # ends only with an error
                tries = 0
                if item.HasField("event"):
                    workers.submit(handle, bots, events, item)
                if item.HasField("gap"):
                    logging.warning("commands may be missing: %s", item.gap)
        except grpc.RpcError as error:
            explain(error)
            if error.code() not in PASSING:
                sys.exit(1)
            pause(tries)
            tries += 1


def main():
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same as Ctrl-C
    address = os.environ.get("GATEWAY", "127.0.0.1:50051")
    with grpc.insecure_channel(address, OPTIONS) as channel, ThreadPoolExecutor(WORKERS) as workers:
        try:
            work(channel, workers)
        except KeyboardInterrupt:
            logging.info("stopping: what is in hand is finished first")
        finally:
            stopping.set()
    logging.info("stopped")


if __name__ == "__main__":
    main()
