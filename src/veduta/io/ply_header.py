"""PLY files up to their rows: the header, and tables of scalar properties read a block at a time.

Greg Turk's format, as described at https://paulbourke.net/dataformats/ply: ascii, little-endian and big-endian.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from veduta.core import InputError

MAX_HEADER_BYTES = 2**20
_TYPES: Mapping[str, str] = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"},
    **{"float": "f4", "double": "f8", "float32": "f4", "float64": "f8"},
}
_BYTE_ORDERS: Mapping[str, str] = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": ""}
_HINT = "Copy the file again from where it came, or export it again."
_LISTS_HINT = "Export it without faces and other lists."


@dataclass(frozen=True)
class Element:
    """One table of the file."""

    name: str
    count: int
    properties: tuple[tuple[str, str], ...]
    """Name and NumPy type of each scalar property, in order."""
    has_lists: bool = False
    """Whether it also has list properties, so that its rows differ in size."""

    @property
    def names(self) -> frozenset[str]:
        """The names of its scalar properties."""
        return frozenset(name for name, _ in self.properties)


@dataclass(frozen=True)
class Header:
    """What the file says of itself."""

    format: str
    elements: tuple[Element, ...]
    size: int
    """Bytes before the first row."""

    def element(self, name: str) -> Element | None:
        """The element of that name, if there is one."""
        return next((element for element in self.elements if element.name == name), None)


@dataclass(frozen=True)
class Table:
    """The rows of one element: on the disk in binary files, in memory for ascii."""

    element: Element
    source: BinaryIO | np.ndarray
    dtype: np.dtype
    offset: int
    where: Path

    def rows(self, start: int, stop: int) -> np.ndarray:
        """Rows start..stop as a structured array."""
        if isinstance(self.source, np.ndarray):
            return self.source[start:stop]
        self.source.seek(self.offset + start * self.dtype.itemsize)
        data = self.source.read((stop - start) * self.dtype.itemsize)
        if len(data) < (stop - start) * self.dtype.itemsize:
            raise truncated(self.where, self.element, f"{stop - start} more rows", f"{len(data)} bytes")
        return np.frombuffer(data, dtype=self.dtype)


def read_header(file: BinaryIO, where: Path) -> Header:
    """The header of an open file, which is left behind it. Raises InputError with the line that is wrong."""
    file.seek(0)
    head = file.read(MAX_HEADER_BYTES)
    if head[:4] not in (b"ply\n", b"ply\r"):
        raise InputError("not a PLY file", where=where, expected="'ply' on its first line", got=repr(head[:16])[1:])
    end = head.find(b"end_header")
    if end < 0:
        expected = f"end_header in the first {MAX_HEADER_BYTES} bytes"
        raise InputError("corrupt header", where=where, expected=expected, got="none", hint=_HINT)
    tail = head[end + len(b"end_header") :][:2]
    newline = 2 if tail == b"\r\n" else 1
    lines = head[:end].decode("latin-1").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    format_name, elements = _parse(lines, where)
    return Header(format=format_name, elements=elements, size=end + len(b"end_header") + newline)


def open_tables(file: BinaryIO, header: Header, where: Path, wanted: tuple[str, ...]) -> dict[str, Table]:
    """The named elements' rows, those that exist. InputError if the file is too small to hold them."""
    present = tuple(name for name in wanted if header.element(name) is not None)
    if header.format == "ascii":
        return _ascii_tables(file, header, where, present)
    size, offset, tables = where.stat().st_size, header.size, {}
    for element in header.elements:
        if len(tables) == len(present):
            break
        if element.has_lists:
            problem = f"element {element.name} has lists and stands before the rows that are wanted"
            raise InputError(problem, where=where, hint=_LISTS_HINT)
        order = _BYTE_ORDERS[header.format]
        dtype = np.dtype([(name, order + kind) for name, kind in element.properties])
        if element.count * dtype.itemsize > size - offset:
            expected = f"{element.count} rows of {dtype.itemsize} bytes"
            raise truncated(where, element, expected, f"{max(0, size - offset)} bytes")
        if element.name in present:
            tables[element.name] = Table(element, file, dtype, offset, where)
        offset += element.count * dtype.itemsize
    return tables


