"""The reader of foreign files: all that torch.save and paddle.save write, and nothing that runs."""

import collections
import contextlib
import io
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from paddle_rsseg.errors import RssegError
from paddle_rsseg.weights import read_weights
from paddle_rsseg.weights.pickled import read_pickled

torch = pytest.importorskip("torch")

FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def save(obj, path, zipped):
    torch.save(obj, path, _use_new_zipfile_serialization=zipped)
    return path


@FORMATS
@pytest.mark.parametrize(
    "dtype",
    ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "uint16", "uint32",
     "uint64", "bool", "complex64", "complex128"],
)  # fmt: skip
def test_every_dtype_of_torch(tmp_path, dtype, zipped):
    tensor = torch.tensor([0, 1, 2, 3, 100]).to(getattr(torch, dtype))
    state, _ = read_weights(save({"x": tensor}, tmp_path / "a.pth", zipped))
    expected = tensor.float().numpy() if dtype == "bfloat16" else tensor.numpy()
    assert state["x"].dtype == expected.dtype
    np.testing.assert_array_equal(state["x"], expected)


@FORMATS
def test_bfloat16_special_values(tmp_path, zipped):
    tensor = torch.tensor([1.0, -2.5, 3.3, float("inf"), 1e-40, 1e38]).bfloat16()
    state, _ = read_weights(save({"x": tensor}, tmp_path / "a.pth", zipped))
    np.testing.assert_array_equal(state["x"], tensor.float().numpy())


@FORMATS
def test_views_of_shared_storages(tmp_path, zipped):
    base = torch.arange(60.0).reshape(3, 4, 5)
    views = {
        "base": base,
        "transposed": base.permute(2, 0, 1),
        "part": base[1:, 1::2, 2:4],
        "element": base[2, 3, 4],
        "expanded": base[0, :1].expand(6, 5),
        "empty": base[:0],
        "parameter": torch.nn.Parameter(base[1]),
    }
    state, _ = read_weights(save(views, tmp_path / "a.pth", zipped))
    for name, view in views.items():
        assert state[name].shape == tuple(view.shape)
        np.testing.assert_array_equal(state[name], view.detach().numpy(), err_msg=name)


@FORMATS
def test_training_checkpoint(tmp_path, zipped):
    layer = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    layer(torch.zeros(1, 3, 5, 5)).sum().backward()
    optimiser.step()
    content = collections.OrderedDict(model=layer.state_dict(), opt=optimiser.state_dict(), global_step=60000)
    state, metadata = read_weights(save(content, tmp_path / "a.pth", zipped))
    assert set(state) == set(layer.state_dict())
    assert metadata["global_step"] == 60000
    assert metadata["skipped"] == ["opt"]


def test_paddle_files(tmp_path):
    paddle = pytest.importorskip("paddle")
    layer = paddle.nn.Sequential(paddle.nn.Conv2D(3, 4, 3), paddle.nn.BatchNorm2D(4))
    for protocol in (2, 3, 4):
        path = str(tmp_path / "a.pdparams")
        paddle.save(layer.state_dict(), path, protocol=protocol)
        state, _ = read_weights(path)
        assert set(state) == set(layer.state_dict())
        for name, tensor in layer.state_dict().items():
            np.testing.assert_array_equal(state[name], tensor.numpy())
    # tensors inside another container are pickled as tuple((name, array))
    paddle.save({"model": dict(layer.state_dict()), "epoch": 3}, str(tmp_path / "b.pdparams"))
    state, metadata = read_weights(tmp_path / "b.pdparams")
    assert set(state) == set(layer.state_dict())
    assert metadata["epoch"] == 3
    schedule = paddle.optimizer.lr.PolynomialDecay(0.1, 10)
    optimiser = paddle.optimizer.Momentum(schedule, parameters=layer.parameters())
    layer(paddle.ones([1, 3, 8, 8])).mean().backward()
    optimiser.step()
    paddle.save(optimiser.state_dict(), str(tmp_path / "a.pdopt"))
    state, metadata = read_weights(tmp_path / "a.pdopt")
    assert len(state) == 4
    assert metadata["LR_Scheduler"]["last_lr"] == pytest.approx(0.1)


