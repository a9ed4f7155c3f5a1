"""Published data sets in small: what each layout makes of a folder, and what it says of a broken one."""

from __future__ import annotations

import os
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from appliance.errors import ImagesError, UsageError
from appliance.photo_files import PhotoFile
from appliance.replay.layouts import LAYOUTS, about, classes, cub, flowers, mvtec, read_dataset, visa
from appliance.replay.layouts.flower_names import FLOWER_NAMES
from appliance.replay.layouts.one_vs_rest import LabelledClass, one_vs_rest
from appliance.replay.layouts.tree import PhotoTree
from tests.pictures import write_parts

# --- folders in small: no layout opens a photo, so any bytes serve -----------------------------------------


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def touch_some(folder, count, *, suffix="png"):
    touch(folder, *(f"{i:03d}.{suffix}" for i in range(count)))


def write_category(folder, *, train=12, good=3, defects=("crack",)):
    for place, count in (("train/good", train), ("test/good", good), *((f"test/{d}", 2) for d in defects)):
        touch_some(folder / place, count)
    touch_some(folder / "ground_truth" / "crack", 2)
    touch(folder, "license.txt")
    return folder


def write_visa(root, *, categories=("candle", "pipe_fryum"), lines=()):
    """Twelve training, two normal and two anomalous test photos a category; lines: more of the list's."""
    rows = ["object,split,label,image,mask"]
    for category in categories:
        images = f"{category}/Data/Images"
        normal = [f"{images}/Normal/{i:04d}.JPG" for i in range(14)]
        anomalous = [f"{images}/Anomaly/{i:03d}.JPG" for i in range(2)]
        touch(root, *normal, *anomalous, f"{category}/Data/Masks/Anomaly/000.png")
        rows += [f"{category},train,normal,{name}," for name in normal[2:]]
        rows += [f"{category},test,normal,{name}," for name in normal[:2]]
        rows += [
            f"{category},test,anomaly,{name},{category}/Data/Masks/Anomaly/{Path(name).stem}.png"
            for name in anomalous
        ]
    write_lines(root / "split_csv" / "1cls.csv", [*rows, *lines])
    return root


BIRDS = ("001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross")


def write_cub(root, *, train=11, test=2):
    """Lists and photos of three classes as published, training and test photos alternating in the list."""
    folder = root / "CUB_200_2011"
    images, labels, split = [], [], []
    for number, bird in enumerate(BIRDS, start=1):
        for i in range(train + test):
            images.append(f"{len(images) + 1} {bird}/{bird[4:]}_{99 - i:04d}_{i}.jpg")
            labels.append(f"{len(images)} {number}")
            split.append(f"{len(images)} {int(i >= test)}")
    touch(folder / "images", *(line.split()[1] for line in images))
    write_lines(folder / "images.txt", images)
    write_lines(folder / "image_class_labels.txt", labels)
    write_lines(folder / "train_test_split.txt", split)
    write_lines(folder / "classes.txt", [f"{i} {bird}" for i, bird in enumerate(BIRDS, start=1)])
    return folder


def write_flowers(root, *, labels=(1, 60, 102), train=10, valid=3, test=2):
    """A few classes whose photos are shuffled over the numbers, as in the archive."""
    each = train + valid + test
    classes = np.random.default_rng(0).permutation(np.repeat(labels, each))
    numbers = {label: np.flatnonzero(classes == label) + 1 for label in labels}
    touch(root / "jpg", *(f"image_{i + 1:05d}.jpg" for i in range(len(classes))))
    savemat(root / "imagelabels.mat", {"labels": classes.astype(np.uint8)[None]})
    cuts = {"trnid": slice(train), "valid": slice(train, train + valid), "tstid": slice(train + valid, None)}
    sets = {
        name: np.concatenate([numbers[label][cut] for label in labels]).astype(np.uint16)[None]
        for name, cut in cuts.items()
    }
    savemat(root / "setid.mat", sets)
    return classes, sets


def write_classes(root, **counts):
    for name, count in counts.items():
        touch_some(root / name, count, suffix="jpg")
    return root


