"""The report's figures by hand on six clips, and its three files."""

import json
import shutil
import subprocess
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pytest

pytest.importorskip("nncf", reason="needs the extra 'convert'")

from conftest import SYNTH  # noqa: E402
from test_cli import assert_refused, run  # noqa: E402

from converters.calibration import fingerprint, read_recording  # noqa: E402
from converters.report.accuracy import Answers, ask_both, compare  # noqa: E402
from converters.report.machine import notes_on, this_machine  # noqa: E402
from converters.report.report import SCHEMA, ReportOptions, make_report  # noqa: E402
from converters.report.statistics import group_interval, mcnemar, wilson  # noqa: E402
from converters.report.verdict import Limits, judge  # noqa: E402
from ppsdk import ModelError  # noqa: E402
from ppsdk.manifest import LabelledClip, read_manifest  # noqa: E402
from ppsdk.model import Network  # noqa: E402

HELD_BYTES = 1 << 29


def answers(fp32, int8, truth, groups="uvwxyz"):
    """Logits of 1 for the answer that is given, of three classes."""
    labels = ("a", "b", "c")
    rows = [np.eye(3, dtype=np.float32)[[labels.index(x) for x in said]] for said in (fp32, int8)]
    clips = [
        LabelledClip(f"{i}.mp4", SYNTH / "base_64.mp4", label, group=group)
        for i, (label, group) in enumerate(zip(truth, groups, strict=True))
    ]
    return Answers(labels, tuple(clips), *rows, unreadable=())


@pytest.fixture
def six():
    """Right in FP32: 0, 1, 2, 3; in INT8: 0, 1, 4. Other answers: 2, 3 and 4."""
    return compare(answers("aabbca", "aaacbb", "aabbbc"))


def test_six_clips_by_hand(six):
    assert six.clips == 6 and six.groups == 6
    assert six.fp32.top1 == pytest.approx(4 / 6) and six.int8.top1 == pytest.approx(3 / 6)
    assert six.difference == pytest.approx(-1 / 6)
    assert (six.fp32_only, six.int8_only) == (2, 1)
    # Of three that differ, two or more one way, twice: 2 (1 + 3) / 8 = 1.
    assert six.p == pytest.approx(1.0)
    # Classes: 2 of 2 a, 2 of 3 b, 0 of 1 c; then 2 of 2, 1 of 3, 0 of 1.
    assert six.fp32.mean_class_recall == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert six.int8.mean_class_recall == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert [(c.label, c.clips, c.int8_recall) for c in six.classes] == [
        ("a", 2, 1.0),
        ("b", 3, pytest.approx(1 / 3)),
        ("c", 1, 0.0),
    ]
    assert six.fp32.confusion == ((2, 0, 0), (0, 2, 1), (1, 0, 0))
    assert six.int8.confusion == ((2, 0, 0), (1, 1, 1), (0, 1, 0))
    assert six.agreement.top1 == pytest.approx(2 / 6)
    assert {flip.path for flip in six.flips} == {"2.mp4", "3.mp4", "4.mp4", "5.mp4"}
    assert six.fp32.top5 == 1.0, "of three classes, the five best are all"


