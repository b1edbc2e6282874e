#!/usr/bin/env bash
# Makes a suite of load tests between the clouds and writes its result here. Says first what it moves and costs, and asks.
#
#   suite.sh [SUITE] RESULT.json [FLAG OF `xcloud load suite`]...
source "$(dirname "$0")/lib.sh"

need xcloud kubectl
suite=crosscloud
if [[ ${1:-} != *.json ]]; then
    suite=${1:?a result file is wanted} && shift
fi
result=${1:?a result file is wanted} && shift

work=$(mktemp -d)
forward=''
clean() {
    [[ -z $forward ]] || kill "$forward" 2> /dev/null || true
    rm -rf "$work"
}
trap clean EXIT
for file in ca.crt tls.crt tls.key; do
    on aws -n xcloud get secret xcloud-operator-tls -o jsonpath="{.data.${file/./\\.}}" | base64 -d > "$work/$file"
done
on aws -n xcloud port-forward service/xcloud-aggregator 17171:7171 > "$work/log" &
forward=$!
for _ in {1..50}; do
    grep -q Forwarding "$work/log" && break
    sleep 0.2
done

ask() {
    xcloud load suite "$suite" --aggregator 127.0.0.1:17171 --tls-server-name xcloud-aggregator.xcloud.svc \
        --tls-ca "$work/ca.crt" --tls-cert "$work/tls.crt" --tls-key "$work/tls.key" "$@"
}
ask --dry-run "$@"
read -r -p 'Make it? [y/N] ' answer
[[ $answer == y ]] || exit 1
ask --result "$result" "$@"
