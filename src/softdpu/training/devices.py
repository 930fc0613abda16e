"""Which devices train a network: one, all GPUs of this machine, or several machines that train one network together."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from dataclasses import dataclass
from typing import Any, Iterator, Mapping  # noqa: UP035 - Python 3.7 of AMD's containers

from softdpu.errors import SoftdpuError
from softdpu.keras2.api import tf

AUTO, ONE_DEVICE, MIRRORED, MULTI_WORKER = "auto", "one", "mirrored", "multi_worker"
STRATEGIES = (AUTO, ONE_DEVICE, MIRRORED, MULTI_WORKER)
TIMEOUT = 600

# Slurm's tasks listen on ports from here on, below those that the kernel gives out by itself; each job has its own.
_FIRST_PORT, _PORTS_A_JOB, _JOBS = 12000, 64, 300

_TF_CONFIG = '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'


@dataclass(frozen=True)
class Devices:
    """What a network is trained on.

    Attributes:
        strategy: TensorFlow's strategy of distribution; None for one device.
        worker: number of this process, from 0; worker 0, the chief, writes all files.
        workers: how many processes train the network together.
    """

    strategy: Any = None
    worker: int = 0
    workers: int = 1

    @property
    def chief(self) -> bool:
        """Return whether this process writes the files."""
        return self.worker == 0

    @property
    def replicas(self) -> int:
        """Return how many copies of the network there are, each of which takes its part of every batch."""
        return int(self.strategy.num_replicas_in_sync) if self.strategy is not None else 1

    def scope(self) -> Any:
        """Return the context in which variables become the strategy's."""
        return self.strategy.scope() if self.strategy is not None else contextlib.nullcontext()


ONE = Devices()


def choose(kind: str = AUTO, timeout: float = TIMEOUT) -> Devices:
    """Return the devices to train on; call it before TensorFlow computes anything.

    Every worker but the chief loses its standard output here, so that a log says everything once.

    Args:
        kind: AUTO takes the workers of TF_CONFIG or of a Slurm step if there are several, else all GPUs of this
            machine if there are several, else what TensorFlow takes by itself.
        timeout: seconds to wait for the other workers.

    Raises:
        SoftdpuError: if TF_CONFIG or Slurm's variables are wrong, or one of them does not answer.
    """
    tf.get_logger().setLevel("ERROR")  # a strategy logs each of its exchanges
    cluster = _cluster() if kind in (AUTO, MULTI_WORKER) else None
    if kind == MULTI_WORKER and cluster is None:
        raise SoftdpuError(
            "--strategy multi_worker needs several workers: start it with srun in a Slurm job, or set TF_CONFIG to"
            f" {_TF_CONFIG} for each"
        )
    if cluster is not None:
        return _workers(*cluster, timeout=timeout)
    gpus = tf.config.list_physical_devices("GPU")
    if kind == MIRRORED or (kind == AUTO and len(gpus) > 1):
        devices = Devices(tf.distribute.MirroredStrategy())
        print(f"training on {devices.replicas} devices of this machine", flush=True)
        return devices
    return ONE


def agree(devices: Devices, facts: Mapping[str, str]) -> None:
    """Check that all workers do the same training; returns when all have come here.

    Raises:
        SoftdpuError: naming the first fact that is not the same everywhere.
    """
    if devices.workers == 1:
        return
    everywhere = [json.loads(text) for text in _gather(devices, json.dumps(facts, sort_keys=True))]
    chief = everywhere[0]
    for worker, other in enumerate(everywhere):
        for name in sorted({*chief, *other}):
            if chief.get(name) != other.get(name):
                raise SoftdpuError(
                    f"the workers do not agree: {name} is {chief.get(name)} for worker 0 and {other.get(name)} for"
                    f" worker {worker}; start all with the same options, records, models and checkpoints"
                )


def wait_for_all(devices: Devices) -> None:
    """Return when all workers have come here: one that ends early would end the others too."""
    with explain_lost_workers(devices):
        agree(devices, {})


@contextlib.contextmanager
def explain_lost_workers(devices: Devices) -> Iterator[None]:
    """Say in one line that another worker has stopped, which TensorFlow raises as an error of its own."""
    try:
        yield
    except tf.errors.OpError as error:
        if devices.workers == 1:
            raise
        raise SoftdpuError(
            f"training with the other workers stopped ({type(error).__name__}): one of them has ended or cannot be"
            " reached; see its log and start all workers again, with --checkpoints they go on after the last epoch"
        ) from None


