"""Pictures for browsers' cameras: drawn when they rest, gone when they move, and never the end of a page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from veduta.core import InputError
from veduta.viewer.overlay import Overlay

PATIENCE_S = 20.0


class Client:
    """A browser: keeps what it is shown."""

    def __init__(self, client_id: int) -> None:
        self.client_id = client_id
        self.shown: list[np.ndarray] = []
        self.moved: list[Callable[[object], None]] = []
        self.camera = SimpleNamespace(on_update=self.moved.append)
        self.scene = SimpleNamespace(set_background_image=lambda picture, format="auto": self.shown.append(picture))

    def move(self) -> None:
        for callback in self.moved:
            callback(self.camera)


class Server:
    """Browsers that are there."""

    def __init__(self, *clients: Client) -> None:
        self.clients = {client.client_id: client for client in clients}

    def get_clients(self) -> dict[int, Client]:
        return self.clients

    def on_client_connect(self, callback: Callable[[Client], None]) -> None:
        for client in self.clients.values():
            callback(client)


class Stage:
    """An overlay with all that it reports."""

    def __init__(self) -> None:
        self.client = Client(7)
        self.rested: list[bool] = []
        self.failed: list[str] = []
        self.drawn = 0
        self.error: Exception | None = None
        self.overlay = Overlay(
            Server(self.client),  # type: ignore[arg-type]
            self._draw,
            behind=lambda: np.zeros((1, 1, 3), np.uint8),
            rested=self.rested.append,
            failed=self.failed.append,
            rest_s=0.01,
        )

    def _draw(self, client: object) -> torch.Tensor:
        self.drawn += 1
        if self.error is not None:
            raise self.error
        return torch.full((2, 3, 3), 0.5)


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.overlay.close()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_nothing_is_drawn_while_it_is_off(stage: Stage):
    stage.client.move()
    time.sleep(0.05)
    assert (stage.drawn, stage.rested) == (0, [])


def test_a_resting_camera_gets_its_picture_and_a_moving_one_loses_it(stage: Stage):
    stage.overlay.switch(True)
    wait_for(lambda: stage.rested == [True])
    assert stage.client.shown[-1].shape == (2, 3, 3)
    assert (stage.client.shown[-1] == 128).all()
    stage.client.move()
    assert stage.client.shown[1].shape == (1, 1, 3)
    wait_for(lambda: stage.rested == [True, False, True])
    stage.overlay.switch(False)
    assert stage.rested[-1] is False
    assert stage.client.shown[-1].shape == (1, 1, 3)


def test_what_changes_is_drawn_again(stage: Stage):
    stage.overlay.refresh()
    stage.overlay.switch(True)
    wait_for(lambda: stage.drawn == 1)
    stage.overlay.refresh()
    wait_for(lambda: stage.drawn == 2)


def test_a_page_survives_what_cannot_be_drawn(stage: Stage):
    stage.overlay.switch(True)
    wait_for(lambda: stage.rested == [True])
    stage.error = InputError("nothing to see")
    stage.client.move()
    wait_for(lambda: bool(stage.failed))
    assert "nothing to see" in stage.failed[0]
    assert stage.rested[-1] is False
    stage.error = None
    stage.overlay.switch(True)
    wait_for(lambda: stage.rested[-1])


def test_a_browser_that_left_is_forgotten(stage: Stage):
    stage.overlay._server.clients.clear()  # type: ignore[attr-defined]
    with stage.overlay._changed:
        stage.overlay._on = True
        stage.overlay._due = {7: 0.0}
        stage.overlay._changed.notify_all()
    wait_for(lambda: not stage.overlay._due)
    assert stage.client.shown == []
