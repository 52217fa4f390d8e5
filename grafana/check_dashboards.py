"""Reads dashboards with Grafana's own SDK, and prints every key, type and unit that Grafana does not know.

    check_dashboards.py FILE...

Needs the package grafana-foundation-sdk, which Grafana generates from the schemas of its dashboards and panels. Exits with
1 if it has found something.
"""

import enum
import json
import sys
import typing
from pathlib import Path

from grafana_foundation_sdk.cog import encoder, plugins
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

UNITS = {unit for name, unit in vars(units).items() if not name.startswith("_")}


def unknown_keys(wanted, kept, path):
    """What is in the file, and lost once the SDK has read it."""
    if isinstance(wanted, dict) and isinstance(kept, dict):
        for key, value in wanted.items():
            if key in kept:
                yield from unknown_keys(value, kept[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}: no such key"
    elif isinstance(wanted, list) and isinstance(kept, list) and len(wanted) == len(kept):
        for at, (one, other) in enumerate(zip(wanted, kept)):
            yield from unknown_keys(one, other, f"{path}[{at}]")
    elif wanted != kept:
        yield f"{path}: {wanted!r} is read as {kept!r}"


def fits(value, hint):
    """True if a value has the type that its field declares. The SDK does not check that itself."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in (typing.Any, object):
        return True
    if origin is typing.Union:
        return any(fits(value, argument) for argument in arguments)
    if origin is typing.Literal:
        return value in arguments
    if origin is list:
        return isinstance(value, list) and all(fits(one, arguments[0]) for one in value)
    if origin is dict:
        return isinstance(value, dict) and all(fits(one, arguments[1]) for one in value.values())
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return value in [member.value for member in hint]
    if hint is float:
        return isinstance(value, (int, float))
    # A field of another of the SDK's types may still be what the file has: a dictionary.
    return isinstance(value, (hint, dict)) if isinstance(hint, type) else True


def wrong_types(value, path):
    """Fields of the SDK's objects with a value that their type does not allow."""
    if isinstance(value, dict):
        items = [(f"{path}.{key}", one) for key, one in value.items()]
    elif isinstance(value, list):
        items = [(f"{path}[{at}]", one) for at, one in enumerate(value)]
    elif type(value).__module__.startswith("grafana_foundation_sdk.models"):
        items = [(f"{path}.{key}", one) for key, one in vars(value).items()]
        for key, hint in typing.get_type_hints(type(value)).items():
            one = getattr(value, key, None)
            if one is not None and not fits(one, hint):
                yield f"{path}.{key}: {one!r} is no {hint}"
        if getattr(value, "unit", None) is not None and value.unit not in UNITS:
            yield f"{path}.unit: {value.unit!r} is no unit"
    else:
        return
    for name, one in items:
        yield from wrong_types(one, name)


def main(files):
    plugins.register_default_plugins()
    found = []
    for file in map(Path, files):
        wanted = json.loads(file.read_text(encoding="utf-8"))
        dashboard = Dashboard.from_json(wanted)
        kept = json.loads(encoder.JSONEncoder().encode(dashboard))
        found += unknown_keys(wanted, kept, file.name)
        found += wrong_types(dashboard, file.name)
    print("\n".join(found))
    return 1 if found or not files else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
