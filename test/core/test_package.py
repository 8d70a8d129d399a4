"""Task packages: strict both ways, one digest for all of it."""

from __future__ import annotations

from dataclasses import replace
import errno
import json

import numpy as np
import pytest
from roboadapt_ros.adapters import package as package_module
from roboadapt_ros.adapters.library import TaskLibrary
from roboadapt_ros.adapters.package import add_provenance, load_package, save_package
from roboadapt_ros.backbones.manifest import load_backbone_manifest
from roboadapt_ros.cli import main as cli
from roboadapt_ros.errors import (
    BackboneMismatchError,
    ConfigError,
    PackageError,
    RoboAdaptError,
    TensorError,
    UnknownKeyError,
    UnknownNameError,
)
from roboadapt_ros.evaluation import inprocess
from roboadapt_ros.evaluation.results import EpisodeRecord, EvaluationResult, Through
import safetensors.numpy
from tiny import make_backbone, make_task


@pytest.fixture
def models(tmp_path):
    make_task(tmp_path, 'pick', make_backbone(tmp_path))
    return tmp_path


def edit_manifest(folder, change) -> None:
    path = folder / 'manifest.json'
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def test_save_then_load_gives_the_same_package(models) -> None:
    package = load_package(models / 'tasks' / 'pick')
    again = save_package(package.path, package.manifest, package.tensors, '# pick\n')
    assert again.digest == package.digest
    for name, tensor in package.tensors.items():
        np.testing.assert_array_equal(again.tensors[name], tensor)


def test_the_digest_changes_with_any_weight(models) -> None:
    package = load_package(models / 'tasks' / 'pick')
    tensors = dict(package.tensors)
    tensors['head.out.bias'] = tensors['head.out.bias'] + 1e-6
    assert save_package(package.path, package.manifest, tensors, '').digest != package.digest


def contents(folder) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob('*') if p.is_file()}


@pytest.mark.parametrize('fault', [KeyboardInterrupt(), OSError(errno.ENOSPC, 'no space')])
@pytest.mark.parametrize('name', ['pick', 'place'])
def test_a_package_is_written_whole_or_not_at_all(models, monkeypatch, fault, name: str) -> None:
    """One that stood is as it was, and of a new one there is no folder that a retry refuses."""
    package = load_package(models / 'tasks' / 'pick')
    tensors = {n: t + 1 for n, t in package.tensors.items()}
    manifest, before = replace(package.manifest, task=name), contents(models / 'tasks')

    def stop(*_: object) -> None:
        raise fault

    for patched, files in (('save_json', None), ('', stop)):
        with monkeypatch.context() as patch:
            if patched:
                patch.setattr(package_module, patched, stop)
            with pytest.raises((KeyboardInterrupt, PackageError)) as caught:
                save_package(models / 'tasks' / name, manifest, tensors, '', add_files=files)
        if isinstance(fault, OSError):
            assert f'{name}: cannot be written (no space)' in str(caught.value)
        assert contents(models / 'tasks') == before
        assert [path.name for path in (models / 'tasks').iterdir()] == ['pick']


def test_a_replaced_package_keeps_nothing_of_the_old_one(models) -> None:
    package = load_package(models / 'tasks' / 'pick')
    (package.path / 'reference_gone.png').write_bytes(b'old')
    save_package(
        package.path,
        package.manifest,
        package.tensors,
        '# pick',
        add_files=lambda folder: (folder / 'reference_new.png').write_bytes(b'new'),
    )
    assert sorted(contents(package.path)) == [
        'card.md',
        'manifest.json',
        'reference_new.png',
        'weights.safetensors',
    ]


def test_what_could_not_be_read_back_is_not_written(models, monkeypatch) -> None:
    package = load_package(models / 'tasks' / 'pick')
    folder, rest = models / 'tasks' / 'place', (package.tensors, '')
    with pytest.raises(PackageError, match=r"place: is not the folder to write.*name 'pick'"):
        save_package(folder, package.manifest, *rest)
    monkeypatch.setattr(package_module, 'MAX_WEIGHTS_BYTES', package.nbytes)
    with pytest.raises(PackageError, match=r'would have \d+ bytes.*smaller adapters'):
        save_package(folder, replace(package.manifest, task='place'), *rest)
    assert not folder.exists()
    size = len((package.path / 'weights.safetensors').read_bytes())
    monkeypatch.setattr(package_module, 'MAX_WEIGHTS_BYTES', 2 * size)
    save_package(folder, replace(package.manifest, task='place'), *rest)


