use super::*;

const ARPHRD_ETHER: u16 = 1;
const TABLE_MAIN: u32 = 254;

fn link(index: u32, name: &str, kind: &str) -> Link {
    Link {
        index,
        name: name.into(),
        kind: kind.into(),
        hardware: ARPHRD_ETHER,
        up: true,
        ..Link::default()
    }
}

fn pod_link(index: u32, name: &str) -> Link {
    Link { parent_elsewhere: true, parent: Some(2), ..link(index, name, "veth") }
}

fn route(destination: &str, devices: &[u32]) -> Route {
    let (address, len) = destination.split_once('/').expect("a prefix");
    Route {
        destination: address.parse().expect("an address"),
        prefix_len: len.parse().expect("a length"),
        table: TABLE_MAIN,
        devices: devices.to_vec(),
    }
}

fn address(index: u32, text: &str) -> Address {
    let (address, len) = text.split_once('/').expect("a prefix");
    Address {
        index,
        address: address.parse().expect("an address"),
        prefix_len: len.parse().expect("a length"),
    }
}

fn facts(links: Vec<Link>, routes: Vec<Route>) -> Facts {
    Facts { links, routes, addresses: vec![] }
}

fn roles(facts: &Facts) -> Vec<(String, Option<Role>)> {
    decide(facts, &InterfaceArgs::default()).into_iter().map(|d| (d.name, d.role)).collect()
}

fn role(facts: &Facts, name: &str) -> Option<Role> {
    roles(facts).into_iter().find(|(n, _)| n == name).expect("decided").1
}

const UPLINK: Option<Role> = Some(Role::Uplink);
const POD: Option<Role> = Some(Role::Pod);

#[test]
fn a_plain_node_has_its_nic_and_its_routed_pods() {
    let lo = Link { loopback: true, hardware: 772, ..link(1, "lo", "") };
    let facts = facts(
        vec![lo, link(2, "eth0", ""), pod_link(3, "cali1"), pod_link(4, "veth9")],
        vec![route("0.0.0.0/0", &[2]), route("10.1.0.2/32", &[3]), route("fd00::2/128", &[4])],
    );
    let want = [("lo", None), ("eth0", UPLINK), ("cali1", POD), ("veth9", POD)];
    assert_eq!(roles(&facts), want.map(|(name, role)| (name.to_owned(), role)));
}

#[test]
fn bond_stands_for_its_slaves() {
    let slave = |index, name| Link { master: Some(4), ..link(index, name, "") };
    let facts = facts(
        vec![slave(2, "eth0"), slave(3, "eth1"), link(4, "bond0", "bond")],
        vec![route("0.0.0.0/0", &[4])],
    );
    assert_eq!(role(&facts, "bond0"), UPLINK);
    assert_eq!((role(&facts, "eth0"), role(&facts, "eth1")), (None, None));
}

#[test]
fn packets_leave_by_the_lowest_devices() {
    let member = |index, name| Link { master: Some(4), ..link(index, name, "") };
    let bond = link(4, "bond0", "bond");
    let vlan = Link { parent: Some(4), ..link(5, "bond0.7", "vlan") };
    let elsewhere = Link { parent: Some(2), parent_elsewhere: true, ..link(6, "net1", "macvlan") };
    let lonely = link(7, "bond1", "bond");
    let own_parent = Link { parent: Some(8), ..link(8, "odd", "vlan") };
    let links =
        vec![member(2, "eth0"), member(3, "eth1"), bond, vlan, elsewhere, lonely, own_parent];
    let decisions = decide(&facts(links, vec![]), &InterfaceArgs::default());
    let found: Vec<&[u32]> = decisions.iter().map(|one| &one.leaves_by[..]).collect();
    let wanted: [&[u32]; 7] = [&[2], &[3], &[2, 3], &[2, 3], &[6], &[7], &[8]];
    assert_eq!(found, wanted);
}

