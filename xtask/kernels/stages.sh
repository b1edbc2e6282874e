#!/bin/sh
# Shows that the stage profile tells stages apart: rules move netfilter and nothing else, WireGuard moves encryption.
# Run by `cargo xtask kernels` inside a guest, from the workspace's root; XCLOUD is the binary.
set -eu
xtask=${XTASK:-target/debug/xtask}
export XCLOUD_STAGES=true

# Mean of each stage over what the clients' node sends, in ns, with so many rules in its FORWARD chain.
profile() { # CNI RULES
    "$xtask" lab up --name st --cni "$1" --load rr --wan-rtt 20ms --xcloud "$XCLOUD" >&2
    {
        echo "table inet rules { chain forward { type filter hook forward priority filter;"
        i=0
        while [ $i -lt "$2" ]; do
            echo "ip saddr 203.0.113.$((i % 250)) drop"
            i=$((i + 1))
        done
        printf "}\n}\n"
    } >/run/rules.nft
    "$xtask" lab exec --name st aws-node -- nft -f /run/rules.nft >&2
    sleep 8
    socket=$("$xtask" lab status --name st -o json | sed -n 's/.*"unix": "\(.*\)".*/\1/p')
    "$XCLOUD" split --stages -o csv --aggregator "unix:$socket" |
        awk -F, '$1 == "aws" && $6 == "egress" && $9 ~ /^-?[0-9]+$/ { sum[$7] += $9; n[$7]++ }
            END { for (s in sum) print s, int(sum[s] / n[s]) }'
    "$xtask" lab down --name st >&2
}

value() { # PROFILE STAGE
    echo "$1" | awk -v stage="$2" '$1 == stage { print $2; found = 1 } END { if (!found) print 0 }'
}

none=$(profile routed 0)
some=$(profile routed 100)
many=$(profile routed 1000)
secret=$(profile wireguard 0)
for stage in routing netfilter conntrack encryption rest; do
    echo "$stage ns: no rule $(value "$none" $stage), 100 $(value "$some" $stage), 1000 $(value "$many" $stage)," \
        "WireGuard $(value "$secret" $stage)"
done

moved=$(($(value "$many" netfilter) - $(value "$none" netfilter)))
[ $moved -gt 30000 ] || { echo "1000 rules moved netfilter by $moved ns only"; exit 1; }
[ "$(value "$some" netfilter)" -lt "$(value "$many" netfilter)" ] || { echo "100 rules took as long as 1000"; exit 1; }
for stage in routing rest; do
    other=$(($(value "$many" $stage) - $(value "$none" $stage)))
    [ ${other#-} -lt $((moved / 2)) ] || { echo "1000 rules moved $stage by $other ns, netfilter by $moved ns"; exit 1; }
done
[ "$(value "$none" encryption)" = 0 ] || { echo "encryption without WireGuard"; exit 1; }
[ "$(value "$secret" encryption)" -gt 50000 ] || { echo "no encryption with WireGuard"; exit 1; }
other=$(($(value "$secret" routing) - $(value "$none" routing)))
[ ${other#-} -lt 50000 ] || { echo "WireGuard moved routing by $other ns"; exit 1; }