def write_lines(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def change_line(path, number, text):
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[number - 1] = text
    write_lines(path, lines)


def by_name(dataset):
    return {task.name: task for task in dataset.tasks}


def names(photos):
    return [photo.name for photo in photos]


def message(root, layout, *tasks, error=ImagesError):
    with pytest.raises(error) as caught:
        read_dataset(root, layout, tasks=tasks)
    return str(caught.value)


def photos_of(task):
    return [*task.support, *task.normals, *task.good, *(p for out in task.anomalous.values() for p in out)]


# --- all layouts ----------------------------------------------------------------------------------------

WRITERS = {
    "mvtec": lambda root: write_category(root / "screw"),
    "visa": write_visa,
    "cub": write_cub,
    "flowers": write_flowers,
    "classes": lambda root: write_classes(root, daisy=20, tulip=20),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_task_has_photos_of_its_own_root_in_order_and_none_twice(tmp_path, layout):
    """Names are paths below the root, in their order; support, X_in, good and out-classes are disjoint."""
    WRITERS[layout](tmp_path)
    dataset = read_dataset(tmp_path, layout)
    assert (dataset.root, dataset.layout, dataset.refused) == (tmp_path, layout, ())
    assert [task.name for task in dataset.tasks] == sorted(by_name(dataset))
    for task in dataset.tasks:
        photos = photos_of(task)
        assert all((tmp_path / photo.name).samefile(photo.path) for photo in photos)
        assert len({photo.path for photo in photos}) == len(photos)
        for photo_set in (task.support, task.good, task.normals, *task.anomalous.values()):
            assert names(photo_set) == sorted(names(photo_set))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_tasks_can_be_named(tmp_path, layout):
    """Those named are read as they would be among all; of an unknown one the message says which there are."""
    WRITERS[layout](tmp_path)
    dataset = read_dataset(tmp_path, layout)
    last = dataset.tasks[-1]
    (alone,) = read_dataset(tmp_path, layout, tasks=[last.name]).tasks
    assert (alone.name, alone.support, alone.good) == (last.name, last.support, last.good)
    assert dict(alone.anomalous) == dict(last.anomalous)
    said = message(tmp_path, layout, last.name, "no such", error=UsageError)
    assert f"{tmp_path}: no task no such. There are " in said
    assert all(name in said for name in by_name(dataset))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_root_that_holds_no_photos_is_refused(tmp_path, layout):
    """Missing, a file, or empty: the message says which."""
    touch(tmp_path, "archive.zip")
    (tmp_path / "empty").mkdir()
    touch(tmp_path / "papers", "a.pdf", "b.txt")
    (tmp_path / "papers" / "gone.png").symlink_to("nowhere.png")
    assert "there is no such folder" in message(tmp_path / "none", layout)
    assert "this is a file. Unpack it" in message(tmp_path / "archive.zip", layout)
    assert f"{tmp_path / 'empty'}: holds no photos, but 0 files" in message(tmp_path / "empty", layout)
    said = message(tmp_path / "papers", layout)
    assert "2 files of other kinds" in said
    assert "Files that cannot serve: 1, the first is gone.png (a link whose target does not exist)." in said


def test_an_unknown_layout_is_refused_with_those_there_are(tmp_path):
    """Before the folder is looked at."""
    said = message(tmp_path / "none", "imagenet", error=UsageError)
    assert said == "--layout imagenet: unknown, there are mvtec, visa, cub, flowers, classes."


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_describes_its_folder(layout):
    """A title, the tree, and at least one paragraph: what the help shows."""
    title, tree, prose = about(layout).split("\n\n")[:3]
    assert title.endswith(".") and "\n" not in title
    assert all(line.startswith("    ROOT/") for line in tree.splitlines())
    assert len(prose) > 200


def test_a_root_may_be_a_link(tmp_path):
    """It is where the person pointed; links below it that leave it are not followed."""
    write_category(tmp_path / "data" / "screw")
    (tmp_path / "link").symlink_to(tmp_path / "data")
    dataset = read_dataset(tmp_path / "link", "mvtec")
    assert dataset.root == tmp_path / "link"
    assert names(dataset.tasks[0].good) == [f"screw/test/good/{i:03d}.png" for i in range(3)]


# --- mvtec ----------------------------------------------------------------------------------------------


def test_mvtec_categories_are_tasks_and_defects_their_out_classes(tmp_path):
    """Masks and licences are ignored, the support is train/good, a defect's sub-folders belong to it."""
    write_category(tmp_path / "metal_nut", defects=("bent", "scratch"))
    write_category(tmp_path / "grid", train=10, good=1)
    write_category(tmp_path / "my part")
    touch(tmp_path, "metal_nut/test/bent/more/9.png", "metal_nut/test/stray.png", "readme.txt")
    dataset = read_dataset(tmp_path, "mvtec")
    tasks = by_name(dataset)
    assert [(t.name, t.part_name, t.group) for t in dataset.tasks] == [
        ("grid", "grid", "texture"),
        ("metal_nut", "metal nut", "object"),
        ("my part", "my part", None),
    ]
    nut = tasks["metal_nut"]
    assert names(nut.support) == [f"metal_nut/train/good/{i:03d}.png" for i in range(12)]
    assert names(nut.anomalous["bent"]) == [
        *(f"metal_nut/test/bent/{name}.png" for name in ("000", "001", "more/9")),
    ]
    assert (list(nut.anomalous), len(nut.anomalous["scratch"]), nut.normals) == (["bent", "scratch"], 2, ())
    assert (len(tasks["grid"].support), len(tasks["grid"].good)) == (10, 1)
    assert (dataset.part_noun, dataset.styles, dataset.contents, dataset.notes) == (None, 10, 10, ())


def test_mvtec_has_ten_objects_and_five_textures():
    """Table 1 of Bergmann et al. 2019."""
    assert (len(mvtec.OBJECTS), len(mvtec.TEXTURES)) == (10, 5)
    assert not mvtec.OBJECTS & mvtec.TEXTURES


def test_a_single_mvtec_category_is_a_root_too(tmp_path):
    """Its task has the folder's name."""
    dataset = read_dataset(write_category(tmp_path / "metal_nut"), "mvtec")
    (task,) = dataset.tasks
    assert (task.name, task.part_name, task.group) == ("metal_nut", "metal nut", "object")
    assert names(task.anomalous["crack"]) == ["test/crack/000.png", "test/crack/001.png"]
    assert len(task.support) == 12


def test_all_that_mvtec_categories_lack_is_in_one_message(tmp_path):
    """Each missing folder, and each with too few photos and their count; complete ones are not named."""
    write_category(tmp_path / "whole")
    write_category(tmp_path / "few", train=9)
    write_category(tmp_path / "untested", good=0)
    (tmp_path / "untested" / "test" / "good").mkdir()
    write_category(tmp_path / "flawless", defects=())
    write_category(tmp_path / "hollow", defects=("dent",))
    (tmp_path / "hollow" / "test" / "burn").mkdir()
    touch_some(tmp_path / "only_train" / "train" / "good", 12)
    touch_some(tmp_path / "only_test" / "test" / "dent", 2)
    lines = message(tmp_path, "mvtec").splitlines()
    assert lines[0] == f"{tmp_path}: not complete as layout mvtec:"
    assert [line.strip() for line in lines[1:-1]] == [
        "few/train/good: 9 photos to choose from, at least 10 are needed",
        "flawless: no folder of a defect in test, beside good",
        "hollow/test/burn: no photo to judge by, at least 1 is needed",
        "only_test: no folder train/good",
        "only_test: no folder test/good",
        "only_train: no folder test/good",
        "only_train: no folder of a defect in test, beside good",
        "untested/test/good: no photo to judge by, at least 1 is needed",
    ]
    assert "name only the categories that are complete" in lines[-1]
    assert [task.name for task in read_dataset(tmp_path, "mvtec", tasks=["whole"]).tasks] == ["whole"]


def test_folders_that_are_no_mvtec_categories_are_noted(tmp_path):
    """Hidden ones are not even that; without any category the folders found are named."""
    write_category(tmp_path / "screw")
    touch_some(tmp_path / "figures", 2)
    touch_some(tmp_path / ".cache" / "train" / "good", 12)
    dataset = read_dataset(tmp_path, "mvtec")
    assert [task.name for task in dataset.tasks] == ["screw"]
    (note,) = dataset.notes
    assert note == "Folders with neither train nor test are no categories and were left out: figures."
    said = message(tmp_path / "figures", "mvtec")
    assert "no CATEGORY/train/good in it; its folders are: none." in said
    assert "its folders are: 1, 2, 3 and 1 more." in message(
        write_classes(tmp_path / "numbers", **{str(i): 1 for i in range(1, 5)}), "mvtec"
    )


def test_files_that_cannot_serve_are_refused_by_their_path(tmp_path):
    """Links that lead nowhere or out of the root, where they would have been read; a mask is not."""
    screw = write_category(tmp_path / "data" / "screw")
    outside = write_category(tmp_path / "elsewhere" / "pill")
    for place in ("train/good", "test/crack", "ground_truth/crack"):
        (screw / place / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "data" / "pill").symlink_to(outside)
    dataset = read_dataset(tmp_path / "data", "mvtec")
    assert {refusal.name: refusal.code for refusal in dataset.refused} == {
        "pill": "link_outside",
        "screw/test/crack/gone.png": "broken_link",
        "screw/train/good/gone.png": "broken_link",
    }
    (task,) = dataset.tasks
    assert (len(task.support), len(task.anomalous["crack"])) == (12, 2)


def test_names_that_are_not_utf8_are_escaped(tmp_path):
    """A defect's folder in Latin-1 is an out-class that can be printed."""
    screw = write_category(tmp_path / "screw")
    touch(screw / "test", os.fsdecode(b"f\xe9l\xe9/0.png"))
    (task,) = read_dataset(tmp_path, "mvtec").tasks
    assert list(task.anomalous) == ["crack", "f\\xe9l\\xe9"]
    assert names(task.anomalous["f\\xe9l\\xe9"]) == ["screw/test/f\\xe9l\\xe9/0.png"]


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path, monkeypatch):
    """Figures over fewer categories than there are would not be comparable."""
    write_category(tmp_path / "screw")
    write_category(tmp_path / "secret")
    listed = Path.iterdir

    def forbidden(self):
        if self.name == "secret":
            raise PermissionError(13, "Permission denied")
        return listed(self)

    monkeypatch.setattr(Path, "iterdir", forbidden)
    assert "secret: the folder cannot be read (Permission denied)" in message(tmp_path, "mvtec")


# --- visa -----------------------------------------------------------------------------------------------


def test_visa_is_read_by_its_list(tmp_path):
    """Normal training photos, normal and anomalous test photos; masks and unlisted photos are ignored."""
    write_visa(tmp_path)
    touch(tmp_path, "candle/Data/Images/Normal/unlisted.JPG", "LICENSE-DATASET")
    dataset = read_dataset(tmp_path, "visa")
    assert [(t.name, t.part_name, t.group) for t in dataset.tasks] == [
        ("candle", "candle", None),
        ("pipe_fryum", "pipe fryum", None),
    ]
    candle = dataset.tasks[0]
    assert names(candle.support) == [f"candle/Data/Images/Normal/{i:04d}.JPG" for i in range(2, 14)]
    assert names(candle.good) == [f"candle/Data/Images/Normal/{i:04d}.JPG" for i in range(2)]
    assert {kind: names(photos) for kind, photos in candle.anomalous.items()} == {
        "anomaly": [f"candle/Data/Images/Anomaly/{i:03d}.JPG" for i in range(2)]
    }
    assert dataset.notes == (visa.NOTE,)


def test_visa_without_its_list_may_be_in_the_form_of_mvtec(tmp_path):
    """The message says which layout that is."""
    write_category(tmp_path / "candle")
    said = message(tmp_path, "visa")
    assert "1cls.csv: there is no such file" in said and "use --layout mvtec" in said


@pytest.mark.parametrize(
    ("line", "row", "expected"),
    [
        (1, "object,split,label,path", "the columns object, split, label, image"),
        (3, "candle,val,normal,candle/Data/Images/Normal/0003.JPG,", "split/label of train/normal"),
        (3, "candle,train,anomaly,candle/Data/Images/Anomaly/000.JPG,", "split/label of train/normal"),
        (3, "candle,train,normal", "and image"),
        (3, ",train,normal,candle/Data/Images/Normal/0003.JPG,", "expected object"),
    ],
)
def test_a_wrong_row_of_visa_is_named(tmp_path, line, row, expected):
    """File, line, what was expected and what is there."""
    write_visa(tmp_path)
    change_line(tmp_path / "split_csv" / "1cls.csv", line, row)
    said = message(tmp_path, "visa")
    assert f"1cls.csv, line {line}: expected " in said and expected in said


def test_a_list_that_is_no_table_is_refused(tmp_path):
    """A quote without its end, other bytes than text, a header alone, a folder in the list's place."""
    write_visa(tmp_path)
    table = tmp_path / "split_csv" / "1cls.csv"
    rows = table.read_text(encoding="utf-8")
    table.write_text(rows + '"candle,test', encoding="utf-8")
    assert "1cls.csv, line 34: no comma-separated values" in message(tmp_path, "visa")
    table.write_bytes(b"object,split\xff\xfe")
    assert "1cls.csv: byte 12 is not UTF-8" in message(tmp_path, "visa")
    write_lines(table, ["object,split,label,image,mask"])
    assert "names no photo" in message(tmp_path, "visa")
    table.write_bytes(b"")
    assert "line 1: expected the columns" in message(tmp_path, "visa")
    table.unlink()
    table.mkdir()
    assert "there is no such file" in message(tmp_path, "visa")


def test_a_byte_order_mark_is_no_part_of_a_column(tmp_path):
    """Spreadsheets put one before the first."""
    write_visa(tmp_path)
    table = tmp_path / "split_csv" / "1cls.csv"
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes())
    assert len(read_dataset(tmp_path, "visa").tasks) == 2


