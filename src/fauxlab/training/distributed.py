"""Several processes that train one network: what they must agree on and what they average."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import InitProcessGroupKwargs, broadcast_object_list
from torch import Tensor, nn

# The first process evaluates a GAN while the others wait for its decision. With a large feature
# network that takes hours the first time; torch's own limit of 10 to 30 minutes would end the run.
LONGEST_WAIT = timedelta(days=1)


def start_accelerator(precision: str) -> Accelerator:
    """The engine of one training: device, precision and the other processes."""
    # accelerate refuses a second precision in one process unless its state is reset. The processes'
    # ties to each other are kept.
    AcceleratorState._reset_state()
    return Accelerator(
        mixed_precision=precision,
        cpu=not torch.cuda.is_available(),
        kwargs_handlers=[InitProcessGroupKwargs(timeout=LONGEST_WAIT)],
    )


def any_process(accelerator: Accelerator, flag: bool) -> bool:
    """Whether any process raises the flag; all get the same answer."""
    if accelerator.num_processes == 1:
        return flag
    own_flag = torch.tensor([flag], device=accelerator.device)
    flags = accelerator.gather(own_flag)
    return bool(flags.any())


def from_first_process(accelerator: Accelerator, word: str) -> str:
    """The first process's word, on every process; the others wait for it."""
    if accelerator.num_processes == 1:
        return word
    words = [word]
    broadcast_object_list(words)
    return words[0]


def average_gradients(accelerator: Accelerator, network: nn.Module) -> None:
    """Replace every gradient by its mean over the processes, in one message.

    Done by hand and not by DistributedDataParallel, because a gradient penalty differentiates twice
    through a network that is called several times in a step.
    """
    if accelerator.num_processes == 1:
        return
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    means: Any = accelerator.reduce(flat, "mean")
    sizes = [gradient.numel() for gradient in gradients]
    parts = means.split(sizes)
    for gradient, mean in zip(gradients, parts, strict=True):
        gradient.copy_(mean.view_as(gradient))


def share_batch_statistics(accelerator: Accelerator, network: nn.Module) -> None:
    """Give all processes the first one's buffers, which are the ones that are saved.

    On CPUs each process has batch statistics of its own.
    """
    if accelerator.num_processes == 1:
        return
    for statistics in network.buffers():
        torch.distributed.broadcast(statistics, 0)


def synchronise_batch_norm(accelerator: Accelerator, network: nn.Module) -> nn.Module:
    """Batch normalisation over the batch of all processes, which torch offers on GPUs alone."""
    on_cpu = accelerator.device.type != "cuda"
    if on_cpu or accelerator.num_processes == 1:
        return network
    converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    return converted


def gather_shares(accelerator: Accelerator, share: Tensor, count: int) -> Tensor:
    """All values [count] in order, on every process, from the share that each process holds.

    With n processes, process r holds the values r, r + n, r + 2n, …
    """
    processes = accelerator.num_processes
    longest = math.ceil(count / processes)
    padded = torch.zeros(longest, device=accelerator.device)
    padded[: len(share)] = share
    gathered: Tensor = accelerator.gather(padded)
    # Undo the striding, then drop the padding.
    by_process = gathered.view(processes, longest)
    in_order = by_process.T.flatten()
    return in_order[:count].cpu()
