"""The bare contender over HTTP: the same framework and server, and 202 without doing anything.

python -m benchmarks.bare_app PORT
"""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI, Request
from starlette.responses import Response

app = FastAPI(openapi_url=None)


@app.post("/jobs")
async def accept(request: Request) -> Response:
    """Read the body, and forget it."""
    await request.body()
    return Response(b'{"id":"none","state":"queued"}', 202, media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), loop="asyncio", http="httptools", log_level="error")
