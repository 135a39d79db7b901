"""Instance maps and depth are those that Blender itself renders."""

import numpy as np
import pytest

from samediff_stimuli import make_recipe, tasks
from samediff_stimuli.blender_scenes import masks, objects, photoreal
from samediff_stimuli.blender_scenes.data import NO_CORNER
from samediff_stimuli.blender_scenes.photoreal_options import PhotorealOptions

# Rows of the paper's set, and of one with distractors, at a size of which edges have many pixels.
CASES = [(PhotorealOptions(), row) for row in (0, 301, 777, 1023)]
CASES += [(PhotorealOptions(distractors=2, configurations=1), row) for row in (5, 90)]


def id_render(scene, path):
    """Each object in one flat grey, through the scene's camera, one ray a pixel."""
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    stage = bpy.context.scene
    stage.render.engine = "CYCLES"
    stage.cycles.samples, stage.cycles.use_denoising = 1, False
    stage.cycles.use_adaptive_sampling = False
    stage.cycles.pixel_filter_type, stage.cycles.filter_width = "BLACKMAN_HARRIS", 0.01
    stage.cycles.max_bounces = 0
    stage.render.resolution_x = stage.render.resolution_y = scene.size
    stage.view_settings.view_transform = "Raw"
    stage.render.image_settings.file_format = "PNG"
    stage.render.image_settings.color_mode = "BW"
    stage.render.dither_intensity = 0.0
    stage.world = bpy.data.worlds.new("dark")
    stage.world.color = (0.0, 0.0, 0.0)
    for number, pose in enumerate(scene.objects, 1):
        mesh = objects.mesh_of(pose.model)
        made = bpy.data.meshes.new(pose.model)
        faces = [[c for c in face if c != NO_CORNER] for face in mesh.faces.tolist()]
        made.from_pydata(masks.posed(mesh, pose).tolist(), [], faces)
        grey = bpy.data.materials.new(str(number))
        grey.use_nodes = True
        grey.node_tree.nodes.clear()
        shine = grey.node_tree.nodes.new("ShaderNodeEmission")
        shine.inputs["Color"].default_value = (*[number / 10] * 3, 1.0)
        out = grey.node_tree.nodes.new("ShaderNodeOutputMaterial")
        grey.node_tree.links.new(shine.outputs[0], out.inputs["Surface"])
        made.materials.append(grey)
        stage.collection.objects.link(bpy.data.objects.new(pose.model, made))
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    stage.collection.objects.link(camera)
    stage.camera = camera
    camera.data.lens, camera.data.sensor_width = scene.camera.lens, masks.SENSOR
    _, pose, _ = masks.camera_matrices(scene.camera, scene.size)
    camera.matrix_world = pose.T.tolist()  # Blender takes columns
    stage.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)


@pytest.mark.blender
@pytest.mark.parametrize(("options", "row"), CASES)
def test_masks_are_those_of_an_id_render(options, row, tmp_path):
    """At most 2 pixels differ from Cycles' own id render: ties at edges, no more."""
    pytest.importorskip("bpy")
    from PIL import Image

    recipe = make_recipe("photoreal", 0, options)
    scene = photoreal.scene_of(recipe, tasks.design(recipe, "test", [row]).row(0))
    id_render(scene, tmp_path / "ids.png")
    grey = np.asarray(Image.open(tmp_path / "ids.png").convert("L")).astype(float)
    rendered = np.rint(grey / 25.5).astype(np.uint8)
    ours = photoreal.annotation(recipe, tasks.design(recipe, "test", [row]).row(0)).instances
    assert set(np.unique(rendered)) == set(range(len(scene.objects) + 1))
    assert (rendered != ours).sum() <= 2