def truncated(where: Path, element: Element, expected: str, got: str) -> InputError:
    """The error for an element that is shorter than the header says."""
    return InputError(f"truncated in element {element.name}", where=where, expected=expected, got=got, hint=_HINT)


def _parse(lines: list[str], where: Path) -> tuple[str, tuple[Element, ...]]:
    """Format and elements from the header's lines, in a time that grows with their number and no faster."""
    format_name = ""
    counts: dict[str, int] = {}
    properties: dict[str, str] = {}  # of the element that was named last
    of_element: dict[str, dict[str, str]] = {}
    with_lists: set[str] = set()
    for number, line in enumerate(lines[1:], start=2):
        place = f"{where}:{number}"
        match line.split():
            case [] | ["comment" | "obj_info", *_]:
                continue
            case ["format", name, "1.0"] if name in _BYTE_ORDERS and not format_name:
                format_name = name
            case ["element", name, count] if count.isascii() and count.isdigit() and len(count) <= 15:
                if name in counts:
                    raise InputError("corrupt header: the element occurs twice", where=place, got=name)
                counts[name] = int(count)
                properties = of_element[name] = {}
            case ["property", "list", first, second, _] if counts and first in _TYPES and second in _TYPES:
                with_lists.add(next(reversed(counts)))
            case ["property", kind, name] if counts and kind in _TYPES:
                if name in properties:
                    raise InputError("corrupt header: the property occurs twice", where=place, got=name)
                properties[name] = _TYPES[kind]
            case _:
                expected = "format, element, property or comment"
                raise InputError("corrupt header", where=place, expected=expected, got=repr(line[:60]), hint=_HINT)
    if not format_name:
        raise InputError("corrupt header: no format", where=where, expected=", ".join(_BYTE_ORDERS), hint=_HINT)
    return format_name, tuple(
        Element(name, count, tuple(of_element[name].items()), name in with_lists) for name, count in counts.items()
    )


def _ascii_tables(file: BinaryIO, header: Header, where: Path, wanted: tuple[str, ...]) -> dict[str, Table]:
    """The named elements of an ascii file, every value in float64."""
    file.seek(header.size)
    lines = file.read().decode("latin-1").splitlines()
    start, tables = 0, {}
    for element in header.elements:
        rows = lines[start : start + element.count]
        start += element.count
        if len(tables) == len(wanted):
            break
        if len(rows) < element.count:
            raise truncated(where, element, f"{element.count} lines", f"{len(rows)}")
        if element.name in wanted:
            table = _ascii_table(element, rows, where)
            tables[element.name] = Table(element, table, table.dtype, 0, where)
    return tables


def _ascii_table(element: Element, lines: list[str], where: Path) -> np.ndarray:
    """The rows of one element as a structured array of float64."""
    dtype = np.dtype([(name, "f8") for name, _ in element.properties])
    width = len(element.properties)
    if element.has_lists:
        raise InputError(f"element {element.name} has lists", where=where, hint=_LISTS_HINT)
    if not lines or not width:
        return np.zeros(len(lines), dtype=dtype)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of no data at all: checked below
            values = np.loadtxt(lines, dtype=np.float64, comments=None, ndmin=2)
    except ValueError as error:
        raise InputError(f"corrupt in element {element.name}", where=where, got=str(error), hint=_HINT) from error
    if values.shape != (len(lines), width):
        got = f"{values.shape[0]} of {values.shape[1]}"
        raise truncated(where, element, f"{len(lines)} lines of {width} numbers", got)
    return np.ascontiguousarray(values).view(dtype).reshape(-1)
