"""What an audit says of cases before it looks at a picture: groups in several splits, labels that contradict, names."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from data_modules.audit import Audit
from data_modules.audit_names import telling_tokens
from data_modules.cases import Case


@dataclass(frozen=True, slots=True)
class Claim:
    """What one place of a table says about a case."""

    case_id: str
    label: str
    where: str
    """File and line."""


def note_shared_groups(audit: Audit, cases: Sequence[Case], *, split_of: Mapping[str, str], kind: str) -> None:
    """Groups with cases in several splits: results would be too good.

    Args:
        audit: Where faults go.
        cases: Those to look at.
        split_of: Split by case id; cases of no split do no harm.
        kind: What a group is, such as "patient".
    """
    groups: dict[str, dict[str, Case]] = {}
    for case in cases:
        if case.case_id in split_of:
            groups.setdefault(case.group_id, {}).setdefault(split_of[case.case_id], case)
    for group, by_split in groups.items():
        if len(by_split) > 1:
            places = "; ".join(f"{case.where} ({split})" for split, case in by_split.items())
            audit.add("fault", f"{kind} in several splits", [f"{kind} {group!r}: {places}"])


def note_label_conflicts(audit: Audit, claims: Iterable[Claim]) -> None:
    """Cases that two places of the tables label differently.

    Args:
        audit: Where faults go.
        claims: In the order of the tables.
    """
    by_case: dict[str, dict[str, Claim]] = {}
    for claim in claims:
        by_case.setdefault(claim.case_id, {}).setdefault(claim.label, claim)
    for case_id, by_label in by_case.items():
        if len(by_label) > 1:
            places = ", ".join(f"{claim.label} in {claim.where}" for claim in by_label.values())
            audit.add("fault", "labels that contradict each other", [f"{case_id!r} is {places}"])


def note_telling_names(audit: Audit, cases: Sequence[Case], *, class_of: Mapping[str, str]) -> None:
    """File names that give the class away.

    Args:
        audit: Where quirks go.
        cases: Those to look at.
        class_of: Class by case id; cases without one are left out.
    """
    named = (
        ([file.path for files in case.images.values() for file in files if file.path], class_of[case.case_id])
        for case in cases
        if case.case_id in class_of
    )
    audit.add("quirk", "name that gives the class away", map(str, telling_tokens(named)))
