"""Offline: a trained checkpoint to an OpenVINO model that ppsdk runs."""
