"""Networks by name. They are plain modules that know nothing of recipes, disks or devices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fauxlab.errors import LabError, suggest

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn


# of any number in a network's options: what is above would take the memory before it could be
# refused
MOST = 4096

# Name → what makes it, in `detectors`.
DETECTORS = {"inception": "inception_detector", "report-cnn": "ReportCNN", "trace": "trace_net"}
# Name → generator and discriminator. The report's discriminator is the network of its detector.
GANS = {
    "report-gan-v1": ("ReportGenerator", "ReportCNN"),
    "report-gan-v2": ("ReportGenerator", "ReportCNN"),
    "r3": ("R3Generator", "R3Discriminator"),
    "sngan": ("SNGenerator", "SNDiscriminator"),
}


def list_models() -> list[str]:
    """Names that `create_detector` and `create_gan` take."""
    return sorted([*DETECTORS, *GANS])


def create_detector(name: str, size: int, /, **options: Any) -> nn.Module:
    """A detector for float [N, 3, size, size] in [-1, 1], giving logits [N]; above 0 leans to fake.

    Raises LabError on an unknown name or option.
    """
    return _create(_known(name, DETECTORS, "detector"), name, {"size": size}, options)


def create_generator(name: str, size: int, latent: int, /, **options: Any) -> nn.Module:
    """A generator of images float [N, 3, size, size] from latents [N, latent]; errors as of
    `create_detector`.
    """
    return _create(_known(name, GANS, "GAN")[0], name, {"size": size, "latent": latent}, options)


def create_discriminator(name: str, size: int, /, **options: Any) -> nn.Module:
    """The discriminator that belongs to a generator: images to logits [N], above 0 leans to real."""
    return _create(_known(name, GANS, "GAN")[1], name, {"size": size}, options)


def _known(name: str, table: dict[str, Any], kind: str) -> Any:
    if name not in table:
        raise LabError(f"no {kind} {name!r}; `fauxlab models list` shows all{suggest(name, table)}")
    return table[name]


def _create(maker: str, name: str, fixed: dict[str, Any], options: dict[str, Any]) -> nn.Module:
    from fauxlab.models import detectors, gans

    build: Callable[..., nn.Module] = getattr(detectors, maker, None) or getattr(gans, maker)
    if taken := fixed.keys() & options.keys():
        raise LabError(
            f"model {name}: {', '.join(sorted(taken))} is no option; it follows from the recipe"
        )
    widths = options.get("widths")
    listed = isinstance(widths, list | tuple) and len(widths) > 0
    if widths is not None and not (listed and all(type(w) is int and w > 0 for w in widths)):
        raise LabError(f"model {name}: widths {widths!r}, expected a list of whole numbers above 0")
    if _largest(options) > MOST:
        raise LabError(
            f"model {name}: options up to {_largest(options):,}; none may be above {MOST:,}"
        )
    try:
        return build(**fixed, **options)
    except (TypeError, ValueError, RuntimeError, ZeroDivisionError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise LabError(f"model {name}: {reason}") from None


def _largest(option: Any) -> float:
    """The largest number in an option, and the length of a list, however deep."""
    if isinstance(option, dict):
        return max(map(_largest, option.values()), default=0)
    if isinstance(option, list | tuple):
        return max(len(option), *map(_largest, option), 0)
    return option if isinstance(option, int | float) else 0
