from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from appliance.errors import ConfigurationError, UsageError
from appliance.generators import GENERATORS, select
from appliance.prompt_texts import SLUGS
from appliance.setting_schema import documentation, with_examples
from appliance.settings import (
    DOCUMENTED_FILE,
    STATION_NAME,
    EncoderSettings,
    GeneratorsSettings,
    IntakeSettings,
    PromptSettings,
    Settings,
    StationSettings,
    check,
    default_settings,
    load,
    minimal_yaml,
    schema,
)


def write(folder: Path, text: str) -> Path:
    path = folder / "box.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(folder: Path, text: str) -> list[str]:
    """The problems of a file, without its path."""
    path = write(folder, text)
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    assert all(problem.startswith(f"{path}:") for problem in caught.value.problems)
    return [problem.removeprefix(f"{path}:") for problem in caught.value.problems]


# text, line:column, key, what the message says
WRONG = [
    ("seed: 1e3\n", "1:7", "seed", "1e3 is not allowed: a whole number from 0 to 4294967295; write 1000"),
    ("seed: -1\n", "1:7", "seed", "-1 is not allowed: a whole number from 0 to"),
    ("seed: 4294967296\n", "1:7", "seed", "4294967296 is not allowed"),
    ("seed: true\n", "1:7", "seed", "true is not allowed: a whole number"),
    ("seed: 2.0\n", "1:7", "seed", "write 2"),
    ('seed: "7"\n', "1:7", "seed", '"7" is not allowed: a whole number from 0 to 4294967295; write 7'),
    ("seed:\n", "1:6", "seed", "nothing is not allowed: a whole number"),
    ("seed: [1]\n", "1:7", "seed", "a list is not allowed: a whole number"),
    ("seeds: 1\n", "1:1", "seeds", "no such setting; did you mean seed?"),
    (
        "part_name: no\n",
        "1:12",
        "part_name",
        "no is not allowed: text of 1 to 200 letters; to YAML no is false: put",
    ),
    ("part_name: 12\n", "1:12", "part_name", "to YAML 12 is a number: put it in quotes"),
    ('part_name: ""\n', "1:12", "part_name", '"" is not allowed: text of 1 to 200 letters'),
    (
        "images: off\n",
        "1:9",
        "images",
        "off is not allowed: a path or null; to YAML off is false: put it in quotes",
    ),
    ('images: ""\n', "1:9", "images", '"" is not allowed: a path'),
    ("state_dir: {a: 1}\n", "1:12", "state_dir", "a map is not allowed: a path"),
    ("engines: cpu\n", "1:10", "engines", "cpu is not allowed: a map of device, folders, threads"),
    ("engines:\n  device: cudaa\n", "2:11", "engines.device", "one of auto, cuda, cpu; did you mean cuda?"),
    (
        "engines: {threads: 1.5}\n",
        "1:20",
        "engines.threads",
        "1.5 is not allowed: a whole number from 0 to 256",
    ),
    (
        "engines: {folders: [a, 3]}\n",
        "1:24",
        "engines.folders[1]",
        "3 is not allowed: a path; to YAML 3 is a number",
    ),
    ("engines: {folders: a}\n", "1:20", "engines.folders", "a is not allowed: a list, each a path"),
    ("mqtt: {qqq: 80}\n", "1:8", "mqtt.qqq", "this section has no settings yet"),
    ("http: {port: 0}\n", "1:14", "http.port", "0 is not allowed: a whole number from 1 to 65535"),
    (
        "recalibration: {schedule: 5 5 5 5 5 5}\n",
        "1:27",
        "recalibration.schedule",
        "5 5 5 5 5 5 is not allowed: five fields, minute, hour, day, month and weekday",
    ),
    (
        'recalibration: {schedule: "61 5 * * *"}\n',
        "1:27",
        "recalibration.schedule",
        "is not allowed: five fields",
    ),
    (
        "recalibration: {time_zone: Europe/Bärlin}\n",
        "1:28",
        "recalibration.time_zone",
        "Europe/Bärlin is not allowed: the name of a time zone",
    ),
    (
        'recalibration: {quiet_hours: ["6:00-22:00"]}\n',
        "1:31",
        "recalibration.quiet_hours[0]",
        "two times of day in quotes",
    ),
    (
        'recalibration: {quiet_hours: ["06:00-18:00", "18:00-06:00"]}\n',
        "1:30",
        "recalibration.quiet_hours",
        "no calibration could ever begin",
    ),
    (
        "images: good\nscoring: {images: good/new}\n",
        "2:19",
        "scoring.images",
        "would be learned as good parts",
    ),
    ("margin: 0.1\n", "1:1", "margin", "did you mean decision.margin?"),
    ("qqq: 0.1\n", "1:1", "qqq", "no such setting; here may stand images, part_name"),
    (
        "intake:\n  minimum: 5\n",
        "2:12",
        "intake.minimum",
        "5 is not allowed: a whole number from 10 to 100000",
    ),
    ("intake: {minimum: 50, maximum: 40}\n", "1:32", "intake.maximum", "40 is below intake.minimum, 50"),
    ("intake: {minimum: 500}\n", "1:19", "intake.minimum", "400 is below intake.minimum, 500"),
    (
        'intake: {follow_links: "yes"}\n',
        "1:24",
        "intake.follow_links",
        "true or false; write true, without quotes",
    ),
    ("intake: {follow_links: 0}\n", "1:24", "intake.follow_links", "write false, without quotes"),
    ("intake: {minimun: 20}\n", "1:10", "intake.minimun", "did you mean minimum?"),
    ("region: [1, 2, 30]\n", "1:9", "region", "too short: a list [x, y, width, height]"),
    ("region: [1, 2, 30, 40, 50]\n", "1:9", "region", "a list is not allowed: a list [x, y, width, height]"),
    ("region: [1, 2, 30, 4]\n", "1:20", "region[3]", "4 is not allowed: a whole number from 8"),
    ("detectors: {encoders: [{name: a}]}\n", "1:24", "detectors.encoders[0].path", "missing: a path"),
    (
        "detectors:\n  encoders:\n  - {name: a, path: x}\n  - {name: a, path: y}\n",
        "4:12",
        "detectors.encoders[1].name",
        "a is the name of an earlier encoder",
    ),
    (
        "detectors:\n  prompts:\n  - {name: a, normal: x, abnormal: y}\n"
        "  - {name: a, normal: y, abnormal: x}\n",
        "4:12",
        "detectors.prompts[1].name",
        "a is the name of an earlier prompt",
    ),
    (
        "detectors: {prompts: [{name: dark, normal: x, abnormal: y}]}\n",
        "1:30",
        "detectors.prompts[0].name",
        "dark is one of the ten built-in prompts, photo, cropped, dark,",
    ),
    (
        "detectors: {prompts: [{name: Deep scratch, normal: x, abnormal: y}]}\n",
        "1:30",
        "detectors.prompts[0].name",
        "Deep scratch is not allowed: small letters, digits, '_' and '-', the first",
    ),
    (
        "detectors: {prompts: [{name: a, normal: x, abnormal: x}]}\n",
        "1:54",
        "detectors.prompts[0].abnormal",
        "x is also the normal text",
    ),
    (
        'detectors: {prompts: [{name: a, normal: "a {part}", abnormal: x}]}\n',
        "1:41",
        "detectors.prompts[0].normal",
        '"a {part}" is not allowed: text of 1 to 200 letters, in which {} stands for part_name and no other',
    ),
    (
        "detectors: {prompts: [{name: a, normal: x}]}\n",
        "1:23",
        "detectors.prompts[0].abnormal",
        "missing: text of 1 to 200 letters",
    ),
    (
        "detectors: {prompts: [{name: a, normal: x, abnormal: no}]}\n",
        "1:54",
        "detectors.prompts[0].abnormal",
        "to YAML no is false: put it in quotes",
    ),
    (
        "detectors: {encoders: [{name: a, path: x, std: [1, 0, 1]}]}\n",
        "1:52",
        "detectors.encoders[0].std[1]",
        "0 is not allowed: a number above 0",
    ),
    (
        "generators: {cutpaste: {gamma: 1}}\n",
        "1:25",
        "generators.cutpaste.gamma",
        "did you mean generators.diffstyle_g",
    ),
    (
        "generators: {diffstyle_global: {gamma: .nan}}\n",
        "1:40",
        "generators.diffstyle_global.gamma",
        ".nan is not allowed",
    ),
    (
        "generators: {diffstyle_local: {extent: [0.5, 0.1]}}\n",
        "1:40",
        "generators.diffstyle_local.extent",
        "a list is not allowed: a list [faint, plain] of two rising numbers",
    ),
    ("generators: {perlin: {enabled: maybe}}\n", "1:32", "generators.perlin.enabled", "true or false"),
    ("folds: {count: 3}\n", "1:16", "folds.count", "3 is not allowed: a multiple of 2 from 2 to 50"),
    ("decision: {fallback: 3}\n", "1:22", "decision.fallback", "put it in quotes"),
    ("threshold: {max_false_reject_rate: 5%}\n", "1:36", "threshold.max_false_reject_rate", "write 0.05"),
    ('threshold: {confidence: "0,95"}\n', "1:25", "threshold.confidence", "write 0.95"),
    ("threshold: {confidence: .inf}\n", "1:25", "threshold.confidence", "a number from 0.5 to 0.999"),
    ("stations: 3\n", "1:11", "stations", "3 is not allowed: a list, each a map of settings"),
    ("stations: [3]\n", "1:12", "stations[0]", "3 is not allowed: a map of settings"),
    ("stations:\n- images: x\n", "2:3", "stations[0].name", "missing: small letters, digits"),
    ("stations:\n- name: Gear top\n", "2:9", "stations[0].name", "Gear top is not allowed: small letters"),
    (
        "stations:\n- name: a\n- name: b\n- name: a\n",
        "4:9",
        "stations[2].name",
        "the name of an earlier station",
    ),
    ("stations:\n- {name: a, http: {}}\n", "2:13", "stations[0].http", "did you mean http at the top level?"),
    (
        "stations:\n- {name: a, images: x}\n- {name: b, images: ./x}\n",
        "3:21",
        "stations[1].images",
        "serves an earlier station with the same region",
    ),
    (
        "intake: {minimum: 30}\nstations:\n- {name: a, intake: {maximum: 20}}\n",
        "3:31",
        "stations[0].intake.maximum",
        "30",
    ),
]


