//! From a commit through its ancestors.

use std::collections::HashSet;

use crate::{
    oid::Oid,
    pack::{Budget, Commits, PackError},
};

/// Commits that the upstream is asked for at once.
const WANTS: usize = 1024;

/// Where a walk ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Walk {
    /// At the old tip.
    Reached,
    /// At the beginnings of history: the old tip is not among the ancestors.
    Apart,
    /// At these commits, which none of the packs holds.
    Missing(Vec<Oid>),
    /// At more of them than anybody will be asked for.
    TooMany,
}

/// Walks from `new` to all its ancestors in the packs, until `old` is met.
pub(super) fn walk(packs: &[&Commits], new: Oid, old: Oid, budget: &Budget) -> Result<Walk, PackError> {
    let mut visited: Vec<Vec<bool>> = packs.iter().map(|commits| vec![false; commits.len()]).collect();
    let mut missing = HashSet::new();
    let mut next = vec![new];
    while let Some(name) = next.pop() {
        budget.check()?;
        if name == old {
            return Ok(Walk::Reached);
        }
        let found = packs.iter().zip(&mut visited).find_map(|(commits, visited)| {
            let place = commits.find(&name)?;
            Some((*commits, place, &mut visited[place]))
        });
        match found {
            Some((_, _, true)) => {}
            Some((commits, place, visited)) => {
                *visited = true;
                next.extend(commits.parents(place));
            }
            None if missing.len() <= WANTS => {
                missing.insert(name);
            }
            None => {}
        }
    }
    Ok(match missing.len() {
        0 => Walk::Apart,
        1..=WANTS => Walk::Missing(missing.into_iter().collect()),
        _ => Walk::TooMany,
    })
}
