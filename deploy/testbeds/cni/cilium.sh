#!/usr/bin/env bash
# Cilium in all three clusters, by its chart; with --join also one ClusterMesh of them, by its command line.
#
#   cilium.sh [--wireguard on|off] [--join]
source "$(dirname "$0")/../lib.sh"

wireguard=off join=false
while (($#)); do
    case $1 in
        --wireguard) wireguard=${2:?--wireguard takes on or off} && shift 2 ;;
        --join) join=true && shift ;;
        *) fail "$1 is not known" ;;
    esac
done
encrypt=$([[ $wireguard == on ]] && echo true || echo false)

helm repo add cilium https://helm.cilium.io --force-update
for cloud in "${CLOUDS[@]}"; do
    if [[ $cloud != aws ]] && ! on "$cloud" -n kube-system get secret cilium-ca > /dev/null 2>&1; then
        # Clusters of a mesh trust each other by one authority, which the first one's chart makes.
        copy_secret "$cloud" kube-system cilium-ca
        on "$cloud" -n kube-system label secret cilium-ca app.kubernetes.io/managed-by=Helm
        on "$cloud" -n kube-system annotate secret cilium-ca \
            meta.helm.sh/release-name=cilium meta.helm.sh/release-namespace=kube-system
    fi
    # What the mesh added by its command line stays, thanks to --reset-then-reuse-values.
    helm_on "$cloud" upgrade --install cilium cilium/cilium --version "$CILIUM_VERSION" --namespace kube-system \
        --reset-then-reuse-values --values "$HERE/cni/cilium.yaml" --values "$HERE/cni/cilium-$cloud.yaml" \
        --set "encryption.enabled=$encrypt"
done
$join || exit 0

for cloud in "${CLOUDS[@]}"; do
    cilium status --context "$(context "$cloud")" --wait
    cilium clustermesh status --context "$(context "$cloud")" --wait
done
for pair in 'aws gcp' 'aws azure' 'gcp azure'; do
    read -r one other <<< "$pair"
    cilium clustermesh connect --context "$(context "$one")" --destination-context "$(context "$other")"
done
for cloud in "${CLOUDS[@]}"; do
    cilium clustermesh status --context "$(context "$cloud")" --wait
done
