//! The refs that an upstream lists, less those that a client may not see.
//!
//! Read and written without I/O, in every form that a listing has: the advertisement of both services
//! before version 2, the capabilities of version 2, and the answer to its `ls-refs`. A name that can't
//! be read is not shown. `HEAD` is shown where a ref is that it stands for; so is every symbolic ref.

use std::collections::{HashMap, HashSet};

use bytes::BufMut;

use crate::{
    oid::{ObjectFormat, Oid},
    parse::fetch::SENDING,
    pkt::{self, Decoded, Packet, PktError},
    route::Service,
};

/// Capabilities of version 2 that stay, up to the `=`.
const VERSION_2: [&str; 6] = ["agent", "ls-refs", "fetch", "server-option", "object-format", "session-id"];
/// Features of `fetch` in version 2 that stay: no filters, which ask for single objects later, and nothing
/// that goes by another way.
const FETCH: [&str; 3] = ["shallow", "wait-for-done", "ref-in-want"];
/// Capabilities of `git-upload-pack` before version 2 that stay besides [`SENDING`]. Not `include-tag`, by which
/// hidden tags come along, nor `deepen-relative`, by which what lies behind any commit can be had that is known
/// by name.
const UPLOAD: [&str; 4] = ["object-format", "agent", "session-id", "symref"];

/// Why a listing can't be read: the upstream's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RefsError {
    /// Not a frame.
    #[error("the upstream's list of refs is malformed")]
    Pkt(#[from] PktError),
    /// Not the list that it should be.
    #[error("the upstream's list of refs makes no sense")]
    Nonsense,
}

/// Whether a client may see a ref.
pub(crate) type See<'a> = &'a dyn Fn(&str) -> bool;

/// The refs of a repository, by what a client may read.
pub(crate) struct Tips {
    objects: HashSet<Oid>,
    names: HashMap<String, bool>,
}

/// A ref in a listing.
struct Ref {
    /// `None` for one that is yet unborn.
    oid: Option<Oid>,
    name: String,
    target: Option<String>,
    peeled: Option<Oid>,
}

/// An advertisement.
enum Advertisement {
    /// Of the versions before 2.
    Refs {
        front: Vec<u8>,
        capabilities: Vec<String>,
        format: ObjectFormat,
        refs: Vec<Ref>,
        shallow: Vec<Oid>,
    },
    /// Of version 2.
    Version2 { front: Vec<u8>, capabilities: Vec<String> },
    /// An error, for the client.
    Error,
}

/// An advertisement without what a client may not see.
pub(crate) fn advertisement(body: &[u8], service: Service, see: See<'_>) -> Result<Vec<u8>, RefsError> {
    let (mut out, capabilities, format, refs, shallow) = match parse(body)? {
        Advertisement::Error => return Ok(body.to_vec()),
        Advertisement::Version2 { front, capabilities } => return version_2(front, &capabilities),
        Advertisement::Refs { front, capabilities, format, refs, shallow } => {
            (front, capabilities, format, refs, shallow)
        }
    };
    let refs = visible(refs, see);
    let capabilities: Vec<&str> =
        capabilities.iter().map(String::as_str).filter(|word| stays(word, service, see)).collect();
    let mut capabilities = Some(format!("\0{}", capabilities.join(" ")));
    let mut line = |out: &mut Vec<u8>, oid: &str, name: &str| {
        write(out, &format!("{oid} {name}{}", capabilities.take().unwrap_or_default()))
    };
    for Ref { oid, name, peeled, .. } in &refs {
        let Some(oid) = oid else { continue };
        line(&mut out, &oid.to_string(), name)?;
        if let Some(peeled) = peeled {
            line(&mut out, &peeled.to_string(), &format!("{name}^{{}}"))?;
        }
    }
    if refs.is_empty() {
        line(&mut out, &"0".repeat(2 * format.width()), "capabilities^{}")?;
    }
    for oid in shallow {
        write(&mut out, &format!("shallow {oid}"))?;
    }
    out.put_slice(pkt::FLUSH);
    Ok(out)
}

/// An answer to `ls-refs` that was asked with `symrefs`, without what a client may not see.
pub(crate) fn listing(body: &[u8], symrefs: bool, see: See<'_>) -> Result<Vec<u8>, RefsError> {
    let packets = packets(body)?;
    let Some((Packet::Flush, lines)) = packets.split_last() else {
        return if is_error(&packets) { Ok(body.to_vec()) } else { Err(RefsError::Nonsense) };
    };
    if is_error(lines) {
        return Ok(body.to_vec());
    }
    let lines = lines.iter().map(|packet| packet.line().ok_or(RefsError::Nonsense));
    let lines = lines.collect::<Result<Vec<_>, _>>()?;
    let refs = lines.into_iter().filter_map(|line| std::str::from_utf8(line).ok()).map(listed);
    let refs = refs.collect::<Result<Vec<_>, _>>()?;
    let mut out = Vec::new();
    for Ref { oid, name, target, peeled } in visible(refs, see) {
        let mut line = oid.map_or_else(|| "unborn".to_owned(), |oid| oid.to_string());
        line.push_str(&format!(" {name}"));
        if let Some(target) = target.filter(|_| symrefs) {
            line.push_str(&format!(" symref-target:{target}"));
        }
        if let Some(peeled) = peeled {
            line.push_str(&format!(" peeled:{peeled}"));
        }
        write(&mut out, &line)?;
    }
    out.put_slice(pkt::FLUSH);
    Ok(out)
}

