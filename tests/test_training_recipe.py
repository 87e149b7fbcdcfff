"""The parts of the recipe, each by hand."""

import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'train'")

from training.dml import mutual_losses, soft_cross_entropy, symmetric_kl  # noqa: E402
from training.network import NetworkOptions, PPTSMv2  # noqa: E402
from training.optimizer import (  # noqa: E402
    learning_rate,
    make_optimizer,
    parameter_groups,
    set_rate,
)
from training.recipe import read_recipe  # noqa: E402
from training.videomix import smoothed_targets, videomix  # noqa: E402


def batch(count=4, size=32):
    """Clip i is filled with the value i + 1, and has the label i."""
    values = torch.arange(1.0, count + 1)
    return values[:, None, None, None, None].expand(count, 2, 3, size, size), torch.eye(count)


def test_videomix_mixes_pixels_and_targets_by_the_same_shares():
    clips, targets = batch()
    kinds = {"cutmix": 0, "mixup": 0}
    for seed in range(200):
        generator = torch.Generator().manual_seed(seed)
        mixed, told = videomix(clips, targets, alpha=1.0, generator=generator)
        assert told.sum(1) == pytest.approx(np.ones(4), abs=1e-6)
        # The mean pixel of a mix is the mean of its labels' values, by share.
        means = mixed.mean((1, 2, 3, 4))
        assert means.numpy() == pytest.approx((told @ torch.arange(1.0, 5)).numpy(), abs=1e-3)
        pure = set(mixed.unique().tolist()) <= {1, 2, 3, 4}
        partners = (told > 1e-6).sum(1)
        assert partners.max() <= 2
        if partners.max() == 2:
            kinds["cutmix" if pure else "mixup"] += 1
        assert torch.equal(mixed[:, 0], mixed[:, 1]), "every frame is mixed alike"
    assert kinds["cutmix"] == pytest.approx(kinds["mixup"], abs=45)


def test_videomix_repeats_with_its_generator():
    clips, targets = batch()
    one, two = (
        videomix(clips, targets, alpha=0.2, generator=torch.Generator().manual_seed(5))
        for _ in range(2)
    )
    assert torch.equal(one[0], two[0]) and torch.equal(one[1], two[1])


def test_beta_shares_are_extreme_for_a_small_alpha():
    """Beta(0.2, 0.2): mean 1/2, variance 1 / (4 * 1.4)."""
    clips, targets = batch(2, size=64)
    generator = torch.Generator().manual_seed(0)
    shares = np.array(
        [
            videomix(clips, targets, alpha=0.2, generator=generator)[1][0, 0].item()
            for _ in range(4000)
        ]
    )
    # With two clips the partner is itself half of the time: keep the others.
    shares = shares[(shares > 0) & (shares < 1)]
    assert ((shares < 0.1) | (shares > 0.9)).mean() > 0.4


def test_smoothed_targets_by_hand():
    told = smoothed_targets(torch.tensor([1]), 4, 0.1)
    assert told.tolist() == [pytest.approx([0.025, 0.925, 0.025, 0.025])]


def test_losses_by_hand():
    logits = torch.log(torch.tensor([[0.25, 0.75]]))
    others = torch.log(torch.tensor([[0.5, 0.5]]))
    targets = torch.tensor([[0.0, 1.0]])
    assert soft_cross_entropy(logits, targets).item() == pytest.approx(-math.log(0.75))
    one = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)  # KL(p || q)
    two = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)  # KL(q || p)
    assert symmetric_kl(logits, others).item() == pytest.approx((one + two) / 2)
    assert symmetric_kl(logits, logits).item() == 0


def test_each_loss_of_dml_moves_its_own_network_alone():
    logits = torch.randn(3, 4, requires_grad=True)
    others = torch.randn(3, 4, requires_grad=True)
    targets = torch.eye(4)[:3]
    own, peer = mutual_losses(logits, others, targets)
    own_gradient = torch.autograd.grad(own, [logits, others], allow_unused=True)
    peer_gradient = torch.autograd.grad(peer, [logits, others], allow_unused=True)
    assert own_gradient[0].abs().sum() > 0 and own_gradient[1] is None
    assert peer_gradient[1].abs().sum() > 0 and peer_gradient[0] is None
    # Both are pulled towards each other: a step along the gradients lessens the divergence.
    kl = symmetric_kl(logits, others)
    (pull,) = torch.autograd.grad(symmetric_kl(logits, others.detach()), [logits])
    assert symmetric_kl(logits - 0.1 * pull, others) < kl


def test_who_decays_and_who_learns_faster():
    network = PPTSMv2(NetworkOptions(3))
    groups = {group["kind"]: group for group in parameter_groups(network, 1e-4)}
    assert {k: (g["weight_decay"], g["rate"]) for k, g in groups.items()} == {
        "plain": (1e-4, 1),
        "norm": (0, 1),
        "lta_weight": (1e-4, 5),
        "lta_bias": (0, 10),
    }
    counted = sum(len(group["params"]) for group in groups.values())
    assert counted == len(list(network.parameters()))
    norms = sum(name.split(".")[-2] == "bn" for name, _ in network.named_parameters())
    assert len(groups["norm"]["params"]) == norms > 0
    optimizer = make_optimizer(network, weight_decay=1e-4)
    set_rate(optimizer, 0.1)
    rates = {group["kind"]: group["lr"] for group in optimizer.param_groups}
    assert rates == pytest.approx({"plain": 0.1, "norm": 0.1, "lta_weight": 0.5, "lta_bias": 1.0})


def test_warm_up_and_cosine_by_hand():
    rates = [learning_rate(s, peak=1.0, warmup_steps=4, total_steps=12) for s in range(13)]
    assert rates[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert rates[4] == pytest.approx(1.0)
    assert rates[8] == pytest.approx(0.5)
    assert rates[12] == pytest.approx(0.0, abs=1e-12)
    assert rates[4:] == sorted(rates[4:], reverse=True)


def test_the_recipe_for_a_hundred_clips_is_one(tmp_path):
    readme = Path(__file__).parents[1].joinpath("training", "README.md").read_text("utf-8")
    told = readme.split("```json\n")[1].split("```")[0]
    (tmp_path / "recipe.json").write_text(told, "utf-8")
    recipe = read_recipe(tmp_path / "recipe.json")
    (tmp_path / "marked.json").write_text("\ufeff" + told, "utf-8")  # as Notepad does
    assert read_recipe(tmp_path / "marked.json") == recipe
    assert recipe.motion_first
    assert recipe.image_size == 160
