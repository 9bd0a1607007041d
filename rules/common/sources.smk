# What a run starts from: models, conversations, benchmarks, and the files that the project ships.


def shipped(name):
    """Return the path of a file in workflow/resources, relative to the working folder."""
    return os.path.relpath(ROOT / "workflow" / "resources" / name)


def benchmark_samples(benchmark):
    """Return the project's own items of a benchmark."""
    return [
        os.path.relpath(file)
        for file in sample_files(ROOT / "workflow/resources/samples", benchmark)
    ]


def task_file(wildcards):
    """Return the content of the task file that a benchmark's settings name."""
    settings = RUNS[wildcards.run]["evaluate_task"][wildcards.benchmark]
    try:
        return ordered(read_task_file(ROOT / "workflow/resources/tasks", settings))
    except LorabenchError as error:
        stop(error)


def local_files(entry):
    """Return the files of a `path` source, so that an edit of them reruns the fetch."""
    if entry["kind"] != "path":
        return []
    path = Path(entry["path"])
    if path.is_dir():
        return sorted(
            str(file)
            for file in path.rglob("*")
            if file.is_file() and not file.name.startswith(".")
        )
    return [str(path)]


def models():
    """Return model name -> source over all runs."""
    entries = [model for run in RUNS.values() for model in run["fetch_model"].values() if model]
    return {model["name"]: ordered(source(model)) for model in entries}


def labelled(kind):
    """Return label -> source over all runs, for `fetch_conversations` or one benchmark of `fetch_benchmark`."""
    entries = [
        run["fetch_conversations"] if kind == "conversations" else run["fetch_benchmark"][kind]
        for run in RUNS.values()
    ]
    return {source_label(entry): ordered(source(entry)) for entry in entries}


def base_model(wildcards):
    """Return the source.json of the run's base model."""
    return f"resources/models/{RUNS[wildcards.run]['fetch_model']['base']['name']}/source.json"


def judge_model(benchmark):
    """Return a function of the wildcards: the source.json of a local judge's model, nothing for other judges."""

    def model(wildcards):
        run = RUNS[wildcards.run]
        if run[JUDGED[benchmark]]["judge"]["kind"] != "local":
            return []
        name = (run["fetch_model"]["judge"] or run["fetch_model"]["base"])["name"]
        return f"resources/models/{name}/source.json"

    return model


def conversations(wildcards, name):
    """Return a file of the run's conversation source."""
    return (
        f"resources/conversations/{source_label(RUNS[wildcards.run]['fetch_conversations'])}/{name}"
    )


def benchmark_source(run, benchmark):
    """Return the source.json of one benchmark of a run."""
    return f"resources/benchmarks/{benchmark}/{source_label(RUNS[run]['fetch_benchmark'][benchmark])}/source.json"


def benchmark_sources(run):
    """Return the source.json files of all benchmarks that a run scores."""
    return [
        benchmark_source(run, benchmark) for benchmark in RUNS[run]["score_benchmark"]["benchmarks"]
    ]
