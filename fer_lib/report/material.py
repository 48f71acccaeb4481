"""What the report's pages are made from: the study's results and their tables."""

from collections import defaultdict
from functools import cached_property

import pandas as pd

from fer_lib.runs import RunRecord
from fer_lib.study.answer import Progress, answer, progress
from fer_lib.study.claim_table import claim_table
from fer_lib.study.evidence import evidence_table
from fer_lib.study.gains import ablation_table
from fer_lib.study.results import Study
from fer_lib.study.statements import statement_table

QUESTIONS = ("", "start", "alike")
"""What our own comparisons ask, see :func:`fer_lib.study.gains.list_ablations`."""


class Material:
    """The study's results and tables.

    Args:
        study: the results.
    """

    def __init__(self, study: Study) -> None:
        self.study, self.records = study, study.records

    @cached_property
    def claims(self) -> pd.DataFrame:
        """See :func:`fer_lib.study.claim_table.claim_table`."""
        return claim_table(self.study)

    @cached_property
    def evidence(self) -> pd.DataFrame:
        """See :func:`fer_lib.study.evidence.evidence_table`."""
        return evidence_table(self.study)

    @cached_property
    def statements(self) -> pd.DataFrame:
        """See :func:`fer_lib.study.statements.statement_table`."""
        return statement_table(self.study)

    @cached_property
    def own_gains(self) -> dict[str, pd.DataFrame]:
        """Our own comparisons by question, see :func:`fer_lib.study.gains.ablation_table`."""
        return {question: ablation_table(self.study, claimed=False, question=question) for question in QUESTIONS}

    @cached_property
    def state(self) -> Progress:
        """How far the study is."""
        return progress(self.study)

    @cached_property
    def answer(self) -> tuple[str, str]:
        """What is said of attention, and of printed numbers: Markdown with links within the report."""
        return tuple(answer(self.study, links=True).split("\n\n"))

    @cached_property
    def paper_gains(self) -> pd.DataFrame:
        """The papers' own ablations."""
        return ablation_table(self.study, claimed=True)

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
