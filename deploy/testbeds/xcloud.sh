#!/usr/bin/env bash
# xcloud in all three clusters: the aggregator in AWS, agents everywhere, two ends for load tests in each cloud.
#
#   xcloud.sh --image REGISTRY/xcloud [--tag TAG]
source "$(dirname "$0")/lib.sh"

image='' tag=''
while (($#)); do
    case $1 in
        --image) image=${2:?--image takes a name} && shift 2 ;;
        --tag) tag=${2:?--tag takes a tag} && shift 2 ;;
        *) fail "$1 is not known" ;;
    esac
done
[[ -n $image ]] || fail "--image is wanted"

install() {
    local cloud=$1 values=$2
    shift 2
    on "$cloud" create namespace xcloud --dry-run=client -o yaml | on "$cloud" apply -f -
    on "$cloud" label namespace xcloud pod-security.kubernetes.io/enforce=privileged --overwrite
    helm_on "$cloud" upgrade --install xcloud "$HERE/../helm/xcloud" --namespace xcloud \
        --values "$HERE/../helm/xcloud/values-$values.yaml" --values "$HERE/xcloud.yaml" \
        --set "image.repository=$image" --set "image.tag=$tag" \
        --set "site.region=$(region "$cloud")" --set "site.cluster=$cloud" "$@"
}

install aws eks --values "$HERE/xcloud-aws.yaml"
say "waiting for the aggregator's load balancer"
host=''
for _ in {1..60}; do
    host=$(on aws -n xcloud get service xcloud-aggregator -o jsonpath='{.status.loadBalancer.ingress[0].hostname}')
    [[ -n $host ]] && break
    sleep 10
done
[[ -n $host ]] || fail "the service xcloud-aggregator has got no load balancer"

for cloud in gcp azure; do
    on "$cloud" create namespace xcloud --dry-run=client -o yaml | on "$cloud" apply -f -
    copy_secret "$cloud" xcloud xcloud-agent-tls
    copy_secret "$cloud" xcloud xcloud-endpoint-tls
done
install gcp gke --set aggregator.enabled=false --set "agent.aggregator=$host:7171"
install azure aks --set aggregator.enabled=false --set "agent.aggregator=$host:7171"

for cloud in "${CLOUDS[@]}"; do
    on "$cloud" -n xcloud rollout status daemonset/xcloud-agent --timeout=10m
    sed -e "s|IMAGE|$image:${tag:-0.1.0}|" -e "s|AGGREGATOR|$host:7171|" -e "s|CLOUD|$cloud|" \
        -e "s|REGION|$(region "$cloud")|" "$HERE/endpoint.yaml" | on "$cloud" apply -f -
    on "$cloud" -n xcloud rollout status deployment/endpoint --timeout=10m
done
