"""The network that is trained is the network that is run: golden logits, both ways."""

import json

import numpy as np
import pytest
from conftest import SHARED, SYNTH

torch = pytest.importorskip("torch", reason="needs the extra 'train'")

from converters.convert import ConvertOptions, convert  # noqa: E402
from converters.seeded import seeded_weights, write_pdparams  # noqa: E402
from ppsdk import ModelError, Recognizer, sample_clip  # noqa: E402
from ppsdk.preprocess import crop_for_model, normalize  # noqa: E402
from training.network import (  # noqa: E402
    NetworkOptions,
    PPTSMv2,
    downscale_dropout,
    load_network,
    temporal_shift,
)
from training.weights import TrainedAs, save_weights  # noqa: E402

LABELS = tuple(f"class_{i:03d}" for i in range(400))


@torch.no_grad()
def logits_of(network, crops):
    return network(torch.from_numpy(normalize(crops))[None])[0].numpy()


@pytest.fixture(scope="module")
def crops():
    clip = sample_clip(SYNTH / "rot90.mp4", sampling="paddlevideo")
    return np.stack([crop_for_model(image) for image in clip.images])


@pytest.fixture(scope="module")
def told():
    from ppsdk.selftest import HERE

    return np.float32(json.loads((HERE / "golden.json").read_text())["logits"])


@pytest.fixture(scope="module")
def pdparams(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "x.pdparams"
    write_pdparams(path, seeded_weights(1), prefix="Student.0.")
    return path


def test_the_network_gives_the_golden_logits(pdparams, crops, told):
    assert np.abs(logits_of(load_network(pdparams), crops) - told).max() <= 1e-4


def test_saved_and_converted_it_still_does(pdparams, crops, told, tmp_path):
    saved = tmp_path / "x.safetensors"
    save_weights(load_network(pdparams), saved, TrainedAs(LABELS, 2.0, 0.5, "seeded"))
    assert np.abs(logits_of(load_network(saved), crops) - told).max() <= 1e-4
    convert(saved, tmp_path / "model", ConvertOptions())
    with Recognizer(tmp_path / "model") as recognizer:
        assert np.abs(recognizer.logits(crops) - told).max() <= 1e-4
        assert (recognizer.labels, recognizer.facts.length_s) == (LABELS, 2.0)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared (third-party footage)")
@pytest.mark.parametrize("name", ["dml_16f_lta", "plain_16f"])
def test_golden_logits_of_third_party_clips(name, tmp_path):
    content = json.loads((SHARED / "parity" / "golden.json").read_text())
    (checkpoint,) = (c for c in content["checkpoints"] if c["name"] == name)
    seed, lta = (1, True) if name == "dml_16f_lta" else (2, False)
    write_pdparams(tmp_path / "x.pdparams", seeded_weights(seed, lta=lta))
    network = load_network(tmp_path / "x.pdparams", num_segments=16)
    for clip, logits in checkpoint["logits"].items():
        stem = clip.rsplit("/", 1)[-1].rsplit(".", 1)[0]
        file = SHARED / "parity" / f"crop_{stem}.npz"
        if file.exists():
            seen = logits_of(network, np.load(file)["crops"])
            assert np.abs(seen - np.float32(logits)).max() <= 1e-4, clip


@pytest.mark.parametrize("stages", [(), (1,), (4,), (1, 2, 3, 4)])
def test_trained_anywhere_the_shift_may_stand_it_converts(stages, tmp_path, crops):
    torch.manual_seed(0)
    network = PPTSMv2(NetworkOptions(3, num_segments=8, lta=False, shift_stages=stages)).eval()
    save_weights(network, tmp_path / "x.safetensors", TrainedAs(("a", "b", "c"), 1.0, 1.0, ""))
    convert(tmp_path / "x.safetensors", tmp_path / "model", ConvertOptions())
    with Recognizer(tmp_path / "model") as recognizer:
        assert recognizer.facts.shift_stages == stages
        assert recognizer.logits(crops[::2]) == pytest.approx(
            logits_of(network, crops[::2]), abs=1e-4
        )


def test_float16_halves_the_file(tmp_path):
    network = PPTSMv2(NetworkOptions(3))
    sizes = []
    for dtype in (torch.float32, torch.float16):
        save_weights(
            network, tmp_path / "x.safetensors", TrainedAs(("a", "b", "c"), 1, 1, ""), dtype=dtype
        )
        sizes.append((tmp_path / "x.safetensors").stat().st_size)
    assert sizes[1] < 0.52 * sizes[0]
    with pytest.raises(ValueError, match="must be torch.float32 or torch.float16"):
        save_weights(network, tmp_path / "y", TrainedAs((), 1, 1, ""), dtype=torch.bfloat16)


def test_merged_weights_cannot_be_trained(tmp_path):
    arrays = {k: v for k, v in seeded_weights(1).items() if ".dw_conv_list." not in k}
    write_pdparams(tmp_path / "x.pdparams", arrays)
    with pytest.raises(ModelError, match="its branches are merged"):
        load_network(tmp_path / "x.pdparams")


def test_shift_by_an_impulse():
    """Frame 1 of 4, 8 channels, the second of two clips: channels 0, 1 appear a frame later, 2, 3 a
    frame earlier, and nothing leaks into the other clip.
    """
    x = torch.zeros(8, 8, 1, 1)
    x[5] = 1
    told = np.zeros((8, 8), int)
    told[6, :2] = told[4, 2:4] = told[5, 4:] = 1
    assert np.array_equal(temporal_shift(x, 4)[:, :, 0, 0].numpy(), told)


def test_dropout_is_paddles():
    torch.manual_seed(0)
    x = torch.ones(100_000)
    dropped = downscale_dropout(x, training=True)
    assert set(dropped.unique().tolist()) == {0.0, 1.0}  # not rescaled
    assert dropped.mean().item() == pytest.approx(0.8, abs=0.01)
    assert downscale_dropout(x, training=False).unique().tolist() == pytest.approx([0.8])


def test_clips_of_another_shape_are_refused():
    network = PPTSMv2(NetworkOptions(3, num_segments=8))
    with pytest.raises(ValueError, match=r"must be \(N, 8, 3, H, W\)"):
        network(torch.zeros(1, 16, 3, 32, 32))


def test_every_parameter_has_a_gradient():
    torch.manual_seed(0)
    network = PPTSMv2(NetworkOptions(3, num_segments=4)).train()
    network(torch.randn(2, 4, 3, 64, 64)).sum().backward()
    missing = [name for name, p in network.named_parameters() if p.grad is None]
    assert not missing