def test_an_unknown_task_is_answered_with_the_nearest(models) -> None:
    with pytest.raises(UnknownNameError, match=r"'pik'.*Did you mean 'pick'"):
        TaskLibrary(models / 'tasks').path('pik')


def test_a_package_for_another_backbone_is_refused(models) -> None:
    other = make_backbone(models, 'other', seed=5)
    with pytest.raises(BackboneMismatchError, match=r'pick.*tiny.*other'):
        TaskLibrary(models / 'tasks').load('pick', other)


def test_the_same_backbone_name_with_other_tensors_is_refused(models) -> None:
    other = replace(load_backbone_manifest(models / 'backbones' / 'tiny'), digest='0' * 64)
    with pytest.raises(BackboneMismatchError):
        TaskLibrary(models / 'tasks').load('pick', other)


def test_an_unknown_key_in_the_manifest_is_named(models) -> None:
    folder = models / 'tasks' / 'pick'
    edit_manifest(folder, lambda m: m['contract'].update(rate_hzz=3))
    with pytest.raises(UnknownKeyError, match=r"rate_hzz.*'rate_hz'"):
        load_package(folder)


def test_a_manifest_that_names_another_task_is_refused(models) -> None:
    folder = models / 'tasks' / 'pick'
    edit_manifest(folder, lambda m: m.update(task='place'))
    with pytest.raises(PackageError, match=r'place'):
        load_package(folder)


def test_head_and_contract_must_agree(models) -> None:
    folder = models / 'tasks' / 'pick'
    edit_manifest(folder, lambda m: m['contract'].update(chunk_length=5, execute_length=1))
    with pytest.raises(ConfigError, match=r'chunk_length'):
        load_package(folder)


@pytest.mark.parametrize('keep', [0, 7, 100, -1])
def test_a_truncated_weights_file_is_refused(models, keep: int) -> None:
    path = models / 'tasks' / 'pick' / 'weights.safetensors'
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(PackageError, match=r'truncated or corrupted'):
        load_package(path.parent)


def test_any_flipped_bit_is_noticed(models) -> None:
    path = models / 'tasks' / 'pick' / 'weights.safetensors'
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(good), 40):
        bad = bytearray(good)
        bad[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(bad))
        with pytest.raises(PackageError, match=r'truncated or corrupted'):
            load_package(path.parent)


def test_a_missing_weights_file_is_named(models) -> None:
    path = models / 'tasks' / 'pick' / 'weights.safetensors'
    path.unlink()
    with pytest.raises(PackageError, match=r'weights\.safetensors'):
        load_package(path.parent)


def replaced(models, change):
    """Write the package with changed tensors but a matching hash, and load it."""
    import hashlib

    folder = models / 'tasks' / 'pick'
    tensors = dict(load_package(folder).tensors)
    change(tensors)
    data = safetensors.numpy.save(tensors)
    (folder / 'weights.safetensors').write_bytes(data)
    edit_manifest(folder, lambda m: m.update(weights_sha256=hashlib.sha256(data).hexdigest()))
    return load_package(folder)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda t: t.pop('head.out.bias'), 'missing: head.out.bias'),
        (lambda t: t.update(extra=np.zeros(3, np.float32)), 'unexpected: extra'),
        (
            lambda t: t.update({'head.out.bias': np.zeros(3, np.float32)}),
            r'head.out.bias: found \(3,\)',
        ),
        (
            lambda t: t.update({'head.out.bias': t['head.out.bias'].astype(np.float64)}),
            'found float64, required float32',
        ),
        (
            lambda t: t.update({'head.out.bias': t['head.out.bias'] * np.nan}),
            'non-finite',
        ),
    ],
)
def test_a_wrong_tensor_is_named(models, change, words: str) -> None:
    with pytest.raises(TensorError, match=words):
        replaced(models, change)


def test_random_manifest_damage_gives_a_typed_error(models) -> None:
    path = models / 'tasks' / 'pick' / 'manifest.json'
    good = path.read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(60):
        bad = bytearray(good)
        for position in rng.integers(0, len(good), 3):
            bad[position] = int(rng.integers(256))
        path.write_bytes(bytes(bad))
        try:
            load_package(path.parent)
        except RoboAdaptError:
            continue


