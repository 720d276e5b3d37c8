"""PLY: every layout that programs write, checked against plyfile, and every damage an InputError."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from plyfile import PlyData, PlyElement

from veduta.core import Gaussians, InputError, OutputError
from veduta.io.ply import read_ply, write_ply

FIELDS = ("means", "quats", "scales", "opacities", "sh")
FORMATS = [("binary", "<"), ("binary", ">"), ("ascii", "=")]


def assert_close(a: Gaussians, b: Gaussians, *, rtol: float = 1e-6, atol: float = 1e-6) -> None:
    for field in FIELDS:
        torch.testing.assert_close(getattr(a, field), getattr(b, field), rtol=rtol, atol=atol, msg=field)


def standard_names(degree: int) -> list[str]:
    rest = [f"f_rest_{i}" for i in range(3 * ((degree + 1) ** 2 - 1))]
    scale_and_rotation = ["scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
    return ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", *rest, "opacity", *scale_and_rotation]


def raw_columns(g: Gaussians) -> dict[str, np.ndarray]:
    """The columns of a 3DGS file, spelled out one by one: the test's own statement of the layout."""
    columns = {name: np.zeros(len(g)) for name in ("nx", "ny", "nz")}
    for axis, name in enumerate("xyz"):
        columns[name] = g.means[:, axis].double().numpy()
        columns[f"scale_{axis}"] = np.log(g.scales[:, axis].double().numpy())
        columns[f"f_dc_{axis}"] = g.sh[:, 0, axis].double().numpy()
        for k in range(1, g.sh.shape[1]):
            columns[f"f_rest_{axis * (g.sh.shape[1] - 1) + k - 1}"] = g.sh[:, k, axis].double().numpy()
    for i in range(4):
        columns[f"rot_{i}"] = g.quats[:, i].double().numpy() * 3.0  # any length
    p = g.opacities.double().numpy()
    columns["opacity"] = np.log(p / (1 - p))
    return columns


def write_with_plyfile(
    g: Gaussians, path: Path, *, kind: str = "f4", order: str = "<", text: bool = False, shuffle: bool = False
) -> None:
    columns = raw_columns(g)
    names = list(columns)
    if shuffle:
        names = [names[i] for i in np.random.default_rng(1).permutation(len(names))]
    rows = np.empty(len(g), dtype=[(name, kind) for name in names])
    for name in names:
        rows[name] = columns[name]
    PlyData([PlyElement.describe(rows, "vertex")], text=text, byte_order=order).write(str(path))


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 9000])
def test_what_is_written_is_read(tmp_path: Path, make_gaussians: Callable, degree: int, count: int) -> None:
    g = make_gaussians(count, degree=degree)
    write_ply(g, tmp_path / "a.ply")
    back = read_ply(tmp_path / "a.ply")
    assert torch.equal(back.means, g.means)
    assert torch.equal(back.sh, g.sh)
    assert_close(back, g, rtol=2e-6, atol=2e-7)
    write_ply(back, tmp_path / "b.ply")
    assert_close(read_ply(tmp_path / "b.ply"), back, rtol=2e-6, atol=2e-7)


@pytest.mark.parametrize("degree", [0, 3])
def test_plyfile_reads_the_standard_layout(tmp_path: Path, make_gaussians: Callable, degree: int) -> None:
    g = make_gaussians(100, degree=degree)
    write_ply(g, tmp_path / "a.ply", comments=["made by a test"], extra={"gain": torch.arange(100.0)})
    ply = PlyData.read(str(tmp_path / "a.ply"))
    vertex = ply["vertex"]
    assert ply.comments == ["made by a test"]
    assert [p.name for p in vertex.properties] == [*standard_names(degree), "gain"]
    assert {p.val_dtype for p in vertex.properties} == {"f4"}
    expected = {**raw_columns(g), "gain": np.arange(100.0)}
    for name, values in expected.items():
        values = values / 3.0 if name.startswith("rot_") else values
        np.testing.assert_allclose(vertex[name], values, rtol=3e-7, atol=1e-7, err_msg=name)


