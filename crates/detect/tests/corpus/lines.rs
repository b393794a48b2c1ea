//! The lines of `secrets.txt` and `benign.txt`.

use lockgate_detect::expand_sample;

/// Templates of texts with secrets.
pub(crate) fn secrets() -> impl Iterator<Item = &'static str> {
    lines(include_str!("secrets.txt"))
}

/// Templates of texts without.
pub(crate) fn benign() -> impl Iterator<Item = &'static str> {
    lines(include_str!("benign.txt"))
}

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with("# ") && *line != "#")
}

pub(crate) fn expand(template: &str, seed: u64) -> String {
    let text = template.replace("\\\\", "\0").replace("\\n", "\n").replace('\0', "\\");
    expand_sample(&text, seed).unwrap()
}

/// The text and the secrets in it.
pub(crate) fn marked(template: &str, seed: u64) -> (String, Vec<String>) {
    let (mut text, mut secrets) = (String::new(), Vec::new());
    for (place, part) in template.split(['«', '»']).enumerate() {
        let part = expand(part, seed.wrapping_mul(31) + place as u64);
        text += &part;
        if place % 2 == 1 {
            secrets.push(part);
        }
    }
    (text, secrets)
}
