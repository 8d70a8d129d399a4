"""The command line: instant help, nearest names, exit codes, options that restate nothing."""

from dataclasses import dataclass, field
import enum
import errno
import json
from pathlib import Path
import signal
import subprocess
import sys
import time

import pytest
from rich.console import Console
from roboadapt_ros.cli import main as cli
from roboadapt_ros.cli.command import Command, Entry, Parser, printable, UsageError
from roboadapt_ros.cli.options import add_options, from_options
from roboadapt_ros.cli.output import (
    ProgressLine,
    require_folder,
    require_writable,
    write_json,
)
from roboadapt_ros.errors import ConfigError, UnknownNameError
from roboadapt_ros.files import replacing

ROOT = Path(__file__).parents[2]


class _Pace(enum.Enum):
    SLOW = 'slow'
    FAST = 'fast'


@dataclass(frozen=True, kw_only=True)
class _Settings:
    task: str = field(metadata={'help': 'task to do'})
    data: tuple[Path, ...] = field(metadata={'help': 'folders'})
    speed_m_s: float = field(default=0.25, metadata={'help': 'speed, 100 % of it', 'unit': 'm/s'})
    count: int = field(default=3, metadata={'help': 'how many'})
    pace: _Pace = field(default=_Pace.SLOW, metadata={'help': 'how fast'})
    verbose: bool = field(default=False, metadata={'help': 'say more'})
    model: Path | None = field(default=None, metadata={'help': 'a file'})
    widths: tuple[int, ...] = field(default=(8, 8), metadata={'help': 'widths'})

    def __post_init__(self):
        if self.count < 1:
            raise ConfigError('count', self.count, 'must be at least 1')


def _parse(*words):
    parser = Parser(prog='roboadapt try')
    add_options(parser, _Settings)
    return from_options(_Settings, parser.parse_all(words))


REQUIRED = ('--task', 'lift', '--data', 'a')


def test_options_not_given_are_the_dataclasss_own_defaults():
    assert _parse(*REQUIRED) == _Settings(task='lift', data=(Path('a'),))


def test_every_kind_of_field_is_read():
    given = _parse(
        '--task', 'lift', '--data', 'a', 'b', '--speed-m-s', '0.5', '--count', '4', '--pace',
        'fast', '--verbose', '--model', 'm.bin', '--widths', '16', '32',
    )  # fmt: skip
    assert given == _Settings(
        task='lift',
        data=(Path('a'), Path('b')),
        speed_m_s=0.5,
        count=4,
        pace=_Pace.FAST,
        verbose=True,
        model=Path('m.bin'),
        widths=(16, 32),
    )


def test_help_shows_unit_default_and_choices():
    parser = Parser(prog='roboadapt try')
    add_options(parser, _Settings)
    text = ' '.join(parser.format_help().split())
    assert 'speed, 100 % of it [m/s] (default: 0.25)' in text
    assert 'slow|fast' in text
    assert '(default: 8 8)' in text
    assert 'a file (default' not in text


def test_a_rule_of_the_settings_holds_on_the_command_line():
    with pytest.raises(ConfigError, match='at least 1'):
        _parse(*REQUIRED, '--count', '0')


def test_wrong_words_are_answered_with_the_nearest_right_one():
    with pytest.raises(UnknownNameError, match="Did you mean '--count'"):
        _parse(*REQUIRED, '--cuont', '2')
    with pytest.raises(UnknownNameError, match="Did you mean '--task'"):
        _parse('--tsak', 'lift', '--data', 'a')
    with pytest.raises(UnknownNameError, match="Did you mean 'fast'"):
        _parse(*REQUIRED, '--pace', 'fst')


def test_options_are_not_abbreviated():
    with pytest.raises(UnknownNameError, match='--verbose'):
        _parse(*REQUIRED, '--verb')


@pytest.mark.parametrize('words', [('--task', 'lift'), (*REQUIRED, '--count', 'x')])
def test_what_argparse_refuses_is_one_error(words):
    with pytest.raises(UsageError, match='roboadapt try --help'):
        _parse(*words)


def _run(*words, **settings):
    program = [sys.executable, '-m', 'roboadapt_ros.cli.main', *words]
    return subprocess.run(
        program, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False, **settings
    )


def test_help_is_instant_and_names_every_command():
    started_s = time.monotonic()
    done = _run('--help')
    assert time.monotonic() - started_s < 2.0, 'loaded machines included'
    assert done.returncode == 0
    for name in ('demo', 'up', 'switch', 'adapters verify', 'train', 'eval', 'bench loop'):
        assert f'  {name} ' in done.stdout


