"""Where networks run and in what portions: devices, cores, memory, and what to do when memory does not suffice."""

from LungCADLib.compute.batches import Used, batch_size, in_batches, predict, recording
from LungCADLib.compute.devices import DeviceChoice, autocast, choose_device, device_choices, precision, preferring
from LungCADLib.compute.machine import cores, free_memory, peak_memory_mb

__all__ = [
    "DeviceChoice",
    "Used",
    "autocast",
    "batch_size",
    "choose_device",
    "cores",
    "device_choices",
    "free_memory",
    "in_batches",
    "peak_memory_mb",
    "precision",
    "predict",
    "preferring",
    "recording",
]