@pytest.mark.parametrize(("text", "place", "key", "said"), WRONG)
def test_each_problem_says_where_which_what_and_what_instead(
    text: str, place: str, key: str, said: str, tmp_path: Path
) -> None:
    """One mistake gives one line: line, column, key, value, what is allowed, and what was probably meant."""
    (problem,) = problems_of(tmp_path, text)
    assert problem.startswith(f"{place}: {key}: "), problem
    assert said in problem


def test_a_fraction_is_not_proposed_for_a_whole_number(tmp_path: Path) -> None:
    """A hint is a value that would be allowed in kind."""
    (problem,) = problems_of(tmp_path, "engines: {threads: 1.5}")
    assert "write" not in problem


def test_all_problems_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    """Repeated keys, traps of YAML, unknown keys and wrong values of all stations come together."""
    text = (
        "seed: 1\nseed: 2\npart_name: 12:30\nintake: {minimum: 1, maxmum: 3}\nstations:\n"
        "- {name: A}\n- {name: b, folds: {count: 1}}\n- {name: b}\n"
    )
    places = [problem.split(": ")[:2] for problem in problems_of(tmp_path, text)]
    assert places == [
        ["2:1", "seed"],
        ["3:12", "12:30 is a number of base 60 to YAML"],
        ["4:19", "intake.minimum"],
        ["4:22", "intake.maxmum"],
        ["6:10", "stations[0].name"],
        ["7:28", "stations[1].folds.count"],
        ["8:10", "stations[2].name"],
    ]


