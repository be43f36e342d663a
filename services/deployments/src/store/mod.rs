//! The service's tables: one file for each, SQL and rows stay in here.
//!
//! Functions take a transaction of the tenant, which row security binds to the tenant's rows.
//! Only what stands in [`hot`] reads across tenants.

pub(crate) mod artifact_lists;
pub(crate) mod artifacts;
mod column;
mod control_map;
pub(crate) mod deployments;
pub(crate) mod device_deployments;
pub(crate) mod hot;
pub(crate) mod jobs;
pub(crate) mod places;
pub(crate) mod releases;
pub(crate) mod statistics;
pub(crate) mod storage;
pub(crate) mod uploads;

use rota_store::{Migrator, Schema};
use rota_types::Page;

static MIGRATOR: Migrator = sqlx::migrate!();

/// The schema `deployments`.
pub static SCHEMA: Schema = Schema::new("deployments", &MIGRATOR, env!("CARGO_PKG_VERSION"));

/// The most rows of a list that is asked for in one piece.
const MAX_UNPAGED: i64 = 10_000;

/// `limit` and `offset` of a page, or of the one page that holds all.
fn bounds(page: Option<Page>) -> (i64, i64) {
    page.map_or((MAX_UNPAGED, 0), |page| (page.limit(), page.offset()))
}

/// `text` as a pattern for `like` that finds it anywhere.
fn anywhere(text: &str) -> String {
    format!("%{}%", escape(text))
}

/// `text` with every character that means something to `like` standing for itself.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stand_for_themselves() {
        assert_eq!(anywhere("a%b_c\\d"), "%a\\%b\\_c\\\\d%");
    }
}