impl Tips {
    /// Reads them out of an advertisement of `git-upload-pack` before version 2.
    pub(crate) fn read(body: &[u8], see: See<'_>) -> Result<Self, RefsError> {
        let Advertisement::Refs { refs, .. } = parse(body)? else { return Err(RefsError::Nonsense) };
        let mut names: HashMap<String, bool> = refs.iter().map(|found| (found.name.clone(), false)).collect();
        let mut objects = HashSet::new();
        for Ref { oid, name, peeled, .. } in visible(refs, see) {
            objects.extend(oid.into_iter().chain(peeled));
            names.insert(name, true);
        }
        Ok(Self { objects, names })
    }

    /// Whether a ref that the client may see points to the object, or to a tag of it.
    pub(crate) fn has(&self, oid: &Oid) -> bool {
        self.objects.contains(oid)
    }

    /// Whether there is such a ref, and the client may see it.
    pub(crate) fn shows(&self, name: &str) -> bool {
        self.names.get(name).copied().unwrap_or(false)
    }

    /// Whether a name, which git completes (gitrevisions), stands for a ref that the client may see.
    pub(crate) fn shows_short(&self, name: &str) -> bool {
        let completed = ["", "refs/", "refs/tags/", "refs/heads/", "refs/remotes/"];
        let completed = completed.iter().map(|prefix| format!("{prefix}{name}"));
        let mut all = completed.chain([format!("refs/remotes/{name}/HEAD")]);
        all.find_map(|name| self.names.get(&name)).copied().unwrap_or(false)
    }
}

/// Only what may be seen; a symbolic ref where that may which it stands for.
fn visible(refs: Vec<Ref>, see: See<'_>) -> Vec<Ref> {
    let shown =
        |found: &Ref| found.name != "HEAD" && see(&found.name) && found.target.as_deref().is_none_or(see);
    let shown: Vec<bool> = refs.iter().map(shown).collect();
    let seen = refs.iter().zip(&shown).filter(|(_, shown)| **shown).filter_map(|(found, _)| found.oid);
    let seen: HashSet<Oid> = seen.collect();
    let head = |found: &Ref| {
        found.name == "HEAD"
            && match (&found.target, found.oid) {
                (Some(target), _) => see(target),
                (None, Some(oid)) => seen.contains(&oid),
                (None, None) => false,
            }
    };
    refs.into_iter()
        .zip(shown)
        .filter(|(found, shown)| *shown || head(found))
        .map(|(found, _)| found)
        .collect()
}

fn stays(word: &str, service: Service, see: See<'_>) -> bool {
    let (name, value) = word.split_once('=').unwrap_or((word, ""));
    let target = || {
        let (source, target) = value.split_once(':')?;
        Some((source == "HEAD" || see(source)) && see(target))
    };
    match service {
        Service::UploadPack if name == "symref" => target().unwrap_or(false),
        Service::UploadPack => SENDING.contains(&name) || UPLOAD.contains(&name),
        Service::ReceivePack => true,
    }
}

fn version_2(front: Vec<u8>, capabilities: &[String]) -> Result<Vec<u8>, RefsError> {
    let mut out = front;
    for capability in capabilities {
        let (name, value) = capability.split_once('=').unwrap_or((capability, ""));
        if name == "fetch" {
            let features: Vec<&str> = value.split(' ').filter(|word| FETCH.contains(word)).collect();
            let equals = if features.is_empty() { "" } else { "=" };
            write(&mut out, &format!("fetch{equals}{}", features.join(" ")))?;
        } else if VERSION_2.contains(&name) {
            write(&mut out, capability)?;
        }
    }
    out.put_slice(pkt::FLUSH);
    Ok(out)
}

fn parse(body: &[u8]) -> Result<Advertisement, RefsError> {
    let packets = packets(body)?;
    let mut front = Vec::new();
    let mut rest = &packets[..];
    if let [service, Packet::Flush, after @ ..] = rest
        && let Some(line) = service.line().filter(|line| line.starts_with(b"# service="))
    {
        pkt::write(&mut front, &[line, b"\n"].concat());
        front.put_slice(pkt::FLUSH);
        rest = after;
    }
    if is_error(rest) {
        return Ok(Advertisement::Error);
    }
    let Some((Packet::Flush, lines)) = rest.split_last() else { return Err(RefsError::Nonsense) };
    let lines = text(lines)?;
    match lines.first().copied() {
        Some("version 2") => {
            write(&mut front, "version 2")?;
            let capabilities = lines[1..].iter().map(|line| (*line).to_owned()).collect();
            Ok(Advertisement::Version2 { front, capabilities })
        }
        Some("version 1") => {
            write(&mut front, "version 1")?;
            refs(front, &lines[1..])
        }
        Some(_) | None => refs(front, &lines),
    }
}

