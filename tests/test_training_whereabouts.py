"""Where things are is where they are drawn, and is asked at the right place."""

import colorsys
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'train'")

from ppsdk.demo.render import Scene  # noqa: E402
from training.network import load_network  # noqa: E402
from training.recipe import Recipe  # noqa: E402
from training.scenes import PARTS_MANIFEST, film_scenes, scene_name  # noqa: E402
from training.whereabouts import (  # noqa: E402
    ASKED,
    _at,
    _cells,
    _inside,
    _truth,
    _where,
    learn_whereabouts,
)


def hue(colour):
    return colorsys.rgb_to_hsv(*(float(x) / 255 for x in colour))[0]


@pytest.mark.parametrize("seed", range(12))
def test_a_part_in_the_tray_has_its_colour_where_the_truth_says(seed):
    """Through the camera's turn, zoom and tilt; the middle of a part is a darker shade of it."""
    scene = Scene.from_seed("train", seed, 30.0)
    scene = replace(scene, looks=replace(scene.looks, cable=False))  # it may lie over the part
    waiting = [step for step in scene.steps if step.label == "idle" and step.part == "tray"]
    for step in waiting[:2]:
        time_s = (step.start_s + step.end_s) / 2
        image, places = scene.image(time_s), scene.places(time_s)
        assert not places.part_held and not places.wrench_held
        x, y = round(places.part[0] * image.shape[1]), round(places.part[1] * image.shape[0])
        if not (2 <= x < image.shape[1] - 2 and 2 <= y < image.shape[0] - 2):
            continue
        seen = image[y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3).mean(0)
        assert abs(hue(seen) - hue(scene.looks.part)) < 0.06


def test_what_the_hand_holds_goes_along():
    scene = Scene.from_seed("train", 3, 30.0)
    pick = next(step for step in scene.steps if step.label == "pick")
    out, back = pick.start_s + 0.2, pick.end_s - 0.2
    assert not scene.places(out).part_held and scene.places(back).part_held
    truth = _truth(scene, np.array([out, back]), 0.25)
    assert truth.things.shape == (2, 3, 2) and truth.asked.shape == (2, len(ASKED))
    assert truth.asked[:, 0].tolist() == [0.0, 1.0]
    # On its way out the hand moves away from the shoulder, up the picture, and then back.
    assert truth.asked[0, 3] < 0 < truth.asked[1, 3]


def test_points_fall_into_cells():
    maps = torch.arange(2 * 3 * 4.0).reshape(1, 2, 3, 4)  # two maps of 3 rows and 4 columns
    points = torch.tensor([[0.30, 0.99]])  # column 1, row 2
    assert _cells(maps, points).tolist() == [9]
    assert _at(maps, points).tolist() == [[9.0, 21.0]]
    assert _cells(maps, torch.tensor([[-3.0, 7.0]])).tolist() == [8], "the nearest"
    assert _inside(torch.tensor([[0.0, 0.5], [0.5, 1.0], [-0.1, 0.5]])).tolist() == [1, 0, 0]


def test_things_out_of_the_picture_do_not_count():
    """A map of 4 equal cells costs ln 4; the other thing is out of the picture."""
    things = torch.tensor([[[0.2, 0.2], [1.5, 0.5]]])
    assert _where(torch.zeros(1, 2, 2, 2), things).item() == pytest.approx(np.log(4))
    sure = torch.zeros(1, 2, 2, 2)
    sure[0, 0, 0, 0] = 50.0
    assert _where(sure, things).item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.slow
def test_it_goes_on_where_it_was_killed_and_can_be_trained_from(tmp_path):
    manifest = film_scenes(tmp_path / "scenes", range(3), length_s=6.0, held_out=1)
    scenes = {scene_name(seed): Scene.from_seed("train", seed, 6.0) for seed in range(3)}
    recipe = Recipe(
        epochs=2, batch_size=2, image_size=32, num_segments=4, videomix_alpha=0, scales=(1.0,)
    )

    # Few scenes do not have every movement in both splits: only which way it goes is asked here.
    parts = manifest.with_name(PARTS_MANIFEST)
    rows = [line.split(",") for line in parts.read_text().splitlines()]
    for row in rows[1:]:
        row[1] = "idle" if row[1] == "idle" else "back" if row[1].endswith("back") else "out"
    parts.write_text("\n".join(",".join(row) for row in rows))

    def learn(out, progress=iter):
        cache = tmp_path / "cache"
        return learn_whereabouts(parts, scenes, out, recipe, cache, progress=progress)

    def one_and_no_more(epochs):
        yield from epochs[:1]
        raise KeyboardInterrupt

    straight = load_network(learn(tmp_path / "straight")).state_dict()
    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path / "killed", one_and_no_more)
    resumed = load_network(learn(tmp_path / "killed")).state_dict()
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
