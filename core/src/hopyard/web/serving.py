"""The server of the dashboard and the API: uvicorn, which waits for open streams unless they end first."""

from __future__ import annotations

import socket

import uvicorn
from fastapi import FastAPI

from hopyard.web.state import Served


class Server(uvicorn.Server):
    """Ends the streams before it waits for connections: no stream ends by itself."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop serving."""
        app = self.config.app
        if isinstance(app, FastAPI):
            state: Served = app.state.served
            state.hub.end()
        await super().shutdown(sockets)
