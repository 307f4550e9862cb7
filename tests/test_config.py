import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.config import Config, EmbeddingConfig, FacesConfig, SpeechConfig, config_hash
from mien.errors import InvalidArgument


def test_numbers_of_the_paper() -> None:
    speech, faces = SpeechConfig(), FacesConfig()
    assert speech.frames * speech.columns == 5_984
    assert (faces.frames, faces.crop_size) == (22, 48)
    # One sample more would give a 273rd window, one hop less would leave the last one empty.
    assert 1 + speech.samples // speech.hop_length == 272


@pytest.mark.parametrize(("frames", "fewest"), [(22, 8), (3, 1), (1, 1), (30, 10)])
def test_at_least_a_third_of_the_frames_need_a_face(frames: int, fewest: int) -> None:
    assert FacesConfig(frames=frames).minimum_faces == fewest


@given(st.integers(1, 500), st.integers(1, 60), st.text(max_size=9), st.integers(0, 4096))
def test_survives_the_way_through_a_manifest(frames: int, mfcc: int, name: str, width: int) -> None:
    config = Config(
        speech=SpeechConfig(mfcc=mfcc),
        faces=FacesConfig(frames=frames),
        embedding=EmbeddingConfig(name=name, width=width),
    )
    again = Config.from_dict(config.to_dict())
    assert again == config
    assert config_hash(again) == config_hash(config)


def test_each_field_changes_the_hash() -> None:
    speech = SpeechConfig()
    hashes = {config_hash(speech)}
    for field in dataclasses.fields(speech):
        changed = dataclasses.replace(speech, **{field.name: getattr(speech, field.name) + 1})
        hashes.add(config_hash(changed))
    assert len(hashes) == 1 + len(dataclasses.fields(speech))


def test_hash_is_the_same_on_every_machine() -> None:
    assert config_hash(SpeechConfig()).startswith("25f88509ca1b70b7")


@pytest.mark.parametrize("values", [{}, {"speech": {}, "faces": {}}, {"speech": 3}])
def test_incomplete_config_is_named(values: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument, match="speech, faces and embedding"):
        Config.from_dict(values)


def test_unknown_field_is_named() -> None:
    values = Config().to_dict()
    values["speech"]["mel"] = 3
    with pytest.raises(InvalidArgument, match="mel"):
        Config.from_dict(values)


def test_only_instances_have_a_hash() -> None:
    with pytest.raises(InvalidArgument, match="dataclass instance"):
        config_hash(SpeechConfig)
