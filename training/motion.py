"""Motion channels: how much moves, which a backbone that learned from single frames cannot tell.

PP-TSMv2 sees neighbouring frames through the temporal shift before stage 3 alone, in two of
num_segments parts of the channels there. After `ppsdk pretrain`, or ImageNet, these hold nothing
that the frame's own channels could be compared with, and clips alone teach it slowly. So weights
are set that compare them, in place of what is used least, and training goes on from there:

- stage 2 gives the channels that move most three times: to be taken from the frame before, from the
  frame after, and to stay;
- the first block of stage 3 tells how far the frame's own are from either, beyond what may be
  noise, the second the smaller of the two (neither a cut nor an end of the clip is motion), and the
  others hand it on;
- as many of the 1280 features end up as its mean over the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from converters.architecture import EPSILON
from training.network import BatchNorm, ConvBN, PPTSMv2, RepBlock, Squeeze

MOTION_CHANNELS = 16
SHIFTED_STAGE = 3
# Differences up to this share of what channels usually vary by are none: noise, and what INT8
# rounds. Without it INT8 (recipe "performance") changed 13 of 66 answers about fights, with it 6.
QUIET = 0.2
# What a squeeze answers to let a channel pass as it is: sigmoid(6) = 0.998.
OPEN = 6.0

Layer = TypeVar("Layer", bound=nn.Module)
Spreads = dict[nn.Module, Tensor]
Passed = list[tuple[BatchNorm, Tensor]]


@dataclass(frozen=True, eq=False)
class _Step:
    """A block of stage 3 that hands motion on: the places of sums in its first pointwise layer, and
    of what is made of them in its second.
    """

    first: ConvBN
    sums: Tensor
    second: ConvBN
    channels: Tensor


@torch.no_grad()
def add_motion(network: PPTSMv2, clips: Tensor) -> Tensor:
    """Set the weights of a network with a temporal shift before stage 3 and at least 3 segments.

    clips: normalised float32 (N, num_segments, 3, H, W), to measure what is used and what moves.
    Returns which of the 1280 features tell of motion now, int64 (up to MOTION_CHANNELS,).
    """
    was_training = network.training
    network.eval()
    spreads, maps = _measured(network, clips)
    varied = network.pooled(maps[-1]).std((0, 1))
    passed: Passed = []
    channels = _repeat_moving(network, spreads, maps[SHIFTED_STAGE - 2])
    steps = _through_stage(network, channels, spreads, passed)
    features = varied.argsort()[: len(steps[-1].channels)]
    _to_features(network, steps[-1].channels, features, spreads, passed)

    _set_volume(network, clips, steps, spreads)
    _settle(network, clips, passed)
    told = network.frame_features(clips)[..., features].std((0, 1))
    louder = _ratio(varied[varied > 0].mean(), told)
    network.last_conv.weight[features] *= louder[:, None, None, None]
    network.train(was_training)
    return features


def _measured(network: PPTSMv2, clips: Tensor) -> tuple[Spreads, list[Tensor]]:
    """The standard deviation of each output of pointwise layers, and what the stages give."""
    spreads: Spreads = {}

    def note(layer: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        spreads[layer] = output.std((0, 2, 3))

    layers = [m for m in network.modules() if isinstance(m, ConvBN) and m.conv.groups == 1]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    maps = network.stage_maps(clips)
    for hook in hooks:
        hook.remove()
    return spreads, maps


def _set_volume(network: PPTSMv2, clips: Tensor, steps: list[_Step], spreads: Spreads) -> None:
    """Nothing is told of what may be noise, and what is told is as loud as other channels from the
    first, lest a few steps of training drown it.
    """
    compare, choose = steps[:2]
    compare.first.bn.bias[compare.sums] = -QUIET * spreads[compare.first].mean()
    now, _ = _measured(network, clips)
    louder = _ratio(spreads[choose.second].mean(), now[choose.second][choose.channels]).repeat(4)
    compare.first.conv.weight[compare.sums] *= louder[:, None, None, None]
    compare.first.bn.bias[compare.sums] *= louder


def _ratio(others: Tensor, own: Tensor) -> Tensor:
    """1 for what never moved in these clips."""
    return torch.where(own > 0, others / own.clamp(min=1e-9), 1.0)


def _repeat_moving(network: PPTSMv2, spreads: Spreads, seen: Tensor) -> Tensor:
    """Stage 2 gives those channels that are used and move most in all parts that the shift tells
    apart. Returns the places of MOTION_CHANNELS of them as the shift takes them from the frame
    before, from the frame after, and of the frame itself, one after the other.

    seen: what stage 2 gives, (N * num_segments, C, h, w).
    """
    producer = _pointwise(_blocks(network, SHIFTED_STAGE - 1)[-1])
    block = _blocks(network, SHIFTED_STAGE)[0]
    reader = _pointwise(block).conv
    # As `temporal_shift` divides them: the part from the frame after may be one wider.
    count, num_segments = seen.shape[1], network.options.num_segments
    fold, second = count // num_segments, 2 * count // num_segments
    used = _use(spreads[producer], [reader])
    frames = seen.unflatten(0, (-1, network.options.num_segments))
    moved = (frames[:, 1:] - frames[:, :-1]).abs().mean((0, 1, 3, 4))
    # Of channels that vary little, a large share of that is noise.
    share = moved / spreads[producer].clamp(min=0.1 * spreads[producer].mean())
    moving = (used * share).argsort(descending=True)[:fold]
    others = [k for k in used.argsort().tolist() if k not in set(moving.tolist())][second:]
    rest = torch.tensor(sorted(others), dtype=torch.int64, device=seen.device)
    order = torch.cat([moving, moving, moving[: second - 2 * fold], moving, rest])
    _reorder(producer, order)
    for branch in block.dw_conv_list:
        _reorder(_part(branch, ConvBN), order)
    squeeze = _part(block.se, Squeeze)
    for of_channel in squeeze.conv2.parameters():
        of_channel.copy_(of_channel[order])
    for conv in (squeeze.conv1, reader):
        conv.weight.copy_(conv.weight[:, order])
        # Nothing reads what comes from other frames yet.
        conv.weight[:, :second] = 0
    motion = torch.arange(min(MOTION_CHANNELS, fold), device=seen.device)
    return torch.cat([motion, fold + motion, second + motion])


def _through_stage(
    network: PPTSMv2, channels: Tensor, spreads: Spreads, passed: Passed
) -> list[_Step]:
    """channels: as `_repeat_moving` returns them."""
    blocks, following = _blocks(network, SHIFTED_STAGE), _blocks(network, SHIFTED_STAGE + 1)[0]
    one = torch.eye(len(channels) // 3, device=channels.device)
    sums = [*_differences(one)] + (len(blocks) - 2) * [(one, one)]
    steps: list[_Step] = []
    for block, reader, (within, out) in zip(blocks, [*blocks[1:], following], sums, strict=True):
        first, second = (_part(block.get_submodule(f"pw_conv_{i}"), ConvBN) for i in (1, 2))
        if steps:
            _leave(block, channels, passed)
            first.conv.weight[:, channels] = 0
        hidden = _least_used(spreads[first], [second.conv], len(within))
        _set_sums(first, hidden, channels, within, passed)
        second.conv.weight[:, hidden] = 0
        channels = _least_used(spreads[second], [_pointwise(reader).conv], len(out))
        _set_sums(second, channels, hidden, out, passed)
        steps.append(_Step(first, hidden, second, channels))
    return steps


def _to_features(
    network: PPTSMv2, channels: Tensor, features: Tensor, spreads: Spreads, passed: Passed
) -> None:
    """Through the two blocks of stage 4, channels of stage 3 become these of the 1280 features."""
    halve, add = _blocks(network, SHIFTED_STAGE + 1)
    layer, added = _pointwise(halve), _pointwise(add)
    _leave(halve, channels, passed)
    layer.conv.weight[:, channels] = 0
    places = _least_used(spreads[layer], [added.conv, network.last_conv], len(channels))
    one = torch.eye(len(channels), device=channels.device)
    _set_sums(layer, places, channels, one, passed)
    for reader in (added.conv, network.last_conv):
        reader.weight[:, places] = 0
    # The last block adds to what it is given: here nothing.
    _set_sums(added, places, places, 0 * one, passed)
    network.last_conv.weight[features] = 0
    network.last_conv.weight[features, places] = 1


def _differences(one: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Of K channels, as sums of what the two layers of two blocks are given, ReLUs between them:
    of (before, after, now), |now - before| and |now - after|; of these, the smaller.
    """
    none = 0 * one
    apart = [[one, none, -one], [-one, none, one], [none, one, -one], [none, -one, one]]
    either_way = [[one, one, none, none], [none, none, one, one]]
    # min(a, b) = a - max(a - b, 0)
    smaller = [[one, none], [one, -one]]
    return [
        (_matrix(apart), _matrix(either_way)),
        (_matrix(smaller), _matrix([[one, -one]])),
    ]