def test_listed_photos_that_are_not_there_are_counted(tmp_path):
    """The first three are named, with their lines."""
    write_visa(tmp_path)
    for i in range(3, 8):
        (tmp_path / "candle" / "Data" / "Images" / "Normal" / f"{i:04d}.JPG").unlink()
    said = message(tmp_path, "visa")
    assert "5 of 32 listed photos are not there: candle/Data/Images/Normal/0003.JPG" in said
    assert "(split_csv/1cls.csv, line 3)" in said and said.count(".JPG") == 3 and "and 2 more" in said
    assert [t.name for t in read_dataset(tmp_path, "visa", tasks=["pipe_fryum"]).tasks] == ["pipe_fryum"]


@pytest.mark.parametrize("path", ["../candle/0.JPG", "/etc/passwd", "candle/../../x.JPG"])
def test_a_list_does_not_lead_out_of_the_root(tmp_path, path):
    """Even where the file is there."""
    write_visa(tmp_path, lines=[f"candle,test,normal,{path},"])
    said = message(tmp_path, "visa")
    assert f"1cls.csv, line 34 names {path!r}, which leads out of the folder" in said


def test_a_photo_that_is_listed_twice_is_refused(tmp_path):
    """It would be both chosen from and judged by; both lines are named."""
    twice = "candle/Data/Images/Normal/0005.JPG"
    write_visa(tmp_path, lines=[f"candle,test,normal,{twice},"])
    said = message(tmp_path, "visa")
    assert (
        f"1 photo listed twice: {twice} (split_csv/1cls.csv, line 5 and split_csv/1cls.csv, line 34)" in said
    )


