"""A stand-in for Blender: it paints instance maps, so that photoreal runs through every test.

The ground is white and each object has the colour of its model; only tests marked `blender` render.
"""

import numpy as np

from samediff_stimuli.blender_scenes import masks, objects, session


class StandIn:
    """What `session.renderer` gives, without Blender."""

    calls = 0

    def render(self, scene):
        """(size, size, 3) uint8: white, objects in the colours of their models."""
        StandIn.calls += 1
        names = list(objects.registry())
        meshes = {pose.model: objects.mesh_of(pose.model) for pose in scene.objects}
        found = masks.annotate(scene, meshes).instances
        numbers = np.array([names.index(pose.model) for pose in scene.objects])
        colors = np.stack([40 + 12 * numbers, 220 - 12 * numbers, 60 + 80 * (numbers % 3)], axis=1)
        colors = np.concatenate([[[255, 255, 255]], colors]).astype(np.uint8)
        picture = colors[found]
        picture[found > 0, 2] += np.uint8(scene.seed % 40)  # the sampling shows
        return picture

    def about(self):
        """As `Renderer.about`."""
        words = {"bpy": "0.0.0", "build": "none", "device": "cpu"}
        return {**words, "device_names": [], "settings": {}}


def use(patch):
    """Paint with the stand-in from here on."""
    patch.setattr(session, "renderer", lambda device, python: StandIn())
    patch.setattr(session, "absent", lambda: None)
