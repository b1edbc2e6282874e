use proptest::{collection::vec, prelude::*};
use prost::Message as _;

use xcloud_common::slot::address;

use super::*;

fn addresses() -> impl Strategy<Value = [u32; 4]> {
    prop_oneof![
        any::<[u8; 16]>().prop_map(address),
        any::<[u8; 4]>()
            .prop_map(|v4| address(std::net::Ipv4Addr::from(v4).to_ipv6_mapped().octets())),
    ]
}

prop_compose! {
    fn labelled()(
        local in addresses(), remote in addresses(), local_port: u16, remote_port: u16,
        end_seq: u32, tsval: u32, answer: u32, pod_ifindex in 0u32..4, uplink_ifindex in 0u32..2,
        kinds in 1u8..8, flags in 0u8..4, shift in 0u8..=16,
    ) -> Sample {
        Sample {
            first_ns: 0, second_ns: 0, third_ns: 0, last_ns: 0, queue_ns: 0,
            end_seq, tsval, answer, pod_ifindex, uplink_ifindex,
            tuple: Tuple {
                local,
                remote,
                local_port,
                remote_port,
            },
            kinds, flags, shift,
        }
    }
}

prop_compose! {
    /// A sample as the kernel side writes it: stamps in order, any of the inner ones absent.
    fn kernel_sample()(
        mut sample in labelled(), first in 1u64..1 << 62, steps in [0u64..1 << 36, 0..1 << 36, 0..1 << 36],
        seen: [bool; 3], queue in 0u64..1 << 36,
    ) -> Sample {
        sample.first_ns = first;
        let second = first + steps[0];
        let third = second + steps[1];
        sample.last_ns = third + steps[2];
        sample.second_ns = if seen[0] { second } else { 0 };
        sample.third_ns = if seen[1] { third } else { 0 };
        let (before, left) = if sample.flags & flag::FAR == 0 {
            (first, sample.second_ns)
        } else {
            (sample.third_ns.max(sample.second_ns).max(first), sample.last_ns)
        };
        if seen[2] && left != 0 {
            sample.queue_ns = before + queue.min(left - before);
        }
        sample
    }
}

proptest! {
    #[test]
    fn what_the_kernel_says_survives_the_wire(samples in vec(kernel_sample(), 0..40)) {
        let bytes = encode(&unnamed(&samples)).encode_to_vec();
        let batch = SampleBatch::decode(&bytes[..]).expect("just encoded");
        prop_assert_eq!(decode(&batch), Ok(Decoded { samples, workloads: vec![] }));
    }

    #[test]
    fn every_sample_keeps_its_name(samples in vec((kernel_sample(), 0usize..3), 0..40)) {
        let pods = ["a", "b"].map(|pod| Workload { pod: pod.into(), ..Workload::default() });
        let pods = pods.map(Arc::new);
        let name = |at: usize| at.checked_sub(1).map(|at| Arc::clone(&pods[at]));
        let named: Vec<_> = samples
            .iter()
            .map(|(sample, at)| Named { sample: *sample, workload: name(*at) })
            .collect();
        let batch = encode(&named);
        let decoded = decode(&batch).expect("just encoded");
        for (at, (_, wanted)) in samples.iter().enumerate() {
            let told = decoded.workloads.get(at).copied().unwrap_or(0) as usize;
            let told = told.checked_sub(1).map(|told| &batch.workloads[told]);
            let wanted = name(*wanted);
            prop_assert_eq!(told, wanted.as_deref());
        }
    }

    #[test]
    fn stamps_in_any_order_still_give_a_readable_batch(
        mut sample in labelled(), stamps: [u64; 5],
    ) {
        [sample.first_ns, sample.second_ns, sample.third_ns, sample.last_ns, sample.queue_ns] =
            stamps.map(|stamp| stamp >> 1);
        let batch = encode(&[sample.into()]);
        let decoded = decode(&batch);
        prop_assert_eq!(decoded.map(|it| it.samples[0].end_seq), Ok(sample.end_seq));
    }

    #[test]
    fn bytes_from_anywhere_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(batch) = SampleBatch::decode(&bytes[..]) {
            let _ = decode(&batch);
        }
    }

    #[test]
    fn whatever_is_accepted_is_the_same_sent_again(
        flags in 0u32..1 << 14, deltas: [i64; 2], spans: [u64; 4], shift in 20u32..64,
    ) {
        let mut batch = valid();
        batch.flags[1] = flags;
        batch.first_stamp_delta_ns = deltas.to_vec();
        let [second, third, last, queue] = spans.map(|span| span >> shift);
        (batch.second_after_ns[1], batch.third_after_ns[1]) = (second, third);
        (batch.last_after_ns[1], batch.queue_plus_one_ns[1]) = (last, queue);
        if let Ok(decoded) = decode(&batch) {
            prop_assume!(decoded.samples.iter().all(|sample| sample.first_ns > 0));
            prop_assert_eq!(decode(&encode(&unnamed(&decoded.samples))), Ok(decoded));
        }
    }
}

