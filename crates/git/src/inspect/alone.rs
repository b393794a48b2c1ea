//! A pack in memory through all that reads packs, with no upstream to ask: for fuzzing and measuring.

use std::{
    collections::HashSet,
    ops::ControlFlow,
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use super::{
    InspectError,
    content::Look,
    update::{Allowance, Inquiry, Outcome, Update},
};
use crate::{
    config::InspectConfig,
    facts::{Facts, Wanted},
    oid::{ObjectFormat, Oid},
    pack::{self, Budget, Commit, Event, Limits, Objects, Origin, Pass},
};

/// Reads anything as a pack: its commits alone; then, with a checksum that is right, all of it, and what each
/// of its objects would bring as the new tip of a ref. For fuzzing: whether it is a pack does not matter,
/// only that it ends, and without panic.
#[doc(hidden)]
pub fn fuzz_pack(bytes: &[u8]) {
    let budget = Budget {
        inflate: Arc::new(AtomicU64::new(16 << 20)),
        ..Budget::new(1000, Instant::now() + Duration::from_secs(1))
    };
    let wanted = Wanted { history: true, paths: true, content: true };
    let limits = InspectConfig {
        objects: 1000,
        object: 1 << 20,
        held: 1 << 20,
        paths: 100,
        ..InspectConfig::default()
    };
    let config = Arc::new(InspectConfig { wanted, path: 100, findings: 10, ..limits });
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let _ = pack::scan(&bytes, format, &budget, |event| {
            if let Event::Commit(name, content) = event {
                Commit::parse(*name, content);
            }
            ControlFlow::Continue(())
        });
        if let Ok(checksum) = pack::checksum(format, bytes) {
            let _ = through(&[bytes, checksum.as_bytes()].concat(), format, &config, &budget, None);
        }
    }
}

/// What a pack brings that is the first push of all. For measuring; `None` where it can't be said.
#[doc(hidden)]
pub fn measure_pack(pack: &[u8], new: Oid, config: InspectConfig) -> Option<Facts> {
    let budget = Budget::new(config.commits, Instant::now() + config.time);
    through(pack, new.format(), &Arc::new(config), &budget, Some(new)).ok().flatten()
}

/// The facts about one tip; without one, those about some objects are found and forgotten.
fn through(
    pack: &[u8],
    format: ObjectFormat,
    config: &Arc<InspectConfig>,
    budget: &Budget,
    tip: Option<Oid>,
) -> Result<Option<Facts>, InspectError> {
    let InspectConfig { objects, object, held, wanted, .. } = **config;
    let look = Look::new(config, format, wanted.content, true);
    let mut pass = Pass::new(format, Limits { objects, object, held }, budget, look);
    for piece in pack.chunks(128 * 1024) {
        pass.feed(piece, budget)?;
    }
    let (index, mut look) = pass.finish()?;
    let mut objects = Objects::new(format, held);
    objects.add(pack, index, Origin::Pushed);
    pack::resolve(&mut objects, 0, budget, &mut look)?;
    let hits = [look.hits];
    let tips: Vec<Oid> = match tip {
        Some(tip) => vec![tip],
        None => objects.packs().flat_map(|(_, index)| index.names().take(20)).collect(),
    };
    let mut facts = None;
    for new in tips {
        let update = Update { number: 0, new, old: None, base: None, tag: true, settled: HashSet::new() };
        let (objects, reached) = (&mut objects, &mut HashSet::new());
        let (hits, allowance) = (&hits, Allowance::new(config.facts));
        let inquiry = Inquiry { objects, hits, config, wanted, budget, update: &update, allowance, reached };
        if let Outcome::Facts(found, _) = inquiry.run()? {
            facts = Some(*found);
        }
    }
    Ok(facts)
}