def test_a_wrong_command_is_one_line_on_stderr_and_code_2():
    done = _run('swich', 'lift_red')
    assert done.returncode == 2
    assert done.stdout == ''
    assert done.stderr.count('\n') == 1
    assert "Did you mean 'switch'?" in done.stderr


@pytest.mark.parametrize(
    ('words', 'nearest'),
    [
        (('bench', 'transprot'), 'transport'),
        (('adapters', 'shwo'), 'show'),
        (('collect', '--task', 'lift_rd', '--out', 'x'), 'lift_red'),
        (('demo', '--episode', '3'), '--episodes'),
    ],
)
def test_wrong_names_at_every_level(capsys, words, nearest):
    assert cli.main(words) == 2
    assert f"Did you mean '{nearest}'?" in capsys.readouterr().err


@pytest.mark.parametrize('path', sorted(cli.COMMANDS))
def test_every_command_has_help(capsys, path):
    entry = cli.COMMANDS[path]
    for words in [(path, name) for name in entry.group] if entry.group else [(path,)]:
        with pytest.raises(SystemExit) as end:
            cli.main([*words, '--help'])
        assert end.value.code == 0
        assert f'roboadapt {" ".join(words)}' in capsys.readouterr().out


def _table(monkeypatch, run):
    command = Command(arguments=lambda parser: None, run=run)
    monkeypatch.setattr(sys.modules[__name__], 'TRY', command, raising=False)
    monkeypatch.setitem(sys.modules, 'try_module', sys.modules[__name__])
    monkeypatch.setattr(cli, 'COMMANDS', {'try': Entry(summary='try', target='try_module:TRY')})


def test_interrupting_is_code_130_and_leaves_signals_as_they_were(monkeypatch, capsys):
    def run(options, console):
        signal.raise_signal(signal.SIGTERM)
        return 0

    before = signal.getsignal(signal.SIGTERM)
    _table(monkeypatch, run)
    assert cli.main(['try']) == 130
    assert capsys.readouterr().err == 'roboadapt: interrupted\n'
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_missing_package_is_named(monkeypatch, capsys):
    def run(options, console):
        raise ModuleNotFoundError("No module named 'rclpy'", name='rclpy')

    _table(monkeypatch, run)
    assert cli.main(['try']) == 2
    assert "'rclpy' is not installed" in capsys.readouterr().err


def test_a_mistake_of_ours_is_shown_and_is_no_failed_check(monkeypatch, capsys):
    def run(options, console):
        raise ZeroDivisionError

    _table(monkeypatch, run)
    assert cli.main(['try']) == 2
    said = capsys.readouterr().err
    assert 'Traceback' in said and 'ZeroDivisionError' in said
    assert said.endswith('this is a fault of the program; please report it\n')


EVAL = ('eval', '--task', 'lift_red', '--adapter', 'lift_red', '--in-process')
COLLECT = ('collect', '--task', 'lift_red', '--out', 'x')
TRAIN = ('train', '--task', 'lift_red@2', '--data', 'x', '--backbone', 'x', '--out', 'x')


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (('switch', 'x', '--domain', '500'), '--domain = 500: must be a whole number, 0 to 232'),
        (('switch', 'x', '--domain', 'x'), "--domain = 'x': must be a whole number"),
        (('switch', 'x', '--namespace', 'a b'), "--namespace = 'a b': must be names"),
        ((*EVAL, '--threads', '0'), '--threads = 0'),
        ((*EVAL, '--seed', '-1'), '--seed = -1'),
        ((*EVAL, '--episodes', '0'), '--episodes = 0'),
        ((*EVAL, '--models', 'nowhere'), "--models = 'nowhere': must be a folder"),
        ((*EVAL, '--fake'), "--fake = 'sim': is a graph: leave out --in-process"),
        (('demo', '--rig', 'fr3_jtc'), 'or a real one with --fake; this command moves it'),
        ((*EVAL, '--json', '/proc/x/y'), "--json = '/proc/x/y': cannot be written"),
        (('collect', '--task', 'lift_red', '--out', '/proc/x'), "--out = '/proc/x': cannot be"),
        ((*TRAIN[:-1], '/proc/x/y'), "--out = '/proc/x/y': cannot be written"),
        (('pretrain', '--data', 'x', '--out', '/proc/x'), "--out = '/proc/x': cannot be written"),
        (('demo', '--runs', '/proc/x'), "--runs = '/proc/x': cannot be written"),
        (('up', '--rig', 'sim', '--runs', '/proc/x'), "--runs = '/proc/x': cannot be written"),
        (('up', '--rig', 'sim', '--record', '/proc/x'), "--record = '/proc/x': cannot be"),
        ((*EVAL[:-1], '--runs', '/proc/x'), "--runs = '/proc/x': cannot be written"),
        (('bench', 'soak', '--runs', '/proc/x'), "--runs = '/proc/x': cannot be written"),
        (('bench', 'batch', '--plot', '/proc/x/y'), "--plot = '/proc/x/y': cannot be written"),
        (('bench', 'batch', '--json', '/dev/null'), "--json = '/dev/null': cannot be written"),
        (('doctor', '--rig', 'sim', '--json', '/proc/x'), "--json = '/proc/x': cannot be"),
        (('export', '--out', '/proc/x'), "--out = '/proc/x': cannot be written"),
        ((*COLLECT, '--noise-m', 'nan'), '--noise-m = nan: must be within 0.0..0.1'),
        ((*COLLECT, '--time-limit-s', '0'), '--time-limit-s = 0.0'),
        ((*TRAIN, '--hidden', '0'), '--hidden = 0: must be within 1..'),
        ((*TRAIN, '--learning-rate', 'inf'), '--learning-rate = inf'),
        (('pretrain', '--data', 'x', '--out', 'x', '--heads', '3'), 'must divide width (128)'),
    ],
)
def test_wrong_numbers_and_places_are_named_before_any_work(capsys, words, said):
    assert cli.main(words) == 2
    assert said in capsys.readouterr().err


