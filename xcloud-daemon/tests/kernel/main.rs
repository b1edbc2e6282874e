//! Every program in the running kernel under crafted packets. Needs root; skips loudly without, fails in CI.

mod attach;
mod carried;
mod craft;
mod egress;
mod harness;
mod inside;
mod ipsec;
mod kprobe;
mod logged;
mod podns;
mod raw;
mod stacked;
mod torn;
mod tracepoint;
mod tunnels;
mod verifier;

use craft::{DATA, Segment};
use harness::{CLASSIFIERS, Kernel};
use xcloud_common::{
    config::Config,
    counter::Counter,
    identity,
    sample::{flag, kind},
    slot,
};

const UNSPEC: i32 = -1;

macro_rules! kernel_or_return {
    () => {
        if harness::available() {
            Kernel::load()
        } else {
            return;
        }
    };
}

#[test]
fn a_request_seen_at_the_near_node_becomes_one_sample() {
    let mut kernel = kernel_or_return!();
    for ipv6 in [false, true] {
        let data = Segment { ipv6, seq: 70_000 + u32::from(ipv6), ..DATA };
        let answer = Segment { payload: 40, ..data.answered() };
        for (program, packet) in [
            ("pod_out", data),
            ("uplink_queue", data),
            ("uplink_out", data),
            ("uplink_in", answer),
            ("pod_in", answer),
        ] {
            kernel.run(program, &packet.frame());
        }
        let samples = kernel.samples();
        let [sample] = samples[..] else { panic!("one sample, not {samples:?}") };
        assert_eq!((sample.end_seq, sample.tsval), (data.end(), data.tsval));
        assert_eq!(sample.kinds, kind::ACK | kind::RESPONSE);
        assert_eq!(sample.flags & flag::FAR, 0);
        assert!(sample.first_ns < sample.queue_ns && sample.queue_ns < sample.second_ns);
        assert!(sample.second_ns < sample.third_ns && sample.third_ns < sample.last_ns);
        assert_eq!((sample.tuple.local_port, sample.tuple.remote_port), (40_000, 80));
        let address = if ipv6 { [0xfd, 0, 0, 1] } else { [10, 1, 0, 2] };
        let local = slot::octets(sample.tuple.local);
        assert_eq!(if ipv6 { &local[..4] } else { &local[12..] }, address);
    }
}

#[test]
fn the_same_request_seen_at_the_far_node_names_the_same_key_and_answer() {
    let mut kernel = kernel_or_return!();
    let data = DATA;
    let answer = Segment { payload: 40, ..data.answered() };
    for (program, packet) in
        [("pod_out", data), ("uplink_out", data), ("uplink_in", answer), ("pod_in", answer)]
    {
        kernel.run(program, &packet.frame());
    }
    let near = kernel.samples()[0];
    for (program, packet) in [
        ("uplink_in", data),
        ("pod_in", data),
        ("pod_out", answer),
        ("uplink_queue", answer),
        ("uplink_out", answer),
    ] {
        kernel.run(program, &packet.frame());
    }
    let far = kernel.samples()[0];
    assert_eq!((near.end_seq, near.tsval, near.answer), (far.end_seq, far.tsval, far.answer));
    assert_eq!(far.flags & flag::FAR, flag::FAR);
    assert!(far.third_ns < far.queue_ns && far.queue_ns < far.last_ns);
    assert_eq!((far.tuple.local_port, far.tuple.remote_port), (80, 40_000));
}

#[test]
fn a_device_without_link_header_gives_the_same() {
    let mut kernel = kernel_or_return!();
    let data = Segment { seq: 90_000, ..DATA };
    let answer = data.answered();
    for (program, packet) in [
        ("pod_out_ip", data),
        ("uplink_queue_ip", data),
        ("uplink_out_ip", data),
        ("uplink_in_ip", answer),
        ("pod_in_ip", answer),
    ] {
        kernel.run(program, &packet.frame()[14..]);
    }
    assert_eq!(kernel.samples()[0].kinds, kind::ACK);
}

#[test]
fn a_handshake_is_its_own_kind() {
    let mut kernel = kernel_or_return!();
    let syn = Segment { syn: true, ack: 0, payload: 0, ..DATA };
    let syn_ack = syn.answered().frame();
    kernel.run("pod_out", &syn.frame());
    kernel.run("uplink_out", &syn.frame());
    kernel.run("uplink_in", &syn_ack);
    kernel.run("pod_in", &syn_ack);
    assert_eq!(kernel.samples()[0].kinds, kind::HANDSHAKE);
}

#[test]
fn sampling_leaves_out_what_the_hash_leaves_out() {
    let mut kernel = kernel_or_return!();
    kernel.configure(Config { shift: 4, ..Config::default() });
    for seq in (0..4096).map(|index| index * 1448) {
        kernel.run("pod_out", &Segment { seq, ..DATA }.frame());
    }
    let chosen = (0..4096u32)
        .filter(|index| identity::selected(identity::hash(index * 1448 + 100), 4))
        .count();
    assert_eq!(kernel.count(Counter::Opened), chosen as u64);
}

