"""The four groups of MMLU's 57 subjects: STEM, humanities, social sciences, other.

Source: the group files of lm-evaluation-harness 0.4.13 (tasks/mmlu/default), so that group averages
    compare with its own. They follow the benchmark's authors (Hendrycks et al. 2021, arXiv
    2009.03300) except that the authors' categories.py counts anatomy as health, hence "other",
    where the harness has it in STEM.
"""

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
    """Return the group of a subject; subjects that MMLU does not have (own samples) fall into
    "other"."""
    return SUBJECT_GROUP.get(subject, "other")
