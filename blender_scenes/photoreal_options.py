"""Options and columns of the photorealistic set; defaults of Lepori et al. 2024 (2406.15955)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from samediff_stimuli.aligned_options import INDEX, LABEL
from samediff_stimuli.blender_scenes import objects
from samediff_stimuli.blender_scenes.pairing import FEWEST
from samediff_stimuli.blender_scenes.scenes import SceneOptions
from samediff_stimuli.recipe import InputError, Options, Recipe, local_option, option
from samediff_stimuli.table import Column

Quality = Literal["preview", "standard", "fine"]
Device = Literal["auto", "cpu", "cuda", "optix", "hip", "metal"]
SAMPLES: dict[str, int] = {"preview": 4, "standard": 16, "fine": 32}  # rays a pixel
MOST = 10**6  # configurations of a split


@dataclass(frozen=True, kw_only=True)
class PhotorealOptions(Options):
    """Options of the photorealistic set; the defaults are the paper's.

    Raises:
        InputError: for a value outside its range.
    """

    image_size: int = option(224, "image side in pixels", "i")
    quality: Quality = option("standard", "4, 16 or 32 rays a pixel, denoised", "")
    configurations: int = option(8, "of each pair in test and ood, each seen by 4 cameras", "c")
    train_configurations: int = option(0, "of each pair in train", "t")
    validation_configurations: int = option(0, "of each pair in validation", "v")
    held_out_objects: int = option(0, "objects of the 16 that only the split ood shows", "h")
    distractors: int = option(0, "further objects behind the pair", "d")
    patch_size: int | None = option(
        None, "ViT patch side in pixels: no patch touches the boxes of both objects", "p"
    )
    turned: bool = option(
        False, "each stimulus once more with its second object turned: a counterfactual", "turned"
    )
    device: Device | None = local_option(
        "what renders: auto, cpu or a kind of GPU; default auto", sign=""
    )
    blender_python: str | None = local_option(
        "Python interpreter that has bpy and this package, if the present one has not", sign=""
    )

    def __post_init__(self) -> None:
        """Check every range."""
        if not isinstance(self.turned, bool):
            raise InputError(f"turned {self.turned!r} is not legal; legal: True, False")
        if self.blender_python == "":
            raise InputError("blender_python '' names no interpreter; give its path")
        if self.quality not in SAMPLES:
            raise InputError(f"quality {self.quality!r} is unknown; known: {', '.join(SAMPLES)}")
        if self.device not in (None, *get_args(Device)):
            known = ", ".join(get_args(Device))
            raise InputError(f"device {self.device!r} is unknown; known: {known}")
        total, few = len(objects.registry()), f"0, or {FEWEST} .. {{}}"
        most = total - FEWEST
        for name, low, high in (
            ("configurations", 1, MOST),
            ("train_configurations", 0, MOST),
            ("validation_configurations", 0, MOST),
            ("held_out_objects", 0, most),
        ):
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            if not whole or not low <= value <= high or (name[0] == "h" and 0 < value < FEWEST):
                legal = few.format(most) if name[0] == "h" else f"{low} .. {high}"
                raise InputError(f"{name} {value!r} is out of range; legal: {legal}")
        fewest = min(n for n in (total - self.held_out_objects, self.held_out_objects) if n)
        if self.scene().distractors > fewest - 2:
            raise InputError(
                f"distractors {self.distractors} are more than the {fewest - 2} objects that a "
                f"split of {fewest} has besides a pair; ask for fewer, or hold out more objects"
            )

    def scene(self) -> SceneOptions:
        """What scenes depend on."""
        return SceneOptions(
            image_size=self.image_size,
            samples=SAMPLES[self.quality],
            distractors=self.distractors,
            patch_size=self.patch_size,
        )


def options_of(recipe: Recipe) -> PhotorealOptions:
    """The recipe's options, typed."""
    assert isinstance(recipe.options, PhotorealOptions)  # make_recipe has checked it
    return recipe.options


def columns(recipe: Recipe) -> tuple[Column, ...]:
    """Everything that is known of a scene but its pixels."""
    chosen, names = options_of(recipe), tuple(objects.registry())
    k = 2 + chosen.distractors
    about_boxes = "x0, y0, x1, y1 in pixels, x1 and y1 excluded"
    made = [
        INDEX,
        LABEL,
        _column("pair_id", "int64", (), "matched group: its two differ in one object's model"),
        _column("configuration", "int32", (), "places, light and room: 4 cameras share them"),
        _column("view", "uint8", (), "camera, from left to right"),
        Column(
            name="object",
            dtype="uint8",
            shape=(k,),
            names=names,
            about="the pair, then distractors",
        ),
        _column("position", "float64", (k, 2), "on the table: to the right, to the back, in dm"),
        _column(
            "turn", "float64", (k,), "about the vertical, anticlockwise from above, in degrees"
        ),
        _column("box", "uint16", (k, 4), f"of the whole object as if alone: {about_boxes}"),
        _column("visible_box", "uint16", (k, 4), f"of what is in sight: {about_boxes}"),
        _column("full_pixels", "int32", (k,), "pixels in the image of the object as if alone"),
        _column("visible_pixels", "int32", (k,), "pixels of it in sight"),
        _column("visibility", "uint16", (k,), "visible_pixels in thousandths of full_pixels"),
        _column("camera_position", "float64", (3,), "of the pinhole, in dm"),
        _column("camera_target", "float64", (3,), "what is in the middle of the image, in dm"),
        _column("lens", "float64", (), "focal length in mm, for a sensor 36 mm wide"),
        _column("f_stop", "float64", (), "of the lens"),
        _column("focus", "float64", (), "distance that is sharp, in dm"),
        _column("intrinsics", "float64", (3, 3), "K in pixels; pixel centres lie at .5"),
        _column("world_to_camera", "float64", (4, 4), "OpenCV: x right, y down, z ahead; in dm"),
        _column("sun_azimuth", "float64", (), "from the middle of the window, in degrees"),
        _column("sun_elevation", "float64", (), "above the horizon, in degrees"),
        _column("sun_strength", "float64", (), "relative to that of the sky"),
        _column("sky_strength", "float64", (), "of the sky's light"),
        _column("table", "uint8", (), "number of the table's wood"),
        _column("wall", "uint8", (), "number of the background"),
        _column("table_shift", "float64", (), "of the wood along its planks, in dm"),
        _column("render_seed", "int64", (), "of the renderer's sampling, one a matched group"),
    ]
    if chosen.turned:
        about = "row that shows the same but for the second object's turn; its own if it is first"
        made.append(_column("base_index", "int64", (), about))
    return tuple(made)


def _column(name: str, dtype: str, shape: tuple[int, ...], about: str) -> Column:
    return Column(name=name, dtype=dtype, shape=shape, about=about)
