# What jobs ask of the machine.


def gpus():
    """Return the GPUs that a job with the model asks for."""
    return int(any(run["require_gpu"] for run in RUNS.values()))


def training_gpus():
    """Return the GPUs that training asks for, a process each: all that the profile offers."""
    offered = workflow.global_resources.get("gpu")
    return gpus() * ((offered and offered.value) or 1)


def half_the_cores():
    """Return threads for jobs of which two run side by side on one machine."""
    return max(1, (workflow.resource_settings.cores or 16) // 2)


def all_cores():
    """Return threads for a job that has the machine to itself."""
    return min(workflow.resource_settings.cores or 8, 16)