def test_a_listed_photo_that_cannot_serve_is_refused_by_name(tmp_path):
    """It is left out; one that no list names is not spoken of."""
    write_visa(tmp_path)
    normal = tmp_path / "candle" / "Data" / "Images" / "Normal"
    (normal / "0000.JPG").unlink()
    for name in ("0000.JPG", "unlisted.JPG"):
        (normal / name).symlink_to(tmp_path / "gone.JPG")
    dataset = read_dataset(tmp_path, "visa")
    assert names(dataset.tasks[0].good) == ["candle/Data/Images/Normal/0001.JPG"]
    assert [refusal.name for refusal in dataset.refused] == ["candle/Data/Images/Normal/0000.JPG"]


def test_all_that_visa_categories_lack_is_in_one_message(tmp_path):
    """Too few to choose from, none to judge by."""
    write_visa(tmp_path)
    table = tmp_path / "split_csv" / "1cls.csv"
    kept = [line for line in table.read_text(encoding="utf-8").splitlines() if "candle,test" not in line]
    write_lines(table, [line for line in kept if "fryum,train" not in line or "0005" in line])
    said = message(tmp_path, "visa")
    assert "  candle, test normal: no photo to judge by" in said
    assert "  candle, test anomaly: no photo to judge by" in said
    assert "  pipe_fryum, train normal: 1 photo to choose from, at least 10 are needed" in said


