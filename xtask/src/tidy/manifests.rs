//! The manifests: who may depend on whom, lints inherited, versions in one place.

use toml::{Table, Value};

use super::{File, Problems};

/// A crate, by its package name, and the local crates that it may depend on.
///
/// A protocol knows the core alone; the core knows no server; nobody knows the binary. The test kit may be a
/// dev-dependency of any of them and a dependency of none.
const ARROWS: [(&str, &[&str]); 11] = [
    ("lockgate-detect", &[]),
    ("lockgate-recording", &[]),
    ("lockgate-core", &["lockgate-detect", "lockgate-recording"]),
    ("lockgate-git", &["lockgate-core", "lockgate-detect"]),
    ("lockgate-k8s", &["lockgate-core", "lockgate-detect"]),
    ("lockgate-oci", &["lockgate-core", "lockgate-detect"]),
    ("lockgate-proto", &[]),
    ("lockgate-control", &["lockgate-core", "lockgate-recording", "lockgate-proto"]),
    (
        "lockgate",
        &[
            "lockgate-detect",
            "lockgate-recording",
            "lockgate-core",
            "lockgate-git",
            "lockgate-k8s",
            "lockgate-oci",
            "lockgate-proto",
            "lockgate-control",
        ],
    ),
    ("lockgate-testkit", &["lockgate-core"]),
    ("xtask", &[]),
];

const TESTKIT: &str = "lockgate-testkit";

pub(super) fn check(files: &[File]) -> Problems {
    let mut problems = Problems::new();
    let mut members = Vec::new();
    let mut workspace = Table::new();
    for file in files.iter().filter(|file| is_manifest(&file.path)) {
        match file.text.parse::<Table>() {
            Err(error) => problems.push(format!("{}: {error}", file.path)),
            Ok(table) if file.path == "Cargo.toml" => workspace = table,
            // A workspace of its own, as fuzzing needs: built by nobody else, it follows its own rules.
            Ok(table) if table.contains_key("workspace") => {}
            Ok(table) => members.push((file.path.as_str(), table)),
        }
    }
    for (path, member) in &members {
        problems.extend(member_problems(member).into_iter().map(|problem| format!("{path}: {problem}")));
    }
    problems.extend(unused(&workspace, &members));
    problems
}

fn is_manifest(path: &str) -> bool {
    path == "Cargo.toml" || path.ends_with("/Cargo.toml")
}

fn member_problems(member: &Table) -> Problems {
    let name =
        member.get("package").and_then(|it| it.get("name")).and_then(Value::as_str).unwrap_or_default();
    let mut problems = Problems::new();
    if member.get("lints").and_then(|it| it.get("workspace")) != Some(&Value::Boolean(true)) {
        problems.push("the workspace's lints are not inherited: `[lints] workspace = true`".into());
    }
    let arrows = ARROWS.iter().find(|(from, _)| *from == name).map(|(_, to)| *to);
    if arrows.is_none() {
        problems.push(format!("{name} is not in the table of arrows of xtask/src/tidy/manifests.rs"));
    }
    for Dependency { dev, name: to, spec } in dependencies(member) {
        if spec.get("workspace") != Some(&Value::Boolean(true)) {
            problems.push(format!("{to}: its version stands in the root manifest: `{to}.workspace = true`"));
        }
        let allowed = if to == TESTKIT { dev } else { arrows.unwrap_or_default().contains(&to) };
        if is_local(to) && !allowed {
            problems.push(format!("{name} must not depend on {to}"));
        }
    }
    problems
}

/// Local crates can't be renamed by a member, since every entry is the workspace's.
fn is_local(name: &str) -> bool {
    ARROWS.iter().any(|(local, _)| *local == name)
}

struct Dependency<'a> {
    dev: bool,
    name: &'a str,
    spec: &'a Value,
}

