"""Whether Python and the packages are those that medlit is tested with, and can be imported."""

import importlib
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from medlit.doctor.finding import Finding, ok, wrong

IMPORTED = ("torch", "torchvision", "lightning", "timm", "transformers", "peft", "jsonargparse")
"""Of these, two builds that do not belong together fail at import."""


def check_python(package: str = "medlit") -> Finding:
    """Python's version against what a package asks for."""
    wanted, here = metadata(package)["Requires-Python"], platform.python_version()
    if here not in SpecifierSet(wanted):
        return wrong("python", f"{here}, {package} needs {wanted}: make an environment with another Python")
    return ok("python", here)


def check_packages(package: str = "medlit") -> Finding:
    """Installed versions against the bounds of a package."""
    told, faults = [], []
    for text in requires(package) or ():
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            here = version(requirement.name)
        except PackageNotFoundError:
            faults.append(f"{requirement.name} is missing")
            continue
        told.append(f"{requirement.name} {here}")
        if not requirement.specifier.contains(here, prereleases=True):
            faults.append(f"{requirement.name} is {here}, needed is {requirement.specifier}")
    if faults:
        return wrong("packages", f"{'; '.join(faults)}: pip install . -c constraints.txt in medlit's folder")
    return ok("packages", f"{len(told)} within their bounds: {', '.join(told)}")


def check_imports(names: Sequence[str] = IMPORTED) -> Finding:
    """Importing the packages that a training imports."""
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # builds that do not fit raise what they like
            reason = " ".join(str(error).split())
            return wrong("imports", f"{name} fails ({type(error).__name__}: {reason}): install it anew")
    return ok("imports", ", ".join(names))