# --- cub ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inside", [False, True])
def test_cub_is_one_vs_rest_by_its_lists(tmp_path, inside):
    """From the folder that the archive makes, or the one around it."""
    folder = write_cub(tmp_path)
    dataset = read_dataset(folder if inside else tmp_path, "cub")
    prefix = "" if inside else "CUB_200_2011/"
    assert [(t.name, t.part_name) for t in dataset.tasks] == [
        ("001.Black_footed_Albatross", "Black footed Albatross"),
        ("002.Laysan_Albatross", "Laysan Albatross"),
        ("003.Sooty_Albatross", "Sooty Albatross"),
    ]
    first, second, _ = dataset.tasks
    place = f"{prefix}images/001.Black_footed_Albatross/Black_footed_Albatross"
    assert names(first.good) == [f"{place}_0098_1.jpg", f"{place}_0099_0.jpg"]
    assert names(first.support) == [f"{place}_{99 - i:04d}_{i}.jpg" for i in range(12, 1, -1)]
    assert list(first.anomalous) == ["002.Laysan_Albatross", "003.Sooty_Albatross"]
    assert first.anomalous["002.Laysan_Albatross"] == second.good
    assert second.anomalous["001.Black_footed_Albatross"] == first.good
    assert (dataset.part_noun, dataset.styles, dataset.contents) == ("bird", 10, 10)
    assert dataset.notes == (cub.NOTE,)


@pytest.mark.parametrize(
    "name", ["images.txt", "classes.txt", "image_class_labels.txt", "train_test_split.txt"]
)
def test_every_list_of_cub_is_needed(tmp_path, name):
    """Missing or empty: its name is in the message."""
    folder = write_cub(tmp_path)
    (folder / name).write_bytes(b"")
    assert f"{name}: is empty" in message(tmp_path, "cub")
    (folder / name).unlink()
    assert f"{name}: there is no such file" in message(tmp_path, "cub")


@pytest.mark.parametrize(
    ("name", "line", "text", "expected"),
    [
        ("images.txt", 4, "4", "expected ID CLASS/PHOTO, found '4'"),
        ("images.txt", 4, "four 001/a.jpg", "expected ID CLASS/PHOTO"),
        ("images.txt", 4, "3 001.Black_footed_Albatross/a.jpg", "expected each ID once (3 came before)"),
        ("image_class_labels.txt", 5, "5 4", "expected a class of classes.txt, found '4'"),
        ("image_class_labels.txt", 5, "5 1 2", "expected a class of classes.txt, found '1 2'"),
        ("train_test_split.txt", 6, "6 2", "expected 1 (training) or 0 (test), found '2'"),
        ("classes.txt", 2, "", "expected ID CLASS, found ''"),
        ("classes.txt", 3, "3 002.Laysan_Albatross", "expected each class once, found"),
    ],
)
def test_a_wrong_line_of_cub_is_named(tmp_path, name, line, text, expected):
    """File, line, what was expected and what is there."""
    change_line(write_cub(tmp_path) / name, line, text)
    said = message(tmp_path, "cub")
    assert f"{name}, line {line}: " in said and expected in said


@pytest.mark.parametrize("name", ["image_class_labels.txt", "train_test_split.txt"])
def test_lists_of_cub_that_number_other_photos_are_refused(tmp_path, name):
    """Whichever has more."""
    path = write_cub(tmp_path) / name
    lines = path.read_text(encoding="utf-8").splitlines()
    write_lines(path, lines[:-1])
    assert f"{name}: has other photos than images.txt, the IDs 39 are in one" in message(tmp_path, "cub")
    write_lines(path, [*lines, "40 1", "41 1", "42 1", "43 1"])
    assert "the IDs 40, 41, 42 and 1 more are in one of them only" in message(tmp_path, "cub")


def test_photos_of_cub_must_be_there_once_and_inside(tmp_path):
    """As of every list."""
    images = write_cub(tmp_path) / "images.txt"
    lines = images.read_text(encoding="utf-8").splitlines()
    change_line(images, 2, f"2 {lines[0].split()[1]}")
    assert "1 photo listed twice" in message(tmp_path, "cub")
    change_line(images, 2, "2 001.Black_footed_Albatross/gone.jpg")
    assert "1 of 39 listed photos are not there" in message(tmp_path, "cub")
    change_line(images, 2, "2 ../../../a.jpg")
    assert "images.txt, line 2 names 'CUB_200_2011/images/../../../a.jpg', which leads out" in message(
        tmp_path, "cub"
    )


# --- flowers --------------------------------------------------------------------------------------------


