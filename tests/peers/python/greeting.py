"""GreetingWorkflow in Python, with the names, the JSON and the texts of greeting/src/workflows.rs."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.exceptions import ApplicationError

FAILS_ON_PURPOSE = "the activity failed on purpose"


@dataclass
class GreetingInput:
    id: str
    name: str
    activities: int = 10
    activity_seconds: float = 0.5
    failing: str | None = None  # "once" or "for_good"

    def result(self) -> str:
        return f"Greeted {self.name} {self.activities} times"


@dataclass
class ComposeGreetingInput:
    greeting: str
    name: str
    seconds: float = 0.5
    failing: str | None = None

    def result(self) -> str:
        # Rust writes 1.0 as 1.
        seconds = str(self.seconds).removesuffix(".0")
        return f"{self.greeting}, {self.name}, after {seconds} seconds of work!"


@activity.defn
async def compose_greeting(given: ComposeGreetingInput) -> str:
    if given.failing == "for_good" or (given.failing == "once" and activity.info().attempt == 1):
        raise ApplicationError(
            FAILS_ON_PURPOSE,
            f"{given.greeting}, {given.name}, not today",
            non_retryable=given.failing == "for_good",
            next_retry_delay=timedelta(milliseconds=50),
        )
    await asyncio.sleep(given.seconds)
    return given.result()


@workflow.defn(sandboxed=False)
class GreetingWorkflow:
    @workflow.run
    async def run(self, given: GreetingInput) -> str:
        each = ComposeGreetingInput("Hello", given.name, given.activity_seconds, given.failing)
        for _ in range(given.activities):
            await workflow.execute_activity(
                compose_greeting, each, start_to_close_timeout=timedelta(seconds=20)
            )
        return given.result()