def test_what_stations_inherit_wrongly_is_told_once(tmp_path: Path) -> None:
    """A mistake of the top level is not repeated for each station that inherits it."""
    text = "region: [1, 2]\nintake: {minimun: 1}\nstations: [{name: a, intake: {maximum: 99}}, {name: b}]\n"
    assert [problem.split(": ")[1] for problem in problems_of(tmp_path, text)] == ["region", "intake.minimun"]


def test_no_generator_at_all_is_refused(tmp_path: Path) -> None:
    """With every generator off there would be nothing to choose by."""
    names = ["diffstyle_global", "diffstyle_local", "cutpaste", "perlin", "poisson", "foreign"]
    text = "generators:\n" + "".join(f"  {name}: {{enabled: false}}\n" for name in names)
    (problem,) = problems_of(tmp_path, text)
    assert problem.startswith("2:31: generators.diffstyle_global.enabled: no generator is enabled")


@pytest.mark.parametrize("name", list(GENERATORS))
def test_the_generators_take_their_settings(name: str) -> None:
    """Beside what all generators have, the section of each is what its constructor takes."""
    options = getattr(default_settings().generators, name).model_dump(exclude={"enabled", "votes", "count"})
    assert select(name, options, unet=object()).name == name  # type: ignore[arg-type]
    parameters = inspect.signature(type(select(name, options, unet=object()))).parameters  # type: ignore[arg-type]
    assert {key: parameters[key].default for key in options} == options


