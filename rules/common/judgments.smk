# Whether a judge can be asked now, and whether it was asked before.


def why_not_judged(run, benchmark):
    """Return why the judge of a benchmark cannot be asked now, or None."""
    return judge_available(RUNS[run][JUDGED[benchmark]]["judge"], os.environ)


def judged_before(run, variant, benchmark):
    """Return whether judgments of these very answers lie there that the configured judge made, in a call with its key."""
    protocol = Path(f"results/{run}/judgments/{variant}/{benchmark}.json")
    answers = Path(f"results/{run}/answers/{variant}/{benchmark}.jsonl")
    judge = RUNS[run][JUDGED[benchmark]]["judge"]
    if not (protocol.is_file() and answers.is_file()):
        return False
    made = read_json(protocol)
    same_judge = (made["judge"]["kind"], made["judge"]["model"]) == (judge["kind"], judge["model"])
    return same_judge and made["answers_sha256"] == sha256_file(answers)


def judgeable_runs(benchmark):
    """Return a wildcard pattern of the runs whose judge can be asked; for the others a judgment is whatever lies there."""
    return any_of(run for run in RUNS if why_not_judged(run, benchmark) is None)
