//! Pages as the public API counts them: from 1, with a size.

/// The largest page (server API, common HTTP rules: `per_page` 1..500).
pub const MAX_PER_PAGE: u32 = 500;

/// One page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    number: u32,
    size: u32,
}

/// Why a page cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPage {
    /// Pages count from one.
    #[error("invalid {parameter} query: value must be a non-zero positive integer")]
    Zero {
        /// `page` or `per_page`.
        parameter: &'static str,
    },
    /// The page is larger than the list allows.
    #[error("parameter \"per_page\" above limit (max: {max})")]
    TooLarge {
        /// The largest size, in rows.
        max: u32,
    },
}

impl Page {
    /// A page by its number (from 1) and its size (1..=`max`, in rows).
    pub fn new(number: u32, size: u32, max: u32) -> Result<Self, InvalidPage> {
        if number == 0 {
            return Err(InvalidPage::Zero { parameter: "page" });
        }
        if size == 0 {
            return Err(InvalidPage::Zero { parameter: "per_page" });
        }
        if size > max {
            return Err(InvalidPage::TooLarge { max });
        }
        Ok(Self { number, size })
    }

    /// The page's number, from 1.
    pub const fn number(self) -> u32 {
        self.number
    }

    /// How many rows the page holds at the most.
    pub const fn size(self) -> u32 {
        self.size
    }

    /// How many rows come before the page.
    pub const fn offset(self) -> i64 {
        (self.number as i64 - 1) * self.size as i64
    }

    /// [`Page::size`] as SQL wants it.
    pub const fn limit(self) -> i64 {
        self.size as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_count_from_one() {
        let page = Page::new(3, 20, MAX_PER_PAGE).unwrap();
        assert_eq!((page.offset(), page.limit()), (40, 20));
        assert!(Page::new(0, 20, MAX_PER_PAGE).is_err());
        assert!(Page::new(1, 0, MAX_PER_PAGE).is_err());
        assert!(Page::new(1, 501, MAX_PER_PAGE).is_err());
        assert_eq!(Page::new(u32::MAX, 500, 500).unwrap().offset(), 2_147_483_647_000);
    }
}
