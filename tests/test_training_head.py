"""The classifier that training may begin with."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'train'")

from training.cache import CachedClip  # noqa: E402
from training.device import to_network  # noqa: E402
from training.head import fit_head  # noqa: E402
from training.network import Linear, NetworkOptions, PPTSMv2  # noqa: E402
from training.recipe import Recipe  # noqa: E402
from training.start import taught_layer  # noqa: E402
from training.teacher import TEACHER_FEATURES  # noqa: E402
from training.weights import TrainedAs, save_weights  # noqa: E402

SEGMENTS = 2
# Each draw of a clip is the same: what the classifier was fitted to can be asked for again.
RECIPE = Recipe(num_segments=SEGMENTS, image_size=32, scales=(1.0,), flip=False, batch_size=4)


def clip(label_id, colour):
    frames = np.full((SEGMENTS, 32, 32, 3), colour, np.uint8)
    places = np.arange(SEGMENTS)[None]
    candidates = np.repeat(places[..., None], 4, -1)
    labels = np.full(SEGMENTS, label_id)
    return CachedClip(label_id, frames, candidates, places, labels, np.arange(2.0), 32)


def test_it_is_the_best_linear_answer_on_what_the_network_sees():
    torch.manual_seed(0)
    network = PPTSMv2(NetworkOptions(2, num_segments=SEGMENTS)).train()
    reds = [clip(0, (level, 20, 20)) for level in range(100, 250, 10)]
    blues = [clip(1, (20, 20, level)) for level in range(100, 250, 30)]
    crops = np.stack([one.crops(0) for one in reds + blues])
    pictures = to_network(crops, torch.device("cpu"))
    # As seeded it sees nothing: its batch norms know nothing of these pictures.
    with torch.no_grad():
        for _ in range(30):
            network(pictures)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    fit_head(network, reds + blues, RECIPE)
    assert network.training
    moved = {k for k, value in network.state_dict().items() if not torch.equal(value, before[k])}
    assert moved == {"fc.weight", "fc.bias"}

    network.eval()
    with torch.no_grad():
        scores = network(pictures).softmax(1)
    assert (scores.argmax(1) == torch.tensor([0] * len(reds) + [1] * len(blues))).all()
    # Where a logistic regression with a free bias costs least, its mean scores are the classes'
    # shares: the derivative by the bias is their difference.
    assert scores.mean(0).tolist() == pytest.approx([15 / 20, 5 / 20], abs=1e-3)


def test_of_a_pretrained_backbone_it_looks_at_what_the_teacher_sees():
    torch.manual_seed(0)
    network = PPTSMv2(NetworkOptions(2, num_segments=SEGMENTS))
    clips = [clip(0, (200, 20, 20)), clip(0, (150, 20, 20)), clip(1, (20, 20, 200))]
    pictures = to_network(np.stack([one.crops(0) for one in clips]), torch.device("cpu"))
    with torch.no_grad():
        for _ in range(30):
            network(pictures)
    # Of a teacher with one feature, that alone may tell the classes apart: their weights differ
    # along it, by as much as makes a network that sees it right.
    taught = Linear(TEACHER_FEATURES, 1)
    network.eval()
    fit_head(network, clips, RECIPE, taught=taught)
    difference = network.fc.weight[:, 0] - network.fc.weight[:, 1]
    cosine = torch.nn.functional.cosine_similarity(difference, taught.weight[:, 0], dim=0)
    assert abs(cosine.item()) == pytest.approx(1.0, abs=1e-5)
    with torch.no_grad():
        scores = network(pictures).softmax(1)
    # The bias is free: mean scores are the classes' shares.
    assert scores.mean(0).tolist() == pytest.approx([2 / 3, 1 / 3], abs=1e-3)


@pytest.mark.parametrize("classes", [TEACHER_FEATURES, 3])
def test_only_a_backbone_tells_what_its_teacher_sees(tmp_path, classes):
    network = PPTSMv2(NetworkOptions(classes, lta=False))
    save_weights(network, tmp_path / "w.safetensors", TrainedAs((), 2.0, 0.5, "seeded"))
    taught = taught_layer(tmp_path / "w.safetensors")
    assert (taught is not None) == (classes == TEACHER_FEATURES)
    assert taught is None or torch.equal(taught.weight, network.fc.weight)