def test_the_settings_know_all_generators() -> None:
    """Each generator has its section and each section its generator."""
    assert list(GeneratorsSettings.model_fields) == list(GENERATORS)


def test_an_empty_file_and_empty_sections_are_the_defaults(tmp_path: Path) -> None:
    """A section whose lines are all commented out is at its defaults."""
    assert load(write(tmp_path, "")) == default_settings()
    text = "http:\nintake:\n  # minimum: 30\ndetectors: {encoders: }\nstations:\n"
    assert load(write(tmp_path, text)) == default_settings()


def test_stations_inherit_maps_by_key_and_replace_lists(tmp_path: Path) -> None:
    """Maps merge at every depth; a station's list, value or null stands alone."""
    text = """
region: [0, 0, 100, 100]
intake: {minimum: 30, ignore: [a, b]}
generators: {cutpaste: {count: 9, enabled: false}}
detectors: {encoders: [{name: x, path: x.onnx}, {name: y, path: y.onnx}]}
stations:
- {name: a, intake: {ignore: [c], maximum: 50}, generators: {cutpaste: {count: 10}}, region: null}
- {name: b, intake: , detectors: {encoders: [{name: z, path: z.onnx}]}, seed: 7}
"""
    a, b = load(write(tmp_path, text)).stations
    assert (a.intake.minimum, a.intake.maximum, a.intake.ignore) == (30, 50, ("c",))
    assert (a.generators.cutpaste.count, a.generators.cutpaste.enabled) == (10, False)
    assert (a.region, b.region) == (None, (0, 0, 100, 100))
    assert (b.intake.minimum, b.intake.ignore, b.seed, a.seed) == (30, ("a", "b"), 7, 0)
    assert [encoder.name for encoder in a.detectors.encoders] == ["x", "y"]
    assert [encoder.name for encoder in b.detectors.encoders] == ["z"]


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every path counts from the folder of the file, wherever the program was started; absolute ones stay."""
    text = """
