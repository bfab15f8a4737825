"""A header that names who calls, as tracing has one: a client sends it, and a workflow reads it."""

from temporalio import workflow
from temporalio.client import Interceptor, OutboundInterceptor, StartWorkflowInput
from temporalio.converter import PayloadConverter

CALLER = "caller"


class NamesCaller(Interceptor):
    """Sends the header with each workflow that is started."""

    def __init__(self, name: str) -> None:
        self.name = name

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        return _Outbound(next, self.name)


class _Outbound(OutboundInterceptor):
    def __init__(self, next: OutboundInterceptor, name: str) -> None:
        super().__init__(next)
        self.name = name

    async def start_workflow(self, input: StartWorkflowInput):
        caller = PayloadConverter.default.to_payload(self.name)
        input.headers = {**input.headers, CALLER: caller}
        return await super().start_workflow(input)


def caller() -> str | None:
    """Who called this workflow."""
    header = workflow.info().headers.get(CALLER)
    return header and workflow.payload_converter().from_payload(header, str)
