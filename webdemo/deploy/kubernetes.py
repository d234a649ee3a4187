"""A Deployment, a Service and a PodDisruptionBudget."""

from __future__ import annotations

from webdemo.deploy.quoting import kubernetes, yaml
from webdemo.deploy.site import CHECK_FALLS, CHECK_SECONDS, Site


def files(site: Site) -> dict[str, str]:
    return {
        "deployment.yaml": _deployment(site),
        "service.yaml": _service(site),
        "poddisruptionbudget.yaml": _budget(site),
    }


def _labels(site: Site) -> str:
    return f"{{app.kubernetes.io/name: {yaml(site.name)}}}"


def _deployment(site: Site) -> str:
    labels = _labels(site)
    return f"""\
# {site.trust}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {yaml(site.name)}
  labels: {labels}
spec:
  replicas: 3
  minReadySeconds: 5
  progressDeadlineSeconds: {int(2 * site.start_seconds) + 60}
  revisionHistoryLimit: 5
  strategy:
    type: RollingUpdate
    rollingUpdate: {{maxUnavailable: 0, maxSurge: 1}}
  selector:
    matchLabels: {labels}
  template:
    metadata:
      labels: {labels}
      annotations:
        prometheus.io/scrape: "true"
        prometheus.io/port: "{site.admin_port or site.first_port}"
        prometheus.io/path: /metrics
    spec:
      # {site.why_stop_seconds}. No preStop: readiness fails first, and the drain delay gives the
      # endpoints {site.drain_delay_seconds:g} s to be removed.
      terminationGracePeriodSeconds: {site.stop_seconds}
      automountServiceAccountToken: false
      # Else a service called webdemo would set WEBDEMO_PORT and more in every pod of its namespace.
      enableServiceLinks: false
      securityContext: {{runAsNonRoot: true, runAsUser: 10001, seccompProfile: {{type: RuntimeDefault}}}}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {labels}
      containers:
{_container(site)}      volumes:
        - name: tmp
          emptyDir: {{medium: Memory}}
"""


def _container(site: Site) -> str:
    arguments = ", ".join(map(kubernetes, ("-m", "webdemo", *site.arguments)))
    probed = (
        "port: admin"
        if site.admin_port is not None
        else f"port: {site.scheme}, scheme: {site.scheme.upper()}"
    )
    admin = f"\n            - {{name: admin, containerPort: {site.admin_port}}}" if site.admin_port else ""
    release = site.release or "latest"
    return f"""\
        - name: web
          image: {yaml(f"registry.example/{site.name}:{_tag(release)}")}
          command: [python]
          args: [{arguments}]
          env:
            - {{name: PORT, value: "{site.first_port}"}}
            - {{name: WEBDEMO_RELEASE, value: {yaml(release)}}}
            - {{name: XDG_RUNTIME_DIR, value: /tmp}}
          ports:
            - {{name: {site.scheme}, containerPort: {site.first_port}}}{admin}
          startupProbe:
            httpGet: {{path: /readyz, {probed}}}
            periodSeconds: 1
            failureThreshold: {int(2 * site.start_seconds)}
          readinessProbe:
            httpGet: {{path: /readyz, {probed}}}
            periodSeconds: {CHECK_SECONDS}
            timeoutSeconds: 2
            failureThreshold: {CHECK_FALLS}
          # Fails only when requests wait and none is completed any more: a busy pod is not killed.
          livenessProbe:
            httpGet: {{path: /livez, {probed}}}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 3
          resources:
            requests: {{cpu: 100m, memory: 128Mi}}
            limits: {{memory: 512Mi}}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {{drop: [ALL]}}
          volumeMounts:
            - {{name: tmp, mountPath: /tmp}}
"""


def _tag(release: str) -> str:
    """The release as the tag of an image, which holds letters, digits, dots and hyphens."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in release)
    return kept.lstrip(".-")[:128] or "latest"


def _service(site: Site) -> str:
    return f"""\
apiVersion: v1
kind: Service
metadata:
  name: {yaml(site.name)}
  labels: {_labels(site)}
spec:
  selector: {_labels(site)}
  ports:
    - {{name: {site.scheme}, port: {443 if site.scheme == "https" else 80}, targetPort: {site.scheme}}}
"""


def _budget(site: Site) -> str:
    return f"""\
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {yaml(site.name)}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {_labels(site)}
"""
