//! Trees: their entries, and what no tree may hold.

use std::cmp::Ordering;

use crate::oid::Oid;

/// An entry of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) mode: u32,
    pub(super) name: &'a [u8],
    pub(super) oid: Oid,
}

const TREE: u32 = 0o040_000;
const GITLINK: u32 = 0o160_000;
/// What git writes, and 100664, which it once wrote.
const MODES: [u32; 6] = [TREE, 0o100_644, 0o100_755, 0o100_664, 0o120_000, GITLINK];

/// Bytes of an entry with a name of some length, but for the object.
const TYPICAL: usize = 20;

impl Entry<'_> {
    pub(super) fn is_tree(&self) -> bool {
        self.mode == TREE
    }

    /// Whether it names a commit of another repository.
    pub(super) fn is_gitlink(&self) -> bool {
        self.mode == GITLINK
    }

    /// Adds it to a tree, as git writes it.
    pub(super) fn write(&self, tree: &mut Vec<u8>) {
        let digits = (0..6).rev().map(|place| self.mode >> (3 * place) & 7);
        tree.extend(digits.skip_while(|digit| *digit == 0).map(|digit| b'0' + digit as u8));
        for part in [b" ", self.name, &[0], self.oid.as_bytes()] {
            tree.extend_from_slice(part);
        }
    }

    /// The order in which git keeps the entries of a tree: directories as if they ended in a slash.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        let shared = self.name.len().min(other.name.len());
        let next = |entry: &Self| match entry.name.get(shared) {
            None if entry.is_tree() => Some(b'/'),
            None => None,
            Some(byte) => Some(*byte),
        };
        let order = self.name[..shared].cmp(&other.name[..shared]);
        order.then_with(|| next(self).cmp(&next(other))).then_with(|| self.name.len().cmp(&other.name.len()))
    }
}

/// The entries in which two trees differ, of each in its order, as they are written in trees.
#[derive(Debug, Default)]
pub(super) struct Differing {
    pub(super) new: Vec<u8>,
    pub(super) old: Vec<u8>,
}

impl Differing {
    pub(super) fn clear(&mut self) {
        self.new.clear();
        self.old.clear();
    }
}

/// The entries of a tree, in its order, whatever they are.
pub(super) fn entries(content: &[u8], width: usize) -> Result<Vec<Entry<'_>>, &'static str> {
    let (mut rest, mut entries) = (content, Vec::with_capacity(content.len() / (width + TYPICAL)));
    while !rest.is_empty() {
        entries.push(next(&mut rest, width)?);
    }
    Ok(entries)
}

/// The next entry of what is left of a tree.
fn next<'a>(rest: &mut &'a [u8], width: usize) -> Result<Entry<'a>, &'static str> {
    let space = memchr(b' ', rest).ok_or("holds an entry without a mode")?;
    let mode = octal(&rest[..space]).ok_or("holds an entry without a mode")?;
    let behind = &rest[space + 1..];
    let end = memchr(0, behind).ok_or("holds an entry without an end")?;
    let (name, after) = (&behind[..end], &behind[end + 1..]);
    let oid = after.get(..width).and_then(Oid::from_bytes).ok_or("holds an entry without an object")?;
    *rest = &after[width..];
    Ok(Entry { mode, name, oid })
}

