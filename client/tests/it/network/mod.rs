//! Networks as they are: lines that break in every way, servers that come and go, proxies, clocks.

mod addresses;
mod deployments;
mod faults;
mod line;
mod proxies;
mod random;
mod rota;
mod servers;