@pytest.mark.parametrize(("style", "order"), FORMATS)
@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("shuffle", [False, True])
def test_files_of_other_writers(
    tmp_path: Path, make_gaussians: Callable, style: str, order: str, kind: str, shuffle: bool
) -> None:
    g = make_gaussians(50, degree=2)
    write_with_plyfile(g, tmp_path / "a.ply", kind=kind, order=order, text=style == "ascii", shuffle=shuffle)
    assert_close(read_ply(tmp_path / "a.ply"), g, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("style", ["binary", "ascii"])
def test_other_elements_and_properties_are_passed_over(tmp_path: Path, make_gaussians: Callable, style: str) -> None:
    g = make_gaussians(20, degree=1)
    columns = {**raw_columns(g), "red": np.zeros(20)}
    vertex = np.empty(20, dtype=[(name, "u1" if name == "red" else "f4") for name in columns])
    for name, values in columns.items():
        vertex[name] = values
    camera = np.zeros(3, dtype=[("id", "i4"), ("f", "f8")])
    face = np.array([([0, 1, 2],)], dtype=[("vertex_indices", "i4", (3,))])
    elements = [PlyElement.describe(camera, "camera"), PlyElement.describe(vertex, "vertex")]
    elements.append(PlyElement.describe(face, "face"))
    PlyData(elements, text=style == "ascii").write(str(tmp_path / "a.ply"))
    assert_close(read_ply(tmp_path / "a.ply"), g)
    PlyData([elements[2], elements[1]], text=style == "ascii").write(str(tmp_path / "b.ply"))
    if style == "binary":
        with pytest.raises(InputError, match="face has lists"):
            read_ply(tmp_path / "b.ply")
    else:
        assert_close(read_ply(tmp_path / "b.ply"), g)


def test_extremes_survive(tmp_path: Path) -> None:
    g = Gaussians(
        means=torch.tensor([[0.0, 1e30, -1e-30]]).expand(4, 3).contiguous(),
        quats=torch.tensor([[1.0, 0, 0, 0]]).expand(4, 4).contiguous(),
        scales=torch.tensor([1e-20, 1.0, 1e20, 0.0])[:, None].expand(4, 3).contiguous(),
        opacities=torch.tensor([0.0, 1.0, 1e-20, 1 - 2**-24]),
        sh=torch.zeros(4, 1, 3),
    )
    write_ply(g, tmp_path / "a.ply")
    raw = PlyData.read(str(tmp_path / "a.ply"))["vertex"]
    assert np.isfinite([raw[name] for name in standard_names(0)]).all()
    back = read_ply(tmp_path / "a.ply")
    torch.testing.assert_close(back.opacities, g.opacities, rtol=1e-5, atol=1e-37)
    torch.testing.assert_close(back.scales, g.scales, rtol=1e-5, atol=1e-37)
    assert (back.scales > 0).all()


def columns_of(tmp_path: Path, make_gaussians: Callable) -> tuple[np.ndarray, Path]:
    path = tmp_path / "a.ply"
    write_ply(make_gaussians(10, degree=1), path)
    return PlyData.read(str(path))["vertex"].data.copy(), path


def rewrite(rows: np.ndarray, path: Path) -> None:
    PlyData([PlyElement.describe(rows, "vertex")]).write(str(path))


def test_zero_quaternions_are_the_identity(tmp_path: Path, make_gaussians: Callable) -> None:
    rows, path = columns_of(tmp_path, make_gaussians)
    for i in range(4):
        rows[f"rot_{i}"][3] = 0
    rewrite(rows, path)
    quats = read_ply(path).quats
    assert quats[3].tolist() == [1, 0, 0, 0]
    torch.testing.assert_close(quats.norm(dim=1), torch.ones(10))


@pytest.mark.parametrize("name", ["x", "rot_2", "opacity", "f_dc_1", "f_rest_8", "scale_0"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_rows_that_are_not_finite(tmp_path: Path, make_gaussians: Callable, name: str, value: float) -> None:
    rows, path = columns_of(tmp_path, make_gaussians)
    rows[name][[2, 7]] = value
    rewrite(rows, path)
    if name == "opacity" and value == math.inf:
        assert read_ply(path).opacities[[2, 7]].tolist() == [1, 1]  # the logit of 1
        return
    with pytest.raises(InputError, match=r"2 of 10 Gaussians are not finite.*row 2") as caught:
        read_ply(path)
    assert "drop_invalid" in (caught.value.hint or "")
    assert len(read_ply(path, drop_invalid=True)) == 8


def test_infinitely_flat_gaussians_have_a_positive_scale(tmp_path: Path, make_gaussians: Callable) -> None:
    rows, path = columns_of(tmp_path, make_gaussians)
    rows["scale_2"] = -math.inf
    rewrite(rows, path)
    assert (read_ply(path).scales[:, 2] > 0).all()


# --- compressed ---


def pack(fractions: list[float], bits: list[int]) -> int:
    word = 0
    for fraction, width in zip(fractions, bits, strict=True):
        word = word << width | round(fraction * (2**width - 1))
    return word


def write_compressed(path: Path, *, colors: bool, degree: int, count: int = 300) -> dict[str, np.ndarray]:
    """A compressed PLY by plain loops over Python integers, and the values that it stands for (to its precision)."""
    rng = np.random.default_rng(0)
    mean, log_scale = rng.normal(size=(count, 3)), rng.normal(size=(count, 3)) - 3
    quat = rng.normal(size=(count, 4))
    quat /= np.linalg.norm(quat, axis=1, keepdims=True)
    rgb, alpha = rng.uniform(0.2, 0.7, (count, 3)), rng.uniform(size=count)
    chunks, words = [], []
    for first in range(0, count, 256):
        part = slice(first, first + 256)
        ranges = [(v[part].min(0), v[part].max(0)) for v in (mean, log_scale, rgb)]
        used = ranges if colors else ranges[:2]
        chunks.append(tuple(float(x) for low, high in used for x in (*low, *high)))
        ranges[2] = ranges[2] if colors else (np.zeros(3), np.ones(3))
        for i in range(first, min(first + 256, count)):
            at = [(v[i] - low) / (high - low) for v, (low, high) in zip((mean, log_scale, rgb), ranges, strict=True)]
            largest = int(np.abs(quat[i]).argmax())
            q = quat[i] * np.sign(quat[i][largest])
            others = [q[j] / math.sqrt(2) + 0.5 for j in range(4) if j != largest]
            rotation = largest << 30 | pack(others, [10, 10, 10])
            position, scale = pack(list(at[0]), [11, 10, 11]), pack(list(at[1]), [11, 10, 11])
            words.append((position, rotation, scale, pack([*at[2], alpha[i]], [8, 8, 8, 8])))
    bounds = ["min_x", "min_y", "min_z", "max_x", "max_y", "max_z"]
    bounds += [name.replace("_", "_scale_") for name in bounds]
    bounds += ["min_r", "min_g", "min_b", "max_r", "max_g", "max_b"] if colors else []
    packed = ["packed_position", "packed_rotation", "packed_scale", "packed_color"]
    elements = [
        PlyElement.describe(np.array(chunks, dtype=[(name, "f4") for name in bounds]), "chunk"),
        PlyElement.describe(np.array(words, dtype=[(name, "u4") for name in packed]), "vertex"),
    ]
    per_channel = (degree + 1) ** 2 - 1
    rest = rng.integers(0, 256, (count, 3 * per_channel))
    if degree:
        rows = np.empty(count, dtype=[(f"f_rest_{i}", "u1") for i in range(3 * per_channel)])
        for i in range(3 * per_channel):
            rows[f"f_rest_{i}"] = rest[:, i]
        elements.append(PlyElement.describe(rows, "sh"))
    PlyData(elements, byte_order="<").write(str(path))
    return {"mean": mean, "log_scale": log_scale, "quat": quat, "rgb": rgb, "alpha": alpha, "rest": rest}


@pytest.mark.parametrize("colors", [True, False])
@pytest.mark.parametrize("degree", [0, 1, 3])
def test_compressed_files(tmp_path: Path, colors: bool, degree: int) -> None:
    truth = write_compressed(tmp_path / "a.ply", colors=colors, degree=degree)
    g = read_ply(tmp_path / "a.ply")
    assert g.sh_degree == degree
    np.testing.assert_allclose(g.means.numpy(), truth["mean"], atol=8 / 1023)
    np.testing.assert_allclose(g.scales.log().numpy(), truth["log_scale"], atol=8 / 1023)
    assert np.abs((g.quats.double().numpy() * truth["quat"]).sum(axis=1)).min() > 1 - 1e-5
    np.testing.assert_allclose(g.opacities.numpy(), truth["alpha"], atol=0.51 / 255)
    rgb = 0.5 + 0.28209479177387814 * g.sh[:, 0].double().numpy()
    np.testing.assert_allclose(rgb, truth["rgb"], atol=0.51 / 255)
    if degree:
        order = truth["rest"].reshape(len(g), 3, -1).transpose(0, 2, 1)
        np.testing.assert_allclose(g.sh[:, 1:].numpy(), (order / 255 - 0.5) * 8, atol=0.5 * 8 / 255)
        assert g.sh[:, 1:].numpy()[order == 0].tolist() == [-4] * int((order == 0).sum())
        assert g.sh[:, 1:].numpy()[order == 255].tolist() == [4] * int((order == 255).sum())


def test_compressed_and_spz_of_one_scene_agree(shared_data: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    folder = shared_data / "splats"
    g = read_ply(folder / "biker.compressed.ply")
    data = (folder / "biker.spz").read_bytes()
    count = int.from_bytes(data[8:12], "little")
    assert len(g) == count == 152746
    sizes = np.frombuffer(data, "<u8", count=10, offset=32).reshape(5, 2)
    starts = 32 + 80 + np.concatenate([[0], np.cumsum(sizes[:-1, 0])]).astype(int)
    streams = [
        np.frombuffer(zstandard.ZstdDecompressor().decompress(data[start : start + int(packed)]), np.uint8)
        for start, (packed, _) in zip(starts, sizes, strict=True)
    ]
    bytes3 = streams[0].reshape(count, 3, 3).astype(np.int32)
    fixed = bytes3[..., 0] | bytes3[..., 1] << 8 | bytes3[..., 2] << 16
    position = np.where(fixed & 0x800000, fixed - (1 << 24), fixed) / 4096 * [1, -1, -1]
    by_opacity = [np.sort(g.opacities.numpy()), np.sort(streams[1] / 255)]
    np.testing.assert_allclose(*by_opacity, atol=1e-6)
    for axis in range(3):
        np.testing.assert_allclose(np.sort(g.means[:, axis].numpy()), np.sort(position[:, axis]), atol=1e-3)
        logs = np.sort(streams[3].reshape(count, 3)[:, axis] / 16.0 - 10)
        np.testing.assert_allclose(np.sort(g.scales[:, axis].log().clamp(min=-10).numpy()), logs, atol=0.04)
        colors = np.sort((streams[2].reshape(count, 3)[:, axis] / 255.0 - 0.5) / 0.15)
        np.testing.assert_allclose(np.sort(g.sh[:, 0, axis].numpy()), colors, atol=0.02)


def test_a_trained_scene_of_the_original_program(shared_data: Path) -> None:
    path = shared_data / "splats" / "inria_sh3_9k.ply"
    g = read_ply(path)
    assert (len(g), g.sh_degree) == (9080, 3)
    vertex = PlyData.read(str(path))["vertex"]
    np.testing.assert_array_equal(g.sh[:, 5, 1].numpy(), vertex["f_rest_19"])
    np.testing.assert_allclose(g.scales[:, 2].numpy(), np.exp(vertex["scale_2"].astype(float)), rtol=1e-6)
    torch.testing.assert_close(g.quats.norm(dim=1), torch.ones(9080))


# --- damage ---


def header(*lines: str, start: str = "ply") -> bytes:
    return ("\n".join([start, *lines, "end_header"]) + "\n").encode("latin-1")


LITTLE = "format binary_little_endian 1.0"
MISTAKES = [
    (b"", "not a PLY file"),
    (b"PK\x03\x04 a zip file", "not a PLY file"),
    (b"plywood", "not a PLY file"),
    (b"ply\n" + LITTLE.encode(), "corrupt header.*end_header"),
    (header(), "no format"),
    (header("format binary_middle_endian 1.0"), ":2: corrupt header"),
    (header("format ascii 2.0"), ":2: corrupt header"),
    (header(LITTLE, LITTLE), ":3: corrupt header"),
    (header(LITTLE), "no Gaussians: expected element vertex, got no elements"),
    (header(LITTLE, "element face 0"), "no Gaussians: expected element vertex, got face"),
    (header(LITTLE, "element vertex -1"), ":3: corrupt header.*'element vertex -1'"),
    (header(LITTLE, "element vertex 1e9"), ":3: corrupt header"),
    (header(LITTLE, "element vertex"), ":3: corrupt header"),
    (header(LITTLE, "element vertex 1", "element vertex 1"), ":4: corrupt header: the element occurs twice"),
    (header(LITTLE, "property float x"), ":3: corrupt header"),
    (header(LITTLE, "element vertex 1", "property float128 x"), ":4: corrupt header"),
    (header(LITTLE, "element vertex 1", "property float x", "property float x"), ":5: corrupt header: the property"),
    (header(LITTLE, "element vertex 1", "nonsense"), ":4: corrupt header"),
    (header(LITTLE, "element vertex 1", *[f"property float {n}" for n in "xyz"]), "point cloud or a mesh"),
    (header(LITTLE, "element vertex 1", "property float x"), "field y: element vertex lacks properties"),
]


@pytest.mark.parametrize(("data", "message"), MISTAKES)
def test_corrupt_headers(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "a.ply").write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_ply(tmp_path / "a.ply")
    with pytest.raises(InputError, match=message):
        raise InputError(str(caught.value))
    assert "a.ply" in str(caught.value)


@pytest.mark.parametrize("style", ["binary", "ascii"])
@pytest.mark.parametrize("count", [101, 2**40, 10**14])
def test_absurd_counts_are_refused_before_anything_is_allocated(
    tmp_path: Path, make_gaussians: Callable, style: str, count: int
) -> None:
    path = tmp_path / "a.ply"
    write_with_plyfile(make_gaussians(100, degree=0), path, text=style == "ascii")
    path.write_bytes(path.read_bytes().replace(b"element vertex 100\n", b"element vertex %d\n" % count))
    with pytest.raises(InputError, match=f"truncated in element vertex: expected {count} "):
        read_ply(path)


@pytest.mark.parametrize("count", [1, 8, 10, 44, 46])
def test_numbers_of_harmonics_that_no_degree_has(tmp_path: Path, count: int) -> None:
    names = standard_names(0) + [f"f_rest_{i}" for i in range(count)]
    data = header(LITTLE, "element vertex 0", *[f"property float {name}" for name in names])
    (tmp_path / "a.ply").write_bytes(data)
    with pytest.raises(InputError, match=f"field f_rest: unknown number of harmonics.*got {count}"):
        read_ply(tmp_path / "a.ply")


def test_truncations(tmp_path: Path, make_gaussians: Callable) -> None:
    files = {name: tmp_path / f"{name}.ply" for name in ("float", "ascii", "compressed")}
    write_ply(make_gaussians(20, degree=1), files["float"])
    write_with_plyfile(make_gaussians(20, degree=0), files["ascii"], text=True)
    write_compressed(files["compressed"], colors=True, degree=1)
    for path in files.values():
        whole = path.read_bytes()
        for keep in sorted({int(share * len(whole)) for share in np.linspace(0, 0.99, 60)}):
            path.write_bytes(whole[:keep])
            with pytest.raises(InputError):
                read_ply(path)


def test_compressed_files_that_contradict_themselves(tmp_path: Path) -> None:
    path = tmp_path / "a.ply"
    write_compressed(path, colors=True, degree=1)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"element sh 300", b"element sh 299"))
    with pytest.raises(InputError, match="as many in element sh as in element vertex"):
        read_ply(path)
    path.write_bytes(whole.replace(b"element chunk 2", b"element chunk 1"))
    with pytest.raises(InputError, match="truncated in element chunk: expected 2 chunks"):
        read_ply(path)
    path.write_bytes(whole.replace(b"property float min_scale_y", b"property float low_scale_y"))
    with pytest.raises(InputError, match=r"chunk lacks properties.*min_scale_y"):
        read_ply(path)
    path.write_bytes(whole.replace(b"element chunk 2", b"element chank 2"))
    with pytest.raises(InputError, match="no ranges"):
        read_ply(path)


@given(data=st.data())
@pytest.mark.parametrize("layout", ["float", "ascii", "compressed"])
def test_fuzzed_files_never_raise_anything_else(
    tmp_path_factory: pytest.TempPathFactory, make_gaussians: Callable, layout: str, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "a.ply"
    if layout == "compressed":
        write_compressed(path, colors=True, degree=1, count=5)
    else:
        write_with_plyfile(make_gaussians(5, degree=1), path, text=layout == "ascii")
    damaged = bytearray(path.read_bytes())
    head = damaged.find(b"end_header") + 12
    last = data.draw(st.sampled_from([head, len(damaged)])) - 1  # half of the damage in the header
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, last))] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged)
    with contextlib.suppress(InputError):
        g = read_ply(path)
        assert all(bool(torch.isfinite(getattr(g, field)).all()) for field in FIELDS)


