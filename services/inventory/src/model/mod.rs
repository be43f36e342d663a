//! What inventory thinks in: attributes, devices, groups, and what may be asked about them.

mod attribute;
mod device;
mod entries;
mod filter;
mod group;
mod identity;
mod query;
mod term;
mod words;

pub use attribute::{Attribute, InvalidAttribute, Scope, Value};
pub use device::{Attributes, Device, Held, Provision, Status, UnknownStatus, Upload};
pub(crate) use filter::{Condition, Edge, Set};
pub use filter::{InvalidPredicate, Operator, Predicate};
pub use group::{GroupName, InvalidGroupName};
pub use identity::identity;
pub(crate) use query::{Asked, SortKey, Sorting};
pub use query::{InvalidSearch, Order, Search, Selected};
pub(crate) use term::{AttributeKey, Counted, Range, Term, TermPlace, text_of};
pub(crate) use words::query_words;
