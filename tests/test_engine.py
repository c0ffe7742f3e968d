from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import recur.nn
from recur import engine
from recur.errors import BackendError, OptionError

X86_ISAS = ["baseline", "avx2", "avx512", "avx512_bf16", "avx512_amx"]
V3 = {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"}
V4 = V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
# All that the module looks for; /proc/cpuinfo has many more.
LOOKED_FOR = {
    "x86_64": V4 | {"sse2", "sse4_2", "avx512_vnni", "avx512_fp16", "avx512_bf16", "amx_bf16", "amx_tile", "amx_int8"},
    "aarch64": {"asimd", "sve", "asimddp", "bf16"},
}

on_x86 = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="this processor is no x86-64")


def may_use_tiles() -> bool:
    """Ask Linux for the registers of AMX, as its asm/prctl.h says: ARCH_REQ_XCOMP_PERM by arch_prctl."""
    return platform.system() == "Linux" and ctypes.CDLL(None).syscall(158, 0x1023, 18) == 0


def cpuinfo(key: str) -> str:
    path = Path("/proc/cpuinfo")
    if not path.exists():
        pytest.skip("this system has no /proc/cpuinfo to compare with")
    for line in path.read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    pytest.skip(f"/proc/cpuinfo names no {key!r} here")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can keep what it is given back")
def test_freed_memory_is_kept() -> None:
    """A large piece that was freed and is asked for again costs no new page."""
    program = """
import resource, sys
from recur import engine

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

if sys.argv[1] == "kept":
    assert engine.keep_freed_memory()
def step():
    pieces = [b"x" * (8 << 20) for _ in range(8)]
    del pieces

for _ in range(3):
    step()
before = faults()
for _ in range(3):
    step()
print(faults() - before)
"""
    counts = {}
    for how in ("kept", "given back"):
        done = subprocess.run([sys.executable, "-c", program, how], capture_output=True, text=True, check=True)
        counts[how] = int(done.stdout)
    assert counts["kept"] < 5000 < counts["given back"]


def test_flags_are_those_of_the_kernel() -> None:
    features = engine.cpu_features()
    known = cpuinfo("Features" if features.architecture == "aarch64" else "flags").split()
    assert set(features.flags) == LOOKED_FOR[features.architecture] & set(known)
    assert list(features.flags) == sorted(features.flags)


def test_brand_is_that_of_the_kernel() -> None:
    assert engine.cpu_features().brand == " ".join(cpuinfo("model name").split())


def test_architecture() -> None:
    expected = {"AMD64": "x86_64", "x86_64": "x86_64", "arm64": "aarch64", "aarch64": "aarch64"}
    assert engine.cpu_features().architecture == expected.get(platform.machine(), "other")


@on_x86
def test_best_isa_needs_every_feature_of_its_level() -> None:
    features = engine.cpu_features()
    flags = set(features.flags)
    expected = "baseline"
    if flags >= V3:
        expected = "avx2"
    if flags >= V4:
        expected = "avx512_bf16" if "avx512_bf16" in flags else "avx512"
    if flags >= V4 | {"avx512_bf16", "amx_tile", "amx_bf16"} and may_use_tiles():
        expected = "avx512_amx"
    assert features.best_isa == expected


@pytest.mark.parametrize(("field", "name"), [("l1d_bytes", "LEVEL1_DCACHE_SIZE"), ("l2_bytes", "LEVEL2_CACHE_SIZE")])
def test_cache_sizes_are_those_of_getconf(field: str, name: str) -> None:
    if not Path("/sys/devices/system/cpu/cpu0/cache/index0").exists():
        pytest.skip("this system does not tell its caches")
    answer = subprocess.run(["getconf", name], capture_output=True, text=True, check=False).stdout.strip()
    if not answer.isdigit() or int(answer) == 0:
        pytest.skip(f"getconf knows no {name} here")
    assert getattr(engine.cpu_features(), field) == int(answer)


def test_the_last_level_cache_is_unknown_or_the_largest() -> None:
    # getconf multiplies it by a guess at the number of slices, so that it is no witness here.
    features = engine.cpu_features()
    assert features.l3_bytes == 0 or features.l3_bytes >= features.l2_bytes >= features.l1d_bytes


@on_x86
@pytest.mark.parametrize("cap", X86_ISAS)
def test_the_variable_caps_the_instruction_set(monkeypatch: pytest.MonkeyPatch, cap: str) -> None:
    best = engine.cpu_features().best_isa
    monkeypatch.setenv("RECUR_CPU_ISA", cap)
    assert engine.chosen_isa() == X86_ISAS[min(X86_ISAS.index(cap), X86_ISAS.index(best))]


@pytest.mark.parametrize("cap", [None, ""])
def test_without_a_cap_the_best_is_chosen(monkeypatch: pytest.MonkeyPatch, cap: str | None) -> None:
    monkeypatch.delenv("RECUR_CPU_ISA", raising=False)
    if cap is not None:
        monkeypatch.setenv("RECUR_CPU_ISA", cap)
    assert engine.chosen_isa() == engine.cpu_features().best_isa


