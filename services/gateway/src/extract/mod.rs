//! What handlers take: bodies, queries, pages and callers, read and checked.

mod body;
mod caller;
mod paging;
mod path;
mod query;

pub(crate) use self::{
    body::{Allowance, Awaited, Lenient, expect_json, read},
    caller::Who,
    paging::{HistoryPaging, Paging, PagingParameters, ReleasePaging, total_count},
    path::{Id, Path},
    query::{Query, invalid},
};
