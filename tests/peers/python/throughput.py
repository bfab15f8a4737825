"""How long a payload takes to encrypt and to decrypt."""

from time import perf_counter

from codec import Encrypting
from temporalio.api.common.v1 import Payload

# How many payloads a call has, and how many bytes a payload.
CALLS = [(1, 64), (1, 1 << 10), (1, 64 << 10), (1, 1 << 20), (100, 1 << 10)]
# The clock is read once for at least that many bytes.
BATCH = 64 << 10
WARM_UP = 0.5  # seconds
SAMPLE = 0.1  # seconds
SAMPLES = 5


async def throughput() -> None:
    """Prints a line for each sample: name, operation, payloads in a call, bytes in a payload, microseconds for a
    payload."""
    codec = Encrypting()
    for count, size in CALLS:
        plain = [Payload(metadata={"encoding": b"json/plain"}, data=b"x" * size)] * count
        sealed = await codec.encode(plain)
        if await codec.decode(sealed) != plain:
            raise SystemExit("what was decrypted is not what was encrypted")
        await measure("encrypt", size, plain, codec.encode)
        await measure("decrypt", size, sealed, codec.decode)


async def measure(operation: str, size: int, payloads: list[Payload], call) -> None:
    in_batch = max(1, BATCH // (size * len(payloads)))

    async def sample(at_least: float) -> float:
        start, count = perf_counter(), 0
        while perf_counter() - start < at_least:
            for _ in range(in_batch):
                await call(payloads)
            count += in_batch * len(payloads)
        return 1e6 * (perf_counter() - start) / count

    await sample(WARM_UP)
    for _ in range(SAMPLES):
        time = await sample(SAMPLE)
        print("Python", operation, len(payloads), size, time, sep="\t", flush=True)
