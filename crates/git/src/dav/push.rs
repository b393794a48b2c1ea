//! What writes refs, or says what they name: pushes, of which the upstream is asked what was before.

use bytes::Bytes;
use lockgate_core::{
    access::{Access, Outline},
    body::{self, Body},
    protocol::Context,
    refusal::{Refusal, RefusalKind},
};

use super::{
    Asked, Dav,
    files::{Packed, Seen},
    refs::{self, InfoRefs},
    route::DavRoute,
    sent,
};
use crate::{
    classify::{self, Content},
    facts::{Facts, Wanted},
    oid::{ObjectFormat, Oid},
    parse::{Capabilities, Command, PushRequest},
    route::invalid,
};

impl Dav {
    /// Who may not push a ref may not lock it either: some servers make an empty file of one that is locked and has none,
    /// which git takes for a broken ref. Nor is a folder locked, in which nobody could create anything then. `accesses`
    /// are those of locking anything.
    pub(super) async fn lock(
        &self,
        context: Context<'_>,
        route: &DavRoute,
        name: Option<&str>,
        accesses: Vec<Access>,
    ) -> Result<Vec<Access>, Refusal> {
        let Some(name) = name else { return Ok(accesses) };
        if let Some(refused) = self.unpushable(context, route, name, None, &OPEN, &accesses)? {
            return Ok(refused);
        }
        let files = self.files(context, route);
        let seen = files.look(&[name], Packed::WithoutFile).await?;
        let old = seen.iter().find_map(Seen::names);
        if old.is_none() {
            check_room(files.has_room(name, false).await? && !files.is_folder(name).await?, name)?;
        }
        let refused = self.unpushable(context, route, name, old, &[], &accesses)?;
        Ok(refused.unwrap_or(accesses))
    }

    /// Who could have locked a ref, whatever it named then, can unlock it.
    pub(super) fn unlock(
        &self,
        context: Context<'_>,
        route: &DavRoute,
        name: Option<&str>,
        accesses: Vec<Access>,
    ) -> Result<Vec<Access>, Refusal> {
        let Some(name) = name else { return Ok(accesses) };
        let refused = self.unpushable(context, route, name, None, &OPEN, &accesses)?;
        Ok(refused.unwrap_or(accesses))
    }

