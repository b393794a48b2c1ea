//! The local operator: whoever can read the data directory of a control plane on this machine. A token of 256
//! random bits in a file that only its owner can read.

use std::{
    fs, io,
    io::{Read, Write},
    path::{Path, PathBuf},
};

use aws_lc_rs::{constant_time, digest, rand};
use lockgate_core::{principal::Principal, secret::Secret};
use serde_json::Map;

use crate::roles::Role;

/// The issuer of the operator's principal. No configured issuer may have this name.
pub const LOCAL_ISSUER: &str = "local";

/// The file's name in the data directory.
const FILE: &str = "operator.token";

/// What a token begins with, so that whoever finds one knows what it is.
const PREFIX: &str = "lockgate_operator_";

/// Who the operator is to the control plane.
#[derive(Debug, Clone)]
pub struct Operator {
    /// What they show.
    pub token: Secret,
    /// The groups that they are in, besides those of the policy.
    pub groups: Vec<String>,
    /// What they may do, besides what their groups may.
    pub roles: Vec<Role>,
}

impl Operator {
    /// The operator as a principal: `local:operator`.
    pub fn principal(&self) -> Principal {
        Principal {
            issuer: LOCAL_ISSUER.into(),
            subject: "operator".into(),
            groups: self.groups.clone(),
            claims: Map::new(),
        }
    }

    /// Whether that is their token; takes as long for a wrong one as for the right one.
    pub(crate) fn knows(&self, token: &Secret) -> bool {
        let hash = |token: &Secret| digest::digest(&digest::SHA256, token.expose().as_bytes());
        constant_time::verify_slices_are_equal(hash(token).as_ref(), hash(&self.token).as_ref()).is_ok()
    }
}

/// Why there is no operator's token. Always ours to repair: the data directory is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// It can't be read or written.
    #[error("the operator's token {} can't be read or made", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// It is not a token.
    #[error("{} holds no operator's token: remove it, and it is made anew at the next start", .0.display())]
    Malformed(PathBuf),
    /// Others than its owner can read it.
    #[error("{} can be read by others: remove it, and it is made anew at the next start", .0.display())]
    Exposed(PathBuf),
}

/// Reads the operator's token from the data directory of a control plane that was started before.
///
/// # Errors
/// When there is none, or it is no secret any more.
pub fn read_token(data: &Path) -> Result<Secret, OperatorError> {
    let path = data.join(FILE);
    let failed = |source| OperatorError::File { path: path.clone(), source };
    let file = fs::File::open(&path).map_err(failed)?;
    if is_exposed(&file).map_err(failed)? {
        return Err(OperatorError::Exposed(path));
    }
    let mut text = String::new();
    #[expect(clippy::disallowed_methods, reason = "bounded by take")]
    file.take(256).read_to_string(&mut text).map_err(failed)?;
    let token = text.trim_end();
    let hex = token.strip_prefix(PREFIX).unwrap_or_default();
    if hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(Secret::new(token))
    } else {
        Err(OperatorError::Malformed(path))
    }
}

/// Reads the operator's token, or makes it where there is none yet.
///
/// # Errors
/// When it can't be made, or is no secret any more.
pub fn read_or_make_token(data: &Path) -> Result<Secret, OperatorError> {
    match make(&data.join(FILE)) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(source) => return Err(OperatorError::File { path: data.join(FILE), source }),
    }
    read_token(data)
}

fn make(path: &Path) -> io::Result<()> {
    if path.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let mut random = [0; 32];
    rand::fill(&mut random).map_err(|_| io::Error::other("the system has no randomness"))?;
    // Whole or not at all: written aside, then linked to its name.
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".operator").tempfile_in(folder)?;
    writeln!(file, "{PREFIX}{}", hex::encode(random))?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(unix)]
fn is_exposed(file: &fs::File) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt;
    Ok(file.metadata()?.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_exposed(_file: &fs::File) -> io::Result<bool> {
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_made_once_and_only_its_owner_reads_it() {
        let data = tempfile::tempdir().unwrap();
        assert!(matches!(read_token(data.path()), Err(OperatorError::File { .. })));
        let token = read_or_make_token(data.path()).unwrap();
        assert_eq!(token.expose().len(), PREFIX.len() + 64);
        assert_eq!(read_or_make_token(data.path()).unwrap(), token);
        assert_eq!(read_token(data.path()).unwrap(), token);
        assert!(!is_exposed(&fs::File::open(data.path().join(FILE)).unwrap()).unwrap());
        let names: Vec<_> = fs::read_dir(data.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(names, [FILE]);
    }

    #[test]
    fn a_token_that_is_not_one_is_refused() {
        let data = tempfile::tempdir().unwrap();
        for wrong in ["", "\n", PREFIX, "lockgate_operator_zz", &"a".repeat(1000)] {
            let mut file = tempfile::NamedTempFile::new_in(data.path()).unwrap();
            write!(file, "{wrong}").unwrap();
            file.persist(data.path().join(FILE)).unwrap();
            assert!(matches!(read_or_make_token(data.path()), Err(OperatorError::Malformed(_))), "{wrong}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_token_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let data = tempfile::tempdir().unwrap();
        read_or_make_token(data.path()).unwrap();
        fs::set_permissions(data.path().join(FILE), fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(read_or_make_token(data.path()), Err(OperatorError::Exposed(_))));
    }

    #[test]
    fn only_the_token_itself_is_known() {
        let token = |text: &str| Secret::new(text);
        let operator = Operator { token: token("right"), groups: vec!["ops".into()], roles: vec![] };
        assert!(operator.knows(&token("right")));
        assert!(!operator.knows(&token("wrong")));
        assert!(!operator.knows(&token("")));
        assert_eq!(operator.principal().to_string(), "local:operator");
        assert!(!format!("{operator:?}").contains("right"));
    }
}
