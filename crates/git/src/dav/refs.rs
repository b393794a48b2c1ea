//! What files of a repository say of its refs: a ref's own file, `packed-refs`, and `info/refs`.
//!
//! Sources: gitrepository-layout; git's refs/files-backend.c, refs/packed-backend.c and server-info.c.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    oid::{ObjectFormat, Oid},
    refname,
};

/// Bytes of a ref's own file.
pub(super) const FILE: usize = 256;

/// The object that a caller writes into the file of a ref: its name in hexadecimal, and a line feed or none.
pub(super) fn written(file: &[u8]) -> Option<Oid> {
    exact(file.strip_suffix(b"\n").unwrap_or(file))
}

/// The object that the file of a ref names, as git reads it: what follows a space counts for nothing. `Ok(None)` of
/// an empty file, by which some servers keep a name locked (RFC 4918, section 7.3); it is no ref to git either.
///
/// # Errors
/// For what is none, such as a symbolic ref.
pub(super) fn loose(file: &[u8]) -> Result<Option<Oid>, NoRef> {
    if file.is_empty() {
        return Ok(None);
    }
    let end = file.iter().position(u8::is_ascii_whitespace).unwrap_or(file.len());
    let oid = Oid::from_hex(&file[..end]).filter(|oid| !oid.is_null());
    oid.map(Some).ok_or(NoRef)
}

/// What a ref's file or line holds is not the name of an object.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoRef;

/// The ref of a line of `packed-refs`, and what it says the ref names; `None` where it is of no ref.
pub(super) fn packed(line: &[u8]) -> Option<(&str, Result<Oid, NoRef>)> {
    let space = line.iter().position(|byte| *byte == b' ')?;
    let name = std::str::from_utf8(&line[space + 1..]).ok()?;
    Some((name, Oid::from_hex(&line[..space]).ok_or(NoRef)))
}

/// A name in the one writing of it that git makes.
fn exact(hex: &[u8]) -> Option<Oid> {
    Oid::from_hex(hex).filter(|oid| !oid.is_null() && oid.to_string().as_bytes() == hex)
}

/// Why a list of refs can't be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of info/refs is wrong: {fault}")]
pub(super) struct InfoRefsError {
    /// Counted from one.
    line: usize,
    fault: &'static str,
}

/// What is said of a ref.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Said {
    names: Oid,
    /// What the tag is of, if it is one.
    peeled: Option<Oid>,
}

/// The refs that `info/refs` lists.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct InfoRefs(BTreeMap<String, Said>);

/// A ref of which a list says something else than the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) name: String,
    /// What the list before said it names.
    pub(super) before: Option<Oid>,
    /// What this one says.
    pub(super) after: Option<Oid>,
}

impl InfoRefs {
    /// Reads lines of a name, a tab and a ref, each of which is there once; behind the line of a tag one that ends
    /// with `^{}` may say what it is of.
    ///
    /// # Errors
    /// [`InfoRefsError`] for every other line.
    pub(super) fn parse(text: &[u8]) -> Result<Self, InfoRefsError> {
        let (mut refs, mut last) = (BTreeMap::new(), None::<String>);
        let text =
            std::str::from_utf8(text).map_err(|_| InfoRefsError { line: 1, fault: "it is not UTF-8" })?;
        let mut format = None::<ObjectFormat>;
        for (number, line) in text.split_inclusive('\n').enumerate() {
            let wrong = |fault| InfoRefsError { line: number + 1, fault };
            let line = line.strip_suffix('\n').ok_or_else(|| wrong("it does not end"))?;
            let (hex, name) =
                line.split_once('\t').ok_or_else(|| wrong("it is not a name, a tab and a ref"))?;
            let names = exact(hex.as_bytes()).ok_or_else(|| wrong("it names no object"))?;
            if *format.get_or_insert(names.format()) != names.format() {
                return Err(wrong("it names an object in another format"));
            }
            if let Some(tag) = name.strip_suffix("^{}") {
                let said: Option<&mut Said> = refs.get_mut(tag).filter(|_| last.as_deref() == Some(tag));
                said.ok_or_else(|| wrong("it does not follow its tag"))?.peeled = Some(names);
                last = None;
                continue;
            }
            if let Some(fault) = refname::fault(name) {
                return Err(wrong(fault));
            }
            if refs.insert(name.to_owned(), Said { names, peeled: None }).is_some() {
                return Err(wrong("it is of a ref that is there before"));
            }
            last = Some(name.to_owned());
        }
        Ok(Self(refs))
    }

