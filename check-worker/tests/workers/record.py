"""Runs a worker in a state, gives it work, and records its metrics page as `check-worker` does.

    python record.py --language python --state held --out recordings/python-held

It starts Temporal's dev server, the worker, and where the state needs it a proxy that delays what passes
between the worker and the server. With `--collector`, the worker pushes its metrics to an OpenTelemetry
Collector, whose page is recorded. All of it listens on 127.0.0.1 and stops at the end.
"""

import argparse
import asyncio
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).parent

# State: workflows started each second, and the proxy's delay each way in seconds.
LOADS = {
    "healthy": (8, 0),
    "held": (4, 0),
    "held-often": (2.2, 0),
    "held-observed": (4, 0),
    "awaited": (6, 0),
    "awaited-rare": (6, 0),
    "awaited-jitter": (6, 0),
    "awaited-queue": (4, 0),
    "cached": (8, 0),
    "computes": (2, 0),
    "few-slots": (40, 0.04),
    "few-activity-slots": (12, 0),
    "few-pollers": (40, 0.04),
    "slow-activities": (4, 0),
    "stuck-activities": (4, 0),
    "tiny-cache": (5, 0),
    "few-threads": (5, 0),
    "too-large": (2, 0),
    "nondeterministic": (4, 0),
    "slow-server": (6, 0.3),
    "idle": (0, 0),
}

# State: flags of the workshop's own worker. The solutions are in the repository's folder of that name.
RUST = {
    "healthy": ["--solution=3", "--stall-probability=0"],
    "held": ["--solution=0"],
    # The same codec in codec_kit::Observed.
    "held-observed": ["--solution=1"],
    "awaited": ["--solution=3", "--stall-probability=1"],
    "awaited-rare": ["--solution=3"],
    "cached": ["--solution=4"],
    # Calls wait for each other: the pool that they wait in has two threads.
    "awaited-queue": ["--solution=2", "--blocking-threads=2"],
    "few-slots": ["--solution=4", "--stall-probability=0", "--workflow-task-slots=2"],
    "few-activity-slots": ["--solution=4", "--stall-probability=0", "--activity-slots=2"],
    "few-pollers": ["--solution=4", "--stall-probability=0", "--workflow-task-pollers=2"],
}
# State: how long an activity of the steady load takes there, in seconds.
RUST_WORK = {"few-activity-slots": 0.3}


# What an OpenTelemetry Collector needs to know: where workers push, and where it serves its page.
COLLECTOR = """
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:{otlp}"}}}}}}}}
exporters: {{prometheus: {{endpoint: "127.0.0.1:{page}"}}}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines: {{metrics: {{receivers: [otlp], exporters: [prometheus]}}}}
"""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


async def proxy(port: int, to: int, delay: float) -> asyncio.Server:
    """Forwards TCP, each chunk `delay` seconds later than it came, in both directions."""

    async def pump(reader, writer):
        queue: asyncio.Queue = asyncio.Queue()

        async def write():
            while True:
                due, data = await queue.get()
                await asyncio.sleep(max(0, due - time.monotonic()))
                if not data:
                    writer.close()
                    return
                writer.write(data)
                await writer.drain()

        task = asyncio.create_task(write())
        try:
            while data := await reader.read(65536):
                queue.put_nowait((time.monotonic() + delay, data))
        except ConnectionError:
            pass
        queue.put_nowait((time.monotonic() + delay, b""))
        await task

    async def serve(reader, writer):
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", to)
        await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer), return_exceptions=True)

    return await asyncio.start_server(serve, "127.0.0.1", port)


def worker_command(args, address: str, metrics: str) -> list[str]:
    state = "healthy" if args.state in ("slow-server", "idle") else args.state
    flags = ["--address", address, "--metrics", metrics, "--state", state, "--task-queue", args.task_queue]
    flags += args.setting
    match args.language:
        case "python":
            return [sys.executable, str(HERE / "python/worker.py"), *flags]
        case "go":
            return [str(HERE / "go/worker"), *flags]
        case "typescript":
            return ["node", str(HERE / "typescript/worker.mjs"), *flags]
        case "java":
            java = HERE / "java/target"
            return ["java", "-Xmx512m", "-cp", f"{java}/classes:{java}/lib/*", "Worker", *flags]
        case "spring":
            spring = HERE / "spring/target"
            return ["java", "-Xmx512m", "-cp", f"{spring}/classes:{spring}/lib/*", "SpringWorker", *flags]
        case "rust":
            # The workshop's own worker, whose state is what its flags say.
            own = ["worker", "--address", address, "--metrics-address", metrics, "--task-queue", args.task_queue]
            return [os.environ.get("WORKSHOP", str(HERE / "../../../target/debug/workshop")), *own,
                    *RUST[state], *args.setting]
    raise SystemExit(f"no worker in {args.language}; choose python, go, typescript, java, spring or rust")


def workflow(args, number: int, run: str):
    """The type and the input of a workflow."""
    if args.language != "rust":
        return ("Quick" if number % 4 == 3 else "Greeting"), "you"
    sizes = {} if args.load == "exercise" else {"activities": 2, "activity_seconds": RUST_WORK.get(args.state, 0.05)}
    return "GreetingWorkflow", {"id": f"{run}-{number}", "name": "you", **sizes}


async def exercise(client, args, until: float) -> None:
    """The load of the exercises: 50 workflows at once, and again when they are done."""
    while time.monotonic() < until:
        run = f"{args.state}-{int(time.time() * 1000)}"
        started = [
            client.execute_workflow(kind, given, id=f"{run}-{n}", task_queue=args.task_queue)
            for n in range(50)
            for kind, given in [workflow(args, n, run)]
        ]
        await asyncio.gather(*started, return_exceptions=True)


