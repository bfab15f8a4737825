"""Three ways to ask a key service over HTTP. They differ only in where they wait."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import httpx


class Blocking:
    """As it is often found: `async`, and yet it blocks the event loop."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=url)

    def key_blocking(self) -> bytes:
        return self.client.get("/key").raise_for_status().content

    async def key(self) -> bytes:
        return self.key_blocking()


class OnThreads(Blocking):
    """The same client, on threads of its own. The default executor has only 4 more than there are CPUs."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.threads = ThreadPoolExecutor(max_workers=64)

    async def key(self) -> bytes:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.threads, self.key_blocking)


class Async:
    """An async client, which needs no thread to wait."""

    def __init__(self, url: str) -> None:
        self.client = httpx.AsyncClient(base_url=url)

    async def key(self) -> bytes:
        response = await self.client.get("/key")
        return response.raise_for_status().content
