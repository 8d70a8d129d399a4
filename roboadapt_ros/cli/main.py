"""Entry of `roboadapt`: find the subcommand, run it, turn failures into one line and a code.

Exit codes: 0 done; 1 done, and the answer is no (a check failed, a run fell short);
2 the request or its surroundings are wrong; 130 interrupted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
import signal
import sys
import traceback
from types import FrameType
from typing import NoReturn

from roboadapt_ros.cli.command import Command, Entry, group_help, Parser, printable
from roboadapt_ros.errors import RoboAdaptError, UnknownNameError

PROGRAM = 'roboadapt'
DESCRIPTION = 'Camera-driven manipulation policies on a Franka arm, task by task, over ROS 2.'
INTERRUPTED = 130

COMMANDS: Mapping[str, Entry] = {
    'demo': Entry(
        summary='run both tasks on the simulated rig, switching while the arm moves, and report',
        target='roboadapt_ros.cli.demo:command',
    ),
    'up': Entry(
        summary='start the graph of a rig and keep it running',
        target='roboadapt_ros.cli.up:command',
    ),
    'doctor': Entry(
        summary='check a rig, its host and its graph, and say how to fix what is wrong',
        target='roboadapt_ros.cli.doctor:command',
    ),
    'switch': Entry(
        summary='switch the running graph to a task',
        target='roboadapt_ros.cli.switch:switch_command',
    ),
    'shadow': Entry(
        summary='let candidate tasks ride along on the live frames; the arm does not follow them',
        target='roboadapt_ros.cli.switch:shadow_command',
    ),
    'arm': Entry(
        summary='end a soft stop and open the motion gate of the running graph',
        target='roboadapt_ros.cli.switch:arm_command',
    ),
    'stop': Entry(
        summary='brake the arm and close the gate; --hard: deactivate its controllers, too',
        target='roboadapt_ros.cli.stop:stop_command',
    ),
    'recover': Entry(
        summary='bring the robot back from an error or a hard stop, step by step, confirmed',
        target='roboadapt_ros.cli.stop:recover_command',
    ),
    'adapters': Entry(
        summary='the task packages',
        group={
            'list': Entry(
                summary='list the task packages',
                target='roboadapt_ros.cli.adapters:list_command',
            ),
            'show': Entry(
                summary="show a task package's contract and provenance",
                target='roboadapt_ros.cli.adapters:show_command',
            ),
            'verify': Entry(
                summary='check a task package, and the backbone under it, by hash and probe',
                target='roboadapt_ros.cli.adapters:verify_command',
            ),
            'sizes': Entry(
                summary="count adapters' parameters by backbone and placement",
                target='roboadapt_ros.cli.sizes:command',
            ),
            'push': Entry(
                summary='send a task package to a model hub',
                target='roboadapt_ros.cli.hub:push_command',
            ),
            'pull': Entry(
                summary='fetch a task package from a model hub, and check it',
                target='roboadapt_ros.cli.hub:pull_command',
            ),
        },
    ),
    'backbones': Entry(
        summary='the frozen backbones',
        group={
            'list': Entry(
                summary='list the backbones',
                target='roboadapt_ros.cli.backbones:list_command',
            ),
            'add': Entry(
                summary='freeze a timm model into a backbone package, pretrained or from a file',
                target='roboadapt_ros.cli.backbones:add_command',
            ),
            'verify': Entry(
                summary="check backbones' tensors by hash, and their probe features",
                target='roboadapt_ros.cli.backbones:verify_command',
            ),
        },
    ),
    'collect': Entry(
        summary='record demonstrations by the scripted experts in the simulator',
        target='roboadapt_ros.cli.learning:collect_command',
    ),
    'pretrain': Entry(
        summary='train a small backbone on rendered scenes',
        target='roboadapt_ros.cli.learning:pretrain_command',
    ),
    'train': Entry(
        summary="train a task's adapters and head over the frozen backbone",
        target='roboadapt_ros.cli.learning:train_command',
    ),
    'eval': Entry(
        summary='measure the success of a task under an adapter',
        target='roboadapt_ros.cli.evaluate:command',
    ),
    'export': Entry(
        summary='export backbones for ONNX Runtime, and measure the graphs against torch',
        target='roboadapt_ros.cli.export:command',
    ),
    'bench': Entry(
        summary='benchmarks',
        group={
            'encoder': Entry(
                summary='measure what adapters add to a forward pass, in every family',
                target='roboadapt_ros.cli.bench:encoder_command',
            ),
            'batch': Entry(
                summary='measure several tasks in one forward pass',
                target='roboadapt_ros.cli.bench:batch_command',
            ),
            'memory': Entry(
                summary='measure the memory of resident tasks',
                target='roboadapt_ros.cli.bench:memory_command',
            ),
            'gpu': Entry(
                summary='measure forward passes, switches and batches on a GPU',
                target='roboadapt_ros.cli.bench:gpu_command',
            ),
            'transport': Entry(
                summary='measure camera frames lost between processes',
                target='roboadapt_ros.cli.bench:transport_command',
            ),
            'switch': Entry(
                summary='measure task switches at random times under camera load',
                target='roboadapt_ros.cli.bench:switch_command',
            ),
            'full-rate': Entry(
                summary='switch 10,000 times under two cameras at 60 Hz, every feature judged',
                target='roboadapt_ros.cli.bench:full_rate_command',
            ),
            'loop': Entry(
                summary='measure frame to command through the whole graph',
                target='roboadapt_ros.cli.bench:loop_command',
            ),
            'soak': Entry(
                summary='run the tasks for half an hour with switches, count errors of the robot',
                target='roboadapt_ros.cli.bench:soak_command',
            ),
            'governor': Entry(
                summary='torment the governor, judge its points, and time it on busy cores',
                target='roboadapt_ros.cli.bench:governor_command',
            ),
        },
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _dispatch(PROGRAM, DESCRIPTION, COMMANDS, words)
    except RoboAdaptError as error:
        _complain(str(error))
        return 2
    except ModuleNotFoundError as error:
        if (error.name or '').startswith('roboadapt_ros'):
            return _own_fault()
        print(
            f"{PROGRAM}: the Python package '{error.name}' is not installed here; run "
            "'make setup', or source the ROS 2 installation and the workspace",
            file=sys.stderr,
        )
        return 2
    except BrokenPipeError:
        # The reader of our output went away (`| head`); nothing is left to say.
        sys.stderr.close()
        return 0
    except OSError as error:
        if error.errno is None:
            return _own_fault()
        _complain(_os_text(error))
        return 2
    except Exception:  # noqa: BLE001 - whatever it is, it is not an answer
        return _own_fault()
    except KeyboardInterrupt:
        print(f'{PROGRAM}: interrupted', file=sys.stderr)
        return INTERRUPTED


def _complain(text: str) -> None:
    """Say what is wrong; names from a file may hold what a terminal would obey."""
    print(printable(f'{PROGRAM}: {text}'), file=sys.stderr)


def _os_text(error: OSError) -> str:
    """Return what the operating system refused: 'FILE: why'."""
    paths = [str(path) for path in (error.filename, error.filename2) if path is not None]
    return ': '.join((*([' to '.join(paths)] if paths else []), str(error.strerror)))


def _own_fault() -> int:
    """Show the exception at hand; code 1 would say that a check has failed."""
    traceback.print_exc()
    print(f'{PROGRAM}: this is a fault of the program; please report it', file=sys.stderr)
    return 2


def _dispatch(program: str, description: str, table: Mapping[str, Entry], words: list[str]) -> int:
    if words == ['--version'] and table is COMMANDS:
        print(f'{PROGRAM} {version("roboadapt_ros")}')
        return 0
    if not words or words[0] in ('-h', '--help'):
        print(group_help(program, description, table))
        return 0 if words else 2
    name, rest = words[0], words[1:]
    if name not in table:
        raise UnknownNameError('command', name, table)
    entry = table[name]
    if entry.group is not None:
        return _dispatch(f'{program} {name}', entry.summary, entry.group, rest)
    return _run(f'{program} {name}', entry, rest)


def _run(program: str, entry: Entry, words: list[str]) -> int:
    """Import the command, parse its options and run it."""
    module, _, attribute = entry.target.partition(':')
    command: Command = getattr(import_module(module), attribute)
    parser = Parser(prog=program, description=f'{entry.summary[0].upper()}{entry.summary[1:]}.')
    command.arguments(parser)
    options = parser.parse_all(words)
    from rich.console import Console

    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        return command.run(options, Console(highlight=False))
    finally:
        signal.signal(signal.SIGTERM, previous)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Stop as Ctrl-C does, so that every process this one started is stopped too."""
    raise KeyboardInterrupt


if __name__ == '__main__':
    sys.exit(main())
