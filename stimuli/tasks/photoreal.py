"""Photoreal: are the two objects on the table the same? See `blender_scenes.photoreal`."""

from samediff_stimuli.blender_scenes.photoreal import TASK as TASK
