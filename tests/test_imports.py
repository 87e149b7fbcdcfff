"""Importing ppsdk is cheap, and imports point one way."""

import ast
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "nncf", "paddle", "openvino", "cv2", "av", "decord", "numpy", "PIL", "converters")


def python(program, *, env=None):
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=env
    )
    return done.stdout


def test_import_ppsdk_loads_nothing_heavy():
    loaded = python("import sys, ppsdk; print(*sys.modules)").split()
    assert not set(HEAVY) & set(loaded)


def test_the_runtime_never_loads_converters_nncf_or_torch():
    loaded = python("import sys, ppsdk; ppsdk.Recognizer; ppsdk.sample_clip; print(*sys.modules)")
    assert not {"torch", "nncf", "paddle", "converters"} & set(loaded.split())


@pytest.mark.parametrize("module", ["ppsdk.recognizer", "converters.recipes"])
def test_openvino_tells_nobody_of_its_use(module, tmp_path):
    """It keeps an id of the machine in HOME, unless it takes the machine for one of CI."""
    of_ci = ("CI", "TF_BUILD", "JENKINS_URL")
    env = {name: value for name, value in os.environ.items() if name not in of_ci}
    program = f"import sys, {module}; print(*(name for name in sys.modules if 'telemetry' in name))"
    loaded = python(program, env=env | {"HOME": str(tmp_path)}).split()
    assert "openvino_telemetry.main" not in loaded
    assert not list(tmp_path.iterdir())


def test_import_ppsdk_is_quick():
    """Within 0.3 s of `import numpy`, by the medians of alternating runs, in processor's time."""
    program = "import time; t = time.process_time(); import {}; print(time.process_time() - t)"
    times = {"ppsdk": [], "numpy": []}
    for _ in range(5):
        for module, seen in times.items():
            seen.append(float(python(program.format(module))))
    assert statistics.median(times["ppsdk"]) < statistics.median(times["numpy"]) + 0.3


def test_every_public_name_is_there():
    import ppsdk

    for name in ppsdk.__all__:
        assert getattr(ppsdk, name) is not None
    assert set(ppsdk.__all__) <= set(dir(ppsdk))
    with pytest.raises(AttributeError, match="no attribute 'Recogniser'"):
        ppsdk.Recogniser


def imported(path):
    """Modules that a file imports when it is loaded, TYPE_CHECKING blocks left out."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


@pytest.mark.parametrize("stage", ["sampling", "preprocess", "model", "activity", "events"])
def test_stages_do_not_import_each_other(stage):
    others = {
        f"ppsdk.{name}" for name in ("sampling", "preprocess", "model", "events", "recognizer")
    }
    assert not set(imported(ROOT / "ppsdk" / f"{stage}.py")) & (others - {f"ppsdk.{stage}"})


def test_only_the_cli_reaches_for_the_converters():
    for path in (ROOT / "ppsdk").rglob("*.py"):
        text = path.read_text("utf-8")
        if path.parent.name != "cli":
            assert "converters" not in {name.split(".")[0] for name in imported(path) if name}
            assert "import converters" not in text and "from converters" not in text, path
        if path.name not in ("model.py", "cut.py", "reuse.py"):
            assert "import openvino" not in text, path
        if path.parent.name != "cli":
            assert "print(" not in text, path
