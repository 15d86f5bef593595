"""`maskworks mcp`: an MCP server over the client, for assistants. It speaks over stdin and stdout."""

from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Any

from msgspec import to_builtins

from maskworks.aio.client import AsyncClient
from maskworks.errors import APIError, MaskworksError, WaitTimeout
from maskworks.extras import extra
from maskworks.overlay import canvas, drawn, png
from maskworks.records import JobRecord

_INSTRUCTIONS = """Segment images with a maskworks server. Submit a job over many images (a folder, files, or an s3://
prefix), follow it with `job`, and look at the masks of an item with `show_masks`. `segment` answers at once for one
image. Coordinates are x, y in pixels of the upright image."""
_LONGEST_WAIT = 50.0
_MOST = 100
_SIDE = 1024


class Tools:
    """What an assistant may call. Each docstring is what it is told about the tool."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def submit(
        self,
        prefix: str | None = None,
        images: list[str] | None = None,
        task: dict[str, Any] | None = None,
        prompts: list[dict[str, Any]] | None = None,
        model: str | None = None,
        name: str | None = None,
    ) -> dict[str, Any]:
        """Submit a job over an s3:// prefix, or over images: local folders, local files and URIs.

        Without a task everything is segmented. `prompts` apply to every image: points with labels, or a box.
        """
        fields: dict[str, Any] = {"model": model, "name": name}
        job = await self._client.jobs.submit(prefix=prefix, images=images, task=task, prompts=prompts, **fields)
        return brief(job.record)

    async def job(self, job_id: str, wait_seconds: float = 0) -> dict[str, Any]:
        """Read a job: its state, counts and failures. Waits up to 50 seconds for its end."""
        job = await self._client.jobs.get(job_id)
        if wait_seconds > 0:
            try:
                await job.wait(min(wait_seconds, _LONGEST_WAIT))
            except WaitTimeout:
                return brief(job.record)
        return brief(job.record)

    async def jobs(self, state: str | None = None, limit: int = 10) -> list[dict[str, Any]]:
        """List the newest jobs."""
        found: list[dict[str, Any]] = []
        async for job in self._client.jobs.list(state=state, page_size=min(max(limit, 1), _MOST)):
            found.append(brief(job.record))
            if len(found) >= limit:
                break
        return found

    async def cancel(self, job_id: str) -> dict[str, Any]:
        """End a job now. Finished items keep their results."""
        return brief((await (await self._client.jobs.get(job_id)).cancel()).record)

    async def retry(self, job_id: str) -> dict[str, Any]:
        """Make a new job from the failed items of a job that is done."""
        return brief((await (await self._client.jobs.get(job_id)).retry()).record)

    async def items(self, job_id: str, state: str | None = None, limit: int = 20) -> list[dict[str, Any]]:
        """List the items of a job, with the number of their masks and the reason where one failed."""
        job, found = await self._client.jobs.get(job_id), []
        async for item in job.items(state, page_size=min(max(limit, 1), _MOST)):
            error = None if item.error is None else f"{item.error.reason}: {item.error.detail}"
            about = {"id": item.id, "custom_id": item.custom_id, "image": item.image, "state": item.state}
            found.append({**about, "mask_count": item.mask_count, "error": error})
            if len(found) >= limit:
                break
        return found

    async def show_masks(self, job_id: str, item_id: str) -> Any:
        """A picture of an item with its masks over it, each in a colour of its own.

        The image is left out where the server cannot read it again.
        """
        job = await self._client.jobs.get(job_id)
        item = await job.item(item_id)
        if item.size is None:
            raise ValueError(f"item {item_id} is {item.state}: it has no masks")
        try:
            return picture(await job.preview(item_id, side=_SIDE), "jpeg")
        except APIError:
            return picture(png(drawn(canvas(item.size), [mask async for mask in job.masks(item_id)])))

    async def segment(
        self, image: str, points: list[list[float]] | None = None, box: list[float] | None = None
    ) -> list[Any]:
        """Segment one image now: what is at the points or in the box, or everything. A local file or a URI.

        Gives the masks' areas, boxes and scores, and a picture of them.
        """
        found = await self._client.segment(image, points=points, box=box)
        facts = [{"bbox": m.bbox, "area": m.area, "predicted_iou": m.predicted_iou} for m in found.masks]
        below = canvas(found.size) if "://" in image else Path(image)
        return [str(facts), picture(png(drawn(below, found.masks)))]

    async def models(self) -> list[Any]:
        """The models that jobs may name."""
        return [to_builtins(model) for model in await self._client.models()]

    def all(self) -> list[Callable[..., Awaitable[Any]]]:
        reading = (self.job, self.jobs, self.items, self.show_masks, self.models)
        return [self.submit, *reading, self.segment, self.cancel, self.retry]


def brief(record: JobRecord) -> dict[str, Any]:
    """What an assistant needs of a job."""
    kept = ("id", "name", "state", "done", "counts", "progress", "failures", "waiting_for", "error", "retry_of")
    return {name: to_builtins(getattr(record, name)) for name in kept}


def picture(content: bytes, format: str = "png") -> Any:
    """A picture as MCP carries it."""
    return extra("mcp.server.mcpserver", "The MCP server", "mcp").Image(data=content, format=format)


def server(client: AsyncClient) -> Any:
    """The server, ready to run. Needs the extra `mcp`."""
    made = extra("mcp.server.mcpserver", "The MCP server", "mcp").MCPServer("maskworks", instructions=_INSTRUCTIONS)
    for tool in Tools(client).all():
        made.add_tool(_refusing(tool), structured_output=False)
    return made


def _refusing(tool: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """A tool whose refusals reach the assistant. The text of any other exception is kept from it."""
    refusal = extra("mcp.server.mcpserver.exceptions", "The MCP server", "mcp").ToolError

    @wraps(tool)
    async def call(*given: Any, **named: Any) -> Any:
        try:
            return await tool(*given, **named)
        except (MaskworksError, ValueError, OSError) as error:
            raise refusal(str(error)) from error

    return call


def run() -> None:
    """Serve until stdin ends. Raises ConfigError, MissingExtra."""
    server(AsyncClient()).run()
