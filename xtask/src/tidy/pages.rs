//! Pages that must keep up with the code: the map of the crates and the front page.

use super::{File, Problems};

/// What a newcomer types first; the front page shows both.
const COMMANDS: [&str; 2] = ["cargo run --release -- demo", "cargo xtask test"];

pub(super) fn check(files: &[File]) -> Problems {
    let mut problems = Problems::new();
    let text = |path: &str| files.iter().find(|file| file.path == path).map_or("", |file| file.text.as_str());
    let map = text("crates/README.md");
    for name in files.iter().filter_map(|file| crate_name(&file.path)) {
        if !map.contains(&format!("`{name}`")) {
            problems.push(format!("crates/README.md: the map does not name `{name}`"));
        }
    }
    let front = text("README.md");
    for command in COMMANDS.iter().filter(|command| !front.contains(**command)) {
        problems.push(format!("README.md: does not show `{command}`"));
    }
    problems
}

/// `crates/<name>/Cargo.toml` -> `<name>`.
fn crate_name(path: &str) -> Option<&str> {
    path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml").filter(|name| !name.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::{COMMANDS, check};

    #[test]
    fn pages_that_keep_up_pass_and_those_that_do_not_are_found() {
        let crates = || {
            [
                file("crates/git/Cargo.toml", ""),
                file("crates/core/Cargo.toml", ""),
                file("crates/core/fuzz/Cargo.toml", ""),
            ]
        };
        let pages = |map: &str, front: &str| {
            check(
                &crates()
                    .into_iter()
                    .chain([file("crates/README.md", map), file("README.md", front)])
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(pages("- `git`\n- `core`\n", &COMMANDS.join("\n")), [""; 0]);
        assert_eq!(
            pages("- `git`\n", &COMMANDS.join("\n")),
            ["crates/README.md: the map does not name `core`"]
        );
        assert_eq!(pages("`git` `core`", COMMANDS[0]), ["README.md: does not show `cargo xtask test`"]);
        assert_eq!(check(&crates()).len(), 4);
    }
}
