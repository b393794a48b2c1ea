//! Which attributes somebody asks for.

use std::sync::Arc;

/// The attributes of one protocol that a policy looks at: what costs to find out is found out only where it
/// is in here. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs(Arc<[&'static str]>);

impl Needs {
    /// Whether the attribute of that name is asked for.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains(&name)
    }

    /// Whether everything that `other` asks for is asked for here.
    pub fn cover(&self, other: &Self) -> bool {
        other.0.iter().all(|name| self.has(name))
    }
}

impl FromIterator<&'static str> for Needs {
    fn from_iter<T: IntoIterator<Item = &'static str>>(names: T) -> Self {
        let mut names: Vec<&'static str> = names.into_iter().collect();
        names.sort_unstable();
        names.dedup();
        Self(names.into())
    }
}
