"""On what a model runs and in which number format: reads the machine, so that `auto` means the fastest correct choice."""

from __future__ import annotations

import os

import torch

from core.cores import usable_cores
from core.errors import ConfigurationError

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str) -> torch.device:
    """The device of a `QA_DEVICE` value; `auto` is the first GPU, else the CPU. Raises ConfigurationError where it is absent."""
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigurationError(f"QA_DEVICE={name} is no device: use auto, cpu, cuda or cuda:N.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigurationError(f"QA_DEVICE={name} asks for a GPU that torch does not see ({torch.cuda.device_count()} visible).")
    return device


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The number format of weights and activations; with int8 that of everything but the linear layers.

    `auto` is bf16 on GPUs and on CPUs that multiply it (AVX512-BF16, AMX), else fp32: without such instructions bf16 is
    emulated and slower. Raises ConfigurationError for what would be wrong or unreasonably slow.
    """
    if precision == "auto":
        return torch.bfloat16 if _multiplies_bf16(device) else torch.float32
    if precision == "int8":
        _refuse_slow_int8(device)
        return choose_dtype("auto", device)
    if precision == "fp16" and device.type == "cpu":
        raise ConfigurationError("QA_ENCODER_PRECISION=fp16 needs a GPU: CPUs emulate it slowly. Use auto, bf16 or fp32.")
    return _DTYPES[precision]


def set_threads(wanted: int) -> int:
    """Sets and returns the threads of one forward pass on a CPU; 0 takes one less than the usable cores, at least one.

    Idle threads sleep instead of spinning (where the OpenMP library has not started yet): two spinning pools on the same
    cores cost tenfold.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    threads = wanted or max(1, usable_cores() - 1)
    torch.set_num_threads(threads)
    return threads


def device_memory_mb(device: str) -> int:
    """What this process holds of the GPU's memory, in MiB; 0 on a CPU, whose memory is the process's own."""
    return torch.cuda.memory_reserved(device) // 2**20 if device.startswith("cuda") else 0


def is_device_lost(error: BaseException) -> bool:
    """Whether `error` means that the accelerator is gone for this process; running out of its memory is not that."""
    if isinstance(error, torch.OutOfMemoryError):
        return False
    return isinstance(error, torch.AcceleratorError) or (isinstance(error, RuntimeError) and "CUDA error" in str(error))


def _refuse_slow_int8(device: torch.device) -> None:
    if device.type != "cpu":
        raise ConfigurationError("QA_ENCODER_PRECISION=int8 is for CPUs: a GPU is faster in bf16 or fp16, and exact. Use auto.")
    if not any(torch.cpu.get_capabilities().get(name) for name in ("avx512_vnni", "avx_vnni", "amx_int8")):
        raise ConfigurationError("QA_ENCODER_PRECISION=int8 needs a CPU that multiplies int8 (VNNI, AMX), and this one does not. Use auto.")


def _multiplies_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu.get_capabilities().get("avx512_bf16") or torch.cpu.get_capabilities().get("amx_bf16"))