/// The lines that are text; the first, which holds the capabilities, must be. Names of refs that are not
/// can't be judged, and so stay hidden.
fn text<'a>(packets: &[Packet<'a>]) -> Result<Vec<&'a str>, RefsError> {
    let mut lines = Vec::with_capacity(packets.len());
    for packet in packets {
        match std::str::from_utf8(packet.line().ok_or(RefsError::Nonsense)?) {
            Ok(line) => lines.push(line),
            Err(_) if lines.is_empty() => return Err(RefsError::Nonsense),
            Err(_) => {}
        }
    }
    Ok(lines)
}

fn refs(front: Vec<u8>, lines: &[&str]) -> Result<Advertisement, RefsError> {
    let (mut refs, mut shallow, mut format) = (Vec::<Ref>::new(), Vec::new(), ObjectFormat::Sha1);
    let first = lines.first().copied().unwrap_or_default();
    let words = first.split_once('\0').map_or("", |(_, words)| words);
    let capabilities: Vec<String> =
        words.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
    for line in lines {
        let line = line.split_once('\0').map_or(*line, |(line, _)| line);
        let (start, name) = line.split_once(' ').ok_or(RefsError::Nonsense)?;
        if start == "shallow" {
            shallow.push(Oid::from_hex(name.as_bytes()).ok_or(RefsError::Nonsense)?);
            continue;
        }
        let oid = Oid::from_hex(start.as_bytes()).ok_or(RefsError::Nonsense)?;
        format = oid.format();
        match name.strip_suffix("^{}") {
            Some("capabilities") => {}
            Some(of) => {
                let last = refs.last_mut().filter(|last| last.name == of).ok_or(RefsError::Nonsense)?;
                last.peeled = Some(oid);
            }
            // What other repositories have that share their objects.
            None if name == ".have" => {}
            None => {
                refs.push(Ref { oid: Some(oid), name: name.to_owned(), target: None, peeled: None });
            }
        }
    }
    for (source, target) in
        capabilities.iter().filter_map(|word| word.strip_prefix("symref=")?.split_once(':'))
    {
        if let Some(found) = refs.iter_mut().find(|found| found.name == source) {
            found.target = Some(target.to_owned());
        }
    }
    Ok(Advertisement::Refs { front, capabilities, format, refs, shallow })
}

/// `<oid> <name> [symref-target:<name>] [peeled:<oid>]`, or `unborn` for the object.
fn listed(line: &str) -> Result<Ref, RefsError> {
    let mut words = line.split(' ');
    let (oid, name) = words.next().zip(words.next()).ok_or(RefsError::Nonsense)?;
    let read = |oid: &str| Oid::from_hex(oid.as_bytes()).ok_or(RefsError::Nonsense);
    let oid = if oid == "unborn" { None } else { Some(read(oid)?) };
    let mut found = Ref { oid, name: name.to_owned(), target: None, peeled: None };
    for word in words {
        match word.split_once(':') {
            Some(("symref-target", target)) => found.target = Some(target.to_owned()),
            Some(("peeled", oid)) => found.peeled = Some(read(oid)?),
            // What is not known here is not shown.
            Some(_) | None => {}
        }
    }
    Ok(found)
}

fn is_error(packets: &[Packet<'_>]) -> bool {
    matches!(packets.first(), Some(Packet::Data(line)) if line.starts_with(b"ERR "))
}

fn packets(mut body: &[u8]) -> Result<Vec<Packet<'_>>, RefsError> {
    let mut packets = Vec::new();
    while !body.is_empty() {
        match pkt::decode(body)? {
            Decoded::Complete { packet, consumed } => {
                packets.push(packet);
                body = &body[consumed..];
            }
            Decoded::Incomplete { .. } => return Err(RefsError::Nonsense),
        }
    }
    Ok(packets)
}

/// Writes a line with its line feed. Capabilities come behind another name than they did, so that it may
/// be longer than any that was read.
fn write(out: &mut Vec<u8>, line: &str) -> Result<(), RefsError> {
    if line.len() >= pkt::MAX_DATA {
        return Err(RefsError::Nonsense);
    }
    pkt::write(out, format!("{line}\n").as_bytes());
    Ok(())
}

/// Reads anything as a listing. Where nothing is hidden, what is written says the same when it is read again.
#[doc(hidden)]
pub fn fuzz_refs(data: &[u8]) {
    for service in [Service::UploadPack, Service::ReceivePack] {
        for see in [&|_: &str| true, &|name: &str| name.len().is_multiple_of(2)] as [See<'_>; 2] {
            if let Ok(shown) = advertisement(data, service, see) {
                assert_eq!(advertisement(&shown, service, see), Ok(shown));
            }
            if let Ok(shown) = listing(data, true, see) {
                assert_eq!(listing(&shown, true, see), Ok(shown));
            }
        }
    }
    drop(Tips::read(data, &|_| true));
}

#[cfg(test)]
mod tests;