def _matrix(parts: list[list[Tensor]]) -> Tensor:
    return torch.cat([torch.cat(row, dim=1) for row in parts])


def _use(spread: Tensor, readers: list[nn.Conv2d]) -> Tensor:
    """How much of what the readers are given comes from each channel."""
    weights = torch.cat([reader.weight[:, :, 0, 0] for reader in readers])
    return spread * weights.norm(dim=0)


def _least_used(spread: Tensor, readers: list[nn.Conv2d], count: int) -> Tensor:
    return _use(spread, readers).argsort()[:count]


def _set_sums(layer: ConvBN, outputs: Tensor, inputs: Tensor, sums: Tensor, passed: Passed) -> None:
    """Outputs become sums (outputs, inputs) of inputs, cut off at zero."""
    layer.conv.weight[outputs] = 0
    layer.conv.weight[outputs[:, None], inputs, 0, 0] = sums
    _let_pass(layer.bn, outputs, 1.0, passed)


def _leave(block: RepBlock, channels: Tensor, passed: Passed) -> None:
    """What stands before the pointwise layers gives these channels as they are, or the means of
    four cells where it halves the picture.
    """
    for number, branch in enumerate(block.dw_conv_list):
        layer = _part(branch, ConvBN)
        centre = layer.conv.kernel_size[0] // 2
        layer.conv.weight[channels] = 0
        _let_pass(layer.bn, channels, float(number == 0), passed)
        if layer.conv.stride[0] == 1:
            layer.conv.weight[channels, 0, centre, centre] = 1
        else:
            layer.conv.weight[channels, 0, centre : centre + 2, centre : centre + 2] = 1 / 4
    if hasattr(block, "se"):
        squeeze = _part(block.se, Squeeze)
        squeeze.conv1.weight[:, channels] = 0
        for weight, value in zip(squeeze.conv2.parameters(), (0.0, OPEN), strict=True):
            weight[channels] = value


