use proptest::prelude::*;

use super::*;

fn add(text: &str) -> Result<Tariffs> {
    let mut tariffs = Tariffs::built_in().expect("the built-in prices are sound");
    tariffs.add(text)?;
    Ok(tariffs)
}

fn list(charge: &str) -> String {
    format!(
        "schema = \"xcloud.tariffs.v1\"\ncloud = \"aws\"\nversion = \"mine\"\n[[charge]]\nid = \"x\"\npath = \"internet\"\n\
         status = \"listed\"\nsource = \"contract\"\nread = \"2026-11-23\"\n{charge}"
    )
}

#[test]
fn every_built_in_price_says_where_and_when_it_was_read() {
    let tariffs = Tariffs::built_in().expect("sound");
    assert_eq!(tariffs.versions, ["aws 2026-11-23", "gcp 2026-11-23", "azure 2026-11-23"]);
    for charge in &tariffs.charges {
        assert!(charge.source.len() > 5, "{}", charge.id);
        assert!(charge.read.starts_with("2026-"), "{}", charge.id);
        assert!(charge.id.starts_with(&charge.cloud), "{}", charge.id);
    }
}

#[test]
fn a_built_in_price_is_listed_only_if_it_was_read_on_the_providers_page() {
    for charge in &Tariffs::built_in().expect("sound").charges {
        let domain = match &*charge.cloud {
            "aws" => "aws.amazon.com/",
            "gcp" => "cloud.google.com/",
            _ => "azure.microsoft.com/",
        };
        let listed = charge.status == Status::Listed;
        assert!(!listed || charge.source.starts_with(domain), "{}: {}", charge.id, charge.source);
        // Whoever gives a price between continents has to say so by other regions.
        let bounded = !charge.to_regions.is_empty();
        assert!(charge.path != "inter-region" || bounded, "{}", charge.id);
        assert!(!charge.source.contains("dev.to") || !certain_above(charge), "{}", charge.id);
    }
}

/// Whether any tier but the first is listed.
fn certain_above(charge: &Charge) -> bool {
    let Rate::Volume(_, tiers) = &charge.rate else { return false };
    tiers.iter().skip(1).any(|tier| tier.status == Status::Listed)
}

#[test]
fn a_file_replaces_charges_by_name_and_adds_others() {
    let text = list("unit = \"GB\"\ntiers = [{ usd = \"0.01\" }]")
        .replace("id = \"x\"", "id = \"aws-internet-europe\"");
    let tariffs = add(&text).expect("a price list");
    let built_in = Tariffs::built_in().expect("sound");
    assert_eq!(tariffs.charges.len(), built_in.charges.len());
    let replaced = tariffs.charges.last().expect("some");
    assert_eq!((&*replaced.id, &*replaced.source), ("aws-internet-europe", "contract"));
    let tariffs = add(&list("per = \"port\"\nusd_per_hour = \"2.5\"")).expect("a price list");
    assert_eq!(tariffs.charges.len(), built_in.charges.len() + 1);
}

#[test]
fn a_price_list_that_makes_no_sense_is_refused_with_the_charge_and_why() {
    let refused = [
        ("unit = \"GB\"", "either unit and tiers"),
        ("unit = \"GB\"\ntiers = []", "no tier"),
        ("unit = \"GB\"\ntiers = [{ usd = \"1\" }, { usd = \"2\" }]", "tiers go up"),
        ("unit = \"GB\"\ntiers = [{ up_to = 5, usd = \"1\" }]", "tiers go up"),
        ("unit = \"GB\"\ntiers = [{ up_to = 0, usd = \"1\" }, { usd = \"2\" }]", "tiers go up"),
        ("unit = \"GB\"\ntiers = [{ usd = \"cheap\" }]", "is no price"),
        ("unit = \"GB\"\ntiers = [{ usd = \"1\", status = \"unknown\" }]", "cannot be unknown"),
        ("per = \"port\"\nusd_per_hour = \"unknown\"", "unknown price"),
    ];
    for (charge, why) in refused {
        let error = format!("{:#}", add(&list(charge)).expect_err(charge));
        assert!(error.contains("charge \"x\"") && error.contains(why), "{charge}: {error}");
    }
    let error = add(&list("").replace("tariffs.v1", "tariffs.v9")).expect_err("another layout");
    assert!(error.to_string().contains("xcloud.tariffs.v9"), "{error}");
}

proptest! {
    #[test]
    fn garbage_is_an_error_and_no_panic(text in "\\PC{0,200}") {
        prop_assert!(add(&text).is_err());
        drop(add(&list(&text)));
    }
}