/// Every dependency of a manifest, those for one platform included.
fn dependencies(manifest: &Table) -> Vec<Dependency<'_>> {
    let platforms = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let tables = std::iter::once(manifest).chain(platforms.filter_map(Value::as_table));
    let mut found = Vec::new();
    for table in tables {
        for key in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let entries = table.get(key).and_then(Value::as_table).into_iter().flatten();
            found.extend(entries.map(|(name, spec)| Dependency {
                dev: key == "dev-dependencies",
                name,
                spec,
            }));
        }
    }
    found
}

/// Entries of the workspace that no member uses.
fn unused(workspace: &Table, members: &[(&str, Table)]) -> Problems {
    let entries = workspace.get("workspace").and_then(|it| it.get("dependencies")).and_then(Value::as_table);
    let used = |name: &str| members.iter().any(|(_, it)| dependencies(it).iter().any(|it| it.name == name));
    let names = entries.into_iter().flat_map(Table::keys);
    names.filter(|name| !used(name)).map(|name| format!("Cargo.toml: no crate uses {name}")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::check;

    const GOOD: &str = "[package]\nname = \"lockgate-git\"\n[lints]\nworkspace = true\n[dependencies]\n\
        lockgate-core.workspace = true\n[dev-dependencies]\nlockgate-testkit.workspace = true\n";

    fn problems(manifest: &str) -> Vec<String> {
        check(&[file("crates/git/Cargo.toml", manifest)])
    }

    fn finds(manifest: &str, problem: &str) {
        let found = problems(manifest);
        assert!(found.iter().any(|it| it.contains(problem)), "{found:?}");
    }

    #[test]
    fn a_good_manifest_passes() {
        assert_eq!(problems(GOOD), [""; 0]);
    }

    #[test]
    fn a_forbidden_arrow_is_found() {
        for forbidden in ["lockgate-control", "lockgate-proto", "lockgate", "lockgate-testkit"] {
            let manifest = GOOD.replace("lockgate-core", forbidden);
            finds(&manifest, &format!("lockgate-git must not depend on {forbidden}"));
        }
        finds(&format!("{GOOD}lockgate-control.workspace = true"), "must not depend on lockgate-control");
        let platform = "[target.'cfg(unix)'.dependencies]\nlockgate-control.workspace = true";
        finds(&format!("{GOOD}{platform}"), "must not depend on lockgate-control");
    }

    #[test]
    fn a_workspace_of_its_own_is_left_alone() {
        let fuzz =
            "[package]\nname = \"fuzz\"\n[workspace]\n[dependencies]\nlockgate-git = { path = \"..\" }\n";
        assert_eq!(check(&[file("crates/git/fuzz/Cargo.toml", fuzz)]), [""; 0]);
    }

    #[test]
    fn an_unknown_crate_is_found() {
        finds(&GOOD.replace("lockgate-git", "lockgate-new"), "lockgate-new is not in the table");
    }

    #[test]
    fn lints_that_are_not_inherited_are_found() {
        finds(&GOOD.replace("[lints]\nworkspace = true", ""), "lints are not inherited");
        finds(
            &GOOD.replace("[lints]\nworkspace = true", "[lints]\nworkspace = false"),
            "lints are not inherited",
        );
    }

    #[test]
    fn a_version_in_a_member_is_found() {
        for spec in ["hex = \"0.4\"", "hex = { version = \"0.4\" }", "hex = { path = \"../hex\" }"] {
            finds(&format!("{GOOD}{spec}"), "hex: its version stands in the root manifest");
        }
    }

    #[test]
    fn a_manifest_that_is_not_toml_is_found() {
        finds("[package", "crates/git/Cargo.toml: ");
    }

    #[test]
    fn a_version_that_nobody_uses_is_found() {
        let root = "[workspace.dependencies]\nlockgate-core = {}\nlockgate-testkit = {}\nhex = \"0.4\"\n";
        let found = check(&[file("Cargo.toml", root), file("crates/git/Cargo.toml", GOOD)]);
        assert_eq!(found, ["Cargo.toml: no crate uses hex"]);
    }
}
