"""What the README and docs say can be typed is typed here."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import HERE, SYNTH, write_tiny
from fading_lamps import write_set
from stallserver import Camera

from converters.convert import ConvertOptions, convert
from converters.seeded import seeded_weights, write_pdparams
from ppsdk import ActionEvent

ROOT = HERE.parent
README = (ROOT / "README.md").read_text("utf-8")
DOCS = sorted((ROOT / "docs").glob("*.md"))
TEXTS = {"README.md": README} | {f"docs/{file.name}": file.read_text("utf-8") for file in DOCS}
SHELL = list(
    dict.fromkeys(
        line
        for text in TEXTS.values()
        for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
        for line in block.splitlines()
    )
)
SETUP = [line for line in SHELL if line.startswith("python3 -m venv")]
LIVE = [line for line in SHELL if "rtsp://" in line]
# Run in tests/test_examples.py, and in tests/test_quantize.py: minutes each.
LONG = [line for line in SHELL if re.search("train_own_actions|int8_report|sensitivity", line)]
PLAIN = [line for line in SHELL if line not in SETUP + LIVE + LONG]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the files that the README's commands name."""
    folder = tmp_path_factory.mktemp("readme")
    arrays = seeded_weights(8, num_segments=8, num_classes=5)
    write_pdparams(folder / "checkpoint.pdparams", arrays, prefix="backbone.")
    (folder / "labels.txt").write_text("\n".join("abcde"))
    # Small pictures, for all commands but the one that converts.
    write_tiny(folder / "small.safetensors", arrays, image_size=112, labels=[*"abcde"])
    shutil.copy(SYNTH / "base_64.mp4", folder / "clip.mp4")
    shutil.copy(SYNTH / "long_gop_300.mp4", folder / "long.mp4")
    rows = ["path,label,split,roi", "clip.mp4,a,test,", "clip.mp4,b,test,0 0 0.5 1"]
    rows += [f"long.mp4,{'abcde'[i % 5]},train,0 0 1 {0.5 + 0.025 * i}" for i in range(18)]
    (folder / "manifest.csv").write_text("\n".join(rows))
    write_set(folder / "clips", 5)
    (folder / "videos").mkdir()
    shutil.copy(folder / "long.mp4", folder / "videos" / "long.mp4")
    # Whatever an untrained model says all the time, it happens.
    truth = ["path,label,start_s,end_s", *(f"long.mp4,{label},1.0,9.0" for label in "abcde")]
    (folder / "truth.csv").write_text("\n".join(truth))
    told = ActionEvent("e", "a", 0, 0.9, 1.2, 8.1, "long.mp4", phase="end", ended_by="over")
    (folder / "events.jsonl").write_text(json.dumps(told.to_dict()) + "\n")
    shutil.copytree(ROOT / "examples", folder / "examples")
    convert(folder / "small.safetensors", folder / "model", ConvertOptions())
    return folder


def environment():
    env = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    env["PATH"] = str(Path(sys.executable).parent) + os.pathsep + env["PATH"]
    return env


def run(command, cwd):
    return subprocess.run(
        shlex.split(command),
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.mark.parametrize("command", PLAIN)
def test_commands(command, folder):
    if command.startswith("ppsdk convert"):
        command = command.replace(" model ", " another ")
    # The last one given counts: as typed these take minutes, and speed is not what is tested.
    if command.startswith("ppsdk train"):
        command += " --epochs 1"
    if command.startswith("ppsdk tune"):
        command += " --trials 10"
    if command.startswith("ppsdk report"):
        command += " --repeats 2 --min-speedup 0"
    done = run(command, folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout and not done.stderr


@pytest.mark.parametrize("command", LIVE)
def test_commands_for_cameras(command, folder):
    with Camera("live", fps=50) as camera:
        words = shlex.split(re.sub(r"rtsp://\S+", camera.url, command))
        if words[0] == "ppsdk":
            words += ["--per-window"]
        process = subprocess.Popen(
            words, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            assert json.loads(process.stdout.readline())["label"] in "abcde"
        finally:
            process.kill()
            process.communicate()


PYTHON = {name: re.findall(r"```python\n(.*?)```", text, re.DOTALL) for name, text in TEXTS.items()}


def run_python(code, folder):
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_lines(folder):
    (code,) = PYTHON["README.md"]
    assert len(code.strip().splitlines()) <= 8
    assert len(run_python(code, folder).splitlines()) >= 2


def test_the_python_lines_of_docs(folder):
    (code,) = PYTHON["docs/sinks.md"]
    assert sum(map(len, PYTHON.values())) == 2, "of another file: run that too"
    run_python(code, folder)
    records = [json.loads(line) for line in (folder / "told.jsonl").read_text().splitlines()]
    assert any(record["source"] == "long.mp4" for record in records)


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name):
    targets = re.findall(r"\]\(([^)#]+)\)", TEXTS[name])
    files = [target for target in targets if "://" not in target]
    for target in files + re.findall(r"`((?:benchmarks|examples|docs)/[\w./]+)`", TEXTS[name]):
        there = (ROOT / name).parent / target, ROOT / target
        assert any(path.exists() for path in there), target


def test_there_are_two_commands_to_set_up():
    assert len(SETUP) == 2
    assert SETUP[0].endswith("demo") and SETUP[1].endswith("pytest -n 2 --dist loadfile")


@pytest.mark.slow
def test_the_demo_from_nothing(tmp_path):
    """The other command is what CI runs."""
    if shutil.which("git") is None:
        pytest.skip("needs git")
    files = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name in filter(None, files.split("\0")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    done = subprocess.run(
        SETUP[0], shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    *_, written, then = done.stdout.splitlines()
    assert "timeline.png" in written
    assert (tmp_path / "ppsdk-demo" / "annotated.mp4").exists()
    command = then.removeprefix("next: ")
    again = subprocess.run(
        f".venv/bin/{command}", shell=True, cwd=tmp_path, capture_output=True, text=True
    )
    assert again.returncode == 0, again.stderr
    assert '"phase": "end"' in again.stdout


def test_no_paths_of_a_machine_and_no_hosts_of_registries():
    places = {str(ROOT), str(Path.home()) + os.sep}
    hosts = re.compile(r"\b(pypi|pythonhosted|npmjs|debian)\.(org|com)\b")
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        if any(part.startswith(".") and part != ".ci" for part in parts):
            continue
        if path.suffix in (".py", ".md", ".cfg", ".toml", ".json"):
            text = path.read_text("utf-8")
            assert not hosts.search(text), path
            assert not any(place in text for place in places if len(place) > 3), path
