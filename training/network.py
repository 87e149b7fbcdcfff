"""PP-TSMv2 in its training form: parallel branches, batch norms, temporal shift, LTA.

Parameters have the names and shapes of PaddleVideo's checkpoints (Linear weights are (in, out),
batch-norm statistics `_mean` and `_variance`), so weights go both ways, and the converter reads
what is trained here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from converters.architecture import (
    DROPOUT_SCALE,
    EPSILON,
    FEATURES,
    LTA_STAGE,
    Block,
    blocks,
)
from converters.checkpoint import read_checkpoint
from converters.metadata import read_trained_facts
from converters.weights import check_weights, read_architecture, strip_prefix
from ppsdk.errors import ModelError

# Paddle's momentum is the share of the old statistics (0.9), torch's that of the new ones.
MOMENTUM = 0.1


@dataclass(frozen=True)
class NetworkOptions:
    """num_segments: frames a clip. shift_stages: stages (1 to 4) with a temporal shift before them,
    as published (3,). lta: light temporal attention before stage 3. dropout: before the classifier.
    """

    num_classes: int
    num_segments: int = 16
    lta: bool = True
    shift_stages: tuple[int, ...] = (3,)
    dropout: bool = True


class PPTSMv2(nn.Module):
    """Normalised float32 (N, num_segments, 3, H, W) -> logits (N, classes)."""

    def __init__(self, options: NetworkOptions) -> None:
        super().__init__()
        self.options = options
        self.stem = nn.Sequential(ConvBN(3, 32, 3, stride=2), RepBlock(next(blocks())))
        stages: list[list[RepBlock]] = [[], [], [], []]
        for block in list(blocks())[1:]:
            stages[block.stage - 1].append(RepBlock(block))
        self.stages = nn.ModuleList(nn.Sequential(*stage) for stage in stages)
        self.last_conv = nn.Conv2d(1024, FEATURES, 1, bias=False)
        self.fc = Linear(FEATURES, options.num_classes)
        if options.lta:
            self.global_attention = GlobalAttention(options.num_segments)

    def forward(self, clips: Tensor) -> Tensor:
        features = self.features(clips)
        logits: Tensor = self.fc(features)
        return logits

    def frame_logits(self, clips: Tensor) -> Tensor:
        """(N, num_segments, 3, H, W) -> (N, num_segments, classes), whose mean over frames are the
        logits of the clip.
        """
        logits: Tensor = self.fc(self.frame_features(clips))
        return logits

    def parts(self, stages: int) -> list[nn.Module]:
        """The stem and the first stages, 1 to 4; none for 0."""
        return [self.stem, *self.stages[:stages]] if stages else []

    def infer_in(self, stages: int, *, norms: bool) -> None:
        """The stem and the first stages no longer train, and, with norms, no batch norm does."""
        for part in self.parts(stages):
            part.eval()
        if norms:
            for module in self.modules():
                if isinstance(module, BatchNorm):
                    module.eval()

    def expect_gate(self, scale: float) -> None:
        """Tell the batch norms behind the attention that it multiplies by `scale` what they were
        trained on: as they infer, the network is then the one without attention.
        """
        behind = self.stages[LTA_STAGE - 1].get_submodule("0.dw_conv_list")
        for norm in behind.modules():
            if isinstance(norm, BatchNorm):
                norm._mean *= scale
                norm._variance *= scale**2

    def features(self, clips: Tensor) -> Tensor:
        """(N, num_segments, 3, H, W) -> (N, 1280), the mean over frames that fc is given."""
        return self.frame_features(clips).mean(1)

    def frame_features(self, clips: Tensor) -> Tensor:
        """(N, num_segments, 3, H, W) -> (N, num_segments, 1280)."""
        return self.pooled(self.stage_maps(clips)[-1])

    def stage_maps(self, clips: Tensor) -> list[Tensor]:
        """(N, num_segments, 3, H, W) -> what each of the four stages gives, (N * num_segments, C,
        h, w): C is 128, 256, 512, 1024, h and w are a quarter of the picture's, an eighth, and so
        on, rounded up.
        """
        segments = self.options.num_segments
        if clips.ndim != 5 or clips.shape[1:3] != (segments, 3):
            raise ValueError(f"clips are {tuple(clips.shape)}: must be (N, {segments}, 3, H, W)")
        x = self.stem(channels_last(clips.flatten(0, 1)))
        maps = []
        for number, stage in enumerate(self.stages, start=1):
            if number == LTA_STAGE and self.options.lta:
                x = self.global_attention(x)
            if number in self.options.shift_stages:
                x = channels_last(temporal_shift(x, segments))
            x = stage(x)
            maps.append(x)
        return maps

    def pooled(self, last_map: Tensor) -> Tensor:
        """What the last stage gives -> (N, num_segments, 1280), averaged over the picture."""
        x = F.relu(self.last_conv(last_map.mean((2, 3), keepdim=True)))
        x = downscale_dropout(x.flatten(1), training=self.training and self.options.dropout)
        return x.unflatten(0, (-1, self.options.num_segments))


class ConvBN(nn.Module):
    """Convolution without bias, batch norm, and ReLU unless it is one of parallel branches."""

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        act: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = BatchNorm(c_out)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        if self.conv.groups > 1 and x.device.type == "cpu":
            # In bfloat16 the backward pass of depthwise convolutions is 3 to 10 times as slow.
            with torch.autocast("cpu", enabled=False):
                x = self.bn(self.conv(x.float()))
        else:
            x = self.bn(self.conv(x))
        return F.relu(x) if self.act else x


class BatchNorm(nn.Module):
    """Batch norm whose statistics have Paddle's names."""

    _mean: Tensor
    _variance: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("_mean", torch.zeros(channels))
        self.register_buffer("_variance", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(
            x, self._mean, self._variance, self.weight, self.bias, self.training, MOMENTUM, EPSILON
        )


class Linear(nn.Module):
    """Linear layer whose weight is (in, out), as Paddle stores it."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(c_in, c_out))
        self.bias = nn.Parameter(torch.zeros(c_out))
        nn.init.normal_(self.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


class RepBlock(nn.Module):
    """Depthwise (in stages 3 and 4 as parallel branches), squeeze, pointwise, shortcut."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.shortcut = block.shortcut
        channels = block.c_in
        if block.branches:
            self.dw_conv_list = nn.ModuleList(
                ConvBN(channels, channels, k, stride=block.stride, groups=channels, act=False)
                for k in block.branches
            )
        else:
            self.dw_conv = ConvBN(
                channels, channels, block.kernel, stride=block.stride, groups=channels
            )
        if block.squeeze:
            self.se = Squeeze(channels)
        for name, c_in, c_out in block.pointwise:
            self.add_module(name.removeprefix(f"{block.name}."), ConvBN(c_in, c_out, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = self._depthwise(x)
        if hasattr(self, "se"):
            y = self.se(y)
        for name in ("pw_conv", "pw_conv_1", "pw_conv_2"):
            if name in self._modules:
                y = self.get_submodule(name)(y)
        return x + y if self.shortcut else y

    def _depthwise(self, x: Tensor) -> Tensor:
        if not hasattr(self, "dw_conv_list"):
            y: Tensor = self.dw_conv(x)
            return y
        total = self.dw_conv_list[0](x)
        for branch in self.dw_conv_list[1:]:
            total = total + branch(x)
        return F.relu(total)


class Squeeze(nn.Module):
    """Squeeze-and-excitation with a plain sigmoid, to a quarter of the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels // 4, 1)
        self.conv2 = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.conv1(x.mean((2, 3), keepdim=True)))
        return x * torch.sigmoid(self.conv2(hidden))


class GlobalAttention(nn.Module):
    """LTA: each frame's mean, a linear layer across frames, one scale a frame."""

    def __init__(self, num_segments: int) -> None:
        super().__init__()
        self.fc = Linear(num_segments, num_segments)

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean((1, 2, 3)).unflatten(0, (-1, self.fc.weight.shape[0]))
        return x * torch.sigmoid(self.fc(means)).flatten()[:, None, None, None]


def channels_last(x: Tensor) -> Tensor:
    """The layout in which training takes half the time on CPUs."""
    return x.contiguous(memory_format=torch.channels_last)


def temporal_shift(x: Tensor, num_segments: int) -> Tensor:
    """(N * num_segments, C, H, W): the first C // num_segments channels come from the frame before,
    those up to 2 C // num_segments from the frame after; zeros beyond the ends.
    """
    channels = x.shape[1]
    first, second = channels // num_segments, 2 * channels // num_segments
    clips = x.unflatten(0, (-1, num_segments))
    before, after, rest = clips.split([first, second - first, channels - second], dim=2)
    before = F.pad(before[:, :-1], (0, 0, 0, 0, 0, 0, 1, 0))
    after = F.pad(after[:, 1:], (0, 0, 0, 0, 0, 0, 0, 1))
    return torch.cat([before, after, rest], dim=2).flatten(0, 1)


def downscale_dropout(x: Tensor, *, training: bool) -> Tensor:
    """Paddle's downscale_in_infer: masked without rescaling in training, x 0.8 at inference."""
    if not training:
        return x * DROPOUT_SCALE
    return x * torch.bernoulli(torch.full_like(x, DROPOUT_SCALE))


def load_network(weights: str | Path, *, num_segments: int | None = None) -> PPTSMv2:
    """A trained network in eval mode from .pdparams or .safetensors, in training form.

    num_segments: where the file does not tell, 16 unless given. Raises ModelError for a file that
    is not whole, or whose branches are merged already (it can be run, but no longer trained).
    """
    checkpoint = read_checkpoint(Path(weights))
    trained = read_trained_facts(checkpoint)
    arrays = strip_prefix(checkpoint.arrays, checkpoint.path)
    architecture = read_architecture(
        arrays,
        checkpoint.path,
        said_segments={"num_segments": num_segments, "its metadata": trained.num_segments},
        shift_stages=(3,) if trained.shift_stages is None else trained.shift_stages,
    )
    checked = check_weights(arrays, architecture, checkpoint.path)
    options = NetworkOptions(
        num_classes=architecture.num_classes,
        num_segments=architecture.num_segments,
        lta=architecture.has_lta,
        shift_stages=architecture.shift_stages,
    )
    network = PPTSMv2(options)
    own = network.state_dict().keys()
    merged = sorted(own - checked.keys())
    if merged:
        raise ModelError(
            f"{weights}: its branches are merged ({merged[0]} and {len(merged) - 1} more are "
            "gone): it can be converted, but not trained"
        )
    # The stale dw_conv beside the branches is left behind.
    tensors = {name: torch.from_numpy(checked[name].copy()) for name in own}
    network.load_state_dict(tensors)
    return network.eval()
