"""Writes small data sets in the published layouts."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from veduta.data.object_views import camera_groups, members, random_rig


def object_rig(seed: int, count: int = 12) -> torch.Tensor:
    """OpenCV poses around an object."""
    return random_rig(count, torch.Generator().manual_seed(seed), size_px=8).world_from_camera


def rgba(seed: int) -> np.ndarray:
    """A picture whose colour names its seed, with a soft disc of coverage."""
    y, x = np.mgrid[:512, :512]
    picture = np.zeros((512, 512, 4), dtype=np.uint8)
    picture[..., :3] = (seed * 20 % 256, 100, 255 - seed)
    picture[..., 3] = np.clip(255 * (1.5 - np.hypot(x - 255.5, y - 255.5) / 160), 0, 255)
    return picture


def write_archive(path: Path, names: list[str], *, splits: list[str] | None = None, views: int = 12) -> None:
    """Gobjaverse's layout; with ``splits`` Co3D's."""
    import h5py

    with h5py.File(path, "w") as file:
        for number, name in enumerate(names):
            group = file.create_group(name)
            poses = object_rig(number, views)
            for i in range(views):
                if number == 0:
                    group.create_dataset(f"image_{i}", data=rgba(i), compression="gzip", compression_opts=4)
                else:
                    group[f"image_{i}"] = file[f"{names[0]}/image_{i}"]
                group.create_dataset(f"c2w_{i}", data=poses[i].numpy())
                group.create_dataset(f"fov_{i}", data=np.array([0.7, 0.8], dtype=np.float32))
            for n in range(2, 7):
                for j, member in enumerate(members(camera_groups(poses[:, :3, 3], n))):
                    group.create_dataset(f"groups/groups_{n}_{j}", data=np.array(member, dtype=np.uint8))
        if splits is not None:
            file.create_dataset("splits/test", data=[name.encode() for name in splits])


def write_scanned(folder: Path, name: str, *, views: int = 12) -> Path:
    """GSO's layout; the transforms.json."""
    place = folder / name
    (place / "depth").mkdir(parents=True)
    frames = []
    flip = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    for i, pose in enumerate(object_rig(3, views)):
        Image.fromarray(rgba(i)).save(place / f"r_{i:03d}.png", compress_level=1)
        depth = np.full((512, 512), 0.0, dtype="<f4")
        depth[:256] = 1.0 + i  # the upper half
        (place / "depth" / f"r_{i:03d}.pfm").write_bytes(b"Pf\n512 512\n-1.0\n" + depth[::-1].tobytes())
        frames.append(
            {
                "file_path": f"r_{i:03d}.png" if i % 2 else f"r_{i:03d}",
                "transform_matrix": (pose @ flip).tolist(),
                "intrinsic_matrix": [[700.0, 0, 256.0], [0, 705.0, 250.0], [0, 0, 1]],
            }
        )
    path = place / "transforms.json"
    path.write_text(json.dumps({"frames": frames}))
    return path


def jpeg(seed: int, size: tuple[int, int] = (640, 360), *, format: str = "JPEG") -> torch.Tensor:
    """An encoded picture: a ramp from left to right, and a level that names the seed."""
    ramp = np.broadcast_to(np.linspace(0, 255, size[0]), (size[1], size[0]))
    picture = np.stack([ramp, np.full_like(ramp, seed * 3 % 256), ramp.max() - ramp], axis=2).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format=format, **({"quality": 95} if format == "JPEG" else {}))
    return torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8)


def scene(key: str, frames: int, *, focal: float = 0.9, size: tuple[int, int] = (640, 360)) -> dict[str, Any]:
    """One scene of a chunk: a camera that moves along x and turns a little."""
    cameras = torch.zeros(frames, 18)
    cameras[:, :4] = torch.tensor([focal, focal * size[0] / size[1], 0.5, 0.5])
    for i in range(frames):
        angle = torch.tensor(0.01 * i)
        rotation = torch.tensor([[angle.cos(), 0, angle.sin()], [0, 1, 0], [-angle.sin(), 0, angle.cos()]])
        world_from_camera = torch.eye(4)
        world_from_camera[:3, :3] = rotation
        world_from_camera[0, 3] = 0.05 * i
        cameras[i, 6:] = torch.linalg.inv(world_from_camera)[:3].reshape(-1)
    return {
        "key": key,
        "url": "nowhere",
        "timestamps": torch.arange(frames),
        "cameras": cameras,
        "images": [jpeg(i, size) for i in range(frames)],
    }


def write_chunks(folder: Path, chunks: dict[str, list[dict[str, Any]]]) -> None:
    """Chunks and their index.json."""
    folder.mkdir(parents=True)
    index = {}
    for name, scenes in chunks.items():
        torch.save(scenes, folder / name)
        index |= {stored["key"]: name for stored in scenes}
    (folder / "index.json").write_text(json.dumps(index))
