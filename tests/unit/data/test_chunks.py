"""Scenes in chunks: resizing, intrinsics, sampling, evaluation, hostile files."""

from __future__ import annotations

import io
import json
import subprocess
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.unit.data.published import jpeg, scene, write_chunks
from veduta.core import Examples, InputError
from veduta.data import SceneChunks, warmed_gap
from veduta.data.chunks import SCENE_KINDS, Kind, evaluation_index_in, mirrored
from veduta.data.scene_pictures import covered, covered_intrinsics, covering_size
from veduta.geometry import is_rigid, project

FRAMES = 60


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("re10k")
    wide = scene("wide", 50, focal=0.3)  # 118 degrees across
    chunks = {"000000.torch": [scene("a", FRAMES), scene("short", 5)], "000001.torch": [wide, scene("b", FRAMES)]}
    write_chunks(folder / "train", chunks)
    write_chunks(folder / "test", {"000000.torch": [scene("a", 8), scene("scan1_train", 4)]})
    index = {
        "a": {"context": [0, 6], "target": [1, 3, 5]},
        "none": None,
        "scan1_train_01": {"context": [0, 2], "target": [1]},
    }
    (folder / "evaluation.json").write_text(json.dumps(index))
    return folder


def _evaluation(root: Path) -> SceneChunks:
    return SceneChunks(root, split="test", evaluation_index=root / "evaluation.json")


def test_sizes_of_the_protocol() -> None:
    assert covering_size(640, 360, to_width=256, to_height=256) == (455, 256)
    assert covering_size(640, 512, to_width=256, to_height=256) == (320, 256)


def test_pictures_are_reduced_by_lanczos_and_cut_in_the_middle() -> None:
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (360, 640, 3), dtype=np.uint8))
    expected = np.asarray(picture.resize((455, 256), Image.Resampling.LANCZOS))[:, 99 : 99 + 256]
    found = covered(picture, width=256, height=256)
    assert torch.equal((found * 255).round().to(torch.uint8), torch.from_numpy(expected.copy()))


def test_intrinsics_follow_the_reduction_and_the_protocols_cut() -> None:
    matrix = covered_intrinsics(torch.tensor([0.9, 1.6, 0.5, 0.5]), (640, 360), width=256, height=256)
    # As shares of the picture: fx * 455 / 256, fy * 256 / 256, the principal point in the middle.
    shares = matrix / torch.tensor([[256.0], [256.0], [1.0]])
    assert torch.allclose(shares, torch.tensor([[0.9 * 455 / 256, 0, 0.5], [0, 1.6, 0.5], [0, 0, 1]]))


def test_evaluation_takes_the_views_of_its_index(root: Path) -> None:
    chunks = _evaluation(root)
    assert isinstance(chunks, Examples)
    assert chunks.keys == ("a", "scan1_train_01")
    example = chunks.evaluation(0)
    assert example.inputs.names == ("000000", "000006")
    assert example.targets.names == ("000001", "000003", "000005")
    assert (example.near, example.far) == (1.0, 100.0)
    assert example.input_alpha is None
    # Stored camera-from-world poses come back inverted.
    position = example.inputs.cameras.positions_world[1]
    assert torch.allclose(position, torch.tensor([0.3, 0, 0]), atol=1e-5)
    assert is_rigid(example.inputs.cameras.world_from_camera)
    # The level of green names the frame.
    assert float(example.targets.rgb[1, ..., 1].mean()) == pytest.approx(9 / 255, abs=2e-3)
    assert chunks.evaluation(1).name == "scan1_train_01"