def _let_pass(norm: BatchNorm, channels: Tensor, share: float, passed: Passed) -> None:
    """The norm multiplies these channels by `share` and leaves them else as they are."""
    norm._mean[channels], norm._variance[channels] = 0, 1 - EPSILON
    norm.weight[channels], norm.bias[channels] = share, 0
    passed.append((norm, channels))


def _settle(network: PPTSMv2, clips: Tensor, passed: Passed) -> None:
    """The norms give what they gave, in training too, where they measure what they are given."""
    given: dict[nn.Module, Tensor] = {}

    def note(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        given[norm] = torch.stack([inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3))])

    hooks = [norm.register_forward_pre_hook(note) for norm, _ in passed]
    network.stage_maps(clips)
    for hook in hooks:
        hook.remove()
    for norm, channels in passed:
        mean, variance = given[norm][:, channels]
        share = norm.weight[channels]
        norm._mean[channels], norm._variance[channels] = mean, variance
        norm.weight[channels] = share * (variance + EPSILON).sqrt()
        norm.bias[channels] += share * mean


def _reorder(layer: ConvBN, order: Tensor) -> None:
    norm = layer.bn
    for values in (layer.conv.weight, norm.weight, norm.bias, norm._mean, norm._variance):
        values.copy_(values[order])


def _blocks(network: PPTSMv2, stage: int) -> list[RepBlock]:
    return [_part(block, RepBlock) for block in network.stages[stage - 1].children()]


def _pointwise(block: RepBlock) -> ConvBN:
    """The first layer that mixes channels."""
    name = "pw_conv_1" if hasattr(block, "pw_conv_1") else "pw_conv"
    return _part(block.get_submodule(name), ConvBN)


def _part(module: nn.Module | Tensor, kind: type[Layer]) -> Layer:
    assert isinstance(module, kind)
    return module
