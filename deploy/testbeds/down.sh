#!/usr/bin/env bash
# Removes all that up.sh made. Load balancers go first: clouds make them for services, and Terraform does not know them.
source "$(dirname "$0")/lib.sh"

for cloud in "${CLOUDS[@]}"; do
    helm_on "$cloud" uninstall xcloud --namespace xcloud --wait || say "xcloud was not in $cloud"
    on "$cloud" delete namespace xcloud --ignore-not-found --timeout=5m || true
    helm_on "$cloud" uninstall cilium --namespace kube-system --wait || say "Cilium was not in $cloud"
done
terraform destroy -auto-approve
say "look into the clouds' consoles too: what was made by hand beside the testbed is still there and costs money"
