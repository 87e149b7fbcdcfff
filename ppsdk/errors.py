"""The two errors an app tells apart: a bad video, a bad model."""


class VideoError(ValueError):
    """A source cannot be opened or read: the message names it and the reason, in one line."""


class ModelError(ValueError):
    """A model, checkpoint or label file is missing, foreign, damaged or contradictory."""
