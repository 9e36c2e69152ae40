"""Read ``.pth``, ``.pt``, ``.pdparams`` and ``.pdopt`` without running anything that lies in them.

A pickle is a program. This reader interprets only the instructions that build plain containers, and instead of the
functions a pickle names (``torch._utils._rebuild_tensor_v2`` …) it calls small stand-ins of its own, which record
what a tensor looks like. Everything is checked against the size of the file before memory is taken. Neither torch
nor Paddle is imported.
"""

from __future__ import annotations

import math
import os
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np

from paddle_rsseg.errors import RssegError

#: first object of a .pth written before torch 1.6, or with _use_new_zipfile_serialization=False
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
MAX_DEPTH = 64
MAX_NODES = 200_000

#: element types; bfloat16 is read as uint16 and widened
DTYPES = {
    "float64": "<f8", "float32": "<f4", "float16": "<f2", "bfloat16": "bfloat16",
    "int64": "<i8", "int32": "<i4", "int16": "<i2", "int8": "|i1",
    "uint64": "<u8", "uint32": "<u4", "uint16": "<u2", "uint8": "|u1",
    "bool": "|b1", "complex64": "<c8", "complex128": "<c16",
}  # fmt: skip
STORAGES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool", "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}  # fmt: skip


class Refused(Exception):
    """The file holds something that a weights file has no need of."""


@dataclass(frozen=True)
class StorageType:
    """Stand-in for ``torch.FloatStorage``, ``torch.float32`` and their like; None: untyped bytes."""

    dtype: str | None


@dataclass(frozen=True)
class Storage:
    """A named block of memory; ``numel`` elements, of which a view starts at element ``offset``."""

    key: str
    dtype: str | None
    numel: int
    offset: int = 0


