"""Requests and GPUs as metrics: for Prometheus to scrape, and through OpenTelemetry."""

from costlab.monitoring.metrics.gpus import GpuMetrics, GpuReading, GpuReadingError, dcgm_readings, nvml_readings
from costlab.monitoring.metrics.otel import OtelMetrics
from costlab.monitoring.metrics.requests import RequestMetrics

__all__ = [
    "GpuMetrics",
    "GpuReading",
    "GpuReadingError",
    "OtelMetrics",
    "RequestMetrics",
    "dcgm_readings",
    "nvml_readings",
]