def test_windows_line_ends(tmp_path: Path, make_gaussians: Callable) -> None:
    g = make_gaussians(5, degree=0)
    write_ply(g, tmp_path / "a.ply")
    head, body = (tmp_path / "a.ply").read_bytes().split(b"end_header\n", 1)
    (tmp_path / "b.ply").write_bytes((head + b"end_header\n").replace(b"\n", b"\r\n") + body)
    assert_close(read_ply(tmp_path / "b.ply"), g)


def test_a_full_disk(tmp_path: Path, make_gaussians: Callable, full_disk: Callable) -> None:
    path = tmp_path / "a.ply"
    path.write_text("mine")
    with full_disk(), pytest.raises(OutputError):
        write_ply(make_gaussians(1000), path)
    assert path.read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["x", "f_rest_3", "two words", "", "läng\n"])
def test_impossible_extra_names_are_a_programming_error(tmp_path: Path, make_gaussians: Callable, name: str) -> None:
    with pytest.raises(ValueError, match="extra"):
        write_ply(make_gaussians(2), tmp_path / "a.ply", extra={name: torch.zeros(2)})
    with pytest.raises(ValueError, match="comments"):
        write_ply(make_gaussians(2), tmp_path / "a.ply", comments=["end\nend_header"])


@pytest.mark.parametrize("line", ["property char p{}", "element e{} 0", "element e{} 0\nproperty char p"])
def test_a_long_header_is_read_at_once(tmp_path: Path, line: str) -> None:
    lines = ["ply", "format binary_little_endian 1.0", "element vertex 0", *(line.format(i) for i in range(30_000))]
    (tmp_path / "long.ply").write_text("\n".join([*lines, "end_header", ""]))
    start = time.process_time()
    with pytest.raises(InputError):
        read_ply(tmp_path / "long.ply")
    assert time.process_time() - start < 2.0


def test_a_hundred_thousand_take_far_less_than_a_second(tmp_path: Path, make_gaussians: Callable) -> None:
    g = make_gaussians(100_000)
    start = time.process_time()
    write_ply(g, tmp_path / "a.ply")
    read_ply(tmp_path / "a.ply")
    assert time.process_time() - start < 2.0