def test_training_keeps_the_gap_and_targets_between(root: Path) -> None:
    chunks = SceneChunks(root, gap=(20, 30), size_px=32, mirror=False)
    gaps, names = set(), set()
    for seed in range(25):
        example = chunks.sample(0, torch.Generator().manual_seed(seed))
        left, right = (int(name) for name in example.inputs.names)
        gaps.add(right - left)
        assert all(left <= int(name) <= right for name in example.targets.names)
        assert len(example.targets) == 4
        names.add(left)
    assert min(gaps) >= 20
    assert max(gaps) <= 30
    assert len(gaps) > 5
    assert len(names) > 5
    first, again = (chunks.sample(0, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first.targets.rgb, again.targets.rgb)


def test_more_inputs_are_spread_evenly(root: Path) -> None:
    example = SceneChunks(root, gap=(20, 20), inputs=3, size_px=16).sample(0, torch.Generator())
    first, middle, last = (int(name) for name in example.inputs.names)
    assert (middle - first, last - middle) == (10, 10)


def test_scenes_that_the_protocol_leaves_out_are_passed_over(root: Path) -> None:
    chunks = SceneChunks(root, gap=(20, 30), size_px=16)
    used = {chunks.keys[i]: chunks.sample(i, torch.Generator()).name for i in range(4)}
    assert used == {"a": "a", "short": "b", "wide": "b", "b": "b"}
    with pytest.raises(InputError, match="no scene can be trained on"):
        SceneChunks(root, gap=(100, 200)).sample(0, torch.Generator())


def test_a_mirrored_scene_is_consistent(root: Path) -> None:
    """A point and its mirror image are seen at mirrored pixels."""
    example = _evaluation(root).evaluation(0)
    reflected = mirrored(example)
    points = torch.tensor([[0.2, 0.1, 3.0], [-0.4, 0.3, 5.0]])
    before, _ = project(points, example.inputs.cameras)
    after, _ = project(points * torch.tensor([-1.0, 1, 1]), reflected.inputs.cameras)
    assert torch.allclose(after[..., 0], 256 - before[..., 0], atol=1e-3)
    assert torch.allclose(after[..., 1], before[..., 1], atol=1e-3)
    assert is_rigid(reflected.targets.cameras.world_from_camera)
    assert torch.equal(mirrored(reflected).inputs.rgb, example.inputs.rgb)
    assert torch.equal(reflected.inputs.rgb[0, :, 0], example.inputs.rgb[0, :, -1])
    both = SceneChunks(root, gap=(20, 30), size_px=16)
    lefts = [float(both.sample(0, torch.Generator().manual_seed(s)).inputs.rgb[0, 0, 0, 0]) for s in range(12)]
    assert min(lefts) < 0.4 < max(lefts)


def test_gaps_grow_over_the_warm_up() -> None:
    assert warmed_gap(0) == (25, 45)
    assert warmed_gap(50_000) == (35, 118)
    assert warmed_gap(100_000) == warmed_gap(300_000) == (45, 192)


def test_dtu_has_other_pictures_and_depths(tmp_path: Path) -> None:
    stored = scene("scan9_train", 3, size=(640, 512))
    stored["images"] = [jpeg(i, (640, 512), format="PNG") for i in range(3)]
    write_chunks(tmp_path / "test", {"000000.torch": [stored]})
    (tmp_path / "e.json").write_text('{"scan9_train_00": {"context": [0, 2], "target": [1]}}')
    example = SceneChunks(
        tmp_path, split="test", kind=SCENE_KINDS["dtu"], evaluation_index=tmp_path / "e.json"
    ).evaluation(0)
    assert (example.near, example.far) == (2.125, 4.525)
    assert example.inputs.rgb.shape == (2, 256, 256, 3)


def test_real_frames_of_a_clip(shared_data: Path, tmp_path: Path) -> None:
    """Both frames of the RealEstate10K clip, stored as a scene, come back as they are decoded, reduced and cut."""
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    clip_path = next((shared_data / "clips").glob("re10k_*.mp4"))
    size = (448, 448)
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-v",
        "error",
        "-i",
        str(clip_path),
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-",
    ]
    raw = subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout
    count, rest = divmod(len(raw), 448 * 448 * 3)
    assert (count, rest) == (2, 0)
    frames = [Image.frombytes("RGB", size, raw[i * 448 * 448 * 3 :][: 448 * 448 * 3]) for i in range(count)]
    stored = scene("clip", len(frames), size=size)
    stored["images"] = []
    for frame in frames:
        buffer = io.BytesIO()
        frame.save(buffer, format="JPEG", quality=95, subsampling=0)
        stored["images"].append(torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8))
    write_chunks(tmp_path / "test", {"000000.torch": [stored]})
    (tmp_path / "e.json").write_text('{"clip": {"context": [0, 1], "target": [0]}}')
    clip = SceneChunks(tmp_path, split="test", kind=Kind(size, 1.0, 100.0), evaluation_index=tmp_path / "e.json")
    example = clip.evaluation(0)
    assert example.inputs.rgb.shape == (2, 256, 256, 3)
    expected = torch.from_numpy(np.asarray(frames[1].resize((256, 256), Image.Resampling.LANCZOS)) / 255).float()
    assert float((example.inputs.rgb[1] - expected).abs().mean()) < 0.01
    assert float((example.inputs.rgb[0] - example.inputs.rgb[1]).abs().mean()) > 0.02