fn valid() -> SampleBatch {
    let sample = Sample {
        first_ns: 1_000,
        second_ns: 1_200,
        third_ns: 5_000,
        last_ns: 5_100,
        queue_ns: 1_150,
        end_seq: 7,
        tsval: 8,
        answer: 9,
        pod_ifindex: 1,
        uplink_ifindex: 2,
        tuple: Tuple::default(),
        kinds: kind::ACK,
        flags: 0,
        shift: 3,
    };
    encode(&[sample.into(), sample.into()])
}

fn unnamed(samples: &[Sample]) -> Vec<Named> {
    samples.iter().copied().map(Named::from).collect()
}

#[test]
fn samples_of_one_connection_share_its_labels() {
    let batch = valid();
    assert_eq!((batch.connections.len(), &batch.connection[..]), (1, &[0, 0][..]));
}

#[test]
fn a_hostile_batch_is_refused_by_the_name_of_the_field() {
    let broken = |damage: fn(&mut SampleBatch)| {
        let mut batch = valid();
        damage(&mut batch);
        decode(&batch).expect_err("damaged").to_string()
    };
    let refusals = [
        broken(|b| b.answer.push(1)),
        broken(|b| b.flags.clear()),
        broken(|b| b.connections.resize(3, Connection::default())),
        broken(|b| b.connections[0].local = None),
        broken(|b| b.connections[0].remote = Some(Endpoint { address: vec![1; 5], port: 1 })),
        broken(|b| b.connections[0].local_workload = 1),
        broken(|b| b.workloads = vec![Workload::default(); 2]),
        broken(|b| b.connections[0].remote = Some(Endpoint { address: vec![1; 4], port: 65_536 })),
        broken(|b| b.connection[1] = 1),
        broken(|b| b.flags[0] = 0x8),
        broken(|b| b.flags[0] |= 0x20),
        broken(|b| b.flags[1] = 17 << 8 | 1),
        broken(|b| b.first_stamp_delta_ns[0] = -1),
        broken(|b| b.first_stamp_delta_ns = vec![i64::MAX; 2]),
        broken(|b| b.last_after_ns[0] = u64::MAX),
        broken(|b| b.second_after_ns[0] = u64::MAX),
        broken(|b| b.third_after_ns[0] = 200),
        broken(|b| b.queue_plus_one_ns[0] = 202),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @r"
    answer has 3 entries where end_sequence has 2
    flags has 0 entries where end_sequence has 2
    connections has 3 entries for 2 samples
    connections[0] has no local end
    connections[0] has a remote address of 5 bytes, neither 4 nor 16
    connections[0] names workload 1 of 0
    workloads has 2 entries for 1 connections
    connections[0] has remote port 65536, beyond 65535
    connection[1] names no entry of connections
    flags[0] names no kind
    flags[0] has bits that mean nothing
    flags[1] has a sampling shift above 16
    first_stamp_delta_ns[0] leaves the range of a clock
    last_after_ns[1] leaves the range of a clock
    last_after_ns[0] is longer than ten minutes
    second_after_ns[0] is later than the last stamp
    third_after_ns[0] is not between its neighbours
    queue_plus_one_ns[0] is longer than the packet was on the node
    ");
}

#[test]
fn too_many_samples_are_refused() {
    let batch = SampleBatch { end_sequence: vec![0; MAX_SAMPLES + 1], ..SampleBatch::default() };
    assert!(
        decode(&batch).expect_err("too long").to_string().starts_with("end_sequence has 65537")
    );
}