def _gather(devices: Devices, text: str) -> list[str]:
    """Return each worker's text."""
    data = tf.constant(list(text.encode("utf-8")), tf.int32)

    @tf.function
    def exchange() -> Any:
        def one() -> Any:
            context = tf.distribute.get_replica_context()
            return context.all_gather(tf.size(data)[tf.newaxis], 0), context.all_gather(data, 0)

        return devices.strategy.run(one)

    lengths, joined = (devices.strategy.experimental_local_results(value)[0].numpy() for value in exchange())
    replicas_a_worker = devices.replicas // devices.workers
    texts, position = [], 0
    for length in lengths:
        texts.append(bytes(joined[position : position + length].tolist()).decode("utf-8"))
        position += int(length)
    return texts[::replicas_a_worker]


def _workers(addresses: list[str], index: int, timeout: float) -> Devices:
    """Return the devices of several workers, once all of them answer."""
    wait_for_workers(addresses, index, timeout)
    gpus = len(tf.config.list_physical_devices("GPU"))
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": addresses}),
        task_type="worker",
        task_id=index,
        num_accelerators={"GPU": gpus},
        rpc_layer="grpc",
    )
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SoftdpuError(f"worker {index} at {addresses[index]} cannot join the others: {why}") from None
    devices = Devices(strategy, index, len(addresses))
    if not devices.chief:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - until the process ends
    print(f"training with {len(addresses)} workers on {devices.replicas} devices", flush=True)
    return devices


def wait_for_workers(addresses: list[str], own: int, timeout: float) -> None:
    """Return when every worker has been seen; TensorFlow itself would wait for ever, and not say for whom.

    Args:
        addresses: host:port of each worker.
        own: number of this one.
        timeout: seconds.

    Raises:
        SoftdpuError: naming the worker that does not answer, or the port that is taken.
    """
    places = [_place(address) for address in addresses]
    missing = set(range(len(places))) - {own}
    deadline = time.monotonic() + timeout
    with socket.socket() as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind(("", places[own][1]))
            door.listen(len(places))
        except OSError as error:
            raise SoftdpuError(
                f"worker {own} cannot listen at {addresses[own]}: {error.strerror}; is another training running there?"
            ) from None
        while missing:
            missing = {worker for worker in missing if not _answers(places[worker])}
            if missing and time.monotonic() > deadline:
                names = ", ".join(f"{worker} ({addresses[worker]})" for worker in sorted(missing))
                raise SoftdpuError(
                    f"worker {names} did not answer worker {own} within {timeout:g} s; start all {len(places)} workers"
                    " at the same time, and let their machines reach each other"
                )
            time.sleep(0.1 if missing else 0)


def _place(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise SoftdpuError(f"a worker's address must be host:port, got {address} (TF_CONFIG)")
    return host.strip("[]"), int(port)


def _answers(place: tuple[str, int]) -> bool:
    try:
        socket.create_connection(place, timeout=2).close()
    except OSError:
        return False
    return True


def _cluster() -> tuple[list[str], int] | None:
    """Return the workers' addresses and the number of this one, or None if it is alone."""
    text = os.environ.get("TF_CONFIG")
    if text:
        return _of_tf_config(text)
    if int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        return _of_slurm()
    return None


def _of_tf_config(text: str) -> tuple[list[str], int] | None:
    try:
        config = json.loads(text)
        jobs, task = config.get("cluster", {}), config.get("task", {"type": "worker", "index": 0})
        addresses = [*jobs.get("chief", []), *jobs.get("worker", [])]
        if len(addresses) < 2:
            return None
        before = len(jobs.get("chief", [])) if task["type"] == "worker" else 0
        jobs[task["type"]][task["index"]]
        if task["type"] not in ("chief", "worker"):
            raise KeyError(task["type"])
        return addresses, before + task["index"]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise SoftdpuError(f"TF_CONFIG must be {_TF_CONFIG}, got {text}") from None


def _of_slurm() -> tuple[list[str], int]:
    """Return the tasks of this Slurm step.

    The resolver's part in choosing GPUs is switched off: Slurm itself gives each task those that it has asked for.
    """
    job = int(os.environ.get("SLURM_JOB_ID", "0"))
    tasks = int(os.environ["SLURM_STEP_NUM_TASKS"])
    try:
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=_FIRST_PORT + job % _JOBS * _PORTS_A_JOB,
            gpus_per_node=tasks,
            gpus_per_task=1,
            auto_set_gpu=False,
        )
        addresses = resolver.cluster_spec().as_dict()["worker"]
        return addresses, int(os.environ["SLURM_PROCID"])
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise SoftdpuError(
            f"the tasks of this Slurm step cannot be told: {' '.join(str(error).split())}; start training with srun, or"
            " without more than one task (--strategy one)"
        ) from None