@on_x86
@pytest.mark.parametrize("cap", ["avx9", "AVX2", "neon"])
def test_a_wrong_cap_is_an_error_of_the_call(monkeypatch: pytest.MonkeyPatch, cap: str) -> None:
    monkeypatch.setenv("RECUR_CPU_ISA", cap)
    engine.cpu_features()
    message = f"^RECUR_CPU_ISA is '{cap}', but on x86_64 it must be one of: {', '.join(X86_ISAS)}\\. Set "
    with pytest.raises(OptionError, match=message):
        engine.chosen_isa()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity masks")
def test_threads_follow_the_affinity_mask() -> None:
    one = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, [{one}]); from recur import engine; print(engine.num_threads())"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "1"
    assert 1 <= engine.num_threads() <= len(os.sched_getaffinity(0))


def test_hardware_threads() -> None:
    assert engine.hardware_threads() == os.cpu_count()


@pytest.mark.parametrize(
    ("membership", "files", "limit"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 0.0),
        ("0::/\n", {}, 0.0),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "max 100000\n"}, 3.0),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000\n", "a/b/cpu.max": "400000 100000\n"}, 3.0),
        (
            "4:memory:/a\n3:cpu,cpuacct:/a\n",
            {"cpu/a/cpu.cfs_quota_us": "50000", "cpu/a/cpu.cfs_period_us": "100000"},
            0.5,
        ),
        ("3:cpu,cpuacct:/a\n", {"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"}, 0.0),
        ("3:cpuset:/\n", {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 0.0),
        ("0::a/b\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("nonsense\n\n0\n1:2\n", {"cpu.max": "nonsense"}, 0.0),
    ],
)
def test_quota_of_the_control_group(tmp_path: Path, membership: str, files: dict[str, str], limit: float) -> None:
    from recur import _engine

    (tmp_path / "membership").write_text(membership)
    for name, text in files.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert _engine.cgroup_cpu_limit(str(tmp_path / "membership"), str(tmp_path / "root")) == limit


@pytest.fixture
def without_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a checkout that was never built."""
    import recur

    monkeypatch.delattr(recur, "_engine", raising=False)
    monkeypatch.setitem(sys.modules, "recur._engine", None)


@pytest.mark.usefixtures("without_module")
def test_without_the_module_everything_says_so() -> None:
    assert not engine.is_available()
    reason = "the compiled module recur._engine cannot be imported .*; install recur from a wheel, or from source"
    assert engine.missing_reason() is not None
    assert engine.missing_kernels() == engine.missing_reason()
    with pytest.raises(BackendError, match=f"^engine: {reason}"):
        engine.cpu_features()
    with pytest.raises(BackendError, match=reason):
        engine.chosen_isa()
    assert engine.num_threads() >= 1
    assert engine.hardware_threads() == os.cpu_count()


def test_with_the_module() -> None:
    assert engine.is_available()
    assert engine.missing_reason() is None
    assert engine.missing_kernels() is None


def test_without_kernels_the_module_looks_at_the_machine_and_layers_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """As built by a compiler without vector extensions."""
    from recur import _engine

    for name in ("Recurrence32", "Recurrence64", "peak_flops_float32", "peak_flops_float64"):
        monkeypatch.delattr(_engine, name)
    reason = "the compiled module recur._engine was built without kernels; build it with GCC or Clang"
    assert engine.missing_reason() is None
    assert engine.cpu_features().best_isa
    assert engine.missing_kernels() == reason
    with pytest.raises(BackendError, match=f"^engine: {reason}"):
        engine.peak_flops(torch.float32, 1)
    layer = recur.nn.GRU(2, 3)
    assert reason in str(layer.explain(torch.zeros(4, 1, 2)))
    assert layer(torch.zeros(4, 1, 2))[0].shape == (4, 1, 3)


def test_the_library_imports_without_the_module() -> None:
    code = "import sys; sys.modules['recur._engine'] = None; import recur, recur.nn; print(recur.nn.LSTM(2, 3))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "LSTM(2, 3" in done.stdout


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_peak_is_measured(dtype: torch.dtype) -> None:
    """Between what the slowest processor does and what none does."""
    assert 1e8 < engine.peak_flops(dtype, 1) < 1e12


def test_the_peak_is_of_threads_that_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    from recur import _engine

    asked = []
    monkeypatch.setattr(_engine, "peak_flops_float32", lambda threads: asked.append(threads) or 1.0)
    for threads in (-1, 0, 1, 1 << 30):
        engine.peak_flops(torch.float32, threads)
    assert asked == [1, 1, 1, engine.hardware_threads()]


def test_the_peak_of_what_the_kernels_do_not_know() -> None:
    with pytest.raises(
        ValueError, match=r"^peak_flops: dtype must be torch\.float32 or torch\.float64, but is torch\.bf"
    ):
        engine.peak_flops(torch.bfloat16, 1)


@pytest.mark.usefixtures("without_module")
def test_the_peak_needs_the_module() -> None:
    with pytest.raises(BackendError, match="cannot be imported"):
        engine.peak_flops(torch.float32, 1)
