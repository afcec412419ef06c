"""PURE: a fleet as manifests of Kubernetes, 1.30 or newer: as many equal pods as there are nodes.

What spreads requests there is a Service: any pod has any file. The autoscaler needs an adapter that offers the pods'
own metrics, such as prometheus-adapter.
"""

from __future__ import annotations

import math
from typing import Any

from freight.errors import Unservable
from freight.fleet.description import Description, Node, serve_words
from freight.fleet.room import container_bytes, grace_seconds, node_bytes, slots
from freight.fleet.sheets import as_yaml

_NAME = "freight"
_LABELS = {"app.kubernetes.io/name": _NAME}
_BUSY = 0.7  # of its slots: what each pod is to have taken on the average
_GROWTH = 4
_MIB = 1024 * 1024
_USER = 65532


def write(fleet: Description) -> str:
    """The manifests as YAML, commented. Raises Unservable where nodes differ, as pods do not."""
    node = fleet.nodes[0]
    if len({(each.port, each.admin_port) for each in fleet.nodes}) > 1:
        raise Unservable("nodes: all pods have the same port; write a:8080,b:8080")
    if node.admin_port is None:
        raise Unservable("admin: Kubernetes asks there whether a pod is ready; leave it out, or give a port")
    heading = (
        "Written by freight fleet k8s. Check: kubectl apply --dry-run=client -f FILE. Apply: kubectl apply -f FILE.",
        f"The image: docker build -t {fleet.image} -f deploy/Dockerfile .",
        f"The files: a PersistentVolumeClaim {fleet.claim}, that many may read.",
    )
    return as_yaml(heading, _deployment(fleet, node), _service(fleet, node), _disruption(), _autoscaler(fleet))


def _deployment(fleet: Description, node: Node) -> dict[str, Any]:
    spec = {
        "replicas": len(fleet.nodes),
        "selector": {"matchLabels": _LABELS},
        # A new one is ready before an old one is stopped, and that one has the time to finish what runs.
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


def _pod(fleet: Description, node: Node) -> dict[str, Any]:
    return {
        "terminationGracePeriodSeconds": grace_seconds(fleet),
        "automountServiceAccountToken": False,
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


def _container(fleet: Description, node: Node) -> dict[str, Any]:
    """The pause before SIGTERM is where the Service forgets the pod, so freight needs no delay of its own."""
    words = serve_words(fleet, node, "/data", host="0.0.0.0")
    at = words.index("--drain-delay")
    del words[at : at + 2]
    return {
        "name": _NAME,
        "image": fleet.image,
        "args": words,
        "ports": [{"name": "http", "containerPort": node.port}, {"name": "admin", "containerPort": node.admin_port}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "admin"}, "periodSeconds": 2, "failureThreshold": 1},
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": "admin"}, "periodSeconds": 10, "failureThreshold": 3},
        "lifecycle": {"preStop": {"sleep": {"seconds": max(1, math.ceil(fleet.drain_delay_seconds))}}},
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


def _service(fleet: Description, node: Node) -> dict[str, Any]:
    ports = [{"name": "http", "port": fleet.front.port, "targetPort": "http"}]
    return _resource("v1", "Service", {"type": "ClusterIP", "selector": _LABELS, "ports": ports})


def _disruption() -> dict[str, Any]:
    """Whoever empties machines takes one pod at a time."""
    return _resource("policy/v1", "PodDisruptionBudget", {"maxUnavailable": 1, "selector": {"matchLabels": _LABELS}})


def _autoscaler(fleet: Description) -> dict[str, Any]:
    busy = {"type": "AverageValue", "averageValue": str(max(1, round(slots(fleet) * _BUSY)))}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": _NAME},
        "minReplicas": len(fleet.nodes),
        "maxReplicas": len(fleet.nodes) * _GROWTH,
        "metrics": [{"type": "Pods", "pods": {"metric": {"name": "freight_gate_running"}, "target": busy}}],
        # Downloads last: who goes away too soon makes others wait for a drain.
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 600}},
    }
    return _resource("autoscaling/v2", "HorizontalPodAutoscaler", spec)


def _resource(version: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": _NAME, "labels": _LABELS}, "spec": spec}


def _mebibytes(size_bytes: int) -> str:
    return f"{math.ceil(size_bytes / _MIB)}Mi"
