//! The exceptions from `sources`, each with its reason. One that is no longer needed is itself a problem.

/// A check that can have exceptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// A file of more lines than a reader holds in the head.
    Length,
    /// A sleep in a test: it waits on a condition instead.
    Sleep,
}

/// One file that a check passes over.
pub(super) struct Allowed {
    pub(super) check: Check,
    pub(super) path: &'static str,
    pub(super) reason: &'static str,
}

pub(super) const ALLOWED: [Allowed; 6] = [
    Allowed {
        check: Check::Length,
        path: "crates/detect/src/structure/json.rs",
        reason: "one state machine over one grammar, with its tests",
    },
    Allowed {
        check: Check::Length,
        path: "crates/detect/src/structure/yaml.rs",
        reason: "one state machine over one grammar, whose tests are a third of it",
    },
    Allowed {
        check: Check::Length,
        path: "crates/recording/src/verify/tests.rs",
        reason: "one case per way of damaging an archive, in one list to see which is missing",
    },
    Allowed {
        check: Check::Sleep,
        path: "crates/testkit/src/wait.rs",
        reason: "the one place that polls: another process's state has nothing to be woken by",
    },
    Allowed {
        check: Check::Sleep,
        path: "crates/testkit/src/chaos.rs",
        reason: "a delay is the fault that it makes",
    },
    Allowed {
        check: Check::Sleep,
        path: "crates/recording/tests/it/support.rs",
        reason: "polls a condition with a deadline, as the test kit does, which stands above this crate",
    },
];

#[cfg(test)]
mod tests {
    #[test]
    fn every_exception_has_a_reason() {
        assert!(super::ALLOWED.iter().all(|allowed| allowed.reason.len() > 20));
    }
}
