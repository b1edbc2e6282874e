#!/usr/bin/env bash
# Makes the three clusters, joins them, and installs a CNI and xcloud. Takes about an hour and costs money: see
# docs/testbeds.md. What is there already stays, so it can be called again.
#
#   up.sh --cni cilium|calico [--wireguard] --image REGISTRY/xcloud [--tag TAG]
source "$(dirname "$0")/lib.sh"

cni='' wireguard=off image='' tag=''
while (($#)); do
    case $1 in
        --cni) cni=${2:?--cni takes cilium or calico} && shift 2 ;;
        --wireguard) wireguard=on && shift ;;
        --image) image=${2:?--image takes a name} && shift 2 ;;
        --tag) tag=${2:?--tag takes a tag} && shift 2 ;;
        *) fail "$1 is not known" ;;
    esac
done
[[ $cni == cilium || $cni == calico ]] || fail "--cni cilium or --cni calico is wanted"
[[ -n $image ]] || fail "--image is wanted: where nodes of all clouds pull the image from"
need "$TERRAFORM" aws gcloud gke-gcloud-auth-plugin az kubectl helm jq
[[ $cni == calico ]] || need cilium

apply() { terraform apply -auto-approve -var "cni=$cni" "$@"; }

contexts() {
    local name
    name=$(output name)
    aws eks update-kubeconfig --region "$(region aws)" --name "$name" --alias "$(context aws)"
    gcloud container clusters get-credentials "$name" --zone "$(output gcp_zone)" --project "$(output gcp_project)"
    if ! kubectl config get-contexts "$(context gcp)" > /dev/null 2>&1; then
        kubectl config rename-context "$(kubectl config current-context)" "$(context gcp)"
    fi
    az aks get-credentials --resource-group "$(output azure_resource_group)" --name "$name" \
        --context "$(context azure)" --overwrite-existing
}

terraform init
if ! on aws get nodes -o name 2> /dev/null | grep -q .; then
    say "networks and control planes; EKS gets no nodes yet, since they are healthy only with a CNI"
    apply -var nodes=0
fi
contexts
say "$cni"
"$HERE/cni/$cni.sh" --wireguard "$wireguard"
say "nodes"
apply
for cloud in "${CLOUDS[@]}"; do
    on "$cloud" wait node --all --for=condition=Ready --timeout=15m
done
"$HERE/cni/$cni.sh" --wireguard "$wireguard" --join
say "xcloud"
"$HERE/xcloud.sh" --image "$image" ${tag:+--tag "$tag"}
