"""Settings of the HTTP endpoint (`python -m flows api`)."""

from typing import Literal

from pydantic import model_validator

from genrec.config.section import Section, knob
from genrec.paths import PathText


class ApiConfig(Section):
    """The HTTP endpoint: where it listens, how it batches, what it refuses, and its replicas on a cluster."""

    host: str = knob("127.0.0.1", "Address to listen on; 0.0.0.0 opens the endpoint to the network.")
    port: int = knob(8000, "Port to listen on.", ge=1, le=65535)
    events: PathText | None = knob(
        None,
        "Where events and changes of the catalogue are kept: a SQLite file, or postgresql://host/database (the password in "
        "PGPASSWORD), which several machines can share. null: STORE/events/events.sqlite.",
    )
    server: Literal["process", "ray"] = knob(
        "process",
        "process: HTTP, batching and search in one process, the fastest on one machine. ray: the same application as a "
        "Ray Serve deployment, with replicas that are started again when they die; infra/ has it for a cluster.",
    )
    num_threads: int = knob(1, "Threads of torch in the search of a process; HTTP wants a core besides.", ge=1)
    max_batch: int = knob(256, "Requests that are searched together at most.", ge=1, le=4096)
    max_kv_gib: float = knob(
        2.0,
        "GiB of keys and values that one search holds at most; requests that would take more are searched in several batches.",
        gt=0,
    )
    compile: bool = knob(
        False,
        "On a GPU, run the model's layers compiled (torch.compile): fewer launches, for a minute more before the endpoint "
        "is ready.",
    )
    batch_wait_ms: float = knob(
        0.0, "How long the first request of a batch waits for others while nothing is searched.", ge=0, le=1000
    )
    max_queue: int = knob(1000, "Requests that may wait for the search; one more gets a 503.", ge=1)
    deadline_ms: float = knob(2000, "A request that is not answered within this gets a 504.", gt=0)
    max_body_kb: int = knob(1024, "A larger body of a request gets a 413, without being read.", ge=1)
    max_history: int = knob(2000, "Items of a history that a request may hold.", ge=1)
    max_k: int = knob(200, "Recommendations that a request may ask for.", ge=1)
    max_events: int = knob(1000, "Events, or changes of the catalogue, that a request may hold.", ge=1)
    reload_every_s: float = knob(
        2.0, "How often the endpoint looks for another model in service and for changes of the catalogue.", gt=0
    )
    log_histories: bool = knob(False, "Write customers' histories and what they were shown into the log.")
    min_replicas: int = knob(1, "Ray Serve: replicas at least.", ge=1)
    max_replicas: int = knob(2, "Ray Serve: replicas at most; more than min_replicas scales by load.", ge=1)
    target_requests: int = knob(
        32, "Ray Serve: requests in progress a replica that the number of replicas is chosen for.", ge=1
    )
    num_cpus: float = knob(1, "Ray Serve: CPU cores a replica.", ge=0)
    num_gpus: float = knob(0, "Ray Serve: GPUs a replica; a fraction shares one.", ge=0)

    @model_validator(mode="after")
    def _replicas_in_order(self) -> "ApiConfig":
        if self.max_replicas < self.min_replicas:
            raise ValueError(f"max_replicas: {self.max_replicas} is less than min_replicas ({self.min_replicas})")
        return self
