#!/bin/sh
# Shows that the stage profile tells stages apart: rules move netfilter and nothing else, WireGuard moves encryption and
# encapsulation and nothing else. And that its probes go with the kill switch and come back.
# Run by `cargo xtask kernels` inside a guest, from the workspace's root; XCLOUD is the binary.
set -eu
xtask=${XTASK:-target/debug/xtask}
export XCLOUD_STAGES=true XCLOUD_KILL_SWITCH=/run/stages-off
stages='routing netfilter conntrack encapsulation encryption after_uplink rest'

fail() {
    echo "$*" >&2
    exit 1
}

# Tried again where a slow machine's emulation kept an agent from being ready in time.
up() { # CNI
    for _ in 1 2 3; do
        "$xtask" lab up --name st --cni "$1" --load rr --duration 10m --wan-rtt 20ms --xcloud "$XCLOUD" >&2 && return
    done
    fail "no lab came up"
}

down() {
    "$xtask" lab down --name st >&2
}

# So many rules in the FORWARD chain of the clients' node. The load's packets match all of a rule but its end, so that a
# hundred take long enough to be told from the noise of emulation.
rules() { # COUNT
    {
        echo "add table inet rules; delete table inet rules; table inet rules {"
        echo "chain forward { type filter hook forward priority filter;"
        i=0
        while [ $i -lt "$1" ]; do
            echo "ip daddr != 203.0.113.0/24 tcp sport != 9 tcp dport != 9 ip saddr 203.0.113.$((i % 250)) drop"
            i=$((i + 1))
        done
        printf "}\n}\n"
    } >/run/rules.nft
    "$xtask" lab exec --name st aws-node -- nft -f /run/rules.nft >&2
}

# Packets that the clients' node sent since its agent's start, and ns in each stage.
totals() {
    socket=$("$xtask" lab status --name st -o json | sed -n 's/.*"unix": "\(.*\)".*/\1/p')
    "$XCLOUD" split --stages -o csv --aggregator "unix:$socket" |
        awk -F, '$1 == "aws" && $6 == "egress" && $7 == "cni" { of_pod = $8; packets += $8 }
            $1 == "aws" && $6 == "egress" && $9 ~ /^-?[0-9]+$/ { ns[$7] += of_pod * $9 }
            END { print "packets", packets + 0; for (s in ns) printf "%s %.0f\n", s, ns[s] }'
}

# Mean of each stage in ns, of what the clients' node sends in the next seconds: in the calmest of some spells, since
# whatever else runs on the machine adds to all of them.
profile() {
    sleep 3
    {
        totals
        for _ in 1 2 3 4 5 6; do
            sleep 4
            totals
        done
    } | awk '
        $1 == "packets" { judge(); packets = $2 - last["packets"]; delete mean; mean["packets"] = packets }
        $1 != "packets" && packets > 0 { mean[$1] = ($2 - last[$1]) / packets }
        { last[$1] = $2 }
        END { judge(); for (s in best) printf "%s %.0f\n", s, best[s] }
        function judge() {
            if (++spells <= 2 || packets < 100 || (best["cni"] && best["cni"] <= mean["cni"])) return
            for (s in mean) best[s] = mean[s]
        }'
}

value() { # PROFILE STAGE
    echo "$1" | awk -v stage="$2" '$1 == stage { print $2; found = 1 } END { if (!found) print 0 }'
}

by() { # BEFORE AFTER STAGE
    echo $(($(value "$2" "$3") - $(value "$1" "$3")))
}

# Fails where a stage other than those given moved by more than 20 us and more than a tenth of what the first of them did,
# beyond what it differs by between the two runs without a rule.
only() { # WHAT BEFORE AFTER STAGE...
    what=$1 before=$2 after=$3
    shift 3
    most=$(($(by "$before" "$after" "$1") / 10))
    [ $most -gt 20000 ] || most=20000
    for stage in $stages; do
        case " $* " in *" $stage "*) continue ;; esac
        other=$(by "$before" "$after" "$stage") noise=$(by "$none" "$again" "$stage")
        [ ${other#-} -le $((most + ${noise#-})) ] ||
            fail "$what moved $stage by $other ns, $1 by $(by "$before" "$after" "$1") ns; noise ${noise#-} ns"
    done
}

# How many probes are on the profile's functions.
probes() {
    grep -cE '(__dev_queue_xmit|ip6?_route_input(_noref)?|nf_hook_slow|nf_conntrack_in|(vxlan|geneve|ip_tunnel|sit_tunnel|ip6_tnl|wg)_xmit|wg_socket_send_skb_to_peer)\+0x' \
        /sys/kernel/debug/kprobes/list || true
}

# Waits for so many.
until_probes() { # COUNT WHAT
    i=0
    while [ "$(probes)" != "$1" ]; do
        [ $i -lt 20 ] || fail "$2: $(probes) probes, not $1"
        i=$((i + 1))
        sleep 1
    done
}

kill_switch() {
    there=$(probes)
    [ "$there" -ge 7 ] || fail "the profile has $there probes only"
    touch $XCLOUD_KILL_SWITCH
    until_probes 0 "kill switch on"
    # Functions that were not there are tried again every ten seconds.
    sleep 12
    until_probes 0 "kill switch on for a while"
    rm $XCLOUD_KILL_SWITCH
    until_probes "$there" "kill switch off"
    [ "$(value "$(profile)" routing)" -gt 0 ] || fail "no stages after the kill switch"
}

up routed
rules 0
none=$(profile)
rules 100
some=$(profile)
rules 1000
many=$(profile)
rules 0
again=$(profile)
down
up wireguard
rules 0
secret=$(profile)
for stage in packets $stages; do
    echo "$stage: no rule $(value "$none" $stage), 100 $(value "$some" $stage), 1000 $(value "$many" $stage)," \
        "none again $(value "$again" $stage), WireGuard $(value "$secret" $stage)" >&2
done

hundred=$(by "$none" "$some" netfilter)
thousand=$(by "$none" "$many" netfilter)
[ "$hundred" -gt 20000 ] || fail "100 rules moved netfilter by $hundred ns only"
[ "$thousand" -gt $((hundred * 3)) ] || fail "1000 rules moved netfilter by $thousand ns, 100 by $hundred ns"
only "100 rules" "$none" "$some" netfilter
only "1000 rules" "$none" "$many" netfilter
[ "$(value "$none" encryption)" = 0 ] || fail "encryption without WireGuard"
[ "$(value "$secret" encryption)" -gt 50000 ] || fail "no encryption with WireGuard"
# An encrypted packet gets an outer header, so encapsulation moves with it.
only WireGuard "$none" "$secret" encryption encapsulation

kill_switch
down