#[test]
fn vlan_is_watched_at_one_level_only() {
    let vlan = Link { parent: Some(2), ..link(3, "eth0.7", "vlan") };
    let links = vec![link(2, "eth0", ""), vlan];
    let trunk = facts(links.clone(), vec![route("0.0.0.0/0", &[3])]);
    assert_eq!((role(&trunk, "eth0"), role(&trunk, "eth0.7")), (None, UPLINK));
    let both = facts(links, vec![route("0.0.0.0/0", &[3]), route("10.0.0.0/8", &[2])]);
    assert_eq!((role(&both, "eth0"), role(&both, "eth0.7")), (UPLINK, None));
}

#[test]
fn in_a_container_the_veth_with_the_default_route_is_the_uplink() {
    let with = facts(vec![pod_link(2, "eth0")], vec![route("0.0.0.0/0", &[2])]);
    assert_eq!(role(&with, "eth0"), UPLINK);
    let mut elsewhere = with;
    elsewhere.routes[0].table = 100;
    assert_eq!(role(&elsewhere, "eth0"), POD, "another table's default route does not count");
}

#[test]
fn tun_is_an_uplink_with_the_default_route_and_has_no_mac_header() {
    let tun = Link { hardware: 65534, ..link(5, "wan0", "tun") };
    let with = facts(vec![tun.clone()], vec![route("::/0", &[5])]);
    let decision = &decide(&with, &InterfaceArgs::default())[0];
    assert_eq!((decision.role, decision.link_layer), (UPLINK, LinkLayer::L3));
    let without = facts(vec![tun], vec![route("100.64.0.0/10", &[5])]);
    assert_eq!(role(&without, "wan0"), None);
}

#[test]
fn several_uplinks_by_multipath_and_by_other_tables() {
    let mut eni = route("0.0.0.0/0", &[4]);
    eni.table = 2;
    let facts = facts(
        vec![link(2, "eth0", ""), link(3, "eth1", ""), link(4, "eth2", ""), link(5, "eth3", "")],
        vec![route("0.0.0.0/0", &[2, 3]), eni, route("fe80::/64", &[5])],
    );
    assert_eq!(roles(&facts).iter().filter(|r| r.1 == UPLINK).count(), 3);
    assert_eq!(role(&facts, "eth3"), None, "link-local routes lead nowhere");
}

#[test]
fn tunnels_bridges_and_dummies_are_no_uplinks() {
    for (name, kind) in [
        ("wg0", "wireguard"),
        ("flannel.1", "vxlan"),
        ("docker0", "bridge"),
        ("br0", "bridge"),
        ("kube-ipvs0", "dummy"),
        ("tunl0", "ipip"),
        ("cilium_host", "veth"),
        ("red", "vrf"),
    ] {
        let facts = facts(vec![link(7, name, kind)], vec![route("10.0.0.0/8", &[7])]);
        assert_eq!(role(&facts, name), None, "{name}");
    }
}

#[test]
fn down_interfaces_wait() {
    let down = Link { up: false, ..link(2, "eth0", "") };
    let facts = facts(vec![down], vec![route("0.0.0.0/0", &[2])]);
    assert_eq!(role(&facts, "eth0"), None);
}

#[test]
fn a_member_of_a_vrf_stays_an_uplink() {
    let member = Link { master: Some(9), ..link(2, "eth0", "") };
    let facts = facts(vec![member, link(9, "red", "vrf")], vec![route("0.0.0.0/0", &[2])]);
    assert_eq!(role(&facts, "eth0"), UPLINK);
}

#[test]
fn bridge_ports_are_pods_or_the_physical_uplink() {
    let port = |link: Link| Link { master: Some(9), ..link };
    let facts = facts(
        vec![port(pod_link(3, "vethab")), port(link(2, "eth0", "")), link(9, "br0", "bridge")],
        vec![route("0.0.0.0/0", &[9])],
    );
    assert_eq!(role(&facts, "vethab"), POD);
    assert_eq!(role(&facts, "eth0"), UPLINK);
    assert_eq!(role(&facts, "br0"), None);
}

