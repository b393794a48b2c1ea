//! A rule's `match`, compiled, and its evaluation.
//!
//! What a request does not have must never widen what is allowed. So where an attribute is absent, and
//! where it is a list of which only some match, it is the side that allows less which is taken. An empty
//! list is no doubt: it is known that there is nothing, and nothing in it matches.
//!
//! | rule | attribute absent | a list of which some match | an empty list |
//! |---|---|---|---|
//! | allow | does not match | does not match: all must | does not match |
//! | allow, under `not` | the `not` does not match | the `not` does not match | the `not` matches |
//! | deny, require_approval | does not match: it bans what is not there | matches | does not match |
//! | deny, require_approval, under `not` | the `not` matches | the `not` matches | the `not` matches |
//!
//! So a push that changes no path, such as one that deletes a branch, is not allowed by
//! `paths: ["docs/**"]`, and is by `not: { git: { paths: [".github/**"] } }`; one in which no secret was
//! found is allowed by `not: { git: { findings: any } }`, and one in which nobody looked is not.
//!
//! Of names that vouch for a request (signatures that were verified) one is enough, in every row.

use std::fmt;

use super::{
    expected::Expected,
    glob::Globs,
    group::{Group, GroupRef},
    reason::clean,
};
use crate::{access::Access, principal::Principal};

/// What is asked of a rule.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) principal: &'a Principal,
    pub(super) upstream: &'a str,
    pub(super) access: &'a Access,
    /// The attribute of which each value that is read is judged by itself.
    pub(super) part: Option<&'static str>,
    /// Whether that is still to come: the access has no value of it.
    pub(super) open: bool,
    /// The document's groups.
    pub(super) groups: &'a [Group],
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Yes,
    No,
    /// For some values of the attribute that is open, it may be.
    Open,
}

/// What may come of a condition when not everything is known of what is asked.
#[derive(Clone, Copy)]
pub(super) struct Outlook {
    pub(super) may_hold: bool,
    pub(super) may_fail: bool,
}

impl Outlook {
    /// Nothing is known.
    pub(super) const OPEN: Self = Self { may_hold: true, may_fail: true };

    pub(super) fn certain(holds: bool) -> Self {
        Self { may_hold: holds, may_fail: !holds }
    }
}

/// A condition on what is asked.
#[derive(Debug)]
pub(super) enum Condition {
    /// All must hold.
    All(Vec<Condition>),
    /// One must hold. With where it stands, e.g. `any[1].any`.
    Any(String, Vec<Condition>),
    /// It must not hold. With where it stands.
    Not(String, Box<Condition>),
    /// A matcher. With where it stands, e.g. `not.git.refs`.
    Is(String, Matcher),
}