state_dir: state
engines: {folders: [more, /opt/models]}
images: photos
detectors: {encoders: [{name: x, path: models/x.onnx}]}
stations: [{name: a, images: ../a}]
"""
    write(tmp_path, text)
    monkeypatch.chdir(tmp_path)
    settings = load(Path("box.yaml"))
    assert settings.state_dir == tmp_path / "state"
    assert settings.engines.folders == (tmp_path / "more", Path("/opt/models"))
    assert settings.images == tmp_path / "photos"
    assert settings.stations[0].images == tmp_path / "../a"
    assert settings.stations[0].detectors.encoders[0].path == tmp_path / "models/x.onnx"


def test_a_station_is_found_by_name_or_because_it_is_the_only_one(tmp_path: Path) -> None:
    """Without stations the defaults are a station of their own; of several one must be named."""
    without = load(write(tmp_path, "seed: 5\nimages: x\n"))
    assert without.station() == StationSettings(name="default", seed=5, images=tmp_path / "x")
    one = load(write(tmp_path, "stations: [{name: a, seed: 1}]"))
    assert one.station() == one.station("a") == one.stations[0]
    two = load(write(tmp_path, "stations: [{name: a}, {name: b}]"))
    assert two.station("b").name == "b"
    with pytest.raises(UsageError, match="one of a, b"):
        two.station()
    with pytest.raises(UsageError, match="Station c is not in the settings; the file has a, b"):
        two.station("c")
    with pytest.raises(UsageError, match="has no stations"):
        without.station("a")


def test_one_folder_may_serve_two_stations_with_their_own_regions(tmp_path: Path) -> None:
    """Two parts in one camera's picture are two stations."""
    text = "images: x\nstations: [{name: a, region: [0, 0, 9, 9]}, {name: b, region: [9, 0, 9, 9]}]"
    assert len(load(write(tmp_path, text)).stations) == 2


def test_settings_cannot_be_changed() -> None:
    """Settings are values: an assignment fails."""
    with pytest.raises(ValidationError, match="frozen"):
        default_settings().intake.minimum = 30  # type: ignore[misc]


def test_check_also_looks_at_the_disk(tmp_path: Path) -> None:
    """Folders and models that are not there are problems of `check`, not of `load`; those there are none."""
    text = """images: all
engines: {folders: [more]}
detectors: {encoders: [{name: x, path: x.onnx}]}
stations:
- {name: a, images: photos}
- {name: b, images: x.onnx, detectors: {encoders: [{name: z, path: z.onnx}]}}
"""
    path = write(tmp_path, text)
    load(path)
    assert [problem.removeprefix(f"{path}:").split(" ")[:2] for problem in check(path)] == [
        ["1:9:", "images:"],
        ["2:21:", "engines.folders[0]:"],
        ["3:40:", "detectors.encoders[0].path:"],
        ["5:21:", "stations[0].images:"],
        ["6:21:", "stations[1].images:"],
        ["6:68:", "stations[1].detectors.encoders[0].path:"],
    ]
    for name in ("all", "more", "photos"):
        (tmp_path / name).mkdir()
    (tmp_path / "x.onnx").touch()
    assert len(check(path)) == 2  # x.onnx is no folder of photos, z.onnx is not there


FOREIGN = "generators: {foreign: {pictures: %s%s}}\n"


@pytest.mark.parametrize("pictures", ["photos", "photos/../photos", "photos/deep", ".", "link"])
def test_good_photos_are_not_foreign(pictures: str, tmp_path: Path) -> None:
    """The folder of good photos, one in it and one around it are refused, links followed; others are not."""
    (tmp_path / "link").symlink_to("photos")
    text = "images: photos\n" + FOREIGN
    (problem,) = problems_of(tmp_path, text % (pictures, ""))
    assert problem.startswith("2:34: generators.foreign.pictures: ")
    assert "would be good parts" in problem
    assert load(write(tmp_path, text % (pictures, ", enabled: false"))).images == tmp_path / "photos"
    assert load(write(tmp_path, text % ("photos2", ""))).generators.foreign.pictures == tmp_path / "photos2"


