# What the scripts share: settings, and where the clusters are. Sourced, never run.
# shellcheck shell=bash

set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck disable=SC2034 # The scripts that source this use it.
CLOUDS=(aws gcp azure)
# Charts whose values these scripts use; cni/charts.yaml lists the values that were looked up in them.
CILIUM_VERSION=${CILIUM_VERSION:-1.16.7}
CALICO_VERSION=${CALICO_VERSION:-v3.30.3}
TERRAFORM=${TERRAFORM:-tofu}

say() { printf '== %s\n' "$*" >&2; }

fail() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

need() {
    local program
    for program in "$@"; do
        command -v "$program" > /dev/null || fail "$program is not installed"
    done
}

# The kubectl context of a cloud.
context() { printf 'xc-%s' "$1"; }

on() {
    local cloud=$1
    shift
    kubectl --context "$(context "$cloud")" "$@"
}

helm_on() {
    local cloud=$1
    shift
    helm --kube-context "$(context "$cloud")" "$@"
}

terraform() { "$TERRAFORM" -chdir="$HERE/terraform" "$@"; }

output() { terraform output -raw "$1"; }

region() { output "$1_region"; }

# Copies a secret from the first cluster to another, into a namespace that is there.
copy_secret() {
    local cloud=$1 namespace=$2 name=$3
    on aws -n "$namespace" get secret "$name" -o json |
        jq '{apiVersion, kind, type, data, metadata: {name: .metadata.name, namespace: .metadata.namespace}}' |
        on "$cloud" apply -f -
}
