"""FP32 against INT8 on somebody's own clips and machine: measured, judged, and shown."""