    /// The refs of which this list says something else than another did.
    pub(super) fn changes(&self, before: &Self) -> Vec<Change> {
        let names: BTreeSet<&String> = self.0.keys().chain(before.0.keys()).collect();
        let change = |name: &String| {
            let (before, after) = (before.0.get(name), self.0.get(name));
            let names = |said: Option<&Said>| said.map(|said| said.names);
            let change = Change { name: name.clone(), before: names(before), after: names(after) };
            (before != after).then_some(change)
        };
        names.into_iter().filter_map(change).collect()
    }

    /// The list as git writes it.
    fn write(&self) -> String {
        let line = |(name, said): (&String, &Said)| {
            let peeled = said.peeled.map(|peeled| format!("{peeled}\t{name}^{{}}\n")).unwrap_or_default();
            format!("{}\t{name}\n{peeled}", said.names)
        };
        self.0.iter().map(line).collect()
    }
}

/// Reads anything as what a client writes of refs, and that again. For fuzzing.
///
/// # Panics
/// Where it then says something else.
#[doc(hidden)]
pub fn fuzz_dav_refs(bytes: &[u8]) {
    if let Some(oid) = written(bytes) {
        assert_eq!(loose(bytes), Ok(Some(oid)), "what is written is what is read");
    }
    let (first, second) = bytes.split_at(bytes.iter().position(|byte| *byte == 0).unwrap_or(0));
    let second = second.strip_prefix(&[0]).unwrap_or(second);
    for line in second.split(|byte| *byte == b'\n') {
        let _ = packed(line);
    }
    let (Ok(before), Ok(after)) = (InfoRefs::parse(first), InfoRefs::parse(second)) else { return };
    assert_eq!(InfoRefs::parse(after.write().as_bytes()).as_ref(), Ok(&after));
    assert_eq!(after.changes(&after), []);
    assert_eq!(after.changes(&before).len(), before.changes(&after).len());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(digit: char) -> String {
        digit.to_string().repeat(40)
    }

    #[test]
    fn a_ref_is_written_in_one_way() {
        let (a, long) = (hex('a'), "b".repeat(64));
        for good in [&a, &long] {
            for file in [good.clone(), format!("{good}\n")] {
                assert_eq!(written(file.as_bytes()).unwrap().to_string(), *good);
            }
        }
        for bad in [
            String::new(),
            "\n".into(),
            format!("{a}\n\n"),
            format!(" {a}"),
            format!("{a} "),
            format!("{a}\r\n"),
            a.to_uppercase(),
            hex('0'),
            a[1..].to_owned(),
            format!("{a}0"),
            "ref: refs/heads/main\n".into(),
            format!("{a}\n{a}\n"),
        ] {
            assert_eq!(written(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn a_ref_is_read_as_git_does() {
        let a = hex('a');
        let oid = Oid::from_hex(a.as_bytes());
        for file in [a.clone(), format!("{a}\n"), a.to_uppercase(), format!("{a} x"), format!("{a}\n\n")] {
            assert_eq!(loose(file.as_bytes()), Ok(oid), "{file:?}");
        }
        assert_eq!(loose(b""), Ok(None));
        for bad in ["\n", "ref: refs/heads/main\n", "<html>", "abc\n", &hex('0'), &a[..39], &format!("{a}x")]
        {
            assert_eq!(loose(bad.as_bytes()), Err(NoRef), "{bad:?}");
        }
        assert_eq!(packed(format!("{a} refs/heads/x").as_bytes()), Some(("refs/heads/x", oid.ok_or(NoRef))));
        assert_eq!(packed(b"# pack-refs with: peeled"), Some(("pack-refs with: peeled", Err(NoRef))));
        assert_eq!(packed(format!("^{a}").as_bytes()), None);
    }

    #[test]
    fn a_list_of_refs_is_lines_of_one_kind() {
        let (a, b) = (hex('a'), hex('b'));
        let list = format!("{a}\trefs/heads/main\n{a}\trefs/tags/v1\n{b}\trefs/tags/v1^{{}}\n");
        let read = InfoRefs::parse(list.as_bytes()).unwrap();
        assert_eq!((read.0.len(), read.write()), (2, list));
        assert_eq!(InfoRefs::parse(b"").unwrap(), InfoRefs::default());
        let check = |list: String, expected: &str| {
            assert_eq!(InfoRefs::parse(list.as_bytes()).unwrap_err().to_string(), expected, "{list:?}");
        };
        check(format!("{a}\trefs/heads/x"), "line 1 of info/refs is wrong: it does not end");
        check("\n".into(), "line 1 of info/refs is wrong: it is not a name, a tab and a ref");
        check(
            format!("{a} refs/heads/x\n"),
            "line 1 of info/refs is wrong: it is not a name, a tab and a ref",
        );
        check(
            format!("{a}\trefs/heads/x\n{}\trefs/heads/y\n", &a[1..]),
            "line 2 of info/refs is wrong: it names no object",
        );
        check(format!("{}\trefs/heads/x\n", hex('0')), "line 1 of info/refs is wrong: it names no object");
        check(
            format!("{}\trefs/heads/x\n", a.to_uppercase()),
            "line 1 of info/refs is wrong: it names no object",
        );
        check(
            format!("{a}\trefs/heads/x\n{}\trefs/heads/y\n", "c".repeat(64)),
            "line 2 of info/refs is wrong: it names an object in another format",
        );
        check(format!("{a}\tHEAD\n"), "line 1 of info/refs is wrong: it does not begin with refs/");
        check(
            format!("{a}\trefs/heads/x\n{b}\trefs/heads/x\n"),
            "line 2 of info/refs is wrong: it is of a ref that is there before",
        );
        check(format!("{a}\trefs/tags/x^{{}}\n"), "line 1 of info/refs is wrong: it does not follow its tag");
        check(
            format!("{a}\trefs/tags/x\n{b}\trefs/tags/y\n{b}\trefs/tags/x^{{}}\n"),
            "line 3 of info/refs is wrong: it does not follow its tag",
        );
        check(
            format!("{a}\trefs/tags/x\n{b}\trefs/tags/x^{{}}\n{b}\trefs/tags/x^{{}}\n"),
            "line 3 of info/refs is wrong: it does not follow its tag",
        );
    }

    #[test]
    fn lists_are_compared_ref_by_ref() {
        let (a, b) = (hex('a'), hex('b'));
        let before =
            format!("{a}\trefs/heads/gone\n{a}\trefs/heads/moved\n{a}\trefs/heads/same\n{a}\trefs/tags/t\n");
        let after = format!(
            "{b}\trefs/heads/moved\n{a}\trefs/heads/new\n{a}\trefs/heads/same\n{a}\trefs/tags/t\n{b}\trefs/tags/t^{{}}\n"
        );
        let parse = |text: &str| InfoRefs::parse(text.as_bytes()).unwrap();
        let changes = parse(&after).changes(&parse(&before));
        let shown = changes.iter().map(|change| {
            let first = |oid: Option<Oid>| oid.map_or("-".into(), |oid| oid.to_string()[..1].to_owned());
            format!("{} {} {}", change.name, first(change.before), first(change.after))
        });
        assert_eq!(
            shown.collect::<Vec<_>>(),
            ["refs/heads/gone a -", "refs/heads/moved a b", "refs/heads/new - a", "refs/tags/t a a"]
        );
    }
}