def test_flowers_are_one_vs_rest_by_their_lists(tmp_path):
    """Support is the training list, X_in the validation list; names come from the table."""
    labels, sets = write_flowers(tmp_path)
    dataset = read_dataset(tmp_path, "flowers")
    assert [(t.name, t.part_name) for t in dataset.tasks] == [
        ("blackberry lily", "blackberry lily"),
        ("pink primrose", "pink primrose"),
        ("pink-yellow dahlia?", "pink-yellow dahlia"),
    ]
    tasks = by_name(dataset)
    for label, task in ((1, tasks["pink primrose"]), (102, tasks["blackberry lily"])):
        for name, photos in (("trnid", task.support), ("valid", task.normals), ("tstid", task.good)):
            numbers = sorted(int(n) for n in sets[name][0] if labels[n - 1] == label)
            assert names(photos) == [f"jpg/image_{n:05d}.jpg" for n in numbers]
    primrose = tasks["pink primrose"]
    assert (len(primrose.support), len(primrose.normals), len(primrose.good)) == (10, 3, 2)
    assert list(primrose.anomalous) == ["blackberry lily", "pink-yellow dahlia?"]
    assert primrose.anomalous["blackberry lily"] == tasks["blackberry lily"].good
    assert (dataset.part_noun, dataset.styles, dataset.contents) == ("flower", 5, 5)
    assert dataset.notes == (flowers.NOTE,) and "validation list" in flowers.NOTE


def test_there_are_102_names_of_flowers():
    """Distinct, without stray spaces, in the order of the labels."""
    assert len(set(FLOWER_NAMES)) == len(FLOWER_NAMES) == 102
    assert all(name == name.strip() for name in FLOWER_NAMES)
    known = {
        1: "pink primrose",
        12: "colt's foot",
        54: "sunflower",
        77: "passion flower",
        102: "blackberry lily",
    }
    assert {label: FLOWER_NAMES[label - 1] for label in known} == known


def test_numbers_may_be_doubles(tmp_path):
    """MATLAB's own type, which a file written again has."""
    labels, sets = write_flowers(tmp_path)
    before = read_dataset(tmp_path, "flowers")
    savemat(tmp_path / "imagelabels.mat", {"labels": labels.astype(float)[:, None]})
    savemat(tmp_path / "setid.mat", {name: numbers.astype(float) for name, numbers in sets.items()})
    assert read_dataset(tmp_path, "flowers") == before


def test_flowers_without_scipy_name_the_extra(tmp_path, monkeypatch):
    """The only layout that needs it."""
    write_flowers(tmp_path)
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    said = message(tmp_path, "flowers", error=UsageError)
    assert "scipy" in said and "pip install 'goodparts[replay]'" in said


@pytest.mark.parametrize("name", ["imagelabels.mat", "setid.mat"])
def test_a_broken_matlab_file_is_refused(tmp_path, name):
    """Missing, empty, cut anywhere, of another kind, or of MATLAB 7.3: its name is in the message."""
    write_flowers(tmp_path)
    path = tmp_path / name
    whole = path.read_bytes()
    other_version = whole[:124] + b"\x00\x02" + whole[126:]
    cut = [whole[:length] for length in (1, 60, 127, 129, 140, 170, len(whole) - 8)]
    for data in (b"", b"x" * 4096, b"\x89HDF\r\n\x1a\n" + bytes(600), other_version, *cut):
        path.write_bytes(data)
        assert f"{name}: " in message(tmp_path, "flowers")
    savemat(path, {"other": [1]})
    assert f"{name}: does not hold " in message(tmp_path, "flowers")
    path.unlink()
    assert f"{name}: there is no such file" in message(tmp_path, "flowers")


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (np.array([[0, 1]], np.uint8), "1 values are not, the first is 0"),
        (np.array([[103, 104]], np.uint8), "2 values are not, the first is 103"),
        (np.array([[1.5]]), "the first is 1.5"),
        (np.array([[np.nan]]), "the first is nan"),
        (np.array([["one"]]), "found 1 values of type <U3"),
        (np.zeros((1, 0), np.uint8), "found 0 values"),
    ],
)
def test_labels_that_are_no_classes_are_refused(tmp_path, values, found):
    """The range, how many are outside and the first."""
    write_flowers(tmp_path)
    savemat(tmp_path / "imagelabels.mat", {"labels": values})
    said = message(tmp_path, "flowers")
    assert "imagelabels.mat, labels: expected whole numbers from 1 to 102, the number of classes" in said
    assert found in said


def test_lists_of_flowers_that_do_not_fit_are_refused(tmp_path):
    """A number without a label, one in two lists, a photo that is not there."""
    _, sets = write_flowers(tmp_path)
    savemat(tmp_path / "setid.mat", sets | {"tstid": np.array([[45, 46]], np.uint16)})
    assert (
        "setid.mat, tstid: expected whole numbers from 1 to 45, the number of labelled photos; 1 values"
        in (message(tmp_path, "flowers"))
    )
    both = sets["trnid"][0, 0]
    savemat(tmp_path / "setid.mat", sets | {"tstid": np.append(sets["tstid"], both)[None]})
    said = message(tmp_path, "flowers")
    assert f"1 photo listed twice: jpg/image_{both:05d}.jpg (setid.mat, trnid and setid.mat, tstid)" in said
    savemat(tmp_path / "setid.mat", sets)
    (tmp_path / "jpg" / f"image_{both:05d}.jpg").unlink()
    assert "1 of 45 listed photos are not there" in message(tmp_path, "flowers")


