"""Offline: a trained checkpoint to an OpenVINO model that ppsdk runs."""

# Before OpenVINO and NNCF are: it keeps them from telling Google Analytics.
import ppsdk  # noqa: F401
