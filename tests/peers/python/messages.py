"""Signals, updates, queries, a memo and a header, between a client and a worker of which one is in Rust."""

from caller import caller
from temporalio import workflow
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

# What an update refuses, and the message of its failure.
REFUSED = "refused on purpose"
MEMO = {"note": "Žofie 王小明 🦀", "empty": "", "nil": None}
# The server stores at most 2 MiB in a payload.
LONG = "x" * 1_900_000


@workflow.defn(sandboxed=False)
class MessagesWorkflow:
    def __init__(self) -> None:
        self.held: list[str | None] = []
        self.has_ended = False

    @workflow.run
    async def run(self, first: str | None) -> list[str | None]:
        await workflow.wait_condition(lambda: self.has_ended)
        return [first, *self.held]

    @workflow.signal
    def add(self, text: str | None) -> None:
        self.held.append(text)

    @workflow.signal
    def end(self, text: str | None) -> None:
        self.held.append(text)
        self.has_ended = True

    @workflow.query
    def caller(self) -> str | None:
        return caller()

    @workflow.query
    def count(self, text: str | None) -> int:
        return self.held.count(text)

    @workflow.update
    def replace(self, text: str | None) -> str | None:
        before, self.held[-1] = self.held[-1], text
        return before

    @replace.validator
    def check(self, text: str | None) -> None:
        if text == REFUSED:
            raise ApplicationError(REFUSED)


async def send(client: Client, queue: str) -> str:
    """Sends all kinds of messages to a workflow, checks the answers, and returns its id."""
    handle = await client.start_workflow(
        "MessagesWorkflow", None, id="messages", task_queue=queue, memo=MEMO, result_type=list
    )
    for text in ["", None, LONG]:
        await handle.signal("add", text)
    expect(await handle.execute_update("replace", "World", result_type=str), LONG)
    try:
        expect(await handle.execute_update("replace", REFUSED), "a failure")
    except WorkflowUpdateFailedError as error:
        expect(error.cause.message, REFUSED)
    for text, count in [("", 1), (None, 1), (LONG, 0)]:
        expect(await handle.query("count", text, result_type=int), count)
    expect(await handle.query("caller", result_type=str), MEMO["note"])
    expect(await (await handle.describe()).memo(), MEMO)
    await handle.signal("end", MEMO["note"])
    expect(await handle.result(), [None, "", None, "World", MEMO["note"]])
    return handle.id


def expect(got, expected) -> None:
    if got != expected:
        raise SystemExit(f"{got!r:.200} came back, not {expected!r:.200}")
