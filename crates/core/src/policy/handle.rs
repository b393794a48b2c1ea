//! The policy in force, shared by everything that asks it and replaced as a whole.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::Policy;

/// Holds the policy in force. None at first, and then every request is refused; a policy that could not
/// be loaded never comes here, so that the last good one stays.
#[derive(Debug, Clone, Default)]
pub struct PolicyHandle(Arc<ArcSwapOption<Policy>>);

impl PolicyHandle {
    /// A handle without a policy.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a policy in force, at once and for every clone of the handle.
    pub fn set(&self, policy: Policy) {
        self.0.store(Some(Arc::new(policy)));
    }

    /// The policy in force. A request keeps the one that it was judged by.
    pub fn current(&self) -> Option<Arc<Policy>> {
        self.0.load_full()
    }
}