async def load(client, rate: float, args, until: float) -> None:
    """An open loop: arrivals do not wait for anything, as in production."""
    tasks, started = set(), 0
    run = f"{args.state}-{int(time.time() * 1000)}"
    while rate and time.monotonic() < until:
        kind, given = workflow(args, started, run)
        task = asyncio.create_task(
            client.start_workflow(kind, given, id=f"{run}-{started}", task_queue=args.task_queue)
        )
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        started += 1
        await asyncio.sleep(random.expovariate(rate) if args.arrivals == "random" else 1 / rate)
    await asyncio.gather(*tasks, return_exceptions=True)


def scrape(url: str, folder: pathlib.Path) -> None:
    """One page, as `check-worker --record` writes it."""
    at, begun = int(time.time() * 1000), time.monotonic()
    request = urllib.request.Request(url, headers={"Accept": "text/plain"})
    status, body = 0, b""
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            status, body = answer.status, answer.read()
    except OSError as error:
        print("scrape:", error, file=sys.stderr)
    took = int((time.monotonic() - begun) * 1000)
    if body:
        (folder / f"{at}.prom").write_bytes(body)
    with (folder / "scrapes.jsonl").open("a") as lines:
        lines.write(json.dumps({"at_ms": at, "took_ms": took, "status": status}) + "\n")


async def scrapes(url: str, args) -> None:
    folder = pathlib.Path(args.out)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    due = time.monotonic()
    for _ in range(args.scrapes):
        await asyncio.to_thread(scrape, url, folder)
        due += args.every
        await asyncio.sleep(max(0, due - time.monotonic()))
    for _ in range(args.close_up):
        await asyncio.to_thread(scrape, url, folder)
        await asyncio.sleep(0.02)


async def main() -> None:
    flags = argparse.ArgumentParser()
    flags.add_argument("--language", required=True)
    flags.add_argument("--state", required=True, choices=LOADS)
    flags.add_argument("--setting", action="append", default=[], help="a flag for the worker, such as --setting=--seconds")
    flags.add_argument("--out", required=True)
    flags.add_argument("--warm-up", type=float, default=5)
    flags.add_argument("--scrapes", type=int, default=9)
    flags.add_argument("--every", type=float, default=3)
    flags.add_argument("--close-up", type=int, default=0, help="so many scrapes more at the end, 20 ms apart")
    flags.add_argument("--rate", type=float)
    flags.add_argument("--delay", type=float, help="seconds each way between worker and server")
    flags.add_argument("--load", choices=["steady", "exercise"], default="steady")
    flags.add_argument("--arrivals", choices=["random", "even"], default="random")
    flags.add_argument("--task-queue", default="check-worker")
    flags.add_argument("--collector", help="an OpenTelemetry Collector's binary, with OTLP receiver and Prometheus exporter")
    flags.add_argument("--check", help="a command that is run on the page instead of recording it; {} is the address")
    args = flags.parse_args()
    rate, delay = LOADS[args.state]
    rate = args.rate if args.rate is not None else rate
    delay = args.delay if args.delay is not None else delay

    from temporalio.client import Client

    server_port, metrics_port = free_port(), free_port()
    log = open(os.environ.get("RECORD_LOG", os.devnull), "a")
    temporal = shutil.which("temporal") or str(pathlib.Path(sys.executable).parent / "temporal")
    processes = []

    def start(command):
        processes.append(subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL))
        return processes[-1]

    try:
        start([temporal, "server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(server_port),
               "--log-level", "error"])
        for _ in range(120):
            try:
                client = await Client.connect(f"127.0.0.1:{server_port}")
                break
            except RuntimeError:
                await asyncio.sleep(0.25)
        else:
            raise SystemExit("the server did not start")
        address = f"127.0.0.1:{server_port}"
        if delay:
            proxy_port = free_port()
            await proxy(proxy_port, server_port, delay)
            address = f"127.0.0.1:{proxy_port}"
        path = "actuator/prometheus" if args.language == "spring" else "metrics"
        url = f"http://127.0.0.1:{metrics_port}/{path}"
        metrics = f"127.0.0.1:{metrics_port}"
        if args.collector:
            otlp_port = free_port()
            config = tempfile.NamedTemporaryFile("w", suffix=".yaml")
            config.write(COLLECTOR.format(otlp=otlp_port, page=metrics_port))
            config.flush()
            start([args.collector, f"--config=file:{config.name}"])
            metrics = f"http://127.0.0.1:{otlp_port}"
        worker = start(worker_command(args, address, metrics))
        for _ in range(240):
            if worker.poll() is not None:
                raise SystemExit("the worker exited")
            try:
                # A collector's page is empty until the worker's first push.
                if b"worker_task_slots" in urllib.request.urlopen(url, timeout=1).read():
                    break
            except OSError:
                pass
            await asyncio.sleep(0.25)
        else:
            raise SystemExit("the worker's metrics did not appear")
        window = args.scrapes * args.every + 0.1 * args.close_up
        until = time.monotonic() + args.warm_up + (300 if args.check else window)
        work = exercise(client, args, until) if args.load == "exercise" else load(client, rate, args, until)
        working = asyncio.create_task(work)
        await asyncio.sleep(args.warm_up)
        if args.check:
            code = await asyncio.to_thread(subprocess.call, args.check.replace("{}", url), shell=True)
            print(f"exit code {code}")
        else:
            await scrapes(url, args)
        working.cancel()
    finally:
        for process in reversed(processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


asyncio.run(main())
