"""The stage in Blender: one sunlit room kept alive, in which objects, camera and light change.

Only this module and `render` know of bpy, and bpy is imported when a `Stage` is made.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np

from samediff_stimuli.blender_scenes import decor, pictures, room
from samediff_stimuli.blender_scenes.data import (
    NO_CORNER,
    Camera,
    Color,
    Light,
    Material,
    Mesh,
    Model,
    Picture,
    Room,
    Scene,
    Vector,
)
from samediff_stimuli.recipe import InputError

UNIT_IN_METRES = 0.1  # a unit is 10 cm; Blender takes it for a metre
SENSOR = 36.0  # mm
SUN_COLOR = (1.0, 0.86, 0.66)  # low morning sun
SUN_ANGLE = 0.53  # degrees across, seen from the earth
MODELS_KEPT = 64  # meshes and pictures of so many models stay in memory
SUN_FACTOR, SKY_FACTOR = 1.7, 0.6  # low sun well above the sky, so that bars of light show
_SUBSURFACE = ((1.0, 0.45, 0.25), 0.12)  # how far red, green, blue travel, and in units


class Stage:
    """The room, built once, and what stands in it for the present scene.

    Making a stage forgets all that Blender held.
    """

    def __init__(self) -> None:
        """Build what no scene changes: sun, sky, portal, camera, floor."""
        import bpy

        self._bpy: Any = bpy
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self.scene: Any = bpy.context.scene
        self._models: OrderedDict[Model, Any] = OrderedDict()
        self._slots: list[Any] = []
        self._tables: dict[int, Any] = {}
        self._backgrounds: dict[int, Any] = {}
        self._shifts: dict[int, Any] = {}
        self._floors: dict[int, Any] = {}
        self._sky, self._sky_strength = self._world()
        self._sun = self._lamp("sun", "SUN")
        self._sun.data.angle = math.radians(SUN_ANGLE)
        self._sun.data.color = SUN_COLOR
        self._portal()
        self._camera = self._linked("camera", bpy.data.cameras.new("camera"))
        self._camera.data.sensor_fit = "HORIZONTAL"
        self._camera.data.sensor_width = SENSOR
        self._camera.data.dof.use_dof = True
        self.scene.camera = self._camera
        self._table = self._linked("table", None, room.table_mesh())
        self._floor = self._linked("floor", None, room.floor_mesh())
        self._table.data.materials.append(None)
        self._floor.data.materials.append(None)
        self._background = self._linked("background", bpy.data.meshes.new("nothing"))

    def show(self, scene: Scene, models: Mapping[str, Model]) -> None:
        """Arrange everything as a scene says.

        Args:
            scene: what to show.
            models: by name, those of its objects at least.

        Raises:
            InputError: if a model, a table or a background does not exist.
        """
        self._set_room(scene.room)
        self._set_light(scene.light)
        self._set_camera(scene.camera)
        while len(self._slots) < len(scene.objects):
            name = f"slot {len(self._slots)}"
            self._slots.append(self._linked(name, self._background.data))
        for slot in self._slots[len(scene.objects) :]:
            slot.hide_render = True
        for slot, pose in zip(self._slots, scene.objects, strict=False):
            if pose.model not in models:
                known = ", ".join(models)
                raise InputError(f"scene: unknown model {pose.model!r}; known: {known}")
            slot.data = self._model(models[pose.model])
            slot.location = (pose.x, pose.y, 0.0)
            slot.rotation_euler = (0.0, 0.0, math.radians(pose.turn))
            slot.scale = (pose.scale,) * 3
            slot.hide_render = False
        self._forget(models[pose.model] for pose in scene.objects)

    def _set_room(self, wanted: Room) -> None:
        """Table, floor and background."""
        tables, walls = len(pictures.TABLES), len(decor.WALLS)
        if not 0 <= wanted.table < tables:
            raise InputError(
                f"room: table {wanted.table} is out of range; legal: 0 .. {tables - 1}"
            )
        if not 0 <= wanted.wall < walls:
            raise InputError(f"room: wall {wanted.wall} is out of range; legal: 0 .. {walls - 1}")
        if wanted.table not in self._tables:
            kind, picture = pictures.TABLES[wanted.table], pictures.table_picture(wanted.table)
            made = self._wood(f"table {wanted.table}", picture, kind.roughness, (1.0, 1.0))
            self._tables[wanted.table], self._shifts[wanted.table] = made
        shift = wanted.shift / pictures.TABLE_SIZE[0]
        self._shifts[wanted.table].inputs["Location"].default_value = (shift, 0.0, 0.0)
        self._table.data.materials[0] = self._tables[wanted.table]
        if wanted.wall not in self._backgrounds:
            self._backgrounds[wanted.wall] = self._background_data(wanted.wall)
        self._background.data = self._backgrounds[wanted.wall]
        number = decor.WALLS[wanted.wall].floor
        if number not in self._floors:
            wide, deep = pictures.FLOOR_SIZE
            repeats = ((room.EAST - room.WEST) / wide, (room.NORTH - room.SOUTH) / deep)
            kind, picture = pictures.FLOORS[number], pictures.floor_picture(number)
            made = self._wood(f"floor {number}", picture, kind.roughness, repeats)
            self._floors[number] = made[0]
        self._floor.data.materials[0] = self._floors[number]

    def _set_light(self, light: Light) -> None:
        """Sun and sky; azimuth 0 is straight through the window, positive from the back."""
        azimuth, elevation = math.radians(light.azimuth), math.radians(light.elevation)
        flat = math.cos(elevation)
        way = (flat * math.cos(azimuth), flat * math.sin(azimuth), math.sin(elevation))
        self._sun.rotation_euler = _facing((-way[0], -way[1], -way[2]))
        self._sun.data.energy = SUN_FACTOR * light.sun
        self._sky.sun_elevation = elevation
        self._sky.sun_rotation = math.pi / 2 - azimuth
        self._sky_strength.default_value = SKY_FACTOR * light.sky

    def _set_camera(self, camera: Camera) -> None:
        """Place, lens and focus."""
        (x, y, z), (to_x, to_y, to_z) = camera.position, camera.target
        self._camera.location = camera.position
        self._camera.rotation_euler = _facing((to_x - x, to_y - y, to_z - z))
        self._camera.data.lens = camera.lens
        self._camera.data.dof.focus_distance = camera.focus
        self._camera.data.dof.aperture_fstop = camera.f_stop * UNIT_IN_METRES

    def _world(self) -> tuple[Any, Any]:
        """The sky's node and the input of its strength."""
        bpy = self._bpy
        world = bpy.data.worlds.new("sky")
        self.scene.world = world
        nodes = _Nodes(world, bpy)
        old = bpy.app.version < (5, 0, 0)
        sky = nodes.add("ShaderNodeTexSky")
        sky.sky_type = "NISHITA" if old else "MULTIPLE_SCATTERING"
        sky.sun_disc = False  # the sun lamp takes its place
        glow = nodes.add("ShaderNodeBackground", Color=sky.outputs[0])
        nodes.add("ShaderNodeOutputWorld", Surface=glow.outputs[0])
        world.cycles.sampling_method = "MANUAL"  # AUTO costs 2 s an image
        world.cycles.sample_map_resolution = 256
        return sky, glow.inputs["Strength"]

    def _portal(self) -> None:
        """A light portal that fills the window, which guides rays to the sky."""
        y0, y1, z0, z1 = room.WINDOW
        portal = self._lamp("portal", "AREA")
        portal.data.shape = "RECTANGLE"
        portal.data.size, portal.data.size_y = z1 - z0, y1 - y0
        portal.data.cycles.is_portal = True
        portal.location = (room.EAST + 0.65, (y0 + y1) / 2, (z0 + z1) / 2)
        portal.rotation_euler = (0.0, math.pi / 2, 0.0)

    def _lamp(self, name: str, kind: str) -> Any:
        """A light in the scene."""
        return self._linked(name, self._bpy.data.lights.new(name, kind))

    def _linked(self, name: str, data: Any, mesh: Mesh | None = None) -> Any:
        """A new object in the scene."""
        block = self._mesh(name, mesh) if mesh is not None else data
        thing = self._bpy.data.objects.new(name, block)
        self.scene.collection.objects.link(thing)
        return thing

    def _model(self, model: Model) -> Any:
        """A model's mesh with its materials, made when first used."""
        if model not in self._models:
            block = self._mesh(model.name, model.build())
            for material in model.materials:
                block.materials.append(self._material(material))
            self._models[model] = block
        self._models.move_to_end(model)
        return self._models[model]

    def _forget(self, shown: Any) -> None:
        """Drop the models that were not used for longest, so that memory stays flat."""
        keep = set(shown)
        for model in [m for m in self._models if m not in keep]:
            if len(self._models) <= MODELS_KEPT:
                return
            self._drop(self._models.pop(model))

    def _drop(self, block: Any) -> None:
        """Remove a mesh, its materials and their pictures."""
        data = self._bpy.data
        for slot in self._slots:
            if slot.data == block:
                slot.data = self._background.data
        materials = list(block.materials)
        data.meshes.remove(block)
        for material in materials:
            images = [n.image for n in material.node_tree.nodes if n.type == "TEX_IMAGE"]
            data.materials.remove(material)
            for image in images:
                data.images.remove(image)

    def _mesh(self, name: str, mesh: Mesh) -> Any:
        """A mesh in Blender, its vertices and faces in the given order."""
        block = self._bpy.data.meshes.new(name)
        there = mesh.faces != NO_CORNER
        sizes = there.sum(axis=1)
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        block.vertices.add(len(mesh.vertices))
        block.vertices.foreach_set("co", mesh.vertices.astype(np.float32).ravel())
        block.loops.add(int(sizes.sum()))
        block.loops.foreach_set("vertex_index", mesh.faces[there].astype(np.int32))
        block.polygons.add(len(mesh.faces))
        block.polygons.foreach_set("loop_start", starts.astype(np.int32))
        block.polygons.foreach_set("material_index", mesh.material.astype(np.int32))
        block.polygons.foreach_set("use_smooth", mesh.smooth)
        layer = block.uv_layers.new(name="uv")
        layer.data.foreach_set("uv", mesh.uv[there].astype(np.float32).ravel())
        block.update(calc_edges=True)
        if block.validate():
            raise ValueError(f"the mesh of {name!r} has faces that cannot be")
        return block

    def _image(self, name: str, picture: Picture) -> Any:
        """A picture in Blender; a fourth channel is data, not transparency."""
        height, width, channels = picture.shape
        image = self._bpy.data.images.new(name, width, height, alpha=channels == 4)
        if channels == 4:
            image.alpha_mode = "CHANNEL_PACKED"
        values = np.ones((height, width, 4), dtype=np.float32)
        values[..., :channels] = picture[::-1].astype(np.float32) / np.float32(255)
        image.pixels.foreach_set(values.ravel())
        image.update()
        image.pack()
        return image

    def _background_data(self, number: int) -> Any:
        """The mesh of a background with its one material, matte and from one picture."""
        bpy = self._bpy
        block = self._mesh(f"background {number}", room.background_mesh(number))
        material = bpy.data.materials.new(f"background {number}")
        nodes = _Nodes(material, bpy)
        picture = nodes.add("ShaderNodeTexImage")
        picture.image = self._image(f"background {number}", decor.background_picture(number))
        matte = nodes.add("ShaderNodeBsdfDiffuse", Color=picture.outputs["Color"])
        nodes.add("ShaderNodeOutputMaterial", Surface=matte.outputs[0])
        block.materials.append(material)
        return block

    def _wood(
        self, name: str, picture: Picture, roughness: float, repeats: tuple[float, float]
    ) -> tuple[Any, Any]:
        """A varnished wood from colour and relief, and the node that shifts its picture."""
        material = self._bpy.data.materials.new(name)
        nodes = _Nodes(material, self._bpy)
        place = nodes.add("ShaderNodeTexCoord").outputs["UV"]
        moved = nodes.add("ShaderNodeMapping", Vector=place)
        moved.inputs["Scale"].default_value = (*repeats, 1.0)
        image = nodes.add("ShaderNodeTexImage", Vector=moved.outputs[0])
        image.image = self._image(name, picture)
        rough = nodes.add("ShaderNodeMapRange", Value=image.outputs["Alpha"])
        for key, value in zip(
            ("From Min", "From Max", "To Min", "To Max"),
            (0.4, 0.9, roughness + 0.25, roughness - 0.08),  # gaps and pores are rough
            strict=True,
        ):
            rough.inputs[key].default_value = value
        relief = nodes.add("ShaderNodeBump", Height=image.outputs["Alpha"])
        relief.inputs["Strength"].default_value = 0.6
        relief.inputs["Distance"].default_value = 0.03
        varnish = nodes.add(
            "ShaderNodeBsdfPrincipled",
            **{"Base Color": image.outputs["Color"], "Roughness": rough.outputs[0]},
            Normal=relief.outputs[0],
        )
        nodes.add("ShaderNodeOutputMaterial", Surface=varnish.outputs[0])
        return material, moved

    def _material(self, material: Material) -> Any:
        """A material of an object in Blender."""
        block = self._bpy.data.materials.new(material.name)
        nodes = _Nodes(block, self._bpy)
        linked: dict[str, Any] = {}
        if material.picture is not None:
            image = nodes.add("ShaderNodeTexImage")
            image.image = self._image(material.name, material.picture())
            linked["Base Color"] = image.outputs["Color"]
            if material.emission:
                linked["Emission Color"] = image.outputs["Color"]
            if material.bump:
                grey = nodes.add("ShaderNodeRGBToBW", Color=image.outputs["Color"])
                relief = nodes.add("ShaderNodeBump", Height=grey.outputs[0])
                relief.inputs["Distance"].default_value = material.bump
                linked["Normal"] = relief.outputs[0]
        shader = nodes.add("ShaderNodeBsdfPrincipled", **linked)
        for key, value in _principled(material).items():
            shader.inputs[key].default_value = value
        out = shader.outputs[0]
        if material.transmission > 0:
            out = nodes.clear_shadow(out, material.color, material.transmission)
        nodes.add("ShaderNodeOutputMaterial", Surface=out)
        return block


