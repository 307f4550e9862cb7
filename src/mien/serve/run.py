"""From settings to a service that runs until it is told to stop."""

import uvicorn

from mien.serve.app import make_app
from mien.serve.protocol import PunctualProtocol
from mien.serve.settings import Settings

LARGEST_MESSAGE = 2**20
"""Bytes of the largest message of a live client."""
GOODBYE_S = 5
"""Seconds that requests have to end when the service is stopped."""
KEEP_ALIVE_S = 15


def serve(settings: Settings) -> None:
    """Answer requests until the process is told to stop.

    Args:
        settings: how.

    Raises:
        BundleError: the bundle cannot be used.
        OSError: the port cannot be had.
    """
    config = uvicorn.Config(
        make_app(settings),
        host=settings.host,
        port=settings.port,
        http=PunctualProtocol,
        ws="websockets-sansio",
        ws_max_size=LARGEST_MESSAGE,
        # JPEG does not become smaller, and what was made small could become large.
        ws_per_message_deflate=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GOODBYE_S,
        server_header=False,
        # Who asked, and for what, is nobody's business.
        access_log=False,
        log_level="warning",
    )
    uvicorn.Server(config).run()
