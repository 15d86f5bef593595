"""Traces by OpenTelemetry, from the request to the batch on the GPU. Off by default.

The variables of the SDK say where spans go (`OTEL_EXPORTER_OTLP_ENDPOINT`) and how many (`OTEL_TRACES_SAMPLER`). A
`traceparent` is W3C Trace Context's text for "this span of that trace". Attributes name jobs, chunks and models, and
never tenants, keys or images.
"""

import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from db.configuration import EXIT_CONFIGURATION

if TYPE_CHECKING:
    from opentelemetry.trace import Link, Tracer

Value = str | int | float
Note = Callable[..., None]
"""Adds attributes to a span."""

_NAMED: Final = "maskworks."
_tracer: "Tracer | None" = None


def start_traces(on: bool, service: str) -> Callable[[], None]:
    """Send this process's spans from now on, if `on`. Returns what sends the last ones.

    Ends the process where the extra `tracing` is not installed.
    """
    global _tracer
    if not on:
        return lambda: None
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        print(f"MASKWORKS_TRACING: needs the extra tracing, {error}: pip install 'maskworks[tracing]'", file=sys.stderr)
        raise SystemExit(EXIT_CONFIGURATION) from error
    provider = TracerProvider(resource=Resource.create({"service.name": f"maskworks-{service}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    _tracer = provider.get_tracer("maskworks")
    return provider.shutdown


@contextmanager
def span(
    name: str,
    attributes: Mapping[str, Value],
    *,
    of: str | None = None,
    also_of: Collection[str] = (),
    ago_ms: float = 0,
) -> Iterator[Note]:
    """A span around the block, which began so many milliseconds ago. An error that leaves the block marks it.

    It is a child of the span with the traceparent `of`, if there is one, and of the thread's own otherwise. `also_of`
    are other spans that it did work for.
    """
    if _tracer is None:
        yield _note_nothing
        return
    from opentelemetry.trace.propagation import tracecontext

    context = tracecontext.TraceContextTextMapPropagator().extract({"traceparent": of}) if of else None
    began = time.time_ns() - round(ago_ms * 1e6)
    with _tracer.start_as_current_span(name, context=context, links=_links(also_of), start_time=began) as current:

        def note(**more: Value) -> None:
            current.set_attributes({f"{_NAMED}{key}": value for key, value in more.items()})

        note(**attributes)
        yield note


def traceparent() -> str | None:
    """The traceparent of the span around us. None outside of one."""
    if _tracer is None:
        return None
    from opentelemetry.trace.propagation import tracecontext

    carrier: dict[str, str] = {}
    tracecontext.TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")


def trace_id() -> str | None:
    """The id of the trace around us, as a log line shows it. None outside of one."""
    found = traceparent()
    return found.split("-")[1] if found else None


def _links(traceparents: Collection[str]) -> "list[Link]":
    from opentelemetry import trace
    from opentelemetry.trace.propagation import tracecontext

    extract = tracecontext.TraceContextTextMapPropagator().extract
    spans = [trace.get_current_span(extract({"traceparent": each})) for each in traceparents]
    return [trace.Link(each.get_span_context()) for each in spans]


def _note_nothing(**_: Value) -> None:
    """Nobody reads it."""
