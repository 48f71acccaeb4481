"""What the report's pages are made from: the records and the tables, each computed once."""

from collections import defaultdict
from functools import cached_property

import pandas as pd

from fer_lib.runs import RunRecord
from fer_lib.study.answer import Progress, answer, progress
from fer_lib.study.claim_table import claim_table
from fer_lib.study.evidence import evidence_table
from fer_lib.study.gains import ablation_table
from fer_lib.study.statements import statement_table

QUESTIONS = ("", "start", "alike")
"""What our own comparisons ask, see :func:`fer_lib.study.gains.list_ablations`."""


class Material:
    """The study's records and tables.

    Args:
        records: the sound ones.
        problems: what is wrong with the others, one line each.
    """

    def __init__(self, records: list[RunRecord], problems: list[str]) -> None:
        self.records, self.problems = records, problems

    @cached_property
    def claims(self) -> pd.DataFrame:
        """See :func:`fer_lib.study.claim_table.claim_table`."""
        return claim_table(self.records)

    @cached_property
    def evidence(self) -> pd.DataFrame:
        """See :func:`fer_lib.study.evidence.evidence_table`."""
        return evidence_table(self.records)

    @cached_property
    def statements(self) -> pd.DataFrame:
        """See :func:`fer_lib.study.statements.statement_table`."""
        return statement_table(self.records)

    @cached_property
    def own_gains(self) -> dict[str, pd.DataFrame]:
        """Our own comparisons by question, see :func:`fer_lib.study.gains.ablation_table`."""
        return {question: ablation_table(self.records, claimed=False, question=question) for question in QUESTIONS}

    @cached_property
    def state(self) -> Progress:
        """How far the study is."""
        return progress(self.records)

    @cached_property
    def answer(self) -> tuple[str, str]:
        """What is said of attention, and of printed numbers: Markdown with links within the report."""
        tables = {
            "claims": self.claims,
            "evidence": self.evidence,
            "control": self.own_gains[""],
            "alike": self.own_gains["alike"],
        }
        return tuple(answer(self.records, links=True, tables=tables, state=self.state).split("\n\n"))

    @cached_property
    def paper_gains(self) -> pd.DataFrame:
        """The papers' own ablations."""
        return ablation_table(self.records, claimed=True)

    @cached_property
    def trainings(self) -> dict[str, list[RunRecord]]:
        """Records that differ in their fold alone, by the address of their page."""
        found = defaultdict(list)
        for record in self.records:
            found[training_page(record)].append(record)
        return {page: sorted(runs, key=lambda run: run.spec["fold"] or 0) for page, runs in sorted(found.items())}


def training_page(record: RunRecord) -> str:
    """The address of a run's page, from the report's folder; the folds of one training share it."""
    fold = record.spec["fold"]
    return f"runs/{record.id if fold is None else record.id.rsplit('-', 1)[0].removesuffix(f'-f{fold}')}.html"
