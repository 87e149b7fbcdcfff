"""What a student learns of a frame from the teacher: its features, and what it sees where."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ppsdk import VideoError
from training.network import NetworkOptions, PPTSMv2
from training.teacher import MAP_CHANNELS, TEACHER_FEATURES, EfficientNetLite0

STAGE_CHANNELS = (128, 256, 512, 1024)
AT_ONCE = 32  # frames that the teacher is shown
# Added to the deviations of a map, in shares of their mean: a channel that hardly ever moves is not
# to be heard as loud as the others.
LEAST_DEVIATION = 0.01


@dataclass(frozen=True)
class Lesson:
    """Of N frames: features, float32 (N, 1280), of which each has the mean 0, and all together the
    deviation 1; maps, float32 (N, C, h, w) at the end of each stage, where each channel has.
    """

    features: Tensor
    maps: list[Tensor]


class Student(nn.Module):
    """PP-TSMv2 for single frames, with a layer behind each stage that is thrown away afterwards:
    normalised float32 (N, 3, H, W) -> what it makes of the lesson.
    """

    def __init__(self) -> None:
        super().__init__()
        # One frame is a clip of one segment: there is nothing to shift and nothing to attend to.
        options = NetworkOptions(
            TEACHER_FEATURES, num_segments=1, lta=False, shift_stages=(), dropout=False
        )
        self.network = PPTSMv2(options)
        self.to_maps = nn.ModuleList(
            nn.Conv2d(own, teachers, 1)
            for own, teachers in zip(STAGE_CHANNELS, MAP_CHANNELS, strict=True)
        )

    def forward(self, frames: Tensor) -> Lesson:
        seen = self.network.stage_maps(frames[:, None])
        features = self.network.fc(self.network.pooled(seen[-1])[:, 0])
        maps = [layer(x).float() for layer, x in zip(self.to_maps, seen, strict=True)]
        return Lesson(features.float(), maps)


class Teaching:
    """The teacher's lessons, in units of how much they vary among some frames."""

    def __init__(self, teacher: EfficientNetLite0, frames: Tensor) -> None:
        """frames: normalised float32 (N, 3, H, W), to measure by. VideoError where all of them look
        the same to the teacher.
        """
        self._teacher = teacher
        parts = [self._see(part) for part in frames.split(AT_ONCE)]
        features = torch.cat([part.features for part in parts])
        self._mean = features.mean(0)
        self._deviation = (features - self._mean).square().mean().sqrt()
        if not self._deviation > 0:
            raise VideoError(f"frames to learn from all look the same ({len(frames)} looked at)")
        self._units = []
        for of_stage in zip(*(part.maps for part in parts), strict=True):
            mean = torch.cat(of_stage).mean((0, 2, 3), keepdim=True)
            deviation = torch.cat(of_stage).std((0, 2, 3), keepdim=True)
            self._units.append((mean, deviation + LEAST_DEVIATION * deviation.mean()))

    def __call__(self, frames: Tensor) -> Lesson:
        """frames: normalised float32 (N, 3, H, W)."""
        seen = self._see(frames)
        maps = [(x - mean) / unit for x, (mean, unit) in zip(seen.maps, self._units, strict=True)]
        return Lesson((seen.features - self._mean) / self._deviation, maps)

    @torch.no_grad()
    def _see(self, frames: Tensor) -> Lesson:
        maps = self._teacher.maps(frames)
        return Lesson(self._teacher.pooled(maps[-1]), maps)


def difference(told: Lesson, taught: Lesson) -> tuple[Tensor, Tensor]:
    """Mean squares, of the features, and of the maps of all stages together.

    What is seen where, at each depth, says a hundred times as much of a frame as its features do,
    and cannot be told by knowing which video it is of.
    """
    of_maps = [F.mse_loss(a, b) for a, b in zip(told.maps, taught.maps, strict=True)]
    return F.mse_loss(told.features, taught.features), torch.stack(of_maps).sum()
