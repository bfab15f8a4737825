"""Finds what blocks an event loop, with the standard library alone."""

import asyncio
import logging
import sys
import threading
import time
import traceback


def log_slow_callbacks() -> None:
    """Logs every callback that has blocked the running loop for 100 ms or longer."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)  # as asyncio.run(…, debug=True) and PYTHONASYNCIODEBUG=1 do
    loop.slow_callback_duration = 0.1  # seconds


def log_what_blocks(threshold: float = 0.1) -> None:
    """Logs the stack of the running loop's thread whenever it has been blocked for `threshold` seconds."""
    loop, blocked = asyncio.get_running_loop(), threading.get_ident()

    def watch() -> None:
        while not loop.is_closed():
            answered = threading.Event()
            loop.call_soon_threadsafe(answered.set)
            if not answered.wait(threshold):
                stack = traceback.format_stack(sys._current_frames()[blocked])
                logging.warning("the event loop is blocked:\n%s", "".join(stack))
                answered.wait()
            time.sleep(threshold)

    threading.Thread(target=watch, daemon=True).start()
