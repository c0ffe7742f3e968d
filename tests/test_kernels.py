"""The compiled kernels by themselves: the program of `csrc/tests`, under sanitizers and under an emulator."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from recur import engine

pytestmark = pytest.mark.slow

KERNEL_OPTIONS = ["-ffp-contract=fast", "-fno-math-errno", "-fno-exceptions"]
WARNINGS = ["-Wall", "-Wextra", "-Werror"]
# Of what debuggers read no more than the lines, which are named where something is wrong.
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g1"]
CORE = ["barrier.cc", "cpu_features.cc", "linear.cc", "mask.cc", "memory.cc", "recurrence.cc"]
TESTS = ["tests/cases.cc", "tests/kernels_test.cc", "tests/linear_test.cc", "tests/mask_test.cc", "tests/reference.cc"]
X86 = ["baseline", "avx2", "avx512", "avx512_bf16", "avx512_amx"]
# Threads without work sleep, and leave the processors to the tests beside; how those with work wait is ours to test.
THREADS = {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"}


def run(*command: str | Path, **variables: str) -> str:
    done = subprocess.run(
        [str(part) for part in command], env=os.environ | variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(str(part) for part in command)}\n{done.stdout}{done.stderr}"
    return done.stdout


def needed(*names: str) -> str:
    """Return the first of some programs that is on this machine, or skip."""
    for name in names:
        found = shutil.which(name)
        if found is not None:
            return found
    pytest.skip(f"this machine has no {' or '.join(names)}")


@pytest.fixture(scope="module")
def isa_flags(root: Path) -> dict[str, list[str]]:
    """The flags of each instruction set, as the library is built with."""
    lines = re.findall(r"^ +recur_kernels\((\w+) ?(.*)\)$", (root / "CMakeLists.txt").read_text(), flags=re.MULTILINE)
    found = {isa: flags.split() for isa, flags in lines}
    assert set(found) == {*X86, "neon"}
    assert not any("$" in flag for flags in found.values() for flag in flags), found
    return found


def build(
    compiler: str, sources: Path, out: Path, isas: dict[str, list[str]], flags: list[str], defined: list[str]
) -> Path:
    """Build `kernels_test` with the kernels of some instruction sets, and return its path."""
    common = [compiler, "-std=c++17", "-fopenmp", f"-I{sources}", *WARNINGS, *flags]
    jobs = [[*common, *defined, "-c", sources / name, "-o", out / f"{Path(name).stem}.o"] for name in CORE + TESTS]
    for isa, own in isas.items():
        kernels = [*KERNEL_OPTIONS, *own, f"-DRECUR_ISA={isa}", "-c", sources / "kernels" / "kernels.cc"]
        jobs.insert(0, [*common, *kernels, "-o", out / f"{isa}.o"])
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(lambda job: run(*job), jobs))
    program = out / "kernels_test"
    run(*common, *sorted(out.glob("*.o")), "-o", program)
    return program


@pytest.fixture(scope="module")
def sanitized(root: Path, isa_flags: dict[str, list[str]], made_once: Callable[..., Path]) -> Path:
    """`kernels_test` with sanitizers and every instruction set that this processor has."""
    compiler = needed(os.environ.get("CXX", "c++"), "g++", "clang++")

    def make(folder: Path) -> None:
        (folder / "trial.cc").write_text("int main() {}\n")
        command = [compiler, *SANITIZERS, "-fopenmp", folder / "trial.cc", "-o", folder / "trial"]
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            pytest.skip(f"{compiler} has no sanitizers, or no OpenMP, on this machine")
        isas, defined = of_this_machine()
        build(compiler, root / "csrc", folder, {isa: isa_flags[isa] for isa in isas}, ["-O1", *SANITIZERS], defined)

    return made_once("kernels", make) / "kernels_test"


def of_this_machine() -> tuple[list[str], list[str]]:
    """Return the instruction sets that can be tried on this processor, and the macros with which they are compiled."""
    features = engine.cpu_features()
    if features.architecture == "aarch64":
        return ["neon"], ["-DRECUR_HAS_NEON_KERNELS"]
    if platform.machine() not in ("x86_64", "AMD64"):
        return ["baseline"], []
    *others, tiles = X86
    if features.best_isa != tiles:
        return others, ["-DRECUR_HAS_X86_KERNELS"]
    return X86, ["-DRECUR_HAS_X86_KERNELS", "-DRECUR_HAS_TILE_KERNELS"]


@pytest.mark.parametrize("isa", [*X86, "neon"])
def test_nothing_is_read_or_written_beside_the_arrays(sanitized: Path, isa: str) -> None:
    """Values, gradients and memory on every instruction set that this processor has."""
    isas, _ = of_this_machine()
    if isa not in isas[: isas.index(engine.cpu_features().best_isa) + 1]:
        pytest.skip(f"this processor has no {isa}")
    assert run(sanitized, isa, RECUR_CPU_ISA=isa, **THREADS) == f"{isa}: all well\n"


def test_arm(root: Path, tmp_path: Path, isa_flags: dict[str, list[str]]) -> None:
    """The same values and gradients from the same source on another architecture, emulated."""
    compiler = needed("aarch64-linux-gnu-g++")
    emulator = needed("qemu-aarch64", "qemu-aarch64-static")
    flags = ["-O2"]
    program = build(compiler, root / "csrc", tmp_path, {"neon": isa_flags["neon"]}, flags, ["-DRECUR_HAS_NEON_KERNELS"])
    where = "/usr/aarch64-linux-gnu"
    for cap in ("neon", "baseline"):
        printed = run(emulator, "-L", where, program, cap, "20", "emulated", RECUR_CPU_ISA=cap, **THREADS)
        assert printed == f"{cap}: all well\n"


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
@pytest.mark.parametrize("isa", X86)
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="this processor has no other instruction set")
def test_no_code_is_shared_between_instruction_sets(
    root: Path, tmp_path: Path, isa_flags: dict[str, list[str]], isa: str, compiler: str
) -> None:
    """Of a function in several objects the linker keeps one, and it may be one that the processor cannot run.

    Compiled as it is written, so that what only happens to be inlined is seen; and without a warning.
    """
    out = tmp_path / "kernels.o"
    command = [needed(compiler), "-std=c++17", "-O0", *WARNINGS, *KERNEL_OPTIONS, *isa_flags[isa], f"-DRECUR_ISA={isa}"]
    run(*command, f"-I{root / 'csrc'}", "-c", root / "csrc" / "kernels" / "kernels.cc", "-o", out)
    visible = [line.split()[-1] for line in run(needed("nm"), "--defined-only", "--extern-only", out).splitlines()]
    own = f"5recur{len(isa)}{isa}"
    assert f"_ZN{own}15kernels_float32E" in visible
    assert [name for name in visible if own not in name] == []
    # Nor does anything run when the module is loaded.
    assert "_GLOBAL__sub_I" not in run(needed("nm"), "--defined-only", out)
