"""Oxford Flowers-102 as it was published: 102 species of flowers, every one against all others.

    ROOT/jpg/image_00001.jpg ...
    ROOT/imagelabels.mat    labels: the class of each photo, from 1
    ROOT/setid.mat          trnid, valid and tstid: the numbers of the photos of each set, from 1

Each class is a task: its training photos are to choose from, its test photos are good, and the test photos
of all other classes are anomalous. The validation list serves as X_in of the paper's protocol, which takes
5 + 5 of the 10 training photos as styles and contents. The name for text prompts is the class's, followed
by "flower". Reading the lists needs scipy, which the extra `replay` brings. Nilsback and Zisserman,
"Automated Flower Classification over a Large Number of Classes", ICVGIP 2008.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from appliance.errors import ImagesError, UsageError
from appliance.photo_files import PhotoFile
from appliance.replay.layouts.flower_names import FLOWER_NAMES
from appliance.replay.layouts.lists import Listed, find_photos, photo_set, read_bytes, refused_of
from appliance.replay.layouts.one_vs_rest import LabelledClass, one_vs_rest
from appliance.replay.layouts.tree import PhotoTree
from appliance.replay.task import Dataset, PhotoSet

LAYOUT = "flowers"
LABELS, SETS = "imagelabels.mat", "setid.mat"
TRAINING, VALIDATION, TEST = "trnid", "valid", "tstid"
HALF_OF_TRAINING = 5  # styles, and contents: the 10 training photos of a class are all used
ADVICE = f"Give the folder that holds jpg/, {LABELS} and {SETS} of Oxford Flowers-102 as they were published."
NOTE = (
    "X_in of the paper's protocol is the dataset's validation list: its 5 + 5 styles and contents leave none "
    "of the 10 training photos of a class."
)

Numbers = npt.NDArray[np.int64]


def read(tree: PhotoTree, wanted: Sequence[str]) -> Dataset:
    """One task for each wanted class. ImagesError if lists and photos differ, UsageError without scipy."""
    labels = _labels(tree)
    sets = _sets(tree, photos=len(labels))
    listed = [
        Listed(path=_path(number), where=f"{SETS}, {name}") for name in sets for number in sets[name].tolist()
    ]
    found = find_photos(tree, listed)
    classes = _classes(labels, sets, found)
    return Dataset(
        root=tree.root,
        layout=LAYOUT,
        one_vs_rest=True,
        tasks=one_vs_rest(tree, classes, wanted, layout=LAYOUT, advice=ADVICE),
        part_noun="flower",
        styles=HALF_OF_TRAINING,
        contents=HALF_OF_TRAINING,
        refused=refused_of(tree, listed),
        notes=(NOTE,),
    )


def _path(number: int) -> str:
    return f"jpg/image_{number:05d}.jpg"


def _classes(
    labels: Numbers, sets: Mapping[str, Numbers], found: Mapping[str, PhotoFile]
) -> list[LabelledClass]:
    def photos(label: int, name: str) -> PhotoSet:
        numbers = sets[name][labels[sets[name] - 1] == label]
        return photo_set(found, [_path(number) for number in numbers.tolist()])

    present = np.unique(labels[np.concatenate(list(sets.values())) - 1])
    return [
        LabelledClass(
            name=FLOWER_NAMES[label - 1],
            part_name=FLOWER_NAMES[label - 1].rstrip("?"),  # its authors doubt one name, a prompt should not
            support=photos(label, TRAINING),
            normals=photos(label, VALIDATION),
            judged=photos(label, TEST),
        )
        for label in present.tolist()
    ]


def _labels(tree: PhotoTree) -> Numbers:
    """[photos] the class of each photo, from 1."""
    labels = _arrays(tree, LABELS, ["labels"])["labels"]
    return _within(tree, LABELS, "labels", labels, highest=len(FLOWER_NAMES), of="classes")


def _sets(tree: PhotoTree, *, photos: int) -> dict[str, Numbers]:
    """Numbers of the photos of each list, from 1. That none is listed twice is seen when they are sought."""
    arrays = _arrays(tree, SETS, [TRAINING, VALIDATION, TEST])
    return {
        name: _within(tree, SETS, name, values, highest=photos, of="labelled photos")
        for name, values in arrays.items()
    }


def _within(
    tree: PhotoTree, file: str, name: str, values: npt.NDArray[np.generic], *, highest: int, of: str
) -> Numbers:
    """The values of any shape as a flat array of whole numbers from 1 to `highest`. ImagesError otherwise."""
    where = f"{tree.root / file}, {name}: expected whole numbers from 1 to {highest}, the number of {of}"
    if values.dtype.kind not in "iuf" or values.size == 0:
        raise ImagesError(f"{where}; found {values.size} values of type {values.dtype}. {ADVICE}")
    flat = values.ravel().astype(np.float64)
    wrong = flat[~((flat == np.round(flat)) & (flat >= 1) & (flat <= highest))]
    if wrong.size:
        raise ImagesError(f"{where}; {wrong.size} values are not, the first is {wrong[0]:g}. {ADVICE}")
    return flat.astype(np.int64)


def _arrays(tree: PhotoTree, file: str, names: Sequence[str]) -> dict[str, npt.NDArray[np.generic]]:
    """The arrays of a MATLAB file. UsageError without scipy, ImagesError if they are not there."""
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise UsageError(
            f"--layout {LAYOUT}: {SETS} and {LABELS} are MATLAB files, and scipy, which reads them, is not "
            "installed. Install the extra replay: pip install 'goodparts[replay]'."
        ) from error
    data = read_bytes(tree, file, advice=ADVICE)
    try:
        found = loadmat(io.BytesIO(data), variable_names=list(names))
    except Exception as error:  # scipy raises nearly anything on a file that is cut or of another format
        raise ImagesError(
            f"{tree.root / file}: not a MATLAB file of version 5 ({error}). {ADVICE}"
        ) from error
    absent = [name for name in names if not isinstance(found.get(name), np.ndarray)]
    if absent:
        raise ImagesError(f"{tree.root / file}: does not hold {', '.join(absent)}. {ADVICE}")
    return {name: found[name] for name in names}