def test_paddle_big_array_and_bfloat16(tmp_path):
    array = np.arange(24, dtype=np.float32)
    content = {
        "big@@.0": array[:10],
        "big@@.1": array[10:],
        "half": np.array([0x3F80, 0xC020], np.uint16),  # bfloat16 1.0 and -2.5, as Paddle stores it
        "UnpackBigParamInfor@@": {"big": {"OriginShape": (4, 6), "slices": ["big@@.0", "big@@.1"]}},
        "StructuredToParameterName@@": {"big": "linear_0.w_0"},
    }
    for protocol in (2, 4):
        (tmp_path / "a.pdparams").write_bytes(pickle.dumps(content, protocol))
        state, _ = read_weights(tmp_path / "a.pdparams")
        assert set(state) == {"big", "half"}
        np.testing.assert_array_equal(state["big"], array.reshape(4, 6))
        np.testing.assert_array_equal(state["half"], np.float32([1.0, -2.5]))


@pytest.mark.parametrize("old", [False, True], ids=["numpy 2", "numpy 1"])
def test_array_layouts(tmp_path, old):
    content = {
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big_endian": np.arange(4, dtype=">f4"),
        "scalar": np.array(2.5, np.float32),
        "step": np.int64(7),
        "zero": np.zeros((0, 3)),
    }
    data = pickle.dumps(content, 2)
    if old:
        data = data.replace(b"cnumpy._core.multiarray", b"cnumpy.core.multiarray")
    (tmp_path / "a.pdparams").write_bytes(data)
    state, metadata = read_weights(tmp_path / "a.pdparams")
    assert metadata["step"] == 7
    for name in ("fortran", "big_endian", "scalar", "zero"):
        np.testing.assert_array_equal(state[name], content[name])
        assert state[name].dtype.isnative