def test_all_flowers_with_too_few_photos_are_named(tmp_path):
    """With the counts of their lists."""
    labels, sets = write_flowers(tmp_path, train=9)
    savemat(tmp_path / "setid.mat", sets | {"tstid": sets["tstid"][labels[sets["tstid"] - 1] == 1][None]})
    said = message(tmp_path, "flowers")
    for name in ("blackberry lily", "pink primrose", "pink-yellow dahlia?"):
        assert f"  {name}: 9 photos to choose from, at least 10 are needed\n" in said
        lacks_test = f"  {name}: no photo to judge by, at least 1 is needed\n" in said
        assert lacks_test == (name != "pink primrose")


# --- classes --------------------------------------------------------------------------------------------


def test_half_of_each_class_is_to_choose_from(tmp_path):
    """The halves are all of the class, an odd photo is one more for the choice, the note says the counts."""
    write_classes(tmp_path, daisy=20, lily_of_the_valley=21, tulip=24)
    dataset = read_dataset(tmp_path, "classes")
    tasks = by_name(dataset)
    assert {t.name: (len(t.support), len(t.good)) for t in dataset.tasks} == {
        "daisy": (10, 10),
        "lily_of_the_valley": (11, 10),
        "tulip": (12, 12),
    }
    for task in dataset.tasks:
        files = sorted(path.name for path in (tmp_path / task.name).iterdir())
        assert sorted(names([*task.support, *task.good])) == [f"{task.name}/{name}" for name in files]
    assert tasks["lily_of_the_valley"].part_name == "lily of the valley"
    assert dict(tasks["daisy"].anomalous) == {
        "lily_of_the_valley": tasks["lily_of_the_valley"].good,
        "tulip": tasks["tulip"].good,
    }
    (note,) = dataset.notes
    assert "Goodparts' own" in note and "10 to 12 photos are to choose from and 10 to 12 to judge by" in note


def test_the_split_is_fixed_and_a_class_s_own(tmp_path):
    """Neither another root nor other classes beside it change what is drawn; no two classes draw alike."""
    first = by_name(read_dataset(write_classes(tmp_path / "a", daisy=20, tulip=20), "classes"))
    other = by_name(read_dataset(write_classes(tmp_path / "b", daisy=20, aster=30), "classes"))
    assert names(first["daisy"].support) == names(other["daisy"].support)
    drawn = {name: [Path(photo).name for photo in names(task.support)] for name, task in first.items()}
    assert drawn["daisy"] != drawn["tulip"]
    assert drawn["daisy"] == [f"{i:03d}.jpg" for i in DAISY]


# Written down once: a split that changed between versions would make figures incomparable.
DAISY = (7, 8, 9, 10, 12, 14, 15, 16, 17, 18)


def test_all_classes_with_too_few_photos_are_named(tmp_path):
    """With their counts; as out-classes alone small ones serve, empty ones do not."""
    write_classes(tmp_path, aster=19, bellis=18, crocus=1, daisy=20)
    (tmp_path / "empty").mkdir()
    said = message(tmp_path, "classes")
    assert [line.strip() for line in said.splitlines()[1:-1]] == [
        "bellis: 9 photos to choose from, at least 10 are needed",
        "crocus: 1 photo to choose from, at least 10 are needed",
        "crocus: no photo to judge by, at least 1 is needed",
        "empty: 0 photos to choose from, at least 10 are needed",
        "empty: no photo to judge by, at least 1 is needed",
    ]
    assert f"each class has at least {classes.FEWEST}" in said
    touch_some(tmp_path / "crocus", 2, suffix="jpg")
    (tmp_path / "empty").rmdir()
    (daisy,) = read_dataset(tmp_path, "classes", tasks=["daisy"]).tasks
    assert {name: len(photos) for name, photos in daisy.anomalous.items()} == {
        "aster": 9,
        "bellis": 9,
        "crocus": 1,
    }


def test_one_class_or_none_is_refused(tmp_path):
    """There is nothing to tell it from."""
    write_classes(tmp_path, daisy=20)
    assert "1 class, at least 2 are needed" in message(tmp_path, "classes")
    assert "holds 20 photos but no folders" in message(tmp_path / "daisy", "classes")


def test_sets_of_another_layout_are_not_mixed_into_a_class(tmp_path):
    """Anomalous photos and masks would be learned as good ones."""
    write_category(tmp_path / "screw")
    write_classes(tmp_path, daisy=20)
    said = message(tmp_path, "classes")
    assert "screw/test: 5 photos below the folder of the class" in said
    assert "screw/train: 12 photos" in said and "mvtec" in said and "daisy" not in said


def test_run_folders_and_leftovers_are_no_classes(tmp_path):
    """What calibrations and file servers put beside the classes."""
    write_classes(tmp_path, daisy=20, tulip=20)
    touch(tmp_path / "run", "scores.csv", "anomalies/0.png")
    touch(tmp_path, ".git/a.png", "@eaDir/b.jpg", "contact_sheet.jpg", "README.md")
    assert list(by_name(read_dataset(tmp_path, "classes"))) == ["daisy", "tulip"]


