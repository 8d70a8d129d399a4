"""What a check says: the thing, how bad it is, what was found, the rule, and the fix."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
import enum

from roboadapt_ros.errors import ConfigError


class Severity(enum.Enum):
    """How bad a finding is."""

    ERROR = 'error'
    """It will not work, or not safely."""
    WARNING = 'warning'
    """It works, and is likely to give trouble."""
    INFO = 'info'
    """Worth knowing; also what could not be checked, with the reason."""
    OK = 'ok'


_ORDER = tuple(Severity)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The outcome of one check on one thing."""

    check: str
    """Name of the check, as in docs/doctor.md."""
    subject: str
    """The thing: a topic, a node, a camera, a setting."""
    severity: Severity
    found: str
    rule: str = ''
    """What is required, and by whom."""
    fix: str = ''
    """A command or a setting."""

    def __post_init__(self) -> None:
        """Check that what is wrong comes with its rule and its fix."""
        if self.severity in (Severity.ERROR, Severity.WARNING) and not (self.rule and self.fix):
            raise ConfigError(f'finding {self.check}', self.found, 'needs a rule and a fix')

    def to_mapping(self) -> dict[str, str]:
        """Return plain text by field, for JSON."""
        return {
            'check': self.check,
            'subject': self.subject,
            'severity': self.severity.value,
            'found': self.found,
            'rule': self.rule,
            'fix': self.fix,
        }


def ok(check: str, subject: str, found: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(check=check, subject=subject, severity=Severity.OK, found=found)


def info(check: str, subject: str, found: str, fix: str = '') -> Finding:
    """Return a finding that is worth knowing."""
    return Finding(check=check, subject=subject, severity=Severity.INFO, found=found, fix=fix)


def skipped(check: str, subject: str, reason: str, fix: str = '') -> Finding:
    """Return that something was not checked, and why."""
    return info(check, subject, f'not checked: {reason}', fix)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings by severity, in their order within one."""
    return sorted(findings, key=lambda finding: _ORDER.index(finding.severity))


def has_error(findings: Iterable[Finding]) -> bool:
    """Return whether anything is an error."""
    return any(finding.severity is Severity.ERROR for finding in findings)