@dataclass(frozen=True)
class TensorView:
    """Stand-in for a torch tensor: where its elements lie, in elements of its storage."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: str | None = None


class NumpyDtype:
    """Stand-in for ``numpy.dtype``: numbers only, neither objects nor structures."""

    def __init__(self, code: Any, *_: Any):
        if not isinstance(code, str) or not re.fullmatch(r"[biufc]\d{1,2}", code):
            raise Refused("a numpy dtype that is no number")
        self.dtype = np.dtype(code)

    def set_state(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] in (">", "<"):
            self.dtype = self.dtype.newbyteorder(state[1])


class NumpyArray:
    """Stand-in for ``numpy._reconstruct``: filled by the state that follows it in the pickle."""

    value: np.ndarray | None = None

    def __init__(self, *_: Any):
        pass

    def set_state(self, state: Any) -> None:
        _version, shape, dtype, fortran, data = state
        if not isinstance(dtype, NumpyDtype) or not isinstance(data, bytes):
            raise Refused("a numpy array of objects")
        # frombuffer and reshape check the sizes against each other
        values = np.frombuffer(data, dtype.dtype).reshape(shape, order="F" if fortran else "C")
        self.value = values.astype(dtype.dtype.newbyteorder("="), copy=False)

    def finished(self) -> np.ndarray:
        if self.value is None:
            raise Refused("a numpy array without content")
        return self.value


def _numpy_scalar(dtype: NumpyDtype, data: bytes) -> Any:
    return np.frombuffer(data, dtype.dtype, count=1)[0].item()


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """How pickle protocol 2 spells bytes."""
    if encoding != "latin1":
        raise Refused("_codecs.encode to something else than latin1")
    return text.encode("latin1")


def _ordered_dict(items: list = ()) -> OrderedDict:  # type: ignore[assignment]
    return OrderedDict((_key(key), value) for key, value in items)


def _key(key: Any) -> Any:
    """Only what is cheap to hash: a tuple of tuples of … takes for ever."""
    if type(key) not in (str, int):
        raise Refused(f"a dict key of type {type(key).__name__}")
    return key


def _device(kind: str, index: int = 0) -> str:
    return f"{kind}:{index}" if isinstance(kind, str) and isinstance(index, int) else "unknown"


def _empty_bytes(*arguments: Any) -> bytes:
    if arguments:
        raise Refused("bytes(…) with arguments")
    return b""


def _tensor(storage: Storage, offset: int, size: tuple, stride: tuple, *_: Any) -> TensorView:
    return TensorView(storage, offset, tuple(size), tuple(stride))


def _tensor_of_dtype(
    storage: Storage, offset: int, size: tuple, stride: tuple, _grad: Any, _hooks: Any, dtype: Any, *_: Any
):
    return TensorView(storage, offset, tuple(size), tuple(stride), dtype.dtype)


def _marker(name: str) -> type:
    return type(name, (), {})


#: every name a pickle may mention, and what stands in for it
GLOBALS: dict[str, Any] = {
    "collections.OrderedDict": _ordered_dict,
    "_codecs.encode": _encode,
    "__builtin__.bytes": _empty_bytes,
    "builtins.bytes": _empty_bytes,
    # paddle.save writes a tensor inside a container as tuple((name, array))
    "builtins.tuple": tuple,
    "__builtin__.tuple": tuple,
    "numpy.ndarray": _marker("ndarray"),
    "numpy.dtype": NumpyDtype,
    **{
        f"numpy.{core}.multiarray.{name}": stand_in
        for core in ("core", "_core")
        for name, stand_in in (("_reconstruct", NumpyArray), ("scalar", _numpy_scalar))
    },
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_dtype,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
    "torch.Size": tuple,
    "torch.device": _device,
    "torch.storage.UntypedStorage": StorageType(None),
    **{f"torch.{name}": StorageType(dtype) for name, dtype in STORAGES.items()},
    **{f"torch.{name}": StorageType(name) for name in DTYPES},
}

#: the instructions that build numbers, strings, tuples, lists and dicts, and apply one of GLOBALS
OPCODES = """PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4
FLOAT BINFLOAT BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8
EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST LIST APPEND APPENDS EMPTY_DICT DICT SETITEM SETITEMS
BINPUT LONG_BINPUT PUT MEMOIZE BINGET LONG_BINGET GET GLOBAL STACK_GLOBAL REDUCE BUILD BINPERSID""".split()  # noqa: SIM905


class _BoundedFile:
    """A file that never promises more bytes than it has: a forged length would reserve memory first."""

    def __init__(self, file: BinaryIO, size: int):
        self.file, self.size = file, size

    def read(self, count: int) -> bytes:
        if count < 0 or count > self.size - self.file.tell():
            raise EOFError("truncated")
        return self.file.read(count)

    def readline(self) -> bytes:
        return self.file.readline(65536)


# The interpreter written in Python, not the C one: its table of instructions can be cut down to those above.
class _TensorUnpickler(pickle._Unpickler):  # type: ignore[name-defined,misc]
    stack: list[Any]
    pop_mark: Any
    dispatch: ClassVar[dict[int, Any]] = {
        code: function
        for code, function in pickle._Unpickler.dispatch.items()  # type: ignore[attr-defined]
        if code in {getattr(pickle, name)[0] for name in OPCODES}
    }

    def __init__(self, file: BinaryIO, size: int):
        # latin1: bytes of Python 2 pickles survive as characters
        super().__init__(_BoundedFile(file, size), encoding="latin1")
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        try:
            return GLOBALS[f"{module}.{name}"]
        except KeyError:
            raise Refused(f"{module}.{name}") from None

    def persistent_load(self, identity: Any) -> Storage:
        if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] != "storage":
            raise Refused("a persistent object that is no torch storage")
        _, kind, key, _location, numel, *view = identity
        if not isinstance(kind, StorageType) or not isinstance(key, str) or not _is_count(numel):
            raise Refused("a malformed storage")
        known = self.storages.setdefault(key, Storage(key, kind.dtype, numel))
        if known.dtype != kind.dtype or known.numel != numel:
            raise Refused(f"storage {key!r} described in two ways")
        if view and view[0] is not None:  # torch < 0.4: a storage may be a part of another one
            _view_key, offset, size = view[0]
            if not _is_count(offset) or not _is_count(size) or offset + size > numel:
                raise Refused(f"a view outside storage {key!r}")
            return Storage(key, kind.dtype, size, offset)
        return known

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        function = self.stack[-1]
        if not callable(function):
            raise Refused("a call of something that is no function")
        self.stack[-1] = function(*arguments)

    def load_build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, (NumpyArray, NumpyDtype)):
            target.set_state(state)
        elif not isinstance(target, OrderedDict):  # torch hangs `_metadata` on its state dicts: of no use here
            raise Refused(f"state for a {type(target).__name__}")

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.put([key, value])

    def load_setitems(self) -> None:
        self.put(self.pop_mark())

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.stack.append({})
        self.put(items)

    def put(self, items: list) -> None:
        """Enter key, value, key, value … into the dict on top of the stack."""
        if not isinstance(self.stack[-1], dict):
            raise Refused(f"an item set in a {type(self.stack[-1]).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            self.stack[-1][_key(key)] = value

    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems
    dispatch[pickle.DICT[0]] = load_dict


def read_pickled(path: str | os.PathLike) -> Any:
    """What ``torch.save`` or ``paddle.save`` wrote: dicts, lists, tuples, numbers, strings and numpy arrays.

    Raises:
        RssegError: not such a file, damaged, hostile, or holding anything else; a refused function is named.
    """
    path = Path(path)
    size = path.stat().st_size
    try:
        with open(path, "rb") as file:
            head = file.read(4)
            file.seek(0)
            if head == b"PK\x03\x04":
                return _read_zip(file, size)
            if head[:1] == b"\x80":
                return _read_stream(file, size)
    except Refused as refused:
        raise RssegError(
            path, f"refused: {refused}", "tensors and plain containers only",
            "nothing was executed; save the state dict alone, or take the file from a source you trust",
        ) from None  # fmt: skip
    except Exception as error:  # a damaged program can fail in any way; the cause stays attached
        raise RssegError(path, f"damaged, or no weights file ({type(error).__name__})", "an undamaged file") from error
    raise RssegError(path, f"starts with {head!r}", "a safetensors, torch or Paddle weights file")


def _read_zip(file: BinaryIO, size: int) -> Any:
    """torch ≥ 1.6: a zip with ``NAME/data.pkl`` and the raw storages ``NAME/data/KEY``, none compressed."""
    with zipfile.ZipFile(file) as archive:
        records = {info.filename: info for info in archive.infolist()}
        # stored records cannot be larger than the file: no bomb
        if any(info.compress_type != zipfile.ZIP_STORED for info in records.values()):
            raise Refused("a compressed record (torch stores them plain)")
        if len(records) != len(archive.infolist()) or sum(info.file_size for info in records.values()) > size:
            raise Refused("records that overlap")
        programs = [name for name in records if re.fullmatch(r"[^/]+/data\.pkl", name)]
        if len(programs) != 1:
            raise Refused(f"{len(programs)} data.pkl in the archive (a TorchScript or other zip?)")
        root = programs[0].removesuffix("data.pkl")
        if f"{root}byteorder" in records and archive.read(f"{root}byteorder") != b"little":
            raise Refused("big-endian storages")
        with archive.open(programs[0]) as program:
            unpickler = _TensorUnpickler(program, records[programs[0]].file_size)  # type: ignore[arg-type]
            content = unpickler.load()
        # looked up by name and never unpacked, so a name that points elsewhere leads nowhere
        blocks = {key: archive.read(f"{root}data/{key}") for key in unpickler.storages}
    return _Resolver(blocks, size)(content)


def _read_stream(file: BinaryIO, size: int) -> Any:
    """A plain pickle (Paddle), or torch's older form: four pickles, then the storages one after another."""
    unpickler = _TensorUnpickler(file, size)
    content = unpickler.load()
    if content != LEGACY_MAGIC:
        if unpickler.storages:
            raise Refused("torch storages in a plain pickle")
        return _from_paddle(_Resolver({}, size)(content))
    _protocol = _TensorUnpickler(file, size).load()
    system = _TensorUnpickler(file, size).load()
    if not system.get("little_endian", True):
        raise Refused("big-endian storages")
    unpickler = _TensorUnpickler(file, size)
    content = unpickler.load()
    keys = _TensorUnpickler(file, size).load()
    bounded = _BoundedFile(file, size)
    blocks = {}
    for key in keys:
        storage = unpickler.storages[key]
        count = int.from_bytes(bounded.read(8), "little", signed=True)
        blocks[key] = bounded.read(count * _itemsize(storage.dtype))
    return _Resolver(blocks, size)(content)