def _damaged(folder: Path, damage: str) -> SceneChunks:
    stored: Any = scene("a", 4)
    write_chunks(folder / "test", {"000000.torch": [stored]})
    path, index = folder / "test" / "000000.torch", folder / "test" / "index.json"
    evaluation = {"a": {"context": [0, 3], "target": [1]}}
    if damage == "bomb":
        buffer = io.BytesIO()
        Image.fromarray(np.zeros((9000, 9000), dtype=np.uint8)).save(buffer, format="PNG")
        stored["images"][0] = torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8)
    elif damage == "size":
        stored["images"][0] = jpeg(0, (360, 640))
    elif damage == "cut off":
        stored["images"][0] = stored["images"][0][:900]
    elif damage == "no picture":
        stored["images"][0] = torch.zeros(3, 4)
    elif damage == "one byte":
        stored["images"][0] = torch.zeros(1, dtype=torch.uint8).expand(1 << 30)
    elif damage == "cameras":
        stored["cameras"] = torch.zeros(4, 17)
    elif damage == "no cameras":
        del stored["cameras"]
    elif damage == "focal":
        stored["cameras"][:, 0] = 0.0
    elif damage == "pose":
        stored["cameras"][0, 6:] = 3.0
    elif damage == "too few pictures":
        del stored["images"][0]
    elif damage == "other key":
        stored["key"] = "z"
    torch.save([stored], path)
    if damage == "not a list":
        torch.save({"a": 1}, path)
    elif damage == "code":
        torch.save([Path("x")], path)
    elif damage == "compressed":
        with zipfile.ZipFile(path) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in entries.items():
                archive.writestr(name, content)
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-3000])
    elif damage == "escape":
        index.write_text('{"a": "../../other.torch"}')
    elif damage == "not a name":
        index.write_text('{"a": 3}')
    elif damage == "gone":
        index.write_text('{"a": "000009.torch"}')
    elif damage == "missing key":
        index.write_text('{"b": "000000.torch"}')
    elif damage == "empty index":
        index.write_text("{}")
    elif damage == "no index":
        index.unlink()
    elif damage == "frames":
        evaluation = {"a": {"context": [0, 4], "target": [1]}}
    elif damage == "no frames":
        evaluation = {"a": {"context": [0, 2], "target": "1"}}
    (folder / "e.json").write_text(json.dumps(evaluation))
    return SceneChunks(folder, split="test", evaluation_index=folder / "e.json")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("bomb", r"images\[0\].*another size.*9000 x 9000"),
        ("size", r"images\[0\].*640 x 360.*360 x 640"),
        ("cut off", r"images\[0\].*cannot read the picture"),
        ("no picture", r"images\[0\].*uint8"),
        ("one byte", r"images\[0\].*1073741824 bytes made of 1"),
        ("compressed", "compressed entry"),
        ("cameras", r"a.cameras.*\(4, 17\)"),
        ("no cameras", "a.cameras.*NoneType"),
        ("focal", "a.cameras.*focal"),
        ("pose", r"a.cameras\[0\].*pose"),
        ("too few pictures", "a.images.*3 pictures"),
        ("other key", "lacks a scene"),
        ("not a list", "not a list of scenes"),
        ("code", "cannot read the chunk"),
        ("truncated", "cannot read the chunk"),
        ("escape", "leaves its folder"),
        ("not a name", "no chunk holds"),
        ("gone", "no such file"),
        ("missing key", "no chunk holds"),
        ("empty index", "index is empty"),
        ("no index", "no such file"),
        ("frames", "a.context.*0 to 3"),
        ("no frames", "a.target.*0 to 3"),
    ],
)
def test_hostile_chunks_are_told_by_field(tmp_path: Path, damage: str, message: str) -> None:
    chunks = _damaged(tmp_path, damage)
    with pytest.raises(InputError, match=message) as caught:
        chunks.evaluation(0)
    assert str(tmp_path) in str(caught.value)


def test_chunks_of_absurd_sizes_are_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = _damaged(tmp_path, "none")
    monkeypatch.setattr("veduta.data.chunks.MAX_CHUNK_BYTES", 1000)
    with pytest.raises(InputError, match="too large"):
        chunks.evaluation(0)


class SlowPath(type(Path())):
    """Gives other threads their turn whenever it is looked up."""

    def __hash__(self) -> int:
        time.sleep(1e-4)
        return super().__hash__()

    def __eq__(self, other: object) -> bool:
        time.sleep(1e-4)
        return super().__eq__(other)


def test_threads_that_read_different_chunks_get_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = SceneChunks(tmp_path)
    monkeypatch.setattr("veduta.data.chunks._load_chunk", lambda path: [path.name])

    def read(worker: int) -> list[str]:
        paths = [SlowPath(tmp_path / f"{(worker + step) % 3}.torch") for step in range(80)]
        return [path.name for path in paths if examples._chunk(path) != [path.name]]  # pyright: ignore[reportPrivateUsage]

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(read, range(6))) == [[]] * 6


def test_evaluation_needs_its_index(root: Path) -> None:
    with pytest.raises(InputError, match="evaluation index"):
        SceneChunks(root).evaluation(0)


def test_the_one_evaluation_index_is_found(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"evaluation_index.*none"):
        evaluation_index_in(tmp_path)
    (tmp_path / "evaluation_index_re10k.json").write_text("{}")
    assert evaluation_index_in(tmp_path).name == "evaluation_index_re10k.json"
    (tmp_path / "evaluation_index_acid.json").write_text("{}")
    with pytest.raises(InputError, match=r"acid.json, evaluation_index_re10k.json"):
        evaluation_index_in(tmp_path)
