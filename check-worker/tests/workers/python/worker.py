"""A small worker whose state is chosen by a flag. `record.py` runs it and records its metrics.

The codec only changes bytes back and forth. What it does while it does so is the state: nothing, block
the event loop, or wait without blocking it.
"""

import argparse
import asyncio
import dataclasses
import random
import signal
import time
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.converter import DataConverter, PayloadCodec
from temporalio.runtime import OpenTelemetryConfig, PrometheusConfig, Runtime, TelemetryConfig
from temporalio.worker import Worker

STATES = [
    "healthy",
    "held",  # one codec call in ten blocks the loop for 400 ms
    "held-often",  # every codec call blocks the loop for 100 ms
    "awaited",  # every codec call awaits 400 ms
    "awaited-rare",  # one codec call in ten awaits 400 ms
    "awaited-jitter",  # every codec call awaits for a time with an exponential distribution, mean 200 ms
    "awaited-queue",  # one codec call in ten awaits 400 ms, and they all wait for the one before
    "computes",  # workflow code computes for 150 ms in every workflow task
    "few-slots",  # two slots for workflow tasks
    "few-activity-slots",  # two slots for activities of 300 ms
    "few-pollers",  # two polls for workflow tasks
    "slow-activities",  # one of the activity types takes 20 s, and 10 slots are soon taken
    "stuck-activities",  # one of the activity types never returns, and 6 slots are soon taken
    "tiny-cache",  # the sticky cache keeps two workflows
    "too-large",  # workflows return 5 MB
    "nondeterministic",  # workflow code does something else when it is replayed
]


class Codec(PayloadCodec):
    """Reverses the bytes. What takes time is in `wait`."""

    def __init__(self, state: str) -> None:
        self.state = state
        self.turn = asyncio.Lock()

    async def wait(self) -> None:
        if self.state == "held" and random.random() < 0.1:
            time.sleep(0.4)
        elif self.state == "held-often":
            time.sleep(0.1)
        elif self.state == "awaited":
            await asyncio.sleep(0.4)
        elif self.state == "awaited-rare" and random.random() < 0.1:
            await asyncio.sleep(0.4)
        elif self.state == "awaited-queue":
            async with self.turn:
                await asyncio.sleep(0.4 if random.random() < 0.1 else 0)
        elif self.state == "awaited-jitter":
            await asyncio.sleep(random.expovariate(5))

    async def encode(self, payloads):
        await self.wait()
        return [Payload(metadata={"encoding": b"reversed"}, data=p.SerializeToString()[::-1]) for p in payloads]

    async def decode(self, payloads):
        await self.wait()
        return [
            Payload.FromString(p.data[::-1]) if p.metadata.get("encoding") == b"reversed" else p
            for p in payloads
        ]


STATE = "healthy"


@activity.defn
async def compose(name: str) -> str:
    await asyncio.sleep(0.3 if STATE == "few-activity-slots" else 0.02)
    return f"Hello, {name}"


@activity.defn
async def export(name: str) -> str:
    if STATE == "stuck-activities":
        await asyncio.Event().wait()
    await asyncio.sleep(20 if STATE == "slow-activities" else 0.005)
    return name


def busy(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


@workflow.defn(sandboxed=False)
class Greeting:
    """Two activities, one after the other."""

    @workflow.run
    async def run(self, name: str):
        minute = timedelta(minutes=1)
        if STATE == "computes":
            busy(0.15)
        if STATE == "nondeterministic" and workflow.unsafe.is_replaying():
            await workflow.sleep(1)
        text = await workflow.execute_activity(compose, name, start_to_close_timeout=minute)
        if STATE == "computes":
            busy(0.15)
        if STATE in ("slow-activities", "stuck-activities"):
            return text
        if STATE == "too-large":
            return "x" * 5_000_000
        if STATE == "tiny-cache":
            for _ in range(3):
                await workflow.sleep(1)
                text = await workflow.execute_activity(compose, name, start_to_close_timeout=minute)
        return await workflow.execute_activity(export, text, start_to_close_timeout=minute)


@workflow.defn(sandboxed=False)
class Quick:
    """No activity, unless the state is about activities."""

    @workflow.run
    async def run(self, name: str) -> str:
        if STATE in ("slow-activities", "stuck-activities"):
            await workflow.execute_activity(export, name, start_to_close_timeout=timedelta(minutes=5))
        if STATE == "computes":
            busy(0.15)
        return name


async def main() -> None:
    global STATE
    flags = argparse.ArgumentParser()
    flags.add_argument("--address", required=True)
    flags.add_argument("--metrics", required=True, help="host:port for Prometheus, or a collector's URL")
    flags.add_argument("--push-every", type=float, help="seconds between two pushes to the collector")
    flags.add_argument("--state", choices=STATES, default="healthy")
    flags.add_argument("--task-queue", default="check-worker")
    flags.add_argument("--counters-total", action="store_true")
    flags.add_argument("--unit-suffix", action="store_true")
    flags.add_argument("--seconds", action="store_true")
    args = flags.parse_args()
    STATE = args.state
    if args.metrics.startswith("http"):
        metrics = OpenTelemetryConfig(
            url=args.metrics,
            metric_periodicity=timedelta(seconds=args.push_every) if args.push_every else None,
            durations_as_seconds=args.seconds,
        )
    else:
        metrics = PrometheusConfig(
            bind_address=args.metrics,
            counters_total_suffix=args.counters_total,
            unit_suffix=args.unit_suffix,
            durations_as_seconds=args.seconds,
        )
    client = await Client.connect(
        args.address,
        runtime=Runtime(telemetry=TelemetryConfig(metrics=metrics)),
        data_converter=dataclasses.replace(DataConverter.default, payload_codec=Codec(STATE)),
    )
    options = {}
    if STATE == "few-slots":
        options["max_concurrent_workflow_tasks"] = 2
    if STATE == "few-activity-slots":
        options["max_concurrent_activities"] = 2
    if STATE == "few-pollers":
        options["max_concurrent_workflow_task_polls"] = 2
    if STATE == "slow-activities":
        options["max_concurrent_activities"] = 10
    if STATE == "stuck-activities":
        options["max_concurrent_activities"] = 6
    if STATE in ("tiny-cache", "nondeterministic"):
        options["max_cached_workflows"] = 2
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sig in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sig, stop.set)
    async with Worker(
        client, task_queue=args.task_queue, workflows=[Greeting, Quick], activities=[compose, export], **options
    ):
        await stop.wait()


asyncio.run(main())