#[test]
fn open_vswitch_port_is_the_uplink_of_its_internal_port() {
    let nic = Link { master: Some(8), ..link(2, "ens5", "") };
    let facts = facts(
        vec![nic, link(8, "ovs-system", "openvswitch"), link(9, "br-ex", "openvswitch")],
        vec![route("0.0.0.0/0", &[9])],
    );
    assert_eq!(role(&facts, "ens5"), UPLINK);
}

#[test]
fn pods_by_small_subnet_gateway_or_no_route_at_all() {
    let mut node = facts(
        vec![
            pod_link(3, "p-small"),
            pod_link(4, "p-gateway"),
            pod_link(5, "lxc12"),
            pod_link(6, "p-six"),
        ],
        vec![],
    );
    node.addresses = vec![
        address(3, "10.1.0.6/29"),
        address(4, "10.2.0.1/24"),
        address(4, "fe80::5/64"),
        address(6, "fd00:6::1/64"),
    ];
    assert!(roles(&node).iter().all(|r| r.1 == POD), "{:?}", roles(&node));
}

#[test]
fn management_links_are_left_out() {
    let mut node = facts(
        vec![pod_link(3, "mgmt0"), pod_link(4, "oob"), link(5, "cilium_net", "veth")],
        vec![],
    );
    node.addresses = vec![address(3, "10.9.0.1/24"), address(4, "10.9.0.7/24")];
    assert!(roles(&node).iter().all(|r| r.1.is_none()), "{:?}", roles(&node));
}

#[test]
fn netkit_counts_like_veth() {
    let netkit = Link { kind: "netkit".into(), ..pod_link(3, "nk0") };
    assert_eq!(role(&facts(vec![netkit], vec![]), "nk0"), POD);
}

#[test]
fn names_given_replace_what_is_found() {
    let facts = facts(
        vec![
            link(2, "eth0", ""),
            link(3, "wg0", "wireguard"),
            pod_link(4, "veth1"),
            pod_link(5, "tap1"),
        ],
        vec![route("0.0.0.0/0", &[2])],
    );
    let wanted = InterfaceArgs {
        uplinks: vec!["wg0".into()],
        pods: vec!["ve*".into(), "eth0".into()],
        queue_hook: true,
        pod_namespaces: true,
        pod_sockets: true,
        tc_backend: None,
    };
    let got: Vec<_> = decide(&facts, &wanted).into_iter().map(|d| d.role).collect();
    assert_eq!(got, [POD, UPLINK, POD, None]);
}

#[test]
fn an_uplink_that_is_not_there_is_an_error_that_names_what_is() {
    let facts = facts(vec![link(2, "eth0", ""), link(3, "eth1", "")], vec![]);
    let wanted = InterfaceArgs { uplinks: vec!["eth7".into()], ..InterfaceArgs::default() };
    let error = check_names(&facts, &wanted).expect_err("unknown").to_string();
    assert!(error.contains("eth7") && error.contains("eth0, eth1"), "{error}");
}

#[test]
fn every_decision_has_a_reason() {
    let facts = facts(
        vec![link(2, "eth0", ""), pod_link(3, "veth1"), link(4, "docker0", "bridge")],
        vec![],
    );
    assert!(decide(&facts, &InterfaceArgs::default()).iter().all(|d| !d.reason.is_empty()));
}

#[test]
fn tunnels_are_known_by_the_ports_of_their_devices() {
    let tunnel = |index, kind, port| Link { tunnel_port: Some(port), ..link(index, "t", kind) };
    let facts = facts(
        vec![
            tunnel(2, "vxlan", 8472),
            tunnel(3, "vxlan", 4789),
            tunnel(4, "vxlan", 8472),
            tunnel(5, "geneve", 6081),
        ],
        vec![],
    );
    let tunnels = facts.tunnels();
    assert_eq!(tunnels.vxlan, [4789, 8472, 0, 0]);
    assert_eq!(tunnels.geneve, [6081, 0, 0, 0]);
}
