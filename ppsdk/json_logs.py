"""Logs as JSON, for programs that collect them."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from typing import Any

from ppsdk.sources.credentials import masked

# What every record has; anything else was given as `extra`.
_USUAL = {*vars(logging.makeLogRecord({})), "message", "asctime"}


class JsonFormatter(logging.Formatter):
    """One object a line: time (UTC, ISO 8601), level, logger and message; what was logged as
    `extra` under its own names (of a status: status, source, at_s, reason); exception, the
    traceback, where there is one. All in ASCII; user, password and tokens of URLs are masked.
    """

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(
                timespec="microseconds"
            ),
            "level": record.levelname,
            "logger": record.name,
            "message": masked(record.getMessage()),
        }
        for name, value in vars(record).items():
            if name not in _USUAL and name not in told:
                told[name] = masked(value) if isinstance(value, str) else value
        if record.exc_info:
            told["exception"] = masked(self.formatException(record.exc_info))
        return json.dumps(told, default=str)
