"""Checks deploy/: manifests.py DEPLOY COMPOSE_SCHEMA. Prints each mistake, and ends with 1 if there is one."""

import json
import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml

deploy, schema = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
mistakes = []

seen = set()
for file in sorted((deploy / "kubernetes").glob("*.yml")):
    for document in yaml.safe_load_all(file.read_text()):
        name = f"{file.name}: {document['kind']} {document['metadata']['name']}"
        seen.add(document["kind"])
        try:
            kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
        except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
            mistakes.append(f"{name}: {error}")
        pod = document.get("spec", {}).get("template", {}).get("spec")
        if pod is None:
            continue
        labels = document["spec"]["template"]["metadata"]["labels"]
        if document["spec"]["selector"]["matchLabels"].items() - labels.items():
            mistakes.append(f"{name}: its selector does not find its pods")
        for container in pod["containers"]:
            ports = {port["name"] for port in container["ports"]}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                get = container[probe]["httpGet"]
                path = "/health/ready" if probe == "readinessProbe" else "/health/live"
                if get["port"] not in ports or get["path"] != path:
                    mistakes.append(f"{name}: {probe} asks for {get}")
            settings = {setting["name"]: setting.get("value", "") for setting in container["env"]}
            # --shutdown-timeout is 20 s.
            needed = 20 + int(settings.get("CASTELLAN_SHUTDOWN_DELAY", "0s").rstrip("s"))
            if pod["terminationGracePeriodSeconds"] <= needed:
                mistakes.append(f"{name}: it is killed before it has stored everything, after {needed} s")
for kind in ("Deployment", "StatefulSet", "Service", "PodDisruptionBudget", "Secret", "NetworkPolicy"):
    if kind not in seen:
        mistakes.append(f"kubernetes: no {kind}")

compose = yaml.safe_load((deploy / "compose.yml").read_text())
# Debian's schema is of the year before `name` came.
del compose["name"]
for error in jsonschema.Draft7Validator(json.loads(schema.read_text())).iter_errors(compose):
    mistakes.append(f"compose.yml: {list(error.path)}: {error.message}")
for name, service in compose["services"].items():
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith(".") and not (deploy / source).exists():
            mistakes.append(f"compose.yml: {name} mounts {source}, which is not there")
        if not source.startswith(".") and source not in compose["volumes"]:
            mistakes.append(f"compose.yml: {name} mounts the volume {source}, which is not declared")
    for other in service.get("depends_on", {}):
        if other not in compose["services"]:
            mistakes.append(f"compose.yml: {name} depends on {other}")

collector = yaml.safe_load((deploy / "compose/collector.yml").read_text())
for name, pipeline in collector["service"]["pipelines"].items():
    for kind, parts in pipeline.items():
        mistakes += [f"collector.yml: {name}: no {part} in {kind}" for part in parts if part not in collector[kind]]

print("\n".join(mistakes))
sys.exit(1 if mistakes else 0)