#[test]
fn the_tools_own_port_is_left_out() {
    let mut kernel = kernel_or_return!();
    kernel.configure(Config { own_port: 80, ..Config::default() });
    kernel.run("pod_out", &DATA.frame());
    assert_eq!(kernel.count(Counter::Opened), 0);
}

#[test]
fn a_full_ring_is_counted() {
    let mut kernel = kernel_or_return!();
    let exchanges = 12_000u32;
    for index in 0..exchanges {
        let data = Segment { seq: index * 1448, ..DATA };
        let answer = data.answered();
        for (program, packet) in
            [("pod_out", data), ("uplink_out", data), ("uplink_in", answer), ("pod_in", answer)]
        {
            kernel.run(program, &packet.frame());
        }
    }
    let (emitted, full) = (kernel.count(Counter::Emitted), kernel.count(Counter::RingFull));
    assert!(full > 0);
    assert_eq!(emitted, u64::from(exchanges));
    assert_eq!(kernel.samples().len() as u64 + kernel.torn() + full, emitted);
}

/// Packets that are cut short, contradict themselves or are no TCP, from the Ethernet header on. The kernel's test
/// run itself refuses IP packets without a whole IP header.
fn odd_packets() -> Vec<(&'static str, Vec<u8>)> {
    let plain = DATA.frame();
    let six = Segment { ipv6: true, ..DATA }.frame();
    let with = |packet: &[u8], at: usize, bytes: &[u8]| {
        let mut packet = packet.to_vec();
        packet[at..at + bytes.len()].copy_from_slice(bytes);
        packet
    };
    let bare = Segment { payload: 0, ..DATA }.frame();
    let options = 14 + 20 + 20;
    let mut tagged = plain[..12].to_vec();
    tagged.extend([0x81, 0, 0, 7, 0x88, 0xa8, 0, 9]);
    tagged.extend(&plain[12..]);
    let mut odd = vec![
        ("not IP", with(&plain, 12, &[0x08, 0x06])),
        ("UDP", craft::udp()),
        ("first fragment", with(&plain, 20, &[0x20, 0])),
        ("later fragment", with(&plain, 20, &[0, 185])),
        ("IPv6 fragment header", with(&six, 20, &[44])),
        ("IPv6 extension that never ends", with(&six, 20, &[0])),
        ("IP header shorter than itself", with(&plain, 14, &[0x42])),
        ("IP header longer than the packet", with(&plain, 14, &[0x4f])),
        ("TCP header shorter than itself", with(&plain, 46, &[0x10])),
        ("TCP header longer than the packet", with(&bare, 46, &[0xf0])),
        ("length of zero", with(&plain, 16, &[0, 0])),
        ("length beyond the packet", with(&plain, 16, &[0xff, 0xff])),
        ("option of length zero", with(&plain, options, &[2, 0])),
        ("option beyond the header", with(&plain, options, &[30, 255])),
        ("timestamp cut off", with(&plain, options, &[1, 1, 1, 8])),
        ("two VLAN tags", tagged),
        ("jumbo", Segment { payload: 3_000, ..DATA }.frame()),
        ("reset", with(&plain, 47, &[4])),
    ];
    odd.extend((34..plain.len().min(80)).map(|cut| ("cut short", plain[..cut].to_vec())));
    odd.extend((54..six.len().min(100)).map(|cut| ("cut short, IPv6", six[..cut].to_vec())));
    odd
}

#[test]
fn every_program_lets_every_packet_pass_unchanged() {
    let mut kernel = kernel_or_return!();
    for program in CLASSIFIERS {
        for (what, packet) in odd_packets() {
            let packet =
                if program.ends_with("_ip") && packet.len() > 28 { &packet[14..] } else { &packet };
            let (verdict, after) = kernel.run(program, packet);
            assert_eq!(verdict, UNSPEC, "{program}, {what}");
            assert_eq!(after, packet, "{program}, {what}");
        }
    }
    assert_eq!(kernel.samples(), []);
}

#[test]
fn fragments_and_malformed_packets_are_counted() {
    let mut kernel = kernel_or_return!();
    for (what, packet) in odd_packets() {
        let (fragments, malformed) =
            (kernel.count(Counter::Fragment), kernel.count(Counter::Malformed));
        kernel.run("pod_out", &packet);
        let counted = (
            kernel.count(Counter::Fragment) - fragments,
            kernel.count(Counter::Malformed) - malformed,
        );
        match what {
            "first fragment" | "later fragment" | "IPv6 fragment header" => {
                assert_eq!(counted, (1, 0), "{what}");
            }
            "IP header shorter than itself"
            | "TCP header shorter than itself"
            | "TCP header longer than the packet" => assert_eq!(counted, (0, 1), "{what}"),
            "UDP" | "not IP" | "reset" | "jumbo" | "two VLAN tags" => {
                assert_eq!(counted, (0, 0), "{what}");
            }
            _ => assert_eq!(counted.0, 0, "{what}"),
        }
    }
}