def test_the_same_tensors_in_another_setting_are_another_backbone(models) -> None:
    """The digest of the tensors says nothing of the picture's size or the model's arguments."""
    package = load_package(models / 'tasks' / 'pick')
    backbone = load_backbone_manifest(models / 'backbones' / 'tiny')
    package.require_backbone(backbone)
    for change in (
        {'image_size': 48},
        {'mean': (0.5, 0.5, 0.501)},
        {'timm_kwargs': {**backbone.timm_kwargs, 'act_layer': 'gelu_tanh'}},
        {'pooled_channels': 16},
    ):
        with pytest.raises(BackboneMismatchError, match='set otherwise'):
            package.require_backbone(replace(backbone, **change))
    noted = {'licence': 'MIT', 'provenance': {'note': 'x'}, 'crop_pct': 0.9}
    package.require_backbone(replace(backbone, **noted))
    older = replace(package, manifest=replace(package.manifest, backbone_settings=None))
    older.require_backbone(replace(backbone, image_size=48))


def test_the_digest_is_of_the_bytes_that_were_parsed(models, monkeypatch) -> None:
    """Another process may put a new manifest in the place of the old one at any moment."""
    path = models / 'tasks' / 'pick'
    digest, parse = load_package(path).digest, package_module.parse_json

    def parse_and_change(cls, data, file):
        file.write_bytes(data + b' ')
        return parse(cls, data, file)

    monkeypatch.setattr(package_module, 'parse_json', parse_and_change)
    assert load_package(path).digest == digest


def _listed(models, capsys, code=0) -> str:
    assert cli.main(['adapters', 'list', '--models', str(models)]) == code
    return ' '.join(capsys.readouterr().out.split())


def test_a_figure_is_shown_with_the_weights_it_belongs_to(models, capsys, monkeypatch) -> None:
    monkeypatch.setenv('COLUMNS', '200')
    path = models / 'tasks' / 'pick'
    figure = {'episodes': 50, 'successes': 49}
    add_provenance(path, 'measured', figure)
    assert '49 of 50 (of unknown weights)' in _listed(models, capsys)
    add_provenance(path, 'measured', {**figure, 'weights_sha256': 'ab' * 32})
    assert '49 of 50 (of other weights)' in _listed(models, capsys)
    sha256 = load_package(path).manifest.weights_sha256
    add_provenance(path, 'measured', {**figure, 'weights_sha256': sha256})
    assert '49 of 50 0.' in _listed(models, capsys), 'nothing but the size follows'
    assert cli.main(['adapters', 'show', 'pick', '--models', str(models)]) == 0
    assert 'measured success 49 of 50 ' in ' '.join(capsys.readouterr().out.split())


def test_a_package_without_its_weights_is_named_and_the_list_is_not_well(
    models, capsys, monkeypatch
) -> None:
    monkeypatch.setenv('COLUMNS', '300')
    (models / 'tasks' / 'pick' / 'weights.safetensors').unlink()
    said = _listed(models, capsys, code=1)
    assert 'pick unreadable: ' in said and 'weights.safetensors: cannot be read' in said
    assert 'Errno' not in said


def test_an_evaluation_records_which_weights_it_measured(models, capsys, monkeypatch) -> None:
    before = load_package(models / 'tasks' / 'pick')
    monkeypatch.setattr('roboadapt_ros.sim.tasks.TASKS', {'pick': None})
    words = ['eval', '--task', 'pick', '--adapter', 'pick', '--in-process', '--record']

    def measured(digest: str) -> int:
        result = EvaluationResult(
            task='pick',
            adapter='pick',
            seed=1,
            through=Through.IN_PROCESS,
            records=(EpisodeRecord(seed=1, success=True, duration_s=1.0),),
            package_digest=digest,
        )
        monkeypatch.setattr(inprocess, 'run_episodes', lambda *_: result)
        return cli.main([*words, '--models', str(models)])

    assert measured('ab' * 32) == 2
    assert 'has changed while it was measured' in capsys.readouterr().err
    assert load_package(before.path).digest == before.digest
    assert measured(before.digest) == 0
    found = load_package(before.path).manifest.provenance['measured']
    assert found['weights_sha256'] == before.manifest.weights_sha256
    assert 'package_digest' not in found and 'records' not in found


def test_what_was_measured_is_added_without_touching_the_weights(models) -> None:
    before = load_package(models / 'tasks' / 'pick')
    after = add_provenance(before.path, 'measured', {'episodes': 50, 'successes': 49})
    assert after.manifest.provenance['measured']['successes'] == 49
    assert after.manifest.weights_sha256 == before.manifest.weights_sha256
    assert after.digest != before.digest
