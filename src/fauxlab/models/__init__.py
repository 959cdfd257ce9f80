"""Networks by name. They are plain modules that know nothing of recipes, disks or devices."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fauxlab.errors import LabError, suggest

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    Build = Callable[..., nn.Module]


# The largest number in a network's options: a larger one would fill the memory before the network
# could be refused.
MOST = 4096
# The most blocks of a network in all, and the most numbers in a list: building more takes minutes.
MOST_BLOCKS = 256
# The most weights of a network: 1 GiB, and four times that while it is trained.
MOST_WEIGHTS = 2**28
USUAL_LATENT = 1024

# Name → what builds it, in the module of its network.
DETECTORS = {
    "inception": "detectors:inception_detector",
    "report-cnn": "detectors:ReportCNN",
    "trace": "detectors:trace_net",
}
# Name → generator and discriminator. The report's discriminator is the network of its detector.
GANS = {
    "report-gan-v1": ("gans:ReportGenerator", "detectors:ReportCNN"),
    "report-gan-v2": ("gans:ReportGenerator", "detectors:ReportCNN"),
    "r3": ("gans:R3Generator", "gans:R3Discriminator"),
    "sngan": ("sngan:SNGenerator", "sngan:SNDiscriminator"),
}


def list_models() -> list[str]:
    """Names that `create_detector`, `create_generator` and `create_discriminator` take.

    >>> list_models()
    ['inception', 'r3', 'report-cnn', 'report-gan-v1', 'report-gan-v2', 'sngan', 'trace']
    """
    return sorted([*DETECTORS, *GANS])


def create_detector(name: str, size: int, /, **options: Any) -> nn.Module:
    """A detector: images float [N, 3, size, size] in [-1, 1] to logits [N], above 0 for fake.

    With the option `heads=H` above 1 it gives the logits [N, H] of each head, and its `join` makes
    one logit [N] of these. Raises LabError on an unknown name or option.

    >>> detector = create_detector("trace", 64)
    >>> sum(parameter.numel() for parameter in detector.parameters())
    1227745
    """
    builder = _look_up(name, DETECTORS, "detector")
    fixed = {"size": size}
    return _create(builder, name, fixed, options)


def create_generator(name: str, size: int, latent: int, /, **options: Any) -> nn.Module:
    """A generator: latents float [N, latent] to images float [N, 3, size, size].

    Raises LabError on an unknown name or option.
    """
    builder, _ = _look_up(name, GANS, "GAN")
    fixed = {"size": size, "latent": latent}
    return _create(builder, name, fixed, options)


def create_discriminator(name: str, size: int, /, **options: Any) -> nn.Module:
    """The discriminator of a generator: images to logits [N], above 0 for real.

    Raises LabError on an unknown name or option.
    """
    _, builder = _look_up(name, GANS, "GAN")
    fixed = {"size": size}
    return _create(builder, name, fixed, options)


def _look_up(name: str, table: dict[str, Any], kind: str) -> Any:
    if name not in table:
        guess = suggest(name, table)
        raise LabError(f"no {kind} {name!r}; `fauxlab models list` shows all{guess}")
    return table[name]


def _create(builder: str, name: str, fixed: dict[str, Any], options: dict[str, Any]) -> nn.Module:
    """Build a network; torch's errors on impossible options become one line."""
    _check_options(name, fixed, options)
    file, _, attribute = builder.partition(":")
    module = import_module(f"fauxlab.models.{file}")
    build: Build = getattr(module, attribute)
    try:
        # Without options networks are small; to count the weights takes up to a second.
        if options or fixed.get("latent", 0) > USUAL_LATENT:
            _check_weights(name, build, fixed | options)
        return build(**fixed, **options)
    except (TypeError, ValueError, RuntimeError, ZeroDivisionError) as error:
        message = str(error) or type(error).__name__
        reason = message.splitlines()[0]
        raise LabError(f"model {name}: {reason}") from None


def _check_weights(name: str, build: Build, options: dict[str, Any]) -> None:
    """Raise LabError for a network of more than MOST_WEIGHTS weights, before it takes memory."""
    import torch

    # Where nothing is stored, and no random number drawn.
    with torch.device("meta"):
        network = build(**options)
    count = sum(weight.numel() for weight in network.parameters())
    if count > MOST_WEIGHTS:
        raise LabError(f"model {name}: {count:,} weights; none may have above {MOST_WEIGHTS:,}")


def _check_options(name: str, fixed: dict[str, Any], options: dict[str, Any]) -> None:
    taken = fixed.keys() & options.keys()
    if taken:
        names = ", ".join(sorted(taken))
        raise LabError(f"model {name}: {names} is no option; it follows from the recipe")
    widths = options.get("widths")
    if widths is not None and not _are_widths(widths):
        raise LabError(f"model {name}: widths {widths!r}, expected a list of whole numbers above 0")
    if not _largest(options) <= MOST:
        raise LabError(f"model {name}: an option is too large; none may be above {MOST:,}")
    if _count_blocks(options.get("blocks")) > MOST_BLOCKS or _longest(options) > MOST_BLOCKS:
        raise LabError(f"model {name}: its options ask for more than {MOST_BLOCKS} blocks")


def _are_widths(widths: Any) -> bool:
    if not isinstance(widths, list | tuple) or not widths:
        return False
    return all(type(width) is int and width > 0 for width in widths)


def _largest(option: Any) -> float:
    """The largest number in an option, at any depth."""
    if isinstance(option, int | float):
        return option
    return max(map(_largest, _items(option)), default=0)


def _longest(option: Any) -> int:
    """The length of the longest list or table in an option, at any depth."""
    items = _items(option)
    return max(len(items), *map(_longest, items), 0)


def _items(option: Any) -> list[Any]:
    if isinstance(option, dict):
        return list(option.values())
    if isinstance(option, list | tuple):
        return list(option)
    return []


def _count_blocks(blocks: Any) -> int:
    """How many blocks an option asks for: a number, or one for each stage."""
    counts = blocks if isinstance(blocks, list | tuple) else [blocks]
    return sum(count for count in counts if isinstance(count, int))
