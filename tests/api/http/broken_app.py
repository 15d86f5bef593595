"""The application with a route that fails."""

from fastapi import FastAPI, Request

from api.main import create_app


def broken_app() -> FastAPI:
    """For a server of its own, by `uvicorn --factory`."""
    app = create_app()

    @app.post("/boom")
    async def boom(request: Request, read: bool = False) -> None:
        if read:
            await request.body()
        raise ValueError("secret of the house")

    return app