/// The entries of two trees, without those that both end with.
pub(super) fn differing<'a, 'b>(
    new: &'a [u8],
    olds: &[&'b [u8]],
    width: usize,
) -> Option<(Vec<Entry<'a>>, Vec<Vec<Entry<'b>>>)> {
    let shared = olds.iter().map(|old| end_alike(new, old)).min()?;
    let (news, left) = until(new, shared, width)?;
    let olds = olds.iter().map(|old| match until(old, left, width)? {
        (entries, end) if end == left => Some(entries),
        _ => None,
    });
    Some((news, olds.collect::<Option<_>>()?))
}

/// The entries until so many bytes are left at most, and how many are.
fn until(content: &[u8], most: usize, width: usize) -> Option<(Vec<Entry<'_>>, usize)> {
    let (mut rest, mut entries) = (content, Vec::new());
    while rest.len() > most {
        entries.push(next(&mut rest, width).ok()?);
    }
    Some((entries, rest.len()))
}

/// Bytes that both end with.
fn end_alike(a: &[u8], b: &[u8]) -> usize {
    const STEP: usize = 64;
    let steps = a.rchunks_exact(STEP).zip(b.rchunks_exact(STEP)).take_while(|(a, b)| a == b).count();
    steps * STEP
}

/// Bytes of the whole entries that two trees both begin with.
pub(super) fn alike(a: &[u8], b: &[u8], width: usize) -> usize {
    const STEP: usize = 64;
    let steps = a.chunks_exact(STEP).zip(b.chunks_exact(STEP)).take_while(|(a, b)| a == b).count();
    let (alike, mut end) = (steps * STEP, 0);
    while let Some(name) = memchr(0, &a[end..alike]) {
        match end + name + 1 + width {
            next if next <= alike => end = next,
            _ => break,
        }
    }
    end
}

/// What is wrong with a tree, if anything.
pub(super) fn check(content: &[u8], width: usize) -> Result<(), &'static str> {
    let mut before: Option<Entry<'_>> = None;
    // A file and a directory of one name need not be neighbours: files whose names begin what comes now.
    let mut files: Vec<&[u8]> = Vec::new();
    let mut rest = content;
    while !rest.is_empty() {
        let entry = next(&mut rest, width)?;
        if !MODES.contains(&entry.mode) {
            return Err("holds an entry of a mode that git does not know");
        }
        if entry.oid.is_null() {
            return Err("holds an entry of no object");
        }
        if let Some(fault) = fault(entry.name) {
            return Err(fault);
        }
        match before.map(|before| before.order(&entry)) {
            None | Some(Ordering::Less) => {}
            Some(Ordering::Equal) => return Err("holds a name twice"),
            Some(Ordering::Greater) => return Err("is not in order"),
        }
        while files.pop_if(|file| !entry.name.starts_with(file)).is_some() {}
        match entry.is_tree() {
            true if files.last() == Some(&entry.name) => return Err("holds a name twice"),
            true => {}
            false => files.push(entry.name),
        }
        before = Some(entry);
    }
    Ok(())
}

/// The same of a tree that was made from another in which nothing is wrong: where only what its entries name differs,
/// their modes and names need no second look. Then those entries are written to `differing`, of each tree; otherwise
/// false is returned.
pub(super) fn check_change(
    before: &[u8],
    content: &[u8],
    width: usize,
    differing: &mut Differing,
) -> Result<bool, &'static str> {
    let alike = alike(before, content, width);
    let (mut old, mut new) = (&before[alike..], &content[alike..]);
    differing.clear();
    while old != new {
        let (old_from, new_from) = (old, new);
        let (Ok(was), Ok(is)) = (next(&mut old, width), next(&mut new, width)) else {
            return check(content, width).map(|()| false);
        };
        if was.mode != is.mode || was.name != is.name || is.oid.is_null() {
            return check(content, width).map(|()| false);
        }
        if was.oid != is.oid {
            differing.new.extend_from_slice(&new_from[..new_from.len() - new.len()]);
            differing.old.extend_from_slice(&old_from[..old_from.len() - old.len()]);
        }
    }
    Ok(true)
}

/// What is wrong with a name. The forms of `.git` are those that some file system takes for it.
fn fault(name: &[u8]) -> Option<&'static str> {
    // Almost all: what is wrong with a name begins like this, or has one of these in it.
    let begins = matches!(name, [] | [b'.' | b'g' | b'G', ..]);
    if !begins && name.iter().all(|byte| byte.is_ascii() && !matches!(byte, b'/' | b'\\')) {
        return None;
    }
    match name {
        b"" => return Some("holds an empty name"),
        b"." | b".." => return Some("holds the name . or .."),
        _ if name.contains(&b'/') => return Some("holds a name with a slash"),
        _ => {}
    }
    let parts = name.split(|byte| *byte == b'\\');
    let dotgit = parts.into_iter().any(is_ntfs_dotgit) || is_hfs_dotgit(name);
    dotgit.then_some("holds a name that some file system takes for .git")
}

/// NTFS: any case, the short name, followed by dots and spaces, or by a stream.
fn is_ntfs_dotgit(name: &[u8]) -> bool {
    let begins = |word: &[u8]| {
        let (start, rest) = name.split_at_checked(word.len())?;
        start.eq_ignore_ascii_case(word).then_some(rest)
    };
    let Some(rest) = begins(b".git").or_else(|| begins(b"git~1")) else { return false };
    let end = rest.iter().position(|byte| *byte == b':').unwrap_or(rest.len());
    rest[..end].iter().all(|byte| matches!(byte, b'.' | b' '))
}

