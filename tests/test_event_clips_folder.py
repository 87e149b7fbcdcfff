"""The folder of clips: names, bounds, full disks, and what a killed process left."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import SYNTH
from event_films import event, film, made, nothing_else, options, play, seen, told
from test_sinks import alone
from waiting import wait_for

from ppsdk import Frame
from ppsdk.sinks.clips import EventClips
from ppsdk.sinks.clips.folder import safe_name

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs signals and RLIMIT_FSIZE")


def test_the_oldest_clips_give_way(tmp_path):
    """And nothing else: not what somebody has put there."""
    (tmp_path / "door").mkdir()
    others = [tmp_path / "door" / name for name in ("mine.mp4", "mine.json", "x.jpg")]
    for other in others:
        other.write_text(json.dumps({"mine": "x" * 50_000}))
    with EventClips(tmp_path, options=options()) as clips:
        play(clips, film(300), [(29.0, told("end", 3.0, 5.0, id=id)) for id in "abcd"])
    sizes = [
        sum(path.with_suffix(end).stat().st_size for end in (".mp4", ".jpg", ".json"))
        for path, _ in made_by_us(tmp_path)
    ]
    assert len(sizes) == 4
    room = options(budget_bytes=sum(sizes) - sizes[0] + 10)
    with EventClips(tmp_path, options=room) as clips:
        assert clips.counts().deleted == 1
        play(clips, film(300), event(3.0, 5.0, id="e"))
    assert clips.counts().deleted == 2
    assert [record["event"]["id"] for _, record in made_by_us(tmp_path)] == ["c", "d", "e"]
    with EventClips(tmp_path, options=options(budget_bytes=1)) as clips:
        play(clips, film(300), event(3.0, 5.0, id="f"))
    assert [record["event"]["id"] for _, record in made_by_us(tmp_path)] == ["f"]
    assert all(other.exists() for other in others)


def made_by_us(folder):
    return [(path, record) for path, record in made(folder) if "ppsdk_clip" in record]


FULL_DISK = """
import resource, sys
from event_films import event, film, options, play
from ppsdk.sinks.clips import EventClips
resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, resource.RLIM_INFINITY))
with EventClips(sys.argv[1], options=options()) as clips:
    seen = 0
    play(clips, film(100), event(3.0, 5.0, id="lost"))
    while not clips.counts().failed:
        pass
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    play(clips, film(100), event(3.0, 5.0, id="kept"))
print(clips.counts().written, clips.counts().failed)
"""


@posix
def test_a_full_disk_costs_the_clip_and_nothing_else(tmp_path):
    assert alone(FULL_DISK, tmp_path) == "1 1\n"
    ((path, record),) = made(tmp_path)
    assert record["event"]["id"] == "kept" and seen(path)[0] == list(range(20, 71))
    assert nothing_else(tmp_path)


@pytest.mark.slow
@posix
def test_a_real_disk_that_is_full(tmp_path):
    """Needs root: 4 MB of tmpfs, of which 20 kB are left."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        with EventClips(disk, options=options()) as clips:
            (disk / "film").write_bytes(b"x" * 4_160_000)
            noise = np.random.default_rng(1).integers(0, 256, (100, 120, 160, 3), np.uint8)
            noisy = [Frame(image, i / 10) for i, image in enumerate(noise)]
            play(clips, noisy, event(3.0, 5.0, id="lost"))
            wait_for(lambda: clips.counts().failed == 1)
            (disk / "film").unlink()
            play(clips, noisy, event(3.0, 5.0, id="kept"))
        assert [record["event"]["id"] for _, record in made(disk)] == ["kept"]
        assert nothing_else(disk) and clips.counts().written == 1
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_folder_that_somebody_deletes_is_made_again(tmp_path):
    folder = tmp_path / "clips"
    with EventClips(folder, options=options()) as clips:
        play(clips, film(100), event(3.0, 5.0, id="a"))
        wait_for(lambda: clips.counts().written == 1)
        shutil.rmtree(folder)
        play(clips, film(100), event(3.0, 5.0, id="b"))
    assert [record["event"]["id"] for _, record in made(folder)] == ["b"]
    assert clips.counts().written == 2 and nothing_else(folder)


def test_a_clip_that_cannot_have_its_name_leaves_nothing(tmp_path):
    """Its snapshot has had its own by then."""
    taken = tmp_path / "door" / "00h00m03.000s_fall_a.mp4"
    taken.mkdir(parents=True)
    with EventClips(tmp_path, options=options()) as clips:
        play(clips, film(100), event(3.0, 5.0))
    assert clips.counts().failed == 1
    assert list(taken.parent.iterdir()) == [taken]


KILLED = """
import os, signal, sys, time
from pathlib import Path
from event_films import event, film, options, play, told
from ppsdk.sinks.clips import EventClips
clips = EventClips(sys.argv[1], options=options())
play(clips, film(100), event(3.0, 5.0, id="whole"))
while not clips.counts().written:
    time.sleep(0.01)
for frame in clips.tap("door", film(100), live=True):
    if frame.pts_s == 4.0:
        clips(told("start", 3.0, 3.9, id="half"))
while not list(Path(sys.argv[1]).glob("door/.*half.mp4.ppsdk-part")):
    time.sleep(0.01)
print("there", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@posix
def test_what_a_killed_process_left_is_removed(tmp_path, caplog):
    path = os.pathsep.join([str(SYNTH.parents[2]), str(SYNTH.parents[1])])
    command = [sys.executable, "-c", KILLED, tmp_path]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.stdout == "there\n" and done.returncode == -9, done.stderr
    assert not nothing_else(tmp_path)
    EventClips(tmp_path).close()
    assert nothing_else(tmp_path)
    ((clip, _),) = made(tmp_path)
    assert seen(clip)[0] == list(range(20, 71))
    assert "1 files of clips that were not whole" in caplog.text


def test_killed_between_its_files_a_clip_is_whole_or_gone(tmp_path):
    with EventClips(tmp_path, options=options()) as clips:
        play(clips, film(100), event(3.0, 5.0, id="a") + event(3.0, 5.0, id="b"))
    (named, _), (unnamed, _) = made(tmp_path)
    for path in (named, unnamed):
        record = path.with_suffix(".json")
        record.rename(record.with_name(f".{record.name}.ppsdk-part"))
    unnamed.rename(unnamed.with_name(f".{unnamed.name}.ppsdk-part"))
    EventClips(tmp_path).close()
    assert [path for path, _ in made(tmp_path)] == [named] and nothing_else(tmp_path)


@posix
def test_a_folder_is_for_one_process(tmp_path):
    with EventClips(tmp_path):
        with pytest.raises(OSError, match="clips are being written there already"):
            EventClips(tmp_path)
    EventClips(tmp_path).close()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        EventClips(tmp_path / "file")


def test_names_are_safe_everywhere():
    names = {
        "rtsp://camera.local/stream": "rtsp_camera.local_stream",
        "../../etc/passwd": "etc_passwd",
        "con": "_con",
        "Lager 2 (Tor)": "Lager_2_Tor",
        "视频": "视频",
        "..": "_",
        "/" + "long/" * 60 + "end.mp4": ("long_" * 20)[-73:] + "end.mp4",
    }
    assert {name: safe_name(name) for name in names} == names
    assert all(len(safe_name(name).encode()) <= 80 for name in names)