class Payload:
    """Unpickling this runs a shell command."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def payload_files(directory, payload):
    torch.save({"w": torch.zeros(2), "x": payload}, directory / "zip.pth")
    torch.save({"w": torch.zeros(2), "x": payload}, directory / "old.pth", _use_new_zipfile_serialization=False)
    for protocol in (2, 3, 4):
        data = pickle.dumps({"w": np.zeros(2), "x": payload}, protocol)
        (directory / f"p{protocol}.pdparams").write_bytes(data)
    return sorted(directory.iterdir())


def test_a_payload_is_refused_and_does_not_run(tmp_path):
    marker = tmp_path / "ran"
    files = tmp_path / "files"
    files.mkdir()
    paths = payload_files(files, Payload(f"touch {marker}"))
    assert len(paths) == 5
    # the payload is real: the ordinary way of reading runs it
    pickle.loads((files / "p4.pdparams").read_bytes())
    assert marker.exists()
    marker.unlink()
    for path in paths:
        with pytest.raises(RssegError, match=r"refused: (posix|nt)\.system"):
            read_weights(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    "code",
    [
        b"cbuiltins\neval\n(X\x0b\x00\x00\x001/0 or None\x85R.",
        b"cbuiltins\ngetattr\n.",
        b"ctorch._utils\n_rebuild_tensor_v2\n\x93.",  # STACK_GLOBAL on garbage
        b"(S'touch x'\nios\nsystem\n.",  # INST
        b"\x82\x01.",  # EXT1
        b"cnumpy\ndtype\n(X\x02\x00\x00\x00O8\x89\x88tR.",
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n\x81.",  # NEWOBJ
        b"ccollections\nOrderedDict\n)R}X\x01\x00\x00\x00ccos\nsystem\nsb.",
        b"c__builtin__\nbytes\n\x8a\x05\x00\x00\x00\x00\x10\x85R.",
        b"]r\xff\xff\xff\x7f.",  # LONG_BINPUT with a huge index
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x0f.",  # BINBYTES8 longer than the file
        b"N.",
        b"",
        b"X",
    ],
)
def test_hostile_programs(tmp_path, code):
    path = tmp_path / "a.pdparams"
    path.write_bytes(b"\x80\x02" + code)
    with pytest.raises(RssegError, match=r"a\.pdparams"):
        read_weights(path)


def test_structures_that_explode_are_refused(tmp_path):
    nested = []
    for _ in range(60):
        nested = [nested, nested]
    (tmp_path / "laughs.pdparams").write_bytes(pickle.dumps({"w": np.zeros(2), "x": nested}, 2))
    deep = ()
    for _ in range(40):
        deep = (deep, deep)
    # hashing the key alone would take 2^40 steps: assemble it without hashing
    program = pickle.dumps(deep, 2)[2:-1]
    (tmp_path / "hash.pdparams").write_bytes(b"\x80\x02}" + program + b"Ns.")
    for name in ("laughs", "hash"):
        with pytest.raises(RssegError, match="refused"):
            read_weights(tmp_path / f"{name}.pdparams")


FOUR_FLOATS = struct.pack("<4f", 1, 2, 3, 4)


def torch_file(path, numel=4, offset=0, size=(4,), stride=(1,), data=FOUR_FLOATS, **options):
    """A zip as torch.save writes it, of one tensor, with every number free to lie."""

    def integers(values):
        return b"(" + b"".join(pickle.dumps(v, 2)[2:-1] for v in values) + b"t"

    program = (
        b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
        b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpu" + pickle.dumps(numel, 2)[2:-1] + b"tQ" + pickle.dumps(offset, 2)[2:-1]
        + integers(size) + integers(stride) + b"\x89ccollections\nOrderedDict\n)RtRs."
    )  # fmt: skip
    with zipfile.ZipFile(path, "w", options.get("compression", zipfile.ZIP_STORED)) as archive:
        archive.writestr("a/data.pkl", program)
        archive.writestr("a/version", b"3\n")
        archive.writestr("a/byteorder", options.get("byteorder", b"little"))
        archive.writestr(options.get("record", "a/data/0"), data)
    return path


def test_the_hand_made_file_is_sound(tmp_path):
    state, _ = read_weights(torch_file(tmp_path / "a.pth"))
    np.testing.assert_array_equal(state["w"], np.float32([1, 2, 3, 4]))
    assert torch.load(tmp_path / "a.pth")["w"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "lie",
    [
        {"offset": 1},
        {"size": (5,)},
        {"stride": (2,)},
        {"size": (2, 2), "stride": (3, 1)},
        {"offset": -1},
        {"stride": (-1,), "offset": 3},
        {"size": (2**24,), "stride": (0,)},
        {"size": (2**62,), "stride": (0,)},
        {"size": (2**40, 2**40), "stride": (0, 0)},
        {"size": (4,), "stride": (1, 1)},
        {"numel": 8},
        {"numel": 2**61, "size": (2**61,)},
        {"numel": -4},
        {"data": b""},
        {"record": "../../data/0"},
        {"record": "a/data/1"},
        {"byteorder": b"big"},
        {"compression": zipfile.ZIP_DEFLATED},
    ],
    ids=str,
)
def test_a_tensor_that_lies_about_its_memory(tmp_path, lie):
    with pytest.raises(RssegError, match=r"a\.pth"):
        read_weights(torch_file(tmp_path / "a.pth", **lie))
    assert [p.name for p in tmp_path.iterdir()] == ["a.pth"]


def test_zip_bomb(tmp_path):
    path = torch_file(
        tmp_path / "a.pth", numel=2**26, size=(2**26,), data=bytes(2**28), compression=zipfile.ZIP_DEFLATED
    )
    assert path.stat().st_size < 2**20
    with pytest.raises(RssegError, match="compressed"):
        read_weights(path)


def test_truncation_anywhere_is_one_clear_error(tmp_path):
    whole = {}
    for zipped in (True, False):
        whole[f"{zipped}.pth"] = save({"w": torch.zeros(3, 4)}, tmp_path / "a.pth", zipped).read_bytes()
    whole["a.pdparams"] = pickle.dumps({"w": np.zeros((3, 4))}, 4)
    for name, data in whole.items():
        for end in (*range(0, len(data) - 1, 7), len(data) - 1):
            (tmp_path / name).write_bytes(data[:end])
            with pytest.raises(RssegError):
                read_weights(tmp_path / name)


def test_random_damage_never_escapes(tmp_path):
    buffer = io.BytesIO()
    torch.save({"w": torch.randn(3, 4), "n": 3}, buffer, _use_new_zipfile_serialization=False)
    rng = np.random.default_rng(0)
    path = tmp_path / "a.pth"
    for _ in range(300):
        data = bytearray(buffer.getvalue())
        for position in rng.integers(0, len(data), 3):
            data[position] = rng.integers(256)
        path.write_bytes(data)
        with contextlib.suppress(RssegError):
            read_pickled(path)