class _Resolver:
    """Replace the stand-ins in a loaded structure by numpy arrays."""

    def __init__(self, blocks: Mapping[str, bytes], file_size: int):
        self.blocks = blocks
        self.arrays: dict[int, np.ndarray] = {}
        self.visits = 0
        # views share memory and may be expanded, but honest ones stay near the size of the file
        self.budget = 16 * file_size + 2**20

    def __call__(self, node: Any, depth: int = 0) -> Any:
        self.visits += 1
        # a list that holds one list ten times, which holds … is small in the file and without end in memory
        if depth > MAX_DEPTH or self.visits > MAX_NODES:
            raise Refused("containers nested too deeply, or that multiply")
        if node is None or isinstance(node, (bool, int, float, str, bytes)):
            return node
        if isinstance(node, dict):
            return {key: self(item, depth + 1) for key, item in node.items()}
        if isinstance(node, (list, tuple)):
            return type(node)(self(item, depth + 1) for item in node)
        if isinstance(node, (TensorView, NumpyArray)):
            if id(node) not in self.arrays:
                self.arrays[id(node)] = self.array(node) if isinstance(node, TensorView) else node.finished()
            return self.arrays[id(node)]
        if isinstance(node, (NumpyDtype, StorageType)):  # harmless, and some checkpoints note their dtype
            return str(node.dtype)
        raise Refused(f"a {type(node).__name__} that is no tensor")

    def array(self, view: TensorView) -> np.ndarray:
        storage = view.storage
        if not isinstance(storage, Storage) or not all(map(_is_count, (view.offset, *view.size, *view.stride))):
            raise Refused("a malformed tensor")
        if len(view.size) != len(view.stride) or len(view.size) > 32:
            raise Refused(f"a tensor of size {view.size[:8]} and strides {view.stride[:8]}")
        dtype = view.dtype or storage.dtype
        if dtype is None:
            raise Refused("a tensor without element type")
        raw = np.dtype("<u2" if dtype == "bfloat16" else DTYPES[dtype])
        memory = np.frombuffer(self.blocks[storage.key], np.uint8)
        # bytes of this storage, or of the part of it that a view storage names
        width = _itemsize(storage.dtype)
        part = memory[storage.offset * width : (storage.offset + storage.numel) * width]
        if len(part) != storage.numel * width:
            raise Refused(f"storage {storage.key!r} is shorter than it says")
        count = math.prod(view.size)
        self.budget -= count * raw.itemsize
        if self.budget < 0:
            raise Refused("tensors that claim far more memory than the file has")
        last = view.offset + sum((n - 1) * s for n, s in zip(view.size, view.stride, strict=True))
        if count and last >= len(part) // raw.itemsize:
            raise Refused(f"a tensor that reaches to element {last} of {len(part) // raw.itemsize}")
        if not count:
            return np.zeros(view.size, np.float32 if dtype == "bfloat16" else raw.newbyteorder("="))
        elements = part[: len(part) // raw.itemsize * raw.itemsize].view(raw if dtype != "bool" else np.uint8)
        strides = [s * raw.itemsize for s in view.stride]
        # ndarray itself checks the strides against the buffer once more
        array = np.ndarray(view.size, elements.dtype, elements, view.offset * raw.itemsize, strides)
        if dtype == "bool":
            return array != 0
        if dtype == "bfloat16":
            return _widen(array)
        return np.array(array.astype(raw.newbyteorder("="), copy=False), order="C")


def _from_paddle(content: Any) -> Any:
    """Undo paddle.save's wrappings: split big arrays, (name, array) tuples, bfloat16 as uint16, the name table."""
    if (
        isinstance(content, tuple)
        and len(content) == 2
        and isinstance(content[0], str)
        and isinstance(content[1], np.ndarray)
    ):
        content = content[1]
    if isinstance(content, np.ndarray):
        return _widen(content) if content.dtype == np.uint16 else content
    if isinstance(content, (list, tuple)):
        return type(content)(_from_paddle(item) for item in content)
    if not isinstance(content, dict):
        return content
    content = dict(content)
    content.pop("StructuredToParameterName@@", None)
    for name, info in content.pop("UnpackBigParamInfor@@", {}).items():
        parts = [content.pop(part) for part in info["slices"]]
        content[name] = np.concatenate(parts).reshape(info["OriginShape"])
    return {key: _from_paddle(value) for key, value in content.items()}


def _widen(bits: np.ndarray) -> np.ndarray:
    """bfloat16 in uint16 → float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _itemsize(dtype: str | None) -> int:
    return 1 if dtype is None else 2 if dtype == "bfloat16" else np.dtype(DTYPES[dtype]).itemsize
