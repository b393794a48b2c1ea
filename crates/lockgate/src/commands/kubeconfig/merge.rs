//! Adding to a kubeconfig that is there, as kubectl itself does it: under its lock, and in one step.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::{Entry, yaml};
use crate::config::read_text;

/// A kubeconfig is smaller than this.
const MAX: u64 = 4 << 20;

/// The kubeconfig that kubectl writes to: the first of $KUBECONFIG, else the one in the home.
pub(super) fn default_file() -> Result<PathBuf> {
    let listed = std::env::var_os("KUBECONFIG").unwrap_or_default();
    if let Some(first) = std::env::split_paths(&listed).find(|path| !path.as_os_str().is_empty()) {
        return Ok(first);
    }
    let home = std::env::home_dir().context("there is no home: give `--output`")?;
    Ok(home.join(".kube/config"))
}

/// Puts an entry into a kubeconfig, in the place of those of its name; the rest stays as it is.
pub(super) fn into(file: &Path, entry: &Entry) -> Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    // What a link leads to is written, and the link stays.
    let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let _lock = Lock::take(&file)?;
    let config = if file.exists() { read(&file)? } else { json!({}) };
    write(&file, &yaml(&merged(config, entry).with_context(|| format!("{}", file.display()))?)?)
}

fn read(file: &Path) -> Result<Value> {
    let text = read_text(file, MAX)?;
    if text.trim().is_empty() {
        return Ok(json!({}));
    }
    serde_saphyr::from_str(&text).with_context(|| format!("{} is no kubeconfig", file.display()))
}

fn merged(mut config: Value, entry: &Entry) -> Result<Value> {
    let fields = config.as_object_mut().context("this is no kubeconfig")?;
    let is_known = |field: &str, value: &str| fields.get(field).is_none_or(|it| it == value);
    ensure!(is_known("kind", "Config") && is_known("apiVersion", "v1"), "this is no kubeconfig");
    fields.insert("apiVersion".into(), json!("v1"));
    fields.insert("kind".into(), json!("Config"));
    let lists = [("clusters", entry.cluster()), ("users", entry.user()), ("contexts", entry.context())];
    for (field, new) in lists {
        let list = fields.entry(field).or_insert(Value::Null);
        if list.is_null() {
            *list = json!([]);
        }
        let list = list.as_array_mut().with_context(|| format!("`{field}` is no list"))?;
        match list.iter_mut().find(|old| old["name"] == new["name"]) {
            Some(old) => *old = new,
            None => list.push(new),
        }
    }
    fields.insert("current-context".into(), json!(entry.name));
    Ok(config)
}

/// Replaces the file in one step, with the rights that it has; a new one is for its owner alone.
fn write(file: &Path, text: &str) -> Result<()> {
    let context = || format!("cannot write {}", file.display());
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut new = tempfile::NamedTempFile::new_in(folder).with_context(context)?;
    new.write_all(text.as_bytes()).with_context(context)?;
    if let Ok(old) = fs::metadata(file) {
        new.as_file().set_permissions(old.permissions()).with_context(context)?;
    }
    new.persist(file).with_context(context)?;
    Ok(())
}

/// The lock that kubectl takes, too: a file beside.
struct Lock(PathBuf);

impl Lock {
    fn take(file: &Path) -> Result<Self> {
        let mut name = file.as_os_str().to_owned();
        name.push(".lock");
        let lock = PathBuf::from(name);
        match File::options().write(true).create_new(true).mode(0o600).open(&lock) {
            Ok(_) => Ok(Self(lock)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                bail!(
                    "{} is there: another program changes the kubeconfig, or did not end well",
                    lock.display()
                )
            }
            Err(error) => Err(error).with_context(|| format!("cannot create {}", lock.display())),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Where it can't be removed the next one says that it is there.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(namespace: Option<&str>) -> Entry {
        Entry {
            name: "lockgate-prod".into(),
            server: "https://gate.example/k8s/prod".into(),
            ca: None,
            namespace: namespace.map(str::to_owned),
            user: json!({ "tokenFile": "/token" }),
        }
    }

    /// What others wrote, with text that other readers take for something else.
    const OTHERS: &str = r#"
apiVersion: v1
kind: Config
preferences: {}
current-context: home
clusters:
- { name: home, cluster: { server: "https://home.example", insecure-skip-tls-verify: true } }
users:
- { name: home, user: { token: "0123", username: "yes", password: "1e3" } }
contexts: null
extensions: [ { name: x, extension: { a: 1, b: [1.5, null, "~"] } } ]
"#;

    #[test]
    fn what_others_wrote_stays_as_it_is() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("config");
        fs::write(&file, OTHERS)?;
        into(&file, &entry(None))?;
        into(&file, &entry(Some("apps")))?;
        let (before, after): (Value, Value) = (serde_saphyr::from_str(OTHERS)?, read(&file)?);
        for field in ["preferences", "extensions"] {
            assert_eq!(after[field], before[field]);
        }
        for field in ["clusters", "users"] {
            assert_eq!(after[field][0], before[field][0]);
            assert_eq!(after[field].as_array().map(Vec::len), Some(2));
        }
        assert_eq!(after["contexts"], json!([entry(Some("apps")).context()]));
        assert_eq!(after["current-context"], "lockgate-prod");
        assert_eq!(fs::read_dir(folder.path())?.count(), 1, "neither a lock nor half a file is left");
        Ok(())
    }

    #[test]
    fn what_is_no_kubeconfig_is_not_written_to() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("config");
        for text in ["[]", "kind: Pod", "a: [", "clusters: { a: b }"] {
            fs::write(&file, text)?;
            assert!(into(&file, &entry(None)).is_err(), "{text}");
            assert_eq!(fs::read_to_string(&file)?, text);
        }
        fs::write(folder.path().join("config.lock"), "")?;
        fs::write(&file, OTHERS)?;
        let error = into(&file, &entry(None)).unwrap_err();
        assert!(error.to_string().contains("config.lock is there"), "{error}");
        Ok(())
    }

    #[test]
    fn a_link_stays_a_link() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let (file, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&file, OTHERS)?;
        std::os::unix::fs::symlink(&file, &link)?;
        into(&link, &entry(None))?;
        assert!(fs::symlink_metadata(&link)?.is_symlink());
        assert_eq!(read(&file)?["current-context"], "lockgate-prod");
        let new = folder.path().join("new/config");
        into(&new, &entry(None))?;
        assert_eq!(read(&new)?, entry(None).kubeconfig());
        Ok(())
    }
}
