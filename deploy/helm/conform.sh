#!/bin/bash
# Holds the golden files of the chart against the schemas of Kubernetes, KEDA and the Prometheus operator
# with kubeconform. Needs python3 with venv; the schemas come from PyPI and as Go modules.
#   make kubeconform
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps kubernetes-validate==1.37.0 PyYAML==6.0.3
module() { go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p'; }
"$work/venv/bin/python" - "$work" "$(module github.com/kedacore/keda/v2@v2.17.0)" "$(module github.com/prometheus-operator/prometheus-operator@v0.82.0)" <<'PY'
import glob, json, pathlib, re, sys, yaml
work, keda, operator = sys.argv[1:]

# The package names its definitions by an address of its own; kubeconform reads them from the same folder.
for folder in glob.glob(work + "/venv/lib/*/site-packages/kubernetes_validate/kubernetes-json-schema/*-local-strict"):
    out = pathlib.Path(work, re.search(r"v([0-9.]+)-local", folder).group(1))
    out.mkdir()
    for path in pathlib.Path(folder).glob("*.json"):
        schema = json.loads(path.read_text().replace('"/api/_definitions.json#', '"_definitions.json#'))
        schema.pop("$id", None)
        (out / path.name).write_text(json.dumps(schema))

# A definition of a custom resource allows any further field unless it says otherwise; a typing error must not pass.
def strict(schema):
    if isinstance(schema, dict):
        if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema.setdefault("additionalProperties", False)
        for name, inner in schema.items():
            for s in inner.values() if name == "properties" else [inner]:
                strict(s)
    elif isinstance(schema, list):
        for s in schema:
            strict(s)

custom = pathlib.Path(work, "custom")
custom.mkdir()
for path in (keda + "/config/crd/bases/keda.sh_scaledobjects.yaml",
             operator + "/example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml"):
    spec = yaml.safe_load(open(path))["spec"]
    for version in spec["versions"]:
        schema = version["schema"]["openAPIV3Schema"]
        schema["properties"]["metadata"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        strict(schema)
        name = "%s-%s-%s.json" % (spec["names"]["kind"].lower(), spec["group"].split(".")[0], version["name"])
        (custom / name).write_text(json.dumps(schema))
PY
export CGO_ENABLED=0
for version in ${KUBERNETES:-1.25.0 1.31.0 1.37.0}; do
  echo "Kubernetes $version"
  go tool -modfile=.ci/kubeconform.mod kubeconform -strict -summary -kubernetes-version "$version" \
    -schema-location "$work/$version/{{.ResourceKind}}{{.KindSuffix}}.json" \
    -schema-location "$work/custom/{{.ResourceKind}}{{.KindSuffix}}.json" deploy/testdata/helm/*.golden.yaml
done