def test_a_long_list_of_choices_is_cut_to_the_nearest():
    error = UnknownNameError('model', 'vit_tyny', [f'vit_{n}' for n in range(500)] + ['vit_tiny'])
    assert "Did you mean 'vit_tiny'? There are 501; the nearest are vit_tiny, " in str(error)
    assert len(str(error)) < 200


def test_control_characters_of_a_package_do_not_reach_the_terminal():
    assert printable('a\x1b[2J\tb\n\u202ec') == 'a?[2J\tb\n?c'


def test_an_error_about_a_hostile_file_is_printed_without_them(tmp_path, capsys):
    folder = tmp_path / 'tasks' / 'evil'
    folder.mkdir(parents=True)
    (folder / 'manifest.json').write_text(json.dumps({'a\x1b]0;PWN\x07\x1b[2J': 1}))
    assert cli.main(['adapters', 'show', 'evil', '--models', str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert 'PWN' in told
    assert '\x1b' not in told and '\x07' not in told


def test_the_version_is_told(capsys):
    assert cli.main(['--version']) == 0
    assert capsys.readouterr().out.startswith('roboadapt 0.')


def test_json_is_written_whole_or_the_option_is_named(tmp_path):
    file = tmp_path / 'deep' / 'found.json'
    write_json(file, {'episodes': 3})
    assert json.loads(file.read_text()) == {'episodes': 3}
    assert [path.name for path in file.parent.iterdir()] == ['found.json']
    with pytest.raises(ConfigError, match='--json'):
        write_json(file / 'below_a_file.json', {})


def test_looking_whether_something_can_be_written_leaves_nothing(tmp_path):
    here, link = tmp_path / 'here.json', tmp_path / 'link'
    here.write_text('{}')
    link.symlink_to(tmp_path / 'nowhere')
    require_writable(tmp_path / 'deep' / 'er' / 'found.json')
    require_writable(here)
    require_folder(tmp_path / 'deep' / 'er')
    for path in (link, link / 'below', here, here / 'below'):
        with pytest.raises(ConfigError, match=r'--out = .* cannot be written'):
            require_folder(path)
    with pytest.raises(ConfigError, match='not a file'):
        require_writable(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['here.json', 'link']
    assert here.read_text() == '{}'


def test_what_the_system_refuses_is_one_line_with_the_path(monkeypatch, capsys, tmp_path):
    file = tmp_path / 'some.json'

    def run(options, console):
        with replacing(file) as temporary, temporary.open('w') as out:
            out.write('half')
            raise OSError(errno.ENOSPC, 'No space left on device')

    _table(monkeypatch, run)
    assert cli.main(['try']) == 2
    assert capsys.readouterr().err == f'roboadapt: {file}: No space left on device\n'
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_does_not_harm_the_file_that_is_there(tmp_path):
    file = tmp_path / 'some.json'
    file.write_text('whole')
    with pytest.raises(OSError, match=r'some\.json'), replacing(file) as temporary:
        temporary.write_text('half')
        raise OSError(errno.ENOSPC, 'No space left on device')
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    assert file.read_text() == 'whole'


def test_progress_without_a_terminal_is_a_few_lines():
    console = Console(record=True, quiet=False, force_terminal=False, width=80)
    progress = ProgressLine(console, None)
    for done in range(101):
        progress(done, 100, f'step {done}')
    assert console.export_text().splitlines() == ['[0/100] step 0', '[100/100] step 100']
