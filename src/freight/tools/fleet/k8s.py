"""PURE: a fleet as manifests for Kubernetes, 1.30 or newer: one pod for each node, all alike.

A Service spreads the requests: any pod can serve any file. The autoscaler needs an adapter for the pods' metrics, such
as prometheus-adapter.
"""

from __future__ import annotations

import math
from typing import Any

from freight.errors import ConfigurationError
from freight.tools.fleet.capacity import container_bytes, grace_seconds, node_bytes, slots
from freight.tools.fleet.fleet_options import FleetOptions, Node, serve_arguments
from freight.tools.fleet.yaml_output import as_yaml

_NAME = "freight"
_LABELS = {"app.kubernetes.io/name": _NAME}
_BUSY = 0.7  # of its slots: how many each pod should use on average
_GROWTH = 4
_MIB = 1024 * 1024
_USER = 65532


def write(fleet: FleetOptions) -> str:
    """Return the manifests as YAML, with comments. Raises ConfigurationError if the nodes differ."""
    node = fleet.nodes[0]
    if len({(each.port, each.admin_port) for each in fleet.nodes}) > 1:
        raise ConfigurationError("nodes: all pods must have one port; write node1:8080,node2:8080")
    if node.admin_port is None:
        raise ConfigurationError(
            "admin: Kubernetes needs it for the readiness check; leave --admin out, or give a port"
        )
    heading = (
        "Written by freight fleet k8s. Check: kubectl apply --dry-run=client -f FILE. Apply: kubectl apply -f FILE.",
        "Before you apply it, the cluster needs:",
        f"  the image {fleet.image}: docker build -t {fleet.image} . in a checkout of freight, then push it;",
        f"  the PersistentVolumeClaim {fleet.claim} with the files, which several pods can read (ReadOnlyMany);",
        "  for the HorizontalPodAutoscaler: an adapter that offers the pods' metric freight_admission_running, such as",
        "  prometheus-adapter. Without one, the autoscaler does nothing, and everything else works.",
        *_clients(fleet),
    )
    return as_yaml(heading, _deployment(fleet, node), _service(fleet, node), _disruption(), _autoscaler(fleet))


def _clients(fleet: FleetOptions) -> tuple[str, ...]:
    """Return a warning about client addresses if no proxy is trusted."""
    if fleet.trusted_proxy:
        return ()
    return (
        "Behind an ingress, add --trusted-proxy with the addresses of its pods (such as 10.244.0.0/16): otherwise all",
        "its requests count as those of one client.",
    )


def _deployment(fleet: FleetOptions, node: Node) -> dict[str, Any]:
    spec = {
        "replicas": len(fleet.nodes),
        "selector": {"matchLabels": _LABELS},
        # A new pod is ready before an old one stops, and the old one has time to finish its downloads.
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": {"metadata": {"labels": _LABELS, "annotations": _scraped(node)}, "spec": _pod(fleet, node)},
    }
    return _resource("apps/v1", "Deployment", spec)


def _scraped(node: Node) -> dict[str, str]:
    return {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(node.admin_port),
        "prometheus.io/path": "/metrics",
    }


def _pod(fleet: FleetOptions, node: Node) -> dict[str, Any]:
    return {
        "terminationGracePeriodSeconds": grace_seconds(fleet),
        "automountServiceAccountToken": False,
        # Otherwise Kubernetes sets FREIGHT_PORT and its like for the Service, and freight warns of each at its start.
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": _LABELS},
            }
        ],
        "containers": [_container(fleet, node)],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": fleet.claim, "readOnly": True}}],
    }


def _container(fleet: FleetOptions, node: Node) -> dict[str, Any]:
    """Return the container. The Service removes the pod before SIGTERM, so freight needs no delay of its own."""
    words = serve_arguments(fleet, node, "/data", host="0.0.0.0")
    at = words.index("--shutdown-delay")
    del words[at : at + 2]
    return {
        "name": _NAME,
        "image": fleet.image,
        "args": words,
        "ports": [{"name": "http", "containerPort": node.port}, {"name": "admin", "containerPort": node.admin_port}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "admin"}, "periodSeconds": 2, "failureThreshold": 1},
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": "admin"}, "periodSeconds": 10, "failureThreshold": 3},
        "lifecycle": {"preStop": {"sleep": {"seconds": max(1, math.ceil(fleet.shutdown_delay_seconds))}}},
        "resources": {
            "requests": {"memory": _mebibytes(node_bytes(fleet)), "cpu": "100m"},
            "limits": {"memory": _mebibytes(container_bytes(fleet))},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "data", "mountPath": "/data", "readOnly": True}],
    }


def _service(fleet: FleetOptions, node: Node) -> dict[str, Any]:
    ports = [{"name": "http", "port": fleet.front.port, "targetPort": "http"}]
    return _resource("v1", "Service", {"type": "ClusterIP", "selector": _LABELS, "ports": ports})


def _disruption() -> dict[str, Any]:
    """Return the rule that a drain of machines evicts one pod at a time."""
    return _resource("policy/v1", "PodDisruptionBudget", {"maxUnavailable": 1, "selector": {"matchLabels": _LABELS}})


def _autoscaler(fleet: FleetOptions) -> dict[str, Any]:
    busy = {"type": "AverageValue", "averageValue": str(max(1, round(slots(fleet) * _BUSY)))}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": _NAME},
        "minReplicas": len(fleet.nodes),
        "maxReplicas": len(fleet.nodes) * _GROWTH,
        "metrics": [{"type": "Pods", "pods": {"metric": {"name": "freight_admission_running"}, "target": busy}}],
        # Downloads take long, so removing a pod that is needed again soon costs a drain.
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 600}},
    }
    return _resource("autoscaling/v2", "HorizontalPodAutoscaler", spec)


def _resource(version: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": _NAME, "labels": _LABELS}, "spec": spec}


def _mebibytes(size_bytes: int) -> str:
    return f"{math.ceil(size_bytes / _MIB)}Mi"
