//! Text from elsewhere, as people may see it.

/// The first characters of a text, on one line and without a terminal's controls.
pub fn plain(text: &str, most: usize) -> String {
    text.chars().take(most).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_one_line_and_short() {
        assert_eq!(plain("a\nb\u{1b}[1mä", 7), "a b [1m");
        assert_eq!(plain("é\t", usize::MAX), "é ");
    }
}