/// HFS+: any case, with characters in between that it passes over.
fn is_hfs_dotgit(name: &[u8]) -> bool {
    let Ok(name) = std::str::from_utf8(name) else { return false };
    let passed_over = |c: &char| matches!(*c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}');
    let seen = name.chars().filter(|c| !passed_over(c)).map(|c| c.to_ascii_lowercase());
    seen.eq(".git".chars())
}

fn octal(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 7 {
        return None;
    }
    digits
        .iter()
        .try_fold(0, |mode, digit| matches!(digit, b'0'..=b'7').then(|| mode << 3 | u32::from(digit - b'0')))
}

fn memchr(byte: u8, bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|other| *other == byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(entries: &[(&str, &[u8])]) -> Vec<u8> {
        entries
            .iter()
            .flat_map(|(mode, name)| [mode.as_bytes(), b" ", name, &[0], &[7; 20]].concat())
            .collect()
    }

    #[test]
    fn refuses_what_no_tree_may_hold() {
        let check = |entries: &[(&str, &[u8])]| check(&tree(entries), 20).err().unwrap_or("fine");
        let named = |name: &str| check(&[("100644", name.as_bytes())]);
        for name in ["a", ".gitignore", ".gitmodules", "git", "git~2", "a\\x2db", ".git-x", "...", "ä"] {
            assert_eq!(named(name), "fine", "{name}");
        }
        for name in [
            ".git",
            ".GIT",
            ".Git",
            "git~1",
            "GIT~1",
            ".git ",
            ".git...",
            ".git::$INDEX_ALLOCATION",
            "a\\.git",
            "a\\..\\.GIT\\x",
            ".g\u{200c}it",
            "\u{feff}.giT",
        ] {
            assert_eq!(named(name), "holds a name that some file system takes for .git", "{name}");
        }
        insta::assert_snapshot!(named(""), @"holds an empty name");
        insta::assert_snapshot!(named(".."), @"holds the name . or ..");
        insta::assert_snapshot!(named("a/b"), @"holds a name with a slash");
        insta::assert_snapshot!(check(&[("100000", b"a")]), @"holds an entry of a mode that git does not know");
        insta::assert_snapshot!(check(&[("777", b"a")]), @"holds an entry of a mode that git does not know");
        insta::assert_snapshot!(check(&[("", b"a")]), @"holds an entry without a mode");
        insta::assert_snapshot!(check(&[("9", b"a")]), @"holds an entry without a mode");
        insta::assert_snapshot!(check(&[("100644", b"b"), ("100644", b"a")]), @"is not in order");
        insta::assert_snapshot!(check(&[("100644", b"a"), ("100644", b"a")]), @"holds a name twice");
        insta::assert_snapshot!(check(&[("100644", b"a"), ("100644", b"a-b"), ("40000", b"a")]), @"holds a name twice");
        // As git sorts them.
        let sorted = [("100644", &b"a-b"[..]), ("40000", b"a"), ("100644", b"a0")];
        assert_eq!(check(&sorted), "fine");
        assert_eq!(check(&[]), "fine");
        let whole = tree(&sorted);
        let other = tree(&[sorted[0], sorted[1], ("100644", b"b0")]).repeat(9);
        let changed = [&whole[..11], &[8; 20], &whole[31..]].concat();
        let null = [&whole[..11], &[0; 20], &whole[31..]].concat();
        let mut differing = Differing::default();
        let mut change =
            |after: &[u8]| check_change(&whole, after, 20, &mut differing).err().unwrap_or("fine");
        assert_eq!((change(&whole), change(&changed), change(b"")), ("fine", "fine", "fine"));
        assert_eq!(change(&null), "holds an entry of no object");
        assert_eq!(change(&whole[..58]), "holds an entry without an object");
        assert_eq!(change(&tree(&[sorted[1], sorted[0]])), "is not in order");
        assert_eq!(change(&tree(&[sorted[0], sorted[1], ("100644", b".git")])), fault(b".git").unwrap());
        assert_eq!(check_change(&whole, &changed, 20, &mut differing), Ok(true));
        assert_eq!((&*differing.new, &*differing.old), (&changed[..31], &whole[..31]));
        assert_eq!(check_change(&whole, &whole[..31], 20, &mut differing), Ok(false));
        let shared = alike(&whole.repeat(9), &other, 20);
        assert_eq!((shared, alike(&other, &other, 20)), (59, 8 * 89 + 31));
        let ends: Vec<usize> =
            (0..whole.len()).filter(|end| super::check(&whole[..*end], 20).is_ok()).collect();
        assert_eq!(ends, [0, 31, 59], "only between entries");
    }
}