def _facing(way: Vector) -> Vector:
    """The Euler angles of a camera or a sun that looks along a direction, upright."""
    x, y, z = way
    return math.acos(-z / math.sqrt(x * x + y * y + z * z)), 0.0, math.atan2(-x, y)


def _principled(material: Material) -> dict[str, Any]:
    """The inputs of a Principled BSDF."""
    radius, size = _SUBSURFACE
    color = (*material.color, 1.0)
    return {
        "Base Color": color,
        "Roughness": material.roughness,
        "Metallic": material.metallic,
        "IOR": material.ior,
        "Coat Weight": material.coat,
        "Coat Roughness": 0.04,
        "Subsurface Weight": material.subsurface,
        "Subsurface Radius": radius,
        "Subsurface Scale": size,
        "Transmission Weight": material.transmission,
        "Emission Color": color,
        "Emission Strength": material.emission,
    }


class _Nodes:
    """Writes the nodes of one material or world."""

    def __init__(self, owner: Any, bpy: Any) -> None:
        """Start with an empty tree."""
        if bpy.app.version < (5, 0, 0):
            owner.use_nodes = True
        self._tree: Any = owner.node_tree
        self._tree.nodes.clear()

    def add(self, kind: str, **linked: Any) -> Any:
        """A new node, its inputs linked to outputs of others."""
        node = self._tree.nodes.new(kind)
        for key, output in linked.items():
            self._tree.links.new(output, node.inputs[key])
        return node

    def clear_shadow(self, surface: Any, color: Color, share: float) -> Any:
        """A surface whose shadow lets light through: caustics are off, so glass would be black."""
        path = self.add("ShaderNodeLightPath")
        part = self.add("ShaderNodeMath", Value=path.outputs["Is Shadow Ray"])
        part.operation = "MULTIPLY"
        part.inputs[1].default_value = share
        clear = self.add("ShaderNodeBsdfTransparent")
        clear.inputs["Color"].default_value = (*color, 1.0)
        mixed = self.add("ShaderNodeMixShader", Fac=part.outputs[0])
        self._tree.links.new(surface, mixed.inputs[1])
        self._tree.links.new(clear.outputs[0], mixed.inputs[2])
        return mixed.outputs[0]