def test_a_station_may_take_the_parts_of_others_for_foreign(tmp_path: Path) -> None:
    """What is wrong for one station only is told there."""
    stations = "stations: [{name: a, images: a}, {name: b, images: b}]\n"
    (problem,) = problems_of(tmp_path, FOREIGN % ("b", "") + stations)
    assert problem.startswith("2:52: stations[1].images: ") and "generators.foreign.pictures" in problem
    own = FOREIGN.strip() % ("a", "")
    load(write(tmp_path, f"stations: [{{name: a, images: a}}, {{name: b, images: b, {own}}}]"))


def test_a_link_to_itself_is_no_good_photos(tmp_path: Path) -> None:
    """It is a problem of the disk, which `check` tells."""
    (tmp_path / "loop").symlink_to("loop")
    path = write(tmp_path, "images: photos\n" + FOREIGN % ("loop", ""))
    assert load(path).generators.foreign.pictures == tmp_path / "loop"
    (tmp_path / "photos").mkdir()
    (problem,) = check(path)
    assert "generators.foreign.pictures: " in problem and "is not a folder" in problem


def test_check_wants_images_of_every_station(tmp_path: Path) -> None:
    """A station for which no folder is named cannot be run, while the defaults may do without one."""
    (problem,) = check(write(tmp_path, "seed: 1\nstations:\n- name: a\n"))
    assert ":3:3: stations[0].images: missing" in problem
    assert check(write(tmp_path, "seed: 1\n")) == []


def test_check_returns_what_load_raises(tmp_path: Path) -> None:
    """Unreadable and wrong files are lines too, not exceptions."""
    assert check(tmp_path / "none.yaml") == [f"{tmp_path}/none.yaml: not found; `goodparts init` writes one."]
    (problem,) = check(write(tmp_path, "seed: x"))
    assert ":1:7: seed: x is not allowed" in problem


_KEYS = st.sampled_from(
    ["seed", "intake", "region", "stations", "detectors", "encoders", "name", "images", "ignore"]
)
_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda value: (
        st.lists(value, max_size=3) | st.dictionaries(_KEYS | st.text(max_size=3), value, max_size=3)
    ),
    max_leaves=10,
)


