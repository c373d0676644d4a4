"""The end of a response, whichever client it comes from."""

from engine.upstream import UpstreamResponse


async def end(response: UpstreamResponse) -> None:
    """Close it."""
    closing = response.close()
    if closing is not None:
        await closing
