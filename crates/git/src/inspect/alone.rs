//! A pack through all that reads packs, with no upstream to ask: for fuzzing and measuring.

use std::{sync::Arc, time::Instant};

use hashbrown::HashSet;
use lockgate_core::spool::Spool;

use super::{
    InspectError,
    content::Look,
    update::{Allowance, Inquiry, Outcome, Update},
};
use crate::{
    ancestry::Spooled,
    config::InspectConfig,
    facts::Facts,
    oid::{ObjectFormat, Oid},
    pack::{self, Budget, Limits, Objects, Origin, Pass, Source},
};

/// What a pack brings that is the first push of all. For measuring; `None` where it can't be said.
#[doc(hidden)]
pub fn measure_pack(pack: Spool, new: Oid, config: InspectConfig) -> Option<Facts> {
    let budget = Budget::new(config.commits, Instant::now() + config.time);
    let pack = Spooled { spool: pack, start: 0 };
    through(pack, new.format(), &Arc::new(config), &budget, Some(new)).ok().flatten()
}

/// The facts about one tip; without one, those about some objects are found and forgotten.
pub(super) fn through(
    pack: impl Source,
    format: ObjectFormat,
    config: &Arc<InspectConfig>,
    budget: &Budget,
    tip: Option<Oid>,
) -> Result<Option<Facts>, InspectError> {
    let InspectConfig { objects, object, held, wanted, .. } = **config;
    let look = Look::new(config, format, wanted, true);
    let pass = Pass::new(format, Limits { objects, object, held }, budget, look);
    let (index, mut look) = pack::pass(&pack, pass, budget)?;
    let mut objects = Objects::new(format, held);
    objects.add(pack, index, Origin::Pushed);
    pack::resolve(&mut objects, 0, budget, &mut look)?;
    look.settle()?;
    let seen = [look.seen];
    let tips: Vec<Oid> = match tip {
        Some(tip) => vec![tip],
        None => objects.packs().flat_map(|(_, index)| index.names().take(20)).collect(),
    };
    let mut facts = None;
    for new in tips {
        let update = Update { number: 0, new, old: None, base: None, tag: true, settled: HashSet::new() };
        let (objects, reached) = (&mut objects, &mut HashSet::new());
        let (seen, allowance) = (&seen, Allowance::new(config.facts));
        let inquiry = Inquiry { objects, seen, config, wanted, budget, update: &update, allowance, reached };
        if let Outcome::Facts(found, _) = inquiry.run()? {
            facts = Some(*found);
        }
    }
    Ok(facts)
}
