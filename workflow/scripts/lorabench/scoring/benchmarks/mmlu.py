"""MMLU: the share of right choices, over all questions, by subject and by the four groups.

Source of the groups: the group files of lm-evaluation-harness 0.4.13 (tasks/mmlu/default), so that
    group averages compare with its own. They follow the benchmark's authors (Hendrycks et al. 2021,
    arXiv 2009.03300) except that the authors' categories.py counts anatomy as health, hence
    "other", where the harness has it in STEM.
"""

from collections.abc import Sequence
from typing import Any

from lorabench.documents.item_result import ItemResult
from lorabench.documents.protocol import TaskProtocol
from lorabench.documents.score import Part
from lorabench.scoring.benchmark import ScoredBenchmark
from lorabench.scoring.estimates import mean_by_cluster, part, parts_by, share
from lorabench.scoring.protocols import engine_words, harness_words

GROUP_SUBJECTS = {
    "stem": (
        "abstract_algebra",
        "anatomy",
        "astronomy",
        "college_biology",
        "college_chemistry",
        "college_computer_science",
        "college_mathematics",
        "college_physics",
        "computer_security",
        "conceptual_physics",
        "electrical_engineering",
        "elementary_mathematics",
        "high_school_biology",
        "high_school_chemistry",
        "high_school_computer_science",
        "high_school_mathematics",
        "high_school_physics",
        "high_school_statistics",
        "machine_learning",
    ),
    "humanities": (
        "formal_logic",
        "high_school_european_history",
        "high_school_us_history",
        "high_school_world_history",
        "international_law",
        "jurisprudence",
        "logical_fallacies",
        "moral_disputes",
        "moral_scenarios",
        "philosophy",
        "prehistory",
        "professional_law",
        "world_religions",
    ),
    "social_sciences": (
        "econometrics",
        "high_school_geography",
        "high_school_government_and_politics",
        "high_school_macroeconomics",
        "high_school_microeconomics",
        "high_school_psychology",
        "human_sexuality",
        "professional_psychology",
        "public_relations",
        "security_studies",
        "sociology",
        "us_foreign_policy",
    ),
    "other": (
        "business_ethics",
        "clinical_knowledge",
        "college_medicine",
        "global_facts",
        "human_aging",
        "management",
        "marketing",
        "medical_genetics",
        "miscellaneous",
        "nutrition",
        "professional_accounting",
        "professional_medicine",
        "virology",
    ),
}
SUBJECT_GROUP = {
    subject: group for group, subjects in GROUP_SUBJECTS.items() for subject in subjects
}


def group_of(subject: str) -> str:
    """Return the group of a subject, "other" for subjects that MMLU does not have."""
    return SUBJECT_GROUP.get(subject, "other")


def _protocol(made: TaskProtocol, _: None) -> str:
    letters, shots = made["task"] == "mmlu", made["few_shot"]
    names = "mmlu_*" if letters else "mmlu_*_continuation"
    task = f"tasks {names}, {shots}-shot (the first {shots} dev questions of the subject)"
    measure = (
        'share of questions whose right letter has the highest log-likelihood among " A" to " D"'
        if letters
        else (
            "share of questions whose right choice has the highest log-likelihood among the texts"
            " of the four, which the prompt does not list (no letters; not normalised by length)"
        )
    )
    return f"{harness_words(made, task)}{engine_words(made)}; {measure}"


def _breakdown(rows: Sequence[ItemResult], confidence: float) -> dict[str, Part]:
    """Return each subject with its group."""
    subjects = parts_by(rows, lambda row: row.cluster, share, confidence)
    return {subject: {**scored, "group": group_of(subject)} for subject, scored in subjects.items()}


def _secondary(rows: Sequence[ItemResult], confidence: float) -> dict[str, Any]:
    """Return the four groups and both averages: micro (the score) and macro over subjects.

    The macro average's standard error takes the subjects as given: root of the sum of squared
    errors over their number.
    """
    subjects = parts_by(rows, lambda row: row.cluster, share, confidence)
    errors = [scored["standard_error"] for scored in subjects.values()]
    known = [error for error in errors if error is not None]
    macro = {
        "score": sum(scored["score"] for scored in subjects.values()) / len(subjects),
        "standard_error": (
            sum(error**2 for error in known) ** 0.5 / len(subjects)
            if len(known) == len(errors)
            else None
        ),
        "n": len(subjects),
    }
    return {
        "groups": parts_by(rows, lambda row: group_of(row.cluster), share, confidence),
        "micro_average": part(share(rows, confidence)),
        "macro_average": macro,
        "clustered_by_subject": part(mean_by_cluster(rows, confidence)),
    }


BENCHMARK = ScoredBenchmark(
    title="MMLU",
    metric="accuracy",
    items=14042,
    protocol=_protocol,
    cluster="subject",
    # the questions were sampled, the subjects are all of the benchmark's
    scope="these subjects",
    flips=0.10,
    # among four choices
    chance=0.25,
    breakdown=_breakdown,
    breakdown_title="subjects",
    secondary=_secondary,
    part_titles={
        "stem": "STEM",
        "micro_average": "micro average, over questions",
        "macro_average": "macro average, over subjects",
        "clustered_by_subject": "micro average, error clustered by subject",
    },
)