# --- one against all others -------------------------------------------------------------------------------


def many_classes(count):
    photos = tuple(
        PhotoFile(path=Path(f"/{i}"), name=f"{i}", name_b64=None, is_link=False) for i in range(10)
    )
    return [
        LabelledClass(name=f"{i:03d}", part_name="", support=photos, judged=(*photos,)) for i in range(count)
    ]


def tasks_of(count):
    tree = PhotoTree(root=Path("r"), place=Path("/r"), photos={}, refused=())
    return one_vs_rest(tree, many_classes(count), (), layout="classes", advice="")


def memory_of(count):
    tracemalloc.start()
    try:
        kept = tasks_of(count)
        return tracemalloc.get_traced_memory()[0], len(kept)
    finally:
        tracemalloc.stop()


def test_out_classes_are_all_classes_but_ones_own():
    """As a mapping: its length, its keys, its values, and no key of the class itself."""
    tasks = tasks_of(5)
    others = tasks[2].anomalous
    assert (len(others), list(others)) == (4, ["000", "001", "003", "004"])
    assert others == {name: tasks[int(name)].good for name in others}
    assert "002" not in others and "005" not in others and others.get("002") is None
    with pytest.raises(KeyError):
        others["002"]


def test_tasks_share_the_photos_of_their_out_classes():
    """Four times the classes take four times the memory, not sixteen times."""
    tasks = tasks_of(200)
    assert all(task.anomalous["007"] is tasks[7].good for task in tasks if task.name != "007")
    memory_of(10)  # what is loaded at first use does not count
    (small, _), (large, count) = memory_of(100), memory_of(400)
    assert count == 400
    assert large < 5 * small


# --- the data at hand -------------------------------------------------------------------------------------


def data_folder(name):
    data = os.environ.get("GOODPARTS_DATA")
    if not data:
        pytest.skip("set GOODPARTS_DATA to a folder with inspection/ and natural/")
    folder = Path(data) / name
    if not folder.is_dir():
        pytest.skip(f"GOODPARTS_DATA holds no {name}/")
    return folder


@pytest.mark.parametrize(("name", "layout"), [("inspection", "mvtec"), ("natural", "classes")])
def test_labelled_data_is_read_whole(name, layout):
    """Every photo of the folder is in one place of one task, or an out-class's; none is refused."""
    folder = data_folder(name)
    dataset = read_dataset(folder, layout)
    assert dataset.refused == ()
    found = {photo.name for task in dataset.tasks for photo in photos_of(task)}
    suffixes = {".png", ".jpg", ".jpeg"}
    depth = 4 if layout == "mvtec" else 2
    on_disk = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes and len(path.relative_to(folder).parts) == depth
    }
    assert found == on_disk and len(found) > 0
    assert [task.name for task in dataset.tasks] == sorted(p.name for p in folder.iterdir() if p.is_dir())


def test_drawn_parts_serve_as_well_as_published_ones(tmp_path):
    """Real pictures, so that what a layout hands on can be opened."""
    for place, count in (("train/good", 10), ("test/good", 2), ("test/dent", 2)):
        write_parts(tmp_path / "gear" / place, count, size_px=16)
    (task,) = read_dataset(tmp_path, "mvtec").tasks
    assert all(photo.path.read_bytes().startswith(b"\x89PNG") for photo in photos_of(task))


@pytest.mark.parametrize(("photos", "side"), [(20, 5), (59, 10), (60, 10), (58, 5)])
def test_few_photos_a_class_make_the_papers_smaller_protocol(tmp_path: Path, photos: int, side: int) -> None:
    """5 + 5 as on Flowers-102, unless 30 photos of each class are there to choose from."""
    for name, count in (("daisy", photos), ("tulip", 70)):
        (tmp_path / name).mkdir()
        for number in range(count):
            (tmp_path / name / f"{number:03d}.png").write_bytes(b"")
    dataset = read_dataset(tmp_path, "classes")
    assert (dataset.styles, dataset.contents) == (side, side)


def test_what_the_intakes_settings_say_of_files_holds(tmp_path):
    """Linked categories, sets and photos serve where links are followed; ignored names nowhere."""
    elsewhere, data = tmp_path / "elsewhere", tmp_path / "data"
    whole, parts = write_category(elsewhere / "whole", train=13), write_category(elsewhere / "parts")
    (data / "parts" / "train").mkdir(parents=True)
    (data / "parts" / "test" / "good").mkdir(parents=True)
    (data / "linked").symlink_to(whole)
    for folder in ("train/good", "test/crack"):
        (data / "parts" / folder).symlink_to(parts / folder)
    for photo in (parts / "test" / "good").iterdir():
        (data / "parts" / "test" / "good" / photo.name).symlink_to(photo)
    with pytest.raises(ImagesError, match=r"holds no photos.*a link that leaves the folder"):
        read_dataset(data, "mvtec")
    dataset = read_dataset(data, "mvtec", follow_links=True, ignore=["012.png", "parts/test/good/002.*"])
    found = {
        name: (len(t.support), len(t.good), len(t.anomalous["crack"])) for name, t in by_name(dataset).items()
    }
    assert found == {"linked": (12, 3, 2), "parts": (12, 2, 2)}
