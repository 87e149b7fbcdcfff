"""Manifests: intervals, regions, and all that is wrong told at once."""

import pytest

from ppsdk import VideoError
from ppsdk.manifest import read_manifest


def written(tmp_path, *rows):
    (tmp_path / "m.csv").write_text("\n".join(rows))
    return tmp_path / "m.csv"


def test_intervals_and_regions(tmp_path):
    manifest = written(
        tmp_path, "path,label,start_s,end_s,roi", "a.mp4,run,1.5,3,0 0 0.5 1", "b.mp4,jump,,,"
    )
    run, jump = read_manifest(manifest)
    assert (run.span_s, run.roi) == ((1.5, 3.0), (0.0, 0.0, 0.5, 1.0))
    assert (jump.span_s, jump.roi, jump.group, jump.split) == (None, None, "", "")


def test_the_folder_of_a_manifest_stands_for_it(tmp_path):
    (tmp_path / "manifest.csv").write_text("path,label\na.mp4,run\n")
    assert [clip.path for clip in read_manifest(tmp_path)] == [tmp_path / "a.mp4"]
    (tmp_path / "manifest.csv").unlink()
    with pytest.raises(VideoError, match="manifest.csv: cannot read the manifest .No such file"):
        read_manifest(tmp_path)


def test_every_wrong_line_is_told(tmp_path):
    manifest = written(
        tmp_path,
        "path,label,start_s,end_s,roi",
        "a.mp4,run,3,1.5,",
        "a.mp4,run,1,,",
        "a.mp4,run,one,2,",
        "a.mp4,run,1,nan,",
        "a.mp4,run,,,0 0 2 1",
        "a.mp4,run,,,0 0 1",
    )
    with pytest.raises(VideoError) as caught:
        read_manifest(manifest)
    for part in (
        "line 2: start_s 3, end_s 1.5: must be 0 <= start_s < end_s",
        "line 3: start_s and end_s: must both be given, or neither",
        "line 4: start_s is 'one': must be a number",
        "line 5: end_s is 'nan'",
        "line 6: roi is (0.0, 0.0, 2.0, 1.0)",
        "line 7: roi is '0 0 1': must be 4 numbers",
    ):
        assert part in str(caught.value)
