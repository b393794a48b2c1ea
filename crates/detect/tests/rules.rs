//! Every built-in rule finds its true samples and none of its false ones.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::collections::BTreeMap;

use lockgate_detect::{Discard, KnownValues, MaskOptions, Masker, RuleInfo, RuleSet, TagKey, expand_sample};

const SEEDS: u64 = 20;

fn everything() -> RuleSet {
    RuleSet::load("classes = ['personal']").unwrap()
}

fn found(set: &RuleSet, text: &str) -> Vec<String> {
    let mut masker = Masker::new(set, &KnownValues::new(), &TagKey::new(b"key"), MaskOptions::exact());
    masker.push(text, &mut Discard);
    masker.finish(&mut Discard);
    masker.findings().iter().map(|finding| finding.rule.to_string()).collect()
}

fn failures(rule: RuleInfo<'_>, set: &RuleSet) -> Vec<String> {
    let alone = set.filtered(|other| other.id() == rule.id());
    let mut failures = Vec::new();
    for (samples, expected) in [(rule.true_samples(), true), (rule.false_samples(), false)] {
        for template in samples {
            let wrong = (0..SEEDS)
                .filter(|&seed| found(&alone, &expand_sample(template, seed).unwrap()).is_empty() == expected)
                .count();
            if wrong > 0 {
                failures.push(format!(
                    "{}: {wrong} of {SEEDS} wrong, expected {expected}: {template}",
                    rule.id()
                ));
            }
        }
    }
    failures
}

#[test]
fn every_rule_is_right_about_its_samples() {
    let set = everything();
    set.prepare();
    let failures: Vec<String> = set.iter().flat_map(|rule| failures(rule, &set)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_rule_says_where_its_format_is_documented_and_has_samples() {
    for rule in everything().iter() {
        assert!(rule.source().is_some_and(|source| source.starts_with("https://")), "{rule:?}");
        assert!(
            !rule.description().is_empty()
                && !rule.true_samples().is_empty()
                && !rule.false_samples().is_empty(),
            "{rule:?}"
        );
    }
    assert!(everything().len() >= 150);
}

#[test]
fn the_whole_set_finds_every_true_sample() {
    let set = everything();
    for rule in set.iter() {
        for template in rule.true_samples() {
            let text = expand_sample(template, 7).unwrap();
            assert!(!found(&set, &text).is_empty(), "{rule:?}: {template}");
        }
    }
}

/// The accuracy in `benches/RESULTS.md`: what each rule finds of its samples, made up anew 200 times, when all
/// rules are on, and how often its false samples are taken for it. Rules that do equally well share a row.
#[test]
#[ignore = "prints a table: cargo test -p lockgate-detect --test rules -- --ignored --nocapture"]
fn accuracy() {
    let set = everything();
    let mut rows = BTreeMap::<(u32, u32), Vec<&str>>::new();
    let (mut all_found, mut all_true, mut all_wrong) = (0, 0, 0);
    for rule in set.iter() {
        let count = |templates: &[String], hit: &dyn Fn(&[String]) -> bool| {
            let texts = templates
                .iter()
                .flat_map(|template| (100..300).map(move |seed| expand_sample(template, seed).unwrap()));
            texts.filter(|text| hit(&found(&set, text))).count()
        };
        let hits = count(rule.true_samples(), &|rules| !rules.is_empty());
        let wrong = count(rule.false_samples(), &|rules| rules.iter().any(|id| id == rule.id()));
        let trues = rule.true_samples().len() * 200;
        let tenths = |part: usize, whole: usize| (1000.0 * part as f64 / whole as f64).round() as u32;
        rows.entry((tenths(hits, trues), tenths(hits, hits + wrong))).or_default().push(rule.id());
        (all_found, all_true, all_wrong) = (all_found + hits, all_true + trues, all_wrong + wrong);
    }
    println!("| recall | precision | rules | |\n|---|---|---|---|");
    for ((recall, precision), ids) in rows {
        let percent = |tenths: u32| format!("{}.{}", tenths / 10, tenths % 10);
        println!(
            "| {} | {} | {} | {} |",
            percent(recall),
            percent(precision),
            ids.len(),
            ids.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(" ")
        );
    }
    println!(
        "\n{all_found} of {all_true} true samples were found, {all_wrong} false ones: precision {:.2}, recall {:.2}.",
        100.0 * all_found as f64 / (all_found + all_wrong) as f64,
        100.0 * all_found as f64 / all_true as f64
    );
}
