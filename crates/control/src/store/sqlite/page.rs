//! Lists in parts. A token is the place of the last item given out, so that what is added meanwhile neither
//! repeats an item nor hides one.

use std::pin::pin;

use futures::{Stream, TryStreamExt};

use super::super::StoreError;
use crate::model::{Page, PageRequest};

/// How much of a list is given out at once, at most, whatever its size.
const MAX_BYTES: usize = 4 << 20;

/// The place in a list that is ordered by a number.
pub(super) fn number(page: &PageRequest) -> Result<Option<i64>, StoreError> {
    page.token.as_deref().map(|token| token.parse().map_err(|_| StoreError::PageToken)).transpose()
}

/// The place in a list that is ordered by a time and then an id.
pub(super) fn time_and_id(page: &PageRequest) -> Result<Option<(i64, &str)>, StoreError> {
    let Some(token) = page.token.as_deref() else { return Ok(None) };
    let (time, id) = token.split_once('.').ok_or(StoreError::PageToken)?;
    Ok(Some((time.parse().map_err(|_| StoreError::PageToken)?, id)))
}

/// An item, its place in the list, and about how many bytes it takes.
pub(super) struct Item<T> {
    pub(super) item: T,
    pub(super) token: String,
    pub(super) bytes: usize,
}

/// Makes a page of what a query gives that is limited to one row more than the page. Rows that do not come
/// into the page are not read.
pub(super) async fn cut<T>(
    page: &PageRequest,
    found: impl Stream<Item = Result<Item<T>, StoreError>>,
) -> Result<Page<T>, StoreError> {
    let mut found = pin!(found);
    let limit = page.limit() as usize;
    let (mut items, mut bytes, mut last) = (Vec::new(), 0, None);
    while let Some(Item { item, token, bytes: size }) = found.try_next().await? {
        bytes += size;
        if items.len() == limit || (bytes > MAX_BYTES && !items.is_empty()) {
            return Ok(Page { items, next: last });
        }
        items.push(item);
        last = Some(token);
    }
    Ok(Page { items, next: None })
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn cut_sizes(size: u32, sizes: &[usize]) -> (Vec<usize>, Option<String>) {
        let items = sizes.iter().enumerate();
        let found = items.map(|(at, bytes)| Ok(Item { item: at, token: at.to_string(), bytes: *bytes }));
        let page = PageRequest::first(size);
        let page = cut(&page, futures::stream::iter(found)).now_or_never().unwrap().unwrap();
        (page.items, page.next)
    }

    #[test]
    fn a_page_ends_at_its_size_or_its_bytes() {
        assert_eq!(cut_sizes(2, &[]), (vec![], None));
        assert_eq!(cut_sizes(2, &[1, 1]), (vec![0, 1], None));
        assert_eq!(cut_sizes(2, &[1, 1, 1]), (vec![0, 1], Some("1".into())));
        assert_eq!(cut_sizes(9, &[MAX_BYTES, 1]), (vec![0], Some("0".into())));
        // One that is larger than a page still gets out.
        assert_eq!(cut_sizes(9, &[MAX_BYTES + 1, 1]), (vec![0], Some("0".into())));
    }

    #[test]
    fn a_foreign_token_is_refused() {
        let page = |token: &str| PageRequest { size: 0, token: Some(token.into()) };
        assert!(number(&page("x")).is_err());
        assert!(time_and_id(&page("5")).is_err());
        assert!(time_and_id(&page("x.5")).is_err());
        assert_eq!(time_and_id(&page("5.x")).unwrap(), Some((5, "x")));
    }
}