    /// What is refused where nothing may be pushed to a ref besides: these accesses, and such a push.
    fn unpushable(
        &self,
        context: Context<'_>,
        route: &DavRoute,
        name: &str,
        old: Option<Oid>,
        open: &[&'static str],
        accesses: &[Access],
    ) -> Result<Option<Vec<Access>>, Refusal> {
        let old = old.unwrap_or(Oid::null(ObjectFormat::Sha1));
        let command = Command { old, new: some(), name: name.to_owned() };
        let both = [accesses, &self.pushes(context, route, vec![command])?].concat();
        Ok((!may_pass(context, &both, open)).then_some(both))
    }

    /// A folder for refs stands where no ref is.
    pub(super) async fn folder(
        &self,
        context: Context<'_>,
        route: &DavRoute,
        name: Option<&str>,
        accesses: &[Access],
    ) -> Result<(), Refusal> {
        match name {
            Some(name) if may_pass(context, accesses, &[]) => {
                check_room(self.files(context, route).has_room(name, true).await?, name)
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(super) async fn update(
        &self,
        context: Context<'_>,
        route: &DavRoute,
        name: &str,
        body: &mut Body,
    ) -> Result<Asked, Refusal> {
        let file = sent(body, refs::FILE).await?;
        let new =
            refs::written(&file).ok_or_else(|| invalid("a ref's file is the name of an object alone"))?;
        let change = |old: Option<Oid>| {
            let old = old.unwrap_or(Oid::null(new.format()));
            self.push(context, route, Command { old, new, name: name.to_owned() })
        };
        let mut asked = Asked::of(change(None)?, body::full(file));
        if may_pass(context, &asked.accesses, &OPEN) {
            let files = self.files(context, route);
            asked.seen = files.look(&[name], asked.packed).await?;
            let old = asked.seen.iter().find_map(Seen::names);
            if old.is_some_and(|old| old.format() != new.format()) {
                return Err(invalid("the ref names an object in another format"));
            }
            if old.is_none() {
                check_room(files.has_room(name, false).await?, name)?;
            }
            asked.accesses = change(old)?;
        }
        Ok(asked)
    }

    /// What is left of a ref without its file is what `packed-refs` says: then it is no deletion.
    pub(super) async fn deletion(
        &self,
        context: Context<'_>,
        route: &DavRoute,
        name: &str,
    ) -> Result<Asked, Refusal> {
        let change = |old: Oid, new: Option<Oid>| {
            let new = new.unwrap_or(Oid::null(old.format()));
            self.push(context, route, Command { old, new, name: name.to_owned() })
        };
        let mut asked = Asked { packed: Packed::All, ..Asked::of(change(some(), None)?, body::empty()) };
        if may_pass(context, &asked.accesses, &OPEN) {
            asked.seen = self.files(context, route).look(&[name], asked.packed).await?;
            let seen = asked.seen.iter().find_map(|seen| Some((seen.loose?, seen.packed)));
            let (old, left) = seen.ok_or_else(|| {
                Refusal::new(
                    RefusalKind::NotFound,
                    format!("{name} has no file of its own that could be deleted"),
                )
            })?;
            asked.accesses = change(old, left)?;
        }
        Ok(asked)
    }

    /// What a list says is no change where refs are so; what it says a tag is of is not looked for, since clients get the
    /// tag by its own name. `accesses` are those of writing a list at all.
    pub(super) async fn info_refs(
        &self,
        context: Context<'_>,
        route: &DavRoute,
        list: Bytes,
        accesses: Vec<Access>,
    ) -> Result<Asked, Refusal> {
        let after = InfoRefs::parse(&list).map_err(|error| invalid(&error.to_string()).because(&error))?;
        let mut asked = Asked::of(accesses, body::full(list));
        if may_pass(context, &asked.accesses, &[]) {
            let files = self.files(context, route);
            let listed = files.info_refs().await?;
            let changes = after.changes(&listed);
            asked.listed = Some(listed);
            let names: Vec<&str> = changes.iter().map(|change| &*change.name).collect();
            asked.seen = files.look(&names, asked.packed).await?;
            let lies = changes.iter().zip(&asked.seen).filter(|(change, seen)| change.after != seen.names());
            let commands = lies.filter_map(|(change, seen)| {
                let old = seen.names().or(change.before);
                let null = Oid::null(old.or(change.after)?.format());
                let (old, new) = (old.unwrap_or(null), change.after.unwrap_or(null));
                Some(Command { old, new, name: change.name.clone() })
            });
            let commands: Vec<Command> = commands.collect();
            asked.accesses.extend(self.pushes(context, route, commands)?);
        }
        Ok(asked)
    }

    /// The accesses of writing a ref's file.
    fn push(&self, context: Context<'_>, route: &DavRoute, command: Command) -> Result<Vec<Access>, Refusal> {
        let pushes = self.pushes(context, route, vec![command])?;
        Ok([classify::fetch(&route.repository)].into_iter().chain(pushes).collect())
    }

    /// The accesses of such updates, of which nothing is known but themselves.
    fn pushes(
        &self,
        context: Context<'_>,
        route: &DavRoute,
        commands: Vec<Command>,
    ) -> Result<Vec<Access>, Refusal> {
        let request = PushRequest {
            shallow: Vec::new(),
            commands,
            capabilities: Capabilities::default(),
            options: Vec::new(),
            certificate: false,
        };
        if request.has_pack() {
            self.brings_nothing_unseen(context)?;
        }
        // What is left are deletions, if anybody asks.
        let facts = vec![Facts::default(); request.commands.len()];
        let content = Content { wanted: self.wanted(context), facts: Some(&facts) };
        classify::push(&route.repository, &request, &[], content)
    }

    pub(super) fn brings_nothing_unseen(&self, context: Context<'_>) -> Result<(), Refusal> {
        if !self.wanted(context).any() {
            return Ok(());
        }
        let reason = "the policy asks what a push contains, which can't be seen of one by WebDAV: push over smart HTTP";
        Err(Refusal::new(RefusalKind::Denied, reason))
    }

    /// What somebody asks of the content of a push.
    fn wanted(&self, context: Context<'_>) -> Wanted {
        classify::wanted(context.needs).or(self.config.inspect.wanted)
    }
}

/// Some object, where it does not matter which: what a ref names is not asked for callers who may not change it.
fn some() -> Oid {
    Oid::from_bytes(&[0xff; 20]).expect("a name may be of 20 bytes")
}

/// What is not known of a push before the upstream is asked.
const OPEN: [&str; 2] = ["change", "ancestry"];

/// Whether this may pass, whatever is still `open` of what it does to refs: who may not learns nothing of them.
pub(super) fn may_pass(context: Context<'_>, accesses: &[Access], open: &[&'static str]) -> bool {
    let outline = |access: &Access| {
        let open = if access.action == classify::PUSH { open.to_vec() } else { Vec::new() };
        Outline { access: access.clone(), open }
    };
    context.probe.may_pass(&accesses.iter().map(outline).collect::<Vec<_>>())
}

fn check_room(has_room: bool, name: &str) -> Result<(), Refusal> {
    let reason = || format!("{name} and a ref that is there can't be beside each other");
    if has_room { Ok(()) } else { Err(Refusal::new(RefusalKind::Denied, reason())) }
}
