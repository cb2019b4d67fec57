"""Where a network runs: detection by what the processor says, and memory that is too small."""

import numpy as np
import pytest
import torch

from txt2img.images.devices import choose_device, choose_precision, processor_has_bfloat16
from txt2img.images.network_reader import read_in_batches


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("model name : Xeon\nflags\t\t: fpu avx2 avx512f avx512_bf16 amx_tile\n", True),
        ("flags : fpu avx2 amx_bf16 amx_int8\n", True),
        ("Features\t: fp asimd bf16 i8mm\n", True),
        ("flags : fpu avx2 avx512f avx512bw\n", False),
        ("model name : avx512_bf16\nflags : fpu avx2\n", False),
        ("", False),
    ],
)
def test_bfloat16_is_told_by_the_flags(cpuinfo, expected, tmp_path):
    file = tmp_path / "cpuinfo"
    file.write_text(cpuinfo)
    assert processor_has_bfloat16(file) is expected


def test_processor_that_says_nothing_has_none(tmp_path):
    assert processor_has_bfloat16(tmp_path / "gone") is False


def test_precision_of_the_processor(monkeypatch):
    for has, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr("txt2img.images.devices.processor_has_bfloat16", lambda has=has: has)
        assert choose_precision("auto", torch.device("cpu")) == expected
        assert choose_precision("float16", torch.device("cpu")) == "float16"
    assert choose_precision("auto", torch.device("mps")) == "float16"
    assert choose_device("cpu") == torch.device("cpu")


class SmallMemory:
    """Stands for a reader on a device that has memory for a few pictures only."""

    def __init__(self, most):
        self.most, self.sizes = most, []

    def on(self, device, precision):
        def read(pixels):
            self.sizes.append(len(pixels))
            if len(pixels) > self.most:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
            return [pixels.float().mean((1, 2, 3))[:, None]]

        return read


def test_batch_that_does_not_fit_is_halved_and_rows_stay_in_place():
    pictures = [np.full((2, 4, 4, 3), i, np.uint8) for i in range(7)]
    reader = SmallMemory(4)
    (found,) = read_in_batches(reader, pictures, torch.device("cpu"), "float32")
    np.testing.assert_array_equal(found[:, 0], range(7))
    assert reader.sizes[0] == 14
    with pytest.raises(RuntimeError, match="out of memory"):
        read_in_batches(SmallMemory(1), pictures, torch.device("cpu"), "float32")
