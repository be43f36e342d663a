//! Pages counted from the nearer end, so that the last costs no more than the first.

use rota_types::Page;

/// Where the rows of a page lie in a sorted list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slice {
    /// Rows before the first, counted from the end that is named.
    pub(super) offset: i64,
    /// Rows of the page.
    pub(super) limit: i64,
    /// The list is to be read backwards.
    pub(super) from_end: bool,
}

impl Slice {
    /// The rows of `page` in a list of `total`.
    pub(super) fn of(page: Page, total: i64) -> Self {
        let limit = page.limit().min(total - page.offset()).max(0);
        let behind = total - page.offset() - limit;
        if limit > 0 && behind < page.offset() {
            Self { offset: behind, limit, from_end: true }
        } else {
            Self { offset: page.offset(), limit, from_end: false }
        }
    }

    /// Everything in a list of `total`.
    pub(super) fn whole(total: i64) -> Self {
        Self { offset: 0, limit: total, from_end: false }
    }

    /// The rows, cut out of all of them.
    pub(super) fn cut<T>(&self, mut list: Vec<T>) -> Vec<T> {
        if self.from_end {
            list.reverse();
        }
        let count = |number: i64| usize::try_from(number).unwrap_or_default();
        let rows = list.into_iter().skip(count(self.offset)).take(count(self.limit)).collect();
        self.in_order(rows)
    }

    /// Whether there is nothing to read.
    pub(super) fn is_empty(&self) -> bool {
        self.limit == 0
    }

    /// The rows as the list has them.
    pub(super) fn in_order<T>(&self, mut rows: Vec<T>) -> Vec<T> {
        if self.from_end {
            rows.reverse();
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rota_types::MAX_PER_PAGE;

    use super::*;

    proptest! {
        #[test]
        fn a_slice_is_the_page_read_from_the_nearer_end(
            number in 1..30_u32, size in 1..20_u32, total in 0..200_usize,
        ) {
            let list: Vec<usize> = (0..total).collect();
            let page = Page::new(number, size, MAX_PER_PAGE).unwrap();
            let slice = Slice::of(page, i64::try_from(total).unwrap());
            let read: Box<dyn Iterator<Item = usize>> = if slice.from_end {
                Box::new(list.iter().rev().copied())
            } else {
                Box::new(list.iter().copied())
            };
            let offset = usize::try_from(slice.offset).unwrap();
            let limit = usize::try_from(slice.limit).unwrap();
            let rows = slice.in_order(read.skip(offset).take(limit).collect());
            let expected: Vec<usize> = list
                .chunks(size as usize)
                .nth(number as usize - 1)
                .map(<[usize]>::to_vec)
                .unwrap_or_default();
            prop_assert_eq!(&rows, &expected);
            prop_assert_eq!(slice.cut(list), expected);
            prop_assert!(slice.is_empty() || offset <= total / 2);
        }
    }
}
