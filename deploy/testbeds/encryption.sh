#!/usr/bin/env bash
# Turns WireGuard between nodes on or off in a testbed that stands; a suite's `enter` may call it.
#
#   encryption.sh cilium|calico on|off
source "$(dirname "$0")/lib.sh"

(($# == 2)) || fail "which CNI, and on or off"
"$HERE/cni/$1.sh" --wireguard "$2"
if [[ $1 == calico ]]; then
    "$HERE/cni/$1.sh" --wireguard "$2" --join
    exit
fi
for cloud in "${CLOUDS[@]}"; do
    on "$cloud" -n kube-system rollout restart daemonset/cilium
    on "$cloud" -n kube-system rollout status daemonset/cilium --timeout=10m
done
