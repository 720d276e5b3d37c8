"""Pictures drawn here for the camera of each browser, whenever it rests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from veduta.core import VedutaError
from veduta.io.images import to_bytes

if TYPE_CHECKING:
    import viser

REST_S = 0.25
"""A camera that has not moved for so long rests."""


class Overlay:
    """A picture over the whole page of every browser, drawn anew each time that its camera comes to rest.

    ``draw`` makes the picture ("h w 3", 0 to 1) that a client's camera sees; it runs on a thread of its own, one at a
    time. While a camera moves, and when all is over, ``behind`` is what lies behind the scene again. ``rested`` is told
    True when a picture is in place and False otherwise, so that what lies before the picture can be hidden meanwhile.
    ``failed`` is told what went wrong in drawing; the overlay then goes off.
    """

    def __init__(
        self,
        server: viser.ViserServer,
        draw: Callable[[viser.ClientHandle], Float[Tensor, "h w 3"]],
        *,
        behind: Callable[[], NDArray[np.uint8]],
        rested: Callable[[bool], None],
        failed: Callable[[str], None],
        rest_s: float = REST_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server, self._draw = server, draw
        self._behind, self._rested, self._failed = behind, rested, failed
        self._rest_s, self._clock = rest_s, clock
        self._on = False
        self._closed = False
        self._due: dict[int, float] = {}
        self._covered: set[int] = set()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="veduta overlay", daemon=True)
        self._thread.start()
        server.on_client_connect(self._attach)

    def switch(self, on: bool) -> None:
        """Show the overlay on every page, or take it away."""
        with self._changed:
            self._on = on
            self._due = dict.fromkeys(self._server.get_clients(), 0.0) if on else {}
            self._changed.notify_all()
        if not on:
            self._uncover(None)

    def refresh(self) -> None:
        """Draw again where nothing moved, because what is drawn has changed."""
        with self._changed:
            if self._on:
                self._due = dict.fromkeys(self._server.get_clients(), 0.0)
                self._changed.notify_all()

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _attach(self, client: viser.ClientHandle) -> None:
        client.camera.on_update(lambda _: self._moved(client.client_id))
        self._moved(client.client_id)

    def _moved(self, client_id: int) -> None:
        with self._changed:
            if not self._on:
                return
            self._due[client_id] = self._clock() + self._rest_s
            self._changed.notify_all()
        self._uncover(client_id)

    def _work(self) -> None:
        while True:
            with self._changed:
                client_id = self._next()
                if client_id is None:
                    return
            client = self._server.get_clients().get(client_id)
            if client is not None:
                self._show(client)

    def _next(self) -> int | None:
        """Wait for a camera at rest, and take it off the list; None when all is over."""
        while not self._closed:
            now = self._clock()
            ready = [key for key, due in self._due.items() if due <= now]
            if ready:
                del self._due[ready[0]]
                return ready[0]
            self._changed.wait(timeout=min(self._due.values()) - now if self._due else None)
        return None

    def _show(self, client: viser.ClientHandle) -> None:
        try:
            picture = to_bytes(self._draw(client)).numpy()
        except (VedutaError, OSError, RuntimeError, ValueError, AssertionError) as error:
            with self._changed:
                self._on, self._due = False, {}
            self._uncover(None)
            self._failed(f"{type(error).__name__}: {error}")
            return
        with self._changed:
            if not self._on or client.client_id in self._due:  # switched off, or moved on meanwhile
                return
            self._covered.add(client.client_id)
            client.scene.set_background_image(picture, format="jpeg")
        self._rested(True)

    def _uncover(self, client_id: int | None) -> None:
        """Take the picture away from one page, or from all."""
        with self._changed:
            gone = self._covered if client_id is None else self._covered & {client_id}
            self._covered = self._covered - gone
            clients = self._server.get_clients()
            for client in (clients[key] for key in gone if key in clients):
                client.scene.set_background_image(self._behind())
        if gone:
            self._rested(False)
