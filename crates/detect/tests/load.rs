//! Rules of users: what is wrong is refused with its place, and what is right changes the built-in set.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use lockgate_detect::{Discard, KnownValues, MaskOptions, Masker, RuleSet, TagKey};

#[track_caller]
fn refuse(document: &str, expected: &str) {
    assert_eq!(RuleSet::load(document).unwrap_err().to_string(), expected);
}

#[test]
fn faults_are_told_with_their_place() {
    refuse(
        "[[rule]]\nid = 'a'\npattern = 'acme_[0-9'",
        "line 3, column 11: rule `a`: unclosed character class at byte 5",
    );
    refuse(
        "[[rule]]\nid = 'a'\npattern = '[a-z]+'",
        "line 3, column 11: rule `a`: a match must begin with four bytes, of which there are at most 20000 variants",
    );
    refuse(
        "[[rule]]\nid = 'a'\npattern = 'acme(?:x{0,900}y{0,900}){9}'",
        "line 3, column 11: rule `a`: the pattern needs an automaton of more than 1024 KiB",
    );
    refuse(
        "[[rule]]\nid = 'a'\npattern = 'acme_(x*)'",
        "line 3, column 11: rule `a`: the secret can be empty",
    );
    refuse(
        "[[rule]]\nid = 'a'\npattern = 'acme_(?:(x)|(y))'",
        "line 3, column 11: rule `a`: the secret group must not stand inside of another group or an alternation",
    );
    refuse(
        "[[rule]]\nid = 'A b'\npattern = 'acme_x'",
        "line 2, column 6: an id is 1 to 64 lower-case letters, digits and dashes",
    );
    refuse("disable = ['nothing']", "line 1, column 12: there is no built-in rule `nothing`");
    refuse(
        "[[rule]]\nid = 'a'\npattern = 'acme_x'\ntrue = ['acme_y']",
        "line 4, column 9: rule `a` does not find its true sample",
    );
    refuse(
        "[[rule]]\nid = 'a'\npattern = 'acme_x'\nfalse = ['acme_x']",
        "line 4, column 10: rule `a` finds its false sample",
    );
    refuse(
        "[[rule]]\nid = 'a'\npattern = 'acme_x'\nallow = ['ok', '(']",
        "line 4, column 16: rule `a`: unclosed group at byte 0",
    );
    assert!(
        RuleSet::load("colour = 1")
            .unwrap_err()
            .to_string()
            .starts_with("line 1, column 1: unknown field `colour`")
    );
    assert!(RuleSet::load("[[rule]]\nid = 'a'\n\nx = [").unwrap_err().line >= 4);
}

#[test]
fn rules_are_added_replaced_and_disabled() {
    let builtin = RuleSet::builtin();
    let set = RuleSet::load(
        r#"
        classes = ["personal"]
        disable = ["jwt", "jwe"]
        [[rule]]
        id = "acme"
        pattern = 'acme_[0-9]{8}'
        [[rule]]
        id = "npm-token"
        pattern = 'npm_[a-z]{4}'
        "#,
    )
    .unwrap();
    let ids: Vec<&str> = set.iter().map(|rule| rule.id()).collect();
    assert!(ids.contains(&"acme") && ids.contains(&"iban") && !ids.contains(&"jwt"));
    assert_eq!(set.iter().find(|rule| rule.id() == "npm-token").unwrap().pattern(), "npm_[a-z]{4}");
    assert_eq!(set.len(), builtin.len() + 3 - 2 + 1);
    assert_eq!(RuleSet::only("").unwrap().len(), 0);
    assert!(set.structured().len() < set.len());
}

#[test]
fn findings_that_wait_for_an_earlier_one_do_not_stall() {
    // Each of the many is found before it is known whether they lie within the long one.
    let set = RuleSet::only(
        "[[rule]]\nid = 'long'\npattern = 'LONG[^;]{10,}!'\n[[rule]]\nid = 'short'\npattern = 'abcd[0-9] '",
    )
    .unwrap();
    let text = format!("LONG{}; and more", "abcd1 ".repeat(4000));
    let mut masker = Masker::new(&set, &KnownValues::new(), &TagKey::new(b"key"), MaskOptions::default());
    masker.push(text.as_bytes(), &mut Discard);
    masker.finish(&mut Discard);
    assert_eq!(masker.found(), 4000);
}