@hypothesis_settings(max_examples=150, deadline=None)
@given(data=st.dictionaries(_KEYS, _ANYTHING, max_size=5))
def test_whatever_stands_in_a_file_is_settings_or_problems(
    data: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Any map of any values either loads or gives lines with a place, never another error."""
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    try:
        assert load(path).seed == (data.get("seed", 0))
    except ConfigurationError as error:
        assert error.problems
        assert all(re.match(rf"{path}:\d+:\d+: .", problem) for problem in error.problems)
    assert isinstance(check(path), list)


# The documented file.


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def _fields(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, field in model.model_fields.items():
        yield (*path, name), field
        for inner in _models_in(field.annotation):
            if inner is not StationSettings:
                yield from _fields(inner, (*path, name))


ALL_FIELDS = list(_fields(Settings))
SAID = documentation(DOCUMENTED_FILE.read_text(encoding="utf-8"))


def _bounds(field: Any) -> list[str]:
    names = ("ge", "gt", "le", "multiple_of")
    values = [
        getattr(m, name) for m in field.metadata for name in names if getattr(m, name, None) is not None
    ]
    return [f"{value:g}" if isinstance(value, float) else str(value) for value in values]


def _options(annotation: Any) -> list[str]:
    if annotation is bool:
        return ["true", "false"]
    return list(get_args(annotation)) if get_origin(annotation) is Literal else []


@pytest.mark.parametrize(("path", "field"), ALL_FIELDS, ids=[".".join(path) for path, _ in ALL_FIELDS])
def test_every_setting_is_documented(path: tuple[str, ...], field: Any) -> None:
    """Each key has its comment in config/appliance.yaml, with its bounds and its options."""
    said = SAID[path]
    assert len(said) >= len("true or false.")
    numbers = re.findall(r"\d+(?:\.\d+)?", said)
    assert [bound for bound in _bounds(field) if bound not in numbers] == []
    assert [option for option in _options(field.annotation) if option not in re.findall(r"\w+", said)] == []
    if type(None) in get_args(field.annotation):
        assert "null" in said


def test_the_documented_file_holds_every_setting_at_its_default() -> None:
    """The file loads, equals the defaults, and leaves no key out but those of the examples."""
    assert load(DOCUMENTED_FILE) == default_settings()
    raw = yaml.safe_load(DOCUMENTED_FILE.read_text(encoding="utf-8"))
    assert raw == json.loads(default_settings().model_dump_json())
    assert {path for path, _ in ALL_FIELDS} | {("stations", "name")} <= SAID.keys()


def test_the_examples_of_the_documented_file_are_settings(tmp_path: Path) -> None:
    """With the examples in use the file still loads, and its optional keys show their defaults."""
    settings = load(write(tmp_path, with_examples(DOCUMENTED_FILE.read_text(encoding="utf-8"))))
    (encoder,) = settings.detectors.encoders
    assert encoder == EncoderSettings(name="mobilenet_v2", path=tmp_path / "models/mobilenet_v2.onnx")
    (prompt,) = settings.detectors.prompts
    assert prompt == PromptSettings(
        name="scratched", normal="a photo of a flawless {}", abnormal="a photo of a scratched {}"
    )
    assert settings.station("gear-top").part_name == "gear"


def test_the_documented_file_knows_no_other_settings() -> None:
    """Nothing is documented that is no setting."""
    known = {path for path, _ in ALL_FIELDS}
    assert {path for path in SAID if path[0] != "stations"} <= known
    assert {path[1:] for path in SAID if len(path) > 1 and path[0] == "stations"} <= known | {("name",)}


def test_the_names_of_built_in_prompts_are_documented() -> None:
    """None of them may be an own prompt's: the file lists them."""
    assert ", ".join(SLUGS) in SAID["detectors", "prompts", "name"]


# The schema.


def test_the_committed_schema_is_the_generated_one() -> None:
    """config/appliance.schema.json is what `schema()` returns."""
    committed = json.loads(DOCUMENTED_FILE.with_name("appliance.schema.json").read_text(encoding="utf-8"))
    assert committed == schema()


def test_the_schema_admits_and_refuses_as_the_settings_do() -> None:
    """The documented file is valid under the schema; wrong values and unknown keys are not."""
    validator = jsonschema.Draft202012Validator(schema())
    validator.check_schema(schema())
    text = DOCUMENTED_FILE.read_text(encoding="utf-8")
    for good in (yaml.safe_load(text), yaml.safe_load(with_examples(text)), {}):
        assert list(validator.iter_errors(good)) == []
    for bad in (
        {"seeds": 1},
        {"seed": -1},
        {"stations": [{}]},
        {"region": [1, 2, 3]},
        {"engines": {"device": "x"}},
    ):
        assert list(validator.iter_errors(bad)) != []


def test_the_schema_describes_every_key() -> None:
    """An editor shows the documented file's words, for a station's keys too."""
    generated = schema()
    assert generated["properties"]["seed"]["description"] == SAID[("seed",)]
    station = generated["properties"]["stations"]["items"]["properties"]
    assert station["intake"]["properties"]["minimum"]["description"] == SAID["intake", "minimum"]
    assert "default" not in station["seed"]


# Writing.

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
slugs = st.from_regex(r"\A[a-z0-9][a-z0-9_-]{0,10}\Z").filter(lambda slug: slug not in SLUGS)
prompt_texts = st.lists(texts.filter(lambda text: not set("{}") & set(text)), min_size=1, max_size=3).map(
    "{}".join
)
names = st.from_regex(r"\A[a-z0-9][a-z0-9._-]{0,10}\Z")
paths = texts.filter(lambda text: text.strip() and "\0" not in text).map(lambda text: Path("/srv") / text)


@st.composite
def _stations(draw: st.DrawFn) -> dict[str, Any]:
    minimum = draw(st.integers(10, 1000))
    rate = st.floats(0, 0.5, exclude_min=True)
    region = st.tuples(st.integers(0, 99), st.integers(0, 99), st.integers(8, 99), st.integers(8, 99))
    return {
        "part_name": draw(texts),
        "part_noun": draw(st.none() | texts),
        "seed": draw(st.integers(0, 2**32 - 1)),
        "region": draw(st.none() | region),
        "intake": IntakeSettings(
            minimum=minimum, maximum=minimum + 5, ignore=tuple(draw(st.lists(texts, max_size=2)))
        ),
        "detectors": {
            "encoders": [{"name": draw(texts), "path": draw(paths), "mean": [draw(st.floats(-9, 9))] * 3}],
            "prompts": [{"name": draw(slugs), "normal": "a {}", "abnormal": draw(prompt_texts)}],
        },
        "decision": {"margin": draw(st.floats(0, 0.5)), "fallback": draw(st.none() | texts)},
        "threshold": {"max_false_reject_rate": draw(rate)},
        "generators": {"perlin": {"enabled": draw(st.booleans()), "count": draw(st.integers(8, 99))}},
    }


@st.composite
def _whole(draw: st.DrawFn) -> Settings:
    listed = draw(st.lists(names, max_size=3, unique=True))
    stations = [draw(_stations()) | {"name": name, "images": Path("/srv/photos") / name} for name in listed]
    return Settings.model_validate(draw(_stations()) | {"state_dir": draw(paths), "stations": stations})


@hypothesis_settings(max_examples=50, deadline=None)
@given(settings=_whole())
def test_settings_survive_yaml(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Any settings, written as YAML and loaded again, are equal."""
    path = tmp_path_factory.getbasetemp() / "round.yaml"
    path.write_text(yaml.safe_dump(json.loads(settings.model_dump_json())), encoding="utf-8")
    assert load(path) == settings


@pytest.mark.parametrize(
    "part_name", ["gear", "no", "12:30", "Zahnrad größer", "a: b # c", "'\"", "1e3", "\x85"]
)
@pytest.mark.parametrize("images", ["photos", "/srv/good parts/ü", "- x", "gr\udcfcn"])
def test_the_minimal_file_loads_with_what_was_asked(part_name: str, images: str, tmp_path: Path) -> None:
    """What `goodparts init` writes holds the answers, whatever they look like to YAML, and nothing else."""
    text = minimal_yaml(images, station="gear-top", part_name=part_name, part_noun="tool", state_dir="state")
    settings = load(write(tmp_path, text))
    expected = StationSettings(
        name="gear-top", images=tmp_path / images, part_name=part_name, part_noun="tool"
    )
    assert settings == Settings(state_dir=tmp_path / "state", stations=(expected,))


def test_the_minimal_file_may_name_the_folder_of_new_parts(tmp_path: Path) -> None:
    """They are then judged by the service."""
    text = minimal_yaml("good", station="a", part_name="gear", new_parts="new")
    assert load(write(tmp_path, text)).stations[0].scoring.images == tmp_path / "new"


def test_a_minimal_file_without_options_is_short() -> None:
    """Without the optional answers their lines are left out."""
    text = minimal_yaml("photos", station="a", part_name="gear")
    assert yaml.safe_load(text) == {"stations": [{"name": "a", "images": "photos", "part_name": "gear"}]}


def test_station_names_are_names_of_folders() -> None:
    """A name cannot leave its folder, hide itself or differ from another by case alone."""
    assert all(re.fullmatch(STATION_NAME, name) for name in ("gear-top", "3.b_c", "0"))
    assert not any(re.fullmatch(STATION_NAME, name) for name in ("..", ".a", "a/b", "A", "", "a b", "ä"))
