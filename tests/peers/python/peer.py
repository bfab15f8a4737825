"""A client and a worker in Python for the other half in Rust. tests/live/peers.rs runs each of these:

peer.py client ADDRESS QUEUE                starts workflows on the Rust worker, and checks what they return
peer.py remote ADDRESS QUEUE CODEC_SERVER   the same, with a codec server that encrypts and decrypts
peer.py messages ADDRESS QUEUE CODEC_SERVER sends messages and a header through the codec server
peer.py worker ADDRESS QUEUE                runs workflows that the Rust starter starts, until it is stopped

tests/peers/throughput.sh runs this:

peer.py throughput                          measures how fast the codec is
"""

import asyncio
import json
import sys

from caller import NamesCaller
from codec import Encrypting, Remote
from greeting import FAILS_ON_PURPOSE, GreetingInput, GreetingWorkflow, compose_greeting
from messages import MEMO, MessagesWorkflow, send
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import HeaderCodecBehavior
from temporalio.converter import DataConverter, DefaultFailureConverterWithEncodedAttributes
from temporalio.worker import Worker
from throughput import throughput

# The last one is 1 MiB.
NAMES = ["World", "Žofie 王小明 🦀", "", "x" * (1 << 20)]


async def connect(address: str, codec, interceptors=()) -> Client:
    converter = DataConverter(
        payload_codec=codec,
        # Messages and stack traces of failures are encrypted, too.
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )
    return await Client.connect(
        address,
        data_converter=converter,
        interceptors=interceptors,
        # Headers, too. By default, they do not go through the codec.
        header_codec_behavior=HeaderCodecBehavior.CODEC,
    )


async def start(client: Client, queue: str, prefix: str) -> None:
    """Starts a workflow for each name and one that fails, and prints their ids as one line of JSON."""
    inputs = [GreetingInput(str(i), name, 2, 0.1) for i, name in enumerate(NAMES)]
    inputs.append(GreetingInput("fails", "World", 2, 0.1, "for_good"))

    async def run(given: GreetingInput) -> str:
        handle = await client.start_workflow(
            "GreetingWorkflow", given, id=f"{prefix}-{given.id}", task_queue=queue, result_type=str
        )
        try:
            result, expected = await handle.result(), given.result()
        except WorkflowFailureError as error:
            # The workflow's failure, the activity's, and the one the activity returned.
            failure = error.cause.cause
            result = (failure.message, list(failure.details))
            expected = (FAILS_ON_PURPOSE, [f"Hello, {given.name}, not today"])
        if (given.failing is None) != isinstance(result, str) or result != expected:
            raise SystemExit(f"{handle.id} returned {result!r:.200}, not {expected!r:.200}")
        return handle.id

    async with asyncio.timeout(120):  # seconds
        print(json.dumps(await asyncio.gather(*map(run, inputs))))


async def work(client: Client, queue: str) -> None:
    async with Worker(
        client,
        task_queue=queue,
        workflows=[GreetingWorkflow, MessagesWorkflow],
        activities=[compose_greeting],
    ):
        await asyncio.Event().wait()


async def main() -> None:
    match sys.argv[1:]:
        case ["client", address, queue]:
            await start(await connect(address, Encrypting()), queue, "client")
        case ["remote", address, queue, url]:
            await start(await connect(address, Remote(url)), queue, "remote")
        case ["messages", address, queue, url]:
            async with asyncio.timeout(120):  # seconds
                client = await connect(address, Remote(url), [NamesCaller(MEMO["note"])])
                print(json.dumps([await send(client, queue)]))
        case ["worker", address, queue]:
            await work(await connect(address, Encrypting()), queue)
        case ["throughput"]:
            await throughput()
        case _:
            print(__doc__, file=sys.stderr)
            raise SystemExit(2)


if __name__ == "__main__":
    asyncio.run(main())
