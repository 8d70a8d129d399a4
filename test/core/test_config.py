"""Strict configuration: unknown keys, wrong types and missing fields are named."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from roboadapt_ros.config import from_mapping, load_json, load_yaml, save_json, to_mapping
from roboadapt_ros.contract import ActionSpace
from roboadapt_ros.errors import ConfigError, PackageError, UnknownKeyError, UnknownNameError
from roboadapt_ros.files import replace_folder


@dataclass(frozen=True, kw_only=True)
class Inner:
    space: ActionSpace


@dataclass(frozen=True, kw_only=True)
class Outer:
    rate_hz: float
    inner: Inner
    sizes: tuple[int, ...] = (1, 2)
    note: str | None = None


GOOD = {'rate_hz': 10, 'inner': {'space': 'ee_pose'}, 'sizes': [3]}


def test_a_mapping_becomes_the_dataclass_and_back() -> None:
    value = from_mapping(Outer, GOOD, 'file')
    assert value == Outer(rate_hz=10.0, inner=Inner(space=ActionSpace.EE_POSE), sizes=(3,))
    assert from_mapping(Outer, to_mapping(value), 'file') == value


def test_an_unknown_key_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownKeyError, match=r"unknown key 'rate_h'.*'rate_hz'"):
        from_mapping(Outer, {**GOOD, 'rate_h': 5}, 'file')


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'rate_hz': 'fast'}, 'file.rate_hz'),
        ({'rate_hz': True}, 'must be float'),
        ({'sizes': [1.5]}, r'file.sizes\[0\]'),
        ({'inner': 3}, 'file.inner'),
    ],
)
def test_a_wrong_type_names_the_field(change: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        from_mapping(Outer, {**GOOD, **change}, 'file')


def test_a_missing_field_is_named() -> None:
    with pytest.raises(ConfigError, match=r'file.rate_hz.*required'):
        from_mapping(Outer, {'inner': {'space': 'ee_pose'}}, 'file')


def test_a_wrong_choice_lists_the_choices() -> None:
    with pytest.raises(UnknownNameError, match=r"'ee_pos'.*Did you mean 'ee_pose'"):
        from_mapping(Outer, {**GOOD, 'inner': {'space': 'ee_pos'}}, 'file')


@pytest.mark.parametrize('text', ['{"a": "\\ud800"}', '{"\\udfff": 1}', '[' * 100_000])
def test_json_that_is_no_text_or_has_no_end_is_a_package_error(tmp_path, text: str) -> None:
    path = tmp_path / 'value.json'
    path.write_text(text, encoding='utf-8')
    with pytest.raises(PackageError) as caught:
        load_json(Inner, path)
    str(caught.value).encode()


@pytest.mark.parametrize('data', [b'\xff\xfe\x00', b'a: 2020-13-45', b'[' * 20_000])
def test_yaml_that_breaks_its_reader_is_a_package_error(tmp_path, data: bytes) -> None:
    path = tmp_path / 'value.yaml'
    path.write_bytes(data)
    with pytest.raises(PackageError, match='is not YAML'):
        load_yaml(Inner, path)


def test_json_keeps_full_precision_and_names_a_broken_file(tmp_path) -> None:
    path = tmp_path / 'value.json'
    value = from_mapping(Outer, {**GOOD, 'rate_hz': 1 / 3}, 'file')
    save_json(value, path)
    assert load_json(Outer, path) == value
    path.write_text('{')
    with pytest.raises(PackageError, match=r'not JSON'):
        load_json(Outer, path)


def _folder(path, text: str):
    path.mkdir()
    (path / 'file').write_text(text)
    return path


def test_a_folder_takes_the_place_of_another(tmp_path) -> None:
    target = _folder(tmp_path / 'target', 'old')
    replace_folder(_folder(tmp_path / '.part', 'new'), target)
    assert (target / 'file').read_text() == 'new'
    assert [path.name for path in tmp_path.iterdir()] == ['target']


def test_a_folder_that_can_not_be_replaced_stays(tmp_path) -> None:
    target = _folder(tmp_path / 'target', 'old')
    with pytest.raises(FileNotFoundError):
        replace_folder(tmp_path / 'missing', target)
    assert (target / 'file').read_text() == 'old'
    assert [path.name for path in tmp_path.iterdir()] == ['target']


def test_what_an_earlier_replacement_left_aside_is_not_lost(tmp_path) -> None:
    _folder(tmp_path / '.target.old', 'only')
    with pytest.raises(FileNotFoundError):
        replace_folder(tmp_path / 'missing', tmp_path / 'target')
    assert (tmp_path / 'target' / 'file').read_text() == 'only'


def test_a_link_to_a_folder_is_replaced_again_and_again(tmp_path) -> None:
    real = _folder(tmp_path / 'real', 'kept')
    target = tmp_path / 'target'
    target.symlink_to(real)
    for text in ('first', 'second'):
        replace_folder(_folder(tmp_path / '.part', text), target)
        assert (target / 'file').read_text() == text
    assert (real / 'file').read_text() == 'kept'
