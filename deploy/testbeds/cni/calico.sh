#!/usr/bin/env bash
# Calico in EKS and AKS by its operator's chart, with BGP by way of route reflectors. GKE keeps its own network, which Calico
# cannot replace there. Calico has no mesh of clusters: pods reach other clusters by their node's address, see
# docs/testbeds.md.
#
#   calico.sh [--wireguard on|off] [--join] [--peer IP/AS]
source "$(dirname "$0")/../lib.sh"

wireguard=off join=false peer=''
while (($#)); do
    case $1 in
        --wireguard) wireguard=${2:?--wireguard takes on or off} && shift 2 ;;
        --join) join=true && shift ;;
        --peer) peer=${2:?--peer takes IP/AS of a router outside} && shift 2 ;;
        *) fail "$1 is not known" ;;
    esac
done
encrypt=$([[ $wireguard == on ]] && echo true || echo false)

helm repo add projectcalico https://docs.tigera.io/calico/charts --force-update
for cloud in aws azure; do
    helm_on "$cloud" upgrade --install calico projectcalico/tigera-operator --version "$CALICO_VERSION" \
        --namespace tigera-operator --create-namespace --values "$HERE/cni/calico-$cloud.yaml"
done
$join || exit 0

# The first node of each cluster reflects routes; all others speak BGP with it alone.
for cloud in aws azure; do
    on "$cloud" wait --for=condition=Available tigerastatus --all --timeout=15m
    reflector=$(on "$cloud" get nodes -o jsonpath='{.items[0].metadata.name}')
    on "$cloud" annotate node "$reflector" projectcalico.org/RouteReflectorClusterID=244.0.0.1 --overwrite
    on "$cloud" label node "$reflector" route-reflector=true --overwrite
    on "$cloud" apply -f "$HERE/cni/calico-bgp.yaml"
    on "$cloud" patch felixconfiguration default --type merge \
        --patch "{\"spec\": {\"wireguardEnabled\": $encrypt}}"
    if [[ -n $peer ]]; then
        jq -n --arg ip "${peer%/*}" --argjson as "${peer#*/}" '{
            apiVersion: "projectcalico.org/v3", kind: "BGPPeer", metadata: {name: "outside"},
            spec: {nodeSelector: "has(route-reflector)", peerIP: $ip, asNumber: $as}
        }' | on "$cloud" apply -f -
    fi
done
