use clap::Parser;

use super::*;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    lab: LabArgs,
}

fn plan(flags: &[&str]) -> Result<Plan> {
    let all = std::iter::once("lab").chain(flags.iter().copied());
    Plan::new(&Flags::try_parse_from(all)?.lab)
}

#[test]
fn places_land_on_their_cloud() {
    let plan = plan(&["--inject", "aws:egress=2ms,gcp:queue=2ms"]).unwrap();
    assert_eq!(plan.clouds[0].injected.egress, Some(Duration::from_millis(2)));
    assert_eq!(plan.clouds[1].injected.queue.unwrap().delay_ns, 2_000_000);
    assert_eq!(plan.namespaces().len(), 7);
    assert_eq!(plan.find("gcp-pod2"), Some("xc-lab-gcp-pod2"));
    assert_eq!(plan.find("nowhere"), None);
}

#[test]
fn wrong_flags_are_named() {
    let wrong: [(&[&str], &str); 10] = [
        (&["--inject", "azure:egress=2ms"], "azure"),
        (&["--clouds", "aws,aws"], "twice"),
        (&["--clouds", "a,b,c,d,e,f"], "1 to 5"),
        (&["--clouds", "Big Cloud"], "Big Cloud"),
        (&["--load", "bulk", "--inject", "gcp:pod=1ms"], "bulk"),
        (&["--inject", "aws:queue=1ms,aws:queue=20mbit"], "twice"),
        (&["--cni", "ebpf", "--impostor", "ok"], "--cni routed"),
        (&["--cni", "ebpf", "--verify"], "--verify"),
        (&["--cni", "masquerade", "--service"], "--service"),
        (&["--cni", "ebpf", "--uplinks", "2"], "--uplinks"),
    ];
    for (flags, word) in wrong {
        let error = format!("{:#}", plan(flags).unwrap_err());
        assert!(error.contains(word), "{flags:?}: {error}");
    }
}

/// Where the regions are is in the table that reports take the floor from.
#[test]
fn no_round_trip_of_the_lab_is_shorter_than_light_needs() {
    let table = include_str!("../../../../xcloud-daemon/floor/regions.toml");
    let table: toml::Table = table.parse().unwrap();
    let places = REGIONS.map(|(cloud, region)| {
        let place = table[cloud][region].as_array().unwrap();
        [0, 1].map(|axis| place[axis].as_float().unwrap())
    });
    for (a, b) in places.iter().zip(&places[1..]).chain([(&places[0], &places[2])]) {
        // A degree is 111 km at most, and 100 km there and back take light in glass a millisecond.
        let degrees = (a[0] - b[0]).hypot(a[1] - b[1]);
        assert!(degrees < 3.6, "{a:?} and {b:?}: more than 4 ms");
    }
}