def test_wilson_by_its_formula():
    """8 of 10: (0.8 + 1.9208 / 10 -+ 1.96 sqrt(0.16 / 10 + 3.8415 / 400)) / (1 + 0.38415)."""
    low, high = wilson(8, 10)
    assert (low, high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert wilson(0, 5)[0] == 0.0 and wilson(5, 5)[1] == 1.0
    with pytest.raises(ValueError, match="3 right of 2"):
        wilson(3, 2)


@pytest.mark.parametrize(
    ("fp32_only", "int8_only", "p"),
    [
        (0, 0, 1.0),
        (5, 0, 2 / 32),
        (10, 2, 2 * (1 + 12 + 66) / 4096),
        (2, 10, 2 * (1 + 12 + 66) / 4096),
        (4, 4, 1.0),
    ],
)
def test_mcnemar_by_hand(fp32_only, int8_only, p):
    assert mcnemar(fp32_only, int8_only) == pytest.approx(p)


def test_mcnemar_of_thousands_is_a_number():
    assert 0 < mcnemar(5200, 5000) < 0.06


def test_groups_are_drawn_whole():
    """Two groups, one all right and one all wrong: a draw has 0, 1 or 2 of the right one."""
    values = np.array([1.0] * 4 + [0.0] * 4)
    assert group_interval(values, ["a"] * 4 + ["b"] * 4) == (0.0, 1.0)
    assert group_interval(values, ["a"] * 8) == group_interval(values, [""] * 8), "nothing told"
    low, high = group_interval(values, [""] * 8)
    assert 0.1 <= low < 0.3 and 0.7 < high <= 0.9, "each clip is a group of its own"
    assert group_interval(values, [""] * 8) == (low, high), "from a fixed seed"


def test_the_verdict_follows_the_limits(six):
    ship = judge(six, 3.0, Limits(max_drop=0.17, min_speedup=2.8))
    assert ship.ship and ship.text.startswith("Ship INT8: top-1 66.7 % -> 50.0 %")
    slow = judge(six, 2.7, Limits(max_drop=0.16, min_speedup=2.8, min_agreement=0.97))
    assert not slow.ship and len(slow.reasons) == 3
    assert "top-1 drops by 16.7 points, at most 16 are accepted" in slow.text
    assert "INT8 is 2.70x as fast, at least 2.8x is asked" in slow.text
    seen = judge(six, 3.0, Limits(max_drop=0.17), calibrated=2)
    assert seen.ship and "2 of 6 clips were calibrated with, which flatters" in seen.text


def test_notes_name_cpus_that_figures_do_not_carry_over_to():
    assert not notes_on("Intel(R) Xeon(R)", ("avx512_vnni",))
    amd, unknown = notes_on("AMD EPYC", ("avx2",)), notes_on("Intel(R) Core(TM)", None)
    assert "not Intel's" in amd[0] and "overflow_fix" in amd[1]
    assert "does not tell" in unknown[0]
    assert this_machine().cores >= 1


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    shutil.copy(SYNTH / "base_64.mp4", folder / "a.mp4")
    (folder / "bad.mp4").write_bytes(b"no video")
    rows = ["path,label,group,split,start_s,end_s", "bad.mp4,class_000,z,test,,"]
    for i in range(6):
        rows.append(f"a.mp4,class_00{i % 3},g{i // 2},test,{0.2 * i:.1f},{0.2 * i + 1:.1f}")
    (folder / "manifest.csv").write_text("\n".join(rows))
    return folder / "manifest.csv"


@pytest.fixture(scope="module")
def told(tiny_dir, tiny_int8_dir, manifest, tmp_path_factory):
    """The command's three files: (folder, report.json). Meanwhile this process holds 512 MB, which
    are none of a model's.
    """
    ballast = np.ones(HELD_BYTES, np.uint8)
    out = tmp_path_factory.mktemp("out")
    limits = ["--max-drop", 1, "--min-speedup", 0, "--repeats", 2, "--split", "test"]
    done = run("report", tiny_dir, tiny_int8_dir, manifest, out, *limits)
    assert ballast.all() and done.returncode == 0, done.stderr
    assert done.stdout.startswith("Ship INT8: ") and done.stderr == ""
    return out, json.loads((out / "report.json").read_text("utf-8"))


def test_the_json_is_what_the_schema_says(told):
    schema = json.loads(SCHEMA.read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(told[1], schema)
    del told[1]["fp32"]["top1_interval"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(told[1], schema)
    told[1]["fp32"]["top1_interval"] = [0, 1]


def test_what_it_measured(told, tiny_dir):
    report = told[1]
    assert report["data"]["clips"] == 6 and report["data"]["groups"] == 3
    assert len(report["data"]["unreadable"]) == 1 and "bad.mp4" in report["data"]["unreadable"][0]
    assert report["fp32"]["precision_executed"] == "f32"
    assert report["int8"]["recipe"] == "mixed" and report["int8"]["calibration_clips"] == 16
    sizes = [(tiny_dir / name).stat().st_size for name in ("model.xml", "model.bin")]
    assert report["fp32"]["size_bytes"] == sum(sizes)
    assert 0 < report["fp32"]["peak_rss_bytes"] < HELD_BYTES
    fp32, int8 = report["fp32"]["latency_ms"], report["int8"]["latency_ms"]
    assert report["speedup"] == fp32["median"] / int8["median"]
    assert fp32["median"] <= fp32["p95"]


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.links, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_else(told):
    page = (told[0] / "report.html").read_text("utf-8")
    tags = Tags()
    tags.feed(page)
    assert not tags.open and not tags.links
    for svg in page.split("<svg")[1:]:
        ElementTree.fromstring("<svg" + svg.split("</svg>")[0] + "</svg>")
    assert page.count("<svg") == 5
    for text in (told[1]["verdict"]["text"], told[1]["machine"]["line"]):
        assert text in unescape(page)
        assert text in (told[0] / "report.md").read_text("utf-8")


def test_markup_in_names_stays_text(told):
    from converters.report.render_html import as_html

    report = json.loads(json.dumps(told[1]).replace("class_000", "<b>&|"))
    page = as_html(report)
    assert "<b>&|" not in page and "&lt;b&gt;&amp;|" in page


@pytest.mark.slow
def test_two_reports_agree_to_the_digit(told, tiny_dir, tiny_int8_dir, manifest, tmp_path):
    options = ReportOptions(split="test", repeats=2)
    again = make_report(tiny_dir, tiny_int8_dir, manifest, tmp_path, options).to_dict()
    timed = ("latency_ms", "latency_ms_1_thread", "total_ms", "clips_per_s", "load_ms_cold")
    timed += ("load_ms_cached", "peak_rss_bytes", "speedup", "stages", "verdict", "limits", "bf16")

    def untimed(value):
        if not isinstance(value, dict):
            return value
        return {k: untimed(v) for k, v in value.items() if k not in timed}

    assert untimed(json.loads(json.dumps(again))) == untimed(told[1])


def test_a_killed_run_goes_on_where_it_was(tiny_dir, tiny_int8_dir, manifest, tmp_path):
    models = {"fp32": Network(tiny_dir), "int8": Network(tiny_int8_dir)}
    clips = read_manifest(manifest, split="test")
    # Clip 0 cannot be read; INT8 was calibrated with clips 1 and 6, one on each side of the end.
    crops = read_recording(clips[1:], models["int8"].facts)
    known = fingerprint(crops[0]), fingerprint(crops[5])
    models["int8"].facts = replace(models["int8"].facts, calibrated_with=known)

    asked = []

    class Counting:
        def __init__(self, network, most=10**9):
            self.network, self.facts, self.most = network, network.facts, most

        def logits(self, crops):
            if len(asked) == self.most:
                # A row that was being written when the power went.
                with (tmp_path / "answers.f32").open("ab") as file:
                    file.write(b"half")
                raise KeyboardInterrupt
            asked.append(1)
            return self.network.logits(crops)

    with pytest.raises(KeyboardInterrupt):  # two clips and a half are asked
        ask_both({k: Counting(v, 5) for k, v in models.items()}, clips, tmp_path, key="k")
    asked.clear()
    counting = {name: Counting(network) for name, network in models.items()}
    resumed = ask_both(counting, clips, tmp_path, key="k")
    assert len(asked) == 2 * 4, "of seven clips three were done"
    straight = ask_both(models, clips, tmp_path / "other", key="k")
    assert np.array_equal(resumed.fp32, straight.fp32)
    assert resumed.unreadable == straight.unreadable
    assert resumed.calibrated == straight.calibrated == 2
    anew = ask_both(counting, clips, tmp_path, key="another model")
    assert np.array_equal(anew.int8, straight.int8) and len(asked) == 2 * 4 + 2 * 6


def test_a_file_that_has_come_or_changed_is_asked_again(tiny_dir, tiny_int8_dir, tmp_path):
    models = {"fp32": Network(tiny_dir), "int8": Network(tiny_int8_dir)}
    rows = ["path,label", "a.mp4,class_000", "late.mp4,class_001"]
    (tmp_path / "m.csv").write_text("\n".join(rows))
    shutil.copy(SYNTH / "base_64.mp4", tmp_path / "a.mp4")
    clips = read_manifest(tmp_path / "m.csv")
    first = ask_both(models, clips, tmp_path / "out", key="k")
    assert len(first.clips) == 1 and "late.mp4: no such file" in first.unreadable[0]
    shutil.copy(SYNTH / "short_16.mp4", tmp_path / "late.mp4")
    then = ask_both(models, clips, tmp_path / "out", key="k")
    assert len(then.clips) == 2 and then.unreadable == ()
    shutil.copy(SYNTH / "gray.mp4", tmp_path / "a.mp4")
    changed = ask_both(models, clips, tmp_path / "out", key="k")
    assert np.array_equal(changed.fp32[1], then.fp32[1])
    assert not np.array_equal(changed.fp32[0], then.fp32[0])


def test_what_is_not_a_pair_is_refused(tiny_dir, tiny_int8_dir, manifest, tmp_path):
    other = shutil.copytree(tiny_dir, tmp_path / "other")
    text = (other / "model.xml").read_text("utf-8")
    (other / "model.xml").write_text(text.replace("class_000", "another"), "utf-8")
    with pytest.raises(ModelError, match="is FP32: must be INT8"):
        make_report(tiny_dir, tiny_dir, manifest, tmp_path)
    with pytest.raises(ModelError, match="is INT8: must be FP32"):
        make_report(tiny_int8_dir, tiny_int8_dir, manifest, tmp_path)
    with pytest.raises(ModelError, match="has other labels than"):
        make_report(other, tiny_int8_dir, manifest, tmp_path)


@pytest.mark.slow
def test_the_exit_code_follows_the_verdict(tiny_dir, tiny_int8_dir, manifest, tmp_path):
    given = ["report", tiny_dir, tiny_int8_dir, manifest, tmp_path, "--repeats", 2]
    done = run(*given, "--min-speedup", 1000, "--split", "test")
    assert done.returncode == 3 and done.stdout.startswith("Do not ship INT8: ")
    assert_refused(run(*given, "--split", "nothing"), "no clips in split 'nothing'")


@pytest.mark.slow
def test_a_browser_shows_the_page(told, tmp_path):
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("needs chromium")
    picture = tmp_path / "page.png"
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=900,2600"]
    command += [f"--screenshot={picture}", (told[0] / "report.html").as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    assert picture.stat().st_size > 20_000