/// One thing to compare.
#[derive(Debug)]
pub(super) enum Matcher {
    Everything,
    Who {
        groups: Vec<GroupRef>,
        people: Vec<People>,
    },
    Upstreams(Globs),
    Protocol(&'static str),
    Actions(Vec<&'static str>),
    /// `part` where it stands beside an action that reads values of it: a rule about the refs of any
    /// request says nothing of those that a fetch reads, unless it says `action: fetch`.
    Attribute {
        name: &'static str,
        expected: Expected,
        doubt: Doubt,
        part: bool,
    },
}

/// Principals by issuer and a glob on their subject.
#[derive(Debug)]
pub(super) struct People {
    pub(super) issuer: String,
    pub(super) subjects: Globs,
}

/// What is taken where an attribute does not say yes or no.
#[derive(Debug, Clone, Copy)]
pub(super) struct Doubt {
    /// Where it is absent.
    pub(super) absent: bool,
    /// Whether every item of a list must match, or one.
    pub(super) all: bool,
}

impl Condition {
    /// Whether it holds; else the first part that does not.
    pub(super) fn check(&self, asked: &Asked<'_>) -> Result<(), &Self> {
        let holds = match self {
            Self::All(of) => return of.iter().try_for_each(|condition| condition.check(asked)),
            Self::Any(_, of) => of.iter().any(|condition| condition.check(asked).is_ok()),
            Self::Not(_, of) => of.check(asked).is_err(),
            Self::Is(_, matcher) => matcher.matches(asked),
        };
        if holds { Ok(()) } else { Err(self) }
    }

    /// The matchers of an attribute, each with whether it stands under an odd number of `not`.
    pub(super) fn on<'a>(&'a self, attribute: &str, negated: bool, found: &mut Vec<(&'a Expected, bool)>) {
        match self {
            Self::All(of) | Self::Any(_, of) => {
                of.iter().for_each(|condition| condition.on(attribute, negated, found));
            }
            Self::Not(_, of) => of.on(attribute, !negated, found),
            Self::Is(_, Matcher::Attribute { name, expected, .. }) if *name == attribute => {
                found.push((expected, negated));
            }
            Self::Is(..) => {}
        }
    }

    /// Whether it holds, whatever the value of the attribute that is open.
    pub(super) fn outcome(&self, asked: &Asked<'_>) -> Outcome {
        if !asked.open {
            return if self.check(asked).is_ok() { Outcome::Yes } else { Outcome::No };
        }
        let has = |of: &[Self], outcome| of.iter().any(|condition| condition.outcome(asked) == outcome);
        match self {
            Self::All(of) if has(of, Outcome::No) => Outcome::No,
            Self::Any(_, of) if has(of, Outcome::Yes) => Outcome::Yes,
            Self::All(of) | Self::Any(_, of) if has(of, Outcome::Open) => Outcome::Open,
            Self::All(_) => Outcome::Yes,
            Self::Any(..) => Outcome::No,
            Self::Not(_, of) => match of.outcome(asked) {
                Outcome::Yes => Outcome::No,
                Outcome::No => Outcome::Yes,
                Outcome::Open => Outcome::Open,
            },
            Self::Is(_, Matcher::Attribute { name, part: true, .. }) if asked.part == Some(*name) => {
                Outcome::Open
            }
            Self::Is(_, matcher) if matcher.matches(asked) => Outcome::Yes,
            Self::Is(..) => Outcome::No,
        }
    }

    /// What may come of it, by what may come of each of its matchers.
    pub(super) fn outlook(&self, matcher: &impl Fn(&Matcher) -> Outlook) -> Outlook {
        let of = |conditions: &[Self]| -> Vec<Outlook> {
            conditions.iter().map(|condition| condition.outlook(matcher)).collect()
        };
        match self {
            Self::All(all) => {
                let all = of(all);
                Outlook {
                    may_hold: all.iter().all(|one| one.may_hold),
                    may_fail: all.iter().any(|one| one.may_fail),
                }
            }
            Self::Any(_, any) => {
                let any = of(any);
                Outlook {
                    may_hold: any.iter().any(|one| one.may_hold),
                    may_fail: any.iter().all(|one| one.may_fail),
                }
            }
            Self::Not(_, condition) => {
                let Outlook { may_hold, may_fail } = condition.outlook(matcher);
                Outlook { may_hold: may_fail, may_fail: may_hold }
            }
            Self::Is(_, own) => matcher(own),
        }
    }

    /// Whether it says anything of what an action reads part by part.
    pub(super) fn is_partial(&self) -> bool {
        match self {
            Self::All(of) | Self::Any(_, of) => of.iter().any(Self::is_partial),
            Self::Not(_, of) => of.is_partial(),
            Self::Is(_, Matcher::Attribute { part, .. }) => *part,
            Self::Is(..) => false,
        }
    }

    /// Where it stands in the rule's `match`.
    pub(super) fn path(&self) -> &str {
        match self {
            Self::All(_) => "",
            Self::Any(path, _) | Self::Not(path, _) | Self::Is(path, _) => path,
        }
    }

    /// What it expects, for people.
    pub(super) fn expected(&self) -> String {
        match self {
            Self::All(of) => format!("all of {}", of.len()),
            Self::Any(_, of) => format!("one of {} to match", of.len()),
            Self::Not(..) => "no match".to_owned(),
            Self::Is(_, matcher) => matcher.to_string(),
        }
    }

    /// What there is instead, for people.
    pub(super) fn actual(&self, asked: &Asked<'_>) -> String {
        match self {
            Self::All(_) | Self::Not(..) => "it matches".to_owned(),
            Self::Any(_, of) => {
                let failed = of.iter().filter_map(|condition| condition.check(asked).err());
                let failed: Vec<&str> = failed.map(Self::path).collect();
                format!("none does: see {}", failed.join(", "))
            }
            Self::Is(_, matcher) => clean(&matcher.actual(asked)),
        }
    }
}

impl Matcher {
    pub(super) fn matches(&self, asked: &Asked<'_>) -> bool {
        match self {
            Self::Everything => true,
            Self::Who { groups, people } => {
                groups.iter().any(|group| group.holds(asked.principal, asked.groups))
                    || people.iter().any(|people| people.hold(asked.principal))
            }
            Self::Upstreams(globs) => globs.matches(asked.upstream),
            Self::Protocol(protocol) => asked.access.protocol == *protocol,
            Self::Actions(actions) => actions.contains(&asked.access.action),
            Self::Attribute { name, part: false, doubt, .. } if asked.part == Some(*name) => doubt.absent,
            Self::Attribute { name, expected, doubt, .. } => match asked.access.attributes.get(name) {
                None => doubt.absent,
                Some(value) => expected.matches(value, *doubt),
            },
        }
    }

    fn actual(&self, asked: &Asked<'_>) -> String {
        match self {
            Self::Everything => String::new(),
            Self::Who { .. } => asked.principal.to_string(),
            Self::Upstreams(_) => asked.upstream.to_owned(),
            Self::Protocol(_) => asked.access.protocol.to_owned(),
            Self::Actions(_) => asked.access.action.to_owned(),
            Self::Attribute { name, .. } => match asked.access.attributes.get(name) {
                None if asked.open && asked.part == Some(*name) => {
                    format!("every {name}, each judged by itself")
                }
                None => format!("no {name}"),
                Some(value) => match value.to_string() {
                    text if text.is_empty() => "nothing".to_owned(),
                    text => text,
                },
            },
        }
    }
}

impl People {
    fn hold(&self, principal: &Principal) -> bool {
        self.issuer == principal.issuer && self.subjects.matches(&principal.subject)
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("everything"),
            Self::Who { groups, people } => {
                let groups = groups.iter().map(|group| format!("group:{}", group.name()));
                let people = people.iter().map(|people| format!("{}:{}", people.issuer, people.subjects));
                f.write_str(&groups.chain(people).collect::<Vec<_>>().join(" or "))
            }
            Self::Upstreams(globs) => write!(f, "{globs}"),
            Self::Protocol(protocol) => f.write_str(protocol),
            Self::Actions(words) => f.write_str(&words.join(" or ")),
            Self::Attribute { expected, .. } => write!(f, "{expected}"),
        }
    }
}
